"""Batches of a ``GatewayDataset`` by loading processes that read ahead, with a position that can be saved."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from torch.utils.data import DataLoader, default_collate, get_worker_info

from pipeline.training.dataset import GatewayDataset

S = TypeVar("S")
B = TypeVar("B")


class GatewayLoader(Generic[S, B]):
    """torch's DataLoader over a ``GatewayDataset``, which counts what each loading process delivered.

    ``state_dict`` names what the loop took, not what processes read ahead: after ``load_state_dict`` the next
    batch is the one that would have come. The batch size may change in between, the count of processes may not.
    """

    def __init__(
        self,
        dataset: GatewayDataset[S],
        *,
        batch_size: int,
        workers: int = 0,
        prefetch: int = 2,
        collate: Callable[[list[S]], B] = default_collate,
        start_method: str | None = None,
    ) -> None:
        """Bind a loader.

        Args:
            dataset: What is loaded.
            batch_size: Samples of a batch; the last of each process may have fewer.
            workers: Loading processes; 0 loads in this one.
            prefetch: Batches that each of them reads ahead.
            collate: Makes a batch of samples, by default as torch does.
            start_method: How processes start: ``fork``, ``spawn`` or ``forkserver``, by default the system's.
        """
        self._dataset = dataset
        self._batch_size, self._workers, self._prefetch = batch_size, workers, prefetch
        self._collate, self._start_method = collate, start_method
        self._delivered: list[int] | None = None
        self._next = 0

    def __iter__(self) -> Iterator[B]:
        """The batches of an epoch, or of what is left of it.

        Raises:
            PipelineError: As the iteration of the data set.
        """
        delivered, first = self._dataset.resumed(self._workers)
        roles = len(delivered)
        counted = _Counted(self._collate, first=first, roles=roles)
        loader: DataLoader[Any] = DataLoader(
            self._dataset,
            batch_size=self._batch_size,
            num_workers=self._workers,
            collate_fn=counted,
            prefetch_factor=self._prefetch if self._workers else None,
            multiprocessing_context=self._start_method if self._workers else None,
        )
        self._delivered, self._next = list(delivered), first
        batches = iter(loader)
        if self._workers:
            self._dataset.begun()
        for role, count, batch in batches:
            self._delivered[role] += count
            self._next = (role + 1) % roles
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of another epoch, from its begin."""
        self._dataset.set_epoch(epoch)
        self._delivered, self._next = None, 0

    def state_dict(self) -> dict[str, Any]:
        """Where the loop is."""
        if self._delivered is None:
            delivered, first = self._dataset.resumed(self._workers)
            return self._dataset.state_at(delivered, first=first)
        return self._dataset.state_at(tuple(self._delivered), first=self._next)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state says, in the next iteration.

        Raises:
            StateError: It is malformed, or of another manifest, order, split or count of processes.
        """
        self._dataset.load_state_dict(state)
        self._dataset.resumed(self._workers)
        self._delivered = None


class _Counted(Generic[S, B]):
    """Collates, and says whose samples and how many."""

    def __init__(self, collate: Callable[[list[S]], B], *, first: int, roles: int) -> None:
        self._collate, self._first, self._roles = collate, first, roles

    def __call__(self, samples: list[S]) -> tuple[int, int, B]:
        info = get_worker_info()
        role = 0 if info is None else (info.id + self._first) % self._roles
        return role, len(samples), self._collate(samples)

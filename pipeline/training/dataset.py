"""Samples of sealed shards for torch, split by rank and worker, in a seeded order that can be taken up again."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import torch
from torch.utils.data import IterableDataset, get_worker_info

from pipeline.training.access import Access
from pipeline.training.errors import ShardError, StateError
from pipeline.training.lease import DEFAULT_LEASE_S, Lease
from pipeline.training.order import ShardPlace, share, stretch, walk
from pipeline.training.shard_file import ShardReader, StoredSample
from pipeline.training.shards import ShardFolder
from pipeline.training.training_manifest import TrainingManifest

T_co = TypeVar("T_co", covariant=True)

_STATE_VERSION: Final = 1


class GatewayDataset(IterableDataset[T_co], Generic[T_co]):
    """What a training manifest lists, sample by sample.

    - Every sample comes once in an epoch, over all ranks and workers together.
    - The gate is asked before a shard is opened and again after ``lease_s``; a refusal wipes the shards of the
      release and ends the iteration by ``ReleaseEndedError``.
    - ``state_dict`` and ``load_state_dict`` go on at the next sample. In a loop with loading processes ask
      ``GatewayLoader`` for them, which knows what those delivered.

    Content is in memory only.
    """

    def __init__(  # noqa: PLR0913 - each is a choice of its own
        self,
        folder: Path,
        manifest: TrainingManifest,
        access: Access,
        *,
        decode: Callable[[StoredSample], T_co],
        seed: int = 0,
        shuffle: bool = True,
        rank: int | None = None,
        world: int | None = None,
        even: bool = False,
        lease_s: float = DEFAULT_LEASE_S,
    ) -> None:
        """Bind a data set; the gate is asked when it is iterated.

        Args:
            folder: Where the shards lie.
            manifest: The verified training manifest.
            access: Who asks the gate; each process opens a connection of its own.
            decode: Makes a sample what the model takes; a function of a module where processes are spawned.
            seed: Of the order.
            shuffle: Whether the order is random.
            rank: Which process of the training; by default what torch.distributed or torchrun says, else 0.
            world: How many processes train; the same.
            even: Leave out fewer than ``world`` samples, so that every rank has as many.
            lease_s: For how many seconds an answer of the gate holds.

        Raises:
            ValueError: There is no such rank, or ``lease_s`` is not positive.
        """
        super().__init__()
        if (rank is None) is not (world is None):
            raise ValueError(f"rank and world (got {rank} and {world}, expected both or none)")
        self.rank, self.world = place_of_process() if rank is None or world is None else (rank, world)
        stretch(0, self.rank, self.world)
        if not lease_s > 0:
            raise ValueError(f"lease_s (got {lease_s}, expected a positive count of seconds)")
        self._folder, self._manifest, self._access = folder, manifest, access
        self._decode = decode
        self._seed, self._shuffle, self._even, self._lease_s = seed, shuffle, even, lease_s
        self.epoch = 0
        self._taken: int | None = None
        self._resumed: tuple[int, ...] | None = None
        self._first = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of another epoch, from its begin."""
        self.epoch = epoch
        self._taken = self._resumed = None
        self._first = 0

    def __len__(self) -> int:
        """Samples of this rank in an epoch."""
        total = len(self._manifest.samples)
        return len(share(total, rank=self.rank, world=self.world, worker=0, workers=1, even=self._even))

    def __iter__(self) -> Iterator[T_co]:
        """The samples of this process.

        Raises:
            ReleaseEndedError: The gate refuses a release.
            ManifestExpiredError: The manifest's end of use has passed.
            ShardError: A shard is missing or altered.
            LeaseError: The gate cannot answer now.
        """
        info = get_worker_info()
        workers = 1 if info is None else info.num_workers
        role = 0 if info is None else (info.id + self._first) % workers
        begin = self._begin(role, workers)
        self._taken = begin
        if info is None:
            self._resumed = None
        wanted = share(
            len(self._manifest.samples),
            rank=self.rank,
            world=self.world,
            worker=role,
            workers=workers,
            even=self._even,
        )[begin:]
        if not wanted:
            return
        shards = ShardFolder(self._folder, self._manifest, self._access.key)
        with self._access.client() as client:
            lease = Lease(client, shards, every_s=self._lease_s)
            for sample in self._samples(shards, lease, wanted):
                decoded = self._decode(sample)
                self._taken += 1
                yield decoded

    def state_dict(self) -> dict[str, Any]:
        """Where this process is: to be loaded by one of the same rank, without loading processes.

        Raises:
            StateError: Nothing was iterated in this process, so that it does not know.
        """
        if self._taken is None:
            raise StateError(
                "no sample was taken in this process: with loading processes ask GatewayLoader for its state"
            )
        return self.state_at((self._taken,), first=0)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state says, in the next iteration.

        Raises:
            StateError: It is malformed, or of another manifest, order or split.
        """
        try:
            epoch, first = int(state["epoch"]), int(state["first"])
            delivered = tuple(int(each) for each in state["delivered"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"state: {type(error).__name__}: {error}") from error
        for name, expected in self._identity().items():
            if state.get(name) != expected:
                raise StateError(f"{name} of the state (got {state.get(name)!r}, expected {expected!r})")
        if not delivered or min(delivered) < 0 or not 0 <= first < len(delivered):
            raise StateError(f"state (got delivered {delivered}, first {first}, expected counts and a place)")
        self.epoch, self._resumed, self._first, self._taken = epoch, delivered, first, None

    def state_at(self, delivered: tuple[int, ...], *, first: int) -> dict[str, Any]:
        """The state in which each loading process delivered so many samples and ``first`` is asked next."""
        return {**self._identity(), "epoch": self.epoch, "delivered": list(delivered), "first": first}

    def resumed(self, workers: int) -> tuple[tuple[int, ...], int]:
        """What the next iteration has behind it: what each loading process delivered, and which is asked next.

        Raises:
            StateError: The state is of another count of loading processes.
        """
        roles = max(1, workers)
        return tuple(self._begin(role, roles) for role in range(roles)), self._first

    def begun(self) -> None:
        """Forget the loaded state: an iteration that goes on from it has begun."""
        self._resumed, self._first = None, 0

    def _begin(self, role: int, workers: int) -> int:
        if self._resumed is None:
            return 0
        if len(self._resumed) != workers:
            raise StateError(
                f"loading processes (got {workers}, expected {len(self._resumed)} as in the saved state)"
            )
        return self._resumed[role]

    def _identity(self) -> dict[str, Any]:
        return {
            "version": _STATE_VERSION,
            "manifest": self._manifest.digest,
            "seed": self._seed,
            "shuffle": self._shuffle,
            "even": self._even,
            "rank": self.rank,
            "world": self.world,
        }

    def _samples(self, shards: ShardFolder, lease: Lease, wanted: range) -> Iterator[StoredSample]:
        places = proved_places(shards, lease)
        path = walk(places, wanted, seed=self._seed, epoch=self.epoch, shuffle=self._shuffle)
        ahead = next(path, None)
        opened = None if ahead is None else _opened(shards, lease, ahead[0])
        while ahead is not None and opened is not None:
            shard, inside, ahead = opened, ahead[1], next(path, None)
            with shard:
                opened = None if ahead is None else _opened(shards, lease, ahead[0])
                try:
                    for index in inside:
                        lease.hold(shard.identity.release)
                        yield shard.read(index)
                except BaseException:
                    if opened is not None:
                        opened.close()
                    raise


def _opened(shards: ShardFolder, lease: Lease, place: ShardPlace) -> ShardReader:
    """A shard whose bytes the system begins to read while the one before it is used."""
    lease.hold(place.release)
    shard = shards.open(place.release, place.number)
    if len(shard) != place.samples:
        shard.close()
        raise ShardError(f"shard {place.number} of {place.release!r} was written anew meanwhile; begin again")
    shard.will_be_read()
    return shard


def proved_places(shards: ShardFolder, lease: Lease) -> list[ShardPlace]:
    """Every shard in the order of the manifest, once their proved indexes say together what it lists.

    Raises:
        ShardError: They do not.
        PipelineError: As ``Lease.hold``.
    """
    places = []
    for release in shards.manifest.releases:
        samples = shards.manifest.of_release(release)
        lease.hold(release)
        held: list[tuple[str, str]] = []
        for number in shards.numbers(release):
            with shards.open(release, number) as shard:
                held += shard.samples
                places.append(ShardPlace(release=release, number=number, samples=len(shard)))
        if held != [(sample.name, sample.sha256) for sample in samples]:
            raise ShardError(
                f"shards of release {release!r} (got {len(held)} samples, expected the {len(samples)} of the "
                "manifest in order); write the shards to the end"
            )
    return places


def place_of_process() -> tuple[int, int]:
    """Rank and count of processes: as torch.distributed has them, or as torchrun will."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))

"""Ray Data as an engine: actors on one machine or many, each with a connection of its own."""

import json
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any, Final

from pipeline.scale.errors import StalledError, WorkerLostError
from pipeline.scale.job import Failure, Job, Receipt
from pipeline.scale.pool import DEFAULT_STALL_S
from pipeline.scale.ray_cluster import demand_cpus, ray_cluster
from pipeline.scale.worker import Worker

CPU_SHARE: Final = 0.5
"""What an actor takes of a processor, so that Ray Data's own work finds room beside all of them."""
MAX_BLOCKS: Final = 1000
MAX_ROUNDS_WITHOUT_PROGRESS: Final = 3
BACK_OFF_S: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RayData:
    """Actors of Ray Data.

    Attributes:
        workers: How many actors.
        address: Of a cluster that runs; None to start one on this machine.
        cpus: Processors of a cluster that is started.
        stall_s: Seconds without a finished item after which the run ends with an error.
    """

    workers: int
    address: str | None = None
    cpus: int | None = None
    stall_s: float = DEFAULT_STALL_S

    def run(self, job: Job, places: Sequence[int]) -> Iterator[Receipt | Failure]:
        """Do the items at some places; what a lost actor or node had at work is done again.

        Raises:
            TooFewCpusError: Actors would take every processor.
            StalledError: Nothing was finished for ``stall_s``.
            WorkerLostError: Ray failed again and again without finishing an item.
        """
        pending, rounds = list(places), 0
        with ray_cluster(self.address, cpus=self.cpus) as ray:
            demand_cpus(ray, self.workers, CPU_SHARE)
            while pending:
                before, done = len(pending), set[int]()
                try:
                    for answer in self._watched(ray, job, pending):
                        done.add(answer.place)
                        yield answer
                except ray.exceptions.RayError as error:
                    lost: Exception | None = error
                else:
                    lost = None
                pending = [place for place in pending if place not in done]
                rounds = rounds + 1 if len(pending) == before else 0
                if pending and rounds >= MAX_ROUNDS_WITHOUT_PROGRESS:
                    raise WorkerLostError(
                        f"Ray failed {rounds} times without finishing any of {len(pending)} items; "
                        f"what was finished is kept: {type(lost).__name__}"
                    ) from lost
                if pending:
                    time.sleep(BACK_OFF_S * rounds)  # until Ray has noticed which of its nodes are gone

    def _watched(self, ray: ModuleType, job: Job, places: Sequence[int]) -> Iterator[Receipt | Failure]:
        """Ray Data's rows as they come; it waits in a thread of its own, so that silence is noticed."""
        rows: queue.Queue[Mapping[str, Any] | Exception | None] = queue.Queue()

        def iterate() -> None:
            try:
                for row in _dataset(job, places, self.workers).iter_rows():
                    rows.put(row)
            except Exception as error:  # noqa: BLE001 - raised again by who waits
                rows.put(error)
            else:
                rows.put(None)

        threading.Thread(target=iterate, daemon=True).start()
        while True:
            try:
                row = rows.get(timeout=self.stall_s)
            except queue.Empty:
                raise StalledError(
                    f"no item was finished for {self.stall_s:g} s; Ray has {_free(ray)} processors free; "
                    "what was finished is kept"
                ) from None
            if row is None:
                return
            if isinstance(row, Exception):
                raise row
            yield _answer(row)


class Actor:
    """A worker in an actor of Ray Data."""

    def __init__(self, job: Job) -> None:
        self._worker = Worker(job)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        """Do a batch of places; what comes back is receipts and failures, never content."""
        return {"answer": [_told(self._worker.do(int(place))) for place in batch["place"]]}


def _dataset(job: Job, places: Sequence[int], workers: int) -> Any:
    import ray.data as ray_data  # noqa: PLC0415 - an extra

    context = ray_data.DataContext.get_current()
    context.enable_progress_bars = False
    rows = [{"place": place} for place in places]
    return ray_data.from_items(rows, override_num_blocks=min(len(rows), MAX_BLOCKS)).map_batches(
        Actor,
        fn_constructor_args=(job,),
        batch_size=1,
        compute=ray_data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
        num_cpus=CPU_SHARE,
    )


def _told(answer: Receipt | Failure) -> str:
    return json.dumps([type(answer).__name__, asdict(answer)])


def _answer(row: Mapping[str, Any]) -> Receipt | Failure:
    kind, values = json.loads(row["answer"])
    if kind == Receipt.__name__:
        return Receipt(**values)
    violations = tuple((str(r), str(c), str(zh), str(en)) for r, c, zh, en in values.pop("violations"))
    return Failure(**values, violations=violations)


def _free(ray: ModuleType) -> float:
    return float(ray.available_resources().get("CPU", 0.0))

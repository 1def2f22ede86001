"""A pool of processes on this machine: the default engine."""

import multiprocessing
import os
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for_end
from typing import Final

from pipeline.scale.errors import StalledError, WorkerLostError
from pipeline.scale.job import Failure, Job, Receipt
from pipeline.scale.worker import Worker

MAX_DEATHS: Final = 3
"""How often workers may die while an item is at work before the run gives up on it."""
DEFAULT_STALL_S: Final = 900.0


def default_workers() -> int:
    """One less than the processors that this process may use, at least one."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessPool:
    """Processes that are spawned, each with a connection of its own.

    Attributes:
        workers: How many.
        stall_s: Seconds without a finished item after which the run ends with an error.
    """

    workers: int
    stall_s: float = DEFAULT_STALL_S

    def run(self, job: Job, places: Sequence[int]) -> Iterator[Receipt | Failure]:
        """Do the items at some places; an item whose worker died is done again by another.

        Raises:
            WorkerLostError: Workers died ``MAX_DEATHS`` times at the same item.
            StalledError: Nothing was finished for ``stall_s``.
        """
        waiting, deaths = deque(places), Counter[int]()
        while waiting:
            lost = yield from self._round(job, waiting)
            deaths.update(lost)
            hopeless = sorted(place for place in lost if deaths[place] >= MAX_DEATHS)
            if hopeless:
                raise WorkerLostError(
                    f"workers died {MAX_DEATHS} times at items {hopeless} of the manifest; "
                    "what was finished is kept"
                )
            waiting.extendleft(reversed(lost))

    def _round(self, job: Job, waiting: deque[int]) -> Generator[Receipt | Failure, None, list[int]]:
        """Work until a worker dies or nothing waits; returns what was at work when one died."""
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(self.workers, context, initializer=_begin, initargs=(job,))
        at_work: dict[Future[Receipt | Failure], int] = {}
        try:
            while waiting or at_work:
                while waiting and len(at_work) < self.workers:
                    submitted = pool.submit(_do, waiting[0])
                    at_work[submitted] = waiting.popleft()
                done, _ = wait(at_work, timeout=self.stall_s, return_when=FIRST_COMPLETED)
                if not done:
                    raise StalledError(
                        f"no item was finished for {self.stall_s:g} s, at work are items "
                        f"{sorted(at_work.values())} of the manifest; what was finished is kept"
                    )
                for future in done:
                    answer = future.result()
                    del at_work[future]
                    yield answer
        except BrokenProcessPool:
            return sorted(at_work.values())
        finally:
            _end(pool)
        return []


_worker: Worker | None = None


def _begin(job: Job) -> None:
    """In a new process: end with its parent, and keep the job."""
    global _worker  # noqa: PLW0603 - what a process of a pool keeps between calls
    _worker = Worker(job)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_end([parent.sentinel])
        os._exit(1)


def _do(place: int) -> Receipt | Failure:
    if _worker is None:
        raise RuntimeError("this process belongs to no pool")
    return _worker.do(place)


def _end(pool: ProcessPoolExecutor) -> None:
    """Let idle processes go; one that still works is ended: its output is committed whole or not at all."""
    processes = list((pool._processes or {}).values())  # noqa: SLF001 - no public way to end a stuck one in 3.11
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join()

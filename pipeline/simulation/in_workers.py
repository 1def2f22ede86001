"""Rows that are run in processes of their own: for simulators that are one per process, or slow."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from pipeline.simulation.backend import Floats
from pipeline.simulation.errors import BackEndError

LEAST_ROWS = 16
"""Fewer rows than this for each process are not worth another."""

Chunk = Callable[[Floats, float], Floats]
"""Runs rows by steps of so many seconds; a function of a module, so that another process finds it."""


class Workers:
    """Processes that run rows; started when first needed, with nothing of this process in them."""

    def __init__(self, simulator: str, chunk: Chunk, workers: int | None = None) -> None:
        """Name what runs; a process for each processor that may be used, if nothing else is said."""
        self._simulator = simulator
        self._chunk = chunk
        self._count = workers or len(os.sched_getaffinity(0))
        self._pool: ProcessPoolExecutor | None = None

    def run(self, rows: Floats, step_s: float) -> Floats:
        """The answers, row by row in order.

        Raises:
            BackEndError: The simulator failed, or a process ended; the next call starts new ones.
        """
        if not len(rows):
            return np.empty((0, 3))
        parts = np.array_split(rows, min(self._count, -(-len(rows) // LEAST_ROWS)))
        pool = self._pool or ProcessPoolExecutor(self._count, mp_context=multiprocessing.get_context("spawn"))
        self._pool = pool
        try:
            asked: list[Future[Floats]] = [pool.submit(self._chunk, part, step_s) for part in parts]
            return np.concatenate([each.result() for each in asked])
        except BrokenProcessPool as error:
            self.close()
            raise BackEndError(f"a process of {self._simulator} ended before it answered") from error
        except Exception as error:
            self.close()
            raise BackEndError(f"{self._simulator}: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

"""What goes on behind the requests: recordings that have arrived are carried on, jobs run by the clock."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import sqlalchemy as sa

from gateway.flow.gate import Gate
from gateway.flow.recording import RecordingState
from gateway.flow.records import RecordingRow
from gateway.scheduler import scheduled
from gateway.workers import advance

log = logging.getLogger(__name__)


class BackgroundWorker:
    """Carries received recordings on, one at a time, in a thread of its process.

    Whatever it does not get to, the scheduler's ``retry_stalled`` picks up; nothing is kept in memory only.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fleetgate-worker")

    def received(self, recording: str) -> None:
        """Take a recording up if its last item has arrived."""
        with self._gate.database.read() as session:
            state = session.scalar(sa.select(RecordingRow.state).where(RecordingRow.id == recording))
        if state == RecordingState.QUARANTINED:
            self._pool.submit(self._carry, recording)

    def _carry(self, recording: str) -> None:
        try:
            advance(self._gate, recording)
        except Exception:  # the recording stays where it is; the scheduler tries again
            log.exception("recording %s stalls", recording)

    def close(self) -> None:
        """Finish the recording in hand and drop the rest: they are in the database."""
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def background(gate: Gate) -> Iterator[BackgroundWorker]:
    """A worker and the scheduler for as long as the context lasts."""
    worker = BackgroundWorker(gate)
    try:
        with scheduled(gate):
            yield worker
    finally:
        worker.close()

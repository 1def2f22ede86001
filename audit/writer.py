"""Group commit: one thread per process sequences entries, many appends share one durable commit.

Several processes may append to one ledger. Each batch takes the head row under its lock, checks that the head
extends what this process saw last, appends and commits; so there is one chain without forks. Processes that
append all the time share one writer through ``audit.sequencer`` instead of contending for that lock.
"""

import os
import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime
from time import monotonic

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError, OperationalError

from audit.batch import Inserts, Pending, Receipt, Rows, SealedDetail
from audit.errors import LedgerCorruptError, LedgerUnavailableError
from audit.events import Event
from audit.reserve import SpaceReserve
from audit.snapshot import Head, load_head
from audit.tables import entries, write_connection

QUEUE_ENTRIES = 4096
"""Appends that may wait for the writer; more block their callers (back-pressure)."""

ACKNOWLEDGE_SECONDS = 30.0
"""How long an append waits for its commit before it is refused, in seconds."""

_LINGER_SHARE = 0.5
_LINGER_LIMIT_SECONDS = 0.01
_SQLITE_TRANSIENT = frozenset({5, 6, 13})
_POSTGRESQL_TRANSIENT_CLASSES = ("08", "40", "53", "55", "57")


class GroupCommitWriter:
    """Appends events durably, in batches.

    Args:
        engine: A prepared engine.
        clock: Gives the present as an aware datetime.
        reserve: Given up when the disk is full, and the commit tried once more.
    """

    def __init__(
        self, engine: Engine, clock: Callable[[], datetime], reserve: SpaceReserve | None = None
    ) -> None:
        self._reserve = reserve
        self._engine = engine
        self._clock = clock
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._drained = threading.Condition(self._lock)
        self._wanted = 1
        self._inserts: Inserts | None = None
        self._queue: list[Pending] = []
        self._thread: threading.Thread | None = None
        self._closing = False
        self._poison: BaseException | None = None
        self._connection: Connection | None = None
        self._known: Head | None = None
        self._active = 0
        self._last_seconds = 0.0
        self._told: Callable[[BaseException], None] | None = None

    @property
    def stopped(self) -> BaseException | None:
        """Why it takes no further append; None while it does."""
        return self._poison

    def append(self, event: Event, detail: SealedDetail | None) -> Receipt:
        """Append one event and return once it is durable.

        Raises:
            LedgerUnavailableError: if it was not acknowledged; it may still turn up, without effect.
            InvalidEventError: if it settles an intent that does not exist yet.
        """
        pending = Pending(event, detail)
        deadline = monotonic() + ACKNOWLEDGE_SECONDS
        self._enqueue(pending, deadline)
        if not pending.done.acquire(timeout=max(0.0, deadline - monotonic())):
            raise LedgerUnavailableError(f"no acknowledgement within {ACKNOWLEDGE_SECONDS:g} s")
        if pending.error is not None:
            raise pending.error
        if pending.receipt is None:
            raise LedgerUnavailableError("the writer gave no receipt")
        return pending.receipt

    def submit(self, pending: Pending) -> None:
        """Queue an append and return at once; its ``settle`` is called from the writer's thread.

        The bound of the queue does not hold it back: the caller bounds what it has outstanding.

        Raises:
            LedgerUnavailableError: if the writer takes no further append.
        """
        with self._lock:
            self._check_open()
            self._put(pending)

    def tell(self, stopped: Callable[[BaseException], None]) -> None:
        """Have ``stopped`` called with the cause when the writer is poisoned, from whichever thread that is."""
        self._told = stopped

    def stop(self, cause: BaseException) -> None:
        """Refuse every further append, and what is queued, because of ``cause``."""
        self._refuse(self._drain(poison=cause), cause)

    def close(self) -> None:
        """Commit what is queued, stop the thread and refuse further appends."""
        with self._lock:
            self._closing = True
            self._filled.notify_all()
            self._drained.notify_all()
            thread = self._thread
        if thread is not None and os.getpid() == self._pid:
            thread.join()

    def _enqueue(self, pending: Pending, deadline: float) -> None:
        if os.getpid() != self._pid:  # before the lock, which the fork may have copied held
            raise LedgerUnavailableError(
                "the ledger was opened in another process (open it anew after a fork)"
            )
        with self._lock:
            while True:
                self._check_open()
                if len(self._queue) < QUEUE_ENTRIES:
                    break
                if not self._drained.wait(deadline - monotonic()):
                    raise LedgerUnavailableError(f"the queue stayed full ({QUEUE_ENTRIES} entries)")
            self._put(pending)

    def _put(self, pending: Pending) -> None:
        self._queue.append(pending)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
            self._thread.start()
        if len(self._queue) >= self._wanted:
            self._filled.notify()

    def _check_open(self) -> None:
        if self._poison is not None:
            raise LedgerUnavailableError(f"the writer is poisoned: {self._poison}") from self._poison
        if self._closing:
            raise LedgerUnavailableError("the ledger is closed")

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._settle(batch)
        except BaseException as exc:
            self._refuse(self._drain(poison=exc), exc)
            raise
        finally:
            self._disconnect()

    def _take(self) -> list[Pending]:
        """Take what is queued, after a wait, short beside a commit, for callers that were there just now."""
        with self._lock:
            while not self._queue:
                if self._closing or self._poison is not None:
                    return []
                self._filled.wait()
            if len(self._queue) < self._active and not self._closing:
                self._wanted = self._active
                self._filled.wait(min(self._last_seconds * _LINGER_SHARE, _LINGER_LIMIT_SECONDS))
                self._wanted = 1
            batch, self._queue = self._queue, []
            self._drained.notify_all()
            return batch

    def _drain(self, poison: BaseException) -> list[Pending]:
        with self._lock:
            self._poison = poison
            rest, self._queue = self._queue, []
            self._drained.notify_all()
        if self._told is not None:
            self._told(poison)
        return rest

    def _settle(self, batch: list[Pending]) -> None:
        started = monotonic()
        try:
            receipts = self._commit_with_reserve(batch)
        except Exception as exc:  # noqa: BLE001 - every waiting caller must learn of it
            self._disconnect()
            rest = [] if _is_transient(exc) else self._drain(poison=exc)
            self._refuse([*batch, *rest], exc)
            return
        self._active, self._last_seconds = len(batch) + len(self._queue), monotonic() - started
        for pending, receipt in zip(batch, receipts, strict=True):
            pending.receipt = receipt
            pending.settle()

    def _refuse(self, batch: list[Pending], cause: BaseException) -> None:
        for pending in batch:
            if pending.error is None:
                pending.error = LedgerUnavailableError(f"append failed: {cause}")
                pending.error.__cause__ = cause
            pending.settle()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def _commit_with_reserve(self, batch: list[Pending]) -> list[Receipt | None]:
        try:
            return self._commit(batch)
        except DBAPIError as exc:
            if self._reserve is None or not _is_full(exc) or not self._reserve.release():
                raise
        self._disconnect()
        return self._commit(batch)

    def _commit(self, batch: list[Pending]) -> list[Receipt | None]:
        if self._connection is None:
            self._connection = write_connection(self._engine)
        if self._inserts is None:
            self._inserts = Inserts(self._engine.dialect)
        connection = self._connection
        with connection.begin():
            current = load_head(connection, lock=True)
            self._check_extends(connection, current)
            rows = Rows(current, self._clock())
            receipts = [rows.add(pending) for pending in batch]
            rows.write(connection, self._inserts)
        self._known = rows.head()
        return receipts

    def _check_extends(self, connection: Connection, current: Head) -> None:
        known = self._known
        if known is None:
            return
        if current.size < known.size:
            raise LedgerCorruptError(
                f"the head went back (got size {current.size}, expected at least {known.size})"
            )
        frontier = known.frontier.copy()
        if current.size > known.size:
            query = select(entries.c.leaf_hash).where(entries.c.entry_index >= known.size)
            for row in connection.execute(query.order_by(entries.c.entry_index)):
                frontier.push(bytes(row.leaf_hash))
        if frontier.size != current.size or frontier.hashes != current.frontier.hashes:
            raise LedgerCorruptError(f"the head does not extend size {known.size} (got size {current.size})")


def _is_full(exc: DBAPIError) -> bool:
    return getattr(exc.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def _is_transient(exc: Exception) -> bool:
    if not isinstance(exc, DBAPIError):
        return isinstance(exc, LedgerUnavailableError)
    code = getattr(exc.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE_TRANSIENT
    if exc.connection_invalidated:
        return True
    state = getattr(exc.orig, "sqlstate", None)
    if state is None:
        return isinstance(exc, OperationalError)
    return str(state).startswith(_POSTGRESQL_TRANSIENT_CLASSES)

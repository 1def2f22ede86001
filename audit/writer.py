"""Group commit: one thread per process sequences entries, many appends share one durable commit.

Several processes may append to one ledger. Each batch takes the head row under its lock, checks that the head
extends what this process saw last, appends and commits; so there is one chain without forks.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, Table, bindparam, insert, select, update
from sqlalchemy.exc import DBAPIError, OperationalError

from audit.errors import InvalidEventError, LedgerCorruptError, LedgerError, LedgerUnavailableError
from audit.events import ID_FIELDS, Event
from audit.leaf import encode_leaf, format_time, parse_time
from audit.merkle import leaf_hash
from audit.snapshot import TIER_BITS, Head, load_head
from audit.tables import details, entries, head, nodes, write_connection

QUEUE_ENTRIES = 4096
"""Appends that may wait for the writer; more block their callers (back-pressure)."""

ACKNOWLEDGE_SECONDS = 30.0
"""How long an append waits for its commit before it is refused, in seconds."""

_LINGER_SHARE = 0.25
_LINGER_LIMIT_SECONDS = 0.002
_MOVE_HEAD = (
    update(head)
    .where(head.c.id == 1, head.c.size == bindparam("start"))
    .values(size=bindparam("size"), frontier=bindparam("frontier"), time=bindparam("time"))
)
_SQLITE_TRANSIENT = frozenset({5, 6, 13})
_POSTGRESQL_TRANSIENT_CLASSES = ("08", "40", "53", "55", "57")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The acknowledgement of a durable entry: its index, its leaf hash (hex) and when it was sequenced."""

    index: int
    leaf_hash: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedDetail:
    """Detail on its way to the side table: whose key seals it, its HMAC (hex), sealed salt and text."""

    subject: str
    digest: str
    sealed: bytes


class _Pending:
    __slots__ = ("detail", "done", "error", "event", "receipt")

    def __init__(self, event: Event, detail: SealedDetail | None) -> None:
        self.event = event
        self.detail = detail
        self.receipt: Receipt | None = None
        self.error: LedgerError | None = None
        self.done = threading.Lock()
        self.done.acquire()


class GroupCommitWriter:
    """Appends events durably, in batches.

    Args:
        engine: A prepared engine.
        clock: Gives the present as an aware datetime.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._drained = threading.Condition(self._lock)
        self._wanted = 1
        self._inserts: _Inserts | None = None
        self._queue: list[_Pending] = []
        self._thread: threading.Thread | None = None
        self._closing = False
        self._poison: BaseException | None = None
        self._connection: Connection | None = None
        self._known: Head | None = None
        self._last_batch = 0
        self._last_seconds = 0.0

    def append(self, event: Event, detail: SealedDetail | None) -> Receipt:
        """Append one event and return once it is durable.

        Raises:
            LedgerUnavailableError: if it was not acknowledged; it may still turn up, without effect.
            InvalidEventError: if it settles an intent that does not exist yet.
        """
        pending = _Pending(event, detail)
        deadline = monotonic() + ACKNOWLEDGE_SECONDS
        self._enqueue(pending, deadline)
        if not pending.done.acquire(timeout=max(0.0, deadline - monotonic())):
            raise LedgerUnavailableError(f"no acknowledgement within {ACKNOWLEDGE_SECONDS:g} s")
        if pending.error is not None:
            raise pending.error
        if pending.receipt is None:
            raise LedgerUnavailableError("the writer gave no receipt")
        return pending.receipt

    def close(self) -> None:
        """Commit what is queued, stop the thread and refuse further appends."""
        with self._lock:
            self._closing = True
            self._filled.notify_all()
            self._drained.notify_all()
            thread = self._thread
        if thread is not None and os.getpid() == self._pid:
            thread.join()

    def _enqueue(self, pending: _Pending, deadline: float) -> None:
        if os.getpid() != self._pid:
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

    def _take(self) -> list[_Pending]:
        with self._lock:
            while not self._queue:
                if self._closing or self._poison is not None:
                    return []
                self._filled.wait()
            if len(self._queue) < self._last_batch and not self._closing:
                self._wanted = self._last_batch
                self._filled.wait(min(self._last_seconds * _LINGER_SHARE, _LINGER_LIMIT_SECONDS))
                self._wanted = 1
            batch, self._queue = self._queue, []
            self._drained.notify_all()
            return batch

    def _drain(self, poison: BaseException) -> list[_Pending]:
        with self._lock:
            self._poison = poison
            rest, self._queue = self._queue, []
            self._drained.notify_all()
            return rest

    def _settle(self, batch: list[_Pending]) -> None:
        started = monotonic()
        try:
            receipts = self._commit(batch)
        except Exception as exc:  # noqa: BLE001 - every waiting caller must learn of it
            self._disconnect()
            rest = [] if _is_transient(exc) else self._drain(poison=exc)
            self._refuse([*batch, *rest], exc)
            return
        self._last_batch, self._last_seconds = len(batch), monotonic() - started
        for pending, receipt in zip(batch, receipts, strict=True):
            pending.receipt = receipt
            pending.done.release()

    def _refuse(self, batch: list[_Pending], cause: BaseException) -> None:
        for pending in batch:
            if pending.error is None:
                pending.error = LedgerUnavailableError(f"append failed: {cause}")
                pending.error.__cause__ = cause
            pending.done.release()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def _commit(self, batch: list[_Pending]) -> list[Receipt | None]:
        if self._connection is None:
            self._connection = write_connection(self._engine)
        if self._inserts is None:
            self._inserts = _Inserts(self._engine.dialect)
        connection = self._connection
        with connection.begin():
            current = load_head(connection, lock=True)
            self._check_extends(connection, current)
            rows = _Rows(current, self._clock())
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


class _Rows:
    def __init__(self, current: Head, now: datetime) -> None:
        self._start = current.size
        self._frontier = current.frontier.copy()
        self._time, self._moment = format_time(now), now.astimezone(UTC)
        if self._time < current.time:
            self._time, self._moment = current.time, parse_time(current.time)
        self._entries: list[dict[str, Any]] = []
        self._nodes: list[dict[str, Any]] = []
        self._details: list[dict[str, Any]] = []

    def head(self) -> Head:
        return Head(frontier=self._frontier, time=self._time)

    def add(self, pending: _Pending) -> Receipt | None:
        event, detail, index = pending.event, pending.detail, self._frontier.size
        if event.intent is not None and event.intent >= index:
            pending.error = InvalidEventError(
                f"event settles no earlier entry (got {event.intent}, expected below {index})"
            )
            return None
        leaf = encode_leaf(event, index=index, time=self._time, detail=detail.digest if detail else None)
        digest = leaf_hash(leaf)
        self._entries.append(
            {"entry_index": index, "leaf": leaf, "leaf_hash": digest, **columns(event, self._time)}
        )
        for level, position, node in self._frontier.push(digest):
            if level % TIER_BITS == 0:
                self._nodes.append({"level": level, "position": position, "hash": node})
        if detail is not None:
            self._details.append({"entry_index": index, "subject": detail.subject, "sealed": detail.sealed})
        return Receipt(index=index, leaf_hash=digest.hex(), time=self._moment)

    def write(self, connection: Connection, inserts: "_Inserts") -> None:
        for table, rows in ((entries, self._entries), (nodes, self._nodes), (details, self._details)):
            inserts.run(connection, table, rows)
        values = {"size": self._frontier.size, "frontier": self._frontier.to_bytes(), "time": self._time}
        if connection.execute(_MOVE_HEAD, {"start": self._start, **values}).rowcount != 1:
            raise LedgerCorruptError(f"the head moved under its lock (expected size {self._start})")


class _Inserts:
    """The inserts as the driver takes them: compiled once, since entries are bound by the thousand."""

    def __init__(self, dialect: Dialect) -> None:
        self._compiled = {
            table: insert(table).compile(dialect=dialect) for table in (entries, nodes, details)
        }

    def run(self, connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        compiled = self._compiled[table]
        names = compiled.positiontup
        bound: Any = rows if names is None else [tuple(map(row.__getitem__, names)) for row in rows]
        connection.exec_driver_sql(compiled.string, bound)


def columns(event: Event, time: str) -> dict[str, Any]:
    """Return the query columns that a leaf determines."""
    values: dict[str, Any] = {name: getattr(event, name) for name in ID_FIELDS}
    values |= {"time": time, "type": event.type.value, "outcome": event.outcome.value}
    values |= {"actor": event.actor, "object": event.object, "intent": event.intent}
    return values


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

"""One batch of appends: from events to the rows of one transaction."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    Connection,
    Dialect,
    String,
    Table,
    Text,
    Update,
    bindparam,
    func,
    insert,
    select,
    update,
)

from audit.errors import InvalidEventError, LedgerCorruptError, LedgerError
from audit.events import ID_FIELDS, Event, check_token
from audit.leaf import encode_leaf, format_time, parse_time
from audit.merkle import leaf_hash
from audit.snapshot import TIER_BITS, Head
from audit.tables import details, entries, head, nodes

MAX_SEALED_BYTES = 1024 * 1024
"""Longest sealed detail of one entry, in bytes."""

_DETAIL_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MOVE_HEAD = (
    update(head)
    .where(head.c.id == 1, head.c.size == bindparam("start"))
    .values(size=bindparam("size"), frontier=bindparam("frontier"), time=bindparam("time"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The acknowledgement of a durable entry: its index, its leaf hash (hex) and when it was sequenced."""

    index: int
    leaf_hash: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedDetail:
    """Detail on its way to the side table: whose key seals it, its HMAC (hex), sealed salt and text.

    Raises:
        InvalidEventError: if the subject is no token, the digest no SHA-256 in hex, or there is too much of it.
    """

    subject: str
    digest: str
    sealed: bytes

    def __post_init__(self) -> None:
        check_token("subject of the detail", self.subject)
        if _DETAIL_DIGEST.fullmatch(self.digest) is None:
            raise InvalidEventError(f"detail has no lower-case SHA-256 digest (got {self.digest[:200]!r})")
        if len(self.sealed) > MAX_SEALED_BYTES:
            raise InvalidEventError(
                f"detail is too long (got {len(self.sealed)} sealed bytes, expected at most {MAX_SEALED_BYTES})"
            )


class Pending:
    """One append that waits for its commit; ``settle`` is called once it has a receipt or an error."""

    __slots__ = ("detail", "done", "error", "event", "receipt")

    def __init__(self, event: Event, detail: SealedDetail | None) -> None:
        self.event = event
        self.detail = detail
        self.receipt: Receipt | None = None
        self.error: LedgerError | None = None
        self.done = threading.Lock()
        self.done.acquire()

    def settle(self) -> None:
        """Wake whoever waits for it."""
        self.done.release()


class Rows:
    """The rows of one batch, on top of the head that the batch found.

    Args:
        current: The head under lock.
        now: When the batch is sequenced; the time of the last entry where that is later.

    Raises:
        ValueError: if ``now`` has no time zone.
    """

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
        """Return the head after this batch."""
        return Head(frontier=self._frontier, time=self._time)

    def add(self, pending: Pending) -> Receipt | None:
        """Sequence one append; None, with its error set, where it may not be."""
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

    def write(self, connection: Connection, inserts: "Inserts") -> None:
        """Insert the rows and move the head; ``LedgerCorruptError`` if it is elsewhere by now."""
        rows = {entries: self._entries, nodes: self._nodes, details: self._details}
        values = {"size": self._frontier.size, "frontier": self._frontier.to_bytes(), "time": self._time}
        if inserts.run(connection, rows, {"start": self._start, **values}) != 1:
            raise LedgerCorruptError(f"the head moved under its lock (expected size {self._start})")


class Inserts:
    """The statements of a batch as the database takes them best.

    SQLite binds the rows of an insert that is compiled once. PostgreSQL takes all in one statement, the columns as
    arrays: each further statement is another round trip while the head is locked.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._whole = _at_once() if dialect.name == "postgresql" else None
        self._compiled = {
            table: insert(table).compile(dialect=dialect) for table in (entries, nodes, details)
        }

    def run(
        self, connection: Connection, rows: Mapping[Table, list[dict[str, Any]]], move: dict[str, Any]
    ) -> int:
        """Insert the rows of each table, move the head, and return how many heads moved."""
        if self._whole is not None:
            arrays = {
                f"{table.name}_{column}": [row[column] for row in rows[table]]
                for table in rows
                for column in table.columns.keys()  # noqa: SIM118 (iterating gives the columns)
            }
            return connection.execute(self._whole, {**move, **arrays}).rowcount
        for table in rows:
            self._insert(connection, table, rows[table])
        return connection.execute(_MOVE_HEAD, move).rowcount

    def _insert(self, connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        compiled = self._compiled[table]
        names = compiled.positiontup
        bound: Any = rows if names is None else [tuple(map(row.__getitem__, names)) for row in rows]
        connection.exec_driver_sql(compiled.string, bound)


def _at_once() -> Update:
    """Move the head and, in the same statement, insert what arrays of each table's columns hold."""
    statement = _MOVE_HEAD
    for table in (entries, nodes, details):
        columns = list(table.columns)
        # As text: a cast to varchar(n) would cut silently what the column itself refuses.
        kinds = [Text() if isinstance(column.type, String) else column.type for column in columns]
        arrays = [
            bindparam(f"{table.name}_{column.name}", type_=ARRAY(kind))
            for column, kind in zip(columns, kinds, strict=True)
        ]
        fresh = func.unnest(*arrays).table_valued(*(column.name for column in columns)).render_derived()
        inserted = insert(table).from_select(columns, select(*fresh.c))
        statement = statement.add_cte(inserted.cte(f"{table.name}_inserted"))
    return statement


def columns(event: Event, time: str) -> dict[str, Any]:
    """Return the query columns that a leaf determines."""
    values: dict[str, Any] = {name: getattr(event, name) for name in ID_FIELDS}
    values |= {"time": time, "type": event.type.value, "outcome": event.outcome.value}
    values |= {"actor": event.actor, "object": event.object, "intent": event.intent}
    return values

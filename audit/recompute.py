"""Recompute a ledger from its leaves and compare everything stored beside them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select

from audit import merkle
from audit.batch import columns
from audit.checkpoint import verify_checkpoint
from audit.errors import LedgerCorruptError, SignatureError, VerificationError
from audit.events import Outcome
from audit.leaf import Entry, format_time
from audit.merkle import Frontier
from audit.snapshot import TIER_BITS, Snapshot, stored_entry
from audit.tables import details, entries, nodes

Progress = Callable[[int, int], None]

_CHUNK = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLedger:
    """A ledger whose every entry was recomputed.

    Args:
        size: Number of entries.
        root: Root hash of their tree.
        checkpoints: Number of stored checkpoints that agree.
        details: Number of entries with sealed detail.
        open_intents: Number of intents that nothing has settled.
        first: Time of the first entry, None when empty.
        last: Time of the last entry, None when empty.
    """

    size: int
    root: bytes
    checkpoints: int
    details: int
    open_intents: int
    first: datetime | None
    last: datetime | None


def verify_tail(snapshot: Snapshot, vkey: str) -> None:
    """Check what a crash or a careless restore would leave behind, in logarithmic time.

    1. No entry lies beyond the head.
    2. The entries that are in no stored node yet have leaves that match their hashes and columns.
    3. Stored nodes and those leaves give the head's frontier.
    4. The latest checkpoint is ours, not larger than the head, and its root is that of its prefix.

    Raises:
        LedgerCorruptError: if any step fails.
    """
    size = snapshot.size
    # 1.
    _check_nothing_beyond(snapshot)
    # 2.
    try:
        for row in _rows(snapshot, size - size % (1 << TIER_BITS)):
            _checked_row(row)
    except VerificationError as exc:
        raise LedgerCorruptError(f"tail does not verify: {exc}") from exc
    # 3.
    recomputed = [snapshot.node(level, position) for level, position in merkle.nodes_of_range(0, size)]
    if recomputed != snapshot.head.frontier.hashes:
        raise LedgerCorruptError(f"the head's frontier differs from its entries (size {size})")
    # 4.
    latest = snapshot.latest_checkpoint()
    if latest is not None:
        check_checkpoint(snapshot, latest[0], latest[1], vkey)


def check_checkpoint(snapshot: Snapshot, size: int, note: str, vkey: str) -> None:
    """Check one stored checkpoint against the tree.

    Raises:
        LedgerCorruptError: if it is not signed by ``vkey``, is larger than the ledger or has another root.
    """
    try:
        checkpoint = verify_checkpoint(note, vkey)
    except SignatureError as exc:
        raise LedgerCorruptError(f"checkpoint of size {size}: {exc}") from exc
    if checkpoint.size != size:
        raise LedgerCorruptError(
            f"checkpoint is filed under another size (got {size}, expected {checkpoint.size})"
        )
    if size > snapshot.size:
        raise LedgerCorruptError(
            f"the ledger was rolled back (got size {snapshot.size}, expected at least {size})"
        )
    if snapshot.root(size) != checkpoint.root:
        raise LedgerCorruptError(f"the ledger forked before its checkpoint of size {size}")


def verify_all(snapshot: Snapshot, vkey: str, progress: Progress | None) -> VerifiedLedger:
    """Recompute everything from the leaves.

    1. Entries are gapless; each leaf is canonical, says its index, and matches its hash and query columns.
    2. Times never go back, an outcome settles an earlier entry; sealed detail is there.
    3. Inner nodes equal the recomputed ones, none is missing or left over.
    4. The head's frontier is the recomputed one and nothing lies beyond it.
    5. Every stored checkpoint is signed by ``vkey`` and has the root of its prefix.

    Raises:
        VerificationError: at the first bad entry.
        LedgerCorruptError: if what is stored beside the entries differs.
    """
    run = _Recomputation(snapshot)
    # 1-3.
    for row in _rows(snapshot, 0):
        run.add(_checked_row(row))
        if progress is not None and run.frontier.size % _CHUNK == 0:
            progress(run.frontier.size, snapshot.size)
    run.check_nodes()
    # 4.
    if run.frontier.hashes != snapshot.head.frontier.hashes or run.frontier.size != snapshot.size:
        raise LedgerCorruptError(f"the head's frontier differs from its entries (size {snapshot.size})")
    _check_nothing_beyond(snapshot)
    # 5.
    count = 0
    for size, note in snapshot.checkpoint_notes():
        check_checkpoint(snapshot, size, note, vkey)
        count += 1
    if progress is not None:
        progress(snapshot.size, snapshot.size)
    return VerifiedLedger(
        size=snapshot.size,
        root=run.frontier.root(),
        checkpoints=count,
        details=len(run.details),
        open_intents=len(run.open_intents),
        first=run.first,
        last=run.last,
    )


class _Recomputation:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._nodes: dict[tuple[int, int], bytes] = {}
        self.open_intents: set[int] = set()
        self.frontier = Frontier()
        self.details = {row.entry_index for row in snapshot.connection.execute(select(details.c.entry_index))}
        self.first: datetime | None = None
        self.last: datetime | None = None

    def add(self, entry: Entry) -> None:
        if entry.index != self.frontier.size:
            raise VerificationError(self.frontier.size, "entry is missing")
        if self.last is not None and entry.time < self.last:
            raise VerificationError(
                entry.index, f"time goes back (got {entry.time}, expected from {self.last})"
            )
        if (entry.detail is not None) != (entry.index in self.details):
            raise VerificationError(entry.index, "leaf and side table disagree about sealed detail")
        self._settle(entry)
        self.first = self.first or entry.time
        self.last = entry.time
        for level, position, node in self.frontier.push(entry.leaf_hash):
            if level % TIER_BITS == 0:
                self._nodes[level, position] = node

    def _settle(self, entry: Entry) -> None:
        event = entry.event
        if event.outcome is Outcome.INTENT:
            self.open_intents.add(entry.index)
        elif event.intent is not None:
            if event.intent >= entry.index:
                raise VerificationError(entry.index, f"settles no earlier entry (got {event.intent})")
            self.open_intents.discard(event.intent)

    def check_nodes(self) -> None:
        for row in self._snapshot.connection.execute(select(nodes.c.level, nodes.c.position, nodes.c.hash)):
            if self._nodes.pop((row.level, row.position), None) != bytes(row.hash):
                raise LedgerCorruptError(
                    f"node differs from its entries (level {row.level}, position {row.position})"
                )
        if self._nodes:
            level, position = min(self._nodes)
            raise LedgerCorruptError(f"node missing (level {level}, position {position})")


def _rows(snapshot: Snapshot, start: int) -> Iterator[Row[Any]]:
    for first in range(start, snapshot.size, _CHUNK):
        last = min(first + _CHUNK, snapshot.size)
        query = select(entries).where(entries.c.entry_index >= first, entries.c.entry_index < last)
        rows = snapshot.connection.execute(query.order_by(entries.c.entry_index)).all()
        for expected, row in zip(range(first, last), rows, strict=False):
            if row.entry_index != expected:
                raise VerificationError(expected, "entry is missing")
            yield row
        if len(rows) != last - first:
            raise VerificationError(first + len(rows), "entry is missing")


def _checked_row(row: Row[Any]) -> Entry:
    entry = stored_entry(row.entry_index, bytes(row.leaf), bytes(row.leaf_hash))
    stored = row._mapping  # noqa: SLF001 - the documented mapping view of a row
    for name, value in columns(entry.event, format_time(entry.time)).items():
        if stored[name] != value:
            raise VerificationError(
                entry.index, f"column {name} differs from the leaf (got {stored[name]!r}, expected {value!r})"
            )
    return entry


def _check_nothing_beyond(snapshot: Snapshot) -> None:
    last = snapshot.connection.execute(select(func.max(entries.c.entry_index))).scalar()
    if last is not None and last >= snapshot.size:
        raise LedgerCorruptError(f"entry {last} lies beyond the head (size {snapshot.size})")

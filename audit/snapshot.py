"""A consistent, read-only view of a ledger: its size, entries, roots and proofs at one moment."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select

from audit import merkle
from audit.errors import LedgerCorruptError, VerificationError
from audit.leaf import Entry, decode_leaf
from audit.merkle import Frontier
from audit.tables import checkpoints, entries, head, nodes, read_connection

TIER_BITS = 8
"""The tree keeps its inner nodes of every eighth level; those between are recomputed, 256 at a time."""

_BLOCK = 1 << TIER_BITS
_CACHED_BLOCKS = 32
_CHUNK = 1024
_READ_HEAD = select(head.c.size, head.c.frontier, head.c.time)
_LOCK_HEAD = _READ_HEAD.with_for_update()


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head row: how many entries there are, the frontier of their tree, and the time of the last."""

    frontier: Frontier
    time: str

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.frontier.size


def load_head(connection: Connection, *, lock: bool = False) -> Head:
    """Read the head row, under its lock where the caller is about to append.

    Raises:
        LedgerCorruptError: if it is missing or does not fit itself.
    """
    rows = connection.execute(_LOCK_HEAD if lock else _READ_HEAD).all()
    if len(rows) != 1:
        raise LedgerCorruptError(f"ledger has no single head (got {len(rows)} rows, expected 1)")
    try:
        return Head(frontier=Frontier.from_bytes(rows[0].size, bytes(rows[0].frontier)), time=rows[0].time)
    except ValueError as exc:
        raise LedgerCorruptError(f"head row: {exc}") from exc


class Snapshot:
    """What ``Ledger.snapshot`` yields; valid inside its ``with`` block only."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.head = load_head(connection)
        self._blocks: OrderedDict[tuple[int, int], list[list[bytes]]] = OrderedDict()

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.head.size

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first ``size`` entries, recomputed from stored nodes and leaf hashes.

        Raises:
            ValueError: if there are fewer entries.
            LedgerCorruptError: if a node is missing.
        """
        size = self.size if size is None else size
        if not 0 <= size <= self.size:
            raise ValueError(f"no such tree (got size {size}, expected at most {self.size})")
        return merkle.range_root(0, size, self.node)

    def entry(self, index: int) -> Entry:
        """Return one entry.

        Raises:
            IndexError: if there is no such entry.
            VerificationError: if its stored leaf does not verify.
        """
        for entry in self.entries(index, index + 1):
            return entry
        raise IndexError(f"no such entry (got {index}, expected below {self.size})")

    def entries(self, start: int = 0, end: int | None = None) -> Iterator[Entry]:
        """Yield entries ``[start, end)`` in order.

        Raises:
            VerificationError: at the first entry that is missing or does not verify.
        """
        end = self.size if end is None else min(end, self.size)
        for first in range(max(start, 0), end, _CHUNK):
            last = min(first + _CHUNK, end)
            query = select(entries.c.entry_index, entries.c.leaf, entries.c.leaf_hash)
            query = query.where(entries.c.entry_index >= first, entries.c.entry_index < last)
            rows = self.connection.execute(query.order_by(entries.c.entry_index)).all()
            for expected, row in zip(range(first, last), rows, strict=False):
                if row.entry_index != expected:
                    raise VerificationError(expected, "entry is missing")
                yield stored_entry(row.entry_index, bytes(row.leaf), bytes(row.leaf_hash))
            if len(rows) != last - first:
                raise VerificationError(first + len(rows), "entry is missing")

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the inclusion proof of an entry in the tree of ``size`` (default: all entries)."""
        return merkle.inclusion_proof(index, self._checked(size), self.node)

    def consistency_proof(self, old: int, new: int | None = None) -> list[bytes]:
        """Return the proof that the tree of ``new`` entries extends the tree of ``old`` entries."""
        return merkle.consistency_proof(old, self._checked(new), self.node)

    def checkpoint_notes(self) -> Iterator[tuple[int, str]]:
        """Yield every stored checkpoint as ``(size, note)``, oldest first."""
        query = select(checkpoints.c.size, checkpoints.c.note).order_by(checkpoints.c.size)
        for row in self.connection.execute(query):
            yield row.size, row.note

    def latest_checkpoint(self) -> tuple[int, str] | None:
        """Return the newest stored checkpoint as ``(size, note)``."""
        query = select(checkpoints.c.size, checkpoints.c.note).order_by(checkpoints.c.size.desc()).limit(1)
        row = self.connection.execute(query).first()
        return None if row is None else (row.size, row.note)

    def node(self, level: int, position: int) -> bytes:
        """Return the hash of a complete subtree.

        Raises:
            LedgerCorruptError: if the rows that it rests on are missing.
        """
        tier, rise = level - level % TIER_BITS, level % TIER_BITS
        block = position << rise >> TIER_BITS
        offset = position - (block << TIER_BITS >> rise)
        try:
            return self._block(tier, block)[rise][offset]
        except IndexError as exc:
            raise LedgerCorruptError(f"node missing (level {level}, position {position})") from exc

    def _checked(self, size: int | None) -> int:
        if size is not None and size > self.size:
            raise ValueError(f"no such tree (got size {size}, expected at most {self.size})")
        return self.size if size is None else size

    def _block(self, tier: int, block: int) -> list[list[bytes]]:
        key = (tier, block)
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        first = block << TIER_BITS
        layers = [self.hashes(tier, first, min(first + _BLOCK, self.size >> tier))]
        while len(layers[-1]) > 1 and len(layers) < TIER_BITS:
            below = layers[-1]
            layers.append([merkle.node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])
        self._blocks[key] = layers
        if len(self._blocks) > _CACHED_BLOCKS:
            self._blocks.popitem(last=False)
        return layers

    def hashes(self, tier: int, first: int, last: int) -> list[bytes]:
        """Return the hashes of the complete subtrees ``[first, last)`` of a level that is stored.

        Args:
            tier: The level, a multiple of 8; 0 for leaves.
            first: Position of the first.
            last: Position after the last.

        Raises:
            LedgerCorruptError: if one is missing.
        """
        if tier == 0:
            position, value = entries.c.entry_index, entries.c.leaf_hash
            query = select(position, value)
        else:
            position, value = nodes.c.position, nodes.c.hash
            query = select(position, value).where(nodes.c.level == tier)
        rows = self.connection.execute(
            query.where(position >= first, position < last).order_by(position)
        ).all()
        if [row[0] for row in rows] != list(range(first, last)):
            raise LedgerCorruptError(f"hashes missing (level {tier}, positions {first} to {last})")
        return [bytes(row[1]) for row in rows]


def stored_entry(index: int, leaf: bytes, stored_hash: bytes) -> Entry:
    """Read a stored leaf and check it against its stored hash.

    Raises:
        VerificationError: if they differ or the leaf is malformed.
    """
    if merkle.leaf_hash(leaf) != stored_hash:
        raise VerificationError(
            index, f"leaf hash differs (got {merkle.leaf_hash(leaf).hex()}, expected {stored_hash.hex()})"
        )
    return decode_leaf(leaf, index)


@contextmanager
def open_snapshot(engine: Engine) -> Iterator[Snapshot]:
    """Open a consistent view of the ledger in one read transaction."""
    with read_connection(engine) as connection, connection.begin():
        yield Snapshot(connection)

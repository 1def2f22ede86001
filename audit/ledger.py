"""The transparency log: append durably, sign checkpoints, prove, verify."""

import hashlib
import hmac
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import IntegrityError

from audit.batch import Receipt, SealedDetail
from audit.checkpoint import Checkpoint, CheckpointSigner, verify_checkpoint
from audit.errors import InvalidEventError, LedgerCorruptError, LedgerUnavailableError, SignatureError
from audit.events import Event, Outcome
from audit.intent import NOT_SETTLED, Intent
from audit.leaf import Entry
from audit.orphans import OpenIntents
from audit.recompute import Progress, VerifiedLedger, check_checkpoint, verify_all, verify_tail
from audit.reserve import SpaceReserve
from audit.sequenced_writer import SequencedWriter
from audit.snapshot import Snapshot, open_snapshot
from audit.tables import checkpoints, create_tables, details, prepare_engine, write_connection
from audit.writer import GroupCommitWriter

_SALT_SIZE = 32
_CHUNK = 1024


class DetailSealer(Protocol):
    """Seals detail under a key of its subject; destroying that key erases it, while proofs hold (law 9)."""

    def seal(self, subject: str, plaintext: bytes) -> bytes:
        """Seal ``plaintext`` so that only the key of ``subject`` opens it."""

    def open(self, subject: str, sealed: bytes) -> bytes:
        """Open what ``seal`` returned for the same subject."""


def utc_now() -> datetime:
    """Return the present, UTC."""
    return datetime.now(UTC)


class Ledger:
    """One ledger over one database, safe for any number of threads; several processes may open the same.

    Args:
        engine: An engine that serves the ledger alone, to a SQLite file or to PostgreSQL, tables created.
        signer: Key of the checkpoints.
        sealer: Seals detail per subject.
        clock: Gives the present as an aware datetime.
        reserve: Given up when the disk is full, so that entries go on.
        sequencer: Appends through another process, which signs the checkpoints as well; a writer of its own unless
            given.

    Raises:
        LedgerCorruptError: if the tail does not verify.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        signer: CheckpointSigner,
        sealer: DetailSealer,
        clock: Callable[[], datetime] = utc_now,
        reserve: SpaceReserve | None = None,
        sequencer: SequencedWriter | None = None,
    ) -> None:
        prepare_engine(engine)
        self._engine = engine
        self._sealer = sealer
        self._clock = clock
        self._open_intents = OpenIntents()
        self.signer = signer
        with self.snapshot() as snapshot:
            verify_tail(snapshot, signer.vkey)
        self.reserve = reserve
        self._sequencer = sequencer
        self._writer = sequencer or GroupCommitWriter(engine, clock, reserve)

    def append(self, event: Event, *, detail: bytes | None = None, subject: str | None = None) -> Receipt:
        """Append one event and return once it is durable.

        Args:
            event: What happened.
            detail: Personal or long detail; only its salted HMAC enters the leaf.
            subject: Whose key seals the detail; required with it.

        Raises:
            InvalidEventError: if detail and subject are not given together.
            LedgerUnavailableError: if the entry was not acknowledged as durable.
        """
        return self._writer.append(event, self._sealed(detail, subject))

    @contextmanager
    def intent(
        self, event: Event, *, detail: bytes | None = None, subject: str | None = None
    ) -> Iterator[Intent]:
        """Append an intent, run the block, and append what became of it.

        Leaving the block without ``complete`` or ``refuse`` appends ``failed``; so does an exception.

        Raises:
            InvalidEventError: if the event's outcome is not ``intent``.
            LedgerUnavailableError: if an append was not acknowledged.
        """
        if event.outcome is not Outcome.INTENT:
            raise InvalidEventError(f"not an intent (got {event.outcome.value}, expected intent)")
        receipt = self.append(event, detail=detail, subject=subject)
        intent = Intent(self.append, event, receipt.index)
        try:
            yield intent
        except LedgerUnavailableError:
            raise
        except BaseException as exc:
            if not intent.settled:
                intent.fail(type(exc).__name__)
            raise
        if not intent.settled:
            intent.fail(NOT_SETTLED)

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Open a consistent view for several reads."""
        return open_snapshot(self._engine)

    @property
    def size(self) -> int:
        """Number of durable entries."""
        with self.snapshot() as snapshot:
            return snapshot.size

    def entry(self, index: int) -> Entry:
        """Return one entry; ``IndexError`` if there is none, ``VerificationError`` if it is bad."""
        with self.snapshot() as snapshot:
            return snapshot.entry(index)

    def entries(self, start: int = 0, end: int | None = None) -> Iterator[Entry]:
        """Yield entries ``[start, end)`` in order; without ``end``, those that exist at the start."""
        size = self.size if end is None else min(end, self.size)
        for first in range(max(start, 0), size, _CHUNK):
            with self.snapshot() as snapshot:
                chunk = list(snapshot.entries(first, min(first + _CHUNK, size)))
            yield from chunk

    def detail(self, index: int) -> bytes | None:
        """Open the sealed detail of an entry; None where it has none.

        Raises:
            LedgerCorruptError: if the detail is missing or is not the one that the leaf commits to.
            Exception: whatever the sealer raises when the subject's key was destroyed.
        """
        with self.snapshot() as snapshot:
            entry = snapshot.entry(index)
            if entry.detail is None:
                return None
            query = select(details.c.subject, details.c.sealed).where(details.c.entry_index == index)
            row = snapshot.connection.execute(query).first()
        if row is None:
            raise LedgerCorruptError(f"sealed detail of entry {index} is missing")
        opened = self._sealer.open(row.subject, bytes(row.sealed))
        salt, plaintext = opened[:_SALT_SIZE], opened[_SALT_SIZE:]
        if not hmac.compare_digest(_detail_digest(salt, plaintext), entry.detail):
            raise LedgerCorruptError(f"detail of entry {index} is not the one that its leaf commits to")
        return plaintext

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the proof that entry ``index`` is in the tree of ``size`` entries (default: all)."""
        with self.snapshot() as snapshot:
            return snapshot.inclusion_proof(index, size)

    def consistency_proof(self, old: int, new: int | None = None) -> list[bytes]:
        """Return the proof that the tree of ``new`` entries (default: all) extends that of ``old``."""
        with self.snapshot() as snapshot:
            return snapshot.consistency_proof(old, new)

    def checkpoint(self) -> str:
        """Sign and store a checkpoint over all durable entries, or have the sequencer do it.

        Returns:
            The signed note.

        Raises:
            LedgerCorruptError: if the tree does not extend the latest checkpoint; nothing is signed then.
            WitnessError: if the sequencer found no quorum of witnesses within the grace.
            LedgerUnavailableError: if the sequencer is gone.
        """
        if self._sequencer is not None:
            note = self._sequencer.checkpoint()
            with self.snapshot() as snapshot:
                check_checkpoint(snapshot, _size_of(note, self.signer.vkey), note, self.signer.vkey)
            return note
        with self.snapshot() as snapshot:
            latest = snapshot.latest_checkpoint()
            if latest is not None:
                check_checkpoint(snapshot, *latest, self.signer.vkey)
                if latest[0] == snapshot.size:
                    return latest[1]
            root = snapshot.root()
            if root != snapshot.head.frontier.root():
                raise LedgerCorruptError(
                    f"the head's frontier differs from its entries (size {snapshot.size})"
                )
            note = self.signer.sign_checkpoint(
                Checkpoint(origin=self.signer.origin, size=snapshot.size, root=root)
            )
            size = snapshot.size
        try:
            with write_connection(self._engine) as connection, connection.begin():
                connection.execute(insert(checkpoints).values(size=size, note=note))
        except IntegrityError:
            with self.snapshot() as snapshot:
                check_checkpoint(snapshot, size, note, self.signer.vkey)
        return note

    def latest_checkpoint(self) -> str | None:
        """Return the newest stored signed note; None before the first."""
        with self.snapshot() as snapshot:
            latest = snapshot.latest_checkpoint()
        return None if latest is None else latest[1]

    def verify(self, progress: Progress | None = None) -> VerifiedLedger:
        """Recompute everything from the leaves; ``progress`` is told entries done and entries in all.

        Raises:
            VerificationError: at the first bad entry.
            LedgerCorruptError: if head, nodes or checkpoints differ from the entries.
        """
        with self.snapshot() as snapshot:
            return verify_all(snapshot, self.signer.vkey, progress)

    def orphan_intents(self, older_than: timedelta) -> list[Entry]:
        """Return intents that nothing has settled for longer than ``older_than``, oldest first."""
        with self.snapshot() as snapshot:
            return self._open_intents.orphans(snapshot, before=self._clock() - older_than)

    @property
    def engine(self) -> Engine:
        """Its engine, for what keeps tables of its own beside the entries: cosignatures."""
        return self._engine

    @property
    def sequenced(self) -> bool:
        """Whether entries go through another process, which signs the checkpoints as well."""
        return self._sequencer is not None

    @property
    def own_writer(self) -> GroupCommitWriter:
        """The writer of this process.

        Raises:
            LedgerUnavailableError: if entries go through another process.
        """
        if not isinstance(self._writer, GroupCommitWriter):
            raise LedgerUnavailableError("entries go through a sequencer (expected a writer of this process)")
        return self._writer

    def require_running(self) -> None:
        """Demand that entries can still be appended, as far as this process knows.

        Raises:
            LedgerUnavailableError: if the writer was poisoned or stopped.
        """
        if self._writer.stopped is not None:
            raise LedgerUnavailableError(
                f"the writer is poisoned: {self._writer.stopped}"
            ) from self._writer.stopped

    def stop(self, cause: BaseException) -> None:
        """Take no further entry in this process: what was found out means that no effect may follow (law 2)."""
        self._writer.stop(cause)

    def close(self) -> None:
        """Commit what is queued, stop the writer and close all connections."""
        self._writer.close()
        self._engine.dispose()

    def _sealed(self, detail: bytes | None, subject: str | None) -> SealedDetail | None:
        if (detail is None) != (subject is None):
            raise InvalidEventError(f"detail and subject go together (got subject {subject!r})")
        if detail is None or subject is None:
            return None
        salt = os.urandom(_SALT_SIZE)
        return SealedDetail(
            subject=subject,
            digest=_detail_digest(salt, detail),
            sealed=self._sealer.seal(subject, salt + detail),
        )


def _size_of(note: str, vkey: str) -> int:
    try:
        return verify_checkpoint(note, vkey).size
    except SignatureError as exc:
        raise LedgerCorruptError(f"the sequencer's checkpoint: {exc}") from exc


def _detail_digest(salt: bytes, detail: bytes) -> str:
    return hmac.digest(salt, detail, hashlib.sha256).hex()


__all__ = ["DetailSealer", "Ledger", "Receipt", "create_tables", "utc_now"]

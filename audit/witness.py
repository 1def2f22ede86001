"""A witness (C2SP tlog-witness): cosigns a log's checkpoints while they extend one another, and remembers.

It holds for each log the newest checkpoint that it cosigned. What does not extend it is refused. A checkpoint of
that size and another root is kept: both signed by the log, they prove a fork. So is one whose proof fails, though
that may also be the fault of whoever sent it.
"""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    create_engine,
    insert,
    select,
    update,
)

from audit import merkle, note
from audit.checkpoint import ALGORITHM_ED25519, Checkpoint, open_note, parse_checkpoint
from audit.cosignature import Cosigner
from audit.errors import ProofError, SignatureError
from audit.tables import prepare_engine, read_connection, write_connection

MAX_BODY_BYTES = 64 * 1024
SIZE_MEDIA_TYPE = "text/x.tlog.size"
TEXT_MEDIA_TYPE = "text/plain; charset=utf-8"

_MAX_PROOF = 63
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)

_metadata = MetaData()
_witnessed = Table(
    "witness_log",
    _metadata,
    Column("origin", String(128), primary_key=True),
    Column("size", Integer, nullable=False),
    Column("root", String(64), nullable=False),
    Column("note", Text, nullable=False),
    Column("cosigned_at", Integer, nullable=False),
)
_conflicts = Table(
    "witness_conflict",
    _metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("origin", String(128), nullable=False),
    Column("seen_at", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("held", Text, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the witness answers to a request, over HTTP."""

    status: HTTPStatus
    body: str
    media_type: str = TEXT_MEDIA_TYPE


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """The newest checkpoint of a log that was cosigned: its size, root (hex), note, and POSIX time."""

    origin: str
    size: int
    root: str
    note: str
    cosigned_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A checkpoint that the log signed and that does not extend the one held then."""

    origin: str
    seen_at: int
    reason: str
    note: str
    held: str


class WitnessMemory:
    """What a witness remembers, in a SQLite file of its own; reading it needs no key.

    Args:
        path: The file; made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._engine = create_engine(f"sqlite:///{path}")
        prepare_engine(self._engine)
        with write_connection(self._engine) as connection, connection.begin():
            _metadata.create_all(connection)

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    def latest(self) -> list[Witnessed]:
        """The newest cosigned checkpoint of each log."""
        with read_connection(self._engine) as connection:
            rows = connection.execute(select(_witnessed).order_by(_witnessed.c.origin)).mappings()
            return [Witnessed(**row) for row in rows]

    def conflicts(self) -> list[Conflict]:
        """Every signed checkpoint that was refused as a fork, or because its proof failed, oldest first."""
        columns = [column for column in _conflicts.c if column.name != "id"]
        with read_connection(self._engine) as connection:
            rows = connection.execute(select(*columns).order_by(_conflicts.c.id)).mappings()
            return [Conflict(**row) for row in rows]


class Witness(WitnessMemory):
    """A witness with its memory.

    Args:
        path: File of its memory; made where it is missing.
        cosigner: Its key.
        trusted: Verifier keys of the logs that it cosigns for, by origin; several where a log changed its key.
        clock: Gives the present as an aware datetime.

    Raises:
        SignatureError: A verifier key is malformed or its name is not the origin.
    """

    def __init__(
        self,
        path: Path,
        cosigner: Cosigner,
        trusted: Mapping[str, Sequence[str]],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        for origin, vkeys in trusted.items():
            for vkey in vkeys:
                key = note.parse_vkey(vkey, ALGORITHM_ED25519)
                if key.name != origin:
                    raise SignatureError(
                        f"verifier key of another log (got {key.name!r}, expected {origin!r})"
                    )
        super().__init__(path)
        self._trusted = {origin: tuple(vkeys) for origin, vkeys in trusted.items()}
        self._cosigner = cosigner
        self._clock = clock
        self._lock = threading.Lock()

    @property
    def vkey(self) -> str:
        """The key that its cosignatures verify under."""
        return self._cosigner.vkey

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer ``POST /add-checkpoint``.

        1. The body is an old size, at most 63 hashes, an empty line and a checkpoint.
        2. The log is known (404), and one of its trusted keys signed the checkpoint (403).
        3. The old size is not above the checkpoint's (400).
        4. It is the size of the newest checkpoint that was cosigned, 0 where there is none (409 with that size).
        5. Of two trees of one size, the roots are equal (409).
        6. The proof leads from the old root to the new (422); from size 0 it is empty.
        7. The checkpoint is stored, durably, and only then is the cosignature given (200).

        Steps 4 to 7 are one transaction under the file's write lock, whoever else asks.
        """
        try:
            request = _parse(body)  # 1
        except SignatureError as error:
            return _plain(HTTPStatus.BAD_REQUEST, str(error))
        checkpoint = request.checkpoint
        vkeys = self._trusted.get(checkpoint.origin)  # 2
        if vkeys is None:
            return _plain(HTTPStatus.NOT_FOUND, f"unknown log (got {checkpoint.origin!r})")
        if not any(_is_signed(request.note, vkey) for vkey in vkeys):
            return _plain(
                HTTPStatus.FORBIDDEN, f"not signed by {checkpoint.origin} (expected one of its keys)"
            )
        if request.old > checkpoint.size:  # 3
            return _plain(
                HTTPStatus.BAD_REQUEST,
                f"old size above the checkpoint's (got {request.old}, expected at most {checkpoint.size})",
            )
        with self._lock, write_connection(self._engine) as connection, connection.begin():
            return self._judge(connection, request)

    def _judge(self, connection: Connection, request: "_Request") -> Answer:
        checkpoint = request.checkpoint
        held = connection.execute(
            select(_witnessed).where(_witnessed.c.origin == checkpoint.origin)
        ).one_or_none()
        size = 0 if held is None else held.size
        if request.old != size:  # 4
            return Answer(status=HTTPStatus.CONFLICT, body=f"{size}\n", media_type=SIZE_MEDIA_TYPE)
        if checkpoint.size == size and held is not None and checkpoint.root.hex() != held.root:  # 5
            self._keep_conflict(connection, request, held, "fork")
            return Answer(status=HTTPStatus.CONFLICT, body=f"{size}\n", media_type=SIZE_MEDIA_TYPE)
        try:
            _check_proof(request, held)  # 6
        except ProofError as error:
            self._keep_conflict(connection, request, held, f"unproven: {error}")
            return _plain(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        now = int(self._clock().timestamp())  # 7
        stored = {
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "note": request.note,
            "cosigned_at": now,
        }
        if held is None:
            connection.execute(insert(_witnessed).values(origin=checkpoint.origin, **stored))
        else:
            connection.execute(
                update(_witnessed).where(_witnessed.c.origin == checkpoint.origin).values(**stored)
            )
        return Answer(status=HTTPStatus.OK, body=self._cosigner.cosign(checkpoint.text, now))

    def _keep_conflict(
        self, connection: Connection, request: "_Request", held: Row[tuple[object, ...]] | None, reason: str
    ) -> None:
        # A replayed checkpoint with any proof would fill the file: each is kept once.
        known = select(_conflicts.c.id).where(_conflicts.c.note == request.note).limit(1)
        if connection.execute(known).first() is not None:
            return
        connection.execute(
            insert(_conflicts).values(
                origin=request.checkpoint.origin,
                seen_at=int(self._clock().timestamp()),
                reason=reason,
                note=request.note,
                held="" if held is None else held.note,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    old: int
    proof: tuple[bytes, ...]
    note: str
    checkpoint: Checkpoint


def request_body(old: int, proof: Sequence[bytes], signed: str) -> bytes:
    """The body of ``add-checkpoint``.

    Args:
        old: Size that the witness cosigned last; 0 where unknown.
        proof: Consistency proof from it; empty for 0.
        signed: The checkpoint, a signed note.
    """
    lines = [f"old {old}", *(note.encode_base64(item) for item in proof), "", signed]
    return "\n".join(lines).encode()


def _parse(body: bytes) -> _Request:
    if len(body) > MAX_BODY_BYTES:
        raise SignatureError(f"body too long (got {len(body)} bytes, expected at most {MAX_BODY_BYTES})")
    try:
        head, separator, signed = body.decode("utf-8").partition("\n\n")
    except UnicodeDecodeError as error:
        raise SignatureError(f"body is no UTF-8 (got a bad byte at {error.start})") from error
    old, *hashes = head.split("\n")
    match = _OLD.fullmatch(old)
    if not separator or match is None:
        raise SignatureError(f"body has no old size (got {old[:80]!r}, expected 'old N')")
    if len(hashes) > _MAX_PROOF:
        raise SignatureError(f"too many hashes (got {len(hashes)}, expected at most {_MAX_PROOF})")
    proof = tuple(note.decode_base64(line) for line in hashes)
    for item in proof:
        if len(item) != merkle.HASH_SIZE:
            raise SignatureError(f"no SHA-256 hash (got {len(item)} bytes, expected {merkle.HASH_SIZE})")
    text, _ = note.split_note(signed)
    return _Request(old=int(match[1]), proof=proof, note=signed, checkpoint=parse_checkpoint(text))


def _is_signed(signed: str, vkey: str) -> bool:
    try:
        open_note(signed, vkey)
    except SignatureError:
        return False
    return True


def _check_proof(request: _Request, held: Row[tuple[object, ...]] | None) -> None:
    checkpoint = request.checkpoint
    if request.old == 0:
        if request.proof:
            raise ProofError(f"a proof from size 0 is empty (got {len(request.proof)} hashes)")
        if checkpoint.size == 0 and checkpoint.root != merkle.EMPTY_ROOT:
            raise ProofError(f"root of an empty tree (got {checkpoint.root.hex()})")
        return
    if held is None:
        raise ProofError(f"nothing was cosigned yet (got old size {request.old}, expected 0)")
    merkle.verify_consistency(
        request.old, checkpoint.size, bytes.fromhex(held.root), checkpoint.root, request.proof
    )


def _plain(status: HTTPStatus, reason: str) -> Answer:
    return Answer(status=status, body=f"{reason}\n")

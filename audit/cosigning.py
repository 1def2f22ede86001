"""The log's side of witnessing: submits checkpoints, keeps cosignatures, and notices that its tree went back."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import httpx
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from audit import note as notes
from audit.checkpoint import verify_checkpoint
from audit.cosignature import ALGORITHM_COSIGNATURE, cosigned_at, require_quorum
from audit.errors import LedgerCorruptError, SignatureError, WitnessError
from audit.ledger import Ledger
from audit.tables import checkpoints, cosignatures, read_connection, write_connection
from audit.witness import SIZE_MEDIA_TYPE, request_body

log = logging.getLogger(__name__)

_MAX_ANSWER_BYTES = 64 * 1024
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessAddress:
    """Where a witness listens, and the key that its cosignatures verify under."""

    url: str
    vkey: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """A checkpoint with the cosignatures that were gathered.

    Attributes:
        note: The signed note, with the lines of the witnesses.
        size: Entries in its tree.
        witnesses: Names of those that cosigned.
        failures: Why another one did not, by its name.
    """

    note: str
    size: int
    witnesses: tuple[str, ...]
    failures: dict[str, str]


class Cosigning:
    """Gathers cosignatures of a ledger's checkpoints.

    Args:
        ledger: The ledger.
        witnesses: Whom to ask.
        quorum: How many of them must cosign.
        grace: How long entries may wait for a quorum.
        http: Client for the requests; it decides time-outs and which certificates are trusted.
        clock: Gives the present as an aware datetime.

    Raises:
        SignatureError: A verifier key is malformed, or two witnesses have one key.
        ValueError: The quorum is larger than the number of witnesses or not positive.
    """

    def __init__(
        self,
        ledger: Ledger,
        witnesses: Sequence[WitnessAddress],
        *,
        quorum: int,
        grace: timedelta,
        http: Callable[[], httpx.Client],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if not 1 <= quorum <= len(witnesses):
            raise ValueError(f"quorum out of range (got {quorum}, expected 1 to {len(witnesses)})")
        keys = [notes.parse_vkey(witness.vkey, ALGORITHM_COSIGNATURE) for witness in witnesses]
        if len({key.public for key in keys}) != len(keys):
            raise SignatureError(f"a witness is named twice (got {[key.label for key in keys]})")
        self._names = {witness.vkey: key.name for witness, key in zip(witnesses, keys, strict=True)}
        self._ledger, self._engine = ledger, ledger.engine
        self._witnesses = tuple(witnesses)
        self._quorum, self._grace = quorum, grace
        self._http, self._clock = http, clock

    def collect(self) -> Cosigned:
        """Sign a checkpoint and have it cosigned.

        A witness that cannot be reached is a failure, told in the result; so is a quorum that is missed within the
        grace.

        Raises:
            LedgerCorruptError: A witness cosigned a larger tree, or one that this tree does not extend: the ledger
                was rolled back or forked. It takes no further entry.
            WitnessError: No quorum cosigned within the grace. The ledger takes no further entry.
        """
        note = self._ledger.checkpoint()
        failures: dict[str, str] = {}
        with self._http() as client:
            for witness in self._witnesses:
                try:
                    note, line = self._submit(client, witness, note)
                except LedgerCorruptError as error:
                    self._ledger.stop(error)
                    raise
                except WitnessError as error:
                    failures[self._names[witness.vkey]] = str(error)
                    log.warning("witness %s: %s", self._names[witness.vkey], error)
                else:
                    self._store(witness, note, line)
        cosigned = self._gathered(note, failures)
        self._require_recent()
        return cosigned

    def cosigned_at(self) -> datetime | None:
        """When a quorum last stood under a checkpoint; None before the first."""
        with read_connection(self._engine) as connection:
            witnessed = select(cosignatures.c.size).distinct()
            query = select(checkpoints.c.size, checkpoints.c.note).where(checkpoints.c.size.in_(witnessed))
            for size, note in connection.execute(query.order_by(checkpoints.c.size.desc())):
                times = sorted(self._times(self._with_lines(size, note)).values(), reverse=True)
                if len(times) >= self._quorum:
                    return datetime.fromtimestamp(times[self._quorum - 1], UTC)
        return None

    def _require_recent(self) -> None:
        last = self.cosigned_at()
        if last is None or self._clock() - last > self._grace:
            error = WitnessError(
                f"no quorum of witnesses within {self._grace} "
                f"(got {last.isoformat() if last else 'none yet'}, expected {self._quorum})"
            )
            self._ledger.stop(error)
            raise error

    def _submit(self, client: httpx.Client, witness: WitnessAddress, note: str) -> tuple[str, str]:
        """The checkpoint that a witness cosigned, and its line.

        It is a newer one than ``note`` where another process of this gate had a larger tree cosigned meanwhile.
        """
        size = self._size_of(note)
        old = self._known_size(witness)
        if size < old:
            note, size = self._newer(old, witness)
        for _ in range(_ATTEMPTS):
            proof = self._ledger.consistency_proof(old, size) if 0 < old < size else []
            answer = _post(client, witness.url, request_body(old, proof, note))
            if answer.status_code == HTTPStatus.OK:
                return note, self._checked(witness, note, answer.text)
            if answer.status_code == HTTPStatus.CONFLICT:
                seen = _seen_size(answer)
                if seen == size == old:
                    raise self._not_extended(witness, size, seen)
                if seen > size:
                    note, size = self._newer(seen, witness)
                old = seen
                continue
            if answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
                raise LedgerCorruptError(
                    f"witness {self._names[witness.vkey]} cosigned a tree of {old} entries that this one does not "
                    f"extend: the ledger was forked (got {answer.text.strip()[:200]!r})"
                )
            raise WitnessError(
                f"answered {answer.status_code} (got {answer.text.strip()[:200]!r}, expected a cosignature)"
            )
        raise WitnessError(f"kept changing its size (got {old}, expected {size})")

    def _newer(self, seen: int, witness: WitnessAddress) -> tuple[str, int]:
        """A checkpoint of at least what a witness has seen, and its size.

        Raises:
            LedgerCorruptError: The ledger holds fewer entries.
        """
        note = self._ledger.checkpoint()
        size = self._size_of(note)
        if size < seen:
            raise self._not_extended(witness, size, seen)
        return note, size

    def _not_extended(self, witness: WitnessAddress, size: int, seen: int) -> LedgerCorruptError:
        return LedgerCorruptError(
            f"witness {self._names[witness.vkey]} cosigned another tree: the ledger was rolled back "
            f"or forked (got {size} entries, expected a tree that extends {seen})"
        )

    def _checked(self, witness: WitnessAddress, note: str, answer: str) -> str:
        """The witness's own line of an answer; lines of other keys are passed over."""
        key = notes.parse_vkey(witness.vkey, ALGORITHM_COSIGNATURE)
        try:
            for line in answer.removesuffix("\n").split("\n"):
                signature = notes.parse_signature(line)
                if notes.signatures_of(key, [signature]) and cosigned_at(f"{note}{line}\n", witness.vkey):
                    return f"{line}\n"
        except SignatureError as error:
            raise WitnessError(f"answered no cosignature: {error}") from error
        raise WitnessError(f"answered no cosignature of {key.label}")

    def _known_size(self, witness: WitnessAddress) -> int:
        query = (
            select(cosignatures.c.size)
            .where(cosignatures.c.witness == witness.vkey)
            .order_by(cosignatures.c.size.desc())
            .limit(1)
        )
        with read_connection(self._engine) as connection:
            found = connection.execute(query).scalar()
        return int(found or 0)

    def _store(self, witness: WitnessAddress, note: str, line: str) -> None:
        size = self._size_of(note)
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        statement = insert(cosignatures).values(size=size, witness=witness.vkey, line=line)
        statement = statement.on_conflict_do_update(
            index_elements=["size", "witness"], set_={"line": statement.excluded.line}
        )
        with write_connection(self._engine) as connection, connection.begin():
            connection.execute(statement)

    def _gathered(self, note: str, failures: dict[str, str]) -> Cosigned:
        size = self._size_of(note)
        whole = self._with_lines(size, note)
        names = tuple(sorted(self._names[vkey] for vkey in self._times(whole)))
        return Cosigned(note=whole, size=size, witnesses=names, failures=failures)

    def _size_of(self, note: str) -> int:
        return verify_checkpoint(note, self._ledger.signer.vkey).size

    def _times(self, note: str) -> dict[str, int]:
        return dict(require_quorum(note, [witness.vkey for witness in self._witnesses], 0))

    def _with_lines(self, size: int, note: str) -> str:
        query = (
            select(cosignatures.c.line)
            .where(cosignatures.c.size == size)
            .where(cosignatures.c.witness.in_([witness.vkey for witness in self._witnesses]))
            .order_by(cosignatures.c.witness)
        )
        with read_connection(self._engine) as connection:
            return note + "".join(connection.execute(query).scalars())


def _post(client: httpx.Client, url: str, body: bytes) -> httpx.Response:
    try:
        answer = client.post(f"{url.rstrip('/')}/add-checkpoint", content=body)
    except httpx.HTTPError as error:
        raise WitnessError(f"cannot be reached: {type(error).__name__} {error}") from error
    if len(answer.content) > _MAX_ANSWER_BYTES:
        raise WitnessError(f"answered too much (got {len(answer.content)} bytes)")
    return answer


def _seen_size(answer: httpx.Response) -> int:
    text = answer.text.removesuffix("\n")
    media_type = answer.headers.get("content-type", "")
    if media_type != SIZE_MEDIA_TYPE or not text.isascii() or not text.isdecimal():
        raise WitnessError(f"answered a conflict without its size (got {media_type!r} {text[:80]!r})")
    return int(text)

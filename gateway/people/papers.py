"""Papers: statements that a compliance officer signed into the register, each with the sealed document behind it.

A paper is added and never changed. What is in force is what the papers say in the order of the ledger, so that
neither a changed column nor a deleted row changes it (law 6).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import rfc8785
import sqlalchemy as sa

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.database import WriteSession
from gateway.errors import EvidenceError, InvalidRequestError, NotFoundError
from gateway.flow.acts import recorded
from gateway.flow.gate import Gate
from gateway.models.statements import digest_of, verified
from gateway.people.permission import permit
from gateway.people.records import PaperRow
from gateway.people.registry import ACT_TYPE, Actor, require_person
from gateway.vault.jws import PrivateKey, sign_statement, thumbprint
from gateway.vault.values import open_value, seal_value

MAX_DOCUMENT_BYTES = 32 * 1024 * 1024
_MAX_TEXT = 200


class Act(StrEnum):
    """What a paper does."""

    CERTIFICATE_REGISTER = "certificate.register"
    CERTIFICATE_CHANGE = "certificate.change"
    DELEGATION_REGISTER = "delegation.register"
    DELEGATION_END = "delegation.end"
    SOURCE_ASSIGN = "source.assign"
    RECIPIENT_CONTRACT = "recipient.contract"
    RECIPIENT_SUPERVISE = "recipient.supervise"
    RECIPIENT_CLOSE = "recipient.close"
    PURPOSE_ASSESS = "purpose.assess"
    PERSON_CHANGE = "person.change"


_EVENTS = {
    Act.CERTIFICATE_REGISTER: EventType.PEOPLE_CERTIFICATE_REGISTER,
    Act.CERTIFICATE_CHANGE: EventType.PEOPLE_CERTIFICATE_CHANGE,
    Act.DELEGATION_REGISTER: EventType.PEOPLE_DELEGATION_REGISTER,
    Act.DELEGATION_END: EventType.PEOPLE_DELEGATION_END,
    Act.SOURCE_ASSIGN: EventType.PEOPLE_SOURCE_ASSIGN,
    Act.RECIPIENT_CONTRACT: EventType.PEOPLE_RECIPIENT_CONTRACT,
    Act.RECIPIENT_SUPERVISE: EventType.PEOPLE_RECIPIENT_SUPERVISE,
    Act.RECIPIENT_CLOSE: EventType.PEOPLE_RECIPIENT_CLOSE,
    Act.PURPOSE_ASSESS: EventType.PEOPLE_PURPOSE_ASSESS,
    Act.PERSON_CHANGE: EventType.PEOPLE_PERSON_CHANGE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A paper whose signature verifies and that the ledger attests.

    Attributes:
        act: What it does.
        subject: Number or id of what it is about.
        terms: What it says.
        digest: SHA-256 of the signed statement, by which the ledger names it.
        document: SHA-256 of the document behind it; None where it has none.
        signer: Id of the compliance officer.
        signed_at: When they signed.
        entry: Index of the entry that attests it.
    """

    act: Act
    subject: str
    terms: Mapping[str, Any]
    digest: str
    document: str | None
    signer: str
    signed_at: datetime
    entry: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPaper:
    """A paper to sign.

    Attributes:
        act: What it does.
        subject: Number or id of what it is about.
        terms: What it says, as JSON.
        document: The document behind it, such as a scan; None where the statement is all there is.
        fields: Fields of the ledger's entry, such as ``vehicle``.
    """

    act: Act
    subject: str
    terms: Mapping[str, Any]
    document: bytes | None = field(default=None, repr=False)
    fields: Mapping[str, Any] = field(default_factory=dict)


def sign_paper(
    gate: Gate,
    paper: NewPaper,
    *,
    actor: Actor,
    key: PrivateKey,
    admit: Callable[[WriteSession], None] = lambda _: None,
) -> str:
    """Sign a paper into the register; returns its digest.

    1. An active compliance officer signs, by their enrolled key. 2. Subject and document are acceptable.
    3. ``admit`` finds nothing against it.

    Raises:
        ActDeniedError: Step 1: policy refuses; the attempt is in the ledger, as it is for the others.
        EvidenceError: The key is not theirs.
        InvalidRequestError: Step 2, or whatever ``admit`` raises.
    """
    permit(gate, actor, paper.act.value, on=paper.subject)  # 1
    now = gate.clock()
    document = None if paper.document is None else digest_of(paper.document)
    payload = {
        "act": paper.act.value,
        "at": now.astimezone(UTC).isoformat(),
        "document": document,
        "person": actor.id,
        "subject": paper.subject,
        "terms": dict(paper.terms),
    }
    statement = sign_statement(key, ACT_TYPE, thumbprint(key), payload)
    digest = digest_of(statement)
    digests = {"subject": digest_of(paper.subject), **({"document": document} if document else {})}
    with recorded(
        gate,
        _EVENTS[paper.act],
        actor=actor.id,
        object_id=digest,
        digests={**actor.digests, **digests},
        **paper.fields,
    ) as session:
        require_person(session, actor.id)
        verified(session, statement, signer=actor.id, what="the paper", expected={"act": paper.act.value})
        require_text("subject", paper.subject)  # 2
        sealed = None if paper.document is None else _sealed(gate, digest, paper.document)
        admit(session)  # 3
        session.add(
            PaperRow(
                digest=digest,
                act=paper.act,
                subject=paper.subject,
                statement=statement,
                sealed=sealed,
                signed_by=actor.id,
                recorded_at=now,
            )
        )
    return digest


def require_text(name: str, value: str) -> str:
    """A stated text of bearable length.

    Raises:
        InvalidRequestError: It is empty, blank or too long.
    """
    if not value.strip() or len(value) > _MAX_TEXT:
        raise InvalidRequestError(
            f"{name} is not acceptable (got {value!r}, expected 1 to {_MAX_TEXT} characters)"
        )
    return value


def papers(
    gate: Gate, *acts: Act, subject: str | None = None, below: int | None = None, **fields: str
) -> tuple[Paper, ...]:
    """Papers of some acts in the order of the ledger, each verified.

    1. None is missing that the ledger saw completed; a row that it did not is no paper. 2. Each is signed by the
    key of the person who is recorded as signer, and says its act and subject.

    Args:
        gate: The gate.
        acts: Which acts.
        subject: Papers about this only; ``fields`` must then name it, too.
        below: Only papers that stood in the ledger before this entry.
        fields: Only papers whose entries have these fields, such as ``vehicle``.

    Raises:
        EvidenceError: A step fails.
    """
    attested = _attested(gate, acts, below, fields)
    found: dict[str, Paper] = {}
    # A session of its own: the caller's may see the database as it was before the ledger was asked.
    with gate.database.read() as session:
        wanted = sa.select(PaperRow).where(PaperRow.act.in_([act.value for act in acts]))
        if subject is not None:
            wanted = wanted.where(PaperRow.subject == subject)
        for row in session.scalars(wanted):
            if row.digest in attested:
                said = verified(  # 2
                    session,
                    row.statement,
                    signer=row.signed_by,
                    what=f"the paper on {row.subject!r}",
                    expected={"act": row.act, "subject": row.subject},
                )
                found[row.digest] = _read(row, said, attested[row.digest])
    if missing := attested.keys() - found.keys():  # 1
        raise EvidenceError(
            f"papers are missing from the register (got none of {sorted(missing)}, expected every one that the "
            "ledger saw signed)"
        )
    return tuple(sorted(found.values(), key=lambda paper: paper.entry))


def _read(row: PaperRow, said: Mapping[str, Any], entry: int) -> Paper:
    if digest_of(row.statement) != row.digest:
        raise EvidenceError(f"the paper on {row.subject!r} is not the one that the ledger names")
    return Paper(
        act=Act(row.act),
        subject=row.subject,
        terms=said["terms"],
        digest=row.digest,
        document=said["document"],
        signer=row.signed_by,
        signed_at=datetime.fromisoformat(said["at"]),
        entry=entry,
    )


def _attested(
    gate: Gate, acts: tuple[Act, ...], below: int | None, fields: Mapping[str, str]
) -> dict[str, int]:
    """Digests of the papers that the ledger saw completed, with the index of the entry."""
    criteria: dict[str, Any] = dict(fields)
    wanted = EntryFilter(types=tuple(_EVENTS[act] for act in acts), outcome=Outcome.COMPLETED, **criteria)
    with gate.ledger.snapshot() as snapshot:
        # What was registered before papers were signed is named otherwise, and is no paper.
        return {
            entry.event.object: entry.index
            for entry in find_all(snapshot, wanted, below=snapshot.size if below is None else below)
            if len(entry.event.object) == 64  # noqa: PLR2004 (SHA-256, hexadecimal)
        }


def read_document(gate: Gate, digest: str, *, actor: Actor) -> bytes:
    """The document behind a paper, opened and verified; reading it is an entry.

    Raises:
        ActDeniedError: Policy refuses.
        NotFoundError: There is no such paper, or it has no document.
        EvidenceError: The document is not the one that was signed.
        SealBrokenError: It was altered.
    """
    permit(gate, actor, "document.read", on=digest)
    with recorded(
        gate,
        EventType.PEOPLE_DOCUMENT_READ,
        actor=actor.id,
        object_id=digest if digest.isascii() and digest.isalnum() else "unknown",
        digests=actor.digests,
    ) as session:
        row = session.get(PaperRow, digest)
        if row is None or row.sealed is None:
            raise NotFoundError(f"no such document (got {digest!r})")
        expected = {"act": row.act, "subject": row.subject}
        said = verified(session, row.statement, signer=row.signed_by, what="the paper", expected=expected)
        content = open_value(gate.keystore, kek_id=gate.gate_kek, context=_context(digest), sealed=row.sealed)
        if digest_of(content) != said["document"]:
            raise EvidenceError(f"the document of {digest} is not the one that was signed")
    return content


def _sealed(gate: Gate, digest: str, document: bytes) -> bytes:
    if not 0 < len(document) <= MAX_DOCUMENT_BYTES:
        raise InvalidRequestError(
            f"document is not acceptable (got {len(document)} bytes, expected 1 to {MAX_DOCUMENT_BYTES})"
        )
    return seal_value(gate.keystore, kek_id=gate.gate_kek, context=_context(digest), plaintext=document)


def _context(digest: str) -> bytes:
    return rfc8785.dumps({"paper": digest, "role": "paper"})

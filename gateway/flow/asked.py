"""What policy was asked and answered, kept beside the ledger's entry of the decision: sealed, erasable, verified.

The entry comes first and carries two digests: that of the question, and that of the kept document (question,
answer, salt). The document lies under the key of the release, or of the recording that was announced; under the
gate's where that key is to be destroyed or a person's act was judged. A crash between the two leaves an entry
without a document, never a document that no entry attests.
"""

import hashlib
import json
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import rfc8785
import sqlalchemy as sa

from audit.events import EventType
from audit.leaf import Entry
from gateway.database import ReadSession, WriteSession
from gateway.errors import EvidenceError
from gateway.flow.gate import Gate
from gateway.flow.records import AskedQuestionRow
from gateway.vault.errors import KeyDestroyedError, KeyUnavailableError, VaultError
from gateway.vault.values import open_value, seal_value
from policies.decision import Decision
from policies.question import Point, Question

_LEVEL = 1
"""Item facts repeat: the fastest level already takes nine tenths off."""


class Kept(StrEnum):
    """What became of a question.

    ``kept`` it is there and verifies · ``digest_only`` none was kept: the entry says so · ``erased`` the key of
    its release or recording was destroyed · ``lost`` the entry attests one that is not stored.
    """

    KEPT = "kept"
    DIGEST_ONLY = "digest_only"
    ERASED = "erased"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedDocument:
    """A question with its answer, before it is sealed.

    Attributes:
        owner: What it is about: a release or recording, whose key seals it, or what a person would act on.
        kek_id: That key.
        point: Decision point.
        content: Header and question, as they are sealed.
        digest: SHA-256 of ``content``; the entry of the decision carries it.
    """

    owner: str
    kek_id: str
    point: Point
    content: bytes = field(repr=False)
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A decision as the ledger's entry and the kept document tell it.

    Attributes:
        entry: The ledger's entry.
        point: Decision point.
        owner: Release or recording, or what a person would act on.
        kept: What became of the question; only a ``kept`` one has the rest.
        question: The question that was asked.
        decision: The answer, as ``Decision.as_dict`` gave it.
        unmet: Kinds of duties that were not performed, for which the act was refused.
    """

    entry: Entry
    point: Point
    owner: str
    kept: Kept
    question: Question | None = None
    decision: Mapping[str, Any] | None = None
    unmet: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether policy allowed, as the entry says; the act may still have been refused for a duty."""
        return self.entry.event.facts.get("allowed") is True

    @property
    def violations(self) -> tuple[Mapping[str, Any], ...]:
        """The rules that did not pass, each with clause and facts; empty where the answer is not kept."""
        return () if self.decision is None else tuple(self.decision["violations"])

    @property
    def moment(self) -> datetime:
        """When it was decided."""
        return self.entry.time


def document_of(
    question: Question, decision: Decision, *, owner: str, kek_id: str, unmet: list[str]
) -> AskedDocument:
    """Put a question and its answer into the form that is kept.

    Args:
        question: What was asked.
        decision: The answer.
        owner: What it is about.
        kek_id: The key that seals it.
        unmet: Kinds of duties that were not performed.
    """
    header = rfc8785.dumps(
        {
            "decision": decision.as_dict(),
            "owner": owner,
            "point": question.point.value,
            "salt": secrets.token_hex(16),
            "unmet": unmet,
        }
    )
    # RFC 8785 has no line breaks: the question's own bytes follow the first one, as they were judged.
    content = header + b"\n" + question.canonical
    return AskedDocument(
        owner=owner,
        kek_id=kek_id,
        point=question.point,
        content=content,
        digest=hashlib.sha256(content).hexdigest(),
    )


def _context(owner: str, digest: str) -> bytes:
    return rfc8785.dumps({"digest": digest, "owner": owner, "role": "asked"})


def keep(gate: Gate, document: AskedDocument, *, ledger_index: int) -> None:
    """Seal and store a question once the ledger has its decision; nothing where its key was destroyed.

    Raises:
        StorageError: The keystore's disk refused.
        SQLAlchemyError: The database refused; the act does not go on.
    """
    try:
        if document.point is Point.INTAKE:  # a release has its key since it was requested
            gate.keystore.ensure_kek(document.kek_id)
        sealed = seal_value(
            gate.keystore,
            kek_id=document.kek_id,
            context=_context(document.owner, document.digest),
            plaintext=zlib.compress(document.content, _LEVEL),
        )
    except KeyDestroyedError:
        return
    with gate.database.transaction() as session:
        session.add(
            AskedQuestionRow(
                ledger_index=ledger_index,
                point=document.point.value,
                owner_id=document.owner,
                kek_id=document.kek_id,
                sealed=sealed,
            )
        )


def load_asked(gate: Gate, session: ReadSession | WriteSession, index: int) -> Asked:
    """The decision of a ledger entry, with what was asked where it is still there (laws 6 and 10).

    1. The entry is a decision. 2. The seal opens for its owner. 3. The document has the digest that the entry
    attests. 4. So has the question. 5. Answer and entry agree on bundle, outcome and owner.

    Raises:
        EvidenceError: Step 1, 3, 4 or 5 fails, or the seal is broken.
        LedgerError: There is no such entry.
    """
    entry = gate.ledger.entry(index)
    area, point, action = entry.event.type.value.split(":")
    if (area, action) != ("judge", "decide") or point not in set(Point):  # step 1
        raise EvidenceError(f"entry {index} is no decision (got {entry.event.type.value!r})")
    owner, kek = _owner_of(gate, entry)
    attested = entry.event.digests.get("asked")
    base = Asked(entry=entry, point=Point(point), owner=owner, kept=Kept.DIGEST_ONLY)
    if attested is None:
        return base
    row = session.get(AskedQuestionRow, index)
    if gate.keystore.is_destroyed(kek):
        return Asked(entry=entry, point=base.point, owner=owner, kept=Kept.ERASED)
    if row is None:
        return Asked(entry=entry, point=base.point, owner=owner, kept=Kept.LOST)
    return _opened(gate, row, base, kek=kek, attested=attested)


def _owner_of(gate: Gate, entry: Entry) -> tuple[str, str]:
    event = entry.event
    if event.type is EventType.JUDGE_ACT_DECIDE:
        return event.object, gate.gate_kek
    owner = event.release or event.recording or event.object
    if event.type is EventType.JUDGE_DESTROY_DECIDE:
        return owner, gate.gate_kek
    return owner, f"rel-{owner}" if event.release else f"rec-{owner}"


def _opened(gate: Gate, row: AskedQuestionRow, base: Asked, *, kek: str, attested: str) -> Asked:
    event, index = base.entry.event, base.entry.index
    try:  # step 2
        content = zlib.decompress(
            open_value(gate.keystore, kek_id=kek, context=_context(base.owner, attested), sealed=row.sealed)
        )
    except KeyUnavailableError:
        return Asked(entry=base.entry, point=base.point, owner=base.owner, kept=Kept.ERASED)
    except (VaultError, zlib.error) as error:
        raise EvidenceError(f"what was asked in entry {index} does not open: {error}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != attested:  # step 3
        raise EvidenceError(f"what was asked in entry {index} has digest {found} (expected {attested})")
    head, _, canonical = content.partition(b"\n")
    header = json.loads(head)
    digest = hashlib.sha256(canonical).hexdigest()
    if digest != event.digests.get("question"):  # step 4
        raise EvidenceError(f"question of entry {index} has digest {digest} (expected the entry's)")
    decision = header["decision"]
    said = (decision["bundle_digest"], decision["allowed"], header["owner"], header["point"])
    expected = (event.digests.get("bundle"), base.allowed, base.owner, base.point.value)
    if said != expected:  # step 5
        raise EvidenceError(f"answer of entry {index} is another one (got {said}, expected {expected})")
    return Asked(
        entry=base.entry,
        point=base.point,
        owner=base.owner,
        kept=Kept.KEPT,
        question=Question(point=base.point, canonical=canonical, digest=digest),
        decision=decision,
        unmet=tuple(header["unmet"]),
    )


def is_asked_about(session: ReadSession | WriteSession, owner: str) -> bool:
    """Whether a question about a release or recording is stored."""
    statement = sa.select(sa.literal(1)).where(AskedQuestionRow.owner_id == owner).limit(1)
    return session.scalar(statement) is not None

"""What waits in the maps of a candidate, and which decisions about it count (COMPLIANCE rule 15).

A decision counts by what the ledger attests, not by its row.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import rfc8785

from audit.events import Event, EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.database import ReadSession, WriteSession
from gateway.errors import EvidenceError
from gateway.flow.cleanse import load_cleansed
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.permitted import standing_fault
from gateway.flow.recording import Built, Cleansed
from gateway.flow.records import ReleaseRow, SlopeReviewRow
from gateway.people.records import PersonRow
from gateway.vault.errors import StatementError, VaultError
from gateway.vault.jws import public_key_of, verify_statement
from gateway.vault.values import open_value

REVIEW_TYPE = "fleetgate-slope-review+jwt"
SLOPE_TAG = "SLOPE_CURV"


class Verdict(StrEnum):
    """What an officer decides."""

    APPROVE = "approve"
    REJECT = "reject"


class Standing(StrEnum):
    """Where the review of a candidate stands."""

    NOTHING_WAITS = "nothing_waits"
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits in a candidate.

    Attributes:
        items: By released item: its name, how many attributes wait, counts by key, and up to 1,000 of them as
            feature, key, source of the rule and confidence. No values, no places.
        digest: SHA-256 of their RFC 8785 form: part of what the officer signs.
    """

    items: tuple[dict[str, Any], ...]
    digest: str

    @property
    def count(self) -> int:
        """How many attributes wait."""
        return sum(int(item["waiting"]) for item in self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision that the ledger attests for the candidate's digest.

    ``fault`` says why an approval does not count; it is empty where it does. A rejection always counts.
    """

    reviewer: str
    verdict: Verdict
    ledger_index: int
    signed_at: str
    reason: str
    fault: str


def waiting_in(built: Built, cleansed: Sequence[Cleansed]) -> Waiting:
    """What waits in a candidate, from the verified evidence of its items.

    Args:
        built: The candidate.
        cleansed: The items that its items were made of, in their order.
    """
    items: list[dict[str, Any]] = []
    for item, source in zip(built.items, cleansed, strict=True):
        if SLOPE_TAG in source.payload["tags"]:
            facts = source.payload["facts"]
            items.append(
                {
                    "item": item.name,
                    "waiting": int(facts.get("reviews", 0)),
                    "by_key": dict(facts.get("reviews_by_key", {})),
                    "listed": list(facts.get("reviews_listed", ())),
                }
            )
    return Waiting(items=tuple(items), digest=hashlib.sha256(rfc8785.dumps(items)).hexdigest())


def sources_of(gate: Gate, session: ReadSession | WriteSession, built: Built) -> list[Cleansed]:
    """The items that a candidate's items were made of.

    Raises:
        EvidenceError: Evidence of an item does not verify.
    """
    return [load_cleansed(gate, session, item.source) for item in built.items]


def standing_of(gate: Gate, session: ReadSession, built: Built) -> Standing:
    """Where the review of a candidate stands now, every decision verified again.

    Raises:
        EvidenceError: Evidence of an item does not verify.
    """
    waiting = waiting_in(built, sources_of(gate, session, built))
    return standing_after(waiting, decisions_on(gate, session, built, waiting))


def standing_after(waiting: Waiting, decisions: Iterable[Decided]) -> Standing:
    """Where decisions leave a candidate: one rejection outweighs every approval."""
    if not waiting.items:
        return Standing.NOTHING_WAITS
    counting = {each.verdict for each in decisions if not each.fault}
    if Verdict.REJECT in counting:
        return Standing.REJECTED
    return Standing.APPROVED if Verdict.APPROVE in counting else Standing.PENDING


def review_summary(
    gate: Gate, session: ReadSession, built: Built, cleansed: Sequence[Cleansed]
) -> dict[str, Any]:
    """What waits in a candidate, what was decided about it, and where that leaves it; see ``waiting_in``."""
    waiting = waiting_in(built, cleansed)
    decisions = decisions_on(gate, session, built, waiting)
    return {
        "release": built.terms.release,
        "digest": built.digest,
        "standing": standing_after(waiting, decisions).value,
        "waiting": waiting.count,
        "items": list(waiting.items),
        "decisions": [
            {
                "reviewer": each.reviewer,
                "verdict": each.verdict.value,
                "signed_at": each.signed_at,
                "reason": each.reason,
                "counts": not each.fault,
                **({"fault": each.fault} if each.fault else {}),
            }
            for each in decisions
        ],
    }


def review_payload(built: Built, waiting: Waiting, reviewer: str, verdict: Verdict) -> dict[str, Any]:
    """What every decision over a candidate says, beside its reason and its time."""
    return {
        "act": "maps.review",
        "digest": built.digest,
        "release": built.terms.release,
        "reviewer": reviewer,
        "verdict": verdict.value,
        "waiting": waiting.digest,
    }


def verify_review(built: Built, waiting: Waiting, statement: str, person: PersonRow) -> dict[str, Any]:
    """Verify a decision.

    1. The signature is by the person's enrolled key. 2. It states a verdict, a reason and a time. 3. It names
    that person, this candidate's digest and what waits in it, and nothing else.

    Raises:
        EvidenceError: Any step fails.
    """
    try:  # step 1
        payload = dict(verify_statement(statement, REVIEW_TYPE, public_key_of(person.public_jwk)))
    except StatementError as error:
        raise EvidenceError(f"review's signature is not that of {person.id!r}: {error}") from error
    try:  # step 2
        verdict = Verdict(str(payload.get("verdict")))
        signed_at = datetime.fromisoformat(str(payload.get("signed_at")))
    except ValueError as error:
        raise EvidenceError(f"review has no verdict or no time: {error}") from error
    stated = {"reason": payload.get("reason"), "signed_at": instant(signed_at)}
    expected = review_payload(built, waiting, person.id, verdict) | stated
    different = sorted(k for k in expected.keys() | payload.keys() if expected.get(k) != payload.get(k))
    if different or not isinstance(stated["reason"], str) or not stated["reason"]:  # step 3
        raise EvidenceError(f"review is for other terms (different: {', '.join(different) or 'reason'})")
    return payload


def decisions_on(
    gate: Gate, session: ReadSession | WriteSession, built: Built, waiting: Waiting
) -> list[Decided]:
    """Every decision that the ledger attests for exactly this digest, oldest first; rows add none.

    An approval counts only if

    1. the statement that the ledger names is held and opens,
    2. its signature verifies for the person that the ledger names, this candidate and what waits in it,
    3. that person is still an active compliance officer, and not the submitter.
    """
    if not waiting.items:
        return []
    wanted = EntryFilter(
        release=built.terms.release, types=(EventType.REVIEW_SLOPES_DECIDE,), outcome=Outcome.COMPLETED
    )
    with gate.ledger.snapshot() as snapshot:
        attested = [(entry.index, entry.event) for entry in find_all(snapshot, wanted)]
    found = []
    for index, event in attested:
        if event.digests.get("release") != built.digest:
            continue
        verdict = Verdict(str(event.facts["verdict"]))
        try:
            payload = _held(gate, session, built, waiting, event)
            fault = ""
        except (EvidenceError, VaultError) as error:
            payload, fault = {}, str(error)
        found.append(
            Decided(
                reviewer=event.actor,
                verdict=verdict,
                ledger_index=index,
                signed_at=str(payload.get("signed_at", "")),
                reason=str(payload.get("reason", "")),
                # What the ledger attests as rejected stays so, whatever became of its row.
                fault="" if verdict is Verdict.REJECT else fault,
            )
        )
    return found


def _held(
    gate: Gate, session: ReadSession | WriteSession, built: Built, waiting: Waiting, event: Event
) -> dict[str, Any]:
    row = session.get(SlopeReviewRow, event.digests["statement"])
    if row is None:
        raise EvidenceError("the signed statement is not held")
    kek = session.get_one(ReleaseRow, built.terms.release).kek_id
    statement = open_value(  # step 1
        gate.keystore, kek_id=kek, context=review_context(built.terms.release, row.digest), sealed=row.sealed
    )
    if hashlib.sha256(statement).hexdigest() != event.digests["statement"]:
        raise EvidenceError("the signed statement is not the one that the ledger attests")
    person = session.get(PersonRow, event.actor)
    if person is None:
        raise EvidenceError("the reviewer is nobody enrolled")
    payload = verify_review(built, waiting, statement.decode(), person)  # step 2
    if payload["verdict"] != event.facts["verdict"]:
        raise EvidenceError("the signed statement has another verdict than the ledger attests")
    if fault := standing_fault(gate, person, "maps.decide", built.terms.submitter):  # step 3
        raise EvidenceError(fault)
    return payload


def review_context(release: str, digest: str) -> bytes:
    """What the sealed statement of a decision is bound to."""
    return rfc8785.dumps({"digest": digest, "owner": release, "role": "slope-review"})

"""How a candidate ends without going out: rejected by an approver, withdrawn by who asked for it, or too old."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import rfc8785
import sqlalchemy as sa

from audit.events import Event, EventType, Outcome
from audit.query import EntryFilter, find_page
from gateway.database import ReadSession, WriteSession
from gateway.errors import (
    CandidateClosedError,
    CandidateExpiredError,
    InvalidRequestError,
    StageOrderError,
)
from gateway.flow.acts import intended, recorded
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.law import candidate_days
from gateway.flow.permitted import permit_on_release
from gateway.flow.recording import Built, ReleaseState
from gateway.flow.records import EvidenceRow, ReleaseRow
from gateway.flow.request import known_release
from gateway.people.registry import GATE_ACTOR, Actor

OPEN: Final = (ReleaseState.REQUESTED, ReleaseState.BUILT, ReleaseState.JUDGED, ReleaseState.APPROVED)
MAX_REASON_LENGTH: Final = 4000
_CLOSINGS: Final = (EventType.APPROVE_RELEASE_REJECT, EventType.RELEASE_RELEASE_WITHDRAW)


class RejectionCode(StrEnum):
    """Why an approver rejects, in the words of the ledger."""

    UNMASKED = "unmasked"
    POSITION = "position"
    CONTENT = "content"
    PURPOSE = "purpose"
    RECIPIENT = "recipient"
    PAPERS = "papers"
    QUALITY = "quality"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Why a candidate is rejected: a code for the ledger's leaf, and words for people, sealed beside it.

    Raises:
        InvalidRequestError: There are no words, or too many.
    """

    code: RejectionCode
    text_zh: str = ""
    text_en: str = ""

    def __post_init__(self) -> None:
        length = len(self.text_zh.strip()) + len(self.text_en.strip())
        if not 0 < length <= MAX_REASON_LENGTH:
            raise InvalidRequestError(
                f"a rejection gives its reason in Chinese or English (got {length} characters, "
                f"expected 1 to {MAX_REASON_LENGTH})"
            )


def reject(gate: Gate, release: str, rejection: Rejection, *, actor: Actor) -> None:
    """Close a candidate for good, with the reason.

    The words are sealed as the entry's detail, under a key of the release; the leaf has the code.

    Raises:
        ActDeniedError: The person approves nothing, or submitted the release themselves.
        StageOrderError: The candidate was not judged, or is no longer open.
    """
    permit_on_release(gate, actor, "release.reject", release)
    with gate.database.read() as session:
        row = session.get(ReleaseRow, release)
    event = intended(
        EventType.APPROVE_RELEASE_REJECT,
        actor=actor.id,
        object_id=release,
        release=release,
        digests={**actor.digests, **({"release": row.digest} if row and row.digest else {})},
        facts={"reason": rejection.code.value},
    )
    words = rfc8785.dumps({"en": rejection.text_en.strip(), "zh": rejection.text_zh.strip()})
    with gate.ledger.intent(event, detail=words, subject=f"release-{release}") as intent:
        _close(gate, release, ReleaseState.REJECTED, (ReleaseState.JUDGED, ReleaseState.APPROVED))
        intent.complete(digests=event.digests, facts=event.facts)


def withdraw(gate: Gate, release: str, *, actor: Actor) -> None:
    """Take a request back before it goes out.

    Raises:
        NotFoundError: There is no such release.
        ActDeniedError: The person did not submit it.
        StageOrderError: It is no longer open.
    """
    permit_on_release(gate, actor, "release.withdraw", release)
    with gate.database.read() as session:
        known_release(session, release)
    with recorded(
        gate,
        EventType.RELEASE_RELEASE_WITHDRAW,
        actor=actor.id,
        object_id=release,
        release=release,
        digests=actor.digests,
    ) as session:
        _closed(session, release, ReleaseState.WITHDRAWN, OPEN)


def _close(gate: Gate, release: str, state: ReleaseState, from_states: tuple[ReleaseState, ...]) -> None:
    with gate.database.transaction() as session:
        _closed(session, release, state, from_states)


def _closed(
    session: WriteSession, release: str, state: ReleaseState, from_states: tuple[ReleaseState, ...]
) -> None:
    current = session.get(ReleaseRow, release, with_for_update=True)
    if current is None or current.state not in from_states:
        found = current.state if current else "unknown"
        raise StageOrderError(f"release cannot be {state.value} (got state {found!r})")
    current.state = state


def require_open(gate: Gate, built: Built, *, now: datetime) -> None:
    """Let only a candidate pass that nobody closed and that is not past its time; asks the ledger, not the row.

    Raises:
        CandidateClosedError: It was rejected or withdrawn.
        CandidateExpiredError: Its term has come, or it was built too long ago.
    """
    release = built.terms.release
    if closing := _closing(gate, release):
        raise CandidateClosedError(f"the candidate was closed by {closing.type.value} (got {release!r})")
    if built.terms.expires_at <= now:
        raise CandidateExpiredError(f"the release's term has come (got {instant(built.terms.expires_at)})")
    until = built_at(gate, built) + timedelta(days=candidate_days(gate))
    if until < now:
        raise CandidateExpiredError(
            f"the candidate is too old (got {instant(now)}, expected {instant(until)})"
        )


def built_at(gate: Gate, built: Built) -> datetime:
    """When the ledger took the evidence of the candidate."""
    return gate.ledger.entry(built.evidence.ledger_index).time


def _closing(gate: Gate, release: str) -> Event | None:
    wanted = EntryFilter(object=release, types=_CLOSINGS, outcome=Outcome.COMPLETED)
    with gate.ledger.snapshot() as snapshot:
        page = find_page(snapshot, wanted, limit=1)
    return page.entries[0].event if page.entries else None


def closing_of(gate: Gate, release: str) -> dict[str, Any] | None:
    """Who closed a candidate, when and why, as the ledger has it; None for one that nobody closed.

    Raises:
        LedgerCorruptError: The sealed words are not those that the leaf commits to.
    """
    wanted = EntryFilter(object=release, types=_CLOSINGS, outcome=Outcome.COMPLETED)
    with gate.ledger.snapshot() as snapshot:
        page = find_page(snapshot, wanted, limit=1)
    if not page.entries:
        return None
    entry = page.entries[0]
    event = entry.event
    rejected = event.type is EventType.APPROVE_RELEASE_REJECT
    found: dict[str, Any] = {
        "kind": "rejected" if rejected else "withdrawn",
        "by": event.actor,
        "at": instant(entry.time),
        "entry": entry.index,
    }
    if rejected and event.intent is not None:
        words = json.loads(gate.ledger.detail(event.intent) or b"{}")
        found |= {
            "code": event.facts["reason"],
            "text_zh": words.get("zh", ""),
            "text_en": words.get("en", ""),
        }
    return found


def expire_candidates(gate: Gate) -> int:
    """Close candidates that are past their time; returns how many. A request that was never built counts, too."""
    now = gate.clock()
    oldest = now - timedelta(days=candidate_days(gate))
    with gate.database.read() as session:
        statement = sa.select(ReleaseRow.id).where(
            ReleaseRow.state.in_(OPEN), sa.or_(ReleaseRow.expires_at <= now, ReleaseRow.created_at < oldest)
        )
        due = [release for release in session.scalars(statement) if _is_due(gate, session, release, oldest)]
    return sum(_expire(gate, release) for release in due)


def _expire(gate: Gate, release: str) -> bool:
    try:
        with recorded(
            gate, EventType.RELEASE_RELEASE_EXPIRE, actor=GATE_ACTOR.id, object_id=release, release=release
        ) as session:
            _closed(session, release, ReleaseState.EXPIRED, OPEN)
    except StageOrderError:  # it went out or was closed in this very moment: the entry says that this failed
        return False
    return True


def _is_due(gate: Gate, session: ReadSession, release: str, oldest: datetime) -> bool:
    """A candidate counts from when it was built, a request from when it was made."""
    row = session.get_one(ReleaseRow, release)
    if row.expires_at <= gate.clock():
        return True
    statement = sa.select(EvidenceRow.ledger_index).where(
        EvidenceRow.owner_id == release, EvidenceRow.stage == "built"
    )
    index = session.scalar(statement)
    return index is None or gate.ledger.entry(index).time < oldest

"""Slopes and curvatures of maps, looked over by a compliance officer before they leave (COMPLIANCE rule 15).

The officer signs the digest of the built candidate together with the digest of what waited in it.
"""

import hashlib
from typing import Any

from audit.events import EventType
from gateway.errors import ApprovalInvalidError, EvidenceError, InvalidRequestError, StageOrderError
from gateway.flow.acts import intended, refused
from gateway.flow.build import load_built
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.permitted import permit_on_release
from gateway.flow.recording import Built, ReleaseState
from gateway.flow.records import ReleaseRow, SlopeReviewRow
from gateway.people.records import PersonRow
from gateway.people.registry import Actor
from gateway.review.slope_evidence import (
    REVIEW_TYPE,
    Verdict,
    Waiting,
    review_context,
    review_payload,
    review_summary,
    sources_of,
    verify_review,
    waiting_in,
)
from gateway.vault.jws import PrivateKey, sign_statement, thumbprint
from gateway.vault.values import seal_value

_OPEN = (ReleaseState.BUILT, ReleaseState.JUDGED, ReleaseState.APPROVED)
_LONGEST_REASON = 500


def list_waiting(gate: Gate, release: str, *, actor: Actor) -> dict[str, Any]:
    """What waits in a release and what was decided, for a person; looking is itself an entry.

    Raises:
        ForbiddenError: The person holds none of the roles that review.
        StageOrderError: The release was not built.
        EvidenceError: What it rests on does not verify.
    """
    permit_on_release(gate, actor, "maps.review", release)
    event = intended(
        EventType.REVIEW_SLOPES_READ,
        actor=actor.id,
        object_id=release,
        release=release,
        digests=actor.digests,
    )
    with gate.ledger.intent(event) as intent, gate.database.read() as session:
        built = load_built(gate, session, release)
        summary = review_summary(gate, session, built, sources_of(gate, session, built))
        intent.complete()
        return summary


def sign_review(
    gate: Gate, release: str, verdict: Verdict, reason: str, *, reviewer: str, key: PrivateKey
) -> str:
    """Sign a decision over a built candidate with the officer's own key.

    Raises:
        InvalidRequestError: The reason is empty or longer than 500 characters, or nothing waits.
        StageOrderError: The release was not built.
    """
    if not 1 <= len(reason.strip()) <= _LONGEST_REASON:
        raise InvalidRequestError(
            f"a decision states its reason (got {len(reason)} characters, expected 1 to {_LONGEST_REASON})"
        )
    with gate.database.read() as session:
        built = load_built(gate, session, release)
        waiting = waiting_in(built, sources_of(gate, session, built))
    if not waiting.items:
        raise InvalidRequestError(f"nothing waits for a review in this release (got {release!r})")
    payload = review_payload(built, waiting, reviewer, verdict) | {
        "reason": reason.strip(),
        "signed_at": instant(gate.clock()),
    }
    return sign_statement(key, REVIEW_TYPE, thumbprint(key), payload)


def decide_slopes(gate: Gate, release: str, statement: str, *, actor: Actor) -> Verdict:
    """Record a compliance officer's signed decision.

    The ledger holds it before the row does: a crash between them leaves a rejection in force, and an approval
    that does not count until it is signed again.

    Raises:
        ForbiddenError: The person is no compliance officer.
        StageOrderError: The release is not built, or already closed.
        ApprovalInvalidError: The signature or its terms do not verify; the attempt is in the ledger.
        InvalidRequestError: The person submitted the release (law 8); the attempt is in the ledger.
    """
    permit_on_release(gate, actor, "maps.decide", release)
    with gate.database.read() as session:
        found = session.get(ReleaseRow, release)
        if found is None or found.state not in _OPEN:
            raise StageOrderError(
                f"release is not open to a review (got state {found.state if found else 'unknown'!r})"
            )
        built = load_built(gate, session, release)
        waiting = waiting_in(built, sources_of(gate, session, built))
        person, kek = session.get_one(PersonRow, actor.id), found.kek_id
    try:
        payload = _offered(built, waiting, statement, person)
    except ApprovalInvalidError as error:
        refused(
            gate,
            EventType.REVIEW_SLOPES_DECIDE,
            actor=actor.id,
            object_id=release,
            release=release,
            reason=error.reason,
        )
        raise
    digest = hashlib.sha256(statement.encode()).hexdigest()
    # Its reason is free text, which may tell of places (law 3).
    sealed = seal_value(
        gate.keystore, kek_id=kek, context=review_context(release, digest), plaintext=statement.encode()
    )
    row = SlopeReviewRow(digest=digest, release_id=release, reviewer=actor.id, sealed=sealed)
    _record(gate, row, built, waiting, Verdict(payload["verdict"]), actor=actor)
    return Verdict(payload["verdict"])


def _record(
    gate: Gate, row: SlopeReviewRow, built: Built, waiting: Waiting, verdict: Verdict, *, actor: Actor
) -> None:
    """Put a decision into the ledger, then its row into the database."""
    digests = {"release": built.digest, "waiting": waiting.digest, "statement": row.digest}
    event = intended(
        EventType.REVIEW_SLOPES_DECIDE,
        actor=actor.id,
        object_id=row.release_id,
        release=row.release_id,
        digests={**actor.digests, **digests},
        facts={"verdict": verdict.value},
    )
    with gate.ledger.intent(event) as intent:
        intent.complete(digests=digests, facts={"verdict": verdict.value})
        with gate.database.transaction() as session:
            if session.get(SlopeReviewRow, row.digest) is None:
                session.add(row)


def _offered(built: Built, waiting: Waiting, statement: str, person: PersonRow) -> dict[str, Any]:
    try:
        return verify_review(built, waiting, statement, person)
    except EvidenceError as error:
        raise ApprovalInvalidError(str(error)) from error

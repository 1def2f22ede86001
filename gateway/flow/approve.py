"""Approve: an operator's signature over a release digest, kept only if it verifies for this very digest."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import rfc8785
import sqlalchemy as sa

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_page
from audit.verify_assertion import is_assertion, read_assertion, verify_assertion
from gateway.database import ReadSession, WriteSession
from gateway.errors import (
    ApprovalInvalidError,
    EvidenceError,
    EvidenceUnseenError,
    InvalidRequestError,
    NotFoundError,
    StageOrderError,
    UnauthenticatedError,
)
from gateway.flow.acts import intended, recorded, refused
from gateway.flow.closing import require_open
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.judge import load_judged
from gateway.flow.law import approval_days
from gateway.flow.looks import evidence_seen, has_sheet
from gateway.flow.permitted import permit_on_release
from gateway.flow.recording import Judged, ReleaseState
from gateway.flow.records import ApprovalRow, ReleaseRow
from gateway.flow.request import known_release
from gateway.people.records import PersonRow
from gateway.people.registry import ACT_TYPE, Actor
from gateway.people.security_keys import is_revoked
from gateway.people.suitability import Surveyed, certificate_for
from gateway.vault.errors import StatementError
from gateway.vault.jws import PrivateKey, public_key_of, sign_statement, thumbprint, verify_statement

APPROVAL_TYPE = "fleetgate-approval+jwt"
_OPEN = (ReleaseState.JUDGED, ReleaseState.APPROVED)
_APPROVALS = (EventType.APPROVE_RELEASE_SIGN, EventType.APPROVE_RELEASE_WITHDRAW)
_CLOCK_SKEW = timedelta(seconds=5)


def approval_payload(judged: Judged, approver: str, signed_at: datetime) -> dict[str, Any]:
    """What an operator signs (rule 5): content hash, policy hash, recipient, purpose and expiry."""
    terms = judged.built.terms
    return {
        "approver": approver,
        "bundle": judged.decision["bundle_digest"],
        "digest": judged.built.digest,
        "expires_at": instant(terms.expires_at),
        "purpose": terms.purpose,
        "recipient": terms.recipient,
        "release": terms.release,
        "signed_at": instant(signed_at),
    }


def sign_approval(judged: Judged, approver: str, key: PrivateKey, signed_at: datetime) -> str:
    """Sign an approval with the operator's own key."""
    return sign_statement(key, APPROVAL_TYPE, thumbprint(key), approval_payload(judged, approver, signed_at))


def verify_approval(judged: Judged, statement: str, person: PersonRow) -> dict[str, Any]:
    """Verify an approval.

    1. The signature is by the person's enrolled key, or by a security key that the enrolled key registered. 2. The
    statement names that person. 3. Every term of the release and the decision's bundle is the one signed.

    Raises:
        EvidenceError: Any step fails; the message names what differs.
    """
    try:  # step 1
        payload = _signed(statement, person)
    except (StatementError, ValueError, KeyError, TypeError) as error:
        raise EvidenceError(f"approval's signature is not that of {person.id!r}: {error}") from error
    if payload.get("approver") != person.id:  # step 2
        raise EvidenceError(f"approval names another person (got {payload.get('approver')!r})")
    try:
        signed_at = datetime.fromisoformat(str(payload.get("signed_at")))
    except ValueError as error:
        raise EvidenceError(f"approval has no time (got {payload.get('signed_at')!r})") from error
    expected = approval_payload(judged, person.id, signed_at)
    different = sorted(k for k in expected.keys() | payload.keys() if expected.get(k) != payload.get(k))
    if different:  # step 3
        raise EvidenceError(f"approval is for other terms (different: {', '.join(different)})")
    return payload


def _signed(statement: str, person: PersonRow) -> dict[str, Any]:
    """What the person signed, as a JWS or by a security key (:mod:`audit.verify_assertion`)."""
    key = public_key_of(person.public_jwk)
    if not is_assertion(statement):
        return dict(verify_statement(statement, APPROVAL_TYPE, key))
    document = read_assertion(statement)
    if rfc8785.dumps(document).decode() != statement:
        raise StatementError("approval is not in RFC 8785 form")
    registered = verify_statement(document["registration"], ACT_TYPE, key)
    if registered.get("person") != person.id:
        raise StatementError(f"security key is registered for {registered.get('person')!r}")
    return verify_assertion(document, registered)


def _offered(
    gate: Gate, judged: Judged, statement: str, person: PersonRow, *, asserted: bool
) -> dict[str, Any]:
    if is_assertion(statement) is not asserted:
        raise ApprovalInvalidError("an assertion counts only as the answer to a challenge of this gate")
    try:
        payload = verify_approval(judged, statement, person)
    except EvidenceError as error:
        raise ApprovalInvalidError(str(error)) from error
    signed_at, now = datetime.fromisoformat(payload["signed_at"]), gate.clock()
    if not now - timedelta(days=approval_days(gate)) <= signed_at <= now + _CLOCK_SKEW:
        raise ApprovalInvalidError(f"approval is not of now (got {payload['signed_at']}, now {instant(now)})")
    return payload


def require_approvable(gate: Gate, release: str) -> Judged:
    """A candidate that can be approved now; whether by this person, policy says.

    Raises:
        NotFoundError: There is no such release.
        StageOrderError: It is not judged, somebody closed it, or it is past its time.
    """
    with gate.database.read() as session:
        row = known_release(session, release)
        if row.state not in _OPEN:
            raise StageOrderError(f"release cannot be approved (got state {row.state!r})")
        judged = load_judged(gate, session, release)
    require_open(gate, judged.built, now=gate.clock())
    return judged


def approve(gate: Gate, release: str, statement: str, *, actor: Actor, asserted: bool = False) -> None:
    """Record an operator's approval; the same person's earlier one of this digest is kept while it holds.

    1. Policy permits: an active operator who did not submit it (law 8). 2. The candidate is judged, nobody closed
    it, and it is not past its time. 3. The statement is theirs and for these terms, and its time is now. 4. They
    opened the evidence of this digest before.

    Args:
        gate: The gate.
        release: Id of the release.
        statement: The approval.
        actor: Who approves.
        asserted: Whether it is an answer to a challenge that was spent for it (:mod:`gateway.flow.asserted`).

    Raises:
        ActDeniedError: Step 1; the attempt is in the ledger.
        StageOrderError: Step 2; the attempt is in the ledger where there is a candidate, as for the steps below.
        ApprovalInvalidError: Step 3.
        EvidenceUnseenError: Step 4.
    """
    permit_on_release(gate, actor, "release.approve", release)  # step 1
    with gate.database.read() as session:
        row = session.get(ReleaseRow, release)
        if row is None or row.state not in _OPEN:  # step 2
            raise StageOrderError(
                f"release cannot be approved (got state {row.state if row else 'unknown'!r})"
            )
        judged = load_judged(gate, session, release)
        sheet = has_sheet(gate, session, judged.built)
        person = session.get(PersonRow, actor.id)
        present = session.get(ApprovalRow, (release, actor.id))
    try:
        require_open(gate, judged.built, now=gate.clock())
        payload = _offered(gate, judged, statement, _active(person, actor), asserted=asserted)
        if not evidence_seen(gate, judged.built, actor.id, sheet=sheet):  # step 4
            raise EvidenceUnseenError(
                f"open the release{' and its contact sheet' if sheet else ''} before you sign (got {release!r})"
            )
    except (StageOrderError, ApprovalInvalidError, InvalidRequestError, UnauthenticatedError) as error:
        refused(
            gate,
            EventType.APPROVE_RELEASE_SIGN,
            actor=actor.id,
            object_id=release,
            release=release,
            reason=error.reason,
        )
        raise
    kept = present is not None and person is not None and _holds(gate, present, person)
    _record(gate, judged, present.jws if kept and present else statement, payload, kept=kept, actor=actor)


def _active(person: PersonRow | None, actor: Actor) -> PersonRow:
    if person is None or person.suspended_at is not None:
        raise UnauthenticatedError(f"no active person has this id (got {actor.id!r})")
    return person


def _holds(gate: Gate, row: ApprovalRow, person: PersonRow) -> bool:
    """Whether an approval on record still counts for as long as a new one would be looked at."""
    young = row.signed_at >= gate.clock() - timedelta(days=approval_days(gate))
    return young and _attested(gate, row) is not None and _stands(gate, row, person)


def _stands(gate: Gate, row: ApprovalRow, person: PersonRow) -> bool:
    """Whether an approval still has its weight: its person is not suspended, its security key not revoked."""
    if person.suspended_at is not None or not is_assertion(row.jws):
        return person.suspended_at is None
    registration = read_assertion(row.jws)["registration"]
    registered = verify_statement(registration, ACT_TYPE, public_key_of(person.public_jwk))
    return not is_revoked(gate, str(registered["credential"]))


def _record(
    gate: Gate, judged: Judged, statement: str, payload: Mapping[str, Any], *, kept: bool, actor: Actor
) -> None:
    release = judged.built.terms.release
    event = intended(
        EventType.APPROVE_RELEASE_SIGN,
        actor=actor.id,
        object_id=release,
        release=release,
        digests={**actor.digests, "release": judged.built.digest},
    )
    with gate.ledger.intent(event) as intent:
        with gate.database.transaction() as session:
            current = session.get_one(ReleaseRow, release, with_for_update=True)
            if current.state not in _OPEN:
                raise StageOrderError(f"release cannot be approved (got state {current.state!r})")
            if not kept:
                session.merge(
                    ApprovalRow(
                        release_id=release,
                        approver=actor.id,
                        digest=judged.built.digest,
                        jws=statement,
                        signed_at=datetime.fromisoformat(payload["signed_at"]),
                    )
                )
        # Until then the row is worth nothing: a kill in between leaves an open intent and no approval.
        intent.complete(digests={"approval": statement_digest(statement), "release": judged.built.digest})


def statement_digest(statement: str) -> str:
    """SHA-256 of an approval: how the ledger names it."""
    return hashlib.sha256(statement.encode()).hexdigest()


def withdraw_approval(gate: Gate, release: str, *, actor: Actor) -> None:
    """Take one's own approval back before the release goes out.

    Raises:
        ActDeniedError: Policy refuses.
        NotFoundError: There is no approval of this person.
        StageOrderError: The release is out or closed.
    """
    permit_on_release(gate, actor, "release.unapprove", release)
    with recorded(
        gate,
        EventType.APPROVE_RELEASE_WITHDRAW,
        actor=actor.id,
        object_id=release,
        release=release,
        digests=actor.digests,
    ) as session:
        current = session.get(ReleaseRow, release, with_for_update=True)
        if current is None or current.state not in _OPEN:
            found = current.state if current else "unknown"
            raise StageOrderError(f"approval cannot be withdrawn (got state {found!r})")
        row = session.get(ApprovalRow, (release, actor.id))
        if row is None:
            raise NotFoundError(f"no approval of {actor.id!r} (got release {release!r})")
        session.delete(row)
        current.state = ReleaseState.JUDGED


def _attested(gate: Gate, row: ApprovalRow) -> int | None:
    """The entry that attests an approval, None where its person's last word on the release is another."""
    wanted = EntryFilter(
        actor=row.approver, object=row.release_id, types=_APPROVALS, outcome=Outcome.COMPLETED
    )
    with gate.ledger.snapshot() as snapshot:
        last = find_page(snapshot, wanted, limit=1).entries
    if not last or last[0].event.type is not EventType.APPROVE_RELEASE_SIGN:
        return None
    digest = last[0].event.digests.get("approval")
    return last[0].index if digest == statement_digest(row.jws) else None


def verified_approvals(
    gate: Gate, session: ReadSession | WriteSession, judged: Judged, surveyed: Sequence[Surveyed]
) -> list[tuple[ApprovalRow, dict[str, Any]]]:
    """Every recorded approval with the facts that policy judges it by.

    Each signature is verified again, the ledger attests that it was given and not taken back, and whether its
    person had opened the evidence before is read there, too.

    Raises:
        EvidenceError: A signature does not verify, or the ledger attests another one or none.
    """
    sheet = has_sheet(gate, session, judged.built)
    certificates = [certificate_for(gate, session, [each], gate.clock()) for each in surveyed]
    found = []
    statement = (
        sa.select(ApprovalRow)
        .where(ApprovalRow.release_id == judged.built.terms.release)
        .order_by(ApprovalRow.approver)
    )
    for row in session.scalars(statement):
        person = session.get_one(PersonRow, row.approver)
        payload = verify_approval(judged, row.jws, person)
        entry = _attested(gate, row)
        if entry is None:
            raise EvidenceError(f"the ledger does not attest the approval of {row.approver!r}")
        signed_at = datetime.fromisoformat(payload["signed_at"])
        licensed = bool(certificates) and all(
            certificate is not None and certificate.valid_at(signed_at) for certificate in certificates
        )
        found.append(
            (
                row,
                {
                    "approver": row.approver,
                    "roles": list(person.roles) if _stands(gate, row, person) else [],
                    "digest": judged.built.digest,
                    "signature_verified": True,
                    "signed_at": instant(signed_at),
                    "licence_valid": licensed,
                    "evidence_seen": evidence_seen(
                        gate, judged.built, row.approver, sheet=sheet, before=entry
                    ),
                },
            )
        )
    return found

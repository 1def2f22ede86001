"""Approve: an operator's signature over a release digest, kept only if it verifies for this very digest."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from joserfc.jwk import OKPKey

from audit.events import EventType
from gateway.database import ReadSession, WriteSession
from gateway.errors import (
    ApprovalInvalidError,
    EvidenceError,
    InvalidRequestError,
    StageOrderError,
    UnauthenticatedError,
)
from gateway.flow.acts import recorded, refused
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.judge import load_judged
from gateway.flow.recording import Judged, ReleaseState
from gateway.flow.records import ApprovalRow, ReleaseRow
from gateway.people.records import PersonRow
from gateway.people.registry import Actor, certificate_for
from gateway.vault.errors import StatementError
from gateway.vault.jws import public_key_of, sign_statement, thumbprint, verify_statement

APPROVAL_TYPE = "fleetgate-approval+jwt"


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


def sign_approval(judged: Judged, approver: str, key: OKPKey, signed_at: datetime) -> str:
    """Sign an approval with the operator's own key."""
    return sign_statement(key, APPROVAL_TYPE, thumbprint(key), approval_payload(judged, approver, signed_at))


def verify_approval(judged: Judged, statement: str, person: PersonRow) -> dict[str, Any]:
    """Verify an approval.

    1. The signature is by the person's enrolled key. 2. The statement names that person. 3. Every term of the
    release and the decision's bundle is the one signed.

    Raises:
        EvidenceError: Any step fails; the message names what differs.
    """
    try:  # step 1
        payload = dict(verify_statement(statement, APPROVAL_TYPE, public_key_of(person.public_jwk)))
    except StatementError as error:
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


def _offered(judged: Judged, statement: str, person: PersonRow) -> dict[str, Any]:
    try:
        return verify_approval(judged, statement, person)
    except EvidenceError as error:
        raise ApprovalInvalidError(str(error)) from error


def approve(gate: Gate, release: str, statement: str, *, actor: Actor) -> None:
    """Record an operator's approval; the same person's earlier approval of this digest is kept.

    Raises:
        StageOrderError: The release is not judged, or already out.
        ApprovalInvalidError: The signature or its terms do not verify; the attempt is in the ledger.
        InvalidRequestError: The person is no operator, or submitted the release themselves (law 8).
    """
    with gate.database.read() as session:
        row = session.get(ReleaseRow, release)
        if row is None or row.state not in (ReleaseState.JUDGED, ReleaseState.APPROVED):
            raise StageOrderError(
                f"release cannot be approved (got state {row.state if row else 'unknown'!r})"
            )
        judged = load_judged(gate, session, release)
        person = session.get(PersonRow, actor.id)
    try:
        if person is None or person.suspended_at is not None:
            raise UnauthenticatedError(f"no active person has this id (got {actor.id!r})")
        if "operator" not in person.roles:
            raise InvalidRequestError(f"only an operator approves (got roles {person.roles})")
        if person.id == judged.built.terms.submitter:
            raise InvalidRequestError(f"the submitter cannot approve (got {person.id!r})")
        payload = _offered(judged, statement, person)
    except (ApprovalInvalidError, InvalidRequestError, UnauthenticatedError) as error:
        refused(
            gate,
            EventType.APPROVE_RELEASE_SIGN,
            actor=actor.id,
            object_id=release,
            release=release,
            reason=error.reason,
        )
        raise
    with recorded(
        gate,
        EventType.APPROVE_RELEASE_SIGN,
        actor=actor.id,
        object_id=release,
        release=release,
        digests={**actor.digests, "release": judged.built.digest},
    ) as session:
        if session.get(ApprovalRow, (release, actor.id)) is None:
            session.add(
                ApprovalRow(
                    release_id=release,
                    approver=actor.id,
                    digest=judged.built.digest,
                    jws=statement,
                    signed_at=datetime.fromisoformat(payload["signed_at"]),
                )
            )


def verified_approvals(
    gate: Gate, session: ReadSession | WriteSession, judged: Judged, region: str
) -> list[tuple[ApprovalRow, dict[str, Any]]]:
    """Every recorded approval with the facts that policy judges it by; each signature is verified again."""
    certificate = certificate_for(session, region, gate.clock())
    found = []
    statement = (
        sa.select(ApprovalRow)
        .where(ApprovalRow.release_id == judged.built.terms.release)
        .order_by(ApprovalRow.approver)
    )
    for row in session.scalars(statement):
        person = session.get_one(PersonRow, row.approver)
        verify_approval(judged, row.jws, person)
        licensed = certificate is not None and certificate.valid_from <= row.signed_at <= certificate.valid_to
        found.append(
            (
                row,
                {
                    "approver": row.approver,
                    "roles": list(person.roles) if person.suspended_at is None else [],
                    "digest": row.digest,
                    "signature_verified": True,
                    "signed_at": instant(row.signed_at),
                    "licence_valid": licensed,
                },
            )
        )
    return found

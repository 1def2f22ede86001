"""Approve by a security key: a fresh WebAuthn assertion over release digest, terms and decision."""

import secrets
from collections.abc import Mapping
from typing import Any

import rfc8785

from audit.events import EventType
from audit.verify_assertion import ACT, FORM
from gateway.errors import ApprovalInvalidError, ConflictError, EvidenceError, NotFoundError
from gateway.flow.acts import refused
from gateway.flow.approve import approval_payload, approve, require_approvable
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.permitted import permit_on_release
from gateway.people.challenges import issue_challenge, place_of, spend_challenge
from gateway.people.registry import Actor
from gateway.people.security_keys import SecurityKey, advance_counter, credentials_of, load_security_key
from gateway.vault.errors import StatementError
from gateway.vault.webauthn import (
    Assertion,
    read_assertion_response,
    request_options,
    verify_assertion_response,
)


def begin_approval(gate: Gate, release: str, *, actor: Actor) -> dict[str, Any]:
    """Options for ``navigator.credentials.get``, the text that the challenge stands for, and until when.

    The challenge is the SHA-256 of that text: RFC 8785 JSON of the act ``release.approve``, of what an approval
    says (release digest, policy bundle, recipient, purpose, expiry, approver, time) and of a nonce.

    Raises:
        SecurityKeysOffError: The settings name no place.
        NotFoundError: The person has no security key in use.
        StageOrderError: The release cannot be approved.
        ActDeniedError: The person may not approve it.
    """
    permit_on_release(gate, actor, "release.approve", release)
    place = place_of(gate)
    judged = require_approvable(gate, release)
    with gate.database.read() as session:
        credentials = credentials_of(session, actor.id)
    if not credentials:
        raise NotFoundError(f"no security key of {actor.id!r} in use")
    said: dict[str, Any] = {
        "act": ACT,
        "approval": approval_payload(judged, actor.id, gate.clock()),
        "nonce": secrets.token_urlsafe(32),
    }
    made = issue_challenge(gate, release, rfc8785.dumps(said).decode(), actor=actor)
    options = request_options(
        rp_id=place.rp_id, challenge=made.challenge, timeout_s=made.seconds, credentials=credentials
    )
    return {"options": options, "approval": made.text, "expires_at": instant(made.expires_at)}


def approve_by_assertion(gate: Gate, release: str, response: Mapping[str, Any], *, actor: Actor) -> None:
    """Record an approval that a security key gave.

    1. The challenge was made for this person and release, not answered before and in time. 2. The security key is
    theirs and not revoked. 3. It answered on one of our origins, for our RP id, verified its user, and its counter
    grew. 4. What it signed is an approval, and all that ``approve`` asks of one holds.

    Args:
        gate: The gate.
        release: Id of the release.
        response: AuthenticationResponseJSON of the authenticator.
        actor: Who approves.

    Raises:
        ActDeniedError: The person may not approve it.
        SecurityKeysOffError: The settings name no place.
        InvalidRequestError: Step 1 fails.
        ApprovalInvalidError: Step 2 or 3 fails, or what it signed is for other terms.
        StageOrderError: As of ``approve``.
    """
    permit_on_release(gate, actor, "release.approve", release)  # before a challenge is spent
    place = place_of(gate)
    try:
        assertion = read_assertion_response(response)
        text = spend_challenge(gate, assertion.challenge, release, actor=actor)  # 1
        with gate.database.read() as session:
            key = load_security_key(gate, session, assertion.credential, actor.id)  # 2
        sign_count = verify_assertion_response(  # 3
            assertion,
            challenge=assertion.challenge,
            rp_id=key.rp_id,
            origins=place.origins,
            cose_key=key.cose_key,
            sign_count=key.sign_count,
        )
        advance_counter(gate, key, sign_count, actor=actor)
    except (StatementError, NotFoundError, ConflictError, EvidenceError) as error:
        refused(
            gate,
            EventType.APPROVE_RELEASE_SIGN,
            actor=actor.id,
            object_id=release,
            release=release,
            reason=ApprovalInvalidError.reason,
            digests=actor.digests,
        )
        raise ApprovalInvalidError(str(error)) from error
    approve(gate, release, _document(text, key, assertion), actor=actor, asserted=True)  # 4


def _document(text: str, key: SecurityKey, assertion: Assertion) -> str:
    """The approval as it is kept: whatever is needed to verify it again, and nothing else."""
    members = {
        "form": FORM,
        "approval": text,
        "registration": key.statement,
        "authenticator_data": assertion.authenticator_data,
        "client_data": assertion.client_data,
        "signature": assertion.signature,
    }
    return rfc8785.dumps(members).decode()

"""Security keys of people (WebAuthn): registered by their enrolled key, verified at each use, revoked for good."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from joserfc.util import urlsafe_b64encode

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_page
from audit.verify_assertion import REGISTER
from gateway.database import ReadSession, WriteSession
from gateway.errors import ConflictError, EvidenceError, InvalidRequestError, NotFoundError
from gateway.flow.acts import recorded, refused
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.models.statements import digest_of, verified
from gateway.people.challenges import REGISTRATION, issue_challenge, place_of, spend_challenge
from gateway.people.permission import permit
from gateway.people.records import CredentialRow
from gateway.people.registry import Actor
from gateway.vault.errors import StatementError
from gateway.vault.webauthn import (
    RegisteredKey,
    creation_options,
    registration_challenge,
    spki_of,
    verify_registration,
)

_STANDING: Final = (EventType.PEOPLE_CREDENTIAL_REGISTER, EventType.PEOPLE_CREDENTIAL_REVOKE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityKey:
    """A security key whose registration verified.

    Attributes:
        credential: Credential id, base64url.
        statement: The registration that its holder signed.
        cose_key: Public key as COSE_Key.
        rp_id: The RP id that it is registered for.
        sign_count: Its counter at the last use.
    """

    credential: str
    statement: str
    cose_key: bytes
    rp_id: str
    sign_count: int


def object_of(credential: str) -> str:
    """How the ledger names a security key: SHA-256 of its credential id."""
    return hashlib.sha256(credential.encode()).hexdigest()


def credentials_of(session: ReadSession, person: str) -> list[str]:
    """Ids of a person's security keys that are in use."""
    statement = (
        sa.select(CredentialRow.id)
        .where(CredentialRow.person_id == person, CredentialRow.revoked_at.is_(None))
        .order_by(CredentialRow.id)
    )
    return list(session.scalars(statement))


def begin_registration(gate: Gate, *, actor: Actor) -> dict[str, Any]:
    """Options for ``navigator.credentials.create``, and until when they may be answered.

    Raises:
        ActDeniedError: Policy refuses.
        SecurityKeysOffError: The settings name no place.
    """
    permit(gate, actor, "security-key.add")
    place = place_of(gate)
    made = issue_challenge(gate, REGISTRATION, None, actor=actor)
    with gate.database.read() as session:
        known = credentials_of(session, actor.id)
    options = creation_options(
        rp_id=place.rp_id, person=actor.id, challenge=made.challenge, timeout_s=made.seconds, exclude=known
    )
    return {"options": options, "expires_at": instant(made.expires_at)}


def register_security_key(
    gate: Gate, response: Mapping[str, Any], statement: str, *, actor: Actor
) -> dict[str, Any]:
    """Register a security key.

    1. The challenge was made for this person's registration, not answered before and in time. 2. The authenticator
    answered it on one of our origins, for our RP id, and verified its user. 3. The person's enrolled key signed
    which credential and public key that is, and for which RP id. 4. Nobody registered it before.

    Args:
        gate: The gate.
        response: RegistrationResponseJSON of the authenticator.
        statement: Act ``credential.register`` with ``credential``, ``key`` (SubjectPublicKeyInfo, base64url),
            ``rp_id`` and ``person``.
        actor: Who registers.

    Raises:
        ActDeniedError: Policy refuses.
        SecurityKeysOffError: The settings name no place.
        InvalidRequestError: Step 1 fails.
        StatementError: Step 2 fails.
        EvidenceError: Step 3 fails.
        ConflictError: Step 4 fails.
    """
    permit(gate, actor, "security-key.add")
    place = place_of(gate)
    challenge = registration_challenge(response)
    spend_challenge(gate, challenge, REGISTRATION, actor=actor)  # 1
    try:
        key = verify_registration(
            response, challenge=challenge, rp_id=place.rp_id, origins=place.origins
        )  # 2
        with gate.database.read() as session:  # 3
            verified(
                session,
                statement,
                signer=actor.id,
                what="registration of a security key",
                expected=_said(key, place.rp_id),
            )
    except (StatementError, EvidenceError) as error:
        reason = InvalidRequestError.reason
        refused(
            gate,
            EventType.PEOPLE_CREDENTIAL_REGISTER,
            actor=actor.id,
            object_id=REGISTRATION,
            reason=reason,
            digests=actor.digests,
        )
        raise InvalidRequestError(str(error)) from error
    with recorded(
        gate,
        EventType.PEOPLE_CREDENTIAL_REGISTER,
        actor=actor.id,
        object_id=object_of(key.credential),
        digests={**actor.digests, "statement": digest_of(statement)},
    ) as session:
        if session.get(CredentialRow, key.credential) is not None:  # 4
            raise ConflictError("this security key is registered")
        session.add(
            CredentialRow(
                id=key.credential,
                person_id=actor.id,
                cose_key=key.cose_key,
                statement=statement,
                sign_count=key.sign_count,
                registered_at=gate.clock(),
            )
        )
    return {"credential": key.credential, "person": actor.id}


def _said(key: RegisteredKey, rp_id: str) -> dict[str, str]:
    return {
        "act": REGISTER,
        "credential": key.credential,
        "key": urlsafe_b64encode(key.spki).decode("ascii"),
        "rp_id": rp_id,
    }


def load_security_key(gate: Gate, session: ReadSession, credential: str, person: str) -> SecurityKey:
    """A person's security key, verified before use.

    1. It is registered for this person. 2. The ledger attests this very registration, and no revocation since.
    3. The person's enrolled key signed it, for the public key on record.

    Raises:
        NotFoundError: Step 1 fails, or it is revoked.
        EvidenceError: Another step fails.
    """
    row = session.get(CredentialRow, credential)
    if row is None or row.person_id != person or row.revoked_at is not None:  # 1
        raise NotFoundError(f"no security key of {person!r} in use (got {credential[:64]!r})")
    if _attested(gate, credential) != digest_of(row.statement):  # 2
        raise EvidenceError(f"the ledger does not attest the security key of {person!r}")
    rp_id = place_of(gate).rp_id
    key = RegisteredKey(
        credential=credential, cose_key=row.cose_key, spki=spki_of(row.cose_key), sign_count=row.sign_count
    )
    verified(  # 3
        session, row.statement, signer=person, what="security key", expected=_said(key, rp_id)
    )
    return SecurityKey(
        credential=credential,
        statement=row.statement,
        cose_key=row.cose_key,
        rp_id=rp_id,
        sign_count=row.sign_count,
    )


def _attested(gate: Gate, credential: str) -> str | None:
    """Digest of the registration that the ledger attests; None where its last word is a revocation, or nothing."""
    wanted = EntryFilter(object=object_of(credential), types=_STANDING, outcome=Outcome.COMPLETED)
    with gate.ledger.snapshot() as snapshot:
        last = find_page(snapshot, wanted, limit=1).entries
        if not last or last[0].event.type is EventType.PEOPLE_CREDENTIAL_REVOKE:
            return None
        begun = last[0].event.intent
    # Digests stand in the intent, which the completion names.
    return None if begun is None else gate.ledger.entry(begun).event.digests.get("statement")


def is_revoked(gate: Gate, credential: str) -> bool:
    """Whether the ledger knows no registration of a security key that stands."""
    return _attested(gate, credential) is None


def advance_counter(gate: Gate, key: SecurityKey, sign_count: int, *, actor: Actor) -> None:
    """Keep the counter of a use; one that did not grow since betrays a copied authenticator (WebAuthn 6.1.1).

    Raises:
        ConflictError: Another use with this or a higher counter came first.
    """
    with recorded(
        gate,
        EventType.PEOPLE_CREDENTIAL_USE,
        actor=actor.id,
        object_id=object_of(key.credential),
        digests=actor.digests,
        facts={"sign_count": sign_count},
    ) as session:
        row = session.get_one(CredentialRow, key.credential, with_for_update=True)
        if (sign_count or row.sign_count) and sign_count <= row.sign_count:
            raise ConflictError(
                f"counter of the security key (got {sign_count}, expected more than {row.sign_count})"
            )
        row.sign_count = sign_count


def revoke_security_key(gate: Gate, credential: str, *, actor: Actor) -> None:
    """Take a security key out of use for good: its holder does, an administrator or a compliance officer.

    What it approved and what has not gone out no longer counts.

    Raises:
        NotFoundError: There is no such security key.
        ActDeniedError: The person is none of these.
    """
    with gate.database.read() as session:
        row = session.get(CredentialRow, credential)
    own = row is None or row.person_id == actor.id
    permit(
        gate,
        actor,
        "security-key.revoke" if own else "security-key.revoke-other",
        on=object_of(credential),
        exists=row is not None,
    )
    if row is None:
        raise NotFoundError(f"no such security key (got {credential[:64]!r})")
    with recorded(
        gate,
        EventType.PEOPLE_CREDENTIAL_REVOKE,
        actor=actor.id,
        object_id=object_of(credential),
        digests=actor.digests,
    ) as session:
        _mark_revoked(gate, session, credential)


def _mark_revoked(gate: Gate, session: WriteSession, credential: str) -> None:
    row = session.get_one(CredentialRow, credential, with_for_update=True)
    row.revoked_at = row.revoked_at or gate.clock()

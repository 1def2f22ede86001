"""Enrolment of persons, vehicles, carriers, recipients and purposes."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from joserfc.jwk import OKPKey

from audit.events import EventType
from gateway.database import ReadSession, WriteSession
from gateway.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    UnauthenticatedError,
)
from gateway.flow.acts import recorded, refused
from gateway.flow.gate import Gate
from gateway.people.permission import permit
from gateway.people.records import (
    CarrierRow,
    PersonRow,
    PurposeRow,
    RecipientRow,
    VehicleRow,
)
from gateway.vault.errors import StatementError
from gateway.vault.jws import (
    PrivateKey,
    PublicKey,
    ed25519_key_of,
    public_key_of,
    sign_statement,
    thumbprint,
    verify_statement,
)
from gateway.vault.sm2 import Sm2PublicKey
from gateway.vault.suites import SM2SM3, SM4GCM, suite_by_name

ROLES = frozenset({"operator", "auditor", "compliance_officer", "annotator", "engineer", "administrator"})
ACT_TYPE = "fleetgate-act+jwt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Somebody who proved who they are.

    Attributes:
        id: Pseudonymous id; the only form in which people appear in the ledger.
        kind: ``person``, ``vehicle`` or ``gate`` (the gate's own jobs).
        roles: Roles of a person.
        nationality: ISO 3166-1 alpha-2.
        entity_country: Country of the entity that the person acts for.
        proof: SHA-256 of the signed statement or request that proved identity.
    """

    id: str
    kind: str = "person"
    roles: tuple[str, ...] = ()
    nationality: str = ""
    entity_country: str = ""
    recipient: str | None = None
    proof: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)


GATE_ACTOR = Actor(id="gate", kind="gate")


def actor_of(row: PersonRow, *, proof: str) -> Actor:
    """The actor of a person's row."""
    return Actor(
        id=row.id,
        roles=tuple(row.roles),
        nationality=row.nationality,
        entity_country=row.entity_country,
        recipient=row.recipient_id,
        proof=proof,
        digests={"proof": proof},
    )


def person_by_thumbprint(session: ReadSession | WriteSession, thumb: str) -> PersonRow | None:
    """The active person who enrolled the key of this RFC 7638 thumbprint."""
    return session.scalar(
        sa.select(PersonRow).where(PersonRow.thumbprint == thumb, PersonRow.suspended_at.is_(None))
    )


def vehicle_by_thumbprint(session: ReadSession | WriteSession, thumb: str) -> VehicleRow | None:
    """The active vehicle that enrolled the key of this RFC 7638 thumbprint."""
    return session.scalar(
        sa.select(VehicleRow).where(VehicleRow.thumbprint == thumb, VehicleRow.suspended_at.is_(None))
    )


def require_person(session: ReadSession | WriteSession, person_id: str) -> PersonRow:
    """The active person of this id.

    Raises:
        NotFoundError: Nobody active has this id.
    """
    row = session.get(PersonRow, person_id)
    if row is None or row.suspended_at is not None:
        raise NotFoundError(f"no active person has this id (got {person_id!r})")
    return row


def prove(gate: Gate, person_id: str, key: PrivateKey, act: str) -> Actor:
    """Prove possession of an enrolled key for one act on this machine.

    Raises:
        UnauthenticatedError: The person is unknown or the key is not theirs; the attempt is in the ledger.
    """
    statement = sign_statement(
        key, ACT_TYPE, thumbprint(key), {"act": act, "at": gate.clock().isoformat(), "person": person_id}
    )
    with gate.database.read() as session:
        row = session.get(PersonRow, person_id)
    try:
        if row is None or row.suspended_at is not None:
            raise UnauthenticatedError(f"no active person has this id (got {person_id!r})")
        enrolled = public_key_of(row.public_jwk)
        verify_statement(statement, ACT_TYPE, enrolled)
        require_suitable(gate, enrolled)
    except (StatementError, UnauthenticatedError, InvalidRequestError) as error:
        refused(gate, EventType.AUTH_REQUEST_REFUSE, actor="unknown", object_id=act, reason="unauthenticated")
        raise UnauthenticatedError(f"the key is not that of {person_id!r}: {error}") from error
    return actor_of(row, proof=_digest(statement.encode()))


def require_suitable(gate: Gate, key: PublicKey) -> None:
    """Let only keys act that the gate's suite signs by: Ed25519 in either, SM2 in the commercial one.

    What an SM2 key signed before stays verifiable under the other suite; nothing new is taken from it.

    Raises:
        InvalidRequestError: The key is an SM2 key, and the gate's suite is another.
    """
    suite = suite_by_name(gate.settings.suite)
    if isinstance(key, Sm2PublicKey) and suite.signature != SM2SM3:
        raise InvalidRequestError(
            f"the gate's suite takes no SM2 keys of people (got suite {suite.name!r}, expected {SM4GCM.name!r})"
        )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPerson:
    """A person to enrol."""

    id: str
    roles: Sequence[str]
    nationality: str
    entity_country: str
    public_jwk: str
    recipient: str | None = None


def require_country(code: str) -> None:
    """A country code.

    Raises:
        InvalidRequestError: It is none of ISO 3166-1 alpha-2.
    """
    if len(code) != 2 or not (code.isascii() and code.isalpha() and code.isupper()):  # noqa: PLR2004 (ISO 3166-1)
        raise InvalidRequestError(f"not an ISO 3166-1 alpha-2 country code (got {code!r})")


def enrol_person(gate: Gate, person: NewPerson, *, by: str) -> None:
    """Enrol a person; enrolling the same person with the same key again changes nothing.

    Raises:
        InvalidRequestError: A role, country code or recipient is unknown, or the gate's suite knows no SM2.
        ConflictError: The id or key belongs to somebody else.
    """
    unknown = sorted(set(person.roles) - ROLES)
    if unknown or not person.roles:
        raise InvalidRequestError(
            f"unknown roles (got {unknown or 'none'}, expected some of {sorted(ROLES)})"
        )
    require_country(person.nationality)
    require_country(person.entity_country)
    if person.recipient is not None:
        with gate.database.read() as session:
            if session.get(RecipientRow, person.recipient) is None:
                raise InvalidRequestError(f"recipient is not registered (got {person.recipient!r})")
    key = public_key_of(person.public_jwk)
    require_suitable(gate, key)
    thumb = thumbprint(key)
    with recorded(
        gate,
        EventType.PEOPLE_PERSON_ENROL,
        actor=by,
        object_id=person.id,
        facts={"roles": ",".join(sorted(person.roles))},
    ) as session:
        present = session.get(PersonRow, person.id) or person_by_thumbprint(session, thumb)
        if present is not None and (present.id, present.thumbprint) != (person.id, thumb):
            raise ConflictError(f"id or key is enrolled for somebody else (got {person.id!r})")
        if present is None:
            session.add(
                PersonRow(
                    id=person.id,
                    roles=sorted(person.roles),
                    nationality=person.nationality,
                    entity_country=person.entity_country,
                    recipient_id=person.recipient,
                    public_jwk=person.public_jwk,
                    thumbprint=thumb,
                    enrolled_at=gate.clock(),
                )
            )


def enrol_vehicle(gate: Gate, vehicle_id: str, public_jwk: str, *, actor: Actor) -> None:
    """Enrol a vehicle by its public key (rule 3).

    Raises:
        ActDeniedError: Policy refuses.
        ConflictError: The id or key belongs to another vehicle.
    """
    permit(gate, actor, "vehicle.add", on=vehicle_id)
    thumb = thumbprint(ed25519_key_of(public_jwk))
    with recorded(
        gate,
        EventType.PEOPLE_VEHICLE_ENROL,
        actor=actor.id,
        object_id=vehicle_id,
        vehicle=vehicle_id,
        digests=actor.digests,
    ) as session:
        present = session.get(VehicleRow, vehicle_id) or vehicle_by_thumbprint(session, thumb)
        if present is not None and (present.id, present.thumbprint) != (vehicle_id, thumb):
            raise ConflictError(f"id or key is enrolled for another vehicle (got {vehicle_id!r})")
        if present is None:
            session.add(
                VehicleRow(
                    id=vehicle_id,
                    public_jwk=public_jwk,
                    thumbprint=thumb,
                    enrolled_by=actor.id,
                    enrolled_at=gate.clock(),
                )
            )


def vehicle_key(gate: Gate, vehicle_id: str) -> OKPKey:
    """The public key of an enrolled vehicle.

    Raises:
        UnauthenticatedError: No active vehicle has this id.
    """
    with gate.database.read() as session:
        row = session.get(VehicleRow, vehicle_id)
    if row is None or row.suspended_at is not None:
        raise UnauthenticatedError(f"no active vehicle has this id (got {vehicle_id!r})")
    return ed25519_key_of(row.public_jwk)


def check_in_carrier(gate: Gate, carrier_id: str, *, actor: Actor, key: PrivateKey) -> None:
    """Record a disk's check-in, signed by a compliance officer (rule 3).

    Raises:
        ActDeniedError: Policy refuses.
        ConflictError: Somebody else checked this carrier in.
    """
    permit(gate, actor, "carrier.checkin", on=carrier_id)
    statement = sign_statement(
        key, ACT_TYPE, thumbprint(key), {"act": "carrier.checkin", "carrier": carrier_id, "person": actor.id}
    )
    with recorded(
        gate,
        EventType.PEOPLE_CARRIER_CHECKIN,
        actor=actor.id,
        object_id=carrier_id,
        digests={**actor.digests, "statement": _digest(statement.encode())},
    ) as session:
        present = session.get(CarrierRow, carrier_id)
        if present is not None and present.checked_in_by != actor.id:
            raise ConflictError(f"carrier was checked in by somebody else (got {carrier_id!r})")
        if present is None:
            session.add(
                CarrierRow(
                    id=carrier_id,
                    checked_in_by=actor.id,
                    statement=statement,
                    checked_in_at=gate.clock(),
                )
            )


def register_recipient(gate: Gate, recipient_id: str, *, country: str, contract: str, actor: Actor) -> None:
    """Register an organisation that may receive releases.

    Raises:
        ActDeniedError: Policy refuses.
    """
    permit(gate, actor, "recipient.add", on=recipient_id)
    with recorded(
        gate,
        EventType.PEOPLE_RECIPIENT_REGISTER,
        actor=actor.id,
        object_id=recipient_id,
        recipient=recipient_id,
        digests=actor.digests,
        facts={"country": country},
    ) as session:
        session.merge(
            RecipientRow(id=recipient_id, country=country, contract=contract, registered_at=gate.clock())
        )


def register_purpose(gate: Gate, name: str, *, assessment: str, actor: Actor) -> None:
    """Register a purpose with the assessment that covers it.

    Raises:
        ActDeniedError: Policy refuses.
    """
    permit(gate, actor, "purpose.add", on=name)
    with recorded(
        gate,
        EventType.PEOPLE_PURPOSE_REGISTER,
        actor=actor.id,
        object_id=name,
        purpose=name,
        digests=actor.digests,
    ) as session:
        session.merge(PurposeRow(name=name, assessment=assessment, registered_at=gate.clock()))

"""Tables of persons, vehicles, carriers, certificates, recipients, purposes, zone files and policy statements."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from gateway.database import Base


class PersonRow(Base):
    """A person by pseudonymous id; the key is the person's, the gate holds its public half."""

    __tablename__ = "person"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    roles: Mapped[list[str]]
    nationality: Mapped[str] = mapped_column(sa.String(2))
    entity_country: Mapped[str] = mapped_column(sa.String(2))
    recipient_id: Mapped[str | None] = mapped_column(sa.ForeignKey("recipient.id"))
    public_jwk: Mapped[str] = mapped_column(sa.Text())
    thumbprint: Mapped[str] = mapped_column(sa.String(64), unique=True)
    enrolled_at: Mapped[datetime]
    suspended_at: Mapped[datetime | None]


class CredentialRow(Base):
    """A person's security key (WebAuthn), under the statement by which its holder registered it.

    ``sign_count`` is the authenticator's counter at its last use; everything else is in the statement, too.
    """

    __tablename__ = "credential"

    id: Mapped[str] = mapped_column(sa.String(1400), primary_key=True)
    person_id: Mapped[str] = mapped_column(sa.ForeignKey("person.id"), index=True)
    cose_key: Mapped[bytes]
    statement: Mapped[str] = mapped_column(sa.Text())
    sign_count: Mapped[int] = mapped_column(sa.BigInteger())
    registered_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class ChallengeRow(Base):
    """A challenge that a security key may answer once; gone when it was answered or its time is over.

    ``text`` is what the challenge stands for: empty for a registration.
    """

    __tablename__ = "challenge"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    person_id: Mapped[str] = mapped_column(sa.ForeignKey("person.id"), index=True)
    subject: Mapped[str] = mapped_column(sa.String(64))
    text: Mapped[str] = mapped_column(sa.Text())
    expires_at: Mapped[datetime] = mapped_column(index=True)


class VehicleRow(Base):
    """An enrolled vehicle."""

    __tablename__ = "vehicle"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    public_jwk: Mapped[str] = mapped_column(sa.Text())
    thumbprint: Mapped[str] = mapped_column(sa.String(64), unique=True)
    enrolled_by: Mapped[str] = mapped_column(sa.ForeignKey("person.id"))
    enrolled_at: Mapped[datetime]
    suspended_at: Mapped[datetime | None]


class CarrierRow(Base):
    """A disk whose check-in a compliance officer signed."""

    __tablename__ = "carrier"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    checked_in_by: Mapped[str] = mapped_column(sa.ForeignKey("person.id"))
    statement: Mapped[str] = mapped_column(sa.Text())
    checked_in_at: Mapped[datetime]


class CertificateRow(Base):
    """A surveying certificate as it was registered before grade and holder were: shown, and never sufficient."""

    __tablename__ = "certificate"

    number: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    kinds: Mapped[list[str]]
    regions: Mapped[list[str]]
    valid_from: Mapped[datetime]
    valid_to: Mapped[datetime]
    document_digest: Mapped[str] = mapped_column(sa.String(64))
    unverified: Mapped[bool]
    registered_by: Mapped[str] = mapped_column(sa.ForeignKey("person.id"))


class PaperRow(Base):
    """A signed statement of a compliance officer with the sealed document that it rests on; never changed."""

    __tablename__ = "paper"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    act: Mapped[str] = mapped_column(sa.String(64), index=True)
    subject: Mapped[str] = mapped_column(sa.String(200), index=True)
    statement: Mapped[str] = mapped_column(sa.Text())
    sealed: Mapped[bytes | None]
    signed_by: Mapped[str] = mapped_column(sa.ForeignKey("person.id"))
    recorded_at: Mapped[datetime]


class RecipientRow(Base):
    """An organisation that may receive releases (COMPLIANCE.md D1)."""

    __tablename__ = "recipient"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    country: Mapped[str] = mapped_column(sa.String(2))
    contract: Mapped[str] = mapped_column(sa.String(128))
    registered_at: Mapped[datetime]


class PurposeRow(Base):
    """A registered purpose with the assessment that covers it."""

    __tablename__ = "purpose"

    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    assessment: Mapped[str] = mapped_column(sa.String(128))
    registered_at: Mapped[datetime]


class ZoneFileRow(Base):
    """An installed restricted-zone file: sealed content and the compliance officer's signature over its digest."""

    __tablename__ = "zone_file"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    version: Mapped[int] = mapped_column(unique=True)
    statement: Mapped[str] = mapped_column(sa.Text())
    sealed: Mapped[bytes]
    installed_by: Mapped[str] = mapped_column(sa.ForeignKey("person.id"))
    installed_at: Mapped[datetime]


class PolicyBundleRow(Base):
    """The files of a policy bundle, its golden vectors among them, sealed under the gate's key."""

    __tablename__ = "policy_bundle"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    sealed: Mapped[bytes]
    added_at: Mapped[datetime]


class PolicyProposalRow(Base):
    """One person's signed proposal to put a bundle into force for a period."""

    __tablename__ = "policy_proposal"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    bundle_digest: Mapped[str] = mapped_column(sa.ForeignKey("policy_bundle.digest"), index=True)
    statement: Mapped[str] = mapped_column(sa.Text())
    proposed_by: Mapped[str] = mapped_column(sa.ForeignKey("person.id"))
    proposed_at: Mapped[datetime]


class PolicyStatementRow(Base):
    """A signed statement that puts a policy bundle into force for a period (rule 1).

    One of an operator's own bundle has the ``proposal`` that it rests on and the second person's ``approval``.
    """

    __tablename__ = "policy_statement"

    id: Mapped[int] = mapped_column(sa.Integer(), primary_key=True)
    bundle_digest: Mapped[str] = mapped_column(sa.String(64), index=True)
    statement: Mapped[str] = mapped_column(sa.Text())
    installed_at: Mapped[datetime]
    proposal: Mapped[str | None] = mapped_column(sa.ForeignKey("policy_proposal.digest"), unique=True)
    approval: Mapped[str | None] = mapped_column(sa.Text())
    installed_by: Mapped[str | None] = mapped_column(sa.ForeignKey("person.id"))


class GateSecretRow(Base):
    """The gate's own key-encryption key id and start-up facts; one row."""

    __tablename__ = "gate"

    id: Mapped[int] = mapped_column(sa.Integer(), primary_key=True)
    kek_id: Mapped[str] = mapped_column(sa.String(64))
    initialised_at: Mapped[datetime]

"""Tables of the flow. Whatever could describe content (names, positions, findings, reasons) is sealed bytes."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from gateway.database import Base
from gateway.flow.recording import ItemState, RecordingState, ReleaseState


class RecordingRow(Base):
    """What one vehicle or carrier delivers for one drive."""

    __tablename__ = "recording"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    source_kind: Mapped[str] = mapped_column(sa.String(16))
    source_id: Mapped[str] = mapped_column(sa.String(128), index=True)
    kek_id: Mapped[str] = mapped_column(sa.String(64))
    state: Mapped[str] = mapped_column(sa.String(16), default=RecordingState.RECEIVED, index=True)
    manifest_digest: Mapped[str] = mapped_column(sa.String(64))
    manifest_sealed: Mapped[bytes]
    item_count: Mapped[int]
    region: Mapped[str] = mapped_column(sa.String(6))
    crs: Mapped[str] = mapped_column(sa.String(64))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    zone_attestation: Mapped[str | None] = mapped_column(sa.Text())
    held_entry: Mapped[int | None] = mapped_column(sa.BigInteger())
    retain_until: Mapped[datetime | None]
    received_at: Mapped[datetime] = mapped_column(index=True)
    lease_owner: Mapped[str | None] = mapped_column(sa.String(64))
    lease_until: Mapped[datetime | None]
    raw_expired_at: Mapped[datetime | None]
    erased_at: Mapped[datetime | None]


class ItemRow(Base):
    """One file of a recording."""

    __tablename__ = "item"
    __table_args__ = (
        sa.UniqueConstraint("recording_id", "position"),
        # Whether any item is still awaited is asked once for each that arrives.
        sa.Index("ix_item_recording_id_state", "recording_id", "state"),
    )

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    recording_id: Mapped[str] = mapped_column(sa.ForeignKey("recording.id"))
    position: Mapped[int]
    state: Mapped[str] = mapped_column(sa.String(16), default=ItemState.AWAITED, index=True)
    content_digest: Mapped[str | None] = mapped_column(sa.String(64), index=True)
    original_seal: Mapped[str | None] = mapped_column(sa.Text())
    treated_seal: Mapped[str | None] = mapped_column(sa.Text())
    mask_seal: Mapped[str | None] = mapped_column(sa.Text())
    held_reason: Mapped[str | None] = mapped_column(sa.String(64))
    held_sealed: Mapped[bytes | None]


class CleansingCheckpointRow(Base):
    """What is done of an item whose cleansing takes long; gone when it is cleansed, held or erased.

    ``basis`` is the digest of everything that the work rests on: under another one it counts for nothing.
    """

    __tablename__ = "cleansing_checkpoint"

    item_id: Mapped[str] = mapped_column(sa.ForeignKey("item.id"), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(128), primary_key=True)
    basis: Mapped[str] = mapped_column(sa.String(64))
    seal: Mapped[str] = mapped_column(sa.Text())


class RejectedUploadRow(Base):
    """Bytes that a sender delivered and that are not what its signed manifest announces: kept, sealed."""

    __tablename__ = "rejected_upload"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    item_id: Mapped[str] = mapped_column(sa.ForeignKey("item.id"), index=True)
    seal: Mapped[str] = mapped_column(sa.Text())
    content_digest: Mapped[str] = mapped_column(sa.String(64))
    reason: Mapped[str] = mapped_column(sa.String(64))
    received_at: Mapped[datetime]


class EvidenceRow(Base):
    """Sealed evidence of one stage of one item or release, chained to the evidence that it rests on.

    A stage is passed once; only attacks are run as often as somebody likes, and every run is kept.
    """

    __tablename__ = "evidence"
    __table_args__ = (
        sa.Index(
            "uq_evidence_owner_id_stage_once",
            "owner_id",
            "stage",
            unique=True,
            sqlite_where=sa.text("stage <> 'attacked'"),
            postgresql_where=sa.text("stage <> 'attacked'"),
        ),
        sa.Index("ix_evidence_owner_id_stage", "owner_id", "stage"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)
    owner_id: Mapped[str] = mapped_column(sa.String(64))
    stage: Mapped[str] = mapped_column(sa.String(16))
    kek_id: Mapped[str] = mapped_column(sa.String(64))
    digest: Mapped[str] = mapped_column(sa.String(64))
    previous: Mapped[str] = mapped_column(sa.String(64))
    sealed: Mapped[bytes]
    ledger_index: Mapped[int] = mapped_column(sa.BigInteger())


class AskedQuestionRow(Base):
    """What policy was asked and answered; the ledger's entry of this index attests it by digest."""

    __tablename__ = "asked_question"

    ledger_index: Mapped[int] = mapped_column(sa.BigInteger(), primary_key=True, autoincrement=False)
    point: Mapped[str] = mapped_column(sa.String(16))
    owner_id: Mapped[str] = mapped_column(sa.String(64), index=True)
    kek_id: Mapped[str] = mapped_column(sa.String(64))
    sealed: Mapped[bytes]


class ReleaseRow(Base):
    """A release from its request on."""

    __tablename__ = "release"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    submitter: Mapped[str] = mapped_column(sa.ForeignKey("person.id"))
    purpose: Mapped[str] = mapped_column(sa.ForeignKey("purpose.name"))
    recipient: Mapped[str] = mapped_column(sa.ForeignKey("recipient.id"), index=True)
    mode: Mapped[str] = mapped_column(sa.String(16))
    destination_zone: Mapped[str] = mapped_column(sa.String(16))
    map_number: Mapped[str | None] = mapped_column(sa.String(64))
    dpia_reference: Mapped[str | None] = mapped_column(sa.String(128))
    profile_name: Mapped[str] = mapped_column(sa.String(64))
    profile_digest: Mapped[str] = mapped_column(sa.String(64))
    kek_id: Mapped[str] = mapped_column(sa.String(64))
    unlink_sealed: Mapped[bytes]
    state: Mapped[str] = mapped_column(sa.String(16), default=ReleaseState.REQUESTED, index=True)
    digest: Mapped[str | None] = mapped_column(sa.String(64))
    manifest_jws: Mapped[str | None] = mapped_column(sa.Text())
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    released_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class ReleaseRecordingRow(Base):
    """Which recordings a release draws on."""

    __tablename__ = "release_recording"

    release_id: Mapped[str] = mapped_column(sa.ForeignKey("release.id"), primary_key=True)
    recording_id: Mapped[str] = mapped_column(sa.ForeignKey("recording.id"), primary_key=True, index=True)


class ReleaseItemRow(Base):
    """One unlinked item of a release."""

    __tablename__ = "release_item"
    __table_args__ = (sa.UniqueConstraint("release_id", "name"), sa.UniqueConstraint("release_id", "item_id"))

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)
    release_id: Mapped[str] = mapped_column(sa.ForeignKey("release.id"), index=True)
    item_id: Mapped[str] = mapped_column(sa.ForeignKey("item.id"), index=True)
    name: Mapped[str] = mapped_column(sa.String(128))
    seal: Mapped[str | None] = mapped_column(sa.Text())
    mask_seal: Mapped[str | None] = mapped_column(sa.Text())
    kek_id: Mapped[str] = mapped_column(sa.String(64))
    sealed: Mapped[bytes]


class ApprovalRow(Base):
    """An operator's signature over a release digest."""

    __tablename__ = "approval"

    release_id: Mapped[str] = mapped_column(sa.ForeignKey("release.id"), primary_key=True)
    approver: Mapped[str] = mapped_column(sa.ForeignKey("person.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(sa.String(64))
    jws: Mapped[str] = mapped_column(sa.Text())
    signed_at: Mapped[datetime]


class SlopeReviewRow(Base):
    """A compliance officer's signed decision about the slopes of a candidate; the ledger attests it by digest."""

    __tablename__ = "slope_review"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    release_id: Mapped[str] = mapped_column(sa.ForeignKey("release.id"), index=True)
    reviewer: Mapped[str] = mapped_column(sa.ForeignKey("person.id"))
    sealed: Mapped[bytes]


class QualityRecordRow(Base):
    """A reviewer's signed counts of sampled pictures of a candidate; the ledger attests it by digest."""

    __tablename__ = "quality_record"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    release_id: Mapped[str] = mapped_column(sa.ForeignKey("release.id"), index=True)
    reviewer: Mapped[str] = mapped_column(sa.ForeignKey("person.id"))
    sealed: Mapped[bytes]


class GrantRow(Base):
    """A principal's time-boxed right to read one release for its purpose."""

    __tablename__ = "grant"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    release_id: Mapped[str] = mapped_column(sa.ForeignKey("release.id"), index=True)
    principal: Mapped[str] = mapped_column(sa.ForeignKey("person.id"), index=True)
    purpose: Mapped[str] = mapped_column(sa.String(64))
    issued_by: Mapped[str] = mapped_column(sa.ForeignKey("person.id"))
    not_before: Mapped[datetime]
    not_after: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class ArtefactRow(Base):
    """What a principal derived from releases, under the principal's sealed statement; the ledger attests it.

    ``id`` is the statement's SHA-256.
    """

    __tablename__ = "artefact"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    principal: Mapped[str] = mapped_column(sa.ForeignKey("person.id"), index=True)
    sealed: Mapped[bytes]
    registered_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class JobRunRow(Base):
    """When each scheduled job last finished, and what it reported."""

    __tablename__ = "job_run"

    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    finished_at: Mapped[datetime]
    result: Mapped[dict[str, Any]]

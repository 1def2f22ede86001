"""Request: what somebody asks to be released, and on which terms."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import rfc8785
import sqlalchemy as sa

from audit.events import EventType
from gateway.database import ReadSession, WriteSession
from gateway.errors import InvalidRequestError, NotFoundError, StageOrderError
from gateway.flow.acts import recorded
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.recording import (
    PersonId,
    RecordingId,
    RecordingState,
    ReleaseId,
    ReleaseMode,
    ReleaseTerms,
)
from gateway.flow.records import (
    RecordingRow,
    ReleaseRecordingRow,
    ReleaseRow,
)
from gateway.people.permission import permit
from gateway.people.records import PurposeRow, RecipientRow
from gateway.people.registry import Actor
from gateway.vault.values import seal_value


def _item_context(release: str, name: str) -> bytes:
    return rfc8785.dumps({"name": name, "owner": release, "role": "release-item"})


_DESTINATIONS = frozenset({"in_zone", "partner", "public", "foreign"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRequest:
    """What somebody asks to be released."""

    recordings: Sequence[str]
    purpose: str
    recipient: str
    mode: ReleaseMode
    expires_at: datetime
    destination_zone: str = "in_zone"
    map_number: str | None = None
    dpia_reference: str | None = None


def request_release(gate: Gate, request: ReleaseRequest, *, actor: Actor) -> ReleaseId:
    """Record a request for a release; nothing is built yet.

    Raises:
        ActDeniedError: Policy refuses.
        InvalidRequestError: No recordings, an unknown destination, or an expiry in the past.
        NotFoundError: A recording, purpose or recipient does not exist.
        StageOrderError: A recording is not cleansed.
    """
    permit(gate, actor, "release.request")
    if not request.recordings or len(set(request.recordings)) != len(request.recordings):
        raise InvalidRequestError(f"name each recording once (got {list(request.recordings)})")
    if request.destination_zone not in _DESTINATIONS:
        raise InvalidRequestError(
            f"unknown destination zone (got {request.destination_zone!r}, expected one of {sorted(_DESTINATIONS)})"
        )
    if request.expires_at <= gate.clock():
        raise InvalidRequestError(f"expiry lies in the past (got {instant(request.expires_at)})")
    release = ReleaseId(secrets.token_hex(16))
    kek = f"rel-{release}"
    with recorded(
        gate,
        EventType.RELEASE_RELEASE_REQUEST,
        actor=actor.id,
        object_id=release,
        release=release,
        purpose=request.purpose,
        recipient=request.recipient,
        digests=actor.digests,
        facts={"mode": request.mode.value, "recordings": len(request.recordings)},
    ) as session:
        _check_references(session, request)
        gate.keystore.ensure_kek(kek)
        unlink = seal_value(
            gate.keystore, kek_id=kek, context=unlink_context(release), plaintext=secrets.token_bytes(32)
        )
        session.add(
            ReleaseRow(
                id=release,
                submitter=actor.id,
                purpose=request.purpose,
                recipient=request.recipient,
                mode=request.mode.value,
                destination_zone=request.destination_zone,
                map_number=request.map_number,
                dpia_reference=request.dpia_reference,
                profile_name=gate.profile.profile.name,
                profile_digest=gate.profile.digest,
                kek_id=kek,
                unlink_sealed=unlink,
                created_at=gate.clock(),
                expires_at=request.expires_at,
            )
        )
        session.flush()
        session.add_all(ReleaseRecordingRow(release_id=release, recording_id=r) for r in request.recordings)
    return release


def _check_references(session: WriteSession, request: ReleaseRequest) -> None:
    if session.get(PurposeRow, request.purpose) is None:
        raise NotFoundError(f"purpose is not registered (got {request.purpose!r})")
    if session.get(RecipientRow, request.recipient) is None:
        raise NotFoundError(f"recipient is not registered (got {request.recipient!r})")
    for recording in request.recordings:
        row = session.get(RecordingRow, recording)
        if row is None:
            raise NotFoundError(f"no such recording (got {recording!r})")
        if row.state != RecordingState.CLEANSED:
            raise StageOrderError(f"recording is not cleansed (got {recording!r} in state {row.state!r})")


def unlink_context(release: str) -> bytes:
    """Context of a release's sealed unlinking secret."""
    return rfc8785.dumps({"owner": release, "role": "unlink"})


def known_release(session: ReadSession | WriteSession, release: str) -> ReleaseRow:
    """The row of a release that was requested.

    Raises:
        NotFoundError: There is no such release.
    """
    if (row := session.get(ReleaseRow, release)) is None:
        raise NotFoundError(f"no such release (got {release!r})")
    return row


def terms_of(session: ReadSession | WriteSession, release: str) -> ReleaseTerms:
    """The terms of a release as requested.

    Raises:
        NotFoundError: There is no such release.
    """
    row = known_release(session, release)
    recordings = session.scalars(
        sa.select(ReleaseRecordingRow.recording_id)
        .where(ReleaseRecordingRow.release_id == release)
        .order_by(ReleaseRecordingRow.recording_id)
    )
    return ReleaseTerms(
        release=ReleaseId(release),
        submitter=PersonId(row.submitter),
        recordings=tuple(RecordingId(r) for r in recordings),
        purpose=row.purpose,
        recipient=row.recipient,
        mode=ReleaseMode(row.mode),
        destination_zone=row.destination_zone,
        map_number=row.map_number,
        dpia_reference=row.dpia_reference,
        created_at=row.created_at,
        expires_at=row.expires_at,
        profile_name=row.profile_name,
        profile_digest=row.profile_digest,
    )

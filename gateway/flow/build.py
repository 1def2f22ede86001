"""Build a release candidate: request, then unlink every cleansed item under secrets of this release (law 7)."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import rfc8785
import sqlalchemy as sa

from anonymize.errors import AnonymizeError, ResidualError
from anonymize.finding import FindingKind
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.local import to_local, write_local_csv
from anonymize.geo.offset import offset_track
from anonymize.geo.residual import scan_track
from anonymize.residual import ResidualReport
from audit.events import EventType
from audit.intent import Intent
from gateway.database import ReadSession, WriteSession
from gateway.errors import ConflictError, EvidenceError, InvalidRequestError, NotFoundError, StageOrderError
from gateway.flow import evidence
from gateway.flow.acts import intended, recorded
from gateway.flow.classify import TRACK_KINDS, read_track
from gateway.flow.cleanse import load_cleansed, write_track
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.recording import (
    Built,
    BuiltItem,
    Cleansed,
    DataClass,
    ItemId,
    ItemState,
    Level,
    PersonId,
    RecordingId,
    RecordingState,
    ReleaseId,
    ReleaseMode,
    ReleaseState,
    ReleaseTerms,
    Stage,
)
from gateway.flow.records import (
    ApprovalRow,
    ItemRow,
    RecordingRow,
    ReleaseItemRow,
    ReleaseRecordingRow,
    ReleaseRow,
)
from gateway.people.records import PurposeRow, RecipientRow
from gateway.people.registry import GATE_ACTOR, Actor
from gateway.vault.store import Context
from gateway.vault.values import open_value, seal_value

_EXTENSIONS = {
    ItemKind.JPEG: "jpg",
    ItemKind.PNG: "png",
    ItemKind.GPX: "gpx",
    ItemKind.CSV_TRACK: "csv",
    ItemKind.GEOJSON_TRACK: "geojson",
    ItemKind.KITTI_POINTS: "bin",
    ItemKind.JSON: "json",
    ItemKind.TEXT: "txt",
}
SUBJECTS = (FindingKind.FACE, FindingKind.PLATE)
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
        InvalidRequestError: No recordings, an unknown destination, or an expiry in the past.
        NotFoundError: A recording, purpose or recipient does not exist.
        StageOrderError: A recording is not cleansed.
    """
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
            gate.keystore, kek_id=kek, context=_unlink_context(release), plaintext=secrets.token_bytes(32)
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


def _unlink_context(release: str) -> bytes:
    return rfc8785.dumps({"owner": release, "role": "unlink"})


def _item_context(release: str, name: str) -> bytes:
    return rfc8785.dumps({"name": name, "owner": release, "role": "release-item"})


def terms_of(session: ReadSession | WriteSession, release: str) -> ReleaseTerms:
    """The terms of a release as requested.

    Raises:
        NotFoundError: There is no such release.
    """
    row = session.get(ReleaseRow, release)
    if row is None:
        raise NotFoundError(f"no such release (got {release!r})")
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


def build_release(gate: Gate, release: str) -> None:
    """Unlink, re-scan and seal every cleansed item of a requested release; resumes where it stopped.

    An item that cannot be unlinked (a track shorter than its trims, a residual finding) is left out, with the
    reason in the evidence; the rest of the release does not depend on it.

    Raises:
        StageOrderError: The release is past building.
        ConflictError: The profile in force is no longer the one the release was requested under.
        InvalidRequestError: No item is left to offer.
    """
    with gate.database.read() as session:
        terms = terms_of(session, release)
        row = session.get_one(ReleaseRow, release)
        if row.state != ReleaseState.REQUESTED:
            raise StageOrderError(f"release is past building (got state {row.state!r})")
        if terms.profile_digest != gate.profile.digest:
            raise ConflictError(f"profile changed since the request (got {gate.profile.digest})")
        unlink = open_value(
            gate.keystore, kek_id=row.kek_id, context=_unlink_context(release), sealed=row.unlink_sealed
        )
        statement = (
            sa.select(ItemRow.id)
            .where(ItemRow.recording_id.in_(terms.recordings), ItemRow.state == ItemState.CLEANSED)
            .order_by(ItemRow.id)
        )
        pending = list(session.scalars(statement))
        built = set(
            session.scalars(sa.select(ReleaseItemRow.item_id).where(ReleaseItemRow.release_id == release))
        )
    event = intended(
        EventType.RELEASE_RELEASE_BUILD,
        actor=GATE_ACTOR.id,
        object_id=release,
        release=release,
        purpose=terms.purpose,
        recipient=terms.recipient,
        digests={"profile": terms.profile_digest},
    )
    with gate.ledger.intent(event) as intent:
        left_out = {}
        for item in pending:
            if item not in built:
                try:
                    _build_item(gate, terms, row.kek_id, unlink, item)
                except AnonymizeError as error:
                    left_out[item] = error.reason
        _finish_build(gate, terms, row.kek_id, intent, left_out)


def _finish_build(
    gate: Gate, terms: ReleaseTerms, kek: str, intent: Intent, left_out: Mapping[str, str]
) -> None:
    with gate.database.read() as session:
        items = _load_items(gate, session, terms.release)
        subjects = sum(subjects_of(load_cleansed(gate, session, item.source)) for item in items)
    if not items:
        raise InvalidRequestError(f"release has no item to offer (got {terms.release!r})")
    digest = release_digest(terms, items)
    attested = evidence.attest(
        gate,
        intent,
        owner=terms.release,
        stage=Stage.BUILT,
        kek_id=kek,
        previous=evidence.GENESIS,
        payload={
            "digest": digest,
            "items": len(items),
            "left_out": dict(left_out),
            # Counted here and kept with the release: later releases add it up after a recording is erased.
            "subjects": subjects,
        },
        digests={"release": digest},
        facts={"items": len(items), "left_out": len(left_out)},
    )
    with gate.database.transaction() as session:
        current = session.get_one(ReleaseRow, terms.release, with_for_update=True)
        if current.state == ReleaseState.REQUESTED:
            session.execute(sa.delete(ApprovalRow).where(ApprovalRow.release_id == terms.release))
            session.add(attested)
            current.digest = digest
            current.state = ReleaseState.BUILT


def subjects_of(cleansed: Cleansed) -> int:
    """Faces and plates that were found in an item: persons that its recipient might learn of (rule 19)."""
    counts: Mapping[str, int] = cleansed.payload["counts"]
    return sum(int(counts.get(kind.value, 0)) for kind in SUBJECTS)


def release_digest(terms: ReleaseTerms, items: Sequence[BuiltItem]) -> str:
    """SHA-256 over the RFC 8785 form of the terms and of every item: what operators sign."""
    document = {
        "release": terms.release,
        "purpose": terms.purpose,
        "recipient": terms.recipient,
        "mode": terms.mode.value,
        "destination_zone": terms.destination_zone,
        "map_number": terms.map_number,
        "dpia_reference": terms.dpia_reference,
        "expires_at": instant(terms.expires_at),
        "profile": {"name": terms.profile_name, "digest": terms.profile_digest},
        "items": [item.manifest_entry() for item in sorted(items, key=lambda i: i.name)],
    }
    return hashlib.sha256(rfc8785.dumps(document)).hexdigest()


def _build_item(gate: Gate, terms: ReleaseTerms, kek: str, unlink: bytes, item: str) -> None:
    with gate.database.read() as session:
        cleansed = load_cleansed(gate, session, item)
    quarantined = cleansed.classified.quarantined
    context = Context(owner=quarantined.recording, object=item, role="treated")
    content = gate.vault.read_all(cleansed.seal, context)
    unlinked = _unlink(gate, cleansed, content, mode=terms.mode, key=unlink)
    token = hmac.new(unlink, f"name/{item}".encode(), hashlib.sha256).hexdigest()[:24]
    name = f"{token}.{unlinked.extension}"
    payload: dict[str, Any] = {
        "source": item,
        "recording": quarantined.recording,
        "cleansed": cleansed.evidence.digest,
        "media_type": unlinked.media_type,
        "class": unlinked.data_class.value,
        "level": cleansed.level.name,
        "level_in": cleansed.classified.level.name,
        "position_handling": unlinked.position_handling,
        "absolute_time": unlinked.absolute_time,
        "residual": unlinked.residual.as_dict() if unlinked.residual else None,
        "facts": unlinked.facts,
    }
    event = intended(
        EventType.RELEASE_ITEM_UNLINK,
        actor=GATE_ACTOR.id,
        object_id=terms.release,
        release=terms.release,
        digests={"cleansed": cleansed.evidence.digest},
        facts={"mode": terms.mode.value},
    )
    with gate.ledger.intent(event) as intent:
        # Sealed under the recording's key: destroying that key makes released copies unreadable, too (law 9).
        sealed = gate.vault.seal(
            [unlinked.content],
            kek_id=quarantined.kek,
            context=Context(owner=terms.release, object=name, role="release"),
        )
        payload |= {
            "sha256": sealed.plaintext_sha256,
            "size": sealed.plaintext_length,
            "seal": hashlib.sha256(sealed.manifest_jws.encode()).hexdigest(),
        }
        described = seal_value(
            gate.keystore,
            kek_id=kek,
            context=_item_context(terms.release, name),
            plaintext=rfc8785.dumps(payload),
        )
        with gate.database.transaction() as session:
            session.add(
                ReleaseItemRow(
                    release_id=terms.release,
                    item_id=item,
                    name=name,
                    seal=sealed.manifest_jws,
                    kek_id=kek,
                    sealed=described,
                )
            )
        intent.complete(digests={"content": sealed.content_digest})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlinked:
    """One item after the second pass."""

    content: bytes
    extension: str
    media_type: str
    data_class: DataClass
    position_handling: str
    absolute_time: str
    residual: ResidualReport | None
    facts: dict[str, Any]


def _unlink(gate: Gate, cleansed: Cleansed, content: bytes, *, mode: ReleaseMode, key: bytes) -> Unlinked:
    """The second pass over one item.

    Raises:
        ResidualError: The result still shows an absolute position or time.
    """
    kind = cleansed.classified.kind
    if kind not in TRACK_KINDS:
        return Unlinked(
            content=content,
            extension=_EXTENSIONS[kind],
            media_type=cleansed.media_type,
            data_class=cleansed.classified.data_class,
            position_handling=str(cleansed.payload["position_handling"]),
            absolute_time="stripped",
            residual=None,
            facts={},
        )
    track = read_track(gate, kind, content, crs="EPSG:4326")
    # Every track of a recording is moved alike: two copies of one drive under two shifts would undo each other.
    context = cleansed.classified.quarantined.recording.encode()
    unlinked = (
        _to_local(gate, track, key, context)
        if mode is ReleaseMode.LOCAL
        else _to_offset(gate, kind, cleansed.media_type, track, key, context)
    )
    report = unlinked.residual
    if report is None or not report.clean:
        found = sorted({f.kind.value for f in report.residual}) if report else ["nothing was scanned"]
        raise ResidualError(f"unlinked track still shows {', '.join(found)}")
    return unlinked


def _to_local(gate: Gate, track: Track, key: bytes, context: bytes) -> Unlinked:
    profile = gate.profile.profile.tracks
    clips = to_local(track, key=key, context=context, profile=profile)
    content = write_local_csv(clips)
    return Unlinked(
        content=content,
        extension="csv",
        media_type="text/csv",
        data_class=DataClass.TRAJ_REL,
        position_handling="local",
        absolute_time="stripped",
        residual=scan_track(content, "text/csv", original=track, mode="LOCAL", profile=profile),
        facts={},
    )


def _to_offset(
    gate: Gate, kind: ItemKind, media_type: str, track: Track, key: bytes, context: bytes
) -> Unlinked:
    profile = gate.profile.profile.tracks
    moved = offset_track(track, key=key, context=context, profile=profile)
    content = write_track(kind, moved.track)
    measured = moved.evidence
    return Unlinked(
        content=content,
        extension=_EXTENSIONS[kind],
        media_type=media_type,
        data_class=DataClass.TRAJ_ABS,
        position_handling="offset",
        absolute_time="shifted",
        residual=scan_track(content, media_type, original=moved.source, mode="OFFSET", profile=profile),
        facts={
            "max_distance_error": measured.max_distance_error,
            "min_shift_m": measured.min_shift_m,
            "mean_shift_m": measured.mean_shift_m,
            "max_heading_error_deg": measured.max_heading_error_deg,
        },
    )


def _load_items(gate: Gate, session: ReadSession | WriteSession, release: str) -> tuple[BuiltItem, ...]:
    rows = session.scalars(
        sa.select(ReleaseItemRow).where(ReleaseItemRow.release_id == release).order_by(ReleaseItemRow.name)
    )
    items = []
    for row in rows:
        document = open_value(
            gate.keystore, kek_id=row.kek_id, context=_item_context(release, row.name), sealed=row.sealed
        )
        payload = json.loads(document)
        if row.seal is None or hashlib.sha256(row.seal.encode()).hexdigest() != payload["seal"]:
            raise EvidenceError(f"sealed file of release item {row.name} is not the one that was built")
        items.append(
            BuiltItem(
                name=row.name,
                media_type=payload["media_type"],
                data_class=DataClass(payload["class"]),
                level=Level[payload["level"]],
                size=payload["size"],
                sha256=payload["sha256"],
                seal=row.seal,
                source=ItemId(payload["source"]),
                recording=RecordingId(payload["recording"]),
                payload=payload,
            )
        )
    return tuple(items)


def load_built(gate: Gate, session: ReadSession | WriteSession, release: str) -> Built:
    """Load a built candidate and verify that terms and items still have the attested digest.

    Raises:
        StageOrderError: The release was not built.
        EvidenceError: Terms, items or evidence changed since.
    """
    verified = evidence.load(gate, session, owner=release, stage=Stage.BUILT, previous=evidence.GENESIS)
    terms = terms_of(session, release)
    items = _load_items(gate, session, release)
    digest = release_digest(terms, items)
    if digest != verified.payload["digest"]:
        raise EvidenceError(f"release {release} changed since it was built (got digest {digest})")
    return Built(
        terms=terms,
        items=items,
        left_out=verified.payload["left_out"],
        digest=digest,
        evidence=verified.ref,
    )

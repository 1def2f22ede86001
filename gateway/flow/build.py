"""Build a release candidate: request, then unlink every cleansed item under secrets of this release (law 7)."""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rfc8785
import sqlalchemy as sa

from anonymize.errors import AnonymizeError
from anonymize.finding import FindingKind
from anonymize.formats.identify import ItemKind
from anonymize.media.mask_file import MASK_MEDIA_TYPE
from audit.events import EventType
from audit.intent import Intent
from gateway.database import ReadSession, WriteSession
from gateway.errors import ConflictError, EvidenceError, InvalidRequestError, StageOrderError
from gateway.flow import evidence
from gateway.flow.acts import intended
from gateway.flow.area import area_evidence
from gateway.flow.cleanse import load_cleansed, open_treated
from gateway.flow.deciding import instant
from gateway.flow.disk import require_disk
from gateway.flow.draw import require_drawn, settle_secret
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import Unlinked
from gateway.flow.kinds.maps import MAP_KINDS, map_positions
from gateway.flow.kinds.table import NAMING_KINDS
from gateway.flow.recording import (
    Built,
    BuiltItem,
    BuiltMask,
    Cleansed,
    DataClass,
    ItemId,
    ItemState,
    Level,
    RecordingId,
    ReleaseState,
    ReleaseTerms,
    Stage,
)
from gateway.flow.records import (
    ApprovalRow,
    ItemRow,
    ReleaseItemRow,
    ReleaseRow,
)
from gateway.flow.request import terms_of
from gateway.flow.unlink import Secrets, Trip, trip_of
from gateway.flow.unlinked_item import load_item, unlink_item
from gateway.people.registry import GATE_ACTOR
from gateway.vault.store import Context
from gateway.vault.values import open_value, seal_value

SUBJECTS = (FindingKind.FACE, FindingKind.PLATE)


def _item_context(release: str, name: str) -> bytes:
    return rfc8785.dumps({"name": name, "owner": release, "role": "release-item"})


def build_release(gate: Gate, release: str) -> None:
    """Unlink, re-scan and seal every cleansed item of a requested release; resumes where it stopped.

    Where a displaced way runs over the true one, the release's key is drawn anew first (``gateway.flow.draw``). An
    item that cannot be unlinked (a track shorter than its trims, a residual finding) is left out, with the reason
    in the evidence; the rest of the release does not depend on it.

    Raises:
        StageOrderError: The release is past building.
        ConflictError: The profile in force is no longer the one the release was requested under, or another build
            draws a key for the release.
        InvalidRequestError: No item is left to offer.
        DiskLowError: Too little space is left.
    """
    require_disk(gate)
    with gate.database.read() as session:
        terms = terms_of(session, release)
        row = session.get_one(ReleaseRow, release)
        if row.state != ReleaseState.REQUESTED:
            raise StageOrderError(f"release is past building (got state {row.state!r})")
        if terms.profile_digest != gate.profile.digest:
            raise ConflictError(f"profile changed since the request (got {gate.profile.digest})")
        kek = row.kek_id
        statement = (
            sa.select(ItemRow.id)
            .where(ItemRow.recording_id.in_(terms.recordings), ItemRow.state == ItemState.CLEANSED)
            .order_by(ItemRow.id)
        )
        pending = list(session.scalars(statement))
        present = sa.select(ReleaseItemRow.item_id, ReleaseItemRow.name)
        rows = session.execute(present.where(ReleaseItemRow.release_id == release))
        built: dict[str, str] = {item: name for item, name in rows}  # noqa: C416 (rows are no pairs to mypy)
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
        trips: dict[RecordingId, Trip] = {}
        secrets, drawn = settle_secret(gate, terms, pending, trips)
        building = _Building(terms=terms, kek=kek, secrets=secrets, drawn=drawn)
        naming: list[str] = []
        # What names others is appended while they are built, and comes once it is known which of them leave.
        for item in itertools.chain(pending, naming):
            if item in built:
                continue
            try:
                with gate.database.read() as session:
                    cleansed, trip = load_item(gate, session, item, secrets, trips)
                if cleansed.classified.kind in NAMING_KINDS and item not in naming:
                    naming.append(item)
                else:
                    built[item] = _build_item(gate, building, cleansed, trip, built)
            except AnonymizeError as error:
                left_out[item] = error.reason
        _finish_build(gate, building, intent, left_out, trips)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Building:
    """What all items of a release are built under; ``drawn`` is the sealed form of its secret."""

    terms: ReleaseTerms
    kek: str
    secrets: Secrets
    drawn: bytes


def _finish_build(
    gate: Gate,
    building: _Building,
    intent: Intent,
    left_out: Mapping[str, str],
    trips: dict[RecordingId, Trip],
) -> None:
    terms = building.terms
    with gate.database.read() as session:
        items = _load_items(gate, session, terms.release)
        cleansed = [load_cleansed(gate, session, item.source) for item in items]
        for recording in sorted({item.recording for item in items} - set(trips)):
            trips[recording] = trip_of(gate, session, recording, building.secrets)
    subjects = sum(subjects_of(each) for each in cleansed)
    facts = [each.classified.facts for each in cleansed]
    places = [(float(f["latitude"]), float(f["longitude"])) for f in facts if f.get("latitude") is not None]
    maps = [map_positions(c, open_treated(gate, c)) for c in cleansed if c.classified.kind in MAP_KINDS]
    area = area_evidence(gate, [t for trip in trips.values() for t in trip.tracks], places, maps)
    if not items:
        raise InvalidRequestError(f"release has no item to offer (got {terms.release!r})")
    digest = release_digest(terms, items)
    attested = evidence.attest(
        gate,
        intent,
        owner=terms.release,
        stage=Stage.BUILT,
        kek_id=building.kek,
        previous=evidence.GENESIS,
        payload={
            "digest": digest,
            "items": len(items),
            "left_out": dict(left_out),
            # Counted here and kept with the release: later releases add them up after a recording is erased.
            "subjects": subjects,
            "area": area,
            "longest_clip_m": max((trip.longest_clip_m() for trip in trips.values()), default=0.0),
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


def _build_item(
    gate: Gate, building: _Building, cleansed: Cleansed, trip: Trip, released: Mapping[str, str]
) -> str:
    """Unlink, re-scan and seal one item.

    Returns:
        Its name in the release.

    Raises:
        AnonymizeError: It cannot be unlinked, or still shows an absolute position or time.
        ConflictError: Another build drew the release's secret anew.
    """
    terms, quarantined = building.terms, cleansed.classified.quarantined
    item = quarantined.item
    event = intended(
        EventType.RELEASE_ITEM_UNLINK,
        actor=GATE_ACTOR.id,
        object_id=terms.release,
        release=terms.release,
        digests={"cleansed": cleansed.evidence.digest},
        facts={"mode": terms.mode.value},
    )
    with gate.ledger.intent(event) as intent:
        made = unlink_item(gate, terms.release, building.secrets, cleansed, trip, released)
        name, unlinked, sealed, settled = made.name, made.unlinked, made.sealed, made.settled
        payload: dict[str, Any] = {
            "source": item,
            "recording": quarantined.recording,
            "cleansed": cleansed.evidence.digest,
            "media_type": unlinked.media_type,
            "class": unlinked.data_class.value,
            "level_in": cleansed.classified.level.name,
            "position_handling": unlinked.position_handling,
            "absolute_time": unlinked.absolute_time,
        }
        payload["series"] = {
            "sensor": hashlib.sha256(made.series.sensor).hexdigest(),
            "count": made.series.count,
        }
        payload |= {
            "level": (settled.level or unlinked.level or cleansed.level).name,
            "residual": settled.residual.as_dict() if settled.residual else None,
            "facts": dict(settled.facts),
            "kept": dict(settled.kept),
            "placed": dict(unlinked.placed),
            "sha256": sealed.plaintext_sha256,
            "size": sealed.plaintext_length,
            "seal": evidence.seal_digest(sealed.manifest_jws),
        }
        mask = _copy_mask(gate, terms.release, cleansed, name, unlinked)
        payload["mask"] = mask.manifest_entry() | {"seal": evidence.seal_digest(mask.seal)} if mask else None
        described = seal_value(
            gate.keystore,
            kek_id=building.kek,
            context=_item_context(terms.release, name),
            plaintext=rfc8785.dumps(payload),
        )
        with gate.database.transaction() as session:
            require_drawn(session, terms.release, building.drawn)
            session.add(
                ReleaseItemRow(
                    release_id=terms.release,
                    item_id=item,
                    name=name,
                    seal=sealed.manifest_jws,
                    mask_seal=mask.seal if mask else None,
                    kek_id=building.kek,
                    sealed=described,
                )
            )
        intent.complete(digests={"content": sealed.content_digest})
    return name


def _copy_mask(
    gate: Gate, release: str, cleansed: Cleansed, name: str, unlinked: Unlinked
) -> BuiltMask | None:
    """The mask of an item, sealed for the release beside it; it says nothing but where pixels were destroyed."""
    if cleansed.mask is None:
        return None
    quarantined = cleansed.classified.quarantined
    context = Context(owner=quarantined.recording, object=quarantined.item, role="mask")
    ending, media_type = (
        ("masks.json", "application/json")
        if cleansed.classified.kind is ItemKind.VIDEO
        else ("mask.png", MASK_MEDIA_TYPE)
    )
    mask_name = f"{name}.{ending}"
    chunks: Iterable[bytes] = gate.vault.open(cleansed.mask, context).chunks()
    if unlinked.mask is not None:
        chunks = [unlinked.mask(b"".join(chunks))]
    sealed = gate.vault.seal(
        chunks,
        kek_id=quarantined.kek,
        context=Context(owner=release, object=mask_name, role="release-mask"),
    )
    return BuiltMask(
        name=mask_name,
        media_type=media_type,
        size=sealed.plaintext_length,
        sha256=sealed.plaintext_sha256,
        seal=sealed.manifest_jws,
    )


def _load_mask(row: ReleaseItemRow, described: Mapping[str, Any] | None) -> BuiltMask | None:
    expected = described["seal"] if described else None
    found = evidence.seal_digest(row.mask_seal) if row.mask_seal else None
    if found != expected:
        raise EvidenceError(f"sealed mask of release item {row.name} is not the one that was built")
    if described is None or row.mask_seal is None:
        return None
    return BuiltMask(
        name=described["name"],
        media_type=described["media_type"],
        size=described["size"],
        sha256=described["sha256"],
        seal=row.mask_seal,
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
        if row.seal is None or evidence.seal_digest(row.seal) != payload["seal"]:
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
                mask=_load_mask(row, payload.get("mask")),
                payload=payload,
            )
        )
    return tuple(items)


def built_payload(gate: Gate, session: ReadSession | WriteSession, release: str) -> Mapping[str, Any]:
    """What the evidence of building says of a release, verified; raises as ``evidence.load``."""
    return evidence.load(gate, session, owner=release, stage=Stage.BUILT, previous=evidence.GENESIS).payload


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

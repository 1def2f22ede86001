"""Cleanse: the first pass, independent of any release. Treat, re-scan with other readers, attest; or hold."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rfc8785

from anonymize.errors import ResidualError
from anonymize.finding import Finding, FindingKind, Treated, Treatment, TreatmentKind
from anonymize.formats.csv_track import write_csv_track
from anonymize.formats.geojson_track import write_geojson_track
from anonymize.formats.gpx import write_gpx
from anonymize.formats.identify import ItemKind
from anonymize.formats.kitti import read_points, write_points
from anonymize.formats.track import Track
from anonymize.geo.cut import cut_points, cut_track, frame_in_zone, way_in_zones
from anonymize.geo.residual import find_positions
from anonymize.media.detection import Detector, detector_set_digest
from anonymize.media.image_decoding import released_kind
from anonymize.media.images import cleanse_image, scan_image
from anonymize.media.video.cleansing import cleanse_video
from anonymize.residual import ResidualReport
from anonymize.text.cleanse import cleanse_json, cleanse_text
from anonymize.text.residual import scan_text
from audit.events import EventType
from gateway.database import ReadSession, WriteSession
from gateway.errors import EvidenceError, HeldError
from gateway.flow import evidence
from gateway.flow.acts import intended
from gateway.flow.classify import (
    IMAGE_KINDS,
    PICTURE_KINDS,
    TRACK_KINDS,
    image_kind,
    load_classified,
    open_original,
    plaintext_of,
    read_track,
)
from gateway.flow.gate import Gate
from gateway.flow.recording import Classified, Cleansed, ItemState, Level, Quarantined, Stage
from gateway.flow.records import ItemRow
from gateway.people.zones import InstalledZones
from gateway.vault.seekable import SealedFile
from gateway.vault.store import Context
from gateway.videos.checkpoint import SealedCheckpoint, basis_of

_MEDIA_TYPES = {
    ItemKind.GPX: "application/gpx+xml",
    ItemKind.CSV_TRACK: "text/csv",
    ItemKind.GEOJSON_TRACK: "application/geo+json",
    ItemKind.KITTI_POINTS: "application/octet-stream",
}


def ignore_progress(step: str, done: int, total: int) -> None:
    """For callers that do not watch."""
    del step, done, total


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the items of one recording say about one another.

    Attributes:
        zones: The zone file in force, if any.
        tracks: The true tracks of the recording.
        positions: Latitude and longitude of every known true position, degrees WGS-84, shape (2, N).
        captured: POSIX seconds at which an item was taken, by item id, from the signed manifest.
        attested: Whether a compliance officer attested that items without a position lie outside the zones.
        planted: Strings that must not leave: file names and the collector's id.
    """

    zones: InstalledZones | None
    tracks: tuple[Track, ...]
    positions: np.ndarray[Any, np.dtype[np.float64]]
    captured: Mapping[str, float]
    attested: bool
    planted: tuple[str, ...]

    def position_at(self, time_s: float) -> tuple[float, float, float | None] | None:
        """Latitude, longitude and course where the recording was at a time, if a track says so."""
        for track in self.tracks:
            found = track.position_at(time_s)
            if found is not None:
                return found
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A treated item with its residual scan and how zones and positions were handled.

    Attributes:
        treated: The treated item.
        residual: What a second look found.
        zone_check: ``tested`` or ``attested``.
        position_handling: What became of positions.
        level: Level of the treated item.
        detectors: Digest of the set of detectors that looked at its pixels; empty where it has none.
        detector_kinds: What those detectors look for, sorted.
        chunks: The treated file in pieces, where it is too large for ``treated.content``.
    """

    treated: Treated
    residual: ResidualReport
    zone_check: str
    position_handling: str
    level: Level
    detectors: str = ""
    detector_kinds: tuple[str, ...] = ()
    chunks: Iterable[bytes] | None = None


def cleanse_item(
    gate: Gate,
    item: Classified,
    surroundings: Surroundings,
    *,
    actor: str,
    progress: Callable[[str, int, int], None] = ignore_progress,
) -> None:
    """Treat one item and attest the result; an item inside a restricted zone is cut.

    Args:
        gate: The gate.
        item: The item.
        surroundings: What the other items of its recording say of it.
        actor: Who works.
        progress: Told of each whole piece of an item that takes long: what was done, how many of how many.

    Raises:
        AnonymizeError: Undecodable content, a missing model, a residual finding; the caller holds the item.
        HeldError: The item cannot be shown to lie outside the restricted zones.
    """
    quarantined = item.quarantined
    event = intended(
        EventType.CLEANSE_ITEM_CLEANSE,
        actor=actor,
        object_id=quarantined.item,
        item=quarantined.item,
        recording=quarantined.recording,
        digests={"content": quarantined.content_digest, "profile": gate.profile.digest},
    )
    with gate.ledger.intent(event) as intent:
        outcome = treat(gate, item, surroundings, progress)
        if not outcome.residual.clean:
            kinds = sorted({f.kind.value for f in outcome.residual.residual})
            raise ResidualError(f"the residual scan still finds {', '.join(kinds)}")
        seal, mask = _seal_treated(gate, quarantined, outcome)
        row = evidence.attest(
            gate,
            intent,
            owner=quarantined.item,
            stage=Stage.CLEANSED,
            kek_id=quarantined.kek,
            previous=item.evidence.digest,
            payload=_payload(gate, item, outcome, surroundings, seal=seal, mask=mask),
            digests={"profile": gate.profile.digest},
            facts={"dropped": outcome.treated.dropped, "findings": len(outcome.treated.findings)},
        )
        with gate.database.transaction() as session:
            current = session.get_one(ItemRow, quarantined.item, with_for_update=True)
            if current.state == ItemState.CLASSIFIED:
                session.add(row)
                current.treated_seal = seal
                current.mask_seal = mask
                current.state = ItemState.CUT if outcome.treated.dropped else ItemState.CLEANSED


def _seal_treated(gate: Gate, quarantined: Quarantined, outcome: Outcome) -> tuple[str | None, str | None]:
    """Seals of the treated file and of its mask; None for what there is not."""
    if outcome.treated.dropped:
        return None, None

    def seal(chunks: Iterable[bytes], role: str) -> str:
        context = Context(owner=quarantined.recording, object=quarantined.item, role=role)
        return gate.vault.seal(chunks, kek_id=quarantined.kek, context=context).manifest_jws

    treated = seal(outcome.chunks or [outcome.treated.content], "treated")
    return treated, seal([outcome.treated.mask], "mask") if outcome.treated.mask else None


def _payload(
    gate: Gate,
    item: Classified,
    outcome: Outcome,
    surroundings: Surroundings,
    *,
    seal: str | None,
    mask: str | None,
) -> dict[str, Any]:
    treated = outcome.treated
    masked: Counter[str] = Counter()
    for treatment in treated.treatments:
        masked[treatment.of.value] += treatment.count
    return {
        "content_digest": item.quarantined.content_digest,
        "seal": evidence.seal_digest(seal) if seal else "",
        "mask": evidence.seal_digest(mask) if mask else "",
        "media_type": treated.media_type,
        "level": outcome.level.name,
        "profile": {"name": gate.profile.profile.name, "digest": gate.profile.digest},
        "zones": surroundings.zones.digest if surroundings.zones else "",
        "detectors": outcome.detectors,
        "detector_kinds": list(outcome.detector_kinds),
        "zone_check": outcome.zone_check,
        "position_handling": outcome.position_handling,
        "dropped": treated.dropped,
        "counts": dict(Counter(f.kind.value for f in treated.findings)),
        "treated": dict(masked),
        "tags": sorted({*item.tags, *_tags(item, treated.findings)}),
        "findings": [f.as_dict() for f in treated.findings],
        "treatments": [t.as_dict() for t in treated.treatments],
        "facts": dict(treated.facts),
        "residual": outcome.residual.as_dict(),
    }


def _tags(item: Classified, findings: Sequence[Finding]) -> set[str]:
    tags = {f.label for f in findings if f.kind is FindingKind.RESTRICTED_ZONE and f.label}
    names = {FindingKind.ELEVATION: "ELEV"}
    if item.kind in PICTURE_KINDS:
        names |= {
            FindingKind.FACE: "FACE",
            FindingKind.PLATE: "PLATE",
            # Height, width and weight of a passage (rule 14); a sign that the profile leaves is no finding.
            FindingKind.LIMIT_SIGN: "LIMIT_HWW",
        }
    return tags | {names[f.kind] for f in findings if f.kind in names}


def treat(
    gate: Gate, item: Classified, surroundings: Surroundings, progress: Callable[[str, int, int], None]
) -> Outcome:
    """Treat one item and re-scan the result: a video where it lies, anything else in memory.

    Raises:
        AnonymizeError: As ``cleanse_item``.
        HeldError: As ``cleanse_item``.
    """
    if item.kind is ItemKind.VIDEO:
        return _treat_video(gate, item, surroundings, progress)
    content = plaintext_of(gate, item.quarantined, encoding=item.encoding)
    if item.kind in IMAGE_KINDS:
        return _treat_image(gate, item, content, surroundings)
    if item.kind in TRACK_KINDS:
        return _treat_track(gate, item, content, surroundings)
    if item.kind is ItemKind.KITTI_POINTS:
        return _treat_points(gate, item, content, surroundings)
    return _treat_text(gate, item, content, surroundings)


def _place(item: Classified, surroundings: Surroundings) -> tuple[float, float, float | None] | None:
    facts = item.facts
    if facts.get("latitude") is not None and facts.get("longitude") is not None:
        return float(facts["latitude"]), float(facts["longitude"]), None
    for moment in (surroundings.captured.get(item.quarantined.item), facts.get("captured_at")):
        found = None if moment is None else surroundings.position_at(float(moment))
        if found is not None:
            return found
    return None


def _zone_check(place: object, surroundings: Surroundings) -> str:
    """How the item's place was held against the zones.

    Raises:
        HeldError: Neither a position nor an attestation shows that the item lies outside them.
    """
    if place is not None and surroundings.zones is not None:
        return "tested"
    if surroundings.attested:
        return "attested"
    missing = "no zone file is installed" if surroundings.zones is None else "its position is unknown"
    raise HeldError(
        "zones_unchecked",
        f"cannot be tested against restricted zones: {missing} (expected a test or attestation)",
    )


def _treat_image(gate: Gate, item: Classified, content: bytes, surroundings: Surroundings) -> Outcome:
    profile = gate.profile.profile.images
    detectors = gate.instruments.detectors
    place = _place(item, surroundings)
    zone_check = _zone_check(place, surroundings)
    hits: tuple[Finding, ...] = ()
    if place is not None and surroundings.zones is not None:
        radius = profile.pose_error_m + profile.view_distance_m
        hits = frame_in_zone(place[0], place[1], surroundings.zones.zones, radius_m=radius)
    if hits:
        return _cut_whole(item, hits, zone_check)
    treated = cleanse_image(content, image_kind(item.kind), detectors=detectors, profile=profile)
    residual = scan_image(
        treated.content,
        released_kind(image_kind(item.kind)),
        detectors=detectors,
        profile=profile,
        masked=treated.findings,
    )
    return Outcome(
        treated=treated,
        residual=residual,
        zone_check=zone_check,
        position_handling="stripped",
        level=Level.S1_PROCESSED,
        detectors=detector_set_digest(detectors),
        detector_kinds=kinds_of(detectors),
    )


def _treat_video(
    gate: Gate, item: Classified, surroundings: Surroundings, progress: Callable[[str, int, int], None]
) -> Outcome:
    zone_check, hits = _way_check(gate, item, surroundings)
    if hits:
        return _cut_whole(item, hits, zone_check)
    detectors = gate.instruments.detectors
    detectors_digest = detector_set_digest(detectors)
    checkpoint = SealedCheckpoint(
        gate, item.quarantined, basis_of(gate, item.quarantined, detectors=detectors_digest)
    )
    video = cleanse_video(
        open_original(gate, item.quarantined),
        detectors=detectors,
        profile=gate.profile.profile,
        checkpoint=checkpoint,
        progress=lambda at: progress(f"{at.stage} video", at.done, at.total),
    )
    return Outcome(
        treated=Treated(
            content=b"",
            media_type=video.media_type,
            findings=video.findings,
            treatments=video.treatments,
            facts=video.facts,
            mask=rfc8785.dumps(video.plan.as_dict()),
        ),
        residual=video.scan,
        zone_check=zone_check,
        position_handling="stripped",
        level=Level.S1_PROCESSED,
        detectors=detectors_digest,
        detector_kinds=kinds_of(detectors),
        chunks=video.contents(checkpoint),
    )


def _way_check(gate: Gate, item: Classified, surroundings: Surroundings) -> tuple[str, tuple[Finding, ...]]:
    """Where a video was taken, second by second, against the zones: how it was checked, and what it met.

    Every position that is known is tested. Where one is missing, only an attestation lets the video pass.

    Raises:
        HeldError: Neither positions nor an attestation show that all of it lies outside the zones.
    """
    profile, facts = gate.profile.profile.images, item.facts
    moments = (surroundings.captured.get(item.quarantined.item), facts.get("captured_at"))
    began = next((float(m) for m in moments if m is not None), None)
    seconds = np.linspace(0.0, facts["duration_s"], math.ceil(facts["duration_s"]) + 1)
    places = [None if began is None else surroundings.position_at(began + float(s)) for s in seconds]
    known = [(p[0], p[1]) for p in places if p is not None]
    if facts.get("latitude") is not None:
        known.append((float(facts["latitude"]), float(facts["longitude"])))
    hits: tuple[Finding, ...] = ()
    if known and surroundings.zones is not None:
        radius = profile.pose_error_m + profile.view_distance_m
        lat, lon = np.array(known, dtype=np.float64).T
        hits = way_in_zones(lat, lon, surroundings.zones.zones, radius_m=radius)
    if hits and surroundings.zones is not None:
        return "tested", hits
    return _zone_check(None if None in places else known, surroundings), ()


def kinds_of(detectors: Sequence[Detector]) -> tuple[str, ...]:
    """Everything that some detectors look for, sorted."""
    return tuple(sorted({kind.value for detector in detectors for kind in detector.kinds}))


def _cut_whole(item: Classified, hits: tuple[Finding, ...], zone_check: str) -> Outcome:
    treated = Treated(
        content=b"",
        media_type="application/octet-stream",
        findings=hits,
        treatments=(Treatment(kind=TreatmentKind.DROP, of=FindingKind.RESTRICTED_ZONE, count=len(hits)),),
        dropped=True,
    )
    report = ResidualReport(scanners=("nothing-left",), residual=())
    return Outcome(
        treated=treated,
        residual=report,
        zone_check=zone_check,
        position_handling="stripped",
        level=item.level,
    )


def write_track(kind: ItemKind, track: Track) -> bytes:
    """Write a track in the format that it came in."""
    if kind is ItemKind.GPX:
        return write_gpx(track)
    if kind is ItemKind.CSV_TRACK:
        return write_csv_track(track)
    return write_geojson_track(track)


def _treat_track(gate: Gate, item: Classified, content: bytes, surroundings: Surroundings) -> Outcome:
    if surroundings.zones is None:
        raise HeldError(
            "zones_unchecked", "cannot be tested against restricted zones: no zone file is installed"
        )
    track = read_track(gate, item.kind, content, crs=str(item.facts["crs"]))
    profile = gate.profile.profile.tracks
    cut = cut_track(track, surroundings.zones.zones, profile=profile)
    if cut.track is None:
        return _cut_whole(item, tuple(cut.findings), "tested")
    out = write_track(item.kind, cut.track)
    again = read_track(gate, item.kind, out, crs="EPSG:4326")
    left = cut_track(again, surroundings.zones.zones, profile=profile)
    treated = Treated(
        content=out,
        media_type=_MEDIA_TYPES[item.kind],
        findings=tuple(cut.findings),
        treatments=tuple(cut.treatments),
        facts={"fixes_in": len(track), "fixes_out": len(cut.track)},
    )
    report = ResidualReport(
        scanners=("re-read-and-zone-test",),
        residual=tuple(f for f in left.findings if f.kind is FindingKind.RESTRICTED_ZONE),
    )
    # Still true coordinates: they leave only after the release's own unlinking, and only a recognised processor
    # may lower the level of an absolute position.
    return Outcome(
        treated=treated,
        residual=report,
        zone_check="tested",
        position_handling="raw",
        level=Level.S3_SENSITIVE_GEO,
    )


def _treat_points(gate: Gate, item: Classified, content: bytes, surroundings: Surroundings) -> Outcome:
    profile = gate.profile.profile.points
    points = read_points(content, profile=profile)
    place = _place(item, surroundings)
    zone_check = _zone_check(place, surroundings)
    if place is None or surroundings.zones is None:
        kept = points
        findings: tuple[Finding, ...] = ()
        treatments: tuple[Any, ...] = ()
        left: tuple[Finding, ...] = ()
    else:
        latitude, longitude, course = place
        zones = surroundings.zones.zones
        cut = cut_points(points, zones=zones, lat=latitude, lon=longitude, course_deg=course, profile=profile)
        if cut.dropped_all:
            return _cut_whole(item, tuple(cut.findings), zone_check)
        kept, findings, treatments = cut.points, tuple(cut.findings), tuple(cut.treatments)
        again = cut_points(kept, zones=zones, lat=latitude, lon=longitude, course_deg=course, profile=profile)
        left = tuple(f for f in again.findings if f.kind is FindingKind.RESTRICTED_ZONE)
    treated = Treated(
        content=write_points(kept),
        media_type=_MEDIA_TYPES[item.kind],
        findings=findings,
        treatments=treatments,
        facts={"points_in": len(points), "points_out": len(kept)},
    )
    return Outcome(
        treated=treated,
        residual=ResidualReport(scanners=("re-read-and-zone-test",), residual=left),
        zone_check=zone_check,
        position_handling="none",
        level=Level.S3_SENSITIVE_GEO,
    )


def _treat_text(gate: Gate, item: Classified, content: bytes, surroundings: Surroundings) -> Outcome:
    profile = gate.profile.profile.text
    cleanse = cleanse_json if item.kind is ItemKind.JSON else cleanse_text
    treated = cleanse(content, analyzer=gate.instruments.analyzer, profile=profile)
    report = scan_text(treated.content, treated.media_type, profile=profile, planted=surroundings.planted)
    latitudes, longitudes = surroundings.positions
    located = find_positions(treated.content, lat=latitudes, lon=longitudes)
    return Outcome(
        treated=treated,
        residual=ResidualReport(
            scanners=(*report.scanners, "positions-near-the-true-track"),
            residual=(*report.residual, *located),
            facts=report.facts,
        ),
        zone_check="tested" if surroundings.zones is not None else _zone_check(None, surroundings),
        position_handling="stripped",
        # Only a treatment that took place lowers a level.
        level=Level.S1_PROCESSED if treated.treatments else item.level,
    )


def open_treated(gate: Gate, item: Cleansed) -> SealedFile:
    """The treated file, as a seekable file that is never in memory as a whole.

    Raises:
        SealBrokenError: The sealed file was altered; also while reading.
    """
    quarantined = item.classified.quarantined
    context = Context(owner=quarantined.recording, object=quarantined.item, role="treated")
    return SealedFile(gate.vault.open(item.seal, context))


def load_cleansed(gate: Gate, session: ReadSession | WriteSession, item: str) -> Cleansed:
    """Load a cleansed item and verify its evidence back to the sealed original.

    Raises:
        StageOrderError: The item was not cleansed.
        EvidenceError: Evidence does not verify, or speaks of another treated file.
    """
    classified = load_classified(gate, session, item)
    verified = evidence.load(
        gate, session, owner=item, stage=Stage.CLEANSED, previous=classified.evidence.digest
    )
    row = session.get_one(ItemRow, item)
    if row.treated_seal is None:
        raise EvidenceError(f"the treated file of {item} is not held")
    found = [evidence.seal_digest(seal) if seal else "" for seal in (row.treated_seal, row.mask_seal)]
    payload = verified.payload
    expected = [*found, classified.quarantined.content_digest]
    if [payload["seal"], payload.get("mask", ""), payload["content_digest"]] != expected:
        raise EvidenceError(f"cleansing evidence of {item} speaks of another file")
    return Cleansed(
        classified=classified,
        seal=row.treated_seal,
        mask=row.mask_seal,
        media_type=payload["media_type"],
        level=Level[payload["level"]],
        payload=payload,
        evidence=verified.ref,
    )

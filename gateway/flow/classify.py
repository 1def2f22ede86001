"""Classify: what an item is, how sensitive it is, and the facts that led to it (COMPLIANCE.md §2)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from anonymize.errors import LimitExceededError, UnknownFormatError
from anonymize.formats.csv_track import read_csv_track
from anonymize.formats.geojson_track import read_geojson_track
from anonymize.formats.gpx import read_gpx
from anonymize.formats.gzip_member import expand
from anonymize.formats.identify import HEAD_BYTES, Identified, ItemKind, identify, identify_video
from anonymize.formats.kitti import read_points
from anonymize.formats.track import Track
from anonymize.geo.zones import ZoneSet
from anonymize.media.images import inspect_image
from anonymize.media.video.facts import inspect_video
from anonymize.text.inspect import inspect_text
from audit.events import EventType
from gateway.database import ReadSession, WriteSession
from gateway.errors import EvidenceError
from gateway.flow import evidence
from gateway.flow.acts import intended
from gateway.flow.gate import Gate
from gateway.flow.intake import load_quarantined
from gateway.flow.recording import Classified, DataClass, ItemState, Level, Quarantined, Stage
from gateway.flow.records import ItemRow
from gateway.vault.seekable import SealedFile
from gateway.vault.store import Context
from gateway.vehicles.manifest import ManifestItem

TRACK_KINDS = frozenset({ItemKind.GPX, ItemKind.CSV_TRACK, ItemKind.GEOJSON_TRACK})
IMAGE_KINDS = frozenset({ItemKind.JPEG, ItemKind.PNG, ItemKind.HEIC})
PICTURE_KINDS = IMAGE_KINDS | {ItemKind.VIDEO}
SENSITIVE_PERSONAL = frozenset({"resident_id", "bank_card", "position", "address"})

_KITTI_CALIBRATION = (b"P0:", b"P2:", b"R0_rect:", b"Tr_velo_to_cam:", b"calib_time:")
_KITTI_OBJECTS = frozenset(
    {"Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc", "DontCare"}
)
_KITTI_LABEL_COLUMNS = (15, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What classification concluded, before it is attested."""

    kind: ItemKind
    encoding: str | None
    data_class: DataClass
    level: Level
    tags: tuple[str, ...]
    facts: Mapping[str, Any]


def image_kind(kind: ItemKind) -> Literal["jpeg", "png", "heic"]:
    """The name under which the image transforms know a kind.

    Raises:
        UnknownFormatError: The kind is no still image.
    """
    names: Mapping[ItemKind, Literal["jpeg", "png", "heic"]] = {
        ItemKind.JPEG: "jpeg",
        ItemKind.PNG: "png",
        ItemKind.HEIC: "heic",
    }
    if kind not in names:
        raise UnknownFormatError(f"no still image (got {kind.value!r})")
    return names[kind]


def read_track(gate: Gate, kind: ItemKind, content: bytes, *, crs: str) -> Track:
    """Read a track of any kind under the limits of the profile in force.

    Raises:
        MalformedItemError: An impossible value, named with its place.
        UnknownCrsError: The CRS is missing or unknown (rule 2).
    """
    profile = gate.profile.profile.tracks
    if kind is ItemKind.GPX:
        return read_gpx(content, profile=profile)
    if kind is ItemKind.CSV_TRACK:
        return read_csv_track(content, profile=profile, crs=crs)
    return read_geojson_track(content, profile=profile, crs=crs)


def open_original(gate: Gate, quarantined: Quarantined) -> SealedFile:
    """The original as it was delivered, as a seekable file that is never in memory as a whole.

    Raises:
        EvidenceError: The original is no longer held.
        SealBrokenError: The sealed original was altered; also while reading.
    """
    if quarantined.seal is None:
        raise EvidenceError(f"the original of {quarantined.item} is no longer held")
    context = Context(owner=quarantined.recording, object=quarantined.item, role="original")
    return SealedFile(gate.vault.open(quarantined.seal, context))


def plaintext_of(gate: Gate, quarantined: Quarantined, *, encoding: str | None) -> bytes:
    """The original in memory, expanded within the profile's limits.

    Raises:
        EvidenceError: The original is no longer held.
        SealBrokenError: The sealed original was altered.
        LimitExceededError: It expands beyond the profile's ratio.
    """
    content = open_original(gate, quarantined).read()
    if encoding is None:
        return content
    return expand(
        content, max_bytes=gate.settings.max_item_bytes, max_ratio=gate.profile.profile.max_expansion
    )


def classify_item(
    gate: Gate,
    quarantined: Quarantined,
    announced: ManifestItem,
    *,
    crs: str,
    zones: ZoneSet | None,
    actor: str,
) -> None:
    """Classify one item and attest the result.

    Raises:
        AnonymizeError: The item is not understood; the caller holds it.
    """
    event = intended(
        EventType.CLASSIFY_ITEM_CLASSIFY,
        actor=actor,
        object_id=quarantined.item,
        item=quarantined.item,
        recording=quarantined.recording,
        digests={"content": quarantined.content_digest},
    )
    with gate.ledger.intent(event) as intent:
        original = open_original(gate, quarantined)
        found = examine(gate, announced.name, original, crs=crs, zones=zones)
        row = evidence.attest(
            gate,
            intent,
            owner=quarantined.item,
            stage=Stage.CLASSIFIED,
            kek_id=quarantined.kek,
            previous=quarantined.evidence.digest,
            payload={
                "kind": found.kind.value,
                "encoding": found.encoding,
                "class": found.data_class.value,
                "level": found.level.name,
                "tags": list(found.tags),
                "facts": dict(found.facts),
                "content_digest": quarantined.content_digest,
            },
            facts={"class": found.data_class.value, "level": found.level.name},
        )
        with gate.database.transaction() as session:
            current = session.get_one(ItemRow, quarantined.item, with_for_update=True)
            if current.state == ItemState.QUARANTINED:
                session.add(row)
                current.state = ItemState.CLASSIFIED


def examine(gate: Gate, name: str, original: SealedFile, *, crs: str, zones: ZoneSet | None) -> Examination:
    """What an item is; pure apart from the analyzers' models. A video is read where it lies, never as a whole.

    Raises:
        AnonymizeError: Unknown format, wrong extension, malformed content, unknown CRS or over a limit.
        SealBrokenError: The sealed original was altered.
    """
    video = identify_video(name, original.read(HEAD_BYTES))
    original.seek(0)
    if video is not None:
        return _examine_video(gate, video, original, zones)
    raw = original.read()
    identified = identify(name, raw)
    content = raw
    if identified.encoding is not None:
        content = expand(
            raw, max_bytes=gate.settings.max_item_bytes, max_ratio=gate.profile.profile.max_expansion
        )
    kind = identified.kind
    if kind in IMAGE_KINDS:
        data_class, level, tags, facts = _examine_image(gate, kind, content, zones)
    elif kind in TRACK_KINDS:
        data_class, level, tags, facts = _examine_track(read_track(gate, kind, content, crs=crs), zones)
    elif kind is ItemKind.KITTI_POINTS:
        count = len(read_points(content, profile=gate.profile.profile.points))
        data_class, level, tags = DataClass.POINT_CLOUD, Level.S3_SENSITIVE_GEO, ()
        facts = {"points": count, "crs": "LOCAL"}
    elif kind in (ItemKind.TEXT, ItemKind.JSON):
        data_class, level, tags, facts = _examine_text(gate, kind, content)
    else:
        raise UnknownFormatError(f"no reader for this kind (got {kind.value!r})")
    return Examination(
        kind=kind,
        encoding=identified.encoding,
        data_class=data_class,
        level=level,
        tags=tags,
        facts={**facts, "bytes": len(raw)},
    )


def _examine_image(
    gate: Gate, kind: ItemKind, content: bytes, zones: ZoneSet | None
) -> tuple[DataClass, Level, tuple[str, ...], dict[str, Any]]:
    image = inspect_image(content, image_kind(kind), profile=gate.profile.profile.images)
    tags = _zone_tags(image.latitude, image.longitude, zones)
    facts = {
        "width": image.width,
        "height": image.height,
        "latitude": image.latitude,
        "longitude": image.longitude,
        "captured_at": image.captured_at.timestamp() if image.captured_at else None,
        "metadata_fields": len(image.metadata_fields),
        "thumbnail": image.has_thumbnail,
        "extra_images": image.extra_images,
    }
    # Exterior images with faces or plates are important data at any volume (COMPLIANCE.md C1); whether there
    # are any is known only after detection, so each counts as if there were.
    return DataClass.EXT_IMAGE, Level.S3_IMPORTANT, tags, facts


def _zone_tags(latitude: float | None, longitude: float | None, zones: ZoneSet | None) -> tuple[str, ...]:
    if latitude is None or longitude is None or zones is None:
        return ()
    return tuple(sorted(zones.test(np.array([latitude]), np.array([longitude])).kinds()))


def _examine_video(
    gate: Gate, identified: Identified, original: SealedFile, zones: ZoneSet | None
) -> Examination:
    video = inspect_video(original, profile=gate.profile.profile)
    # Exterior video with faces or plates is important data at any volume (COMPLIANCE.md C1), as for images.
    return Examination(
        kind=identified.kind,
        encoding=identified.encoding,
        data_class=DataClass.EXT_VIDEO,
        level=Level.S3_IMPORTANT,
        tags=_zone_tags(video.latitude, video.longitude, zones),
        facts={
            **video.as_dict(),
            "latitude": video.latitude,
            "longitude": video.longitude,
            "captured_at": video.captured_at.timestamp() if video.captured_at else None,
            "bytes": original.length,
        },
    )


def _examine_track(
    track: Track, zones: ZoneSet | None
) -> tuple[DataClass, Level, tuple[str, ...], dict[str, Any]]:
    tags = {"TRACK"}
    if zones is not None:
        tags |= set(zones.test(track.lat, track.lon).kinds())
    if bool(np.isfinite(track.elevation_m).any()):
        tags.add("ELEV")
    span = track.time_span()
    facts = {
        "fixes": len(track),
        "segments": len(np.unique(track.segment)),
        "path_length_m": float(track.path_length_m()),
        "crs": track.crs,
        "duration_s": None if span is None else float(span[1] - span[0]),
    }
    return DataClass.TRAJ_ABS, Level.S3_SENSITIVE_GEO, tuple(sorted(tags)), facts


def _examine_text(
    gate: Gate, kind: ItemKind, content: bytes
) -> tuple[DataClass, Level, tuple[str, ...], dict[str, Any]]:
    profile = gate.profile.profile.text
    if len(content) > profile.max_bytes:
        raise LimitExceededError(
            f"text is too large (got {len(content)} bytes, expected ≤ {profile.max_bytes})"
        )
    facts = inspect_text(content, kind, analyzer=gate.instruments.analyzer, profile=profile)
    found = set(facts.get("findings", {}))
    if kind is ItemKind.TEXT and not found and _is_kitti_calibration(content):
        return DataClass.CALIB, Level.S1_PROCESSED, (), dict(facts)
    if kind is ItemKind.TEXT and not found and _is_kitti_label(content):
        return DataClass.LABEL, Level.S1_PROCESSED, (), dict(facts)
    level = Level.S2_SENSITIVE_PI if found & SENSITIVE_PERSONAL else Level.S2_PI
    return DataClass.VEH_ID, level, (), dict(facts)


def _is_kitti_calibration(content: bytes) -> bool:
    lines = [line for line in content.splitlines() if line.strip()]
    return bool(lines) and lines[0].startswith(_KITTI_CALIBRATION)


def _is_kitti_label(content: bytes) -> bool:
    rows: Iterable[list[bytes]] = (line.split() for line in content.splitlines() if line.strip())
    checked = [
        len(row) in _KITTI_LABEL_COLUMNS and row[0].decode("ascii", "replace") in _KITTI_OBJECTS
        for row in rows
    ]
    return bool(checked) and all(checked)


def load_classified(gate: Gate, session: ReadSession | WriteSession, item: str) -> Classified:
    """Load a classified item and verify its evidence back to the sealed original.

    Raises:
        StageOrderError: The item was not classified.
        EvidenceError: Evidence of this or the earlier stage does not verify.
    """
    quarantined = load_quarantined(gate, session, item)
    verified = evidence.load(
        gate, session, owner=item, stage=Stage.CLASSIFIED, previous=quarantined.evidence.digest
    )
    payload = verified.payload
    if payload["content_digest"] != quarantined.content_digest:
        raise EvidenceError(f"classification of {item} speaks of other content")
    return Classified(
        quarantined=quarantined,
        kind=ItemKind(payload["kind"]),
        encoding=payload["encoding"],
        data_class=DataClass(payload["class"]),
        level=Level[payload["level"]],
        tags=tuple(payload["tags"]),
        facts=payload["facts"],
        evidence=verified.ref,
    )

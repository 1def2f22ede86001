"""Unlink: the second pass over an item, with secrets of one release (law 7)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from anonymize.errors import ResidualError
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.local import to_local, write_local_csv
from anonymize.geo.offset import offset_track
from anonymize.geo.residual import scan_track
from anonymize.residual import ResidualReport
from gateway.flow.classify import TRACK_KINDS, read_track
from gateway.flow.cleanse import write_track
from gateway.flow.gate import Gate
from gateway.flow.recording import (
    Cleansed,
    DataClass,
    ReleaseMode,
)
from gateway.vault.sealed import SealedReader

_EXTENSIONS = {
    ItemKind.JPEG: "jpg",
    ItemKind.PNG: "png",
    ItemKind.HEIC: "jpg",
    ItemKind.VIDEO: "mp4",
    ItemKind.GPX: "gpx",
    ItemKind.CSV_TRACK: "csv",
    ItemKind.GEOJSON_TRACK: "geojson",
    ItemKind.KITTI_POINTS: "bin",
    ItemKind.JSON: "json",
    ItemKind.TEXT: "txt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlinked:
    """One item after the second pass; ``chunks`` are its bytes, to be read once."""

    chunks: Iterable[bytes]
    extension: str
    media_type: str
    data_class: DataClass
    position_handling: str
    absolute_time: str
    residual: ResidualReport | None
    facts: dict[str, Any]


def unlink(
    gate: Gate, cleansed: Cleansed, treated: SealedReader, *, mode: ReleaseMode, key: bytes
) -> Unlinked:
    """The second pass over one item.

    Args:
        gate: The gate.
        cleansed: The item.
        treated: Its treated file; only tracks are read into memory.
        mode: How positions leave.
        key: Secret of the release.

    Raises:
        ResidualError: The result still shows an absolute position or time.
    """
    kind = cleansed.classified.kind
    if kind not in TRACK_KINDS:
        return Unlinked(
            chunks=treated.chunks(),
            extension=_EXTENSIONS[kind],
            media_type=cleansed.media_type,
            data_class=cleansed.classified.data_class,
            position_handling=str(cleansed.payload["position_handling"]),
            absolute_time="stripped",
            residual=None,
            facts={},
        )
    track = read_track(gate, kind, treated.read(), crs="EPSG:4326")
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
        chunks=[content],
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
        chunks=[content],
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

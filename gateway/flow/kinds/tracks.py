"""Tracks: cut against the zones on true coordinates, then brought to clips or displaced under a release's key."""

from typing import BinaryIO, ClassVar

import numpy as np

from anonymize.errors import MalformedItemError, ResidualError
from anonymize.finding import FindingKind, Treated
from anonymize.formats.csv_track import read_csv_track, write_csv_track
from anonymize.formats.geojson_track import read_geojson_track, write_geojson_track
from anonymize.formats.gpx import read_gpx, write_gpx
from anonymize.formats.identify import ItemKind
from anonymize.formats.nmea import read_nmea, write_nmea
from anonymize.formats.track import Track
from anonymize.geo.approved import approve_track, sample_of
from anonymize.geo.approved_displacement import ApprovedDisplacement, plan_approved
from anonymize.geo.approved_residual import scan_approved
from anonymize.geo.clips import ClipPlan
from anonymize.geo.cut import cut_track
from anonymize.geo.local import to_clips, to_local, write_local_csv
from anonymize.geo.offset import offset_track
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.geo.residual import scan_track
from anonymize.geo.zones import ZoneSet
from anonymize.residual import ResidualReport
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import (
    Cleansing,
    Examination,
    Outcome,
    Progress,
    Settled,
    Unlinked,
    Unlinking,
    cut_whole,
    ready,
)
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.recording import Classified, Cleansed, DataClass, Level, ReleaseMode

WGS84 = "EPSG:4326"
_SAMPLE = 20
"""Fixes before and after that the operator keeps of each track (COMPLIANCE.md §4)."""
_MEDIA_TYPES = {
    ItemKind.GPX: "application/gpx+xml",
    ItemKind.CSV_TRACK: "text/csv",
    ItemKind.GEOJSON_TRACK: "application/geo+json",
    ItemKind.NMEA: "application/vnd.nmea0183",
}
_EXTENSIONS = {
    ItemKind.GPX: "gpx",
    ItemKind.CSV_TRACK: "csv",
    ItemKind.GEOJSON_TRACK: "geojson",
    ItemKind.NMEA: "nmea",
}


def read_track(gate: Gate, kind: ItemKind, content: bytes, *, crs: str) -> Track:
    """Read a track of any kind under the limits of the profile in force.

    Raises:
        MalformedItemError: An impossible value, named with its place.
        UnknownCrsError: The CRS is missing or unknown (rule 2).
    """
    profile = gate.profile.profile.tracks
    if kind is ItemKind.GPX:
        return read_gpx(content, profile=profile, crs=crs)
    if kind is ItemKind.NMEA:
        return read_nmea(content, profile=profile, crs=crs)
    if kind is ItemKind.CSV_TRACK:
        return read_csv_track(content, profile=profile, crs=crs)
    return read_geojson_track(content, profile=profile, crs=crs)


def write_track(kind: ItemKind, track: Track) -> bytes:
    """Write a track in the format that it came in."""
    if kind is ItemKind.GPX:
        return write_gpx(track)
    if kind is ItemKind.NMEA:
        return write_nmea(track)
    if kind is ItemKind.CSV_TRACK:
        return write_csv_track(track)
    return write_geojson_track(track)


class TrackHandler:
    """GPX, CSV, GeoJSON and NMEA tracks."""

    states_tracks: ClassVar[bool] = True

    def examine(
        self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str, zones: ZoneSet | None
    ) -> Examination:
        """See ``ItemHandler``."""
        return examine_track(read_track(gate, kind, original.read(), crs=crs), zones)

    def tracks(self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str) -> tuple[Track, ...]:
        """See ``ItemHandler``."""
        return (read_track(gate, kind, original.read(), crs=crs),)

    def treat(
        self,
        gate: Gate,
        item: Classified,
        original: BinaryIO,
        surroundings: Surroundings,
        progress: Progress,
    ) -> Cleansing:
        """See ``ItemHandler``."""
        del progress
        zones = surroundings.require_zones().zones
        track = read_track(gate, item.kind, original.read(), crs=str(item.facts["crs"]))
        profile = gate.profile.profile.tracks
        cut = cut_track(track, zones, profile=profile)
        if cut.track is None:
            return cut_whole(item, tuple(cut.findings), "tested")
        out = write_track(item.kind, cut.track)
        again = read_track(gate, item.kind, out, crs=WGS84)
        left = cut_track(again, zones, profile=profile)
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
        # Still true coordinates: they leave only after the release's own unlinking, and only a recognised
        # processor may lower the level of an absolute position.
        return ready(
            Outcome(
                treated=treated,
                residual=report,
                zone_check="tested",
                position_handling="raw",
                level=Level.S3_SENSITIVE_GEO,
            )
        )

    def unlink(self, gate: Gate, cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking) -> Unlinked:
        """See ``ItemHandler``."""
        kind = cleansed.classified.kind
        track = read_track(gate, kind, treated.read(), crs=WGS84)
        if unlinking.mode is ReleaseMode.LOCAL:
            return _to_local(gate, track, unlinking)
        if unlinking.mode is ReleaseMode.APPROVED:
            return _to_approved(gate, kind, track, unlinking)
        return _to_offset(gate, kind, track, unlinking)


def examine_track(track: Track, zones: ZoneSet | None) -> Examination:
    """Class, tags and facts of a track."""
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
    return Examination(
        data_class=DataClass.TRAJ_ABS,
        level=Level.S3_SENSITIVE_GEO,
        tags=tuple(sorted(tags)),
        facts=facts,
    )


def require_clean(report: ResidualReport, what: str) -> ResidualReport:
    """The report, where nothing was left.

    Raises:
        ResidualError: Something was.
    """
    if not report.clean:
        found = sorted({f.kind.value for f in report.residual})
        raise ResidualError(f"unlinked {what} still shows {', '.join(found)}")
    return report


def _to_local(gate: Gate, track: Track, unlinking: Unlinking) -> Unlinked:
    profile = gate.profile.profile.tracks
    plan = unlinking.plan() if np.isfinite(track.time_s).any() else None
    clips = (
        to_clips(track, plan)
        if isinstance(plan, ClipPlan)
        else to_local(track, key=unlinking.key, context=unlinking.context, profile=profile)
    )
    content = write_local_csv(clips)
    report = require_clean(
        scan_track(content, "text/csv", original=track, mode="LOCAL", profile=profile), "track"
    )
    return Unlinked(
        chunks=[content],
        extension="csv",
        media_type="text/csv",
        data_class=DataClass.TRAJ_REL,
        position_handling="local",
        absolute_time="stripped",
        settle=lambda _: Settled(residual=report, facts={"longest_clip_m": max(clips.lengths_m)}),
    )


def _to_offset(gate: Gate, kind: ItemKind, track: Track, unlinking: Unlinking) -> Unlinked:
    profile = gate.profile.profile.tracks
    moved = offset_track(track, key=unlinking.key, context=unlinking.context, profile=profile)
    content = write_track(kind, moved.track)
    media_type = _MEDIA_TYPES[kind]
    report = require_clean(
        scan_track(content, media_type, original=moved.source, mode="OFFSET", profile=profile), "track"
    )
    measured = moved.evidence
    facts = {
        "max_distance_error": measured.max_distance_error,
        "min_shift_m": measured.min_shift_m,
        "mean_shift_m": measured.mean_shift_m,
        "max_heading_error_deg": measured.max_heading_error_deg,
        "max_strain": measured.max_strain,
    }
    return Unlinked(
        chunks=[content],
        extension=_EXTENSIONS[kind],
        media_type=media_type,
        data_class=DataClass.TRAJ_ABS,
        position_handling="offset",
        absolute_time="shifted",
        settle=lambda _: Settled(residual=report, facts=facts),
    )


def _to_approved(gate: Gate, kind: ItemKind, track: Track, unlinking: Unlinking) -> Unlinked:
    """Trim and shift as in OFFSET, and let the recognised processor place what is left."""
    plan, profile = unlinking.plan(), gate.profile.profile.tracks
    if not isinstance(plan, OffsetPlan) or not isinstance(plan.offset, ApprovedDisplacement):
        raise MalformedItemError("a processor takes recordings with a timed track (got none)")
    displacement = plan.offset
    own = plan_approved(
        track, key=unlinking.key, context=unlinking.context, profile=profile, displacement=displacement
    )
    numbers = [np.full(len(inner), span, np.int32) for span, inner in enumerate(own.kept)]
    source = track.take(np.concatenate(own.kept), np.concatenate(numbers))
    approved = approve_track(
        source,
        processor=displacement.processor,
        now=gate.clock(),
        shift_s=own.shift_s,
        certificate_sha256=gate.settings.processor_certificate_sha256,
    )
    content = write_track(kind, approved.track)
    media_type = _MEDIA_TYPES[kind]
    report = require_clean(
        scan_approved(
            content,
            media_type,
            original=approved.source,
            processor=displacement.processor,
            shift_s=own.shift_s,
            profile=profile,
        ),
        "track",
    )
    sample = sample_of(approved.source, approved.track, _SAMPLE).content().decode()
    return Unlinked(
        chunks=[content],
        extension=_EXTENSIONS[kind],
        media_type=media_type,
        data_class=DataClass.TRAJ_ABS,
        position_handling="approved",
        absolute_time="shifted",
        settle=lambda _: Settled(
            residual=report, facts=approved.evidence.facts(), kept={"processor_sample": sample}
        ),
        level=Level.S1_PROCESSED,
        searched="identifiers",
    )

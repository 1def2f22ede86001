"""Cutting what lies in restricted zones out of tracks, camera frames and LiDAR sweeps.

Zones are tested on true coordinates, before any offset. A hit removes the fix or the point itself; of a
track, the pieces before and after are no longer connected. Where the heading of a sweep is unknown, every
point that might lie in a zone goes.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from anonymize.errors import MalformedItemError
from anonymize.finding import FieldPath, Finding, FindingKind, IndexSpan, Treatment, TreatmentKind
from anonymize.formats.track import Track, check_positions
from anonymize.geo.crs import steps_m
from anonymize.geo.ellipsoid import FloatArray, from_enu, wrap_degrees
from anonymize.geo.headings import Heading
from anonymize.geo.sweep import most_severe
from anonymize.geo.zones import ZoneHits, ZoneSet
from anonymize.profile import PointProfile, TrackProfile

_SENSOR_ERROR_M = 10.0
_ARC_STEP_M = 10.0
_STEPS_AT_ONCE = 100_000
_HALF_TURN_DEG = 180.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CutTrack:
    """A track without its fixes in zones; ``track`` is None when none is left.

    Attributes:
        track: What is left, in segments that end where something was cut.
        findings: One per run of fixes in a zone kind, per dropped field, and for elevations.
        treatments: What was done.
        hits_by_kind: Number of fixes in zones of each kind that was hit.
    """

    track: Track | None
    findings: tuple[Finding, ...]
    treatments: tuple[Treatment, ...]
    hits_by_kind: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CutPoints:
    """A sweep without its points in zones or out of range; ``dropped_all`` when none may be kept."""

    points: NDArray[np.float32]
    findings: tuple[Finding, ...]
    treatments: tuple[Treatment, ...]
    dropped_all: bool


def cut_track(track: Track, zones: ZoneSet, *, profile: TrackProfile) -> CutTrack:
    """Remove fixes in zones, split segments there and wherever a step between two fixes crosses a zone.

    Elevations go unless the profile keeps them; fields that the reader did not carry are reported as dropped.
    """
    hits = zones.test(track.lat, track.lon)
    findings = [*zone_findings(hits, zones), *_field_findings(track)]
    treatments = _cut_treatments(hits, zones)
    if track.dropped:
        treatments.append(
            Treatment(kind=TreatmentKind.DROP, of=FindingKind.UNLISTED_FIELD, count=len(track.dropped))
        )
    elevations = np.flatnonzero(np.isfinite(track.elevation_m))
    left = track
    if len(elevations) and not profile.keep_elevation:
        span = IndexSpan(start=int(elevations[0]), end=int(elevations[-1]) + 1)
        findings.append(Finding(kind=FindingKind.ELEVATION, where=span, confidence=1.0, detector="track"))
        treatments.append(Treatment(kind=TreatmentKind.DROP, of=FindingKind.ELEVATION, count=len(elevations)))
        left = replace(track, elevation_m=np.full(len(track), np.nan))
    return CutTrack(
        track=_without(left, hits.inside, zones),
        findings=tuple(findings),
        treatments=tuple(treatments),
        hits_by_kind={kind.value: count for kind, count in hits.kinds().items()},
    )


def frame_in_zone(lat: float, lon: float, zones: ZoneSet, *, radius_m: float) -> tuple[Finding, ...]:
    """One finding per zone kind that a disc about a camera's position meets; none: the frame is clear.

    Args:
        lat: Latitude of the camera in degrees, EPSG:4326.
        lon: Longitude in degrees.
        zones: The restricted zones.
        radius_m: How far the camera sees plus how wrong its position may be, in metres.

    Raises:
        MalformedItemError: The position is not finite or out of range.
    """
    check_positions(np.array([lat]), np.array([lon]), lambda _: "frame")
    return tuple(zone_findings(zones.test(lat, lon, extra_margin_m=radius_m), zones))


def way_in_zones(lat: FloatArray, lon: FloatArray, zones: ZoneSet, *, radius_m: float) -> tuple[Finding, ...]:
    """One finding per zone kind and run of places at which a moving camera's surroundings meet a zone.

    Between two places the camera is at most half their distance from the nearer one: half the longest step is
    added to the radius, so that no zone slips between them.

    Args:
        lat: Latitudes of the camera in degrees, EPSG:4326, in the order of the way; at least one.
        lon: Longitudes in degrees.
        zones: The restricted zones.
        radius_m: How far the camera sees plus how wrong its position may be, in metres.

    Raises:
        MalformedItemError: A position is not finite or out of range.
    """
    check_positions(lat, lon, lambda index: f"place {index}")
    steps = steps_m(lat, lon)
    margin = radius_m + (float(steps.max()) / 2.0 if len(steps) else 0.0)
    return tuple(zone_findings(zones.test(lat, lon, extra_margin_m=margin), zones))


def cut_points(
    points: NDArray[np.float32],
    *,
    zones: ZoneSet,
    lat: float,
    lon: float,
    heading: Heading | None,
    profile: PointProfile,
) -> CutPoints:
    """Remove points of a sweep that lie in zones or beyond the profile's range.

    1. A sensor inside a zone loses the whole sweep (COMPLIANCE rule 11).
    2. Points beyond ``max_range_m`` go.
    3. With a heading, a point goes when the arc on which it may lie, as far as the heading spreads, meets a zone.
    10 m are added to every margin, and 10 m more where there is a spread: the arc is tested at places that lie
    no farther than that from any other of it.
    4. Without one, a point goes when the circle it may lie on meets a zone.

    Args:
        points: One row per point: x forward, y left, z up in metres, intensity.
        zones: The restricted zones.
        lat: Latitude of the sensor in degrees, EPSG:4326.
        lon: Longitude in degrees.
        heading: Of the x axis; None where unknown.
        profile: Limits.

    Raises:
        MalformedItemError: The position is not finite or out of range, or the heading is none.
    """
    check_positions(np.array([lat]), np.array([lon]), lambda _: "sensor")
    if heading is not None and not (np.isfinite(heading.course_deg) and heading.spread_deg >= 0.0):
        raise MalformedItemError(f"a heading is a finite course and its spread, not negative (got {heading})")
    ground = np.hypot(points[:, 0].astype(np.float64), points[:, 1].astype(np.float64))
    sensor = zones.test(lat, lon)
    if sensor.inside[0]:
        everywhere = ZoneHits(
            inside=np.ones(len(points), dtype=bool),
            zone=np.full(len(points), sensor.zone[0]),
            kind_bits=np.full(len(points), sensor.kind_bits[0]),
        )
        return _cut_sweep(points, everywhere, ground < 0.0, zones, profile)
    beyond = ground > profile.max_range_m
    if not zones.around(lat, lon, within_m=profile.max_range_m + _SENSOR_ERROR_M):
        hits = zones.no_hits(len(points))
    elif heading is None or heading.spread_deg >= _HALF_TURN_DEG:
        hits = _ring_hits(ground, zones, lat, lon, profile)
    else:
        hits = _arc_hits(points, zones, lat, lon, heading, profile)
    return _cut_sweep(points, hits, beyond, zones, profile)


def _cut_sweep(
    points: NDArray[np.float32],
    hits: ZoneHits,
    beyond: NDArray[np.bool_],
    zones: ZoneSet,
    profile: PointProfile,
) -> CutPoints:
    findings = [
        Finding(
            kind=FindingKind.RESTRICTED_ZONE,
            where=_extent(hits.of_kind(kind)),
            confidence=1.0,
            detector=zones.detector,
            label=kind.value,
        )
        for kind in hits.kinds()
    ]
    treatments = _cut_treatments(hits, zones)
    if beyond.any():
        findings.append(
            Finding(
                kind=FindingKind.POSITION,
                where=_extent(beyond),
                confidence=1.0,
                detector="kitti",
                label="range",
            )
        )
        treatments.append(
            Treatment(
                kind=TreatmentKind.DROP,
                of=FindingKind.POSITION,
                count=int(beyond.sum()),
                parameters={"max_range_m": profile.max_range_m},
            )
        )
    kept = points[~(hits.inside | beyond)]
    return CutPoints(
        points=kept, findings=tuple(findings), treatments=tuple(treatments), dropped_all=not len(kept)
    )


def _ring_hits(ground: FloatArray, zones: ZoneSet, lat: float, lon: float, profile: PointProfile) -> ZoneHits:
    zone, bits = np.full(len(ground), -1, np.int32), np.zeros(len(ground), np.uint16)
    for index, near, far in zones.around(lat, lon, within_m=profile.max_range_m + _SENSOR_ERROR_M):
        meets = (ground >= near - _SENSOR_ERROR_M) & (ground <= far + _SENSOR_ERROR_M)
        zone[meets & (zone < 0)] = index
        bits[meets] |= zones.kind_bit(index)
    return ZoneHits(inside=zone >= 0, zone=zone, kind_bits=bits)


def _arc_hits(
    points: NDArray[np.float32],
    zones: ZoneSet,
    lat: float,
    lon: float,
    heading: Heading,
    profile: PointProfile,
) -> ZoneHits:
    x, y = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
    # The middles of so many equal parts of the widest arc: no place of it is farther than 10 m from one of them.
    parts = max(1, math.ceil(math.radians(heading.spread_deg) * profile.max_range_m / _ARC_STEP_M))
    off_deg = heading.spread_deg * ((2.0 * np.arange(parts) + 1.0) / parts - 1.0)
    margin = _SENSOR_ERROR_M + (_ARC_STEP_M if heading.spread_deg else 0.0)
    zone, bits = np.full(len(points), -1, np.int32), np.zeros(len(points), np.uint16)
    for course in np.radians(heading.course_deg + off_deg):
        east, north = x * np.sin(course) - y * np.cos(course), x * np.cos(course) + y * np.sin(course)
        found = zones.test(*from_enu(east, north, lat, lon), extra_margin_m=margin)
        zone, bits = most_severe(zone, found.zone), bits | found.kind_bits
    return ZoneHits(inside=zone >= 0, zone=zone, kind_bits=bits)


def _without(track: Track, inside: NDArray[np.bool_], zones: ZoneSet) -> Track | None:
    kept = np.flatnonzero(~inside)
    if not len(kept):
        return None
    if zones.empty:
        return track
    follows = np.zeros(len(kept), dtype=bool)
    follows[1:] = (np.diff(kept) == 1) & (np.diff(track.segment[kept]) == 0)
    steps = np.flatnonzero(follows)
    follows[steps[_crosses(track, kept[steps], zones)]] = False
    follows[0] = True
    return track.take(kept, np.cumsum(~follows))


def _crosses(track: Track, ends: NDArray[np.intp], zones: ZoneSet) -> NDArray[np.bool_]:
    """Whether the straight step to each of the fixes ``ends`` from its predecessor meets a zone."""
    crosses = np.zeros(len(ends), dtype=bool)
    for start in range(0, len(ends), _STEPS_AT_ONCE):
        part = ends[start : start + _STEPS_AT_ONCE]
        # Straight across the antimeridian, not around the Earth.
        begin = track.lon[part - 1]
        end = begin + wrap_degrees(track.lon[part] - begin)
        pairs = np.stack([begin, track.lat[part - 1], end, track.lat[part]], axis=1)
        lines = np.asarray(shapely.linestrings(pairs.reshape(-1, 2, 2)), dtype=np.object_)
        crosses[start + zones.crossed_by(lines)] = True
    return crosses


def zone_findings(hits: ZoneHits, zones: ZoneSet) -> Iterator[Finding]:
    """One finding per zone kind and run of positions in zones of it."""
    for kind in hits.kinds():
        for span in _runs(hits.of_kind(kind)):
            yield Finding(
                kind=FindingKind.RESTRICTED_ZONE,
                where=span,
                confidence=1.0,
                detector=zones.detector,
                label=kind.value,
            )


def _field_findings(track: Track) -> Iterator[Finding]:
    for name in track.dropped:
        yield Finding(
            kind=FindingKind.UNLISTED_FIELD, where=FieldPath(path=name), confidence=1.0, detector="track"
        )


def _cut_treatments(hits: ZoneHits, zones: ZoneSet) -> list[Treatment]:
    count = int(hits.inside.sum())
    if not count:
        return []
    parameters: dict[str, str | int | float | bool] = {
        "zone_file": zones.digest,
        "zone_file_version": zones.version,
    }
    return [
        Treatment(kind=TreatmentKind.CUT, of=FindingKind.RESTRICTED_ZONE, count=count, parameters=parameters)
    ]


def _runs(flags: NDArray[np.bool_]) -> Iterator[IndexSpan]:
    edges = np.flatnonzero(np.diff(np.r_[False, flags, False].astype(np.int8)))
    return (IndexSpan(start=int(a), end=int(b)) for a, b in edges.reshape(-1, 2))


def _extent(flags: NDArray[np.bool_]) -> IndexSpan:
    at = np.flatnonzero(flags)
    return IndexSpan(start=int(at[0]), end=int(at[-1]) + 1)

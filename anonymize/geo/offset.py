"""OFFSET mode: keyed displacement of positions, keyed trims of trips and a keyed shift of time.

An offset is *not* anonymisation: one known pair of points removes most of it, and the shape of a trip finds
its place on a map (docs/coordinates.md). It never lowers a class by itself. The displacement is the same
function of position and key for everything in a release; trims and the shift of time belong to one recording
and are planned for all its channels (``anonymize.geo.offset_plan``).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anonymize.errors import LimitExceededError
from anonymize.formats.track import Track
from anonymize.geo.crs import geodesic_m, steps_m
from anonymize.geo.displacement import KeyedOffset
from anonymize.geo.distortion import heading_errors_deg, strains
from anonymize.geo.ellipsoid import FloatArray, wrap_degrees
from anonymize.geo.offset_plan import plan_offset, time_shift_s
from anonymize.profile import TrackProfile

__all__ = [
    "KeyedOffset",
    "OffsetEvidence",
    "OffsetTrack",
    "measure_positions",
    "offset_track",
    "require_limits",
    "time_shift_s",
]

_WINDOW_M = 100.0
_LEAST_CHORD_M = 20.0
_CHORDS_AT_ONCE = 262_144


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetEvidence:
    """What an offset did to one track, or to other positions.

    Attributes:
        mean_shift_m: Mean geodesic displacement of its fixes in metres.
        min_shift_m: Least displacement in metres.
        max_shift_m: Greatest displacement in metres.
        max_distance_error: Greatest relative error of the distance between fixes about 100 m apart along the
            track; of other positions, the strain.
        max_heading_error_deg: Greatest error of the direction between them in degrees; of other positions, that
            of any direction.
        max_strain: Greatest relative change of a length in any direction at any of the positions: the greatest
            deviation from 1 of a singular value of the displacement's gradient.
    """

    mean_shift_m: float
    min_shift_m: float
    max_shift_m: float
    max_distance_error: float
    max_heading_error_deg: float
    max_strain: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OffsetTrack:
    """A displaced track.

    Attributes:
        track: What is released.
        source: The true fixes that remained after trimming, index by index those of ``track``; for the
            residual scan.
        evidence: What the offset did.
    """

    track: Track
    source: Track
    evidence: OffsetEvidence


def offset_track(track: Track, *, key: bytes, context: bytes, profile: TrackProfile) -> OffsetTrack:
    """Trim, displace and shift a track.

    1. Trips end where the recording paused for five minutes, jumped by 2 km or ran back in time.
    2. A keyed length within ``profile.trim_m`` goes at both ends of every trip; shorter trips go entirely.
    3. Every position is displaced under ``key``; elevations are dropped.
    4. Every time is shifted by the recording's keyed number of days and seconds.
    5. The result is measured, and refused when it is outside the profile's limits.

    Args:
        track: The cleansed track.
        key: The release's key, 32 bytes.
        context: Names the recording within the release.
        profile: Parameters and limits.

    Raises:
        LimitExceededError: Nothing is left after trimming, or a limit of the profile is missed.
        ProfileError: The key has another length.
    """
    plan = plan_offset(track, key=key, context=context, profile=profile)
    number = [np.full(len(inner), span, np.int32) for span, inner in enumerate(plan.kept)]
    source = track.take(np.concatenate(plan.kept), np.concatenate(number))
    lat, lon = plan.offset.displace(source.lat, source.lon)
    moved = replace(
        source,
        lat=lat,
        lon=lon,
        time_s=plan.times(source.time_s),
        elevation_m=np.full(len(source), np.nan),
        dropped=(),
    )
    evidence = _measure(source, moved, plan.offset)
    require_limits(evidence, profile)
    return OffsetTrack(track=moved, source=source, evidence=evidence)


def measure_positions(offset: KeyedOffset, lat: ArrayLike, lon: ArrayLike) -> OffsetEvidence:
    """What an offset does to positions that are no track: points of a cloud, vertices of a map.

    Args:
        offset: The displacement.
        lat: Latitudes in degrees, EPSG:4326; at least one.
        lon: Longitudes in degrees.

    Raises:
        MalformedItemError: A coordinate is not finite or out of range.
        LimitExceededError: A position is within 5 degrees of a pole.
    """
    y, x = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (lat, lon))
    shift, _ = geodesic_m(y, x, *offset.displace(y, x))
    jacobian = offset.jacobians(y, x)
    strain = float(strains(jacobian).max())
    return OffsetEvidence(
        mean_shift_m=float(shift.mean()),
        min_shift_m=float(shift.min()),
        max_shift_m=float(shift.max()),
        max_distance_error=strain,
        max_heading_error_deg=float(heading_errors_deg(jacobian).max()),
        max_strain=strain,
    )


def require_limits(evidence: OffsetEvidence, profile: TrackProfile) -> None:
    """Refuse an offset that distorts more, or moves less, than the profile permits.

    Raises:
        LimitExceededError: Names the first limit that is missed, with the value and the limit.
    """
    for what, value, limit in (
        ("distorts distances", evidence.max_distance_error, profile.offset_max_distance_error),
        ("turns directions", evidence.max_heading_error_deg, profile.offset_max_heading_error_deg),
        ("strains the ground", evidence.max_strain, profile.offset_max_strain),
    ):
        if not value <= limit:
            raise LimitExceededError(f"the offset {what} (got {value:.5f}, expected at most {limit})")
    if not evidence.min_shift_m >= profile.offset_min_shift_m:
        raise LimitExceededError(
            f"the offset leaves a fix near its place (got {evidence.min_shift_m:.1f} m, "
            f"expected at least {profile.offset_min_shift_m} m)"
        )


def _measure(source: Track, moved: Track, offset: KeyedOffset) -> OffsetEvidence:
    shift, _ = geodesic_m(source.lat, source.lon, moved.lat, moved.lon)
    error, turn = _chord_errors(source, moved)
    return OffsetEvidence(
        mean_shift_m=float(shift.mean()),
        min_shift_m=float(shift.min()),
        max_shift_m=float(shift.max()),
        max_distance_error=error,
        max_heading_error_deg=turn,
        max_strain=float(strains(offset.jacobians(source.lat, source.lon)).max()),
    )


def _chord_errors(source: Track, moved: Track) -> tuple[float, float]:
    """Greatest relative error of a distance of about 100 m along the track, and of its direction in degrees."""
    first, second = _windows(source)
    error = turn = 0.0
    for start in range(0, len(first), _CHORDS_AT_ONCE):
        part = slice(start, start + _CHORDS_AT_ONCE)
        before, heading_before = _chords(source, first[part], second[part])
        after, heading_after = _chords(moved, first[part], second[part])
        apart = before >= _LEAST_CHORD_M
        errors = np.abs(after[apart] / before[apart] - 1.0)
        turned = np.abs(wrap_degrees(heading_after - heading_before))[apart]
        error = max(error, float(errors.max(initial=0.0)))
        turn = max(turn, float(turned.max(initial=0.0)))
    return error, turn


def _windows(track: Track) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of fixes about 100 m apart along a segment, or as far as it is long."""
    first, second = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
    for part in track.segments():
        along = np.r_[0.0, np.cumsum(steps_m(track.lat[part], track.lon[part]))]
        reached = np.searchsorted(along, along + min(_WINDOW_M, along[-1]))
        starts = np.flatnonzero(reached < len(along))
        first.append(starts + part.start)
        second.append(reached[starts] + part.start)
    return np.concatenate(first), np.concatenate(second)


def _chords(track: Track, first: NDArray[np.intp], second: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    return geodesic_m(track.lat[first], track.lon[first], track.lat[second], track.lon[second])

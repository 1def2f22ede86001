"""OFFSET mode: keyed displacement of positions, keyed trims of trips and a keyed shift of time.

An offset is *not* anonymisation: one known pair of points removes most of it, and the shape of a trip finds
its place on a map (docs/coordinates.md). It never lowers a class by itself. The displacement is the same
function of position and key for everything in a release; trims and the shift of time belong to one recording.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anonymize.errors import LimitExceededError
from anonymize.formats.track import Track, check_positions
from anonymize.geo.crs import geodesic_m, steps_m
from anonymize.geo.ellipsoid import MEAN_RADIUS_M, FloatArray, wrap_degrees
from anonymize.geo.lattice import DisplacementField
from anonymize.geo.prf import require_key, subkey, uniform
from anonymize.profile import TrackProfile

_DEGREES_PER_METRE = math.degrees(1.0 / MEAN_RADIUS_M)
_INVERSE_STEPS = 16
_INVERSE_DEG = 2e-9
_WINDOW_M = 100.0
_LEAST_CHORD_M = 20.0
_TRIP_PAUSE_S = 300.0
_TRIP_JUMP_M = 2000.0
_DAY_S = 86400.0
_SHIFT_DAYS = (31, 730)
_SHIFT_SECONDS = 900.0


class KeyedOffset:
    """The displacement of one release."""

    def __init__(self, key: bytes, profile: TrackProfile) -> None:
        """Derive the field from ``key`` (32 bytes) and the octaves and constant of ``profile``.

        Raises:
            ProfileError: The key has another length, or the profile has no octave.
        """
        self._field = DisplacementField(subkey(require_key(key), "lattice"), profile.offset_octaves)
        turn, share = uniform(key, "constant", 2).tolist()
        low, high = profile.offset_constant_m
        length = low + (high - low) * share
        self._east, self._north = length * math.sin(2 * math.pi * turn), length * math.cos(2 * math.pi * turn)

    def __repr__(self) -> str:
        return "KeyedOffset(<secret>)"

    def displace(self, lat: ArrayLike, lon: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Move positions in degrees, EPSG:4326.

        Raises:
            MalformedItemError: A coordinate is not finite or out of range.
            LimitExceededError: A position is within 5 degrees of a pole.
        """
        y, x = (np.ascontiguousarray(np.atleast_1d(v), dtype=np.float64) for v in (lat, lon))
        check_positions(y, x)
        d_lat, d_lon = self._degrees(y, x)
        return y + d_lat, wrap_degrees(x + d_lon)

    def invert(self, lat: ArrayLike, lon: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """The positions whose displaced ones are given, to better than 1 mm.

        Raises:
            MalformedItemError: A coordinate is not finite or out of range.
            LimitExceededError: A position is near a pole, or the iteration does not settle.
        """
        y, x = (np.ascontiguousarray(np.atleast_1d(v), dtype=np.float64) for v in (lat, lon))
        check_positions(y, x)
        guess_y, guess_x = y, x
        for _ in range(_INVERSE_STEPS):
            d_lat, d_lon = self._degrees(guess_y, guess_x)
            next_y, next_x = y - d_lat, wrap_degrees(x - d_lon)
            across = wrap_degrees(next_x - guess_x) * np.cos(np.radians(y))
            moved = float(np.hypot(next_y - guess_y, across).max(initial=0.0))
            guess_y, guess_x = next_y, next_x
            if moved < _INVERSE_DEG:
                return guess_y, guess_x
        raise LimitExceededError(f"the offset has no inverse here (still moving by {moved!r} degrees)")

    def _degrees(self, lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
        east, north, cosine = self._field.at(lat, lon)
        east += self._east
        east /= cosine
        east *= _DEGREES_PER_METRE
        north += self._north
        north *= _DEGREES_PER_METRE
        return north, east


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetEvidence:
    """What an offset did to one track.

    Attributes:
        mean_shift_m: Mean geodesic displacement of its fixes in metres.
        min_shift_m: Least displacement in metres.
        max_shift_m: Greatest displacement in metres.
        max_distance_error: Greatest relative error of the distance between fixes about 100 m apart along the
            track.
        max_heading_error_deg: Greatest error of the direction between them in degrees.
    """

    mean_shift_m: float
    min_shift_m: float
    max_shift_m: float
    max_distance_error: float
    max_heading_error_deg: float


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

    1. Segments end where the recording paused for five minutes or jumped by 2 km.
    2. A keyed length within ``profile.trim_m`` goes at both ends of every segment; shorter segments go
    entirely.
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
    own = subkey(key, "recording", context)
    source = _trimmed(track, own, profile)
    lat, lon = KeyedOffset(key, profile).displace(source.lat, source.lon)
    moved = replace(
        source,
        lat=lat,
        lon=lon,
        time_s=source.time_s + time_shift_s(key=key, context=context),
        elevation_m=np.full(len(source), np.nan),
        dropped=(),
    )
    evidence = _measure(source, moved)
    if evidence.max_distance_error > profile.offset_max_distance_error:
        raise LimitExceededError(
            f"the offset distorts distances (got {evidence.max_distance_error:.5f}, "
            f"expected at most {profile.offset_max_distance_error})"
        )
    if evidence.min_shift_m < profile.offset_min_shift_m:
        raise LimitExceededError(
            f"the offset leaves a fix near its place (got {evidence.min_shift_m:.1f} m, "
            f"expected at least {profile.offset_min_shift_m} m)"
        )
    return OffsetTrack(track=moved, source=source, evidence=evidence)


def time_shift_s(*, key: bytes, context: bytes) -> float:
    """The shift of all times of one recording: 31 to 730 days either way, give or take 15 minutes."""
    sign, days, seconds = uniform(subkey(key, "recording", context), "time", 3).tolist()
    low, high = _SHIFT_DAYS
    whole: float = math.floor(low + days * (high - low + 1)) * _DAY_S
    return math.copysign(whole, float(sign) - 0.5) + math.floor((2.0 * float(seconds) - 1.0) * _SHIFT_SECONDS)


def _trimmed(track: Track, key: bytes, profile: TrackProfile) -> Track:
    trips = list(_trips(track))
    low, high = profile.trim_m
    trims = (low + (high - low) * uniform(key, "trim", 2 * len(trips))).reshape(-1, 2)
    kept: list[NDArray[np.intp]] = []
    number: list[NDArray[np.intp]] = []
    for trip, (start_m, end_m) in zip(trips, trims, strict=True):
        along = np.r_[0.0, np.cumsum(steps_m(track.lat[trip], track.lon[trip]))]
        inner = np.flatnonzero((along >= start_m) & (along <= along[-1] - end_m)) + trip.start
        if len(inner):
            number.append(np.full(len(inner), len(number)))
            kept.append(inner)
    if not kept:
        raise LimitExceededError(
            f"no fix is left after trimming (got {track.path_length_m():.0f} m in {len(trips)} trips, "
            f"expected more than {2 * low:.0f} m in one)"
        )
    return track.take(np.concatenate(kept), np.concatenate(number).astype(np.int32))


def _trips(track: Track) -> Iterator[slice]:
    for part in track.segments():
        pause = np.diff(track.time_s[part])
        jump = steps_m(track.lat[part], track.lon[part])
        cuts = np.flatnonzero((np.nan_to_num(pause) > _TRIP_PAUSE_S) | (jump > _TRIP_JUMP_M)) + 1 + part.start
        bounds = [part.start, *cuts.tolist(), part.stop]
        yield from (slice(a, b) for a, b in itertools.pairwise(bounds))


def _measure(source: Track, moved: Track) -> OffsetEvidence:
    shift, _ = geodesic_m(source.lat, source.lon, moved.lat, moved.lon)
    first, second = _windows(source)
    before, heading_before = _chords(source, first, second)
    after, heading_after = _chords(moved, first, second)
    errors = np.abs(after / before - 1.0)
    turned = np.abs(wrap_degrees(heading_after - heading_before))
    return OffsetEvidence(
        mean_shift_m=float(shift.mean()),
        min_shift_m=float(shift.min()),
        max_shift_m=float(shift.max()),
        max_distance_error=float(errors.max(initial=0.0)),
        max_heading_error_deg=float(turned.max(initial=0.0)),
    )


def _windows(track: Track) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of fixes about 100 m apart along a segment, or as far as it is long, but at least 20 m."""
    first, second = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
    for part in track.segments():
        along = np.r_[0.0, np.cumsum(steps_m(track.lat[part], track.lon[part]))]
        reached = np.searchsorted(along, along + min(_WINDOW_M, along[-1]))
        starts = np.flatnonzero(reached < len(along))
        first.append(starts + part.start)
        second.append(reached[starts] + part.start)
    a, b = np.concatenate(first), np.concatenate(second)
    apart = _chords(track, a, b)[0] >= _LEAST_CHORD_M
    return a[apart], b[apart]


def _chords(track: Track, first: NDArray[np.intp], second: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    return geodesic_m(track.lat[first], track.lon[first], track.lat[second], track.lon[second])

"""The plan of a LOCAL release of one recording: which times are kept, and in which metric frame.

A plan is made on the recording's track and applied to all its channels, so that fixes, poses, sweeps, frames
and speeds of one moment land in the same clip, in the same frame, or nowhere. Clips are cut at keyed lengths
with a keyed stretch left out between them and numbered in a keyed order; each has a keyed origin and
direction of its own, and its time begins at zero.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.formats.track import Track, check_positions
from anonymize.geo.crs import steps_m
from anonymize.geo.ellipsoid import FloatArray, ecef, enu_axes, wrap_degrees
from anonymize.geo.prf import require_key, subkey, uniform
from anonymize.geo.rotation import about_up, multiply_quaternions, up_quaternion
from anonymize.geo.time_spans import IntArray, TimeSpans, time_range
from anonymize.profile import TrackProfile

# At most 99 % of the limit: the frame is at the drive's height, where a metre is up to 0.15 % longer than on
# the ellipsoid.
_LENGTH_SHARE = (0.7, 0.99)
_SKIPPED_M = (20.0, 60.0)
_FARTHEST_ORIGIN_SHARE = 0.5
_DRAWS = 4
_RESOLUTION_M = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClipFrame:
    """One clip: a span of true time, and a metric frame with a keyed origin and direction, z up.

    A point and the ground below it have the same x and y, whatever their heights. Heights are ellipsoidal
    throughout, or those of one other datum throughout.

    Attributes:
        number: Number in the release, from 0.
        begin_s: First time of the clip in POSIX seconds of the track, included; NaN where it has no time.
        end_s: Last time, included.
        fixes: Indices of the track's fixes in this clip.
        lat0: Latitude in degrees of the tangent point, EPSG:4326. Secret.
        lon0: Longitude in degrees. Secret.
        height0_m: Height in metres of the tangent plane: the mean of the track's elevations there, 0 where it
            has none. Secret.
        east_m: East of the frame's origin from the tangent point in metres. Secret.
        north_m: North likewise. Secret.
        turn_rad: Angle by which directions turn to the left on their way into the frame. Secret.
        keep_elevation: Whether z is given; it is 0 otherwise.
    """

    number: int
    begin_s: float = field(repr=False)
    end_s: float = field(repr=False)
    fixes: NDArray[np.intp] = field(repr=False)
    lat0: float = field(repr=False)
    lon0: float = field(repr=False)
    height0_m: float = field(repr=False)
    east_m: float = field(repr=False)
    north_m: float = field(repr=False)
    turn_rad: float = field(repr=False)
    keep_elevation: bool

    @property
    def rotation(self) -> FloatArray:
        """The 3 x 3 rotation from east, north, up at the tangent point into the frame."""
        return about_up(self.turn_rad)

    def positions(
        self, lat: ArrayLike, lon: ArrayLike, height_m: ArrayLike | None = None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Bring positions in degrees, EPSG:4326, into the frame: x, y and z in metres.

        Args:
            lat: Latitudes in degrees.
            lon: Longitudes in degrees.
            height_m: Heights in metres; without them positions are taken at the tangent plane's height.

        Returns:
            x, y and z; z is 0 where the profile keeps no elevation (COMPLIANCE rule 14).

        Raises:
            MalformedItemError: A coordinate is not finite or out of range.
        """
        phi, lam = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (lat, lon))
        check_positions(phi, lam, "position {}".format)
        at = np.stack(ecef(phi, lam, self.height0_m), axis=-1)
        centre = np.stack(ecef(self.lat0, self.lon0, self.height0_m), axis=-1)
        east, north, up = np.moveaxis((at - centre) @ enu_axes(self.lat0, self.lon0).T, -1, 0)
        placed = (east - self.east_m + 1j * (north - self.north_m)) * np.exp(1j * self.turn_rad)
        z = np.zeros(len(phi))
        if self.keep_elevation and height_m is not None:
            above = np.asarray(height_m, dtype=np.float64)
            if not np.isfinite(above).all():
                raise MalformedItemError("a height in a clip is finite (got NaN or infinity)")
            z = up + above - self.height0_m
        return placed.real.copy(), placed.imag.copy(), z

    def vectors(self, enu: ArrayLike) -> FloatArray:
        """Turn vectors (velocities, accelerations), shape (…, 3), from east, north, up into the frame."""
        return np.asarray(np.asarray(enu, dtype=np.float64) @ self.rotation.T)

    def headings(self, heading_deg: ArrayLike) -> FloatArray:
        """Turn headings from degrees clockwise from north to degrees clockwise from the frame's y axis."""
        return (np.asarray(heading_deg, dtype=np.float64) - math.degrees(self.turn_rad)) % 360.0

    def rotations(
        self, rotation: ArrayLike, lat: ArrayLike | None = None, lon: ArrayLike | None = None
    ) -> FloatArray:
        """Turn orientations, rotations (…, 3, 3) from a body into east, north, up, into the frame.

        Args:
            rotation: The orientations, in the axes at ``lat``, ``lon``, or without these at the tangent point.
            lat: Latitude of each body in degrees; without it the angle between the two, at most 2e-4 below 80
                degrees of latitude, is left out.
            lon: Longitude of each body in degrees.
        """
        turned = self.rotation
        if lat is not None and lon is not None:
            turned = turned @ enu_axes(self.lat0, self.lon0) @ np.swapaxes(enu_axes(lat, lon), -1, -2)
        return np.asarray(turned @ np.asarray(rotation, dtype=np.float64))

    def quaternions(self, quaternion: ArrayLike) -> FloatArray:
        """Turn orientations, quaternions (…, 4) x, y, z, w from a body into east, north, up, into the frame."""
        return multiply_quaternions(up_quaternion(self.turn_rad), quaternion)

    def times(self, time_s: ArrayLike) -> FloatArray:
        """Seconds since the clip's begin."""
        return np.asarray(time_s, dtype=np.float64) - self.begin_s


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClipPlan:
    """The clips of one recording.

    Attributes:
        clips: In released order: ``clips[n].number == n``; at least one.
        fixes: Number of fixes of the track that the plan was made on.
        spans: The clips' spans of time.
    """

    clips: tuple[ClipFrame, ...]
    fixes: int
    spans: TimeSpans = field(repr=False)

    def clip_of(self, time_s: ArrayLike) -> IntArray:
        """The number of the clip that holds each POSIX time; -1 where none does, or where more than one may.

        Both ends of a clip belong to it. Times at which the track's clock ran twice are in none.
        """
        return self.spans.of(time_s)


def plan_clips(track: Track, *, key: bytes, context: bytes, profile: TrackProfile) -> ClipPlan:
    """Plan the clips of a recording on its track.

    Args:
        track: The cleansed track.
        key: The release's key, 32 bytes.
        context: Names the recording within the release.
        profile: Parameters and limits.

    Raises:
        LimitExceededError: No clip has ``local_min_fixes`` fixes, or one is longer than ``local_clip_m``.
        ProfileError: The key has another length.
    """
    own = subkey(require_key(key), "local", context)
    steps = steps_m(track.lat, track.lon)
    parts = list(_connected(track, steps, profile))
    cut = itertools.chain.from_iterable(
        _cut(part, steps, subkey(own, "spans", number.to_bytes(8, "big")), profile)
        for number, part in enumerate(parts)
    )
    stretches = [s for s in cut if s.stop - s.start >= profile.local_min_fixes]
    if not stretches:
        raise LimitExceededError(
            f"no clip is left "
            f"(got {len(track)} fixes, expected {profile.local_min_fixes} within {profile.local_clip_m:g} m)"
        )
    draws = uniform(own, "clips", _DRAWS * len(stretches)).reshape(-1, _DRAWS)
    order = np.argsort(draws[:, 0], kind="stable").tolist()
    clips = tuple(
        _frame(track, number, stretches[i], draws[i, 1:], profile) for number, i in enumerate(order)
    )
    for clip in clips:
        x, y, _ = clip.positions(track.lat[clip.fixes], track.lon[clip.fixes])
        _require_length(float(np.hypot(np.diff(x), np.diff(y)).sum()), clip.number, profile)
    busy = np.array([time_range(track, part) for part in parts]).reshape(-1, 2)
    spans = TimeSpans(
        begin_s=np.array([c.begin_s for c in clips]),
        end_s=np.array([c.end_s for c in clips]),
        busy_begin_s=busy[:, 0],
        busy_end_s=busy[:, 1],
    )
    return ClipPlan(clips=clips, fixes=len(track), spans=spans)


def check_clip_paths(clip: IntArray, x_m: FloatArray, y_m: FloatArray, *, profile: TrackProfile) -> None:
    """Require that no channel's path in a clip is longer than the profile permits.

    A path is measured between places at least 1 m apart, so that the noise of a standing vehicle adds nothing.

    Args:
        clip: The number of the clip of each position, as :meth:`ClipPlan.clip_of` gives it; -1 is left out.
        x_m: x of each position in its clip's frame, in the order of time.
        y_m: y likewise.
        profile: Limits.

    Raises:
        LimitExceededError: Names the clip and the length of its path.
    """
    for number in np.unique(clip[clip >= 0]).tolist():
        of = clip == number
        _require_length(_path_m(x_m[of], y_m[of]), number, profile)


def _require_length(length_m: float, number: int, profile: TrackProfile) -> None:
    if not length_m <= profile.local_clip_m:
        raise LimitExceededError(
            f"clip {number}: its path is too long "
            f"(got {length_m:.1f} m, expected at most {profile.local_clip_m:g} m)"
        )


def _path_m(x: FloatArray, y: FloatArray) -> float:
    length, at = 0.0, 0
    while at < len(x):
        apart = np.hypot(x[at:] - x[at], y[at:] - y[at])
        beyond = apart >= _RESOLUTION_M
        ahead = int(np.argmax(beyond))
        if not beyond[ahead]:
            break
        length, at = length + float(apart[ahead]), at + ahead
    return length


def _connected(track: Track, steps: FloatArray, profile: TrackProfile) -> Iterator[slice]:
    """Stretches without a pause, a jump, an end of a segment or a step back in time."""
    pause = np.nan_to_num(np.diff(track.time_s))
    breaks = (pause > profile.local_gap_s) | (pause < 0.0) | (steps > profile.local_clip_m)
    breaks |= np.diff(track.segment) != 0
    bounds = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(track)]
    return (slice(a, b) for a, b in itertools.pairwise(bounds))


def _cut(part: slice, steps: FloatArray, key: bytes, profile: TrackProfile) -> Iterator[slice]:
    along = np.r_[0.0, np.cumsum(steps[part.start : part.stop - 1])]
    least = _LENGTH_SHARE[0] * profile.local_clip_m + _SKIPPED_M[0]
    draws = uniform(key, "cut", 2 * (int(along[-1] / least) + 2))
    at = 0.0
    for share, skip in draws.reshape(-1, 2).tolist():
        length = profile.local_clip_m * (_LENGTH_SHARE[0] + (_LENGTH_SHARE[1] - _LENGTH_SHARE[0]) * share)
        first = int(np.searchsorted(along, at))
        if first >= len(along):
            break
        last = int(np.searchsorted(along, along[first] + length, side="right"))
        yield slice(first + part.start, last + part.start)
        at = along[last - 1] + _SKIPPED_M[0] + (_SKIPPED_M[1] - _SKIPPED_M[0]) * skip


def _frame(track: Track, number: int, stretch: slice, draws: FloatArray, profile: TrackProfile) -> ClipFrame:
    lat, lon, height = track.lat[stretch], track.lon[stretch], track.elevation_m[stretch]
    known = height[np.isfinite(height)]
    turn, bearing, share = draws.tolist()
    away = profile.local_clip_m * _FARTHEST_ORIGIN_SHARE * math.sqrt(share)
    begin_s, end_s = time_range(track, stretch)
    return ClipFrame(
        number=number,
        begin_s=begin_s,
        end_s=end_s,
        fixes=np.arange(stretch.start, stretch.stop),
        lat0=float(lat.mean()),
        lon0=float(wrap_degrees(lon[0] + float(np.mean(wrap_degrees(lon - lon[0]))))),
        height0_m=float(known.mean()) if len(known) else 0.0,
        east_m=away * math.cos(2.0 * math.pi * bearing),
        north_m=away * math.sin(2.0 * math.pi * bearing),
        turn_rad=2.0 * math.pi * turn,
        keep_elevation=profile.keep_elevation,
    )

"""Where a video was taken, second by second, and at which of its seconds it may have seen a restricted zone."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anonymize.geo.crs import geodesic_m
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.headings import track_headings, way_headings
from anonymize.geo.zone_spans import GREATEST_SPEED_MPS, ZoneSpan, view_spans, zone_spans
from anonymize.geo.zones import ZoneSet
from anonymize.media.video.gpmf import GpmfTrack
from anonymize.profile import ImageProfile
from gateway.flow.kinds.sight import Sight, sight_of
from gateway.flow.kinds.surroundings import Surroundings
from gateway.vehicles.cameras import Camera

# Across a longer pause nothing is known (``Track.position_at``).
_LONGEST_PAUSE_S = 30.0
# A sample of telemetry spans one second: before the first fix and after the last one, so much is bounded.
_END_S = 1.0
# Times of fixes and of frames are rounded apart.
_ROUNDING_S = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class WayCheck:
    """How a video's way was held against the zones.

    Attributes:
        zone_check: ``tested`` or ``attested``.
        spans: Closed spans in seconds from the first frame in which zones may be seen, with their kinds; they may
            overlap.
        sight: The camera as it was tested; None where none is described, or there was nothing to test.
        heading_known: Whether the heading was known anywhere, so that not all of the way was tested as discs.
    """

    zone_check: str
    spans: tuple[ZoneSpan, ...]
    sight: Sight | None = None
    heading_known: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Way:
    """Fixes in the order of their times, in seconds from the first frame.

    ``course_deg`` and ``spread_deg`` say where the vehicle headed from each fix on (``way_headings``), NaN where
    that is unknown.
    """

    time_s: FloatArray
    lat: FloatArray
    lon: FloatArray
    course_deg: FloatArray
    spread_deg: FloatArray

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> "_Way":
        """Some of the fixes."""
        return _Way(
            time_s=self.time_s[index],
            lat=self.lat[index],
            lon=self.lon[index],
            course_deg=self.course_deg[index],
            spread_deg=self.spread_deg[index],
        )

    def pieces(self) -> Iterator["_Way"]:
        """The way between its pauses."""
        ends = np.flatnonzero(np.diff(self.time_s) > _LONGEST_PAUSE_S) + 1
        for part in np.split(np.arange(len(self.time_s)), ends):
            if len(part):
                yield self.take(part)

    def seconds_to(self, time_s: FloatArray) -> FloatArray:
        """From each of some times to the nearest fix."""
        after = np.searchsorted(self.time_s, time_s)
        ends = (np.maximum(after - 1, 0), np.minimum(after, len(self.time_s) - 1))
        before_s, after_s = (np.abs(self.time_s[end] - time_s) for end in ends)
        return np.minimum(before_s, after_s)

    def prolonged(self) -> "_Way":
        """The way with its end places once more, twice as far away in time as they are taken to be known for.

        Whoever is at one place twice, so long apart, was between as far away as one gets in half that time.
        """
        t, lat, lon = self.time_s, self.lat, self.lon
        ends = [_placed(t[0] - 2.0 * _END_S, lat[0], lon[0]), _placed(t[-1] + 2.0 * _END_S, lat[-1], lon[-1])]
        return _joined(ends[0], self, ends[1])

    def within(self, duration_s: float) -> "_Way | None":
        """The fixes of a video's time and the nearest on both sides; None where there are none in that time."""
        t = self.time_s
        if not len(t) or t[0] > duration_s or t[-1] < 0.0:
            return None
        begin = np.searchsorted(t, t[max(int(np.searchsorted(t, 0.0, side="right")) - 1, 0)], side="left")
        last = min(int(np.searchsorted(t, duration_s, side="left")), len(t) - 1)
        end = np.searchsorted(t, t[last], side="right")
        return self.take(slice(int(begin), int(end)))

    def beginning_at(self, place: tuple[float, float] | None) -> "_Way":
        """The way with one more place at the first frame, if there is one."""
        return self if place is None else _joined(self, _placed(0.0, *place))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stated:
    """A place that a file states without a time, and the places at which the camera is known to have begun."""

    place: tuple[float, float] | None
    starts: Sequence[tuple[float, float]]

    def near(self, radius_m: float) -> tuple[float, float] | None:
        """The place where it is near one of those, and so the first frame's; else None."""
        if self.place is None:
            return None
        apart = [float(geodesic_m(*self.place, *start)[0]) for start in self.starts]
        return self.place if any(length <= radius_m for length in apart) else None


def check_way(
    facts: Mapping[str, Any],
    captured: float | None,
    telemetry: GpmfTrack | None,
    surroundings: Surroundings,
    profile: ImageProfile,
    camera: Camera | None = None,
) -> WayCheck:
    """Where a video was taken, second by second, against the zones.

    Its telemetry tells by its own clock; where it does not, the recording's tracks tell by the time at which the
    video was taken. A second that is not cut must be known by one of them, or attested. A
    position that the file states without a time belongs to its first frame where that is known to be near, else
    to all of it.

    Args:
        facts: Of the video, from its classification.
        captured: POSIX seconds at which its first frame was taken, from the signed manifest; None where unknown,
            then the time that the file states.
        telemetry: Its own, if it has any.
        surroundings: What the recording's other items say.
        profile: How far a camera sees, and how wrong a position may be.
        camera: The camera that took it; where it is described and the heading known, its sector is tested, else
            the whole disc.

    Raises:
        HeldError: Neither positions nor an attestation show that what is left lies outside the zones.
    """
    duration_s = float(facts["duration_s"])
    began = facts.get("captured_at") if captured is None else captured
    sight = sight_of(camera, profile)
    own = _own_way(telemetry, sight)
    spans: tuple[ZoneSpan, ...] = ()
    heading_known = False
    if surroundings.zones is not None:
        recorded = [] if began is None else _recorded_ways(surroundings, began, duration_s, sight)
        first = None if began is None else surroundings.position_at(began)
        starts = [] if first is None else [first[:2]]
        starts += [] if own is None else [(float(own.lat[0]), float(own.lon[0]))]
        place = None if facts.get("latitude") is None else (facts["latitude"], facts["longitude"])
        stated = _Stated(place=place, starts=starts)
        way = _together(own, recorded)
        heading_known = bool(np.isfinite(way.course_deg).any())
        spans = _spans(way, stated, surroundings.zones.zones, profile, sight)
    seconds = np.linspace(0.0, duration_s, math.ceil(duration_s) + 1).tolist()
    unknown = any(
        not any(span.holds(s) for span in spans)
        and not _known(own, s)
        and (began is None or surroundings.position_at(began + s) is None)
        for s in seconds
    )
    return WayCheck(
        zone_check=surroundings.zone_check(None if unknown else seconds),
        spans=spans,
        sight=sight if surroundings.zones is not None else None,
        heading_known=heading_known,
    )


def _together(own: _Way | None, recorded: Iterable[_Way]) -> _Way:
    """All fixes as one way, which is known best with all of them; while a video tells by itself, only its own."""
    parts = [] if own is None else [own]
    parts += [way if own is None else way.take(own.seconds_to(way.time_s) > _END_S) for way in recorded]
    return _joined(*parts)


def _spans(
    way: _Way, stated: "_Stated", zones: ZoneSet, profile: ImageProfile, sight: Sight | None
) -> tuple[ZoneSpan, ...]:
    error = profile.pose_error_m + (sight.camera.offset_m if sight else 0.0)
    radius = error + profile.view_distance_m
    near = stated.near(profile.pose_error_m + profile.view_distance_m)
    pieces = [piece.prolonged() for piece in way.beginning_at(near).pieces()]
    found = list(_way_spans(pieces, zones, radius, error, sight))
    if stated.place is not None and near is None:
        found += zone_spans(0.0, *stated.place, zones, radius, pose_error_m=error)
    return tuple(
        replace(span, begin_s=span.begin_s - _ROUNDING_S, end_s=span.end_s + _ROUNDING_S) for span in found
    )


def _way_spans(
    pieces: Sequence[_Way], zones: ZoneSet, radius_m: float, error_m: float, sight: Sight | None
) -> Iterator[ZoneSpan]:
    """When zones may be seen; a pause counts where the fix before it or after it does."""
    for number, piece in enumerate(pieces):
        before = -math.inf if number == 0 else float(pieces[number - 1].time_s[-1])
        after = math.inf if number + 1 == len(pieces) else float(pieces[number + 1].time_s[0])
        for span in _piece_spans(piece, zones, radius_m, error_m, sight):
            yield replace(span, begin_s=max(span.begin_s, before), end_s=min(span.end_s, after))


def _piece_spans(
    piece: _Way, zones: ZoneSet, radius_m: float, error_m: float, sight: Sight | None
) -> tuple[ZoneSpan, ...]:
    t, lat, lon = piece.time_s, piece.lat, piece.lon
    speed = GREATEST_SPEED_MPS
    if sight is None:
        return zone_spans(t, lat, lon, zones, radius_m, pose_error_m=error_m, greatest_speed_mps=speed)
    return view_spans(
        t,
        lat,
        lon,
        piece.course_deg + sight.camera.yaw_deg,
        view=sight.view,
        zones=zones,
        spread_deg=piece.spread_deg,
        greatest_speed_mps=speed,
    )


def _own_way(telemetry: GpmfTrack | None, sight: Sight | None) -> _Way | None:
    timed = np.isfinite(telemetry.media_s) if telemetry else np.zeros(0, bool)
    if telemetry is None or not timed.any():
        return None
    order = np.flatnonzero(timed)[np.argsort(telemetry.media_s[timed], kind="stable")]
    t, lat, lon = telemetry.media_s[order], telemetry.track.lat[order], telemetry.track.lon[order]
    if sight is None:
        return _placed(t, lat, lon)
    course, spread = way_headings(t, lat, lon, least_speed_mps=sight.least_speed_mps)
    return _Way(time_s=t, lat=lat, lon=lon, course_deg=course, spread_deg=spread)


def _known(own: _Way | None, second: float) -> bool:
    return own is not None and any(
        piece.time_s[0] - _END_S <= second <= piece.time_s[-1] + _END_S for piece in own.pieces()
    )


def _recorded_ways(
    surroundings: Surroundings, began: float, duration_s: float, sight: Sight | None
) -> Iterator[_Way]:
    for track in surroundings.tracks:
        way = _placed(track.time_s - began, track.lat, track.lon)
        if sight is not None:
            course, spread = track_headings(track, least_speed_mps=sight.least_speed_mps)
            way = replace(way, course_deg=course, spread_deg=spread)
        within = _joined(way.take(np.isfinite(track.time_s))).within(duration_s)
        if within is not None:
            yield within


def _placed(time_s: ArrayLike, lat: ArrayLike, lon: ArrayLike) -> _Way:
    """Places at times, of unknown heading."""
    t, y, x = (np.atleast_1d(np.asarray(v, np.float64)) for v in (time_s, lat, lon))
    unknown = np.full(len(t), np.nan)
    return _Way(time_s=t, lat=y, lon=x, course_deg=unknown, spread_deg=unknown)


def _joined(*ways: _Way) -> _Way:
    """All fixes of some ways in the order of their times."""
    nothing = np.zeros(0)
    names = ("time_s", "lat", "lon", "course_deg", "spread_deg")
    arrays = {name: np.concatenate([nothing, *(getattr(way, name) for way in ways)]) for name in names}
    return _Way(**arrays).take(np.argsort(arrays["time_s"], kind="stable"))

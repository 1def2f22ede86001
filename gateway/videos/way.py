"""Where a video was taken, second by second, and at which of its seconds it may have seen a restricted zone."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from anonymize.geo.crs import geodesic_m
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.zone_spans import GREATEST_SPEED_MPS, ZoneSpan, zone_spans
from anonymize.geo.zones import ZoneSet
from anonymize.media.video.gpmf import GpmfTrack
from anonymize.profile import ImageProfile
from gateway.flow.kinds.surroundings import Surroundings

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
    """

    zone_check: str
    spans: tuple[ZoneSpan, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Way:
    """Fixes in the order of their times, in seconds from the first frame."""

    time_s: FloatArray
    lat: FloatArray
    lon: FloatArray

    def pieces(self) -> Iterator["_Way"]:
        """The way between its pauses."""
        ends = np.flatnonzero(np.diff(self.time_s) > _LONGEST_PAUSE_S) + 1
        for part in np.split(np.arange(len(self.time_s)), ends):
            if len(part):
                yield _Way(time_s=self.time_s[part], lat=self.lat[part], lon=self.lon[part])

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
        return _Way(
            time_s=np.r_[t[0] - 2.0 * _END_S, t, t[-1] + 2.0 * _END_S],
            lat=np.r_[lat[0], lat, lat[-1]],
            lon=np.r_[lon[0], lon, lon[-1]],
        )

    def within(self, duration_s: float) -> "_Way | None":
        """The fixes of a video's time and the nearest on both sides; None where there are none in that time."""
        t = self.time_s
        if not len(t) or t[0] > duration_s or t[-1] < 0.0:
            return None
        begin = np.searchsorted(t, t[max(int(np.searchsorted(t, 0.0, side="right")) - 1, 0)], side="left")
        last = min(int(np.searchsorted(t, duration_s, side="left")), len(t) - 1)
        end = np.searchsorted(t, t[last], side="right")
        return _Way(time_s=t[begin:end], lat=self.lat[begin:end], lon=self.lon[begin:end])

    def beginning_at(self, place: tuple[float, float] | None) -> "_Way":
        """The way with one more place at the first frame, if there is one."""
        if place is None:
            return self
        lat, lon = place
        return _way(np.r_[self.time_s, 0.0], np.r_[self.lat, lat], np.r_[self.lon, lon])


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

    Raises:
        HeldError: Neither positions nor an attestation show that what is left lies outside the zones.
    """
    duration_s = float(facts["duration_s"])
    began = facts.get("captured_at") if captured is None else captured
    own = _own_way(telemetry)
    spans: tuple[ZoneSpan, ...] = ()
    if surroundings.zones is not None:
        recorded = [] if began is None else _recorded_ways(surroundings, began, duration_s)
        first = None if began is None else surroundings.position_at(began)
        starts = [] if first is None else [first[:2]]
        starts += [] if own is None else [(float(own.lat[0]), float(own.lon[0]))]
        place = None if facts.get("latitude") is None else (facts["latitude"], facts["longitude"])
        stated = _Stated(place=place, starts=starts)
        spans = _spans(_together(own, recorded), stated, surroundings.zones.zones, profile)
    seconds = np.linspace(0.0, duration_s, math.ceil(duration_s) + 1).tolist()
    unknown = any(
        not any(span.holds(s) for span in spans)
        and not _known(own, s)
        and (began is None or surroundings.position_at(began + s) is None)
        for s in seconds
    )
    return WayCheck(zone_check=surroundings.zone_check(None if unknown else seconds), spans=spans)


def _together(own: _Way | None, recorded: Iterable[_Way]) -> _Way:
    """All fixes as one way, which is known best with all of them; while a video tells by itself, only its own."""
    parts = [] if own is None else [own]
    for way in recorded:
        further = np.ones(len(way.time_s), bool) if own is None else own.seconds_to(way.time_s) > _END_S
        parts.append(_way(way.time_s[further], way.lat[further], way.lon[further]))
    nothing = np.zeros(0)
    return _way(
        np.concatenate([nothing, *(p.time_s for p in parts)]),
        np.concatenate([nothing, *(p.lat for p in parts)]),
        np.concatenate([nothing, *(p.lon for p in parts)]),
    )


def _spans(way: _Way, stated: "_Stated", zones: ZoneSet, profile: ImageProfile) -> tuple[ZoneSpan, ...]:
    radius, error = profile.pose_error_m + profile.view_distance_m, profile.pose_error_m
    near = stated.near(radius)
    pieces = [piece.prolonged() for piece in way.beginning_at(near).pieces()]
    found = list(_way_spans(pieces, zones, radius, error))
    if stated.place is not None and near is None:
        found += zone_spans(0.0, *stated.place, zones, radius, pose_error_m=error)
    return tuple(
        replace(span, begin_s=span.begin_s - _ROUNDING_S, end_s=span.end_s + _ROUNDING_S) for span in found
    )


def _way_spans(pieces: Sequence[_Way], zones: ZoneSet, radius_m: float, error_m: float) -> Iterator[ZoneSpan]:
    """When zones may be seen; a pause counts where the fix before it or after it does."""
    for number, piece in enumerate(pieces):
        before = -math.inf if number == 0 else float(pieces[number - 1].time_s[-1])
        after = math.inf if number + 1 == len(pieces) else float(pieces[number + 1].time_s[0])
        spans = zone_spans(
            piece.time_s,
            piece.lat,
            piece.lon,
            zones,
            radius_m,
            pose_error_m=error_m,
            greatest_speed_mps=GREATEST_SPEED_MPS,
        )
        for span in spans:
            yield replace(span, begin_s=max(span.begin_s, before), end_s=min(span.end_s, after))


def _own_way(telemetry: GpmfTrack | None) -> _Way | None:
    timed = np.isfinite(telemetry.media_s) if telemetry else np.zeros(0, bool)
    if telemetry is None or not timed.any():
        return None
    return _way(telemetry.media_s[timed], telemetry.track.lat[timed], telemetry.track.lon[timed])


def _known(own: _Way | None, second: float) -> bool:
    return own is not None and any(
        piece.time_s[0] - _END_S <= second <= piece.time_s[-1] + _END_S for piece in own.pieces()
    )


def _recorded_ways(surroundings: Surroundings, began: float, duration_s: float) -> Iterator[_Way]:
    for track in surroundings.tracks:
        timed = np.isfinite(track.time_s)
        way = _way(track.time_s[timed] - began, track.lat[timed], track.lon[timed]).within(duration_s)
        if way is not None:
            yield way


def _way(time_s: FloatArray, lat: FloatArray, lon: FloatArray) -> _Way:
    order = np.argsort(time_s, kind="stable")
    return _Way(time_s=time_s[order], lat=lat[order], lon=lon[order])

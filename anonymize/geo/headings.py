"""Which way a vehicle headed, as its fixes tell: a course and how far to either side of it, or nothing.

A course is taken from fixes about two seconds apart. It is unknown where the vehicle was so slow that it may have
reversed or that the errors of fixes turn it, at both ends of a way, across pauses, and in turns that fixes do not
resolve. Where it is known, the vehicle headed within its spread: the courses of the pieces before and behind count
too, so that a curve is covered whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from anonymize.formats.track import Track
from anonymize.geo.crs import geodesic_m
from anonymize.geo.ellipsoid import FloatArray, wrap_degrees

_BASE_S = 2.0
_LONGEST_BASE_S = 3.0
_LEAST_BASE_M = 10.0
_SHARPEST_TURN_DEG = 90.0
_WIDEST_DEG = 180.0
_AROUND_S = 10.0 * _BASE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """Where a vehicle headed.

    Attributes:
        course_deg: Degrees clockwise from north.
        spread_deg: How far to either side of it the vehicle may have headed, in degrees.
    """

    course_deg: float
    spread_deg: float

    def turned(self, by_deg: float, *, error_deg: float = 0.0) -> "Heading":
        """That of an axis so many degrees clockwise from this, spread by so many more to either side."""
        return Heading(course_deg=self.course_deg + by_deg, spread_deg=self.spread_deg + error_deg)


def way_headings(
    time_s: FloatArray, lat: FloatArray, lon: FloatArray, *, least_speed_mps: float
) -> tuple[FloatArray, FloatArray]:
    """Where a vehicle headed from each of its fixes to the next.

    1. Of every two seconds the first fix is taken.
    2. From one of those to the next the course is known where both are at most 3 s and at least 10 m apart and the
       vehicle was not slower than ``least_speed_mps``.
    3. A turn from piece to piece is at most 90 degrees; the heading lies between the courses of a piece and of
       both its neighbours, all of which must be known.

    Args:
        time_s: Seconds of each fix in any one clock, finite, in order.
        lat: Latitudes in degrees, EPSG:4326.
        lon: Longitudes in degrees.
        least_speed_mps: A slower vehicle may reverse, in metres per second.

    Returns:
        Course in degrees clockwise from north and spread in degrees for each fix; NaN where unknown.
    """
    course, spread = np.full(len(time_s), np.nan), np.full(len(time_s), np.nan)
    # Stamps at whole seconds lie in the middle of a window, however they are rounded.
    window = np.floor((time_s + _BASE_S / 4.0) / _BASE_S)
    knots = np.flatnonzero(np.diff(window, prepend=-np.inf) > 0)  # step 1
    pieces = len(knots) - 1
    if pieces < 3:  # noqa: PLR2004 - a piece and both its neighbours
        return course, spread
    a, b = knots[:-1], knots[1:]
    length, towards = geodesic_m(lat[a], lon[a], lat[b], lon[b])
    lasted = time_s[b] - time_s[a]
    known = lasted <= _LONGEST_BASE_S  # step 2
    known &= (length >= _LEAST_BASE_M) & (length >= least_speed_mps * lasted)
    turn = wrap_degrees(np.diff(towards))  # step 3
    plain = known[1:] & known[:-1] & (np.abs(turn) <= _SHARPEST_TURN_DEG)
    before, after = -turn[:-1], turn[1:]
    least, most = (edge(edge(before, after), 0.0) for edge in (np.minimum, np.maximum))
    sure = plain[:-1] & plain[1:]
    middle, half = np.full(pieces + 1, np.nan), np.full(pieces + 1, np.nan)
    middle[1 : pieces - 1][sure] = (towards[1:-1] + (least + most) / 2.0)[sure]
    half[1 : pieces - 1][sure] = ((most - least) / 2.0)[sure]
    piece = np.searchsorted(knots, np.arange(len(time_s)), side="right") - 1
    return middle[piece], half[piece]


def track_headings(track: Track, *, least_speed_mps: float) -> tuple[FloatArray, FloatArray]:
    """As :func:`way_headings` for every fix of a track, each segment by itself; NaN for fixes without a time."""
    course, spread = np.full(len(track), np.nan), np.full(len(track), np.nan)
    for part in track.segments():
        timed = part.start + np.flatnonzero(np.isfinite(track.time_s[part]))
        order = timed[np.argsort(track.time_s[timed], kind="stable")]
        course[order], spread[order] = way_headings(
            track.time_s[order], track.lat[order], track.lon[order], least_speed_mps=least_speed_mps
        )
    return course, spread


def heading_at(tracks: Iterable[Track], time_s: float, *, least_speed_mps: float) -> Heading | None:
    """Where a vehicle headed at a time: whatever those of its tracks that know it say, together.

    Args:
        tracks: Of one vehicle.
        time_s: POSIX seconds.
        least_speed_mps: As in :func:`way_headings`.

    Returns:
        None where none of them knows, or where they contradict each other.
    """
    told: list[tuple[float, float]] = []
    for track in tracks:
        around = np.flatnonzero(np.abs(track.time_s - time_s) <= _AROUND_S)
        if not len(around):
            continue
        near = track.take(around, track.segment[around])
        course, spread = track_headings(near, least_speed_mps=least_speed_mps)
        for part in near.segments():
            times = near.time_s[part]
            if not len(times) or not times.min() <= time_s <= times.max():
                continue
            last = part.start + int(np.argmax(np.where(times <= time_s, times, -np.inf)))
            if np.isfinite(course[last]):
                told.append((float(course[last]), float(spread[last])))
    if not told:
        return None
    first = told[0][0]
    off = [(float(wrap_degrees(course - first)), spread) for course, spread in told]
    least, most = min(c - s for c, s in off), max(c + s for c, s in off)
    if most - least > _WIDEST_DEG:
        return None
    return Heading(
        course_deg=float(first + (least + most) / 2.0) % 360.0, spread_deg=float((most - least) / 2.0)
    )

"""The times at which something on its way may have been in, or have sensed, a restricted zone.

A container or a video is cut for these times in every modality. Nothing is known of the way between two
fixes but that it was no longer than the greatest speed allows: it lies in the ellipse about both fixes, and the
whole time between them counts when that ellipse, widened by what the sensor reaches, meets a zone.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anonymize.errors import MalformedItemError
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.frustum import View, check_way, swept_view_hits
from anonymize.geo.sweep import ends_of_steps, lengths_m, sweep_hits
from anonymize.geo.zone_file import KINDS, ZoneKind
from anonymize.geo.zones import ZoneHits, ZoneSet

GREATEST_SPEED_MPS = 60.0
POSE_ERROR_M = 10.0
_HALF_TURN_DEG = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSpan:
    """A closed span of time in which zones may have been met.

    Attributes:
        begin_s: Seconds in the clock of the way; minus infinity where the way begins in it.
        end_s: The same; infinity where the way ends in it.
        kinds: The kinds of those zones, most severe first.
    """

    begin_s: float
    end_s: float
    kinds: tuple[ZoneKind, ...]

    def holds(self, time_s: float) -> bool:
        """Whether a time lies in the span, its ends included."""
        return self.begin_s <= time_s <= self.end_s


def spans_in_zones(
    time_s: ArrayLike,
    lat: ArrayLike,
    lon: ArrayLike,
    zones: ZoneSet,
    radius_m: float,
    *,
    pose_error_m: float = POSE_ERROR_M,
    greatest_speed_mps: float = GREATEST_SPEED_MPS,
) -> list[tuple[float, float]]:
    """Begin and end of each span of :func:`zone_spans`, in order; they do not overlap."""
    spans = zone_spans(
        time_s,
        lat,
        lon,
        zones,
        radius_m,
        pose_error_m=pose_error_m,
        greatest_speed_mps=greatest_speed_mps,
    )
    return [(span.begin_s, span.end_s) for span in spans]


def zone_spans(
    time_s: ArrayLike,
    lat: ArrayLike,
    lon: ArrayLike,
    zones: ZoneSet,
    radius_m: float,
    *,
    pose_error_m: float = POSE_ERROR_M,
    greatest_speed_mps: float = GREATEST_SPEED_MPS,
) -> tuple[ZoneSpan, ...]:
    """When a disc about something on its way may have met a zone.

    Fixes may come in any order and are taken in the order of their times; two at one time at different places
    both count, and so does everything between them. Before the first and after the last fix nothing is known: a
    span that holds one of them is open there, and the caller must not take other times outside the way for clear.

    Args:
        time_s: Seconds of each fix in any one clock; at least one fix.
        lat: Latitudes in degrees, EPSG:4326.
        lon: Longitudes in degrees.
        zones: The restricted zones.
        radius_m: How far the sensor reaches plus how wrong a position may be, in metres.
        pose_error_m: How wrong a position may be: the way between two fixes may be longer by twice that.
        greatest_speed_mps: No vehicle goes faster, in metres per second.

    Raises:
        MalformedItemError: There is no fix, a time, position or limit is impossible.
        ZoneFileError: A gap is so long that zones are widened until one comes near a pole or crosses the
            antimeridian.
    """
    t, y, x, _ = _in_order(time_s, lat, lon)
    _check_limit("radius_m", radius_m)
    hits = sweep_hits(
        y,
        x,
        towards_deg=np.zeros(max(len(y) - 1, 1)),
        half_angle_deg=np.full(max(len(y) - 1, 1), _HALF_TURN_DEG),
        radius_m=radius_m,
        slack_m=_astray_m(t, y, x, pose_error_m, greatest_speed_mps),
        zones=zones,
    )
    return _spans(t, hits)


def view_spans(
    time_s: ArrayLike,
    lat: ArrayLike,
    lon: ArrayLike,
    course_deg: ArrayLike,
    *,
    view: View,
    zones: ZoneSet,
    spread_deg: ArrayLike | None = None,
    greatest_speed_mps: float = GREATEST_SPEED_MPS,
) -> tuple[ZoneSpan, ...]:
    """When a camera on its way may have seen a zone; as :func:`zone_spans`, with its sector for the disc.

    Args:
        time_s: Seconds of each fix in any one clock; at least one fix.
        lat: Latitudes of the camera in degrees, EPSG:4326.
        lon: Longitudes in degrees.
        course_deg: Where the optical axis points, in degrees clockwise from north; NaN where unknown.
        view: How far the camera sees and how well its pose is known.
        zones: The restricted zones.
        spread_deg: How far to either side of each heading the camera may have looked besides the error of the
            view, in degrees; NaN where unknown. None: no farther.
        greatest_speed_mps: No vehicle goes faster, in metres per second.

    Raises:
        MalformedItemError: There is no fix, a time, position, heading or limit is impossible.
        ZoneFileError: As :func:`zone_spans`.
    """
    t, y, x, order = _in_order(time_s, lat, lon)
    course = np.atleast_1d(np.asarray(course_deg, dtype=np.float64))
    if len(course) != len(t) or np.isinf(course).any():
        raise MalformedItemError(
            f"a way has one finite or unknown heading per fix (got {len(course)} for {len(t)})"
        )
    spread = np.zeros(len(t)) if spread_deg is None else np.atleast_1d(np.asarray(spread_deg, np.float64))
    if len(spread) != len(t) or np.isinf(spread).any() or (spread < 0.0).any():
        raise MalformedItemError(
            f"a way has one spread of headings per fix, not negative (got {len(spread)} for {len(t)})"
        )
    astray = _astray_m(t, y, x, view.pose_error_m, greatest_speed_mps)
    hits = swept_view_hits(y, x, course[order], astray, view=view, zones=zones, spread_deg=spread[order])
    return _spans(t, hits)


def _in_order(
    time_s: ArrayLike, lat: ArrayLike, lon: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.intp]]:
    t, y, x = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (time_s, lat, lon))
    check_way(y, x)
    if t.shape != y.shape:
        raise MalformedItemError(f"a way has one time per fix (got {len(t)} for {len(y)})")
    if len(bad := np.flatnonzero(~np.isfinite(t))):
        raise MalformedItemError(f"place {bad[0]}: a time is finite (got {float(t[bad[0]])!r})")
    order = np.argsort(t, kind="stable")
    return t[order], y[order], x[order], order


def _astray_m(
    t: FloatArray, lat: FloatArray, lon: FloatArray, error_m: float, speed_mps: float
) -> FloatArray:
    """Half the lesser axis of the ellipse that the way between two fixes cannot leave, wrong as they may be."""
    _check_limit("pose_error_m", error_m)
    _check_limit("greatest_speed_mps", speed_mps)
    straight = lengths_m(lat, lon)
    first, last = ends_of_steps(len(t))
    longest = np.maximum(speed_mps * (t[last] - t[first]), straight) + 2.0 * error_m
    return np.asarray(np.sqrt(longest**2 - straight**2) / 2.0)


def _spans(t: FloatArray, hits: ZoneHits) -> tuple[ZoneSpan, ...]:
    first, last = ends_of_steps(len(t))
    # A step of no length between two others may be clear and still end where both of them do.
    hit = np.flatnonzero(hits.inside)
    apart = np.flatnonzero(t[first[hit[1:]]] > t[last[hit[:-1]]]) + 1
    return tuple(
        ZoneSpan(
            begin_s=-math.inf if run[0] == 0 else float(t[first[run[0]]]),
            end_s=math.inf if run[-1] == len(first) - 1 else float(t[last[run[-1]]]),
            kinds=_kinds(hits.kind_bits[run]),
        )
        for run in np.split(hit, apart)
        if len(run)
    )


def _kinds(bits: NDArray[np.uint16]) -> tuple[ZoneKind, ...]:
    together = int(np.bitwise_or.reduce(bits))
    return tuple(kind for number, kind in enumerate(KINDS) if together & (1 << number))


def _check_limit(name: str, value: float) -> None:
    if not 0.0 <= value < math.inf:
        raise MalformedItemError(f"{name} is not negative and finite (got {value!r})")

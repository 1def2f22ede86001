"""What a camera may have seen, held against the restricted zones: its sector of view, not a whole disc.

The true camera lies within ``pose_error_m`` of its position and looks within ``heading_error_deg`` of its
heading, so the ground that it may see is the sector of the field of view, opened by the heading's error and
widened by the position's. The area tested is never smaller than that. Where heading or field of view is
unknown, it is the disc about the position.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from anonymize.errors import MalformedItemError
from anonymize.finding import Finding
from anonymize.formats.track import check_positions
from anonymize.geo.cut import zone_findings
from anonymize.geo.ellipsoid import FloatArray, wrap_degrees
from anonymize.geo.sweep import at_places, ends_of_steps, lengths_m, sweep_hits
from anonymize.geo.zones import ZoneHits, ZoneSet

_FULL_TURN_DEG = 360.0
_HALF_TURN_DEG = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How far a camera sees and how well its pose is known.

    Attributes:
        fov_deg: Horizontal field of view in degrees, all of it, in (0, 360]; None: unknown.
        range_m: How far the camera sees, in metres.
        pose_error_m: How wrong a position may be, in metres.
        heading_error_deg: How wrong a heading may be to either side, in degrees.
    """

    fov_deg: float | None
    range_m: float
    pose_error_m: float
    heading_error_deg: float

    def __post_init__(self) -> None:
        for name in ("range_m", "pose_error_m", "heading_error_deg"):
            value = getattr(self, name)
            if not 0.0 <= value < math.inf:
                raise MalformedItemError(f"{name} of a camera is not negative and finite (got {value!r})")
        if self.fov_deg is not None and not 0.0 < self.fov_deg <= _FULL_TURN_DEG:
            raise MalformedItemError(
                f"field of view of a camera is impossible (got {self.fov_deg!r}, expected 0 to 360 degrees)"
            )


def frustum_in_zone(
    lat: float,
    lon: float,
    course_deg: float | None,
    fov_deg: float | None,
    *,
    zones: ZoneSet,
    range_m: float,
    pose_error_m: float,
    heading_error_deg: float,
) -> tuple[Finding, ...]:
    """One finding per zone kind that a camera may have seen in one frame; none: the frame is clear.

    Args:
        lat: Latitude of the camera in degrees, EPSG:4326.
        lon: Longitude in degrees.
        course_deg: Where the optical axis points, in degrees clockwise from north: the vehicle's heading plus the
            mounting angle. The course of a track is not the heading of a vehicle that reverses. None: unknown.
        fov_deg: Horizontal field of view in degrees; None: unknown.
        zones: The restricted zones.
        range_m: How far the camera sees, in metres.
        pose_error_m: How wrong the position may be, in metres.
        heading_error_deg: How wrong ``course_deg`` may be to either side, in degrees.

    Raises:
        MalformedItemError: The position, the heading or a limit is impossible.
        ZoneFileError: As :func:`way_view_hits`.
    """
    view = View(
        fov_deg=fov_deg, range_m=range_m, pose_error_m=pose_error_m, heading_error_deg=heading_error_deg
    )
    courses = None if course_deg is None else np.array([course_deg])
    if course_deg is not None and not math.isfinite(course_deg):
        raise MalformedItemError(f"a heading is finite (got {course_deg!r})")
    return tuple(zone_findings(way_view_hits([lat], [lon], courses, view=view, zones=zones), zones))


def way_view_in_zones(
    lat: ArrayLike, lon: ArrayLike, course_deg: ArrayLike | None, *, view: View, zones: ZoneSet
) -> tuple[Finding, ...]:
    """One finding per zone kind and run of places at which a moving camera may have seen a zone.

    As :func:`way_view_hits`; the spans are half-open spans of places.
    """
    hits = way_view_hits(lat, lon, course_deg, view=view, zones=zones)
    return tuple(zone_findings(hits, zones))


def way_view_hits(
    lat: ArrayLike, lon: ArrayLike, course_deg: ArrayLike | None, *, view: View, zones: ZoneSet
) -> ZoneHits:
    """At which places of a way a camera may have seen a zone, there or on the way to or from a neighbour.

    1. At each place the camera sees its sector, or its disc where heading or field of view is unknown.
    2. Between two places it goes straight, or in a bow that turns as its heading does, and it turns the shorter
       way. A zone in the area so swept hits both places.

    Args:
        lat: Latitudes of the camera in degrees, EPSG:4326, in the order of the way; at least one.
        lon: Longitudes in degrees.
        course_deg: Where the optical axis points at each place, in degrees clockwise from north, NaN where
            unknown; None: unknown throughout.
        view: How far it sees and how well its pose is known.
        zones: The restricted zones.

    Raises:
        MalformedItemError: There is no place, or a position or heading is impossible.
        ZoneFileError: The area is wider than 3 km or beyond 80 degrees of latitude and tested as discs, and a zone
            so widened comes near a pole or crosses the antimeridian.
    """
    y, x = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (lat, lon))
    course = np.full(len(y), np.nan) if course_deg is None else np.asarray(course_deg, dtype=np.float64)
    check_way(y, x)
    if len(course) != len(y) or np.isinf(course).any():
        raise MalformedItemError(
            f"a way has one finite or unknown heading per place (got {len(course)} for {len(y)})"
        )
    hits = swept_view_hits(y, x, course, np.zeros(max(len(y) - 1, 1)), view=view, zones=zones)
    return at_places(hits, len(y))


def swept_view_hits(
    lat: FloatArray,
    lon: FloatArray,
    course_deg: FloatArray,
    astray_m: FloatArray,
    *,
    view: View,
    zones: ZoneSet,
    spread_deg: FloatArray | None = None,
) -> ZoneHits:
    """Which zones a camera may have seen on each step of a way.

    ``astray_m`` is how far off the straight line it may have been at each step, the error of its pose included.
    ``spread_deg`` is how far to either side of its heading it may have looked at each place besides.
    """
    first, last = ends_of_steps(len(lat))
    turn = wrap_degrees(course_deg[last] - course_deg[first])
    opening = 2.0 * _HALF_TURN_DEG if view.fov_deg is None else view.fov_deg
    half = opening / 2.0 + view.heading_error_deg + np.abs(turn) / 2.0
    if spread_deg is not None:
        half = half + np.maximum(spread_deg[first], spread_deg[last])
    bow = lengths_m(lat, lon) / 2.0 * np.tan(np.radians(np.nan_to_num(np.abs(turn))) / 4.0)
    return sweep_hits(
        lat,
        lon,
        towards_deg=np.nan_to_num(course_deg[first] + turn / 2.0),
        half_angle_deg=np.nan_to_num(half, nan=_HALF_TURN_DEG),
        radius_m=view.range_m,
        slack_m=np.maximum(view.pose_error_m + bow, astray_m),
        zones=zones,
    )


def check_way(lat: FloatArray, lon: FloatArray) -> None:
    """Require one or more places with possible coordinates.

    Raises:
        MalformedItemError: Names the first that has not.
    """
    if not len(lat) or lat.shape != lon.shape:
        raise MalformedItemError(
            f"a way has at least one place, with a latitude and a longitude (got {len(lat)} and {len(lon)})"
        )
    check_positions(lat, lon, lambda index: f"place {index}")

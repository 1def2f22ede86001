"""Areas about places on the ground: made in metres, brought to degrees, never smaller than what they stand for.

Arcs are drawn outside their circle, edges are short enough to be straight in degrees, and 10 cm are added for
rounding and for the local frame, which is exact to 2 cm within 3 km of a place below 80 degrees of latitude.
Areas that need more than that are left to the margins of :class:`~anonymize.geo.zones.ZoneSet`.
"""

import numpy as np
import shapely
from numpy.typing import NDArray

from anonymize.geo.ellipsoid import FloatArray, from_enu, wrap_degrees

FARTHEST_M = 3000.0
FARTHEST_DEG = 80.0
_EDGE_M = 200.0
_ROUNDING_M = 0.1
_QUARTER_SEGMENTS = 8
_OUTWARDS = 1.0 / np.cos(np.pi / (4 * _QUARTER_SEGMENTS))

Areas = NDArray[np.object_]


def sector_points(
    towards_deg: FloatArray, half_angle_deg: FloatArray, radius_m: float, *, arcs: int = 24
) -> FloatArray:
    """Points whose convex hull holds a circular sector about the origin (its own hull where it is reflex).

    Args:
        towards_deg: Middle of each sector in degrees clockwise from north, shape (N,).
        half_angle_deg: Half of its opening in degrees; 180 or more is a whole disc.
        radius_m: Radius in metres.
        arcs: Number of chords by which an arc is circumscribed.

    Returns:
        East and north in metres, shape (N, arcs + 2, 2); the last point is the origin.
    """
    half = np.minimum(half_angle_deg, 180.0)
    share = np.linspace(-1.0, 1.0, arcs + 1)
    turn = np.radians(towards_deg[:, None] + half[:, None] * share)
    reach = radius_m / np.cos(np.radians(half / arcs))
    rim = np.stack([np.sin(turn), np.cos(turn)], axis=2) * reach[:, None, None]
    return np.concatenate([rim, np.zeros((len(rim), 1, 2))], axis=1)


def widened(shapes: Areas, by_m: FloatArray) -> Areas:
    """Shapes in a metric plane with everything within ``by_m`` metres of them."""
    wide = shapely.buffer(shapes, by_m * _OUTWARDS + _ROUNDING_M, quad_segs=_QUARTER_SEGMENTS)
    return np.asarray(wide, dtype=np.object_)


def on_ground(shapes: Areas, lat: FloatArray, lon: FloatArray) -> Areas:
    """Polygons in the frame (east, north) of one place each, in degrees of longitude and latitude.

    A polygon across the antimeridian goes on beyond 180 or -180 degrees.
    """
    fine = shapely.segmentize(shapes, _EDGE_M)
    at, which = shapely.get_coordinates(fine, return_index=True)
    lat0, lon0 = lat[which], lon[which]
    # from_enu is plain arithmetic: it takes one origin per point as well as one for all.
    y, x = from_enu(at[:, 0], at[:, 1], lat0, lon0)  # type: ignore[arg-type]
    degrees = np.column_stack([lon0 + wrap_degrees(x - lon0), y])
    return np.asarray(shapely.set_coordinates(fine, degrees), dtype=np.object_)

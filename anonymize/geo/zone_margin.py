"""A zone's margin, in metres on the ground, about a polygon in degrees."""

import math

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from anonymize.errors import ZoneFileError
from anonymize.geo.crs import metric_transformer
from anonymize.geo.ellipsoid import MEAN_RADIUS_M
from anonymize.geo.zone_file import POLAR_DEG, Zone

_EDGE_DEG = 0.005
_EDGE_M = 500.0
_ROUNDING_M = 0.1
_ARC_SEGMENTS = 16
_HALF_TURN_DEG = 180.0


def with_margin(zone: Zone, extra_margin_m: float) -> BaseGeometry:
    """The zone's polygon in degrees with its own margin and ``extra_margin_m`` about it, never too small.

    Raises:
        ZoneFileError: With the margin it crosses the antimeridian or comes near a pole.
    """
    margin = zone.margin_m + extra_margin_m
    if margin == 0.0:
        return zone.shape
    centre = zone.shape.centroid
    plane = metric_transformer(round(centre.y, 6), round(centre.x, 6))
    flat = shapely.transform(
        shapely.segmentize(zone.shape, _EDGE_DEG),
        lambda c: np.column_stack(plane.transform(c[:, 0], c[:, 1])),
    )
    reach = float(np.hypot(*shapely.get_coordinates(flat).T).max()) + margin
    stretch = (angle := reach / MEAN_RADIUS_M) / math.sin(angle)
    outwards = 1.0 / math.cos(math.pi / (4 * _ARC_SEGMENTS))
    wide = shapely.buffer(flat, margin * stretch * outwards + _ROUNDING_M, quad_segs=_ARC_SEGMENTS)
    shape = shapely.transform(
        shapely.segmentize(wide, _EDGE_M),
        lambda c: np.column_stack(plane.transform(c[:, 0], c[:, 1], direction="INVERSE")),
    )
    west, south, east, north = shape.bounds
    if not (south > -POLAR_DEG and north < POLAR_DEG and east - west < _HALF_TURN_DEG and shape.is_valid):
        raise ZoneFileError(
            f"zone {zone.id!r}: with its margin of {margin:g} m "
            f"it crosses the antimeridian or comes near a pole"
        )
    return shape

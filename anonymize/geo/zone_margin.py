"""Margins in metres on the ground, about shapes in degrees."""

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
    return zone.shape if margin == 0.0 else widened(zone.shape, margin, what=f"zone {zone.id!r}")


def widened(shape: BaseGeometry, margin_m: float, *, what: str = "a shape") -> BaseGeometry:
    """A shape in degrees (points, lines or polygons) with everything within ``margin_m`` metres, never too small.

    Raises:
        ZoneFileError: With the margin it crosses the antimeridian or comes near a pole.
    """
    west, south, east, north = shape.bounds
    wide = _widened(shape, margin_m) if _fits(west, south, east, north) else shape
    if not (_fits(*wide.bounds) and wide.is_valid):
        raise ZoneFileError(
            f"{what}: with its margin of {margin_m:g} m it crosses the antimeridian or comes near a pole"
        )
    return wide


def _fits(west: float, south: float, east: float, north: float) -> bool:
    return south > -POLAR_DEG and north < POLAR_DEG and east - west < _HALF_TURN_DEG


def _widened(shape: BaseGeometry, margin_m: float) -> BaseGeometry:
    centre = shape.centroid
    plane = metric_transformer(round(centre.y, 6), round(centre.x, 6))
    flat = shapely.transform(
        shapely.segmentize(shape, _EDGE_DEG),
        lambda c: np.column_stack(plane.transform(c[:, 0], c[:, 1])),
    )
    reach = float(np.hypot(*shapely.get_coordinates(flat).T).max()) + margin_m
    stretch = (angle := reach / MEAN_RADIUS_M) / math.sin(angle)
    outwards = 1.0 / math.cos(math.pi / (4 * _ARC_SEGMENTS))
    wide = shapely.buffer(flat, margin_m * stretch * outwards + _ROUNDING_M, quad_segs=_ARC_SEGMENTS)
    return shapely.transform(
        shapely.segmentize(wide, _EDGE_M),
        lambda c: np.column_stack(plane.transform(c[:, 0], c[:, 1], direction="INVERSE")),
    )

"""The ground that a map covers: everything within the convex hull of its positions, as cells that add up.

What a map shows between two roads is known, too: where nothing is drawn, nothing is. Its hull is therefore
never less than what it tells of, and the same however sparsely it is drawn.
"""

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.geometry.base import BaseGeometry

from anonymize.errors import LimitExceededError
from anonymize.formats.track import check_positions
from anonymize.geo.ellipsoid import MEAN_RADIUS_M, FloatArray, wrap_degrees
from anonymize.geo.swept_area import CELL_M, swept_cells

MOST_KM2 = 100.0
"""The largest hull that is counted; four times the area that the law calls a secret, and a million cells."""

_ROW_DEG = float(np.degrees(CELL_M / MEAN_RADIUS_M))


def hull_cells(lat: ArrayLike, lon: ArrayLike) -> NDArray[np.uint64]:
    """Cells (see ``swept_cells``) that the convex hull of positions touches, and those within ten metres of it.

    Args:
        lat: Latitudes in degrees, EPSG:4326.
        lon: Longitudes in degrees; a hull across the antimeridian is the shorter way about.

    Returns:
        Codes of cells, sorted and without repetition; never fewer than the hull touches.

    Raises:
        MalformedItemError: A coordinate is not finite or out of range.
        LimitExceededError: The hull is larger than ``MOST_KM2``, or lies within 5 degrees of a pole.
    """
    hull, east = _hull(lat, lon)
    return swept_cells([_path(hull, east)], radius_m=CELL_M)


def require_countable(lat: ArrayLike, lon: ArrayLike) -> None:
    """Refuse positions whose hull is too large to be counted.

    Raises:
        MalformedItemError: A coordinate is not finite or out of range.
        LimitExceededError: It is larger than ``MOST_KM2``.
    """
    _hull(lat, lon)


def _hull(lat: ArrayLike, lon: ArrayLike) -> tuple[BaseGeometry, float]:
    """The hull in degrees east of the first position and of latitude, and that position's longitude."""
    y, x = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (lat, lon))
    check_positions(y, x)
    first = float(x[0]) if len(x) else 0.0
    hull = shapely.MultiPoint(np.column_stack([wrap_degrees(x - first), y])).convex_hull
    if (area := _area_km2(hull)) > MOST_KM2:
        raise LimitExceededError(
            f"the ground within a map is too large (got {area:.0f} km², expected at most {MOST_KM2:g})"
        )
    return hull, first


def _area_km2(hull: BaseGeometry) -> float:
    """Area of a hull in degrees; on the sphere to first order, at its latitude nearest to the equator."""
    if shapely.is_empty(hull):
        return 0.0
    _, south, _, north = shapely.bounds(hull).tolist()
    nearest = 0.0 if south < 0.0 < north else min(abs(south), abs(north))
    square = np.radians(1.0) * MEAN_RADIUS_M / 1000.0
    return float(shapely.area(hull) * square * square * np.cos(np.radians(nearest)))


def _path(hull: BaseGeometry, east: float) -> tuple[FloatArray, FloatArray]:
    """The border of a hull, then to and fro across it on lines ten metres apart: one path, never outside it."""
    x, y = shapely.get_coordinates(hull).T
    if shapely.area(hull) > 0.0:
        west, south, far, north = shapely.bounds(hull).tolist()
        rows = np.arange(south, north, _ROW_DEG)
        ends = np.stack([np.column_stack([np.full_like(rows, at), rows]) for at in (west, far)], axis=1)
        met, row = shapely.get_coordinates(
            shapely.intersection(hull, shapely.linestrings(ends)), return_index=True
        )
        back = row % 2 == 1
        order = np.lexsort([np.where(back, -met[:, 0], met[:, 0]), row])
        x, y = np.r_[x, met[order, 0]], np.r_[y, met[order, 1]]
    return y, np.asarray(wrap_degrees(x + east))

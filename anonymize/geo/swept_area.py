"""The ground that a drive sweeps, as cells of equal area on the ellipsoid, of which areas are added up.

Cells are squares of 10 m in the cylindrical equal-area projection with standard parallel 30 degrees on WGS-84
(that of EPSG:6933; Snyder, Map Projections: A Working Manual, 1987, equations 10-13 to 10-16): each holds
100 m² wherever it lies, so that areas are counts, and the union of several drives is the union of their cells.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anonymize.errors import LimitExceededError
from anonymize.formats.track import check_positions
from anonymize.geo.crs import steps_m
from anonymize.geo.ellipsoid import FloatArray, radii_m, wrap_degrees

CELL_M = 10.0
CELL_KM2 = CELL_M * CELL_M / 1e6

_A = 6378137.0
_E2 = 6.69437999014e-3
_E = _E2**0.5
_STANDARD = np.radians(30.0)
_K0 = float(np.cos(_STANDARD) / np.sqrt(1.0 - _E2 * np.sin(_STANDARD) ** 2))
_FARTHEST_LAT = 85.0
_SPACING_M = 10.0
_AT_ONCE = 4096
_OFFSET = 1 << 31


def swept_cells(paths: Iterable[tuple[ArrayLike, ArrayLike]], *, radius_m: float) -> NDArray[np.uint64]:
    """Cells whose centres lie within ``radius_m`` and half a cell of any path: no less than the corridor.

    Args:
        paths: Latitudes and longitudes in degrees, EPSG:4326, of each unbroken path in its order; a single
            position is a path, too.
        radius_m: How far to both sides the vehicle records, in metres.

    Returns:
        Codes of cells, sorted and without repetition. Their number times ``CELL_KM2`` is the area in km²: never
        less than that of all points within ``radius_m``, and no more than that within ``radius_m`` and a cell.

    Raises:
        MalformedItemError: A coordinate is not finite or out of range.
        LimitExceededError: A position lies within 5 degrees of a pole.
    """
    found = [np.zeros(0, np.uint64)]
    for lat, lon in paths:
        y, x = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (lat, lon))
        check_positions(y, x)
        if len(y) and float(np.abs(y).max()) > _FARTHEST_LAT:
            raise LimitExceededError(
                f"areas are counted up to {_FARTHEST_LAT} degrees of latitude (got more)"
            )
        y, x = _dense(y, x)
        for start in range(0, len(y), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            found.append(_discs(y[part], x[part], radius_m))
    return np.unique(np.concatenate(found))


def _dense(lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The path with a position at least every ten metres."""
    if len(lat) < 2:  # noqa: PLR2004 - two ends make a step
        return lat, lon
    pieces = np.maximum(1, np.ceil(steps_m(lat, lon) / _SPACING_M)).astype(np.intp)
    at = np.repeat(np.arange(len(pieces)), pieces)
    share = (np.arange(len(at)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) / pieces[at]
    across = wrap_degrees(np.diff(lon))
    dense_lat = lat[at] + share * np.diff(lat)[at]
    dense_lon = wrap_degrees(lon[at] + share * across[at])
    return np.r_[dense_lat, lat[-1]], np.r_[dense_lon, lon[-1]]


def _discs(lat: FloatArray, lon: FloatArray, radius_m: float) -> NDArray[np.uint64]:
    """Cells whose centres lie within a disc about any of the positions."""
    reach = (
        radius_m + CELL_M / 2.0 + _SPACING_M**2 / (8.0 * radius_m)
    )  # discs ten metres apart form the corridor
    east, north = _projected(lat, lon)
    _, vertical = radii_m(lat)
    # Metres on the ground per metre of the chart, towards east; towards north its inverse, since areas are equal.
    stretch = vertical * np.cos(np.radians(lat)) / (_K0 * _A)
    columns = int(np.ceil(reach / float(stretch.min()) / CELL_M)) + 1
    rows = int(np.ceil(reach * float(stretch.max()) / CELL_M)) + 1
    i, j = np.meshgrid(np.arange(-columns, columns + 1), np.arange(-rows, rows + 1), indexing="ij")
    column, row = np.floor(east / CELL_M).astype(np.int64), np.floor(north / CELL_M).astype(np.int64)
    found = []
    for di, dj in zip(i.ravel().tolist(), j.ravel().tolist(), strict=True):
        across = ((column + di + 0.5) * CELL_M - east) * stretch
        along = ((row + dj + 0.5) * CELL_M - north) / stretch
        inside = across * across + along * along <= reach * reach
        found.append(_code(column[inside] + di, row[inside] + dj))
    return np.unique(np.concatenate(found))


def _projected(lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
    sine = np.sin(np.radians(lat))
    q = (1.0 - _E2) * (
        sine / (1.0 - _E2 * sine * sine) - np.log((1.0 - _E * sine) / (1.0 + _E * sine)) / (2.0 * _E)
    )
    return _A * _K0 * np.radians(lon), _A * q / (2.0 * _K0)


def _code(column: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.uint64]:
    around = round(2.0 * np.pi * _A * _K0 / CELL_M)
    # What reaches across the seam of the chart counts on its other side.
    column = (column + around // 2) % around
    return (column.astype(np.uint64) << np.uint64(32)) | (row + _OFFSET).astype(np.uint64)

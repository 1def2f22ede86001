"""The ground that a drive sweeps, as cells of equal area on the ellipsoid, of which areas are added up.

Cells are squares of 10 m in the cylindrical equal-area projection with standard parallel 30 degrees on WGS-84
(that of EPSG:6933; Snyder, Map Projections: A Working Manual, 1987, equations 10-13 to 10-16): each holds
100 m² wherever it lies, so that areas are counts, and the union of several drives is the union of their cells.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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
_SAGITTA_M = 1.4
_AT_ONCE = 65_536
_ROW = 1 << 32
_MIDDLE = 1 << 31
_COLUMNS = round(2.0 * np.pi * _A * _K0 / CELL_M)

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SweptGround:
    """Ground as runs of cells along rows of the chart, in order and apart.

    Attributes:
        first: Code of the first cell of each run; codes of one row follow one another.
        last: Code of its last cell.
    """

    first: Codes
    last: Codes

    @property
    def count(self) -> int:
        """How many cells there are; times ``CELL_KM2`` it is the area in km²."""
        return int((self.last - self.first + 1).sum())

    def cells(self) -> NDArray[np.uint64]:
        """Codes of all cells, sorted."""
        lengths = self.last - self.first + 1
        before = np.repeat(np.cumsum(lengths) - lengths, lengths)
        codes: Codes = np.repeat(self.first, lengths) + np.arange(int(lengths.sum())) - before
        return codes.astype(np.uint64)


def swept_cells(paths: Iterable[tuple[ArrayLike, ArrayLike]], *, radius_m: float) -> NDArray[np.uint64]:
    """The cells of ``swept_ground``, sorted."""
    return swept_ground(paths, radius_m=radius_m).cells()


def swept_ground(paths: Iterable[tuple[ArrayLike, ArrayLike]], *, radius_m: float) -> SweptGround:
    """Cells whose centres lie within ``radius_m`` and half a cell of any path: no less than the corridor.

    Args:
        paths: Latitudes and longitudes in degrees, EPSG:4326, of each unbroken path in its order; a single
            position is a path, too.
        radius_m: How far to both sides the vehicle records, in metres.

    Returns:
        Cells, each once. Their number times ``CELL_KM2`` is the area in km²: never
        less than that of all points within ``radius_m``, and no more than that within ``radius_m`` and a cell.

    Raises:
        MalformedItemError: A coordinate is not finite or out of range.
        LimitExceededError: A position lies within 5 degrees of a pole.
    """
    found = [np.zeros((2, 0), np.int64)]
    for lat, lon in paths:
        y, x = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (lat, lon))
        check_positions(y, x)
        if len(y) and float(np.abs(y).max()) > _FARTHEST_LAT:
            raise LimitExceededError(
                f"areas are counted up to {_FARTHEST_LAT} degrees of latitude (got more)"
            )
        # Discs about places this far apart along a straight step form its corridor to within _SAGITTA_M.
        y, x = _dense(y, x, float(np.sqrt(8.0 * radius_m * _SAGITTA_M)))
        for start in range(0, len(y), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            found.append(_merged(np.concatenate(list(_runs(y[part], x[part], radius_m)), axis=1)))
    first, last = _merged(np.concatenate(found, axis=1))
    return SweptGround(first=first, last=last)


def _dense(lat: FloatArray, lon: FloatArray, spacing_m: float) -> tuple[FloatArray, FloatArray]:
    """The path with a position at least every so many metres."""
    if len(lat) < 2:  # noqa: PLR2004 - two ends make a step
        return lat, lon
    pieces = np.maximum(1, np.ceil(steps_m(lat, lon) / spacing_m)).astype(np.intp)
    at = np.repeat(np.arange(len(pieces)), pieces)
    share = (np.arange(len(at)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) / pieces[at]
    across = wrap_degrees(np.diff(lon))
    dense_lat = lat[at] + share * np.diff(lat)[at]
    dense_lon = wrap_degrees(lon[at] + share * across[at])
    return np.r_[dense_lat, lat[-1]], np.r_[dense_lon, lon[-1]]


def _runs(lat: FloatArray, lon: FloatArray, radius_m: float) -> Iterator[Codes]:
    """Runs of cells whose centres lie within a disc about each position, row by row of the disc."""
    reach = radius_m + CELL_M / 2.0 + _SAGITTA_M
    east, north = _projected(lat, lon)
    _, vertical = radii_m(lat)
    # Metres on the ground per metre of the chart, towards east; towards north its inverse, since areas are equal.
    stretch = vertical * np.cos(np.radians(lat)) / (_K0 * _A)
    row = np.floor(north / CELL_M).astype(np.int64)
    rows = int(np.ceil(reach * float(stretch.max(initial=0.0)) / CELL_M)) + 1
    for up in range(-rows, rows + 1):
        along = ((row + up + 0.5) * CELL_M - north) / stretch
        inside = np.abs(along) <= reach
        half = np.sqrt(reach * reach - along[inside] ** 2) / stretch[inside]
        first = np.ceil((east[inside] - half) / CELL_M - 0.5).astype(np.int64) + _COLUMNS // 2
        last = np.floor((east[inside] + half) / CELL_M - 0.5).astype(np.int64) + _COLUMNS // 2
        base = (row[inside] + up + _MIDDLE) * _ROW
        # What reaches across the seam of the chart counts on its other side.
        for shift in (-_COLUMNS, 0, _COLUMNS):
            low, high = np.maximum(first + shift, 0), np.minimum(last + shift, _COLUMNS - 1)
            some = low <= high
            if some.any():
                yield np.stack([base[some] + low[some], base[some] + high[some]])


def _merged(runs: Codes) -> Codes:
    """The same cells in runs that are in order and apart."""
    first, last = runs[:, np.argsort(runs[0], kind="stable")]
    if not len(first):
        return runs
    reached = np.maximum.accumulate(last)
    begins = np.r_[True, first[1:] > reached[:-1] + 1]
    return np.stack([first[begins], reached[np.r_[np.flatnonzero(begins)[1:] - 1, len(first) - 1]]])


def _projected(lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
    sine = np.sin(np.radians(lat))
    q = (1.0 - _E2) * (
        sine / (1.0 - _E2 * sine * sine) - np.log((1.0 - _E * sine) / (1.0 + _E * sine)) / (2.0 * _E)
    )
    return _A * _K0 * np.radians(lon), _A * q / (2.0 * _K0)

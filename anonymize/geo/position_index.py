"""Known fixes, prepared for the question whether a pair of numbers names a place near one of them.

Every fix is brought once into the numbers of each notation. A pair of numbers is tested in three steps, each
far cheaper than the next: are both within the *vicinity* (the fixes' rectangle, widened by about 100 km), are
they within the tolerance of a fix (one nearest-neighbour query), are they a position that the release may
show.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from anonymize.errors import MalformedItemError
from anonymize.geo import public_formulas as formulas
from anonymize.geo.ellipsoid import FloatArray, wrap_degrees
from anonymize.geo.grid_zones import projections

Bounds = tuple[float, float]
Flags = NDArray[np.bool_]
Pair = tuple[FloatArray, FloatArray]

_METRES_PER_DEGREE = 111_320.0
_MARGIN_DEG = 1.0
_MARGIN_M = 100_000.0
_LEAST_EASTING_M = 50_000.0
_LONGEST_STEP_M = 300.0
_MOST_POINTS = 5_000_000
_SHOWN_M = 1.0
_GROUND_M = (-1_000.0, 12_000.0)
_POLAR_DEG = 89.0
_HALF_TURN, _QUARTER_TURN = 180.0, 90.0
_ROUNDING_DEG = 0.01


class Space:
    """Fixes in two coordinates in which nearness can be asked.

    Attributes:
        first: The vicinity's range of the first coordinate (latitude in degrees, or easting in metres).
        second: The same of the second (longitude in degrees, or northing in metres).
        share: Upper bound of the share of the vicinity's area that is within the tolerance of a fix.
    """

    def __init__(
        self,
        fixes: Pair,
        vicinity: tuple[Bounds, Bounds, float],
        embed: Callable[[FloatArray, FloatArray], FloatArray],
        tolerance_m: float,
        shown: Pair | None,
    ) -> None:
        self.first, self.second, area_m2 = vicinity
        self._embed, self._tolerance_m = embed, tolerance_m
        points = embed(*fixes)
        self.share = _share(points, area_m2, tolerance_m)
        self._fixes = functools.cache(lambda: _tree(points))
        self._shown = functools.cache(lambda: _tree(embed(*shown))) if shown else None

    def within(self, a: FloatArray, b: FloatArray) -> Flags:
        """Whether each pair is in the vicinity."""
        (a0, a1), (b0, b1) = self.first, self.second
        return np.asarray((a >= a0) & (a <= a1) & (b >= b0) & (b <= b1))

    def near(self, a: FloatArray, b: FloatArray) -> Flags:
        """Whether each pair is within the tolerance of a fix."""
        return _reached(self._fixes(), self._embed(a, b), self._tolerance_m)

    def may_show(self, a: FloatArray, b: FloatArray) -> Flags:
        """Whether each pair is, to 1 m, a position that the release may show."""
        if self._shown is None:
            return np.zeros(len(a), dtype=bool)
        return _reached(self._shown(), self._embed(a, b), _SHOWN_M)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Notation:
    """How two numbers are to be read as coordinates of a space.

    Attributes:
        label: Name of the notation.
        space: The space.
        first: Range in which the number for the first coordinate must lie.
        second: Range of the number for the second.
        read: Brings both numbers to coordinates of the space.
    """

    label: str
    space: Space
    first: Bounds
    second: Bounds
    read: Callable[[FloatArray, FloatArray], Pair]

    def scaled(self, label: str, unit: float) -> "Notation":
        """The same coordinates as multiples of ``1 / unit``."""
        read = self.read
        return Notation(
            label=label,
            space=self.space,
            first=(self.first[0] * unit, self.first[1] * unit),
            second=(self.second[0] * unit, self.second[1] * unit),
            read=lambda a, b: read(a / unit, b / unit),
        )


class PositionIndex:
    """Fixes of one recording in every notation; build once, search any number of contents.

    Args:
        lat: Latitudes of the fixes in degrees, EPSG:4326, in the order of the drive: places between
        consecutive
            fixes no more than 300 m apart count as known as well.
        lon: Longitudes in degrees.
        tolerance_m: How near in metres a position must be to count.
        shown: Latitudes and longitudes that the release may show, such as the displaced fixes of an OFFSET
            release: a keyed offset leads the drive across and along roads that it also drove in truth.

    Attributes:
        count: Number of fixes given.
        metres: Eastings and northings in metres: UTM, Gauss-Krueger, web mercator.
        earth_centred: Ranges of x, y and z in metres (EPSG:4978) in the vicinity.

    Raises:
        MalformedItemError: Latitudes and longitudes differ in number, are not finite or out of range.
    """

    def __init__(
        self,
        lat: ArrayLike,
        lon: ArrayLike,
        *,
        tolerance_m: float = 15.0,
        shown: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        fixes = _positions(lat, lon)
        self.count = len(fixes[0])
        if not tolerance_m > 0.0:
            raise MalformedItemError(f"the tolerance is a positive length (got {tolerance_m!r} m)")
        if not self.count:
            return
        fixes = _filled(*fixes, tolerance_m)
        seen = _positions(*shown) if shown is not None and np.size(shown[0]) else None
        self.globe = _globe(fixes, tolerance_m, seen)
        self.metres = (
            *(_plane(name, project, fixes, tolerance_m, seen) for name, project in projections().items()),
            _mercator(self.globe),
        )
        self.earth_centred = _earth_centred(self.globe)
        self._signs = tuple(_sign(bounds) for bounds in (self.globe.first, self.globe.second))

    def degrees(self, label: str) -> Notation:
        """Latitude and longitude in degrees."""
        return Notation(
            label=label,
            space=self.globe,
            first=self.globe.first,
            second=self.globe.second,
            read=lambda a, b: (a, b),
        )

    def hemispheres(self) -> tuple[int, int]:
        """Sign that all latitudes and all longitudes of the vicinity have, 0 where they have both."""
        return self._signs[0], self._signs[1]

    def radians(self, label: str) -> Notation:
        """Latitude and longitude in radians."""
        return self.degrees("").scaled(label, float(np.radians(1.0)))


def from_earth_centred(x: FloatArray, y: FloatArray, z: FloatArray) -> Pair:
    """Latitude and longitude in degrees of earth-centred metres; NaN for what is not near the ground."""
    with np.errstate(all="ignore"):
        lat, lon, height = formulas.geodetic(x, y, z)
        ground = (height >= _GROUND_M[0]) & (height <= _GROUND_M[1])
    return np.where(ground, lat, np.nan), np.where(ground, lon, np.nan)


def _globe(fixes: Pair, tolerance_m: float, shown: Pair | None) -> Space:
    lat, lon = _with_conventions(*fixes)
    south, north = float(lat.min()) - _MARGIN_DEG, float(lat.max()) + _MARGIN_DEG
    cosine = float(np.cos(np.radians(max(abs(south), abs(north)))))
    margin = _MARGIN_DEG / max(cosine, np.cos(np.radians(_POLAR_DEG)))
    west, east = float(lon.min()) - margin, float(lon.max()) + margin
    if max(abs(south), abs(north)) > _POLAR_DEG or west < -_HALF_TURN or east > _HALF_TURN:
        # A little more, for what rounding takes past the antimeridian.
        west, east = -_HALF_TURN - _ROUNDING_DEG, _HALF_TURN + _ROUNDING_DEG
    middle = float(np.cos(np.radians(np.clip((south + north) / 2.0, -_POLAR_DEG, _POLAR_DEG))))
    area = (north - south) * (east - west) * middle * _METRES_PER_DEGREE**2
    vicinity = ((max(south, -_QUARTER_TURN), min(north, _QUARTER_TURN)), (west, east), area)
    return Space(
        (lat, lon), vicinity, formulas.ecef, tolerance_m, _with_conventions(*shown) if shown else None
    )


def _plane(
    label: str,
    project: Callable[[FloatArray, FloatArray], Pair],
    fixes: Pair,
    tolerance_m: float,
    shown: Pair | None,
) -> Notation:
    east, north = project(*fixes)
    # False eastings keep real ones far from zero; only positions in the outer part of a neighbouring zone are not.
    first = (max(float(east.min()) - _MARGIN_M, _LEAST_EASTING_M), float(east.max()) + _MARGIN_M)
    second = (float(north.min()) - _MARGIN_M, float(north.max()) + _MARGIN_M)
    vicinity = (first, second, (first[1] - first[0]) * (second[1] - second[0]))
    space = Space((east, north), vicinity, _stacked, tolerance_m, project(*shown) if shown else None)
    return Notation(label=label, space=space, first=first, second=second, read=lambda a, b: (a, b))


def _mercator(globe: Space) -> Notation:
    (south, north), (west, east) = globe.first, globe.second
    x, y = formulas.web_mercator(np.array([south, north]), np.array([west, east]))
    return Notation(
        label="web mercator",
        space=globe,
        first=(float(x[0]), float(x[1])),
        second=(float(y[0]), float(y[1])),
        read=formulas.from_web_mercator,
    )


def _earth_centred(globe: Space) -> tuple[Bounds, Bounds, Bounds]:
    lat, lon = np.meshgrid(np.linspace(*globe.first, 65), np.linspace(*globe.second, 257))
    points = formulas.ecef(lat.ravel(), lon.ravel())
    low, high = (points.min(axis=0) - _MARGIN_M).tolist(), (points.max(axis=0) + _MARGIN_M).tolist()
    return (low[0], high[0]), (low[1], high[1]), (low[2], high[2])


def _positions(lat: ArrayLike, lon: ArrayLike) -> Pair:
    y, x = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (lat, lon))
    if y.shape != x.shape or y.ndim != 1:
        raise MalformedItemError(f"latitudes and longitudes are as many (got {y.shape} and {x.shape})")
    if not (np.isfinite(y).all() and np.isfinite(x).all()):
        raise MalformedItemError("positions are finite numbers (got one that is not)")
    if len(y) and (np.abs(y).max() > _QUARTER_TURN or np.abs(x).max() > 2 * _HALF_TURN):
        raise MalformedItemError("positions lie within 90 and 360 degrees (got one that does not)")
    return y, wrap_degrees(x)


def _with_conventions(lat: FloatArray, lon: FloatArray) -> Pair:
    """The positions, and where it applies the same in the map conventions GCJ-02 and BD-09."""
    gcj = formulas.gcj02(lat, lon)
    moved = (gcj[0] != lat) | (gcj[1] != lon)
    if not moved.any():
        return lat, lon
    gcj = gcj[0][moved], gcj[1][moved]
    baidu = formulas.bd09(*gcj)
    return np.concatenate((lat, gcj[0], baidu[0])), np.concatenate((lon, gcj[1], baidu[1]))


def _filled(lat: FloatArray, lon: FloatArray, tolerance_m: float) -> Pair:
    """The distinct fixes, with places between consecutive ones so that no gap exceeds the tolerance."""
    if len(lat) > 1:
        steps = np.linalg.norm(np.diff(formulas.ecef(lat, lon), axis=0), axis=1)
        between = np.where(steps <= _LONGEST_STEP_M, np.ceil(steps / tolerance_m) - 1.0, 0.0)
        between = np.maximum(between, 0.0).astype(np.int64)
        if between.sum() + len(lat) <= _MOST_POINTS:
            at = np.repeat(np.arange(len(between)), between)
            rank = np.arange(len(at)) - np.repeat(np.cumsum(between) - between, between)
            part = (rank + 1.0) / (between[at] + 1.0)
            step = wrap_degrees(lon[at + 1] - lon[at])
            lat = np.concatenate((lat, lat[at] + part * (lat[at + 1] - lat[at])))
            lon = np.concatenate((lon, wrap_degrees(lon[at] + part * step)))
    distinct = np.unique(lat + 1j * lon)
    return distinct.real.copy(), distinct.imag.copy()


def _sign(bounds: Bounds) -> int:
    return 1 if bounds[0] > 0.0 else -1 if bounds[1] < 0.0 else 0


def _stacked(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.column_stack((a, b))


def _tree(points: FloatArray) -> cKDTree:
    return cKDTree(points, balanced_tree=False, compact_nodes=False)


def _reached(tree: cKDTree, points: FloatArray, distance_m: float) -> Flags:
    # The query's bound is exclusive.
    found = tree.query(points, distance_upper_bound=np.nextafter(distance_m, np.inf))[0]
    return np.asarray(np.isfinite(found))


def _share(points: FloatArray, area_m2: float, tolerance_m: float) -> float:
    """Cells of the tolerance's diameter that hold a fix, times the four that its disc can reach."""
    cells = np.floor(points / (2.0 * tolerance_m)).astype(np.int64)
    keys = cells @ np.array([1, 1 << 21, 1 << 42][: cells.shape[1]])
    return min(1.0, len(np.unique(keys)) * 4.0 * (2.0 * tolerance_m) ** 2 / area_m2)

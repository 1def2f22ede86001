"""The test of positions against restricted zones, margins included.

Margins are metres on the ground: each polygon is buffered in an azimuthal equidistant plane about its own
centre, rounded outwards, and brought back to degrees. Polygon edges are straight in longitude and latitude
(RFC 7946). Zones whose margin comes near a pole or crosses the antimeridian are refused.
"""

import hashlib
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.geometry.base import BaseGeometry

from anonymize.errors import ZoneFileError
from anonymize.formats.track import check_positions
from anonymize.geo.ellipsoid import FloatArray, to_enu
from anonymize.geo.zone_file import KINDS, Zone, ZoneKind, read_zones
from anonymize.geo.zone_margin import with_margin
from anonymize.geo.zone_raster import ZoneRaster

__all__ = ["Zone", "ZoneHits", "ZoneKind", "ZoneSet"]

_EDGE_DEG = 0.005
_RASTER_FROM = 4096
_STEP_M = 10.0
_LAYERS = 16
_HALF_TURN_DEG = 180.0
_NEARLY_POLE_DEG = 89.0
_AT_ONCE = 100_000
_LEAST_METRES_PER_DEGREE = 110_500.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ZoneHits:
    """Which positions lie in zones.

    Attributes:
        inside: Whether the position lies in any zone, its border and margin included.
        zone: Index of the most severe zone that holds the position, -1 for none.
        kind_bits: Bit ``k`` is set where a zone of the ``k``-th :class:`ZoneKind` holds the position.
    """

    inside: NDArray[np.bool_]
    zone: NDArray[np.int32]
    kind_bits: NDArray[np.uint16]

    def kinds(self) -> dict[ZoneKind, int]:
        """How many positions lie in zones of each kind that was hit, most severe first."""
        counts = {kind: int(np.count_nonzero(self.of_kind(kind))) for kind in KINDS}
        return {kind: count for kind, count in counts.items() if count}

    def of_kind(self, kind: ZoneKind) -> NDArray[np.bool_]:
        """Which positions lie in a zone of ``kind``."""
        return np.asarray(self.kind_bits & np.uint16(1 << KINDS.index(kind)), dtype=bool)


class ZoneSet:
    """The zones of one file; immutable to its users, with rasters built on first use."""

    __slots__ = ("_layers", "_lock", "digest", "name", "version", "zones")

    def __init__(self, *, zones: tuple[Zone, ...], name: str, version: int, digest: str) -> None:
        self.zones = tuple(sorted(zones, key=lambda z: (KINDS.index(z.kind), z.id)))
        self.name = name
        self.version = version
        self.digest = digest
        self._layers: dict[float, _Layer] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_geojson(cls, content: bytes) -> "ZoneSet":
        """Read a zone file.

        Raises:
            ZoneFileError: Names the feature and what is wrong with it.
        """
        name, version, zones = read_zones(content)
        made = cls(zones=zones, name=name, version=version, digest=hashlib.sha256(content).hexdigest())
        made.shapes()
        return made

    def widened(self, margin_m: float) -> "ZoneSet":
        """The same zones with metres added to every margin, for places that are known less well.

        Raises:
            ZoneFileError: A zone with the margin comes near a pole or crosses the antimeridian.
        """
        zones = tuple(replace(zone, margin_m=zone.margin_m + margin_m) for zone in self.zones)
        made = ZoneSet(zones=zones, name=self.name, version=self.version, digest=self.digest)
        made.shapes()
        return made

    @property
    def empty(self) -> bool:
        """Whether the file holds no zone."""
        return not self.zones

    @property
    def detector(self) -> str:
        """How findings name this zone file."""
        return f"zones@{self.digest[:12]}"

    def test(self, lat: ArrayLike, lon: ArrayLike, *, extra_margin_m: float = 0.0) -> ZoneHits:
        """Test positions against all zones; identical to the exact geometry however many there are.

        Args:
            lat: Latitudes in degrees, EPSG:4326.
            lon: Longitudes in degrees.
            extra_margin_m: Added to every zone's own margin, rounded up to whole tens of metres.

        Raises:
            MalformedItemError: A coordinate is not finite or out of range.
            ZoneFileError: A zone with the extra margin comes near a pole or crosses the antimeridian.
        """
        y, x = _positions(lat, lon)
        layer = self._layer(extra_margin_m)
        if len(x) < _RASTER_FROM and layer.raster is None:
            return self._hits(*layer.exact(x, y))
        return self._hits(*layer.rastered().test(x, y))

    def test_exact(self, lat: ArrayLike, lon: ArrayLike, *, extra_margin_m: float = 0.0) -> ZoneHits:
        """What :meth:`test` is identical to: every position against every zone's prepared polygon."""
        y, x = _positions(lat, lon)
        return self._hits(*self._layer(extra_margin_m).exact(x, y))

    def test_areas(self, areas: NDArray[np.object_]) -> ZoneHits:
        """Test polygons in degrees against all zones, margins included; to touch is to hit.

        An area that crosses the antimeridian goes on beyond 180 or -180 degrees of longitude instead of jumping.
        """
        zone, bits = self._none(len(areas))
        severest = np.full(len(areas), len(self.zones), np.int32)
        for area, index in self._pairs(areas, "intersects"):
            np.minimum.at(severest, area, index.astype(np.int32))
            np.bitwise_or.at(bits, area, self._layer(0.0).bits[index])
        hit = severest < len(self.zones)
        zone[hit] = severest[hit]
        return self._hits(zone, bits)

    def near(self, lat: FloatArray, lon: FloatArray, reach_m: FloatArray) -> NDArray[np.bool_]:
        """Which positions may have a zone within ``reach_m`` metres; never too few, cheap to ask of many."""
        y = reach_m / _LEAST_METRES_PER_DEGREE
        shrink = np.cos(np.radians(np.minimum(np.abs(lat) + y, _NEARLY_POLE_DEG)))
        x = np.minimum(y / shrink, _HALF_TURN_DEG)
        near = np.zeros(len(lat), dtype=bool)
        for start in range(0, len(lat), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            west, east = lon[part] - x[part], lon[part] + x[part]
            boxes = shapely.box(west, lat[part] - y[part], east, lat[part] + y[part])
            for found, _ in self._pairs(boxes, None):
                near[start + found] = True
        return near

    def crossed_by(self, lines: NDArray[np.object_]) -> NDArray[np.intp]:
        """Indices of the lines in degrees that meet a zone, margins included; longitudes may run past 180."""
        met = [line for line, _ in self._pairs(lines, "intersects")]
        return np.unique(np.concatenate([np.zeros(0, np.intp), *met]))

    def around(self, lat: float, lon: float, *, within_m: float) -> tuple[tuple[int, float, float], ...]:
        """Zones (margins included) that come within a distance of a position.

        Returns:
            For each: its index, and the least and greatest distance in metres from the position to any part
            of it.
        """
        reach_y = within_m / _LEAST_METRES_PER_DEGREE
        reach_x = reach_y / max(math.cos(math.radians(min(abs(lat) + reach_y, 89.0))), 1e-3)
        found = []
        for index, shape in enumerate(self.shapes()):
            west, south, east, north = shape.bounds
            if west - reach_x <= lon <= east + reach_x and south - reach_y <= lat <= north + reach_y:
                flat = shapely.transform(
                    shapely.segmentize(shape, _EDGE_DEG),
                    lambda c: np.column_stack(to_enu(c[:, 1], c[:, 0], lat, lon)),
                )
                near = float(shapely.distance(flat, shapely.Point(0.0, 0.0)))
                if near <= within_m:
                    found.append((index, near, float(np.hypot(*shapely.get_coordinates(flat).T).max())))
        return tuple(found)

    def kind_bit(self, index: int) -> np.uint16:
        """The bit of the zone's kind in :attr:`ZoneHits.kind_bits`."""
        return np.uint16(1 << KINDS.index(self.zones[index].kind))

    def no_hits(self, count: int) -> ZoneHits:
        """The answer for ``count`` positions that no zone is near."""
        return self._hits(*self._none(count))

    def shapes(self, *, extra_margin_m: float = 0.0) -> tuple[BaseGeometry, ...]:
        """Each zone's polygon in degrees, margin included, in the order of :attr:`zones`."""
        return self._layer(extra_margin_m).shapes

    def _pairs(
        self, areas: NDArray[np.object_], predicate: Literal["intersects"] | None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Pairs of an area and a zone that meets it, on this and on either side of the antimeridian."""
        if not len(areas) or self.empty:
            return
        tree, bounds = self._layer(0.0).tree, shapely.bounds(areas)
        beyond = {
            0.0: np.arange(len(areas)),
            360.0: np.flatnonzero(bounds[:, 0] < -_HALF_TURN_DEG),
            -360.0: np.flatnonzero(bounds[:, 2] > _HALF_TURN_DEG),
        }
        for turn, which in beyond.items():
            if len(which):
                area, index = tree.query(_turned(areas[which], turn), predicate=predicate)
                yield which[area], index

    def _layer(self, extra_margin_m: float) -> "_Layer":
        if not 0.0 <= extra_margin_m < math.inf:
            raise ZoneFileError(f"an extra margin is a distance in metres (got {extra_margin_m!r})")
        rounded = math.ceil(extra_margin_m / _STEP_M) * _STEP_M
        with self._lock:
            if rounded not in self._layers:
                if len(self._layers) >= _LAYERS:
                    self._layers.pop(next(k for k in self._layers if k))
                self._layers[rounded] = _Layer(self.zones, rounded)
            return self._layers[rounded]

    @staticmethod
    def _none(count: int) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
        return np.full(count, -1, np.int32), np.zeros(count, np.uint16)

    def _hits(self, zone: NDArray[np.int32], bits: NDArray[np.uint16]) -> ZoneHits:
        return ZoneHits(inside=zone >= 0, zone=zone, kind_bits=bits)


def _turned(areas: NDArray[np.object_], turn_deg: float) -> NDArray[np.object_]:
    moved: NDArray[np.object_] = shapely.transform(areas, lambda c: c + np.array([turn_deg, 0.0]))
    return moved


class _Layer:
    """The zones under one extra margin."""

    __slots__ = ("_lock", "bits", "raster", "shapes", "tree")

    def __init__(self, zones: tuple[Zone, ...], extra_margin_m: float) -> None:
        self.shapes = tuple(with_margin(z, extra_margin_m) for z in zones)
        self.bits = np.array([1 << KINDS.index(z.kind) for z in zones], dtype=np.uint16)
        self._lock = threading.Lock()
        self.tree = shapely.STRtree(list(self.shapes))
        self.raster: ZoneRaster | None = None
        for shape in self.shapes:
            shapely.prepare(shape)

    def exact(self, x: FloatArray, y: FloatArray) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
        zone, bits = np.full(len(x), -1, np.int32), np.zeros(len(x), np.uint16)
        for index, shape in enumerate(self.shapes):
            west, south, east, north = shape.bounds
            near = np.flatnonzero((x >= west) & (x <= east) & (y >= south) & (y <= north))
            hit = near[shapely.intersects_xy(shape, x[near], y[near])]
            zone[hit] = np.where(zone[hit] < 0, index, zone[hit])
            bits[hit] |= self.bits[index]
        return zone, bits

    def rastered(self) -> ZoneRaster:
        with self._lock:
            if self.raster is None:
                self.raster = ZoneRaster(self.shapes, self.bits)
            return self.raster


def _positions(lat: ArrayLike, lon: ArrayLike) -> tuple[FloatArray, FloatArray]:
    y, x = (np.ascontiguousarray(np.atleast_1d(v), dtype=np.float64) for v in (lat, lon))
    if len(y) and not (y.min() >= -90.0 and y.max() <= 90.0 and x.min() >= -180.0 and x.max() <= 180.0):  # noqa: PLR2004
        check_positions(y, x, "position {}".format)
    return y, x

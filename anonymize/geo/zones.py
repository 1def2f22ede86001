"""Restricted zones: the operator's zone file and the test of positions against it.

The file is a GeoJSON feature collection with a top-level ``name`` and ``version``; each feature is a Polygon
or MultiPolygon with properties ``id``, ``kind`` and ``margin_m``. Margins are metres on the ground: each
polygon is buffered in an azimuthal equidistant plane about its own centre, rounded outwards, and brought back
to degrees. Polygon edges are straight in longitude and latitude (RFC 7946). Zones near a pole or across the
antimeridian are refused.
"""

import hashlib
import json
import math
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.geometry.base import BaseGeometry

from anonymize.errors import ZoneFileError
from anonymize.geo.crs import metric_transformer
from anonymize.geo.ellipsoid import MEAN_RADIUS_M, FloatArray, to_enu
from anonymize.geo.zone_raster import ZoneRaster

_POLAR_DEG = 85.0
_EDGE_DEG = 0.005
_EDGE_M = 500.0
_ROUNDING_M = 0.1
_ARC_SEGMENTS = 16
_RASTER_FROM = 4096
_STEP_M = 10.0
_LAYERS = 16
_LARGEST_MARGIN_M = 1e5
_HALF_TURN_DEG = 180.0
_LEAST_METRES_PER_DEGREE = 110_500.0


class ZoneKind(StrEnum):
    """What a restricted zone protects (COMPLIANCE.md §2), most severe first."""

    MIL = "MIL"
    DEF_IND = "DEF_IND"
    CUSTODY = "CUSTODY"
    GOV_COUNTY = "GOV_COUNTY"
    HAZMAT = "HAZMAT"
    ENERGY = "ENERGY"
    WATER = "WATER"
    SPECIAL_RAIL_ROAD = "SPECIAL_RAIL_ROAD"
    DEPOT = "DEPOT"
    HOME = "HOME"


_KINDS = tuple(ZoneKind)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Zone:
    """One restricted zone; ``shape`` is in degrees of longitude and latitude, without the margin."""

    id: str
    kind: ZoneKind
    margin_m: float
    shape: BaseGeometry


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
        counts = {kind: int(np.count_nonzero(self.of_kind(kind))) for kind in _KINDS}
        return {kind: count for kind, count in counts.items() if count}

    def of_kind(self, kind: ZoneKind) -> NDArray[np.bool_]:
        """Which positions lie in a zone of ``kind``."""
        return np.asarray(self.kind_bits & np.uint16(1 << _KINDS.index(kind)), dtype=bool)


class ZoneSet:
    """The zones of one file; immutable to its users, with rasters built on first use."""

    __slots__ = ("_layers", "_lock", "digest", "name", "version", "zones")

    def __init__(self, *, zones: tuple[Zone, ...], name: str, version: int, digest: str) -> None:
        self.zones = tuple(sorted(zones, key=lambda z: (_KINDS.index(z.kind), z.id)))
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
        document = _load(content)
        zones = tuple(_zone(f, i) for i, f in enumerate(document["features"]))
        ids = [z.id for z in zones]
        if twice := {i for i in ids if ids.count(i) > 1}:
            raise ZoneFileError(f"zone ids are unique (got {sorted(twice)[:5]} more than once)")
        made = cls(
            zones=zones,
            name=document["name"],
            version=document["version"],
            digest=hashlib.sha256(content).hexdigest(),
        )
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
        """
        y, x = (np.ascontiguousarray(np.atleast_1d(v), dtype=np.float64) for v in (lat, lon))
        layer = self._layer(extra_margin_m)
        if len(x) < _RASTER_FROM and layer.raster is None:
            return self._hits(*layer.exact(x, y))
        return self._hits(*layer.rastered().test(x, y))

    def test_exact(self, lat: ArrayLike, lon: ArrayLike, *, extra_margin_m: float = 0.0) -> ZoneHits:
        """What :meth:`test` is identical to: every position against every zone's prepared polygon."""
        y, x = (np.ascontiguousarray(np.atleast_1d(v), dtype=np.float64) for v in (lat, lon))
        return self._hits(*self._layer(extra_margin_m).exact(x, y))

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
        return np.uint16(1 << _KINDS.index(self.zones[index].kind))

    def no_hits(self, count: int) -> ZoneHits:
        """The answer for ``count`` positions that no zone is near."""
        return self._hits(np.full(count, -1, np.int32), np.zeros(count, np.uint16))

    def shapes(self, *, extra_margin_m: float = 0.0) -> tuple[BaseGeometry, ...]:
        """Each zone's polygon in degrees, margin included, in the order of :attr:`zones`."""
        return self._layer(extra_margin_m).shapes

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

    def _hits(self, zone: NDArray[np.int32], bits: NDArray[np.uint16]) -> ZoneHits:
        return ZoneHits(inside=zone >= 0, zone=zone, kind_bits=bits)


class _Layer:
    """The zones under one extra margin."""

    __slots__ = ("_bits", "_lock", "raster", "shapes")

    def __init__(self, zones: tuple[Zone, ...], extra_margin_m: float) -> None:
        self.shapes = tuple(_buffered(z, extra_margin_m) for z in zones)
        self._bits = np.array([1 << _KINDS.index(z.kind) for z in zones], dtype=np.uint16)
        self._lock = threading.Lock()
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
            bits[hit] |= self._bits[index]
        return zone, bits

    def rastered(self) -> ZoneRaster:
        with self._lock:
            if self.raster is None:
                self.raster = ZoneRaster(self.shapes, self._bits)
            return self.raster


def _buffered(zone: Zone, extra_margin_m: float) -> BaseGeometry:
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
    if not (south > -_POLAR_DEG and north < _POLAR_DEG and east - west < _HALF_TURN_DEG and shape.is_valid):
        raise ZoneFileError(
            f"zone {zone.id!r}: with its margin of {margin:g} m "
            f"it crosses the antimeridian or comes near a pole"
        )
    return shape


def _load(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ZoneFileError(f"zone file is no JSON ({str(error)[:120]})") from error
    if not isinstance(document, dict) or document.get("type") != "FeatureCollection":
        raise ZoneFileError("zone file is no GeoJSON FeatureCollection")
    version, name = document.get("version"), document.get("name")
    if type(version) is not int or version < 1:
        raise ZoneFileError(f"zone file has a version of at least 1 (got {version!r})")
    if not isinstance(name, str) or not name:
        raise ZoneFileError(f"zone file has a name (got {name!r})")
    if not isinstance(document.get("features"), list):
        raise ZoneFileError(f"zone file has a list of features (got {document.get('features')!r})")
    return document


def _zone(feature: Any, number: int) -> Zone:
    where = f"feature {number}"
    if not isinstance(feature, dict) or not isinstance(feature.get("properties"), dict):
        raise ZoneFileError(f"{where}: no feature with properties (got {type(feature).__name__})")
    properties = feature["properties"]
    identity, kind, margin = (properties.get(n) for n in ("id", "kind", "margin_m"))
    if not isinstance(identity, str) or not identity:
        raise ZoneFileError(f"{where}: id is a non-empty string (got {identity!r})")
    where = f"{where} ({identity!r})"
    if kind not in _KINDS:
        raise ZoneFileError(
            f"{where}: unknown kind (got {kind!r}, expected one of {[k.value for k in _KINDS]})"
        )
    if type(margin) not in (int, float) or not 0.0 <= margin <= _LARGEST_MARGIN_M:
        raise ZoneFileError(f"{where}: margin_m is between 0 and 100000 (got {margin!r})")
    return Zone(
        id=identity, kind=ZoneKind(kind), margin_m=float(margin), shape=_shape(feature.get("geometry"), where)
    )


def _shape(geometry: Any, where: str) -> BaseGeometry:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in {"Polygon", "MultiPolygon"}:
        raise ZoneFileError(f"{where}: no area (got {kind!r}, expected Polygon or MultiPolygon)")
    try:
        shape = shapely.force_2d(shapely.from_geojson(json.dumps(geometry, allow_nan=False)))
    except (shapely.errors.GEOSException, ValueError) as error:
        raise ZoneFileError(f"{where}: geometry is malformed ({str(error)[:120]})") from error
    if shape.is_empty or not shape.is_valid:
        raise ZoneFileError(f"{where}: geometry is invalid ({shapely.is_valid_reason(shape)})")
    west, south, east, north = shape.bounds
    if not (
        west >= -_HALF_TURN_DEG and east <= _HALF_TURN_DEG and south > -_POLAR_DEG and north < _POLAR_DEG
    ):
        raise ZoneFileError(
            f"{where}: out of range or within 5 degrees of a pole (got bounds {shape.bounds})"
        )
    if east - west >= _HALF_TURN_DEG:
        raise ZoneFileError(f"{where}: crosses the antimeridian (got {west} to {east}); split it there")
    return shape

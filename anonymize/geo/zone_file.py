"""The operator's zone file: a GeoJSON feature collection with a top-level ``name`` and ``version``.

Each feature is a Polygon or MultiPolygon with properties ``id``, ``kind`` and ``margin_m``; other properties are
left alone. Rings may run either way round and may have holes. Errors name the feature but no coordinate of it:
where restricted sites lie is itself restricted.
"""

import json
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from anonymize.errors import ZoneFileError

DRAFT_NAME = "DRAFT 草案"
POLAR_DEG = 85.0
LARGEST_MARGIN_M = 1e5
_HALF_TURN_DEG = 180.0
_QUARTER_DEG = 90.0
_WGS84_NAMES = (
    "urn:ogc:def:crs:OGC:1.3:CRS84",
    "urn:ogc:def:crs:EPSG::4326",
    "EPSG:4326",
    "OGC:CRS84",
    "CRS84",
)


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


KINDS = tuple(ZoneKind)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Zone:
    """One restricted zone; ``shape`` is in degrees of longitude and latitude, without the margin."""

    id: str
    kind: ZoneKind
    margin_m: float
    shape: BaseGeometry


def read_zones(content: bytes) -> tuple[str, int, tuple[Zone, ...]]:
    """Read a zone file.

    Returns:
        Its name, its version and its zones in the order of the file.

    Raises:
        ZoneFileError: Names the feature and what is wrong with it.
    """
    document = _load(content)
    zones = tuple(_zone(f, i) for i, f in enumerate(document["features"]))
    ids = [z.id for z in zones]
    if twice := [i for i, n in Counter(ids).items() if n > 1]:
        raise ZoneFileError(f"zone ids are unique (got {sorted(twice)[:5]} more than once)")
    return document["name"], document["version"], zones


def is_draft(name: str) -> bool:
    """Whether a zone file's name says that nobody has reviewed it: it begins with DRAFT."""
    return name.lstrip().casefold().startswith("draft")


def _load(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_once)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ZoneFileError(f"zone file is no JSON ({str(error)[:120]})") from error
    if not isinstance(document, dict) or document.get("type") != "FeatureCollection":
        raise ZoneFileError("zone file is no GeoJSON FeatureCollection")
    version, name = document.get("version"), document.get("name")
    if type(version) is not int or version < 1:
        raise ZoneFileError(f"zone file has a version of at least 1 (got {version!r})")
    if not isinstance(name, str) or not name:
        raise ZoneFileError(f"zone file has a name (got {name!r})")
    if "crs" in document:
        crs = document["crs"]
        properties = crs.get("properties") if isinstance(crs, dict) else None
        called = properties.get("name") if isinstance(properties, dict) else None
        if called not in _WGS84_NAMES:
            raise ZoneFileError(
                f"zone file is in another coordinate system "
                f"(got {str(called)[:80]!r}, expected CRS84 or EPSG:4326)"
            )
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
    if kind not in KINDS:
        raise ZoneFileError(
            f"{where}: unknown kind (got {kind!r}, expected one of {[k.value for k in KINDS]})"
        )
    if type(margin) not in (int, float) or not 0.0 <= margin <= LARGEST_MARGIN_M:
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
    if shape.is_empty:
        raise ZoneFileError(f"{where}: geometry is invalid (got no coordinates)")
    west, south, east, north = shape.bounds
    if max(-west, east) > _HALF_TURN_DEG or max(-south, north) > _QUARTER_DEG:
        raise ZoneFileError(
            f"{where}: out of range (expected longitude within 180 degrees, then latitude within 90 degrees)"
        )
    if not (south > -POLAR_DEG and north < POLAR_DEG):
        raise ZoneFileError(f"{where}: out of range: within {_QUARTER_DEG - POLAR_DEG:g} degrees of a pole")
    if east - west >= _HALF_TURN_DEG:
        raise ZoneFileError(f"{where}: crosses the antimeridian or half the globe; split it there")
    if not shape.is_valid:
        reason = shapely.is_valid_reason(shape).partition("[")[0]
        raise ZoneFileError(f"{where}: geometry is invalid ({reason})")
    return shape


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose members are unique: of two, readers would disagree which counts."""
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = sorted({name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1})
        raise ValueError(f"members appear more than once: {twice}")
    return members

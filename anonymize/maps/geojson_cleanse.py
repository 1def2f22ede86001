"""Cleansing GeoJSON maps in two passes over the file, one feature in memory at a time.

A feature that meets a zone goes as a whole, as in OSM data: a line cut at the border of a zone would draw its
outline, and its attributes speak of all of it.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import shapely

from anonymize.errors import MalformedItemError, UnknownCrsError
from anonymize.finding import FindingKind
from anonymize.geo.crs import WGS84, kind_of, require_crs, to_wgs84
from anonymize.geo.zones import ZoneSet
from anonymize.maps.evidence import MapEvidence
from anonymize.maps.geojson_geometry import (
    as_arrays,
    kept_dimensions,
    positions_of,
    shape_of,
    spans_half_turn,
    with_positions,
)
from anonymize.maps.geojson_stream import FeatureIndex, dump, index_features
from anonymize.maps.identities import Identities
from anonymize.maps.properties import PropertyHits, treat_properties
from anonymize.maps.rules import AttributeRules
from anonymize.profile import MapProfile

_HEAD = b'{"type":"FeatureCollection","features":[\n'
_FOOT = b"\n]}\n"
_FRAME = frozenset({"type", "features"})
_FEATURE = frozenset({"type", "id", "geometry", "properties"})
_CRS84 = frozenset({"urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:OGC::CRS84", "OGC:CRS84", "CRS84"})
_FLAT = 2
_CHUNK_FEATURES = 512


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GeoJsonMap:
    """A map that is indexed but not in memory; ``identities`` are those of the features kept."""

    index: FeatureIndex
    identities: Identities
    kept: "array[int]" = field(default_factory=lambda: array("q"))


def cleanse_geojson(
    file: BinaryIO, *, zones: ZoneSet, profile: MapProfile, crs: str, evidence: MapEvidence
) -> GeoJsonMap:
    """Read a map and decide what of it stays.

    1. The frame and every feature are valid; the reference system is the declared one.
    2. Properties meet the rules of the profile.
    3. Features that meet a zone go, whole; areas also where a zone lies in them.

    Raises:
        MalformedItemError: No GeoJSON, an invalid geometry, an id that is there twice, no features.
        LimitExceededError: There are too many features, or one is too large.
        UnknownCrsError: A ``crs`` member names another system than the declared one.
    """
    index = _opened(file, profile, crs, evidence)
    made = GeoJsonMap(index=index, identities=Identities())
    rules, test = AttributeRules(profile), _ZoneTest(zones, crs)
    for number in range(len(index)):
        feature = as_feature(index.read(file, number), f"feature {number}")
        stays = _stays(feature, number, len(made.kept), rules, test, profile, evidence)
        made.identities.learn(feature, f"feature {number}", stays=stays)
        if stays:
            made.kept.append(number)
    evidence.features_in["feature"] = len(index)
    evidence.features_out["feature"] = len(made.kept)
    return made


def open_geojson(file: BinaryIO, *, profile: MapProfile, crs: str) -> GeoJsonMap:
    """Index a cleansed map and learn its ids; every feature stays.

    Raises:
        MalformedItemError: No GeoJSON, an id that is there twice, no features.
        LimitExceededError: There are too many features, or one is too large.
        UnknownCrsError: A ``crs`` member names another system than the declared one.
    """
    index = _opened(file, profile, crs, MapEvidence())
    made = GeoJsonMap(index=index, identities=Identities(), kept=array("q", range(len(index))))
    for number in made.kept:
        made.identities.learn(as_feature(index.read(file, number), f"feature {number}"), f"feature {number}")
    return made


def write_cleansed(file: BinaryIO, source: GeoJsonMap, *, profile: MapProfile) -> Iterator[bytes]:
    """Write what stays, in the order of the source, ids numbered from 1."""
    rules = AttributeRules(profile)
    reduce = kept_dimensions(keep_elevation=profile.keep_elevation)

    def one(number: int) -> dict[str, Any]:
        feature = as_feature(source.index.read(file, number), f"feature {number}")
        properties, _ = treat_properties(feature["properties"], rules)
        return {
            **feature,
            "geometry": with_positions(feature["geometry"], reduce),
            "properties": properties,
        }

    return write_features((one(n) for n in source.kept), source.identities, lambda n: n + 1)


def write_features(features: Iterator[dict[str, Any]], identities: Identities, name: Any) -> Iterator[bytes]:
    """Write features one a line, ids and references renamed."""
    yield _HEAD
    lines: list[str] = []
    first = True
    for feature in features:
        made: dict[str, Any] = {"type": "Feature"}
        if (number := identities.number(feature.get("id"))) is not None:
            made["id"] = name(number)
        made["geometry"] = feature["geometry"]
        made["properties"] = identities.renamed(feature["properties"], name)
        lines.append(dump(made))
        if len(lines) >= _CHUNK_FEATURES:
            yield (("" if first else ",\n") + ",\n".join(lines)).encode()
            lines.clear()
            first = False
    yield (("" if first or not lines else ",\n") + ",\n".join(lines)).encode() + _FOOT


def as_feature(member: dict[str, Any], where: str) -> dict[str, Any]:
    """A feature with its foreign members left out; a bare geometry becomes one without properties.

    Raises:
        MalformedItemError: It is none of both, or its properties are no object.
    """
    if member.get("type") != "Feature":
        return {"type": "Feature", "geometry": member, "properties": {}, "foreign": []}
    properties = member.get("properties")
    if properties is None:
        properties = {}
    if not isinstance(properties, dict):
        raise MalformedItemError(f"{where}: properties are no object (got {type(properties).__name__})")
    made = {"type": "Feature", "geometry": member.get("geometry"), "properties": properties}
    if member.get("id") is not None:
        made["id"] = member["id"]
    made["foreign"] = sorted(set(member) - _FEATURE)
    return made


class _ZoneTest:
    """Zones against single geometries."""

    def __init__(self, zones: ZoneSet, crs: str) -> None:
        self._zones, self._crs = zones, crs
        self._tree = None if zones.empty else shapely.STRtree(list(zones.shapes()))

    def met(self, geometry: dict[str, Any], positions: list[list[float]], where: str) -> set[str] | None:
        """Kinds of the zones that a geometry meets, empty where unknown; None where it meets none."""
        shape = shape_of(geometry, where)
        if self._tree is None:
            return None
        if spans_half_turn(positions) and shape.geom_type not in {"Point", "MultiPoint"}:
            return set()
        if self._crs != WGS84:
            shape = shapely.transform(shape, self._to_wgs84)
        found = self._tree.query(shape, predicate="intersects").tolist()
        return {self._zones.zones[i].kind.value for i in found} if found else None

    def _to_wgs84(self, coordinates: Any) -> Any:
        lat, lon = to_wgs84(coordinates[:, 1].copy(), coordinates[:, 0].copy(), self._crs)
        return np.column_stack([lon, lat])


def _stays(
    feature: dict[str, Any],
    number: int,
    place: int,
    rules: AttributeRules,
    test: _ZoneTest,
    profile: MapProfile,
    evidence: MapEvidence,
) -> bool:
    where = f"feature {number}"
    for name in feature["foreign"]:
        evidence.structural[FindingKind.UNLISTED_FIELD, f"feature/{name[:64]}"] += 1
    positions = list(positions_of(feature["geometry"], where))
    if feature["geometry"] is not None:
        _check_arrays(positions, where)
    heights = sum(len(p) > _FLAT for p in positions)
    if heights and not profile.keep_elevation:
        evidence.structural[FindingKind.ELEVATION, "coordinates"] += heights
        evidence.tagged("ELEV")
    kinds = test.met(feature["geometry"], positions, where) if positions else None
    _, hits = treat_properties(feature["properties"], rules)
    stays = kinds is None and not hits.drops and (profile.keep_untagged or hits.named)
    _tell(hits, f"feature/{place + 1}", evidence, stays=stays)
    if kinds is not None:
        evidence.losses["features_in_zones"] += 1
        evidence.zones.update(kinds)
        evidence.tags |= kinds
    elif not stays and not hits.drops:
        evidence.losses["features_unnamed"] += 1
    return stays


def _check_arrays(positions: list[list[float]], where: str) -> None:
    # Integers beyond the range of binary64 pass as numbers in JSON.
    if positions and not np.isfinite(np.concatenate(as_arrays(positions))).all():
        raise MalformedItemError(f"{where}: a coordinate is not finite")


def _tell(hits: PropertyHits, feature: str, evidence: MapEvidence, *, stays: bool) -> None:
    for hit, key in hits.rules:
        evidence.rule_hit(hit, key)
    if stays:
        for hit, key in hits.reviews:
            evidence.review(hit, feature, key)
    evidence.structural.update(hits.structural)


def _opened(file: BinaryIO, profile: MapProfile, crs: str, evidence: MapEvidence) -> FeatureIndex:
    if (kind := kind_of(crs)) != "geographic":
        raise UnknownCrsError(f"a GeoJSON map is in degrees (got a {kind} reference system, {crs!r})")
    index = index_features(file, max_features=profile.max_features)
    if not len(index):
        raise MalformedItemError("the map holds no features (got 0, expected at least 1)")
    _check_frame(index, crs, evidence)
    return index


def _check_frame(index: FeatureIndex, crs: str, evidence: MapEvidence) -> None:
    if "crs" in index.frame:
        member = index.frame["crs"]
        properties = member.get("properties") if isinstance(member, dict) else None
        name = properties.get("name") if isinstance(properties, dict) else None
        if not isinstance(name, str) or (WGS84 if name in _CRS84 else require_crs(name)) != crs:
            raise UnknownCrsError(
                f"the crs member names another system than the declared one "
                f"(got {str(name)[:80]!r}, expected {crs!r})"
            )
    for name in sorted(set(index.frame) - _FRAME):
        evidence.structural[FindingKind.UNLISTED_FIELD, f"collection/{name[:64]}"] += 1

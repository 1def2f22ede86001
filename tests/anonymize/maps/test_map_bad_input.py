import gzip
from dataclasses import replace
from typing import Any

import pytest

from anonymize.errors import (
    AnonymizeError,
    LimitExceededError,
    MalformedItemError,
    UnknownCrsError,
    UnknownFormatError,
)
from anonymize.geo.zones import ZoneSet
from anonymize.maps.cleanse import cleanse_map
from anonymize.maps.residual import scan_cleansed_map
from anonymize.maps.sniff import MapKind
from anonymize.profile import Profile

XML = "<?xml version='1.0'?><osm version='0.6'>{}</osm>"
NODE = "<node id='1' lat='39.9' lon='116.3'/>"
BOMB = "<!DOCTYPE osm [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>"
BAD_XML = {
    "entity bomb": BOMB + XML.format("<node id='1' lat='1' lon='1'><tag k='a' v='&b;'/></node>"),
    "external entity": "<!DOCTYPE osm [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>" + XML.format(NODE),
    "truncated": XML.format(NODE)[:-8],
    "another root": "<gpx version='1.1'/>",
    "another version": "<osm version='0.3'/>",
    "unknown element": XML.format(NODE + "<gpx/>"),
    "unknown inner element": XML.format("<way id='1'><node ref='1'/></way>"),
    "deleted": XML.format("<node id='1' lat='1' lon='1' visible='false'/>"),
    "latitude": XML.format("<node id='1' lat='91' lon='116.3'/>"),
    "longitude": XML.format("<node id='1' lat='39.9' lon='-180.1'/>"),
    "not a number": XML.format("<node id='1' lat='nan' lon='116.3'/>"),
    "no position": XML.format("<node id='1'/>"),
    "no id": XML.format("<node lat='1' lon='1'/>"),
    "duplicate id": XML.format(NODE + NODE),
    "duplicate key": XML.format("<node id='1' lat='1' lon='1'><tag k='a' v='1'/><tag k='a' v='2'/></node>"),
    "member type": XML.format("<relation id='1'><member type='area' ref='1' role=''/></relation>"),
    "huge id": XML.format("<node id='9999999999999999999999' lat='1' lon='1'/>"),
    "empty map": XML.format(""),
}


def attempt(
    content: bytes, kind: MapKind, zones: ZoneSet, profile: Profile, make: Any, crs: str = "EPSG:4326"
) -> None:
    treated = cleanse_map(make.file(content), kind, zones=zones, profile=profile, crs=crs)
    b"".join(treated.chunks)


@pytest.mark.parametrize("case", BAD_XML)
def test_bad_osm_xml_stops_with_a_reason(case: str, make: Any, zones: ZoneSet, profile: Profile) -> None:
    with pytest.raises(MalformedItemError):
        attempt(BAD_XML[case].encode(), MapKind.OSM_XML, zones, profile, make)


def pbf(make: Any) -> bytes:
    nodes = {i: (39.9 + i * 1e-4, 116.3, {"name": f"n{i}"}) for i in range(1, 200)}
    return bytes(make.osm_pbf(nodes, {1: (list(range(1, 200)), {"highway": "primary"})}, {}))


def test_truncated_and_damaged_pbf_stops_at_any_place(make: Any, zones: ZoneSet, profile: Profile) -> None:
    content = pbf(make)
    for size in range(1, len(content), 61):
        with pytest.raises(AnonymizeError):
            attempt(
                content[:size] if size != len(content) - 1 else content[:-1],
                MapKind.OSM_PBF,
                zones,
                profile,
                make,
            )
    spoiled = bytearray(content)
    spoiled[len(content) // 2] ^= 0xFF
    with pytest.raises(MalformedItemError):
        attempt(bytes(spoiled), MapKind.OSM_PBF, zones, profile, make)


def test_a_pbf_cut_between_blobs_keeps_its_dangling_references_out(
    make: Any, no_zones: ZoneSet, profile: Profile
) -> None:
    content = make.osm_pbf({1: (39.9, 116.3, {})}, {5: ([1, 2, 3], {"highway": "primary"})}, {})
    treated = cleanse_map(
        make.file(content), MapKind.OSM_PBF, zones=no_zones, profile=profile, crs="EPSG:4326"
    )
    assert treated.dropped
    assert treated.facts["losses"]["node_references_missing"] == 2


def test_a_damaged_pbf_is_no_clean_one_to_the_scan(make: Any, zones: ZoneSet, profile: Profile) -> None:
    content = pbf(make)
    for size in range(1, len(content), 97):
        with pytest.raises(MalformedItemError):
            scan_cleansed_map(
                make.file(content[:size]), MapKind.OSM_PBF, zones=zones, profile=profile, crs="EPSG:4326"
            )


RING = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
BOW = [[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]
BAD_GEOMETRY: dict[str, Any] = {
    "self-intersection": {"type": "Polygon", "coordinates": [BOW]},
    "hole outside": {"type": "Polygon", "coordinates": [RING, [[5, 5], [6, 5], [6, 6], [5, 5]]]},
    "overlapping parts": {"type": "MultiPolygon", "coordinates": [[RING], [RING]]},
    "open ring": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]},
    "short ring": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]},
    "short line": {"type": "LineString", "coordinates": [[0, 0]]},
    "out of range": {"type": "Point", "coordinates": [116.3, 90.5]},
    "swapped": {"type": "Point", "coordinates": [39.9, 116.3]},
    "metres": {"type": "Point", "coordinates": [448262.1, 4417763.4]},
    "text": {"type": "Point", "coordinates": ["116.3", "39.9"]},
    "truth": {"type": "Point", "coordinates": [True, False]},
    "one number": {"type": "Point", "coordinates": [1]},
    "too deep": {"type": "LineString", "coordinates": [[[0, 0], [1, 1]]]},
    "too flat": {"type": "Polygon", "coordinates": RING},
    "no list": {"type": "LineString", "coordinates": "0,0"},
    "no coordinates": {"type": "Point"},
    "unknown type": {"type": "Circle", "coordinates": [0, 0]},
    "huge integer": {"type": "Point", "coordinates": [10**300, 0]},
    "no object": [1, 2],
    "collection without list": {"type": "GeometryCollection"},
}


@pytest.mark.parametrize("case", BAD_GEOMETRY)
def test_bad_geometries_stop_with_the_feature_and_without_its_place(
    case: str, make: Any, zones: ZoneSet, profile: Profile
) -> None:
    bad = {"type": "Feature", "properties": {}, "geometry": BAD_GEOMETRY[case]}
    content = make.collection(make.line((900, 0), (900, 9)), bad)
    with pytest.raises(MalformedItemError, match="feature 1") as caught:
        attempt(content, MapKind.GEOJSON, zones, profile, make)
    assert "448262" not in str(caught.value)
    assert "116.3" not in str(caught.value)


FEATURE = b'{"type":"FeatureCollection","features":[{"type":"Feature","geometry":null,%s}]}'
BAD_JSON = {
    "truncated": b'{"type":"FeatureCollection","features":[{"type":"Feature"',
    "unterminated string": b'{"type":"FeatureCollection","features":[{"type":"Fea',
    "no comma": b'{"type":"FeatureCollection","features":[{}{}]}',
    "number among features": b'{"type":"FeatureCollection","features":[1]}',
    "list among features": b'{"type":"FeatureCollection","features":[[]]}',
    "two lists": b'{"type":"FeatureCollection","features":[],"features":[{"type":"Feature"}]}',
    "two lists, the first full": b'{"type":"FeatureCollection","features":[{"type":"Feature"}],"features":[]}',
    "escaped name": b'{"type":"FeatureCollection","f\\u0065atures":[{"type":"Feature"}]}',
    "name that ends alike": b'{"type":"FeatureCollection","a\\"features":[{"type":"Feature"}]}',
    "no features": b'{"type":"FeatureCollection","features":[]}',
    "features of another type": b'{"type":"Topology","features":[{"type":"Feature"}]}',
    "after the end": b'{"type":"FeatureCollection","features":[{"type":"Feature","geometry":null}]}{}',
    "duplicate key": FEATURE % b'"geometry":null',
    "not a number": FEATURE % b'"properties":{"a":NaN}',
    "list of properties": FEATURE % b'"properties":[1]',
    "list": b"[]",
    "empty": b"",
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_bad_geojson_stops_with_a_reason(case: str, make: Any, zones: ZoneSet, profile: Profile) -> None:
    with pytest.raises(MalformedItemError):
        attempt(BAD_JSON[case], MapKind.GEOJSON, zones, profile, make)


def test_duplicate_ids_of_features_are_refused(make: Any, zones: ZoneSet, profile: Profile) -> None:
    content = make.collection(make.line((900, 0), (900, 9), id=1), make.line((800, 0), (800, 9), id=1))
    with pytest.raises(MalformedItemError, match="there twice"):
        attempt(content, MapKind.GEOJSON, zones, profile, make)


@pytest.mark.parametrize(
    ("member", "declared"),
    [
        ({"type": "name", "properties": {"name": "EPSG:32650"}}, "EPSG:4326"),
        ({"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::99999"}}, "EPSG:4326"),
        ({"type": "name", "properties": {"name": "OGC:CRS84"}}, "GCJ-02"),
        ({"type": "link"}, "EPSG:4326"),
        (None, "EPSG:4326"),
    ],
)
def test_a_crs_member_that_contradicts_the_declaration_is_refused(
    member: Any, declared: str, make: Any, zones: ZoneSet, profile: Profile
) -> None:
    with pytest.raises(UnknownCrsError):
        attempt(
            make.collection(make.line((900, 0), (900, 9)), crs=member),
            MapKind.GEOJSON,
            zones,
            profile,
            make,
            declared,
        )


@pytest.mark.parametrize("crs", ["", "EPSG:32650", "nowhere"])
def test_an_unknown_or_metric_reference_system_is_refused(
    crs: str, make: Any, zones: ZoneSet, profile: Profile
) -> None:
    with pytest.raises(UnknownCrsError):
        attempt(make.collection(make.line((900, 0), (900, 9))), MapKind.GEOJSON, zones, profile, make, crs)


def test_osm_data_in_another_system_than_wgs_84_are_refused(
    make: Any, zones: ZoneSet, profile: Profile
) -> None:
    with pytest.raises(UnknownCrsError, match="by definition"):
        attempt(XML.format(NODE).encode(), MapKind.OSM_XML, zones, profile, make, "GCJ-02")


@pytest.mark.parametrize("kind", [MapKind.GEOJSON, MapKind.OSM_XML, MapKind.OSM_PBF])
def test_more_features_or_bytes_than_permitted_are_refused(
    kind: MapKind, make: Any, zones: ZoneSet, profile: Profile
) -> None:
    places = {i: (39.9 + i * 1e-3, 116.3, {}) for i in range(1, 12)}
    content = (
        make.collection(*(make.feature("Point", [x, y]) for y, x, _ in places.values()))
        if kind is MapKind.GEOJSON
        else make.ENCODERS[kind](places, {}, {})
    )
    few = replace(profile, maps=replace(profile.maps, max_features=10))
    small = replace(profile, maps=replace(profile.maps, max_bytes=64))
    for limited, words in ((few, "too many features"), (small, "too large")):
        with pytest.raises(LimitExceededError, match=words):
            attempt(content, kind, zones, limited, make)


def test_opendrive_is_refused_with_the_reason(make: Any, zones: ZoneSet, profile: Profile) -> None:
    with pytest.raises(UnknownFormatError, match="displacement leaves gaps"):
        attempt(b"<OpenDRIVE/>", MapKind.OPENDRIVE, zones, profile, make)


def test_deep_nesting_is_refused(make: Any, zones: ZoneSet, profile: Profile) -> None:
    deep: Any = {}
    for _ in range(200):
        deep = {"a": deep}
    with pytest.raises(LimitExceededError, match="nested"):
        attempt(make.collection(make.line((900, 0), (900, 9), a=deep)), MapKind.GEOJSON, zones, profile, make)


def test_a_gzip_is_the_callers_to_unpack(make: Any, zones: ZoneSet, profile: Profile) -> None:
    with pytest.raises(MalformedItemError):
        attempt(gzip.compress(XML.format(NODE).encode()), MapKind.OSM_XML, zones, profile, make)

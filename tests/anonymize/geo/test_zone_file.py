"""Zone files that are wrong are refused by feature, and never with a coordinate of a restricted site."""

import json
import re

import numpy as np
import pytest

from anonymize.errors import ZoneFileError
from anonymize.geo.zone_file import ZoneKind, is_draft, read_zones
from anonymize.geo.zones import ZoneSet

SITE = [[116.3, 39.9], [116.4, 39.9], [116.4, 40.0], [116.3, 40.0], [116.3, 39.9]]
HOLE = [[116.32, 39.92], [116.38, 39.92], [116.38, 39.98], [116.32, 39.98], [116.32, 39.92]]


def refusal(geometry: object, **members: object) -> str:
    feature = {
        "type": "Feature",
        "properties": {"id": "camp 7", "kind": "MIL", "margin_m": 100},
        "geometry": geometry,
    }
    document = {"type": "FeatureCollection", "name": "n", "version": 1, "features": [feature], **members}
    with pytest.raises(ZoneFileError) as refused:
        ZoneSet.from_geojson(json.dumps(document).encode())
    return str(refused.value)


def polygon(*rings: list[list[float]]) -> dict[str, object]:
    return {"type": "Polygon", "coordinates": list(rings)}


INVALID = {
    "self-intersection": (
        polygon([SITE[0], SITE[2], SITE[1], SITE[3], SITE[0]]),
        "geometry is invalid .*Self-intersection",
    ),
    "ring not closed": (polygon(SITE[:-1]), "malformed .*closed"),
    "too few points": (polygon([SITE[0], SITE[1], SITE[0]]), "malformed|Too few"),
    "no extent": (polygon([SITE[0], SITE[1], SITE[0], SITE[0]]), "Too few points"),
    "hole outside": (polygon(SITE, [[x + 1, y] for x, y in HOLE]), "Hole lies outside shell"),
    "hole over the border": (polygon(SITE, [[x + 0.05, y] for x, y in HOLE]), "Self-intersection"),
    "hole first": (polygon(HOLE, SITE), "outside shell|Nested|invalid"),
    "same part twice": (
        {"type": "MultiPolygon", "coordinates": [[SITE], [SITE]]},
        "Self-intersection|Duplicate|Nested",
    ),
    "parts overlap": (
        {"type": "MultiPolygon", "coordinates": [[SITE], [[[x + 0.01, y + 0.01] for x, y in SITE]]]},
        "Self-intersection",
    ),
    "latitude first": (polygon([[y, x] for x, y in SITE]), "out of range"),
    "beyond 180 degrees": (polygon([[x + 63.65, y] for x, y in SITE]), "out of range"),
    "antimeridian": (
        polygon([[-179.9, 1], [179.9, 1], [179.9, 2], [-179.9, 2], [-179.9, 1]]),
        "crosses the antimeridian",
    ),
    "margin over the antimeridian": (
        polygon([[179.9, 1], [179.9999, 1], [179.9999, 2], [179.9, 2], [179.9, 1]]),
        "margin of 100 m it crosses the antimeridian",
    ),
    "near a pole": (polygon([[0, 86], [1, 86], [1, 87], [0, 87], [0, 86]]), "within 5 degrees of a pole"),
    "margin near a pole": (
        polygon([[0, 84], [1, 84], [1, 84.9999], [0, 84.9999], [0, 84]]),
        "comes near a pole",
    ),
    "words for numbers": (polygon([["a", 0], *SITE]), "malformed"),
    "one number": (polygon([[1], [2], [3], [1]]), "malformed"),
    "null": (None, "no area"),
    "a line": ({"type": "LineString", "coordinates": SITE}, "no area .*LineString"),
    "a collection": ({"type": "GeometryCollection", "geometries": []}, "no area .*GeometryCollection"),
    "no coordinates": ({"type": "Polygon"}, "malformed"),
    "empty": (polygon(), "invalid"),
}


@pytest.mark.parametrize("case", INVALID)
def test_a_wrong_geometry_is_refused_by_feature_without_its_coordinates(case):
    geometry, message = INVALID[case]
    said = refusal(geometry)
    assert re.search(message, said)
    assert "'camp 7'" in said
    assert not re.search(r"116\.|39\.9|179\.9|84\.99", said)


def test_rings_run_either_way_round_and_holes_are_outside(zone_file):
    for outer in (SITE, SITE[::-1]):
        for hole in (HOLE, HOLE[::-1]):
            zones = ZoneSet.from_geojson(zone_file({"coordinates": [outer, hole], "margin_m": 100.0}))
            lat, lon = [39.95, 39.91, 39.9205], [116.35, 116.31, 116.35]
            for count in (1, 3000):
                hits = zones.test(np.repeat(lat, count), np.repeat(lon, count))
                assert hits.inside.tolist() == np.repeat([False, True, True], count).tolist()


def test_heights_and_byte_order_marks_and_foreign_members_do_no_harm(zone_file):
    plain = json.loads(zone_file({"coordinates": [[[x, y, 50.0] for x, y in SITE]]}))
    plain["reviewed_by"] = "somebody"
    plain["features"][0]["properties"]["note"] = "x"
    name, version, (zone,) = read_zones(b"\xef\xbb\xbf" + json.dumps(plain).encode())
    assert (name, version, zone.shape.has_z) == ("test", 1, False)


@pytest.mark.parametrize("crs", [None, {}, {"properties": []}, {"properties": {"name": "GCJ-02"}}])
def test_another_coordinate_system_is_refused(crs):
    assert "another coordinate system" in refusal(polygon(SITE), crs=crs)


def test_the_coordinate_system_of_the_format_may_be_named(zone_file):
    document = json.loads(zone_file({"coordinates": [SITE]}))
    document["crs"] = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    assert len(read_zones(json.dumps(document).encode())[2]) == 1


def test_members_that_appear_twice_are_refused(zone_file):
    content = zone_file({"coordinates": [SITE]}).replace(b'"version": 1', b'"version": 1, "version": 2')
    with pytest.raises(ZoneFileError, match=r"more than once: \['version'\]"):
        read_zones(content)


def test_ids_that_appear_twice_are_refused(zone_file):
    two = {"coordinates": [SITE], "id": "camp 7"}
    with pytest.raises(ZoneFileError, match=r"'camp 7'.* more than once"):
        read_zones(zone_file(two, {**two, "kind": "HOME"}))


def test_all_kinds_are_known_homes_and_depots_included(zone_file):
    zones = read_zones(zone_file(*({"coordinates": [SITE], "kind": kind.value} for kind in ZoneKind)))[2]
    assert [zone.kind for zone in zones] == list(ZoneKind)
    assert list(ZoneKind)[-2:] == [ZoneKind.DEPOT, ZoneKind.HOME]


def test_drafts_are_known_by_their_names():
    assert is_draft("DRAFT 草案 (OpenStreetMap)")
    assert is_draft(" draft of today")
    assert not is_draft("zones of the operator, formerly a draft")

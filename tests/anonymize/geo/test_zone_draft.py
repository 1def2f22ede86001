import bz2
import gzip
import io
import json
from pathlib import Path

import osmium
import pytest
import shapely

from anonymize.errors import LimitExceededError, MalformedItemError, UnknownFormatError, ZoneFileError
from anonymize.geo.zone_draft import NOTICE_EN, NOTICE_ZH, draft_zones
from anonymize.geo.zone_file import DRAFT_NAME, is_draft
from anonymize.geo.zone_tags import read_tag_table, shipped_tag_table
from anonymize.geo.zones import ZoneKind, ZoneSet

# Around Beijing; node n stands at 116.3 + x / 1000, 39.9 + y / 1000.
NODES = {
    1: (0, 0),
    2: (4, 0),
    3: (4, 4),
    4: (0, 4),
    5: (10, 0),
    6: (14, 0),
    7: (14, 4),
    8: (10, 4),
    11: (1, 1),
    12: (2, 1),
    13: (2, 2),
    14: (1, 2),
    20: (20, 20),
}


def osm(*things: str, nodes: dict[int, tuple[float, float]] = NODES) -> bytes:
    drawn = "".join(
        f'<node id="{n}" lat="{39.9 + y / 1000:.7f}" lon="{116.3 + x / 1000:.7f}" version="1"/>'
        for n, (x, y) in nodes.items()
    )
    return f'<?xml version="1.0"?><osm version="0.6">{drawn}{"".join(things)}</osm>'.encode()


def tags(**given: str) -> str:
    return "".join(f'<tag k="{k.replace("__", ":")}" v="{v}"/>' for k, v in given.items())


def way(number: int, refs: list[int], **given: str) -> str:
    nodes = "".join(f'<nd ref="{ref}"/>' for ref in refs)
    return f'<way id="{number}" version="1">{nodes}{tags(**given)}</way>'


def relation(number: int, members: list[tuple[str, int, str]], **given: str) -> str:
    listed = "".join(f'<member type="{t}" ref="{r}" role="{role}"/>' for t, r, role in members)
    return f'<relation id="{number}" version="1">{listed}{tags(**given)}</relation>'


def drafted(content: bytes):
    draft = draft_zones(io.BytesIO(content))
    zones = ZoneSet.from_geojson(draft.content)
    return {zone.id: zone for zone in zones.zones}, {note.id: note for note in draft.notes}, draft


SQUARE = [1, 2, 3, 4, 1]


def test_an_area_becomes_a_zone_with_its_kind_margin_and_outline():
    zones, notes, draft = drafted(osm(way(123, SQUARE, landuse="military", name="营区")))
    zone = zones["osm-way-123"]
    assert (zone.kind, zone.margin_m) == (ZoneKind.MIL, 200.0)
    assert zone.shape.bounds == pytest.approx((116.3, 39.9, 116.304, 39.904), abs=1e-7)
    assert not notes
    assert draft.zones == {"MIL": 1}
    (feature,) = json.loads(draft.content)["features"]
    assert feature["properties"]["tags"] == {"landuse": "military", "name": "营区"}
    assert shapely.Polygon(feature["geometry"]["coordinates"][0]).exterior.is_ccw


def test_a_draft_says_what_it_is_in_chinese_and_english():
    document = json.loads(drafted(osm())[2].content)
    assert document["name"].startswith(DRAFT_NAME)
    assert document["notice"] == {"zh": NOTICE_ZH, "en": NOTICE_EN}
    assert "草案" in NOTICE_ZH
    assert "only a draft" in NOTICE_EN
    assert "OpenStreetMap contributors" in document["attribution"]
    assert is_draft(document["name"])
    assert not is_draft("zones of the operator")
    assert document["features"] == []


KINDS = {
    ZoneKind.MIL: {"military": "barracks"},
    ZoneKind.DEF_IND: {"man_made": "works", "product": "ammunition"},
    ZoneKind.CUSTODY: {"amenity": "prison"},
    ZoneKind.GOV_COUNTY: {"office": "government"},
    ZoneKind.HAZMAT: {"landuse": "industrial", "industrial": "chemical"},
    ZoneKind.ENERGY: {"power": "plant"},
    ZoneKind.WATER: {"man_made": "water_works"},
    ZoneKind.SPECIAL_RAIL_ROAD: {"railway": "rail", "usage": "military"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_that_a_map_can_tell_is_drafted(kind):
    zones, _, _ = drafted(osm(way(1, SQUARE, **KINDS[kind])))
    assert [zone.kind for zone in zones.values()] == [kind]


def test_the_most_severe_kind_that_fits_is_drafted_once():
    zones, _, _ = drafted(osm(way(1, SQUARE, power="plant", landuse="military", office="government")))
    assert [zone.kind for zone in zones.values()] == [ZoneKind.MIL]


@pytest.mark.parametrize(
    "given",
    [
        {"military": "no"},
        {"landuse": "residential"},
        {"power": "generator", "generator__source": "solar", "location": "roof"},
        {"building": "bunker", "historic": "bunker"},
        {"highway": "bus_stop", "name": "看守所"},
        {"office": "company"},
    ],
)
def test_what_no_rule_fits_is_no_zone(given):
    assert not drafted(osm(way(1, SQUARE, **given)))[0]


def test_names_tell_where_tags_do_not():
    zones, _, _ = drafted(osm(way(1, SQUARE, building="yes", name="某市第一看守所")))
    assert [zone.kind for zone in zones.values()] == [ZoneKind.CUSTODY]


def test_points_and_open_lines_are_widened_and_reported():
    node = '<node id="90" lat="39.95" lon="116.35" version="1"><tag k="amenity" v="prison"/></node>'
    zones, notes, _ = drafted(
        osm(node, way(7, [1, 2], waterway="dam"), way(8, SQUARE, highway="service", access="military"))
    )
    prison = ZoneSet.from_geojson(drafted(osm(node))[2].content)
    assert prison.test(39.95 + (300.0 + 200.0 - 1.0) / 111_034.0, 116.35).inside[0]
    assert not prison.test(39.95 + (300.0 + 200.0 + 8.0) / 111_034.0, 116.35).inside[0]
    dam, ring = zones["osm-way-7"].shape, zones["osm-way-8"].shape
    assert dam.contains(shapely.Point(116.302, 39.9002))
    assert not ring.contains(shapely.Point(116.302, 39.902))
    assert {i: n.problems for i, n in notes.items()} == {
        "osm-node-90": ("point_widened",),
        "osm-way-7": ("line_widened",),
        "osm-way-8": ("line_widened",),
    }
    assert not any(note.left_out for note in notes.values())


def test_an_outline_that_crosses_itself_is_filled_and_reported():
    zones, notes, draft = drafted(osm(way(5, [1, 3, 2, 4, 1], landuse="military")))
    shape = zones["osm-way-5"].shape
    for x, y in ((0.5, 2), (3.5, 2)):
        assert shape.contains(shapely.Point(116.3 + x / 1000, 39.9 + y / 1000))
    assert notes["osm-way-5"].problems == ("outline_repaired",)
    assert json.loads(draft.content)["features"][0]["properties"]["review"] == ["outline_repaired"]


def test_multipolygons_keep_their_holes_and_parts():
    members = [("way", 30, "outer"), ("way", 31, "inner"), ("way", 32, "outer"), ("way", 33, "outer")]
    ways = (way(30, SQUARE), way(31, [11, 12, 13, 14, 11]), way(32, [5, 6, 7]), way(33, [7, 8, 5]))
    zones, notes, _ = drafted(osm(*ways, relation(9, members, type="multipolygon", landuse="military")))
    shape = zones["osm-relation-9"].shape
    assert shape.geom_type == "MultiPolygon"
    assert shape.contains(shapely.Point(116.303, 39.903))
    assert not shape.contains(shapely.Point(116.3015, 39.9015))
    assert shape.contains(shapely.Point(116.312, 39.902))
    assert not notes


def test_what_the_extract_holds_only_in_part_is_drawn_as_far_as_it_goes_and_reported():
    things = (
        way(30, [1, 2, 3, 99, 4, 1], landuse="military"),
        way(31, [5, 6, 7]),
        relation(9, [("way", 31, "outer"), ("way", 77, "outer")], type="multipolygon", amenity="prison"),
        relation(10, [("way", 78, "outer")], type="multipolygon", amenity="prison"),
        way(40, [97, 98, 99], power="plant"),
    )
    zones, notes, draft = drafted(osm(*things))
    assert zones["osm-way-30"].shape.contains(shapely.Point(116.302, 39.901))
    assert zones["osm-relation-9"].shape.contains(shapely.Point(116.313, 39.901))
    assert "partly_in_extract" in notes["osm-way-30"].problems
    assert "partly_in_extract" in notes["osm-relation-9"].problems
    left_out = {"osm-relation-10", "osm-way-40"}
    assert {i for i, note in notes.items() if note.left_out} == left_out
    assert {entry["id"] for entry in json.loads(draft.content)["left_out"]} == left_out
    assert notes["osm-way-40"].problems == ("not_in_extract",)


def test_relations_that_are_no_area_are_drawn_from_their_members():
    members = [("way", 30, ""), ("node", 20, ""), ("way", 31, "")]
    ways = (way(30, SQUARE), way(31, [5, 6]))
    zones, notes, _ = drafted(osm(*ways, relation(9, members, type="site", power="plant")))
    shape = zones["osm-relation-9"].shape
    for x, y in ((2, 2), (20, 20), (12, 0)):
        assert shape.contains(shapely.Point(116.3 + x / 1000, 39.9 + y / 1000))
    assert not shape.contains(shapely.Point(116.308, 39.908))
    assert notes["osm-relation-9"].problems == ("line_widened",)


def test_zones_over_the_antimeridian_or_near_a_pole_are_left_out_and_reported():
    content = b"""<osm version="0.6">
      <node id="1" lat="1" lon="179.99"/><node id="2" lat="1" lon="-179.99"/><node id="3" lat="1.1" lon="-179.99"/>
      <node id="4" lat="89" lon="5"><tag k="amenity" v="prison"/></node>
      <node id="5" lat="1" lon="179.9999"><tag k="amenity" v="prison"/></node>
      <way id="6"><nd ref="1"/><nd ref="2"/><nd ref="3"/><nd ref="1"/><tag k="landuse" v="military"/></way>
    </osm>"""
    zones, notes, _ = drafted(content)
    assert not zones
    assert {i: n.problems[-1] for i, n in notes.items()} == {
        "osm-node-4": "refused",
        "osm-node-5": "refused",
        "osm-way-6": "refused",
    }


def test_pbf_and_compressed_xml_give_the_same_draft(tmp_path: Path):
    content = osm(way(1, SQUARE, landuse="military"), way(2, [5, 6, 7, 8, 5], power="substation"))
    plain = drafted(content)[2]
    path = tmp_path / "extract.osm.pbf"
    with osmium.SimpleWriter(str(path)) as writer:
        for thing in osmium.FileProcessor(osmium.io.FileBuffer(content, "osm")):
            writer.add(thing)
    for encoded in (path.read_bytes(), gzip.compress(content), bz2.compress(content)):
        other = drafted(encoded)[2]
        assert json.loads(other.content)["features"] == json.loads(plain.content)["features"]
        assert other.zones == plain.zones == {"MIL": 1, "ENERGY": 1}


def test_damaged_and_foreign_files_are_refused(tmp_path: Path):
    path = tmp_path / "extract.osm.pbf"
    with osmium.SimpleWriter(str(path)) as writer:
        for thing in osmium.FileProcessor(osmium.io.FileBuffer(osm(way(1, SQUARE, a="b")), "osm")):
            writer.add(thing)
    pbf = path.read_bytes()
    cases = {
        b"": UnknownFormatError,
        b"PK\x03\x04": UnknownFormatError,
        pbf[:-5]: MalformedItemError,
        pbf[:40] + bytes(40): MalformedItemError,
        osm()[:-8]: MalformedItemError,
        gzip.compress(osm())[:-12]: MalformedItemError,
        b"<gpx></gpx>": MalformedItemError,
        b'<osm version="0.6"><node id="1" lat="x" lon="1"/></osm>': MalformedItemError,
    }
    for content, error in cases.items():
        with pytest.raises(error):
            draft_zones(io.BytesIO(content))
    with pytest.raises(LimitExceededError, match="at most 10 bytes"):
        draft_zones(io.BytesIO(pbf), max_bytes=10)
    with pytest.raises(ZoneFileError, match="version"):
        draft_zones(io.BytesIO(osm()), version=0)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("Helsinki.osm.pbf", {"MIL", "GOV_COUNTY", "ENERGY"}),
        ("krems.osm.gz", {"MIL", "GOV_COUNTY", "ENERGY", "WATER"}),
        ("moscow.osm.gz", {"ENERGY"}),
        ("campo-grande.osm.gz", set()),
        ("test.osm.pbf", set()),
    ],
)
def test_real_extracts_give_valid_drafts(name, kinds, shared):
    with (shared / "osm" / name).open("rb") as file:
        draft = draft_zones(file)
    zones = ZoneSet.from_geojson(draft.content)
    assert set(draft.zones) == kinds
    assert sum(draft.zones.values()) == len(zones.zones)
    assert all(zone.id.startswith("osm-") for zone in zones.zones)


def test_the_shipped_table_names_every_kind_but_those_of_the_fleet_itself():
    table = shipped_tag_table()
    assert {rule.kind for rule in table.rules} == set(ZoneKind) - {ZoneKind.DEPOT, ZoneKind.HOME}
    assert all(rule.reference for rule in table.rules)


def test_a_table_of_ones_own_decides():
    table = read_tag_table(
        b"version: 7\nkinds: {DEPOT: {margin_m: 5, point_m: 9, line_m: 3, "
        b"rules: [{has: {amenity: [parking]}, named: [Fleet], margin_m: 50}]}}"
    )
    content = osm(way(1, SQUARE, amenity="parking", name="Fleet yard"), way(2, SQUARE, amenity="parking"))
    draft = draft_zones(io.BytesIO(content), table=table)
    document = json.loads(draft.content)
    assert [f["properties"]["id"] for f in document["features"]] == ["osm-way-1"]
    assert document["features"][0]["properties"]["margin_m"] == 50
    assert document["tag_table_version"] == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "no YAML"),
        (b"[]", "version and kinds"),
        (b"version: 1", "has kinds"),
        (b"version: 1\nkinds: {ZOO: {}}", "unknown kinds .*ZOO"),
        (b"version: 1\nkinds: {MIL: {}}", "rules for MIL"),
        (b"version: 1\nkinds: {MIL: {rules: [{has: {a: [b]}}]}}", "MIL rule 0: margin_m"),
        (
            b"version: 1\nkinds: {MIL: {margin_m: 1, point_m: 0, line_m: 1, rules: [{has: {a: [b]}}]}}",
            "point_m",
        ),
        (b"version: 1\nkinds: {MIL: {rules: [{}]}}", "fits everything"),
        (b"version: 1\nkinds: {MIL: {rules: [{wish: 1}]}}", "unknown members"),
        (b"version: 1\nkinds: {MIL: {rules: [{has: {a: b}}]}}", "list of strings"),
        (b"version: 1\nkinds: {MIL: {rules: [{has: []}]}}", "tags are a mapping"),
    ],
)
def test_malformed_tables_are_refused(content, message):
    with pytest.raises(ZoneFileError, match=message):
        read_tag_table(content)

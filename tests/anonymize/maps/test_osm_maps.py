import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anonymize.geo.zones import ZoneSet
from anonymize.maps.cleanse import MapTreated, cleanse_map, read_graph
from anonymize.maps.residual import scan_cleansed_map
from anonymize.maps.sniff import MapKind
from anonymize.profile import Profile

KINDS = [MapKind.OSM_XML, MapKind.OSM_PBF]


def cleansed(
    content: bytes, kind: MapKind, zones: ZoneSet, profile: Profile, make: Any
) -> tuple[bytes, MapTreated]:
    treated = cleanse_map(make.file(content), kind, zones=zones, profile=profile, crs="EPSG:4326")
    made = b"".join(treated.chunks)
    report = scan_cleansed_map(make.file(made), kind, zones=zones, profile=profile, crs="EPSG:4326")
    assert treated.dropped or report.clean, report.residual
    return made, treated


def town(make: Any) -> tuple[Any, Any, Any]:
    """Nodes by metres north and east; the zone is about the origin."""
    place = make.at
    nodes = {
        10: (*place(1000, 1000), {"highway": "traffic_signals", "ele": "44.1"}),
        11: (*place(1000, 1200), {}),
        12: (*place(1000, 1400), {"man_made": "survey_point", "name": "G7"}),
        20: (*place(0, -500), {}),
        21: (*place(0, 500), {}),
        30: (*place(2000, -2000), {}),
        31: (*place(2000, 2000), {}),
        32: (*place(-2000, 2000), {}),
        33: (*place(-2000, -2000), {}),
        40: (*place(10, 10), {"name": "gate"}),
        50: (*place(3000, 0), {}),
        51: (*place(3000, 100), {"power": "tower"}),
        60: (*place(4000, 4000), {"man_made": "survey_point"}),
    }
    ways = {
        100: (
            [10, 11, 12],
            {
                "highway": "primary",
                "maxheight": "3.5",
                "maxspeed": "50",
                "incline": "4%",
                "name": 'A "1" & <2>\n街',
            },
        ),
        101: ([20, 21], {"highway": "primary", "name": "crosses the zone between its nodes"}),
        102: ([30, 31, 32, 33, 30], {"landuse": "residential", "name": "holds the zone"}),
        103: ([50, 51], {"power": "line", "voltage": "500000"}),
        104: ([30, 31], {}),
        105: ([31, 32, 33, 30], {}),
    }
    relations = {
        200: ([("w", 100, ""), ("w", 101, "")], {"type": "route", "ref": "7"}),
        201: ([("w", 104, "outer"), ("w", 105, "outer")], {"type": "multipolygon", "landuse": "forest"}),
        202: ([("w", 101, "from"), ("n", 11, "via"), ("w", 100, "to")], {"type": "restriction"}),
        203: ([("w", 999, "outer"), ("w", 100, "outer")], {"type": "boundary", "name": "incomplete"}),
    }
    return nodes, ways, relations


@pytest.mark.parametrize("kind", KINDS)
def test_rules_zones_ids_and_editors_are_taken_out_of_osm_data_and_all_else_stays(
    kind: MapKind, make: Any, zones: ZoneSet, profile: Profile
) -> None:
    made, treated = cleansed(make.ENCODERS[kind](*town(make)), kind, zones, profile, make)
    left = make.osm_features(made, kind)
    assert list(left["n"].values()) == [
        (make.at(1000, 1000), {"highway": "traffic_signals"}, ("", 0, 0, 0, 0.0)),
        (make.at(1000, 1200), {}, ("", 0, 0, 0, 0.0)),
        (make.at(1000, 1400), {}, ("", 0, 0, 0, 0.0)),
    ]
    assert [(body, tags) for body, tags, _ in left["w"].values()] == [
        ([1, 2, 3], {"highway": "primary", "maxspeed": "50", "incline": "4%", "name": 'A "1" & <2>\n街'})
    ]
    assert [(body, tags) for body, tags, _ in left["r"].values()] == [
        ([("w", 1, "")], {"type": "route", "ref": "7"})
    ]
    assert b"zhangsan" not in made
    assert treated.tags == ("ELEV", "LIMIT_HWW", "MIL", "SLOPE_CURV")
    assert [(r.feature, r.key, r.tag) for r in treated.reviews] == [("way/1", "incline", "SLOPE_CURV")]
    assert treated.facts["features_in"] == {"node": 13, "way": 6, "relation": 4}
    assert treated.facts["features_out"] == {"node": 3, "way": 1, "relation": 1}
    assert treated.facts["attributes_nulled_by_key"]["maxheight"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_without_zones_areas_and_roads_stay(
    kind: MapKind, make: Any, no_zones: ZoneSet, profile: Profile
) -> None:
    made, treated = cleansed(make.ENCODERS[kind](*town(make)), kind, no_zones, profile, make)
    left = make.osm_features(made, kind)
    names = {tags.get("name") for _, tags, _ in (*left["w"].values(), *left["r"].values())}
    assert {"holds the zone", "crosses the zone between its nodes", "incomplete"} <= names
    assert treated.facts["losses"]["members_missing"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_way_with_unknown_nodes_keeps_its_longest_known_stretch_and_loses_its_area(
    kind: MapKind, make: Any, no_zones: ZoneSet, profile: Profile
) -> None:
    nodes = {i: (*make.at(1000, 100 * i), {}) for i in range(1, 6)}
    ways = {
        1: ([1, 900, 2, 3, 4, 901], {"highway": "primary"}),
        2: ([2, 3, 902, 2], {"building": "yes"}),
        3: ([5, 903], {"highway": "service"}),
    }
    made, treated = cleansed(make.ENCODERS[kind](nodes, ways, {}), kind, no_zones, profile, make)
    left = make.osm_features(made, kind)
    assert [(len(body), tags) for body, tags, _ in left["w"].values()] == [(3, {"highway": "primary"})]
    assert treated.facts["losses"]["node_references_missing"] == 4


def test_a_map_that_lies_within_a_zone_is_dropped_whole(make: Any, zones: ZoneSet, profile: Profile) -> None:
    nodes = {1: (*make.at(0, 0), {"name": "a"}), 2: (*make.at(5, 5), {})}
    made, treated = cleansed(
        make.osm_xml(nodes, {1: ([1, 2], {})}, {}), MapKind.OSM_XML, zones, profile, make
    )
    assert treated.dropped
    assert made == b""


def test_a_profile_that_keeps_only_named_features_drops_the_others(
    make: Any, no_zones: ZoneSet, profile: Profile
) -> None:
    from dataclasses import replace  # noqa: PLC0415

    strict = replace(profile, maps=replace(profile.maps, keep_untagged=False))
    made, _ = cleansed(make.osm_pbf(*town(make)), MapKind.OSM_PBF, no_zones, strict, make)
    left = make.osm_features(made, MapKind.OSM_PBF)
    # A way named by rules, and those that its relations need.
    assert [tags.get("maxspeed") for _, tags, _ in left["w"].values()] == ["50"]


def test_attributes_that_hold_positions_go(make: Any, no_zones: ZoneSet, profile: Profile) -> None:
    tags = {
        "note": "seen at 39.91234, 116.31234",
        "inscription": "LONGITUD 24 56' 8\" x LATITUD 60 10' 8\"",
        "lat": "39.9",
        "name": "Line 4.10 to 5.20",
    }
    made, _ = cleansed(
        make.osm_xml({1: (*make.at(1000, 0), tags)}, {}, {}), MapKind.OSM_XML, no_zones, profile, make
    )
    ((_, left, _),) = make.osm_features(made, MapKind.OSM_XML)["n"].values()
    assert left == {"name": "Line 4.10 to 5.20"}


@pytest.mark.parametrize("name", ["test.osm.pbf", "moscow.osm.gz"])
def test_real_extracts_pass_whole_with_a_zone_in_their_middle(
    name: str, osm_samples: Path, make: Any, profile: Profile
) -> None:
    content, kind = (osm_samples / name).read_bytes(), MapKind.OSM_PBF
    if name.endswith(".gz"):
        content, kind = gzip.decompress(content), MapKind.OSM_XML
    graph = read_graph(make.file(content), kind, profile=profile.maps, crs="EPSG:4326")
    lat, lon = (float(np.median(v)) for v in graph.positions())
    made, treated = cleansed(content, kind, make.zone_set((lat, lon, 150.0)), profile, make)
    left = make.osm_features(made, kind)
    assert treated.facts["zone_hits"]["MIL"] > 10
    assert len(left["w"]) > 0.8 * len(graph.way_nodes)
    assert all(edited == ("", 0, 0, 0, 0.0) for group in left.values() for _, _, edited in group.values())
    known = set(left["n"])
    assert all(set(body) <= known for body, _, _ in left["w"].values())

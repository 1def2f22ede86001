import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.geo.crs import from_wgs84
from anonymize.geo.zones import ZoneSet
from anonymize.maps.cleanse import MapTreated, cleanse_map
from anonymize.maps.geojson_stream import index_features
from anonymize.maps.residual import scan_cleansed_map
from anonymize.maps.sniff import MapKind
from anonymize.profile import Profile

GEOJSON = MapKind.GEOJSON


def cleansed(
    content: bytes, zones: ZoneSet, profile: Profile, make: Any, crs: str = "EPSG:4326"
) -> tuple[Any, MapTreated]:
    treated = cleanse_map(make.file(content), GEOJSON, zones=zones, profile=profile, crs=crs)
    made = b"".join(treated.chunks)
    if treated.dropped:
        return None, treated
    report = scan_cleansed_map(make.file(made), GEOJSON, zones=zones, profile=profile, crs=crs)
    assert report.clean, report.residual
    return json.loads(made), treated


def test_features_that_meet_a_zone_go_whole_and_areas_that_hold_one_too(
    make: Any, zones: ZoneSet, profile: Profile
) -> None:
    content = make.collection(
        make.line((0, -900), (0, 900), name="crosses between its vertices"),
        make.line((120, 900), (120, -900), name="within the margin"),
        make.feature("Polygon", [make.ring(make.LAT, make.LON, 5000.0)], name="holds the zone"),
        make.feature("Point", [make.LON, make.LAT], name="inside"),
        make.line((500, -900), (500, 900), name="beside"),
        make.feature("MultiPoint", [[make.LON, make.LAT], [116.5, 39.95]], name="one of two inside"),
        {"type": "Feature", "geometry": None, "properties": {"name": "nowhere"}},
    )
    document, treated = cleansed(content, zones, profile, make)
    assert [f["properties"]["name"] for f in document["features"]] == ["beside", "nowhere"]
    assert treated.facts["zone_hits"] == {"MIL": 5}
    assert treated.tags == ("MIL",)


def test_rules_reach_nested_packed_and_listed_attributes_in_english_and_chinese(
    make: Any, no_zones: ZoneSet, profile: Profile
) -> None:
    content = make.collection(
        make.line(
            (0, 0),
            (9, 9),
            限高=4.2,
            ＭａｘＷｅｉｇｈｔ="10",
            限速=60,
            坡度="3%",
            signs=[{"kind": "speed", "axle_load": 5}],
            limits={"height_limit": 3.5, "lanes": 2},
            other_tags='"maxwidth"=>"3","surface"=>"asphalt","lanes"=>"2"',
            tags='{"maxheight":"4","oneway":true}',
            attributes="neither of both",
            name="中关村大街",
        )
    )
    document, treated = cleansed(content, no_zones, profile, make)
    assert document["features"][0]["properties"] == {
        "限速": 60,
        "坡度": "3%",
        "signs": [{"kind": "speed"}],
        "limits": {"lanes": 2},
        "other_tags": '"lanes"=>"2"',
        "tags": '{"oneway":true}',
        "name": "中关村大街",
    }
    assert [(r.feature, r.key) for r in treated.reviews] == [("feature/1", "坡度")]


def test_elevations_editors_foreign_members_and_repeated_positions_go(
    make: Any, no_zones: ZoneSet, profile: Profile
) -> None:
    road = {
        **make.feature(
            "LineString",
            [[116.3, 39.9, 44.0], [116.4, 39.9, 45.0, 7.0]],
            id="way/7",
            user="zhangsan",
            changeset=5,
            lat=39.9,
            loc=[116.312345, 39.912345],
            wkt="POINT (116.3 39.9)",
            osm_id=123456789,
            lanes=2,
        ),
        "bbox": [116.3, 39.9, 116.4, 39.9],
        "author": "zhangsan",
    }
    document, treated = cleansed(
        make.collection(road, name="map of zhangsan", bbox=[116.3, 39.9, 116.4, 39.9]),
        no_zones,
        profile,
        make,
    )
    assert document == {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": 1,
                "geometry": {"type": "LineString", "coordinates": [[116.3, 39.9], [116.4, 39.9]]},
                "properties": {"osm_id": 2, "lanes": 2},
            }
        ],
    }
    assert {f.kind.value for f in treated.findings} == {"elevation", "metadata", "position", "unlisted_field"}


def test_ids_are_numbered_anew_and_references_follow_them(
    make: Any, zones: ZoneSet, profile: Profile
) -> None:
    content = make.collection(
        make.line((900, 0), (900, 9), id="lane-a", successor_id="lane-b", left=None),
        make.line((900, 9), (900, 20), id="lane-b", predecessor_ids=["lane-a", "lane-gone"], road_class_id=3),
        make.line((0, 0), (0, 9), id="lane-gone"),
        make.line((800, 0), (800, 9), id="lane-c", successor_id="lane-gone", external_id="foreign-4711"),
    )
    document, _ = cleansed(content, zones, profile, make)
    assert [(f["id"], f["properties"]) for f in document["features"]] == [
        (1, {"successor_id": 2, "left": None}),
        (2, {"predecessor_ids": [1], "road_class_id": 3}),
        (3, {}),
    ]


def test_what_no_rule_names_is_value_identical(make: Any, no_zones: ZoneSet, profile: Profile) -> None:
    properties = {"a": 1, "b": 1.5e-7, "c": [1, [2, None]], "d": {"e": True}, "f": '\u2028"\\ \n', "g": -0.0}
    area = make.feature(
        "MultiPolygon", [[make.ring(39.9, 116.3, 50.0)], [make.ring(39.95, 116.3, 50.0)]], **properties
    )
    group = {
        "type": "Feature",
        "geometry": {
            "type": "GeometryCollection",
            "geometries": [
                {"type": "Point", "coordinates": [1, 2]},
                {"type": "MultiLineString", "coordinates": [[[1, 2], [3, 4]]]},
            ],
        },
        "properties": {},
    }
    document, _ = cleansed(make.collection(area, group), no_zones, profile, make)
    assert document["features"] == [area, group]


def test_zones_are_tested_on_true_positions_where_a_map_is_in_gcj_02(
    make: Any, zones: ZoneSet, profile: Profile
) -> None:
    lat, lon = from_wgs84([make.LAT], [make.LON], "GCJ-02")
    inside = make.feature("Point", [float(lon[0]), float(lat[0])], name="in")
    seeming = make.feature("Point", [make.LON, make.LAT], name="out")
    document, _ = cleansed(make.collection(inside, seeming), zones, profile, make, crs="GCJ-02")
    assert [f["properties"]["name"] for f in document["features"]] == ["out"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=6), st.one_of(st.text(max_size=12), st.integers(), st.booleans()), max_size=3
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([None, 1, 2]),
)
def test_the_index_finds_every_feature_whatever_its_strings_hold(
    properties: list[dict[str, Any]], indent: int | None
) -> None:
    import io  # noqa: PLC0415

    features = [{"type": "Feature", "geometry": None, "properties": p} for p in properties]
    content = json.dumps(
        {"type": "FeatureCollection", "features": features, "n": '"features":['}, indent=indent
    )
    source = io.BytesIO(content.encode())
    index = index_features(source, max_features=10)
    assert [index.read(source, n) for n in range(len(index))] == features


def test_the_index_reads_strings_across_blocks(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anonymize.maps.geojson_stream._BLOCK_BYTES", 7)
    features = [make.feature("Point", [1.25, 2.5], note='a "]}[{\\" b' * n) for n in range(5)]
    source = make.file(make.collection(*features))
    index = index_features(source, max_features=10)
    assert [index.read(source, n) for n in range(len(index))] == features

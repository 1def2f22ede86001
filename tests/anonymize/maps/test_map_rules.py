from dataclasses import replace
from typing import Any

import pytest

from anonymize.maps.rules import (
    AttributeRules,
    holds_position,
    is_editor_key,
    is_identity_key,
    is_position_key,
)
from anonymize.maps.sniff import is_opendrive_root, is_osm_pbf, is_osm_root, is_vector_map
from anonymize.profile import Profile, shipped_profile

CHINA = {
    "LIMIT_HWW": [
        "maxheight",
        "maxheight:physical",
        "maxwidth",
        "maxaxleload",
        "限高",
        "限宽",
        "限轴重",
        "净空",
        "bridge:structure",
    ],
    "BRIDGE_LOAD": ["maxweight", "maxweight:hgv", "限重", "荷载等级", "load_capacity"],
    "ELEV": ["ele", "height", "高程", "海拔", "contour", "altitude", "building:height"],
    "SLOPE_CURV": ["incline", "slope", "坡度", "曲率", "curvature", "superelevation"],
}
NULLED = [
    "voltage",
    "电压等级",
    "surface",
    "路面材质",
    "depth",
    "水深",
    "dam:height",
    "坝高",
    "库容",
    "lock:width",
    "通航能力",
]
DROPPED = [
    ("power", "line"),
    ("power", "minor_line"),
    ("power", "cable"),
    ("military", "barracks"),
    ("landuse", "military"),
    ("amenity", "prison"),
    ("man_made", "pipeline"),
    ("man_made", "survey_point"),
    ("communication", "line"),
    ("类型", "高压线"),
    ("natural", "contour"),
]
KEPT = [
    ("highway", "primary"),
    ("maxspeed", "50"),
    ("限速", "60"),
    ("lanes", "2"),
    ("name", "长安街"),
    ("oneway", "yes"),
    ("traffic_calming", "bump"),
    ("bridge", "yes"),
    ("tunnel", "yes"),
    ("layer", "1"),
    ("building:levels", "6"),
    ("natural", "water"),
]


@pytest.mark.parametrize(("tag", "key"), [(tag, key) for tag, keys in CHINA.items() for key in keys])
def test_the_chinese_profile_names_what_compliance_names(tag: str, key: str, profile: Profile) -> None:
    hit = AttributeRules(profile.maps).meeting(key, ["4"])
    assert hit is not None
    assert hit.rule.tag == tag
    assert hit.rule.action == ("review" if tag == "SLOPE_CURV" else "drop" if key == "contour" else "null")


@pytest.mark.parametrize("key", NULLED)
def test_attributes_of_compliance_b1_and_b3_are_nulled(key: str, profile: Profile) -> None:
    hit = AttributeRules(profile.maps).meeting(key, ["4"])
    assert hit is not None
    assert hit.rule.action == "null"


@pytest.mark.parametrize(("key", "value"), DROPPED)
def test_objects_of_compliance_b1_b2_and_b4_are_dropped(key: str, value: str, profile: Profile) -> None:
    hit = AttributeRules(profile.maps).meeting(key, [value])
    assert hit is not None
    assert hit.rule.action == "drop"


@pytest.mark.parametrize(("key", "value"), KEPT)
def test_what_roads_are_made_of_is_kept(key: str, value: str, profile: Profile) -> None:
    hit = AttributeRules(profile.maps).meeting(key, [value])
    assert hit is None or hit.rule.action == "keep"


@pytest.mark.parametrize(
    "key", ["phone", "contact:email", "addr:housenumber", "owner", "姓名", "车牌号", "ele"]
)
def test_the_european_profile_names_personal_data(key: str) -> None:
    rules = AttributeRules(shipped_profile("gdpr").profile.maps)
    hit = rules.meeting(key, ["x"])
    assert hit is not None
    assert hit.rule.action == "null"
    assert rules.meeting("maxheight", ["3.5"]) is None


@pytest.mark.parametrize("name", ["cn-2026", "gdpr"])
def test_every_rule_tells_its_source(name: str) -> None:
    for rule in shipped_profile(name).profile.maps.attributes:
        assert rule.source
        assert rule.confidence in {"L", "L2", "M", "m"}


def test_the_first_rule_decides_and_full_width_letters_are_letters(profile: Profile) -> None:
    rules = AttributeRules(profile.maps)
    hit = rules.meeting(" ＭＡＸＳＰＥＥＤ", ["50"])
    assert hit is not None
    assert (hit.index, hit.rule.action) == (0, "keep")


def test_a_profile_that_keeps_elevations_keeps_them_in_attributes(profile: Profile) -> None:
    assert AttributeRules(replace(profile.maps, keep_elevation=True)).meeting("ele", ["44"]) is None


def test_names_of_editors_ids_and_positions_are_told() -> None:
    assert all(
        map(
            is_editor_key,
            ["@user", "uid", "changeset", "created_by", "last_edited_user", "EditDate", "lastEditedUser"],
        )
    )
    assert not any(map(is_editor_key, ["name", "highway", "user_group", "survey:date"]))
    assert all(map(is_identity_key, ["id", "@id", "OBJECTID", "osm_id", "osmId", "fid"]))
    assert not any(map(is_identity_key, ["grid", "solid", "road_class_id", "ref"]))
    assert all(
        map(
            is_position_key,
            [
                "lat",
                "Longitude",
                "start_lon",
                "center_x",
                "经度",
                "geom",
                "bbox",
                "utm_easting",
                "startLon",
                "centerY",
                "long",
            ],
        )
    )
    assert not any(
        map(
            is_position_key,
            ["lanes", "translation", "platform", "salon", "next", "lateral", "plate", "long_name"],
        )
    )
    assert all(
        map(holds_position, ["39.9123, 116.3123", "#map=17/39.9042/116.4074", "39°54′", "N 60 10' 8\""])
    )
    assert not any(
        map(holds_position, ["3.5 t", "2020-01-02", "10.5;11.5", "v1.2.3 4.5.6", "Mo-Fr 08:00-18:00"])
    )


def track(make: Any, **properties: Any) -> dict[str, Any]:
    return make.line((0, 0), (100, 100), **properties)


def document(*features: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def test_a_drive_is_a_track(make: Any) -> None:
    point = make.feature("Point", [116.3, 39.9], time="2024-01-01T00:00:00Z", speed=3.0, segment=0)
    assert not is_vector_map(
        document(track(make, coordTimes=["2024-01-01T00:00:00Z", "2024-01-01T00:00:01Z"]))
    )
    assert not is_vector_map(document(point, point))
    assert not is_vector_map(document(track(make), track(make)))
    assert not is_vector_map(document(track(make, name="drive", time="2024-01-01", vehicle_id="v1")))
    assert not is_vector_map({"type": "LineString", "coordinates": [[116.3, 39.9], [116.4, 39.9]]})
    assert not is_vector_map({"a": 1})


def test_roads_signs_and_areas_are_a_map(make: Any) -> None:
    assert is_vector_map(document(make.feature("Polygon", [make.ring(39.9, 116.3, 10)])))
    assert is_vector_map(document(track(make, highway="primary")))
    assert is_vector_map(document(make.feature("Point", [116.3, 39.9], traffic_sign="maxheight")))
    assert is_vector_map(document(*[track(make)] * 17))
    assert is_vector_map(document(track(make), make.feature("Point", [116.3, 39.9])))
    assert is_vector_map(document(track(make, 限高=4)))


def test_kinds_are_told_by_their_beginning(make: Any) -> None:
    content = make.osm_pbf({1: (39.9, 116.3, {})}, {}, {})
    assert is_osm_pbf(content[:64])
    assert not is_osm_pbf(content[1:65])
    assert not is_osm_pbf(b"")
    assert is_osm_root("osm")
    assert is_opendrive_root("OpenDRIVE")

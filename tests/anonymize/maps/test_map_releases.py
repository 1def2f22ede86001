import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from anonymize.errors import LimitExceededError, ProfileError
from anonymize.geo.offset import KeyedOffset
from anonymize.maps.residual import scan_cleansed_map, scan_released_map
from anonymize.maps.sniff import MapKind
from anonymize.maps.unlink import MapUnlinked, unlink_map
from anonymize.profile import Profile

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


def city(kind: MapKind, make: Any, count: int = 60, scale: float = 1.0) -> bytes:
    """``count`` named roads of three vertices."""
    places = make.spread(3 * count) * scale
    if kind is MapKind.GEOJSON:
        return make.collection(
            *(
                make.line(
                    *map(tuple, places[3 * i : 3 * i + 3]), id=i, name=f"road {i}", next_id=(i + 1) % count
                )
                for i in range(count)
            )
        )
    nodes = {i + 1: (*make.at(*p), {}) for i, p in enumerate(places)}
    ways = {i + 1: ([3 * i + 1, 3 * i + 2, 3 * i + 3], {"name": f"road {i}"}) for i in range(count)}
    return make.ENCODERS[kind](nodes, ways, {1: ([("w", 1, "a"), ("w", 2, "b")], {"type": "route"})})


def released(
    content: bytes, kind: MapKind, make: Any, profile: Profile, *, key: bytes = KEY, mode: Any = "OFFSET"
) -> tuple[bytes, MapUnlinked]:
    offset = KeyedOffset(key, profile.tracks) if mode == "OFFSET" else None
    made = unlink_map(
        make.file(content),
        kind,
        mode=mode,
        offset=offset,
        key=key,
        context=b"item",
        profile=profile,
        crs="EPSG:4326",
    )
    out = b"".join(made.chunks)
    report = scan_released_map(
        make.file(out),
        kind,
        source_lat=made.source_lat,
        source_lon=made.source_lon,
        mode=mode,
        profile=profile,
    )
    assert report.clean, report.residual
    return out, made


def roads(content: bytes, kind: MapKind, make: Any) -> dict[str, tuple[int, list[tuple[float, float]]]]:
    """Id and positions of each road by name."""
    if kind is MapKind.GEOJSON:
        found = json.loads(content)["features"]
        return {
            f["properties"]["name"]: (f["id"], [(y, x) for x, y in f["geometry"]["coordinates"]])
            for f in found
        }
    read = make.osm_features(content, kind)
    return {
        tags["name"]: (number, [read["n"][n][0] for n in nodes])
        for number, (nodes, tags, _) in read["w"].items()
    }


@pytest.mark.parametrize("kind", [MapKind.GEOJSON, MapKind.OSM_XML, MapKind.OSM_PBF])
def test_every_vertex_moves_by_the_offset_of_the_release_and_shapes_stay_joined(
    kind: MapKind, make: Any, profile: Profile
) -> None:
    content = city(kind, make)
    out, made = released(content, kind, make, profile)
    before, after = roads(content, kind, make), roads(out, kind, make)
    assert set(before) == set(after)
    for name, (_, places) in before.items():
        lat, lon = KeyedOffset(KEY, profile.tracks).displace(*np.array(places).T)
        assert np.abs(np.array(after[name][1]) - np.column_stack([lat, lon])).max() < 1e-7
    assert made.facts["min_shift_m"] >= profile.tracks.offset_min_shift_m


@pytest.mark.parametrize("kind", [MapKind.GEOJSON, MapKind.OSM_XML, MapKind.OSM_PBF])
def test_two_releases_share_no_id_and_no_order_and_one_repeats_to_the_byte(
    kind: MapKind, make: Any, profile: Profile
) -> None:
    content = city(kind, make)
    first, _ = released(content, kind, make, profile)
    again, _ = released(content, kind, make, profile)
    second, _ = released(content, kind, make, profile, key=OTHER)
    assert first == again
    a, b, source = (roads(c, kind, make) for c in (first, second, content))
    assert not {i for i, _ in a.values()} & {i for i, _ in b.values()}
    order_a, order_b, order = (list(r) for r in (a, b, source))
    assert sum(x == y for x, y in zip(order_a, order_b, strict=True)) < 8
    assert sum(x == y for x, y in zip(order_a, order, strict=True)) < 8


def test_references_follow_the_ids_of_a_release(make: Any, profile: Profile) -> None:
    out, _ = released(city(MapKind.GEOJSON, make), MapKind.GEOJSON, make, profile)
    features = json.loads(out)["features"]
    name = {f["id"]: int(f["properties"]["name"].split()[1]) for f in features}
    assert all(name[f["properties"]["next_id"]] == (name[f["id"]] + 1) % 60 for f in features)


@pytest.mark.parametrize("kind", [MapKind.GEOJSON, MapKind.OSM_XML, MapKind.OSM_PBF])
def test_a_small_map_keeps_its_shape_in_a_frame_without_a_place(
    kind: MapKind, make: Any, profile: Profile
) -> None:
    content = city(kind, make, count=4, scale=0.03)
    out, made = released(content, kind, make, profile, mode="LOCAL")
    turned, _ = released(content, kind, make, profile, mode="LOCAL", key=OTHER)
    before, after, other = (roads(c, kind, make) for c in (content, out, turned))
    east, north = 111_320.0 * np.cos(np.radians(make.LAT)), 111_035.0
    for name, (_, places) in before.items():
        true = np.diff(np.array(places), axis=0) * [north, east]
        local = np.diff(np.array(after[name][1]), axis=0) * [110_574.3, 111_319.5]
        assert np.hypot(*local.T) == pytest.approx(np.hypot(*true.T), rel=2e-3, abs=0.05)
        assert not np.allclose(after[name][1], other[name][1], atol=1e-5)
    assert "min_shift_m" not in made.facts


def test_a_map_wider_than_a_clip_has_no_place_in_local_mode(make: Any, profile: Profile) -> None:
    with pytest.raises(LimitExceededError, match="wider than a clip"):
        released(city(MapKind.OSM_PBF, make), MapKind.OSM_PBF, make, profile, mode="LOCAL")


def test_two_antipodal_points_are_not_taken_for_a_small_map(make: Any, profile: Profile) -> None:
    content = make.collection(make.feature("Point", [10.0, 10.0]), make.feature("Point", [-170.0, -10.0]))
    with pytest.raises(LimitExceededError, match="wider than a clip"):
        released(content, MapKind.GEOJSON, make, profile, mode="LOCAL")


def test_offset_mode_without_a_displacement_is_refused(make: Any, profile: Profile) -> None:
    with pytest.raises(ProfileError, match="with a displacement of its mode"):
        unlink_map(
            make.file(city(MapKind.OSM_XML, make)),
            MapKind.OSM_XML,
            mode="OFFSET",
            offset=None,
            key=KEY,
            context=b"",
            profile=profile,
            crs="EPSG:4326",
        )


def test_a_map_that_stays_near_its_place_is_refused(make: Any, profile: Profile) -> None:
    still = replace(profile, tracks=replace(profile.tracks, offset_min_shift_m=5000.0))
    with pytest.raises(LimitExceededError, match="near its place"):
        released(city(MapKind.OSM_XML, make), MapKind.OSM_XML, make, still)


LEAKS = {
    "editor": lambda xml: xml.replace(b"<node id", b'<node user="zhangsan" id', 1),
    "comment": lambda xml: xml.replace(b"</osm>", b"<!-- 39.9 --></osm>"),
    "bounds": lambda xml: xml.replace(b" <node", b' <bounds minlat="39.9"/>\n <node', 1),
    "limit": lambda xml: xml.replace(b'k="name"', b'k="maxheight"', 1),
    "chinese limit": lambda xml: xml.replace(b'k="name"', 'k="限高"'.encode(), 1),
    "elevation": lambda xml: xml.replace(b'k="name"', b'k="ele"', 1),
    "dropped kind": lambda xml: xml.replace(b'k="name" v="road 1"', b'k="power" v="line"', 1),
    "ids": lambda xml: xml.replace(b'<way id="1"', b'<way id="90"', 1),
    "truncated": lambda xml: xml[: len(xml) // 2],
    "trailing": lambda xml: xml + b"39.9,116.3\n",
}


@pytest.mark.parametrize("leak", LEAKS)
def test_the_scan_of_osm_xml_finds_what_the_writer_would_not_write(
    leak: str, make: Any, no_zones: Any, profile: Profile
) -> None:
    from anonymize.maps.cleanse import cleanse_map  # noqa: PLC0415

    kind = MapKind.OSM_XML
    clean = b"".join(
        cleanse_map(
            make.file(city(kind, make)), kind, zones=no_zones, profile=profile, crs="EPSG:4326"
        ).chunks
    )
    spoiled = LEAKS[leak](clean)
    assert spoiled != clean
    for content, expected in ((clean, True), (spoiled, False)):
        report = scan_cleansed_map(make.file(content), kind, zones=no_zones, profile=profile, crs="EPSG:4326")
        assert report.clean is expected


def test_the_scan_of_pbf_finds_editors_and_rules_in_what_osmium_wrote(
    make: Any, no_zones: Any, profile: Profile
) -> None:
    content = make.osm_pbf({1: (39.9, 116.3, {"maxheight": "3"})}, {2: ([1, 1], {})}, {})
    report = scan_cleansed_map(
        make.file(content), MapKind.OSM_PBF, zones=no_zones, profile=profile, crs="EPSG:4326"
    )
    assert {(f.kind.value, f.where.path) for f in report.residual} >= {  # type: ignore[union-attr]
        ("metadata", "editor metadata or unknown field"),
        ("map_attribute", "attributes/maxheight"),
    }


def test_the_scan_finds_positions_in_zones_and_unmoved_ones(make: Any, zones: Any, profile: Profile) -> None:
    content = (
        b'{"type":"FeatureCollection","features":[\n{"type":"Feature","geometry":{"type":"Point",'
        b'"coordinates":[116.3,39.9,5]},"properties":{"id":"way/7","note":"39.9000,116.3000"}}\n]}\n'
    )
    kind = MapKind.GEOJSON
    report = scan_cleansed_map(make.file(content), kind, zones=zones, profile=profile, crs="EPSG:4326")
    assert {f.kind.value for f in report.residual} == {"restricted_zone", "elevation", "metadata", "position"}
    true = (np.array([39.9]), np.array([116.3]))
    out = scan_released_map(
        make.file(content), kind, source_lat=true[0], source_lon=true[1], mode="OFFSET", profile=profile
    )
    assert {"near its true place", "near a true place"} <= {f.label for f in out.residual}

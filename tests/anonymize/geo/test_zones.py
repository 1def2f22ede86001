import json

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import MalformedItemError, ZoneFileError
from anonymize.geo.crs import geodesic_m
from anonymize.geo.zone_raster import ZoneRaster
from anonymize.geo.zones import ZoneKind, ZoneSet

REFUSED = {
    "no JSON": (b"{", "no JSON"),
    "not UTF-8": (b"\xff", "no JSON"),
    "no collection": (b'{"type": "Feature"}', "FeatureCollection"),
    "no version": (b'{"type":"FeatureCollection","name":"n","features":[]}', "version .*None"),
    "version zero": (b'{"type":"FeatureCollection","name":"n","version":0,"features":[]}', "version .*0"),
    "version true": (
        b'{"type":"FeatureCollection","name":"n","version":true,"features":[]}',
        "version .*True",
    ),
    "no name": (b'{"type":"FeatureCollection","version":1,"features":[]}', "name .*None"),
    "no features": (b'{"type":"FeatureCollection","name":"n","version":1}', "features .*None"),
    "null feature": (b'{"type":"FeatureCollection","name":"n","version":1,"features":[null]}', "feature 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_malformed_zone_files_are_refused(case):
    content, message = REFUSED[case]
    with pytest.raises(ZoneFileError, match=message):
        ZoneSet.from_geojson(content)


def test_malformed_zones_are_refused_by_name(square, zone_file):
    good = square(39.9, 116.3, 100.0)
    bow_tie = [[[116.0, 39.0], [116.1, 39.1], [116.1, 39.0], [116.0, 39.1], [116.0, 39.0]]]
    cases = {
        "unknown kind .*'ZOO'": {"coordinates": good, "kind": "ZOO"},
        "margin_m .*-1": {"coordinates": good, "margin_m": -1},
        "margin_m .*None": {"coordinates": good, "margin_m": None},
        "margin_m .*True": {"coordinates": good, "margin_m": True},
        "id is a non-empty string": {"coordinates": good, "id": ""},
        "'zone-0'.*Self-intersection": {"coordinates": bow_tie},
        "'zone-0'.*malformed": {"coordinates": [[[116.0, 39.0]]]},
        "'zone-0'.*invalid": {"coordinates": []},
        "no area": {"coordinates": [116.0, 39.0], "type": "Point"},
        "out of range": {"coordinates": square(89.0, 10.0, 100.0)},
        "antimeridian": {"coordinates": [[[-179.9, 1], [179.9, 1], [179.9, 2], [-179.9, 2], [-179.9, 1]]]},
        "its margin": {"coordinates": square(10.0, 179.99, 100.0), "margin_m": 5000.0},
    }
    for message, zone in cases.items():
        with pytest.raises(ZoneFileError, match=message):
            ZoneSet.from_geojson(zone_file(zone))
    with pytest.raises(ZoneFileError, match=r"'a'.* more than once"):
        ZoneSet.from_geojson(zone_file({"coordinates": good, "id": "a"}, {"coordinates": good, "id": "a"}))


def test_an_empty_file_is_an_empty_set():
    zones = ZoneSet.from_geojson(b'{"type":"FeatureCollection","name":"n","version":3,"features":[]}')
    assert (zones.empty, zones.version, zones.name) == (True, 3, "n")
    for count in (1, 10_000):
        assert not zones.test(np.zeros(count), np.zeros(count)).inside.any()


@pytest.mark.parametrize("lat", [-60.0, 0.0, 39.9, 70.0])
def test_margins_are_metres_on_the_ground_and_rounded_outwards(lat, square, zone_file):
    zones = ZoneSet.from_geojson(zone_file({"coordinates": square(lat, 10.0, 50.0), "margin_m": 500.0}))
    corner_lat, corner_lon = zones.zones[0].shape.exterior.coords[2][::-1]
    for azimuth in np.linspace(0.0, np.pi / 2.0, 7):
        for distance, expected in ((499.9, True), (503.0, False)):
            north, east = distance * np.cos(azimuth), distance * np.sin(azimuth)
            at = (
                corner_lat + north / 111_200.0,
                corner_lon + east / (111_200.0 * np.cos(np.radians(corner_lat))),
            )
            true, _ = geodesic_m(corner_lat, corner_lon, *at)
            stretched = distance / float(true)
            at = (
                corner_lat + (at[0] - corner_lat) * stretched,
                corner_lon + (at[1] - corner_lon) * stretched,
            )
            assert zones.test(*at).inside[0] == expected
    assert zones.test(corner_lat + 0.02, 10.0, extra_margin_m=2500.0).inside[0]


def test_borders_belong_to_the_zone(square, zone_file):
    zones = ZoneSet.from_geojson(zone_file({"coordinates": square(39.9, 116.3, 1000.0)}))
    ring = np.array(zones.zones[0].shape.exterior.coords)
    assert zones.test(ring[:, 1], ring[:, 0]).inside.all()
    many = np.repeat(ring, 2000, axis=0)
    assert zones.test(many[:, 1], many[:, 0]).inside.all()


def test_the_most_severe_zone_is_named_and_every_kind_counted(square, zone_file):
    inner, outer = square(39.9, 116.3, 100.0), square(39.9, 116.3, 1000.0)
    zones = ZoneSet.from_geojson(
        zone_file({"coordinates": outer, "kind": "GOV_COUNTY"}, {"coordinates": inner, "kind": "MIL"})
    )
    hits = zones.test([39.9, 39.905, 40.0], [116.3, 116.3, 116.3])
    assert [zones.zones[i].kind.value if i >= 0 else None for i in hits.zone] == ["MIL", "GOV_COUNTY", None]
    assert hits.kinds() == {ZoneKind.MIL: 1, ZoneKind.GOV_COUNTY: 2}


def random_zones(seed: int, count: int, size_deg: float) -> bytes:
    rng = np.random.default_rng(seed)
    features: list[dict[str, object]] = []
    while len(features) < count:
        turn = np.sort(rng.uniform(0.0, 2.0 * np.pi, rng.integers(3, 25)))
        radius = size_deg * rng.uniform(0.05, 1.0) * rng.uniform(0.3, 1.0, len(turn))
        x, y = 116.3 + rng.uniform(-0.05, 0.05), 39.9 + rng.uniform(-0.05, 0.05)
        ring = np.column_stack([x + radius * np.cos(turn), y + radius * np.sin(turn)])
        hole = 0.2 * (ring - [x, y]) + [x, y]
        rings = [np.vstack([r, r[:1]]).tolist() for r in (ring, hole)]
        if shapely.Polygon(rings[0], rings[1:]).is_valid:
            features.append(
                {
                    "type": "Feature",
                    "properties": {
                        "id": f"z{len(features)}",
                        "kind": str(rng.choice(list(ZoneKind))),
                        "margin_m": float(rng.choice([0.0, 5.0, 120.0])),
                    },
                    "geometry": {"type": "Polygon", "coordinates": rings},
                }
            )
    return json.dumps({"type": "FeatureCollection", "name": "r", "version": 1, "features": features}).encode()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.sampled_from([0.0003, 0.005, 0.05]))
def test_the_raster_answers_exactly_as_the_geometry_does(seed, count, size_deg):
    zones = ZoneSet.from_geojson(random_zones(seed, count, size_deg))
    rng = np.random.default_rng(seed)
    corners = np.vstack([shapely.get_coordinates(s) for s in zones.shapes()])
    near = corners[rng.integers(0, len(corners), 20_000)] + rng.normal(0.0, 2e-4, (20_000, 2))
    wide = np.column_stack([rng.uniform(116.1, 116.5, 10_000), rng.uniform(39.7, 40.1, 10_000)])
    x, y = np.vstack([corners, near, wide]).T
    rastered, exact = zones.test(y, x), zones.test_exact(y, x)
    assert np.array_equal(rastered.zone, exact.zone)
    assert np.array_equal(rastered.kind_bits, exact.kind_bits)
    assert np.array_equal(rastered.inside, exact.inside)
    for a, b in corners[:20]:
        sweep = a + rng.normal(0.0, 3e-4, 5000), b + rng.normal(0.0, 3e-4, 5000)
        assert np.array_equal(zones.test(*sweep[::-1]).zone, zones.test_exact(*sweep[::-1]).zone)
    held = [
        [shapely.intersects_xy(s, a, b) for s in zones.shapes()]
        for a, b in zip(x[:200], y[:200], strict=True)
    ]
    assert exact.inside[:200].tolist() == [any(h) for h in held]


def test_a_large_zone_costs_bounded_memory(square, zone_file):
    zones = ZoneSet.from_geojson(
        zone_file(
            {"coordinates": [[[75, 20], [130, 20], [130, 50], [75, 50], [75, 20]]], "kind": "WATER"},
            {"coordinates": square(39.9, 116.3, 5000.0)},
        )
    )
    raster = ZoneRaster(zones.shapes(), np.array([1, 2], dtype=np.uint16))
    assert raster.nbytes < 100e6
    rng = np.random.default_rng(5)
    y, x = rng.uniform(10.0, 60.0, 50_000), rng.uniform(60.0, 140.0, 50_000)
    assert np.array_equal(raster.test(x, y)[0], zones.test_exact(y, x).zone)


def test_impossible_positions_are_refused_not_called_outside(square, zone_file):
    zones = ZoneSet.from_geojson(zone_file({"coordinates": square(39.9, 116.3, 100.0)}))
    for count in (2, 10_000):
        with pytest.raises(MalformedItemError, match=r"position 1: latitude .*nan"):
            zones.test(np.where(np.arange(count) == 1, np.nan, 39.9), np.full(count, 116.3))

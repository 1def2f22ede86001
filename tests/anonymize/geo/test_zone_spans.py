import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import MalformedItemError
from anonymize.geo.frustum import View
from anonymize.geo.zone_spans import spans_in_zones, view_spans, zone_spans
from anonymize.geo.zones import ZoneKind, ZoneSet

NORTH_M = 111_034.0


@pytest.fixture
def zones(square, zone_file) -> ZoneSet:
    return ZoneSet.from_geojson(zone_file({"coordinates": square(39.905, 116.3, 55.0), "margin_m": 20.0}))


def north(metres: np.ndarray | list[float]) -> tuple[np.ndarray, np.ndarray]:
    lat = 39.905 + np.asarray(metres, dtype=float) / NORTH_M
    return lat, np.full(len(lat), 116.3)


def test_a_drive_through_a_zone_is_cut_from_before_to_after_it(zones):
    times = np.arange(0.0, 101.0)
    lat, lon = north(np.linspace(-1000.0, 1000.0, 101))
    (begin, end), *others = spans_in_zones(times, lat, lon, zones, 110.0)
    assert not others
    inside = np.abs(np.linspace(-1000.0, 1000.0, 101)) <= 55.0 + 20.0 + 110.0
    assert begin <= times[inside].min() - 1.0
    assert end >= times[inside].max() + 1.0
    assert end - begin < 2.0 * (185.0 + 65.0) / 20.0
    (span,) = zone_spans(times, lat, lon, zones, 110.0)
    assert (span.begin_s, span.end_s, span.kinds) == (begin, end, (ZoneKind.MIL,))
    assert span.holds(begin)
    assert not span.holds(end + 0.001)


def test_a_zone_between_two_distant_fixes_is_met(zones):
    lat, lon = north([-2000.0, -900.0, 900.0, 2000.0])
    assert spans_in_zones([0.0, 18.0, 48.0, 66.0], lat, lon, zones, 10.0) == [(18.0, 48.0)]


def test_the_longer_the_gap_the_farther_a_vehicle_may_have_gone(zones):
    lat, lon = north([-700.0, -700.0])
    assert spans_in_zones([0.0, 1.0], lat, lon, zones, 110.0) == []
    assert spans_in_zones([0.0, 30.0], lat, lon, zones, 110.0) == [(-math.inf, math.inf)]
    assert spans_in_zones([0.0, 30.0], lat, lon, zones, 110.0, greatest_speed_mps=15.0) == []
    assert spans_in_zones([0.0, 86_400.0], lat - 2.0, lon, zones, 110.0) == [(-math.inf, math.inf)]


def test_spans_are_open_where_the_way_begins_or_ends_in_a_zone(zones):
    lat, lon = north(np.linspace(0.0, 2000.0, 101))
    times = np.arange(101.0)
    ((begin, end),) = spans_in_zones(times, lat, lon, zones, 50.0)
    assert begin == -math.inf
    assert 6.0 <= end <= 12.0
    ((begin, end),) = spans_in_zones(times, lat[::-1], lon, zones, 50.0)
    assert 88.0 <= begin <= 94.0
    assert end == math.inf


def test_one_fix_tells_of_all_time_or_of_none(zones):
    assert spans_in_zones(5.0, 39.905, 116.3, zones, 1.0) == [(-math.inf, math.inf)]
    assert spans_in_zones(5.0, 39.95, 116.3, zones, 1.0) == []


def test_order_of_fixes_and_equal_times_change_nothing_but_add_what_they_say(zones):
    lat, lon = north(np.linspace(-1000.0, 1000.0, 101))
    times = np.arange(101.0)
    plain = spans_in_zones(times, lat, lon, zones, 50.0)
    mixed = np.random.default_rng(1).permutation(101)
    assert spans_in_zones(times[mixed], lat[mixed], lon[mixed], zones, 50.0) == plain
    assert spans_in_zones(np.r_[times, times], np.r_[lat, lat], np.r_[lon, lon], zones, 50.0) == plain
    jump = north([-1000.0, -1000.0, 0.0, -1000.0])
    spans = spans_in_zones([0.0, 10.0, 10.0, 11.0], *jump, zones, 1.0, greatest_speed_mps=40.0)
    assert spans == [(10.0, math.inf)]


def test_kinds_of_a_span_are_those_met_in_it(square, zone_file):
    zones = ZoneSet.from_geojson(
        zone_file(
            {"coordinates": square(39.905, 116.3, 55.0), "kind": "HOME"},
            {"coordinates": square(39.908, 116.3, 55.0), "kind": "MIL"},
            {"coordinates": square(39.94, 116.3, 55.0), "kind": "DEPOT"},
        )
    )
    lat, lon = north(np.arange(-1000.0, 6000.0, 10.0))
    spans = zone_spans(np.arange(len(lat)) * 1.0, lat, lon, zones, 120.0)
    assert [s.kinds for s in spans] == [(ZoneKind.MIL, ZoneKind.HOME), (ZoneKind.DEPOT,)]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), lat=st.floats(-75.0, 75.0), every_s=st.sampled_from([0.2, 1.0, 7.0]))
def test_whoever_was_in_a_zone_at_a_time_has_that_time_cut(seed, lat, every_s, square, zone_file):
    """A random drive at up to 30 m/s, seen only at some times and with errors; what was near a zone is cut."""
    rng = np.random.default_rng(seed)
    times = np.arange(0.0, 120.0, 0.1)
    heading = np.cumsum(rng.normal(0.0, 0.15, len(times)))
    speed = np.clip(15.0 + np.cumsum(rng.normal(0.0, 0.5, len(times))), 0.0, 30.0)
    metres_east = np.cumsum(speed * 0.1 * np.sin(heading))
    metres_north = np.cumsum(speed * 0.1 * np.cos(heading))
    place = rng.integers(len(times))
    per_lon = 111_300.0 * np.cos(np.radians(lat))
    true = lat + metres_north / 111_200.0, 10.0 + metres_east / per_lon
    zones = ZoneSet.from_geojson(
        zone_file({"coordinates": square(true[0][place], true[1][place], 5.0), "margin_m": 3.0})
    )
    seen = np.arange(0, len(times), round(every_s * 10))
    error = rng.uniform(-7.0, 7.0, (2, len(seen)))
    spans = spans_in_zones(
        times[seen],
        true[0][seen] + error[0] / 111_200.0,
        true[1][seen] + error[1] / per_lon,
        zones,
        20.0,
        pose_error_m=10.0,
        greatest_speed_mps=32.0,
    )
    known = times <= times[seen[-1]]
    met = zones.test(*true).inside & known
    assert all(any(a <= t <= b for a, b in spans) for t in times[met])


def test_a_camera_that_looks_ahead_is_cut_only_on_the_way_there(zones):
    lat, lon = north(np.linspace(-1000.0, 1000.0, 401))
    times = np.arange(401) * 0.25
    ahead = View(fov_deg=60.0, range_m=100.0, pose_error_m=5.0, heading_error_deg=3.0)
    (front,) = view_spans(times, lat, lon, np.zeros(401), view=ahead, zones=zones)
    (around,) = view_spans(times, lat, lon, np.full(401, np.nan), view=ahead, zones=zones)
    (disc,) = zone_spans(times, lat, lon, zones, 105.0, pose_error_m=5.0)
    assert front.begin_s <= 50.0 - 175.0 / 20.0
    assert 50.0 + 75.0 / 20.0 <= front.end_s < around.end_s - 3.0
    assert (around.begin_s, around.end_s) == pytest.approx((disc.begin_s, disc.end_s), abs=0.5)


def test_a_way_of_many_fixes_has_one_span(zones):
    count = 200_000
    lat, lon = north(np.linspace(-100_000.0, 100_000.0, count))
    ((begin, end),) = spans_in_zones(np.arange(count) * 0.05, lat, lon, zones, 110.0)
    assert 0.0 < begin < end < count * 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time_s": [0.0, math.nan]}, "place 1: a time is finite"),
        ({"time_s": [0.0]}, "one time per fix"),
        ({"lat": [0.0, math.nan]}, "place 1: latitude"),
        ({"lon": [0.0, 181.0]}, "place 1: longitude"),
        ({"radius_m": -1.0}, "radius_m"),
        ({"pose_error_m": -1.0}, "pose_error_m"),
        ({"greatest_speed_mps": math.nan}, "greatest_speed_mps"),
        ({"time_s": [], "lat": [], "lon": []}, "at least one place"),
    ],
)
def test_impossible_ways_are_refused(change, message, zones):
    asked = {"time_s": [0.0, 1.0], "lat": [0.0, 0.0], "lon": [0.0, 0.0], "radius_m": 1.0} | change
    with pytest.raises(MalformedItemError, match=message):
        spans_in_zones(**asked, zones=zones)

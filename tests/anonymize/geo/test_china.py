"""GCJ-02 and BD-09: the public formulas, and their inverses to better than a millimetre."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import MalformedItemError
from anonymize.geo.china import China, from_china, to_china
from anonymize.geo.crs import from_wgs84, geodesic_m, require_crs, to_wgs84
from anonymize.geo.public_formulas import gcj02

systems = st.sampled_from(list(China))
# Tian'anmen as consumer maps show it: a known place in all three.
TIANANMEN = {
    "EPSG:4326": (39.908722, 116.397499),
    "GCJ-02": (39.910126, 116.403743),
    "BD-09": (39.916465, 116.410116),
}


@settings(max_examples=200)
@given(systems, st.floats(1.0, 55.0), st.floats(72.5, 137.5))
def test_what_goes_in_comes_out_within_a_millimetre(system, lat, lon):
    y, x = np.array([lat]), np.array([lon])
    moved = to_china(y, x, system)
    assert geodesic_m(y, x, *moved)[0][0] < 2500.0
    assert geodesic_m(*from_china(*moved, system), y, x)[0][0] < 1e-3


def test_many_positions_come_back_also_where_the_formula_has_a_kink():
    rng = np.random.default_rng(1)
    lat, lon = rng.uniform(1.0, 55.0, 200_000), rng.uniform(72.5, 137.5, 200_000)
    lon[:10_000] = 105.0 + rng.normal(0.0, 1e-8, 10_000)
    for system in China:
        assert geodesic_m(*from_china(*to_china(lat, lon, system), system), lat, lon)[0].max() < 1e-3


@pytest.mark.parametrize("crs", ["GCJ-02", "BD-09"])
def test_a_known_place_is_where_the_maps_show_it(crs):
    assert geodesic_m(*from_wgs84(*TIANANMEN["EPSG:4326"], crs), *TIANANMEN[crs])[0] < 0.5
    assert geodesic_m(*to_wgs84(*TIANANMEN[crs], crs), *TIANANMEN["EPSG:4326"])[0] < 0.5


def test_the_formula_agrees_with_one_written_apart():
    rng = np.random.default_rng(2)
    lat, lon = rng.uniform(2.0, 55.0, 10_000), rng.uniform(73.0, 137.0, 10_000)
    assert geodesic_m(*gcj02(lat, lon)[:2], *to_china(lat, lon, China.GCJ02))[0].max() < 1e-6


@given(systems, st.floats(-90.0, 90.0), st.floats(-180.0, 70.0))
def test_outside_china_both_are_the_identity(system, lat, lon):
    y, x = np.array([lat]), np.array([lon])
    for moved in (to_china(y, x, system), from_china(y, x, system)):
        assert (float(moved[0][0]), float(moved[1][0])) == (lat, lon)


@pytest.mark.parametrize("system", list(China))
def test_at_the_border_of_the_area_nothing_is_guessed(system):
    inside, outside = np.array([30.0, 30.0]), np.array([100.0, 137.8347 - 1e-9])
    moved = to_china(inside, outside, system)
    with pytest.raises(MalformedItemError, match=r"position 1: .*not unique"):
        from_china(*moved, system)


@pytest.mark.parametrize(
    ("written", "name"),
    [("GCJ02", "GCJ-02"), ("gcj-02", "GCJ-02"), ("BD09", "BD-09"), ("bd-09", "BD-09"), ("BD09LL", "BD-09")],
)
def test_spellings_are_brought_to_one_name(written, name):
    assert require_crs(written) == name

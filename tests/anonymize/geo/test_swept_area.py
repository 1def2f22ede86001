"""Areas of corridors (COMPLIANCE.md A8, rule 18) against geometry on the ellipsoid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.geo.swept_area import CELL_KM2, CELL_M, swept_cells

_GEOD = Geod(ellps="WGS84")
ROUNDING = 0.002
"""Share by which a geodesic corridor of some kilometres differs from a plane one."""


def straight(
    lat: float, lon: float, bearing: float, length_m: float, fixes: int
) -> tuple[np.ndarray, np.ndarray]:
    along = np.linspace(0.0, length_m, fixes)
    lons, lats, _ = _GEOD.fwd(np.full(fixes, lon), np.full(fixes, lat), np.full(fixes, bearing), along)
    return np.asarray(lats), np.asarray(lons)


def stadium_km2(length_m: float, radius_m: float) -> float:
    """Area of all points within a radius of a straight way."""
    return (2 * radius_m * length_m + np.pi * radius_m**2) / 1e6


def area_km2(paths, radius_m: float = 100.0) -> float:
    return len(swept_cells(paths, radius_m=radius_m)) * CELL_KM2


@settings(max_examples=30, deadline=None)
@given(
    lat=st.floats(-80, 80),
    lon=st.floats(-180, 179.99),
    bearing=st.floats(0, 360),
    length_m=st.floats(500, 20_000),
    fixes=st.integers(2, 400),
)
def test_a_straight_corridor_has_the_area_of_its_stadium(lat, lon, bearing, length_m, fixes):
    found = area_km2([straight(lat, lon, bearing, length_m, fixes)], 100.0)
    assert stadium_km2(length_m, 100.0) <= found * (1 + ROUNDING)
    assert found <= stadium_km2(length_m, 100.0 + CELL_M) * (1 + ROUNDING)


@settings(max_examples=20, deadline=None)
@given(lat=st.floats(-84, 84), lon=st.floats(-180, 179.99), radius_m=st.floats(80, 400))
def test_a_single_place_has_the_area_of_a_disc(lat, lon, radius_m):
    found = area_km2([(lat, lon)], radius_m)
    assert stadium_km2(0.0, radius_m) <= found <= stadium_km2(0.0, radius_m + CELL_M)


def test_a_road_driven_twice_counts_once():
    there = straight(39.9, 116.3, 30.0, 5000.0, 200)
    back = there[0][::-1], there[1][::-1]
    assert area_km2([there, back]) == area_km2([there])
    assert set(swept_cells([there], radius_m=100.0)) == set(swept_cells([back], radius_m=100.0))


def test_a_road_across_the_antimeridian_is_as_large_as_elsewhere():
    across = straight(10.0, 179.95, 90.0, 10_000.0, 50)
    elsewhere = straight(10.0, 20.0, 90.0, 10_000.0, 50)
    assert area_km2([across]) == pytest.approx(area_km2([elsewhere]), rel=0.01)


def test_the_union_grows_by_what_is_new():
    first, second = straight(31.2, 121.4, 0.0, 8000.0, 100), straight(31.2, 121.6, 0.0, 8000.0, 100)
    cells = [set(swept_cells([path], radius_m=100.0).tolist()) for path in (first, second)]
    assert not cells[0] & cells[1]
    assert len(cells[0] | cells[1]) == len(swept_cells([first, second], radius_m=100.0))


def test_no_path_has_no_area():
    assert len(swept_cells([], radius_m=100.0)) == 0


def test_positions_that_no_area_can_be_told_of():
    with pytest.raises(LimitExceededError, match="85"):
        swept_cells([(86.0, 0.0)], radius_m=100.0)
    with pytest.raises(MalformedItemError):
        swept_cells([(float("nan"), 0.0)], radius_m=100.0)

"""The ground within a map's hull, counted in cells."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.geo.hull_area import MOST_KM2, hull_cells, require_countable
from anonymize.geo.swept_area import CELL_KM2, swept_cells

PLACES = {
    "Beijing": (39.9, 116.3),
    "the equator": (0.0, 9.0),
    "the antimeridian": (-17.0, 179.999),
    "north": (69.0, 19.0),
}


def square(lat: float, lon: float, side_m: float) -> tuple[np.ndarray, np.ndarray]:
    half = np.degrees(side_m / 2 / 6_371_008.8)
    across = half / np.cos(np.radians(lat))
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    x = (lon + across * corners[:, 0] + 180.0) % 360.0 - 180.0
    return lat + half * corners[:, 1], x


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_four_corners_cover_all_between_them_and_little_more(place: tuple[float, float]):
    km2 = len(hull_cells(*square(*place, 2_000.0))) * CELL_KM2
    assert 3.98 <= km2 <= 2.05**2


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_every_place_within_the_hull_is_counted(seed: int, count: int):
    rng = np.random.default_rng(seed)
    lat, lon = 39.9 + rng.uniform(-0.005, 0.005, count), 116.3 + rng.uniform(-0.005, 0.005, count)
    cells = hull_cells(lat, lon)
    weights = rng.dirichlet(np.ones(count), 200)
    assert np.isin(swept_cells([(weights @ lat, weights @ lon)], radius_m=4.0), cells).all()


def test_a_point_a_line_and_nothing_are_counted_as_what_they_are():
    assert len(hull_cells([], [])) == 0
    assert 1 <= len(hull_cells([39.9], [116.3])) <= 16
    assert 190 <= len(hull_cells([39.9, 39.9], [116.3, 116.3 + 1_000 / 85_400])) <= 600


def test_what_is_too_large_is_refused_before_it_is_counted():
    wide = square(39.9, 116.3, 10_100.0)
    with pytest.raises(LimitExceededError, match=f"at most {MOST_KM2:g}"):
        require_countable(*wide)
    with pytest.raises(LimitExceededError):
        hull_cells(*wide)
    require_countable(*square(39.9, 116.3, 9_900.0))
    with pytest.raises(MalformedItemError):
        require_countable([91.0], [0.0])

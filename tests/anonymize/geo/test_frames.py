import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymize.errors import UnknownCrsError
from anonymize.geo.crs import geodesic_m, require_crs, to_wgs84
from anonymize.geo.ellipsoid import from_enu, to_enu, wrap_degrees
from anonymize.geo.prf import subkey, uniform


@given(st.floats(-79, 79), st.floats(-180, 179.9), st.floats(-500, 500), st.floats(-500, 500))
def test_local_frames_agree_with_geodesics_and_with_their_inverse(lat, lon, east, north):
    y, x = from_enu(east, north, lat, lon)
    back = to_enu(y, x, lat, lon)
    assert (float(back[0]), float(back[1])) == pytest.approx((east, north), abs=0.01)
    length, _ = geodesic_m(lat, lon, y, x)
    assert float(length) == pytest.approx(np.hypot(east, north), abs=0.01)


def test_degrees_are_wrapped():
    assert wrap_degrees([180.0, -180.0, 540.0, -190.0]).tolist() == [-180.0, -180.0, -180.0, 170.0]


def test_only_known_systems_are_accepted():
    lat, lon = to_wgs84(np.array([39.9]), np.array([116.3]), "EPSG:4490")
    assert geodesic_m(lat, lon, 39.9, 116.3)[0].max() < 2.0
    for crs in (None, "EPSG:4555", "nonsense"):
        with pytest.raises(UnknownCrsError, match=repr(crs)):
            require_crs(crs)


def test_keys_for_different_purposes_are_unrelated():
    key = bytes(32)
    made = {subkey(key, "a"), subkey(key, "b"), subkey(key, "a", b"b"), subkey(key, "ab")}
    assert len(made) == 4
    draws = uniform(key, "a", 10_000)
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    assert abs(draws.mean() - 0.5) < 0.02

"""One displacement for everything: the same ground point moves alike, in whatever form it is given."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import LimitExceededError, MalformedItemError, UnknownCrsError
from anonymize.geo.crs import from_wgs84, geodesic_m, to_wgs84
from anonymize.geo.distortion import heading_errors_deg, strains, turns_rad
from anonymize.geo.enu_frame import EnuFrame
from anonymize.geo.offset import KeyedOffset, measure_positions, require_limits
from anonymize.geo.rotation import about_up

KEY = bytes(range(32))
keys = st.binary(min_size=32, max_size=32)
# Where UTM zone 50, the CGCS2000 zones of 117 degrees east and GCJ-02 are all defined.
lats, lons = st.floats(23.0, 48.0), st.floats(115.8, 118.2)
SYSTEMS = ("EPSG:4326", "EPSG:4490", "EPSG:32650", "EPSG:4548", "EPSG:3857", "EPSG:4978", "GCJ-02", "BD-09")


@settings(max_examples=25, deadline=None)
@given(key=keys, lat=lats, lon=lons, height=st.floats(-100.0, 5000.0), seed=st.integers(0, 2**32))
def test_the_same_ground_point_moves_alike_in_every_system(profile, key, lat, lon, height, seed):
    kept = replace(profile, keep_elevation=True)
    offset = KeyedOffset(key, kept)
    rng = np.random.default_rng(seed)
    y, x = lat + rng.uniform(-0.1, 0.1, 200), lon + rng.uniform(-0.1, 0.1, 200)
    h = np.full(200, height)
    expected = offset.displace(y, x)
    for crs in (*SYSTEMS, EnuFrame(lat0=lat, lon0=lon, height0_m=height)):
        given_in = from_wgs84(y, x, crs, h)
        moved = offset.displace_in(*given_in, crs)
        at_lat, at_lon, at_height = to_wgs84(moved[0], moved[1], crs, moved[2])
        assert geodesic_m(at_lat, at_lon, *expected)[0].max() < 0.01
        assert np.abs(at_height - height).max() < 0.01
        back = offset.invert_in(*moved, crs)
        true_lat, true_lon, _ = to_wgs84(back[0], back[1], crs, back[2])
        assert geodesic_m(true_lat, true_lon, y, x)[0].max() < 1e-3


@settings(max_examples=25, deadline=None)
@given(
    key=keys,
    lat=st.floats(-80.0, 80.0),
    lon=st.floats(-179.9, 179.9),
    height=st.floats(-100.0, 5000.0),
    yaw=st.floats(0.0, 6.28),
    tilt=st.floats(-0.3, 0.3),
)
def test_a_sweep_placed_by_a_pose_meets_the_displaced_ground(profile, key, lat, lon, height, yaw, tilt):
    offset = KeyedOffset(key, profile)
    rng = np.random.default_rng(3)
    points = rng.uniform(-1.0, 1.0, (500, 3)) * [120.0, 120.0, 15.0]
    lean = np.array([[1.0, 0.0, 0.0], [0.0, np.cos(tilt), -np.sin(tilt)], [0.0, np.sin(tilt), np.cos(tilt)]])
    body = about_up(yaw) @ lean

    def ground(at_lat, at_lon, rotation, seen):
        east, north, up = (seen @ rotation.T).T
        return to_wgs84(east, north, EnuFrame(lat0=at_lat, lon0=at_lon, height0_m=height), up)

    true = ground(lat, lon, body, points)
    expected = offset.displace(true[0], true[1])
    moved_lat, moved_lon, turned = offset.displace_poses([lat], [lon], body[None])
    carried = offset.displace_carried(points, lat=lat, lon=lon, height_m=height, rotation=body)
    released = ground(float(moved_lat[0]), float(moved_lon[0]), turned[0], carried)
    assert geodesic_m(released[0], released[1], *expected)[0].max() < 0.01
    assert np.abs(released[2] - true[2]).max() < 0.01
    assert turned[0] @ turned[0].T == pytest.approx(np.eye(3), abs=1e-12)
    reach = np.hypot(points[:, 0], points[:, 1])
    bend = np.linalg.norm(carried - points, axis=1)
    assert (bend <= profile.offset_max_strain * np.maximum(reach, np.abs(points[:, 2])) + 0.05).all()


@settings(max_examples=25, deadline=None)
@given(key=keys, lat=st.floats(-80.0, 80.0), lon=st.floats(-180.0, 179.0), seed=st.integers(0, 2**32))
def test_strain_and_heading_stay_within_the_profile_and_bound_what_chords_show(profile, key, lat, lon, seed):
    rng = np.random.default_rng(seed)
    offset = KeyedOffset(key, profile)
    y, x = lat + rng.uniform(-0.3, 0.3, 2000), np.clip(lon + rng.uniform(-0.3, 0.3, 2000), -180.0, 180.0)
    require_limits(measure_positions(offset, y, x), profile)
    jacobian = offset.jacobians(y, x)
    turn = rng.uniform(0.0, 2.0 * np.pi, 2000)
    ahead = (
        y + 5.0 * np.cos(turn) / 111_200.0,
        np.clip(x + 5.0 * np.sin(turn) / (111_200.0 * np.cos(np.radians(y))), -180.0, 180.0),
    )
    before, heading = geodesic_m(y, x, *ahead)
    after, moved_heading = geodesic_m(*offset.displace(y, x), *offset.displace(*ahead))
    fair = before > 1.0
    # The field is stored in single precision: 0.05 mm in 5 m is 1e-5.
    assert (np.abs(after / before - 1.0) <= strains(jacobian) + 1e-4)[fair].all()
    turned = np.abs((moved_heading - heading + 180.0) % 360.0 - 180.0)
    assert (turned <= heading_errors_deg(jacobian) + 0.01)[fair].all()


def test_gradients_follow_from_known_matrices():
    stretch, angle = np.diag([1.004, 0.997]), 0.003
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    made = (rotation @ stretch)[None]
    assert strains(made) == pytest.approx([0.004])
    assert turns_rad(made) == pytest.approx([angle])
    assert heading_errors_deg(made) == pytest.approx(np.degrees([angle + np.arcsin(0.007 / 2.001)]))


def test_heights_are_dropped_where_the_profile_keeps_none(profile):
    offset = KeyedOffset(KEY, profile)
    for crs in ("EPSG:4326", "EPSG:32650", "GCJ-02", EnuFrame(lat0=39.9, lon0=116.9)):
        assert offset.displace_in(*from_wgs84([39.9], [116.9], crs, [55.0]), crs)[2] is None
        assert offset.displace_in(*from_wgs84([39.9], [116.9], crs), None, crs)[2] is None
    moved = offset.displace_in(*from_wgs84([39.9], [116.9], "EPSG:4978", [55.0]), "EPSG:4978")
    assert abs(float(to_wgs84(moved[0], moved[1], "EPSG:4978", moved[2])[2][0])) < 1e-6


def test_what_cannot_be_placed_is_not_displaced(profile):
    offset = KeyedOffset(KEY, profile)
    with pytest.raises(UnknownCrsError, match="EPSG:4610"):
        offset.displace_in([39.9], [116.9], None, "EPSG:4610")
    with pytest.raises(MalformedItemError, match="outside the area"):
        offset.displace_in([116.9], [39.9], None, "EPSG:32650")
    with pytest.raises(MalformedItemError, match="need Z"):
        offset.displace_in([1.0], [1.0], None, "EPSG:4978")
    with pytest.raises(LimitExceededError, match="degrees of latitude"):
        offset.jacobians([86.0], [0.0])


LIMITS = {
    "distances": ("offset_max_distance_error", 1e-6, "distorts distances"),
    "headings": ("offset_max_heading_error_deg", 1e-6, "turns directions"),
    "strain": ("offset_max_strain", 1e-6, "strains the ground"),
    "shift": ("offset_min_shift_m", 5000.0, "near its place"),
}


@pytest.mark.parametrize("case", LIMITS)
def test_every_limit_of_the_profile_is_enforced(case, profile):
    name, value, message = LIMITS[case]
    rng = np.random.default_rng(1)
    evidence = measure_positions(
        KeyedOffset(KEY, profile), 39.9 + rng.uniform(0.0, 0.1, 500), 116.3 + rng.uniform(0.0, 0.1, 500)
    )
    require_limits(evidence, profile)
    with pytest.raises(LimitExceededError, match=rf"{message} \(got .*expected"):
        require_limits(evidence, replace(profile, **{name: value}))

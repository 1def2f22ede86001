"""The clips of a LOCAL release: one plan for all channels of a recording."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import LimitExceededError, MalformedItemError, ProfileError
from anonymize.formats.track import Track
from anonymize.geo.clips import check_clip_paths, plan_clips
from anonymize.geo.crs import from_wgs84, geodesic_m, to_wgs84
from anonymize.geo.ellipsoid import enu_axes
from anonymize.geo.enu_frame import EnuFrame
from anonymize.geo.local import to_clips, to_local
from anonymize.geo.rotation import about_up, up_quaternion

KEY = bytes(range(32))
keys = st.binary(min_size=32, max_size=32)


def between(track: Track, time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.interp(time_s, track.time_s, track.lat), np.interp(time_s, track.time_s, track.lon)


@settings(max_examples=25, deadline=None)
@given(key=keys, seed=st.integers(0, 2**32), step=st.floats(0.5, 40.0), lat=st.floats(-80.0, 80.0))
def test_every_channel_lands_in_the_clip_of_its_moment_and_on_the_same_ground(
    drive, profile, key, seed, step, lat
):
    track = drive(seed=seed, step_m=step, fixes=600, lat=lat)
    plan = plan_clips(track, key=key, context=b"r", profile=profile)
    local = to_local(track, key=key, context=b"r", profile=profile)
    number = plan.clip_of(track.time_s)
    for frame, clip in zip(plan.clips, local.clips, strict=True):
        assert frame.number == clip.number
        assert np.flatnonzero(number == frame.number).tolist() == frame.fixes.tolist()
        assert frame.times(track.time_s[frame.fixes]).tolist() == clip.t_s.tolist()
    sweeps = track.time_s[0] + np.sort(np.random.default_rng(seed).uniform(-10.0, 620.0, 2000))
    lat_s, lon_s = between(track, sweeps)
    geocentric = from_wgs84(lat_s, lon_s, "EPSG:4978", np.full(2000, 43.5))
    again = to_wgs84(geocentric[0], geocentric[1], "EPSG:4978", geocentric[2])
    of = plan.clip_of(sweeps)
    assert set(np.unique(of)) <= {-1, *range(len(plan.clips))}
    for frame, clip in zip(plan.clips, local.clips, strict=True):
        here = of == frame.number
        assert ((sweeps[here] >= frame.begin_s) & (sweeps[here] <= frame.end_s)).all()
        x, y, z = frame.positions(again[0][here], again[1][here], again[2][here])
        t = frame.times(sweeps[here])
        assert np.abs(x - np.interp(t, clip.t_s, clip.x_m)).max(initial=0.0) < 0.01
        assert np.abs(y - np.interp(t, clip.t_s, clip.y_m)).max(initial=0.0) < 0.01
        assert not z.any()
        check_clip_paths(of[here], x, y, profile=profile)


@settings(max_examples=25, deadline=None)
@given(key=keys, seed=st.integers(0, 2**32), step=st.floats(0.5, 200.0), height=st.floats(-100.0, 5000.0))
def test_no_path_is_longer_than_the_profile_permits_at_any_height(drive, profile, key, seed, step, height):
    track = replace(drive(seed=seed, step_m=step, fixes=600), elevation_m=np.full(600, height))
    permissive = replace(profile, local_min_fixes=1)
    plan = plan_clips(track, key=key, context=b"r", profile=permissive)
    local = to_local(track, key=key, context=b"r", profile=permissive)
    assert local.distortion < 1e-5
    for clip in local.clips:
        assert np.hypot(np.diff(clip.x_m), np.diff(clip.y_m)).sum() <= profile.local_clip_m
        assert np.hypot(clip.x_m, clip.y_m).max() <= 2.0 * profile.local_clip_m
    assert [c.number for c in plan.clips] == list(range(len(plan.clips)))


@settings(max_examples=25, deadline=None)
@given(key=keys, lat=st.floats(-80.0, 80.0), lon=st.floats(-179.9, 179.9), height=st.floats(-100.0, 5000.0))
def test_a_sweep_placed_by_its_pose_meets_the_ground_in_the_frame(drive, profile, key, lat, lon, height):
    kept = replace(profile, keep_elevation=True)
    track = replace(drive(fixes=80, lat=lat, lon=lon), elevation_m=np.full(80, height))
    frame = plan_clips(track, key=key, context=b"r", profile=kept).clips[0]
    at = int(frame.fixes[len(frame.fixes) // 2])
    rng = np.random.default_rng(7)
    points = rng.uniform(-1.0, 1.0, (500, 3)) * [120.0, 120.0, 15.0]
    body = about_up(rng.uniform(0.0, 6.28)) @ np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    pose = EnuFrame(lat0=float(track.lat[at]), lon0=float(track.lon[at]), height0_m=height)
    east, north, up = (points @ body.T).T
    ground = to_wgs84(east, north, pose, up)
    expected = np.stack(frame.positions(*ground), axis=-1)
    origin = np.stack(frame.positions(track.lat[at], track.lon[at], [height]), axis=-1)[0]
    turned = frame.rotations(body, float(track.lat[at]), float(track.lon[at]))
    assert np.abs(points @ turned.T + origin - expected).max() < 0.01


def test_directions_turn_with_the_frame_in_every_form(drive, profile):
    track = drive()
    frame = plan_clips(track, key=KEY, context=b"r", profile=profile).clips[0]
    at = frame.fixes[3:5]
    x, y, _ = frame.positions(track.lat[at], track.lon[at])
    _, heading = geodesic_m(track.lat[at[0]], track.lon[at[0]], track.lat[at[1]], track.lon[at[1]])
    shown = math.degrees(math.atan2(x[1] - x[0], y[1] - y[0])) % 360.0
    assert float(frame.headings(heading)) == pytest.approx(shown, abs=0.01)
    h = math.radians(float(heading))
    ahead = frame.vectors([math.sin(h), math.cos(h), 0.3])
    assert math.degrees(math.atan2(ahead[0], ahead[1])) % 360.0 == pytest.approx(shown, abs=0.01)
    assert ahead[2] == 0.3
    yaw = about_up(math.pi / 2.0 - h)
    assert frame.rotations(yaw) @ [1.0, 0.0, 0.0] == pytest.approx(frame.vectors(yaw @ [1.0, 0.0, 0.0]))
    turned = frame.quaternions(up_quaternion(math.pi / 2.0 - h))
    assert np.linalg.norm(turned) == pytest.approx(1.0)
    assert 2.0 * math.atan2(turned[2], turned[3]) == pytest.approx(
        math.atan2(ahead[1], ahead[0]) % (2.0 * math.pi), abs=1e-3
    ) or 2.0 * math.atan2(turned[2], turned[3]) == pytest.approx(math.atan2(ahead[1], ahead[0]), abs=1e-3)
    moved = frame.rotations(np.eye(3), 40.0, 116.5)
    tilt = frame.rotation @ enu_axes(frame.lat0, frame.lon0) @ enu_axes(40.0, 116.5).T
    assert moved == pytest.approx(tilt)


def test_nothing_between_clips_belongs_to_one(drive, profile):
    track = drive(fixes=4000)
    plan = plan_clips(track, key=KEY, context=b"r", profile=profile)
    dense = np.arange(track.time_s[0] - 100.0, track.time_s[-1] + 100.0, 0.01)
    of = plan.clip_of(dense)
    begins = np.sort([c.begin_s for c in plan.clips])
    ends = np.sort([c.end_s for c in plan.clips])
    assert (begins[1:] > ends[:-1]).all()
    assert (of >= 0).mean() < 0.95
    assert plan.clip_of([np.nan, -np.inf, np.inf]).tolist() == [-1, -1, -1]
    lat, lon = between(track, np.r_[ends[:-1], begins[1:]])
    half = len(begins) - 1
    assert geodesic_m(lat[:half], lon[:half], lat[half:], lon[half:])[0].min() > 15.0


def test_moments_at_which_the_clock_ran_twice_are_in_no_clip(drive, profile):
    track = drive(fixes=1000)
    time_s = track.time_s.copy()
    time_s[500:] -= 300.0
    segment = np.repeat(np.array([0, 1], np.int32), 500)
    for back in (replace(track, time_s=time_s, segment=segment), replace(track, time_s=time_s)):
        plan = plan_clips(back, key=KEY, context=b"r", profile=profile)
        twice = np.arange(track.time_s[0] + 200.0, track.time_s[0] + 499.0, 0.1)
        assert (plan.clip_of(twice) == -1).all()
        assert (plan.clip_of(np.arange(track.time_s[0], track.time_s[0] + 199.0)) >= 0).any()
        assert to_local(back, key=KEY, context=b"r", profile=profile).clips


def test_equal_timestamps_stay_in_their_clip(drive, profile):
    track = drive(fixes=1000)
    plan = plan_clips(
        replace(track, time_s=np.floor(track.time_s / 2.0) * 2.0), key=KEY, context=b"r", profile=profile
    )
    assert (plan.clip_of(np.floor(track.time_s / 2.0) * 2.0) >= 0).any()


def test_a_track_without_times_has_clips_that_hold_no_moment(drive, profile):
    track = replace(drive(), time_s=np.full(2000, np.nan))
    plan = plan_clips(track, key=KEY, context=b"r", profile=profile)
    assert (plan.clip_of(drive().time_s) == -1).all()
    local = to_local(track, key=KEY, context=b"r", profile=profile)
    assert all(np.isnan(clip.t_s).all() for clip in local.clips)


def test_another_track_of_the_recording_is_cut_alike(drive, profile):
    track = drive()
    plan = plan_clips(track, key=KEY, context=b"r", profile=profile)
    every_other = np.arange(1, 2000, 2)
    other = track.take(every_other, np.zeros(1000, np.int32))
    first, second = to_local(track, key=KEY, context=b"r", profile=profile), to_clips(other, plan)
    assert sum(len(c.x_m) for c in second.clips) + second.fixes_dropped == 1000
    by_number = {c.number: c for c in first.clips}
    for clip in second.clips:
        same = by_number[clip.number]
        assert np.isin(clip.t_s, same.t_s).all()
        assert np.abs(clip.x_m - np.interp(clip.t_s, same.t_s, same.x_m)).max() < 1e-6
    with pytest.raises(LimitExceededError, match="no clip holds a fix"):
        to_clips(replace(other, time_s=other.time_s + 1e6), plan)


def test_clips_across_the_antimeridian_have_ordinary_frames(drive, profile):
    track = drive(lat=-17.0, lon=179.995, fixes=3000, seed=3)
    assert track.lon.min() < 0.0 < track.lon.max()
    local = to_local(track, key=KEY, context=b"r", profile=profile)
    assert local.distortion < 1e-6
    assert max(np.hypot(c.x_m, c.y_m).max() for c in local.clips) < 600.0


def test_elevation_is_given_only_where_the_profile_keeps_it(drive, profile):
    track = replace(drive(), elevation_m=40.0 + np.arange(2000) / 100.0)
    kept = replace(profile, keep_elevation=True)
    for clip in to_local(track, key=KEY, context=b"r", profile=profile).clips:
        assert np.isnan(clip.height_m).all()
    plan = plan_clips(track, key=KEY, context=b"r", profile=kept)
    for frame, clip in zip(
        plan.clips, to_local(track, key=KEY, context=b"r", profile=kept).clips, strict=True
    ):
        at = frame.fixes
        z = frame.positions(track.lat[at], track.lon[at], track.elevation_m[at])[2]
        assert z.tolist() == clip.height_m.tolist()
        assert abs(float(z.mean())) < 0.1
    with pytest.raises(MalformedItemError, match="height"):
        plan.clips[0].positions(39.9, 116.3, [np.nan])


def test_a_channel_whose_path_is_too_long_is_refused(profile):
    x = np.linspace(0.0, 301.0, 2000)
    with pytest.raises(LimitExceededError, match=r"clip 0: .*got 30\d\.\d m, expected at most 300 m"):
        check_clip_paths(np.zeros(2000, np.int64), x, np.zeros(2000), profile=profile)
    check_clip_paths(np.full(2000, -1), x, np.zeros(2000), profile=profile)
    standing = np.random.default_rng(1).normal(0.0, 0.05, (2, 100_000))
    check_clip_paths(np.zeros(100_000, np.int64), *standing, profile=profile)


def test_plans_hide_their_places_and_refuse_short_keys(drive, profile):
    plan = plan_clips(drive(), key=KEY, context=b"r", profile=profile)
    assert "39." not in repr(plan)
    assert "116." not in repr(plan)
    with pytest.raises(ProfileError, match=r"32 bytes .*got 5"):
        plan_clips(drive(), key=b"short", context=b"r", profile=profile)
    with pytest.raises(LimitExceededError, match="no clip is left"):
        plan_clips(drive(fixes=3), key=KEY, context=b"r", profile=profile)

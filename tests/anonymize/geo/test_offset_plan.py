"""The plan of an OFFSET release: one trim, one shift and one displacement for all channels of a recording."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import LimitExceededError, ProfileError
from anonymize.geo.local import to_local
from anonymize.geo.offset import offset_track
from anonymize.geo.offset_plan import plan_offset, time_shift_s

KEY = bytes(range(32))
keys = st.binary(min_size=32, max_size=32)


@settings(max_examples=20, deadline=None)
@given(key=keys, seed=st.integers(0, 2**32), step=st.floats(5.0, 30.0))
def test_other_channels_are_trimmed_displaced_and_shifted_as_the_track_is(drive, profile, key, seed, step):
    track = drive(seed=seed, step_m=step, fixes=1500)
    plan = plan_offset(track, key=key, context=b"r", profile=profile)
    moved = offset_track(track, key=key, context=b"r", profile=profile)
    kept = plan.span_of(track.time_s) >= 0
    assert track.time_s[kept].tolist() == moved.source.time_s.tolist()
    assert plan.times(track.time_s[kept]).tolist() == moved.track.time_s.tolist()
    lat, lon = plan.offset.displace(track.lat[kept], track.lon[kept])
    assert lat.tolist() == moved.track.lat.tolist()
    assert lon.tolist() == moved.track.lon.tolist()
    frames = np.arange(track.time_s[0] - 5.0, track.time_s[-1] + 5.0, 0.1)
    of_frames = plan.span_of(frames) >= 0
    assert of_frames.any()
    assert frames[of_frames].min() >= moved.source.time_s[0]
    assert frames[of_frames].max() <= moved.source.time_s[-1]


def test_every_trip_is_a_span_and_what_was_trimmed_is_in_none(drive, profile):
    track = drive(fixes=2400, step_m=15.0)
    pause = np.where(np.arange(2400) >= 1200, 4000.0, 0.0)
    track = replace(track, time_s=track.time_s + pause)
    plan = plan_offset(track, key=KEY, context=b"r", profile=profile)
    spans = plan.span_of(track.time_s)
    assert np.unique(spans).tolist() == [-1, 0, 1]
    assert (spans[[0, 1199, 1200, 2399]] == -1).all()
    for span, kept in enumerate(plan.kept):
        assert np.flatnonzero(spans == span).tolist() == kept.tolist()
    assert plan.span_of([np.nan, track.time_s[1199] + 2000.0]).tolist() == [-1, -1]


def test_moments_at_which_the_clock_ran_twice_are_in_no_span(drive, profile):
    track = drive(fixes=3000, step_m=15.0)
    time_s = track.time_s.copy()
    time_s[1500:] -= 700.0
    plan = plan_offset(replace(track, time_s=time_s), key=KEY, context=b"r", profile=profile)
    assert len(plan.kept) == 2
    twice = np.arange(track.time_s[0] + 800.0, track.time_s[0] + 1499.0, 0.1)
    assert (plan.span_of(twice) == -1).all()
    assert (plan.span_of(time_s) >= 0).any()


def test_plans_follow_from_key_and_recording_and_hide_both(drive, profile):
    track = drive(fixes=1500, step_m=15.0)
    plan = plan_offset(track, key=KEY, context=b"r", profile=profile)
    assert plan.shift_s == time_shift_s(key=KEY, context=b"r")
    assert plan.shift_s != plan_offset(track, key=KEY, context=b"s", profile=profile).shift_s
    assert str(int(plan.shift_s)) not in repr(plan)
    with pytest.raises(ProfileError, match=r"32 bytes .*got 5"):
        plan_offset(track, key=b"short", context=b"r", profile=profile)
    with pytest.raises(LimitExceededError, match="no fix is left"):
        plan_offset(drive(fixes=50), key=KEY, context=b"r", profile=profile)


def test_times_that_are_absent_stay_absent(drive, profile):
    track = replace(drive(fixes=1500, step_m=15.0), time_s=np.full(1500, np.nan))
    plan = plan_offset(track, key=KEY, context=b"r", profile=profile)
    assert np.isnan(plan.times(track.time_s)).all()
    assert (plan.span_of(drive(fixes=1500).time_s) == -1).all()
    assert np.isnan(offset_track(track, key=KEY, context=b"r", profile=profile).track.time_s).all()


def test_memory_grows_with_the_fixes_and_by_little(drive, profile):
    fixes = 300_000
    track = drive(fixes=fixes, step_m=1.0)
    for run in (offset_track, to_local):
        tracemalloc.start()
        run(track, key=KEY, context=b"r", profile=profile)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 400 * fixes + 20_000_000

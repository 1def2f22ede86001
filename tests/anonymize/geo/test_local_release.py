import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import LimitExceededError, ProfileError
from anonymize.geo.local import to_local, write_local_csv
from anonymize.geo.residual import find_positions, scan_track

KEY = bytes(range(32))


@settings(max_examples=20, deadline=None)
@given(key=st.binary(min_size=32, max_size=32), seed=st.integers(0, 2**32), step=st.floats(0.5, 60.0))
def test_clips_are_short_true_to_scale_and_clean(drive, profile, key, seed, step):
    track = drive(seed=seed, step_m=step, fixes=600)
    local = to_local(track, key=key, context=b"r", profile=profile)
    assert max(local.lengths_m) <= profile.local_clip_m
    assert local.distortion < 1e-6
    assert all(clip.t_s[0] == 0.0 for clip in local.clips)
    assert sum(len(c.x_m) for c in local.clips) + local.fixes_dropped == len(track)
    report = scan_track(write_local_csv(local), "text/csv", original=track, mode="LOCAL", profile=profile)
    assert report.clean, report.residual


def test_the_same_key_gives_the_same_bytes_and_another_none_of_them(drive, profile):
    track = drive()
    first = write_local_csv(to_local(track, key=KEY, context=b"r", profile=profile))
    assert first == write_local_csv(to_local(track, key=KEY, context=b"r", profile=profile))
    for other in ({"key": b"k" * 32, "context": b"r"}, {"key": KEY, "context": b"s"}):
        lines = write_local_csv(to_local(track, profile=profile, **other)).split(b"\n")[1:-1]
        assert not set(lines) & set(first.split(b"\n")[1:-1])


def test_law_7_clip_numbers_do_not_follow_the_drive(drive, profile):
    track = drive(fixes=4000)
    local = to_local(track, key=KEY, context=b"r", profile=profile)
    marked = [float(np.flatnonzero(np.isclose(track.speed_mps, c.speed_mps[0]))[0]) for c in local.clips]
    assert marked == [0.0] * len(marked)
    numbered = drive(fixes=4000)
    speeds = np.arange(4000, dtype=float) / 100.0
    order = [
        c.speed_mps[0]
        for c in to_local(
            type(numbered)(**{n: getattr(numbered, n) for n in numbered.__slots__} | {"speed_mps": speeds}),
            key=KEY,
            context=b"r",
            profile=profile,
        ).clips
    ]
    assert order != sorted(order)


def test_the_output_holds_no_place_no_date_and_no_elevation(drive, profile):
    track = drive()
    content = write_local_csv(to_local(track, key=KEY, context=b"r", profile=profile))
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert list(rows[0]) == ["clip", "t_s", "x_m", "y_m", "speed_mps"]
    assert max(float(r["t_s"]) for r in rows) < 3600.0
    assert not find_positions(content, lat=track.lat, lon=track.lon)


def test_a_track_too_short_and_a_key_too_short_are_refused(drive, profile):
    with pytest.raises(LimitExceededError, match=r"no clip is left .*got 3 fixes"):
        to_local(drive(fixes=3), key=KEY, context=b"r", profile=profile)
    with pytest.raises(ProfileError, match=r"32 bytes .*got 5"):
        to_local(drive(), key=b"short", context=b"r", profile=profile)


SPOILED = {
    "an absolute position": (b"0,0.000,39.984,116.319,8.000", b"0,0.000,39984.1,116319.2,8.000"),
    "a date": (b"0,0.000,", b"0,1700000000.000,"),
    "another column": (b"clip,t_s", b"uid,clip,t_s"),
    "free text": (b"0,0.000,", b"home,0.000,"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_the_scan_finds_what_a_faulty_writer_would_leave(case, drive, profile):
    lines = write_local_csv(to_local(drive(), key=KEY, context=b"r", profile=profile)).split(b"\n")
    old, new = SPOILED[case]
    if case == "an absolute position":
        lines[1] = new
    else:
        at = 0 if old in lines[0] else 1
        assert old in lines[at]
        lines[at] = lines[at].replace(old, new)
    report = scan_track(b"\n".join(lines), "text/csv", original=drive(), mode="LOCAL", profile=profile)
    assert not report.clean


def test_the_scan_finds_a_clip_that_is_too_long_and_truncation(drive, profile):
    rows = b"".join(b"0,%d.000,%d.000,0.000\n" % (i, i * 40) for i in range(12))
    long = b"clip,t_s,x_m,y_m\n" + rows
    assert not scan_track(long, "text/csv", original=drive(), mode="LOCAL", profile=profile).clean
    assert not scan_track(b"", "text/csv", original=drive(), mode="LOCAL", profile=profile).clean
    assert not scan_track(
        b"clip,t_s,x_m,y_m\n", "text/csv", original=drive(), mode="LOCAL", profile=profile
    ).clean

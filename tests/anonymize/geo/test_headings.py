"""Where a vehicle headed, as its fixes tell: never wrong by more than is said, else unknown."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.formats.track import Track
from anonymize.geo.ellipsoid import from_enu, wrap_degrees
from anonymize.geo.headings import heading_at, track_headings, way_headings

ORIGIN = (39.95, 116.30)
PACE_MPS = 5.0
ERROR_DEG = 10.0
"""``least_speed_mps`` and ``least_heading_error_deg`` of both profiles."""


def drive(
    seconds: np.ndarray, speed_mps: np.ndarray | float, heading_deg: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """East and north in metres of a vehicle that goes as it heads, by fine steps."""
    fine = np.arange(seconds[0], seconds[-1] + 0.01, 0.01)
    speed = np.interp(fine, seconds, np.broadcast_to(speed_mps, len(seconds)))
    heading = np.radians(np.interp(fine, seconds, np.broadcast_to(heading_deg, len(seconds))))
    east, north = (np.cumsum(speed * turned(heading)) * 0.01 for turned in (np.sin, np.cos))
    return np.interp(seconds, fine, east), np.interp(seconds, fine, north)


def track(
    seconds: np.ndarray, east: np.ndarray, north: np.ndarray, segment: np.ndarray | None = None
) -> Track:
    lat, lon = from_enu(east, north, *ORIGIN)
    nothing = np.full(len(seconds), np.nan)
    return Track(
        lat=lat,
        lon=lon,
        time_s=1.7e9 + seconds,
        elevation_m=nothing,
        speed_mps=nothing,
        segment=np.zeros(len(seconds), np.int32) if segment is None else segment,
        crs="EPSG:4326",
    )


def headings(seconds: np.ndarray, east: np.ndarray, north: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return track_headings(track(seconds, east, north), least_speed_mps=PACE_MPS)


def test_a_straight_drive_tells_its_heading_but_at_its_ends():
    seconds = np.arange(0.0, 30.0)
    course, spread = headings(seconds, *drive(seconds, 12.0, 70.0))
    known = np.isfinite(course)
    assert known[4:24].all()
    assert not known[[0, -1]].any()
    assert np.abs(wrap_degrees(course[known] - 70.0)).max() < 0.1
    assert spread[known].max() < 0.1


@pytest.mark.parametrize("speed", [0.0, 0.5, 2.0, 4.5, -3.0])
def test_a_vehicle_that_stands_or_may_reverse_tells_none(speed):
    seconds = np.arange(0.0, 30.0, 0.5)
    course, _ = headings(seconds, *drive(seconds, speed, 70.0))
    assert np.isnan(course).all()


def test_a_vehicle_that_backs_out_tells_none_before_it_drives_on():
    seconds = np.arange(0.0, 40.0)
    speed = np.select([seconds < 10.0, seconds < 16.0], [-3.0, 0.0], 10.0)
    course, _ = headings(seconds, *drive(seconds, speed, 0.0))
    assert np.isnan(course[:16]).all()
    assert np.isfinite(course[22:34]).all()


def test_errors_of_fixes_of_a_standing_vehicle_are_no_course():
    seconds = np.arange(0.0, 200.0)
    rng = np.random.default_rng(3)
    course, _ = headings(seconds, *rng.uniform(-4.0, 4.0, (2, 200)))
    assert np.isnan(course).all()


def test_across_a_pause_nothing_is_known():
    seconds = np.r_[np.arange(0.0, 20.0), np.arange(26.0, 46.0)]
    course, _ = headings(seconds, *drive(seconds, 12.0, 70.0))
    assert np.isnan(course[18:21]).all()
    assert np.isfinite(course[[10, 30]]).all()


def test_a_turn_that_fixes_do_not_resolve_is_unknown():
    seconds = np.arange(0.0, 30.0)
    heading = np.where(seconds < 15.0, 0.0, 170.0)
    course, _ = headings(seconds, *drive(seconds, 15.0, heading))
    assert np.isnan(course[14])
    assert np.isfinite(course[[8, 22]]).all()


def test_segments_do_not_tell_of_one_another():
    seconds = np.arange(0.0, 30.0)
    east, north = drive(seconds, 12.0, 70.0)
    whole = track(seconds, east, north)
    parted = track(seconds, east, north, (seconds >= 15.0).astype(np.int32))
    assert heading_at([whole], 1.7e9 + 15.0, least_speed_mps=PACE_MPS) is not None
    assert heading_at([parted], 1.7e9 + 15.0, least_speed_mps=PACE_MPS) is None
    assert heading_at([parted], 1.7e9 + 8.0, least_speed_mps=PACE_MPS) is not None


def test_fixes_without_a_time_and_ways_of_no_fix_tell_none():
    nowhere = track(np.array([np.nan, np.nan]), np.zeros(2), np.zeros(2))
    assert np.isnan(track_headings(nowhere, least_speed_mps=PACE_MPS)[0]).all()
    assert heading_at([nowhere], 1.7e9, least_speed_mps=PACE_MPS) is None
    assert not len(way_headings(*np.zeros((3, 0)), least_speed_mps=PACE_MPS)[0])
    assert heading_at([], 1.7e9, least_speed_mps=PACE_MPS) is None


def test_tracks_that_agree_answer_together_and_those_that_contradict_do_not():
    seconds = np.arange(0.0, 30.0)
    ways = [track(seconds, *drive(seconds, 12.0, heading)) for heading in (350.0, 20.0, 200.0)]
    both = heading_at(ways[:2], 1.7e9 + 15.3, least_speed_mps=PACE_MPS)
    assert both is not None
    assert both.course_deg == pytest.approx(5.0, abs=0.1)
    assert both.spread_deg == pytest.approx(15.0, abs=0.1)
    # 350 and 200 are 150 degrees apart: still one range; 20 beside them is not.
    assert heading_at(ways, 1.7e9 + 15.3, least_speed_mps=PACE_MPS) is None
    slow = track(seconds, *drive(seconds, 1.0, 200.0))
    assert heading_at([slow, *ways[:2]], 1.7e9 + 15.3, least_speed_mps=PACE_MPS) == both


@pytest.mark.parametrize("every_s", [0.1, 0.5, 1.0])
@pytest.mark.parametrize(("radius_m", "speed"), [(8.0, 5.5), (15.0, 7.0), (60.0, 14.0)])
def test_a_street_corner_is_covered_while_it_is_turned(every_s, radius_m, speed):
    """A quarter turn on a circle: at every time at which a heading is told, it holds the true one."""
    seconds = np.arange(0.0, 40.0, 0.01)
    turned = np.clip((seconds - 17.3) * speed / radius_m, 0.0, math.pi / 2.0)
    true = np.degrees(turned)
    east, north = drive(seconds, speed, true)
    seen = np.arange(0, len(seconds), round(every_s * 100))
    told = track(seconds[seen], east[seen], north[seen])
    found = 0
    for second in np.arange(2.0, 38.0, 0.37):
        heading = heading_at([told], 1.7e9 + second, least_speed_mps=PACE_MPS)
        if heading is not None:
            off = abs(float(wrap_degrees(heading.course_deg - np.interp(second, seconds, true))))
            assert off <= heading.spread_deg + 1.0
            found += 1
    assert found > 40


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    every=st.integers(1, 10),
    noise_m=st.floats(0.0, 0.4),
    grip=st.floats(0.0, 4.0),
)
def test_a_heading_that_is_told_holds_the_true_one(seed, every, noise_m, grip):
    """Drives of 5 to 25 m/s that corner with up to ``grip`` m/s²; a fix is wrong by ``noise_m`` each way."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(0.0, 60.0, 0.1)
    speed = np.interp(seconds, np.arange(0.0, 61.0, 6.0), rng.uniform(5.0, 25.0, 11))
    sideways = np.interp(seconds, np.arange(0.0, 61.0, 3.0), rng.uniform(-grip, grip, 21))
    true = rng.uniform(0.0, 360.0) + np.degrees(np.cumsum(sideways / speed) * 0.1)
    east, north = drive(seconds, speed, true)
    seen = np.arange(0, len(seconds), every)
    wrong = rng.uniform(-noise_m, noise_m, (2, len(seen)))
    told = track(seconds[seen], east[seen] + wrong[0], north[seen] + wrong[1])
    for second in rng.uniform(0.0, 60.0, 20):
        heading = heading_at([told], 1.7e9 + second, least_speed_mps=PACE_MPS)
        if heading is not None:
            off = abs(float(wrap_degrees(heading.course_deg - np.interp(second, seconds, true))))
            assert off <= heading.spread_deg + ERROR_DEG

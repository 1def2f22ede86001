from collections.abc import Callable

import numpy as np
import pytest

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.formats.csv_track import read_csv_track
from anonymize.formats.track import Track, number_segments
from anonymize.profile import TrackProfile


def track(
    lat: list[float], lon: list[float], time_s: list[float] | None = None, segment: list[int] | None = None
) -> Track:
    n = len(lat)
    nothing = np.full(n, np.nan)
    return Track(
        lat=np.array(lat, dtype=float),
        lon=np.array(lon, dtype=float),
        time_s=nothing if time_s is None else np.array(time_s, dtype=float),
        elevation_m=nothing,
        speed_mps=nothing,
        segment=np.array(segment or [0] * n, dtype=np.int32),
        crs="EPSG:4326",
    )


IMPOSSIBLE: dict[str, tuple[Callable[[], Track], str]] = {
    "no fix": (lambda: track([], []), "at least one fix"),
    "latitude beyond a pole": (lambda: track([0.0, 90.5], [0.0, 0.0]), r"fix 1: latitude .*90\.5"),
    "longitude NaN": (lambda: track([0.0], [float("nan")]), "fix 0: longitude .*nan"),
    "longitude infinite": (lambda: track([0.0], [float("inf")]), "fix 0: longitude .*inf"),
    "lengths differ": (lambda: track([0.0], [0.0, 1.0]), "one length"),
    "segments decrease": (lambda: track([0.0, 1.0], [0.0, 1.0], None, [1, 0]), "decrease"),
    "time infinite": (lambda: track([0.0], [0.0], [float("inf")]), "fix 0: time .*inf"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_impossible_tracks_are_refused_with_index_and_value(case):
    make, message = IMPOSSIBLE[case]
    with pytest.raises(MalformedItemError, match=message):
        make()


def test_arrays_are_read_only():
    made = track([1.0], [2.0])
    with pytest.raises(ValueError, match="read-only"):
        made.lat[0] = 3.0


def test_equal_times_stay_and_times_that_run_back_start_a_segment():
    time_s = np.array([10.0, 11.0, 11.0, 5.0, np.nan, 6.0, 4.0, 100.0])
    breaks = np.zeros(8, dtype=bool)
    assert number_segments(breaks, time_s).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    breaks[3] = True
    assert number_segments(breaks, time_s).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]


def test_position_is_interpolated_within_a_segment_only():
    made = track([10.0, 10.001, 10.002], [20.0, 20.0, 20.0], [0.0, 10.0, 60.0], [0, 0, 0])
    lat, lon, course = made.position_at(5.0)
    assert (lat, lon) == pytest.approx((10.0005, 20.0))
    assert course == pytest.approx(0.0)
    assert made.position_at(35.0) is None
    assert made.position_at(35.0, max_gap_s=60.0)[0] == pytest.approx(10.0015)
    assert made.position_at(-0.1) is None
    assert made.position_at(60.1) is None


def test_two_segments_that_answer_differently_leave_the_position_unknown():
    made = track([10.0, 10.1, 30.0, 30.1], [20.0, 20.0, 20.0, 20.0], [0.0, 10.0, 0.0, 10.0], [0, 0, 1, 1])
    assert made.position_at(5.0) is None


def test_position_across_the_antimeridian_and_while_standing():
    made = track([0.0, 0.0, 0.0], [179.999, -179.999, -179.999], [0.0, 10.0, 20.0])
    assert abs(made.position_at(5.0)[1]) == pytest.approx(180.0)
    assert made.position_at(15.0)[2] is None


def test_ten_fixes_a_second_at_walking_speed_have_a_course():
    """1.4 m/s is 0.14 m from fix to fix, north for 10 s and then east."""
    step, count = 0.14 / 110_574, 100
    lat = np.r_[np.arange(count) * step, np.full(count, (count - 1) * step)]
    lon = np.r_[np.zeros(count), np.arange(count) * step * 110_574 / 111_320]
    made = track(lat.tolist(), lon.tolist(), (np.arange(2 * count) / 10.0).tolist())
    north = [made.position_at(t)[2] for t in (0.05, 0.5, 5.0, 9.0)]
    assert all(min(course, 360.0 - course) < 1.0 for course in north)
    assert [made.position_at(t)[2] for t in (11.0, 15.0, 19.9)] == pytest.approx([90.0] * 3, abs=1.0)


def test_what_creeps_or_stands_has_no_course():
    """Less than 1 m in 2 s: a course over a longer time would be that of another street."""
    creeping = track([i * 0.04 / 110_574 for i in range(200)], [0.0] * 200, [i / 10.0 for i in range(200)])
    assert creeping.position_at(10.0)[2] is None
    assert track([5.0] * 50, [6.0] * 50, [i / 10.0 for i in range(50)]).position_at(2.5)[2] is None
    assert track([5.0], [6.0], [1.0]).position_at(1.0) == (5.0, 6.0, None)


def test_length_and_time_span_ignore_the_gaps_between_segments():
    made = track([0.0, 0.001, 50.0], [0.0, 0.0, 50.0], [1.0, 2.0, float("nan")], [0, 0, 1])
    assert made.path_length_m() == pytest.approx(110.574, abs=0.01)
    assert made.time_span() == (1.0, 2.0)
    assert track([0.0], [0.0]).time_span() is None


def test_more_fixes_than_the_profile_permits_are_refused(profile: TrackProfile):
    content = b"lat,lon\n" + b"1.0,2.0\n" * 10_001
    small = TrackProfile(
        **{name: getattr(profile, name) for name in profile.__dataclass_fields__} | {"max_points": 10_000}
    )
    with pytest.raises(LimitExceededError, match="expected at most 10000"):
        read_csv_track(content, profile=small, crs="EPSG:4326")
    assert profile.max_points == 10_000_000

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymize.errors import AnonymizeError, LimitExceededError, MalformedItemError
from anonymize.formats.kitti import read_points, write_points
from anonymize.profile import PointProfile

REFUSED = {
    "empty": (b"", "got 0 bytes"),
    "truncated": (bytes(17), "got 17 bytes"),
    "NaN": (np.array([[1, 2, 3, 0], [1, np.nan, 3, 0]], "<f4").tobytes(), "point 1: .*nan"),
    "infinite intensity": (np.array([[1, 2, 3, np.inf]], "<f4").tobytes(), "point 0: .*inf"),
    "too far": (np.array([[1, 2, 3, 0], [2e4, 2, 3, 0]], "<f4").tobytes(), "point 1: .*20000"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_malformed_sweeps_are_refused_with_index_and_value(case, point_profile):
    content, message = REFUSED[case]
    with pytest.raises(MalformedItemError, match=message):
        read_points(content, profile=point_profile)


def test_more_points_than_permitted_are_refused():
    with pytest.raises(LimitExceededError, match="got 3, expected at most 2"):
        read_points(
            bytes(48), profile=PointProfile(max_points=2, max_range_m=100.0, keep_every=1, keep_attributes=())
        )


@given(st.binary(max_size=160))
def test_any_bytes_are_read_or_refused_and_written_back(point_profile, content):
    try:
        points = read_points(content, profile=point_profile)
    except AnonymizeError:
        return
    assert write_points(points) == content


def test_real_sweeps_come_back_byte_for_byte(shared, point_profile):
    for path in sorted((shared / "kitti_object" / "velodyne").glob("*.bin")):
        content = path.read_bytes()
        points = read_points(content, profile=point_profile)
        assert points.shape == (len(content) // 16, 4)
        assert write_points(points) == content

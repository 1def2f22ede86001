"""KITTI's tables are known by their content; a table of numbers of another shape never passes as plain text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import UnknownFormatError
from anonymize.layouts.kitti import (
    is_kitti_poses,
    is_kitti_times,
    is_kitti_timestamps,
    is_oxts,
    kitti_kind,
)


def test_each_table_is_known(drive):
    assert is_oxts(drive.oxts([0]))
    assert is_oxts(drive.oxts([0, 1, 2]))
    assert is_kitti_timestamps(drive.timestamps())
    assert is_kitti_times(drive.times())
    assert is_kitti_poses(drive.poses(range(20)))
    assert not is_oxts(drive.poses(range(20)))


@pytest.mark.parametrize("change", [b"\r\n", b"\t", b","])
def test_other_delimiters_and_line_ends_hide_nothing(drive, change):
    content = drive.oxts([0, 1])
    swapped = content.replace(b"\n", change) if change == b"\r\n" else content.replace(b" ", change)
    assert kitti_kind(swapped) == "oxts"
    assert kitti_kind(b"\xef\xbb\xbf" + content) == "oxts"


def test_real_calibration_and_labels_are_left_to_the_text_handler(kitti_object):
    for folder in ("calib", "label_2"):
        for path in (kitti_object / folder).glob("*.txt"):
            assert kitti_kind(path.read_bytes()) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        "纬度 39.9".encode(),
        b"Car 0.00 0 1.85 387.63\n",
        b"P0: 1 2 3\n",
        b"hello world\n",
        b"5\n4\n3\n",
        b"000000\n000003\n",
    ],
)
def test_other_texts_are_none_of_them(content):
    assert kitti_kind(content) is None


def _tum():
    return b"1305031102.1758 1.3405 0.6266 1.6575 0.6574 0.6126 -0.2949 -0.3248\n"


REFUSED = {
    "TUM": (_tum(), "quaternions"),
    "KITTI-360 poses": ((b"1 " + b" ".join([b"0.5"] * 12) + b"\n"), "KITTI-360"),
    "KITTI-360 4 by 4": ((b"1 " + b" ".join([b"0.5"] * 16) + b"\n"), "4 by 4"),
    "positions": (b"39.9 116.3\n39.91 116.31\n", "2 numbers a line"),
    "ragged": (b"1 2 3\n4 5\n", "2 to 3"),
    "oxts cut off": (b" ".join([b"1.0"] * 29) + b"\n", "29 numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_tables_of_other_shapes_are_refused_with_their_shape(name):
    content, message = REFUSED[name]
    with pytest.raises(UnknownFormatError, match=message) as caught:
        kitti_kind(content)
    assert "39.9" not in str(caught.value)


def test_one_record_cut_off_makes_the_whole_file_refused(drive):
    content = drive.oxts([0, 1])
    with pytest.raises(UnknownFormatError):
        kitti_kind(content.rsplit(b" ", 3)[0])


def test_matrices_that_numpy_writes_are_known(tmp_path):
    np.savetxt(tmp_path / "p.txt", np.tile(np.eye(4)[:3].ravel(), (3, 1)))
    assert kitti_kind((tmp_path / "p.txt").read_bytes()) == "poses"


@settings(deadline=None, max_examples=200)
@given(
    content=st.binary(max_size=200)
    | st.text(alphabet="0123456789.-+eE nai,;\t\n:", max_size=200).map(str.encode)
)
def test_whatever_text_comes_it_is_a_table_none_or_refused(content):
    try:
        kind = kitti_kind(content)
    except UnknownFormatError:
        return
    assert kind in {None, "oxts", "poses", "times", "timestamps"}

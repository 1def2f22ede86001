"""When the lines of files of times were, and which file says it of poses."""

import io
from datetime import UTC, datetime

import numpy as np
import pytest

from anonymize.errors import MalformedItemError
from anonymize.formats.identify import ItemKind
from anonymize.profile import shipped_profile
from gateway.errors import HeldError
from gateway.flow.kinds.line_times import line_times, times_of_lines
from gateway.flow.kinds.siblings import Sibling, Siblings

BEGIN = datetime(2026, 9, 14, 1, 30, tzinfo=UTC).timestamp()
PROFILE = shipped_profile("cn-2026").profile.tracks
KINDS = {"png": ItemKind.PNG, "bin": ItemKind.KITTI_POINTS}


def lines(*offsets: float, ahead_s: float = 0.0, zone: str = "") -> bytes:
    moments = [datetime.fromtimestamp(BEGIN + offset + ahead_s, UTC) for offset in offsets]
    return "".join(f"{m.strftime('%Y-%m-%d %H:%M:%S.%f')}{zone}\n" for m in moments).encode()


def sibling(name: str, content: bytes = b"", captured: float | None = None) -> Sibling:
    kind = KINDS.get(name.rpartition(".")[2], ItemKind.KITTI_POSES)
    if "time" in name:
        kind = ItemKind.KITTI_TIMESTAMPS if "timestamps" in name else ItemKind.KITTI_TIMES
    return Sibling(item=name, name=name, kind=kind, captured=captured, open=lambda: io.BytesIO(content))


def since_begin(item: Sibling, *others: Sibling) -> list[float]:
    content = item.open().read()
    found = line_times(item, content, Siblings(items=(item, *others)), profile=PROFILE)
    return np.round(found - BEGIN, 3).tolist()


def frame(number: int, offset: float | None, folder: str = "cam/data") -> Sibling:
    return sibling(f"{folder}/{number:010d}.png", captured=None if offset is None else BEGIN + offset)


def test_items_say_how_far_the_clock_was_ahead():
    item = sibling("cam/timestamps.txt", lines(0.0, 0.1, 0.2, 0.3, ahead_s=28_800.7))
    assert since_begin(item, frame(0, 0.0), frame(1, 0.1), frame(2, None), frame(3, 0.31)) == [
        0.0, 0.1, 0.2, 0.3,
    ]  # fmt: skip
    # Of a lost frame there is a line all the same.
    assert since_begin(item, frame(3, 0.3)) == [0.0, 0.1, 0.2, 0.3]


def test_items_of_another_folder_say_nothing():
    item = sibling("cam/timestamps.txt", lines(0.0, 0.1))
    for other in (
        frame(0, 0.0, "data"),
        frame(0, 0.0, "cam"),
        frame(0, 0.0, "other/cam/data"),
        frame(7, 0.7),
    ):
        with pytest.raises(HeldError, match="state no zone") as caught:
            since_begin(item, other)
        assert caught.value.reason == "time_unknown"


def test_folders_at_the_top_have_items_too():
    assert since_begin(sibling("timestamps.txt", lines(0.0, 0.1, ahead_s=60.0)), frame(1, 0.1, "data")) == [
        0.0, 0.1,
    ]  # fmt: skip


def test_the_manifest_says_the_time_of_the_first_line():
    item = sibling("cam/timestamps.txt", lines(5.0, 5.1, ahead_s=-3600.0), captured=BEGIN)
    assert since_begin(item) == [0.0, 0.1]


def test_a_zone_that_lines_state_needs_no_manifest():
    assert since_begin(sibling("cam/timestamps.txt", lines(0.0, 0.1, ahead_s=7200.0, zone="+02:00"))) == [
        0.0, 0.1,
    ]  # fmt: skip


def test_begin_and_end_of_a_sweep_take_the_clock_of_its_middle():
    middle = sibling("velo/timestamps.txt", lines(0.05, 0.15, ahead_s=9.0))
    data = frame(0, 0.05, "velo/data")
    for name, offsets in (("timestamps_start", (0.0, 0.1)), ("timestamps_end", (0.1, 0.2))):
        item = sibling(f"velo/{name}.txt", lines(*offsets, ahead_s=9.0))
        assert since_begin(item, middle, data) == list(offsets)
        alone = since_begin(item, data)
        assert alone == [0.05, 0.15]


@pytest.mark.parametrize(
    ("item", "others"),
    [
        (sibling("cam/timestamps.txt", lines(0.0, 0.1)), (frame(0, 0.0), frame(1, 0.8))),
        (sibling("cam/timestamps.txt", lines(0.0, 0.1), captured=BEGIN + 0.6), (frame(0, 0.0),)),
        (sibling("cam/timestamps.txt", lines(0.0, 0.1, zone="Z")), (frame(0, 0.6),)),
        (sibling("cam/timestamps.txt", lines(0.0, 0.1, zone="Z"), captured=BEGIN + 0.6), ()),
    ],
)
def test_what_disagrees_is_refused(item, others):
    with pytest.raises(MalformedItemError, match="disagree"):
        since_begin(item, *others)


def test_seconds_count_from_what_the_manifest_says():
    assert since_begin(sibling("times.txt", b"0.0\n0.1\n", captured=BEGIN)) == [0.0, 0.1]
    with pytest.raises(HeldError, match="captured_at"):
        since_begin(sibling("times.txt", b"0.0\n0.1\n"), frame(0, 0.0, "data"))


TIMES = b"0.0\n0.1\n0.2\n"


def of_poses(name: str, *others: Sibling, count: int = 3) -> list[float]:
    item = sibling(name)
    found = times_of_lines(item, count, Siblings(items=(item, *others)), profile=PROFILE)
    return np.round(found - BEGIN, 3).tolist()


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("poses/07.txt", "sequences/07/times.txt"),
        ("dataset/poses/07.txt.gz", "dataset/sequences/07/times.txt"),
        ("drive/poses.txt", "drive/times.txt"),
        ("poses.txt", "times.txt"),
    ],
)
def test_poses_take_the_times_of_their_sequence_or_of_the_file_beside_them(name, beside):
    shorter = sibling(beside.replace("times", "timestamps_start"), lines(0.0, 0.1, zone="Z"))
    assert of_poses(name, sibling(beside, TIMES, BEGIN), shorter) == [0.0, 0.1, 0.2]


@pytest.mark.parametrize(
    ("name", "others", "why"),
    [
        ("poses/07.txt", (sibling("sequences/08/times.txt", TIMES, BEGIN),), "got 0 files"),
        ("other/07.txt", (sibling("sequences/07/times.txt", TIMES, BEGIN),), "got 0 files"),
        ("poses/07.txt", (sibling("sequences/07/times.txt", TIMES + b"0.3\n", BEGIN),), "got 0 files"),
        (
            "poses/07.txt",
            (sibling("sequences/07/times.txt", TIMES, BEGIN), sibling("poses/times.txt", TIMES, BEGIN)),
            "got 2 files",
        ),
        ("poses/07.txt", (sibling("sequences/07/times.txt", TIMES),), "captured_at"),
    ],
)
def test_poses_without_the_one_file_of_their_times_are_held(name, others, why):
    with pytest.raises(HeldError, match=why) as caught:
        of_poses(name, *others)
    assert caught.value.reason == "time_unknown"

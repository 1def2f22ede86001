"""KITTI folders: which text file is which, by content alone, and which are refused.

Known: the oxts files of the raw recordings (``oxts/data/*.txt``), ``timestamps*.txt``, ``times.txt`` and
``poses/*.txt`` of the odometry benchmark. Texts of the calibration and of labels are left to the text handler.
Tables of numbers that may hold a path in another shape are named and refused: as plain text they would pass.
"""

import itertools
import math
import re
from collections.abc import Sequence
from typing import Literal

from anonymize.errors import UnknownFormatError
from anonymize.formats.strict_json import BOM

KittiKind = Literal["oxts", "timestamps", "times", "poses"]

OXTS_NUMBERS = 30
POSE_NUMBERS = 12
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|[+-]\d\d:?\d\d)?")

_FRACTION = re.compile(r"[.eE]")
_TUM_NUMBERS = 8
_KITTI_360 = {13: "KITTI-360 poses (a frame and 3 by 4 numbers a line)", 17: "KITTI-360 poses (4 by 4)"}
_UNIT = 0.01


def kitti_kind(content: bytes) -> KittiKind | None:
    """Which of the known tables a text is; None where it is no table of numbers or times.

    Raises:
        UnknownFormatError: It is a table that may hold a path, in a shape that cannot be treated.
    """
    rows = _rows(content)
    if rows is None:
        return None
    if all(STAMP.fullmatch(" ".join(row)) for row in rows):
        return "timestamps"
    if not all(NUMBER.fullmatch(cell) for row in rows for cell in row):
        return None
    widths = {len(row) for row in rows}
    if widths == {OXTS_NUMBERS}:
        return "oxts"
    if widths == {POSE_NUMBERS}:
        return "poses"
    if widths == {1}:
        return "times" if _are_times([row[0] for row in rows]) else None
    raise UnknownFormatError(_refusal(rows, widths))


def is_oxts(content: bytes) -> bool:
    """Whether every line has 30 numbers, as the GPS/IMU records of KITTI's raw recordings have.

    Geiger et al., "Vision meets Robotics: The KITTI Dataset" (2013), and ``dataformat.txt`` of the recordings.
    """
    return _is(content, "oxts")


def is_kitti_poses(content: bytes) -> bool:
    """Whether every line has 12 numbers: a 3 by 4 matrix of the odometry benchmark."""
    return _is(content, "poses")


def is_kitti_timestamps(content: bytes) -> bool:
    """Whether every line is a date and a time, as in ``timestamps.txt``, ``timestamps_start.txt`` and the like."""
    return _is(content, "timestamps")


def is_kitti_times(content: bytes) -> bool:
    """Whether every line is one number with a fraction, rising: seconds since the first frame (``times.txt``)."""
    return _is(content, "times")


def lines_of(content: bytes) -> list[list[str]]:
    """The cells of every line that is not blank.

    Raises:
        UnknownFormatError: It is no text, or empty.
    """
    rows = _rows(content)
    if rows is None:
        raise UnknownFormatError("a KITTI table is lines of numbers (got no text in ASCII)")
    return rows


def _is(content: bytes, kind: KittiKind) -> bool:
    try:
        return kitti_kind(content) == kind
    except UnknownFormatError:
        return False


def _rows(content: bytes) -> list[list[str]] | None:
    try:
        text = content.removeprefix(BOM).decode("ascii")
    except UnicodeDecodeError:
        return None
    # Commas and semicolons part cells too, so that a table cannot hide behind its delimiter.
    rows = [line.replace(",", " ").replace(";", " ").split() for line in text.splitlines()]
    rows = [row for row in rows if row]
    return rows or None


def _are_times(cells: Sequence[str]) -> bool:
    """Rising numbers with a fraction; whole ones are the numbers of frames (``ImageSets/train.txt``)."""
    values = [float(cell) for cell in cells]
    written = all(_FRACTION.search(cell) for cell in cells) and all(map(math.isfinite, values))
    return written and len(values) > 1 and all(a <= b for a, b in itertools.pairwise(values))


def _refusal(rows: list[list[str]], widths: set[int]) -> str:
    width = len(rows[0])
    if len(widths) > 1:
        what = f"a table of numbers with lines of {min(widths)} to {max(widths)}"
    elif width == _TUM_NUMBERS and _ends_in_quaternion(rows[0]):
        what = "a trajectory of times, positions and quaternions (8 numbers a line)"
    else:
        what = _KITTI_360.get(width, f"a table of {width} numbers a line")
    return (
        f"a table of numbers may hold a path and is of no known shape (got {what}, expected KITTI oxts with 30 "
        "numbers, poses with 12, or timestamps)"
    )


def _ends_in_quaternion(row: list[str]) -> bool:
    return abs(sum(float(cell) ** 2 for cell in row[-4:]) - 1.0) <= _UNIT

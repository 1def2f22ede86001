"""When the lines of KITTI's files of times were: by their zone, by the items that they number, by the manifest.

The first pass alone asks this, of originals; what it finds is stored with the item.
"""

import numpy as np

from anonymize.errors import MalformedItemError
from anonymize.formats.identify import ItemKind
from anonymize.geo.ellipsoid import FloatArray
from anonymize.layouts.kitti import lines_of
from anonymize.layouts.timestamps import (
    MAX_CLOCK_ERROR_S,
    clock_ahead_s,
    numbered_lines,
    read_times,
    read_timestamps,
    states_zone,
)
from anonymize.profile import TrackProfile
from gateway.errors import HeldError
from gateway.flow.kinds.siblings import Sibling, Siblings

TIME_KINDS = (ItemKind.KITTI_TIMESTAMPS, ItemKind.KITTI_TIMES)
_PARTS_OF_A_SWEEP = ("timestamps_start", "timestamps_end")
_WHOLE_SWEEP = "timestamps"


def line_times(item: Sibling, content: bytes, siblings: Siblings, *, profile: TrackProfile) -> FloatArray:
    """POSIX seconds of every line of ``timestamps.txt``, ``times.txt`` and the like.

    ``times.txt`` counts from ``captured_at`` of its own. Of the others, the first that holds:

    1. The lines state their zone.
    2. Items in ``data`` beside the file were taken at known times, and the lines are those of their numbers: the
    median says how far the clock was ahead of UTC. The begin and the end of a sweep take what
    ``timestamps.txt`` beside them says.
    3. The file has a ``captured_at`` of its own: that is the time of its first line.

    What else is known must agree to ``MAX_CLOCK_ERROR_S``.

    Args:
        item: The file of times.
        content: Its original.
        siblings: The items of its recording, as originals.
        profile: Limits.

    Raises:
        HeldError: None of these says when the lines were.
        MalformedItemError: Two of them disagree, or the content is malformed.
        LimitExceededError: There are more lines than the profile permits.
    """
    if item.kind is ItemKind.KITTI_TIMES:
        if item.captured is None:
            raise _unknown("seconds count from a moment that the manifest does not state (captured_at)")
        return read_times(content, begin_s=item.captured, profile=profile)
    clock_s = read_timestamps(content, profile=profile)
    ahead = _ahead_of_items(item, clock_s, siblings)
    beside = _whole_sweeps(item, siblings)
    if states_zone(content):
        _require_agreement(
            0.0, ahead, "the zone that lines state and captured_at of the items that they number"
        )
        ahead = 0.0
    elif beside is not None:
        ahead = _ahead(beside, siblings, profile=profile)
    if ahead is None and item.captured is not None:
        return np.asarray(clock_s - clock_s[0] + item.captured)
    if ahead is None:
        raise _unknown(
            "timestamps state no zone (got no captured_at for the file nor for items that its lines number)"
        )
    own = None if item.captured is None else float(clock_s[0]) - item.captured
    _require_agreement(ahead, own, "captured_at of the file and of the items that its lines number")
    return np.asarray(clock_s - ahead)


def times_of_lines(item: Sibling, count: int, siblings: Siblings, *, profile: TrackProfile) -> FloatArray:
    """POSIX seconds of the lines of an item that another file of its recording gives the times of.

    That file lies beside it, or is ``sequences/NN/times.txt`` of ``poses/NN.txt``, and has as many lines.

    Args:
        item: The item.
        count: Its number of lines.
        siblings: The items of its recording, as originals.
        profile: Limits.

    Raises:
        HeldError: There is no such file, more than one, or nothing says when its lines were.
        MalformedItemError: What says it disagrees.
    """
    above, _, folder = item.folder.rpartition("/")
    number = _stem(item)
    folders = {item.folder}
    if folder == "poses":
        folders.add(f"{above}/sequences/{number}" if above else f"sequences/{number}")
    found = []
    for sibling in siblings.of(*TIME_KINDS):
        if sibling.folder in folders:
            content = _content(sibling)
            if len(lines_of(content)) == count:
                found.append((sibling, content))
    if len(found) != 1:
        raise _unknown(
            f"the times of its lines are in another file (got {len(found)} files of {count} times beside it or "
            "in its sequence, expected one)"
        )
    return line_times(*found[0], siblings, profile=profile)


def _ahead_of_items(item: Sibling, clock_s: FloatArray, siblings: Siblings) -> float | None:
    """How far the clock was ahead by the items that the lines number; None where these say nothing."""
    data = f"{item.folder}/data" if item.folder else "data"
    numbered = [sibling for sibling in siblings.items if sibling.folder == data]
    stems = [_stem(sibling) for sibling in numbered]
    lines = numbered_lines(stems, len(clock_s))
    if lines is None:
        return None
    known = [
        (clock_s[line], sibling.captured)
        for line, sibling in zip(lines, numbered, strict=True)
        if sibling.captured is not None
    ]
    return clock_ahead_s(*zip(*known, strict=True)) if known else None


def _whole_sweeps(item: Sibling, siblings: Siblings) -> Sibling | None:
    """``timestamps.txt`` beside ``timestamps_start.txt`` or ``_end.txt``: the middle of the same sweeps."""
    if _stem(item) not in _PARTS_OF_A_SWEEP:
        return None
    for sibling in siblings.of(ItemKind.KITTI_TIMESTAMPS):
        if sibling.folder == item.folder and _stem(sibling) == _WHOLE_SWEEP:
            return sibling
    return None


def _ahead(item: Sibling, siblings: Siblings, *, profile: TrackProfile) -> float | None:
    content = _content(item)
    if states_zone(content):
        return None
    clock_s = read_timestamps(content, profile=profile)
    ahead = _ahead_of_items(item, clock_s, siblings)
    return float(clock_s[0]) - item.captured if ahead is None and item.captured is not None else ahead


def _require_agreement(ahead_s: float, other_s: float | None, what: str) -> None:
    if other_s is not None and not abs(other_s - ahead_s) <= MAX_CLOCK_ERROR_S:
        raise MalformedItemError(
            f"{what} disagree (got {abs(other_s - ahead_s):.3f} s between them, "
            f"expected at most {MAX_CLOCK_ERROR_S:g} s)"
        )


def _stem(item: Sibling) -> str:
    return item.name.rpartition("/")[2].partition(".")[0]


def _content(item: Sibling) -> bytes:
    with item.open() as file:
        return file.read()


def _unknown(why: str) -> HeldError:
    return HeldError("time_unknown", why)

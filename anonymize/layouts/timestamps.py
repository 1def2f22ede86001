"""Times of KITTI folders, a line per frame of a sensor: ``timestamps.txt`` absolute, ``times.txt`` from 0.

Absolute times have no zone; KITTI's are those of the recording computer. The caller says by how much it differs
from UTC (:func:`clock_ahead_s`). What a release leaves out has no line in it, so that lines no longer number the
frames.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anonymize.errors import LimitExceededError, MalformedItemError, OutsideReleaseError
from anonymize.geo.clips import ClipPlan
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.layouts.kitti import NUMBER, STAMP, lines_of
from anonymize.profile import TrackProfile

STORED_HEADER = "time_s"
LOCAL_HEADER = "clip,t_s"
MEDIA_TYPE_STORED = MEDIA_TYPE_LOCAL = "text/csv"
MEDIA_TYPE_OFFSET = "text/plain"

MAX_CLOCK_ERROR_S = 0.5
"""Greatest difference between what two known times say of a clock: 18 m of way at 130 km/h."""

_LONGEST_S = 30 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnlinkedTimes:
    """Times as they leave; ``source_s`` are the true ones behind them, line by line."""

    content: bytes
    source_s: FloatArray = field(repr=False)


def read_timestamps(content: bytes, *, profile: TrackProfile, utc_offset_s: float = 0.0) -> FloatArray:
    """Read ``timestamps.txt``: POSIX seconds, to a microsecond.

    Args:
        content: Lines of a date and a time.
        profile: Limits.
        utc_offset_s: How far the clock was ahead of UTC, in seconds, where lines state no zone.

    Raises:
        MalformedItemError: A line is no date and time.
        LimitExceededError: There are more lines than the profile permits.
        UnknownFormatError: It is no text.
    """
    rows = lines_of(content)
    _require_count(len(rows), profile)
    return np.array([_posix(" ".join(row), number, utc_offset_s) for number, row in enumerate(rows)])


def read_times(content: bytes, *, begin_s: float, profile: TrackProfile) -> FloatArray:
    """Read ``times.txt``: POSIX seconds.

    Args:
        content: Lines of seconds since the first frame.
        begin_s: POSIX seconds at 0, from the manifest.
        profile: Limits.

    Raises:
        MalformedItemError: A line is no number, or they fall, or span more than 30 days.
        LimitExceededError: There are more lines than the profile permits.
        UnknownFormatError: It is no text.
    """
    rows = lines_of(content)
    _require_count(len(rows), profile)
    for number, row in enumerate(rows):
        if len(row) != 1 or not NUMBER.fullmatch(row[0]):
            raise MalformedItemError(f"line {number}: no time (got {len(row)} cells, expected one number)")
    since = np.array(rows, dtype=np.float64)[:, 0]
    if not np.isfinite(begin_s) or not (np.diff(since) >= 0.0).all() or not np.abs(since).max() <= _LONGEST_S:
        raise MalformedItemError("times are seconds since the first frame, rising (got others)")
    return np.asarray(since + begin_s)


def states_zone(content: bytes) -> bool:
    """Whether the lines of ``timestamps.txt`` state their zone, so that nothing else has to say it.

    Raises:
        MalformedItemError: Some do and others don't, or a line is no date and time.
        UnknownFormatError: It is no text.
    """
    stated = {bool(_zone(_stamp_of(" ".join(row), number))) for number, row in enumerate(lines_of(content))}
    if len(stated) > 1:
        raise MalformedItemError("either all lines state a zone or none does (got some of each)")
    return stated == {True}


def numbered_lines(stems: Sequence[str], count: int) -> NDArray[np.intp] | None:
    """Which of ``count`` lines, from 0, each file of a sensor belongs to, by the stem of its name.

    1. Stems are numbers below ``count``, each but once: a number is that of its line, and a line may be without a
    file. 2. There are as many files as lines: in the order of their names. None where neither holds.
    """
    if stems and all(stem.isascii() and stem.isdigit() for stem in stems):
        numbers = np.array([int(stem) for stem in stems], dtype=object)
        if numbers.max() < count and len(set(numbers.tolist())) == len(stems):
            return numbers.astype(np.intp)
    if len(stems) != count:
        return None
    lines = np.empty(count, dtype=np.intp)
    lines[np.array(sorted(range(count), key=lambda index: stems[index]), dtype=np.intp)] = np.arange(count)
    return lines


def clock_ahead_s(clock_s: ArrayLike, known_s: ArrayLike) -> float:
    """By how many seconds a clock was ahead: the median over moments of which both times are known.

    Args:
        clock_s: What the clock showed, read as UTC.
        known_s: POSIX seconds of the same moments, at least one.

    Raises:
        MalformedItemError: Two moments differ by more than ``MAX_CLOCK_ERROR_S`` in what they say.
    """
    ahead = np.atleast_1d(np.asarray(clock_s, np.float64)) - np.atleast_1d(np.asarray(known_s, np.float64))
    middle = float(np.median(ahead))
    apart = float(np.ptp(ahead))
    if not apart <= MAX_CLOCK_ERROR_S:
        raise MalformedItemError(
            f"the times of lines and of the items that they number disagree "
            f"(got {apart:.3f} s between them, expected at most {MAX_CLOCK_ERROR_S:g} s)"
        )
    return middle


def write_stored_times(time_s: FloatArray) -> bytes:
    """The intermediate form, of ours: a header and POSIX seconds, a line each."""
    return "\n".join([STORED_HEADER, *map(repr, time_s.tolist()), ""]).encode()


def read_stored_times(content: bytes, *, profile: TrackProfile) -> FloatArray:
    """The inverse of :func:`write_stored_times`.

    Raises:
        MalformedItemError: It is not of that form.
        LimitExceededError: There are more lines than the profile permits.
    """
    header, *rows = content.decode("ascii", "replace").splitlines() or [""]
    _require_count(len(rows), profile)
    if header != STORED_HEADER or not rows or not all(map(NUMBER.fullmatch, rows)):
        raise MalformedItemError(
            f"stored times have a header {STORED_HEADER!r} and numbers (got another form)"
        )
    times = np.array(rows, dtype=np.float64)
    if not np.isfinite(times).all():
        raise MalformedItemError("stored times are finite (got others)")
    return times


def write_timestamps(time_s: FloatArray) -> bytes:
    """Write KITTI's form with microseconds, UTC, without a zone."""
    return "".join(f"{_stamp(time)}000\n" for time in time_s.tolist()).encode()


def local_times(time_s: FloatArray, plan: ClipPlan) -> UnlinkedTimes:
    """LOCAL: ``clip,t_s`` of every time that lies in a clip, clip by clip.

    Raises:
        OutsideReleaseError: None does.
    """
    number = plan.clip_of(time_s)
    order = np.lexsort((time_s, number))
    order = order[number[order] >= 0]
    if not len(order):
        raise OutsideReleaseError("no time lies in a clip (expected some)")
    source, clips = time_s[order], number[order].tolist()
    lines = [LOCAL_HEADER]
    for clip, time in zip(clips, source.tolist(), strict=True):
        lines.append(f"{clip},{float(plan.clips[clip].times(time)) + 0.0:.6f}")
    return UnlinkedTimes(content="\n".join([*lines, ""]).encode(), source_s=source)


def offset_times(time_s: FloatArray, plan: OffsetPlan) -> UnlinkedTimes:
    """OFFSET: the times of kept spans, shifted, in KITTI's form.

    Raises:
        OutsideReleaseError: None lies in a kept span.
    """
    source = time_s[plan.span_of(time_s) >= 0]
    if not len(source):
        raise OutsideReleaseError("no time lies in a kept span (expected some)")
    return UnlinkedTimes(content=write_timestamps(plan.times(source)), source_s=source)


def _require_count(count: int, profile: TrackProfile) -> None:
    if count > profile.max_points:
        raise LimitExceededError(f"too many lines (got {count}, expected at most {profile.max_points})")


def _posix(line: str, number: int, utc_offset_s: float) -> float:
    match = _stamp_of(line, number)
    zone = _zone(match)
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}{zone or '+00:00'}")
    except ValueError as error:
        raise MalformedItemError(f"line {number}: no such date or time (got {line[:40]!r})") from error
    whole = moment.timestamp() - (0.0 if zone else utc_offset_s)
    return whole + int((match[3] or "0").ljust(9, "0")) / 1e9


def _stamp_of(line: str, number: int) -> re.Match[str]:
    match = STAMP.fullmatch(line)
    if match is None:
        raise MalformedItemError(
            f"line {number}: no timestamp (got {line[:40]!r}, expected a date and a time)"
        )
    return match


def _zone(match: re.Match[str]) -> str:
    return match.string[match.end(3) if match[3] else match.end(2) :]


def _stamp(time_s: float) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=round(time_s * 1e6))
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")

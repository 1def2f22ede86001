"""Times of KITTI folders, a line per frame of a sensor: ``timestamps.txt`` absolute, ``times.txt`` from 0.

Absolute times have no zone; KITTI's are those of the recording computer. The caller says by how much it differs
from UTC. What a release leaves out has no line in it, so that lines no longer number the frames.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from anonymize.errors import LimitExceededError, MalformedItemError, OutsideReleaseError
from anonymize.geo.clips import ClipPlan
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.layouts.kitti import NUMBER, STAMP, lines_of
from anonymize.profile import TrackProfile

LOCAL_HEADER = "clip,t_s"
MEDIA_TYPE_LOCAL, MEDIA_TYPE_OFFSET = "text/csv", "text/plain"

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
    match = STAMP.fullmatch(line)
    if match is None:
        raise MalformedItemError(
            f"line {number}: no timestamp (got {line[:40]!r}, expected a date and a time)"
        )
    zone = line[match.end(3) if match[3] else match.end(2) :]
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}{zone or '+00:00'}")
    except ValueError as error:
        raise MalformedItemError(f"line {number}: no such date or time (got {line[:40]!r})") from error
    whole = moment.timestamp() - (0.0 if zone else utc_offset_s)
    return whole + int((match[3] or "0").ljust(9, "0")) / 1e9


def _stamp(time_s: float) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=round(time_s * 1e6))
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")

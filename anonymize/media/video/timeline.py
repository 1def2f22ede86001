"""When each frame is shown, read from the container without decoding, and where segments begin."""

import hashlib
import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.media.video.container import (
    VideoSource,
    decoding_errors,
    frame_rate,
    is_raw,
    open_video,
)
from anonymize.media.video.structure import require_whole
from anonymize.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Presentation times of all frames, in presentation order.

    Attributes:
        time_base: Seconds per tick.
        ticks: Presentation time of each frame in ticks, strictly increasing, of the source's own origin.
        last_ticks: How long the last frame is shown, in ticks.
        starts: First frame of each segment; the first is 0.
        raw: The times were counted, because the file has none.
        cut: Segments that do not leave.
    """

    time_base: Fraction
    ticks: Sequence[int] = field(repr=False)
    last_ticks: int
    starts: tuple[int, ...]
    raw: bool
    cut: frozenset[int] = frozenset()

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.ticks)

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self.starts)

    @property
    def kept(self) -> tuple[int, ...]:
        """Segments that leave, in order."""
        return tuple(index for index in range(self.segments) if index not in self.cut)

    @property
    def kept_frames(self) -> tuple[int, ...]:
        """Frames that leave, in order; the place of a frame here is its number in the treated video."""
        return tuple(frame for index in self.kept for frame in self.segment(index))

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return float((self.ticks[-1] - self.ticks[0] + self.last_ticks) * self.time_base)

    @property
    def variable(self) -> bool:
        """Whether steps between frames differ by more than the rounding of one tick."""
        steps = [b - a for a, b in pairwise(self.ticks)]
        return bool(steps) and max(steps) - min(steps) > 1

    def time_s(self, frame: int) -> float:
        """Seconds from the first frame to this one."""
        return float((self.ticks[frame] - self.ticks[0]) * self.time_base)

    def duration_ticks(self, frame: int) -> int:
        """Ticks that a frame is shown."""
        return self.ticks[frame + 1] - self.ticks[frame] if frame + 1 < self.frames else self.last_ticks

    def segment(self, index: int) -> range:
        """Frames of a segment."""
        end = self.starts[index + 1] if index + 1 < self.segments else self.frames
        return range(self.starts[index], end)

    def segment_of(self, frame: int) -> int:
        """Segment that a frame belongs to."""
        return bisect_right(self.starts, frame) - 1

    def without(self, spans: Sequence[tuple[float, float]]) -> "Timeline":
        """The timeline with every frame in the spans cut: a segment begins where frames begin to be cut, and ends.

        Args:
            spans: Closed spans in seconds from the first frame; an end may be infinite.

        Raises:
            MalformedItemError: A span is not in order or not a number.
        """
        runs = _joined([self._frames_in(*span) for span in spans])
        borders = {border for run in runs for border in (run.start, run.stop)} - {self.frames}
        starts = tuple(sorted({*self.starts, *borders}))
        first = [run.start for run in runs]
        within = [bisect_right(first, start) - 1 for start in starts]
        cut = (i for i, at in enumerate(within) if at >= 0 and starts[i] in runs[at])
        return replace(self, starts=starts, cut=frozenset(cut))

    def _frames_in(self, begin_s: float, end_s: float) -> range:
        """Frames whose time lies in a closed span; times are compared exactly."""
        if not begin_s <= end_s:
            raise MalformedItemError(f"a span of time ends after it begins (got {begin_s!r} to {end_s!r})")
        origin, first, last = self.ticks[0], 0, self.frames
        if math.isfinite(begin_s):
            first = bisect_left(self.ticks, origin + math.ceil(Fraction(begin_s) / self.time_base))
        elif begin_s > 0.0:
            first = last
        if math.isfinite(end_s):
            last = bisect_right(self.ticks, origin + math.floor(Fraction(end_s) / self.time_base))
        elif end_s < 0.0:
            last = first
        return range(first, max(first, last))

    def digest(self) -> str:
        """SHA-256 over all of it."""
        cut = sorted(self.cut)
        head = f"{self.time_base} {self.last_ticks} {self.starts} {self.raw} {cut} ".encode()
        return hashlib.sha256(head + ",".join(map(str, self.ticks)).encode()).hexdigest()


def read_timeline(source: VideoSource, *, profile: Profile) -> Timeline:
    """Read the times of all frames from the packets; nothing is decoded.

    Frames that an edit list hides are not shown and not counted.

    Raises:
        MalformedItemError: The file cannot be read to its end, has no frames, a frame without a time, or two
            frames of one time.
        LimitExceededError: There are more frames than the profile permits.
    """
    ticks, hidden, last, shown = array("q"), 0, 0, 0
    require_whole(source)
    with open_video(source) as (container, stream), decoding_errors("the video cannot be read"):
        raw, rate = is_raw(container), frame_rate(stream)
        base = 1 / rate if raw else stream.time_base
        if base is None:
            raise MalformedItemError("the video states no time base (got None)")
        for packet in container.demux(stream):
            if packet.size == 0 or packet.is_discard:
                hidden += packet.size > 0
                continue
            time = len(ticks) if raw else packet.pts
            if packet.is_corrupt or time is None:
                raise MalformedItemError(f"packet {len(ticks)} is damaged or has no presentation time")
            if len(ticks) == profile.videos.max_frames:
                raise LimitExceededError(f"too many frames (expected at most {profile.videos.max_frames})")
            if not ticks or time >= last:
                last, shown = time, int(packet.duration or 0)
            ticks.append(time)
        stated = len(stream.index_entries) if container.format.name.startswith("mov") else 0
    if not ticks:
        raise MalformedItemError("the video has no frames (got 0)")
    if stated > len(ticks) + hidden:
        raise MalformedItemError(f"the video is cut short (got {len(ticks)} frames, expected {stated})")
    ordered = array("q", sorted(ticks))
    if any(a == b for a, b in pairwise(ordered)):
        raise MalformedItemError("two frames have one presentation time")
    last_ticks = 1 if raw else shown or max(1, round(1 / rate / base))
    return Timeline(
        time_base=Fraction(base),
        ticks=ordered,
        last_ticks=last_ticks,
        starts=_starts(ordered, Fraction(base), profile.videos.segment_s),
        raw=raw,
    )


def _joined(runs: Sequence[range]) -> list[range]:
    """Runs of frames in order, those that touch or overlap as one; empty ones are left out."""
    joined: list[range] = []
    for run in sorted((r for r in runs if r), key=lambda r: r.start):
        if joined and run.start <= joined[-1].stop:
            joined[-1] = range(joined[-1].start, max(joined[-1].stop, run.stop))
        else:
            joined.append(run)
    return joined


def _starts(ticks: Sequence[int], base: Fraction, segment_s: float) -> tuple[int, ...]:
    span = Fraction(segment_s) / base
    starts, begun = [0], ticks[0]
    for index, tick in enumerate(ticks):
        if tick - begun >= span:
            starts.append(index)
            begun = tick
    return tuple(starts)

"""When each frame is shown, read from the container without decoding, and where segments begin."""

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
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
    """

    time_base: Fraction
    ticks: Sequence[int] = field(repr=False)
    last_ticks: int
    starts: tuple[int, ...]
    raw: bool

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.ticks)

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self.starts)

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

    def digest(self) -> str:
        """SHA-256 over all of it."""
        head = f"{self.time_base} {self.last_ticks} {self.starts} {self.raw} ".encode()
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


def _starts(ticks: Sequence[int], base: Fraction, segment_s: float) -> tuple[int, ...]:
    span = Fraction(segment_s) / base
    starts, begun = [0], ticks[0]
    for index, tick in enumerate(ticks):
        if tick - begun >= span:
            starts.append(index)
            begun = tick
    return tuple(starts)

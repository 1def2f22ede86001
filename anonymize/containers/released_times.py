"""How times of a recording are carried into a release: clips one after the other, or a shift."""

import bisect
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from anonymize.geo.clips import ClipPlan
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.geo.time_spans import IntArray, TimeSpans

CLIP_GAP_NS = 10_000_000_000
_PER_S = 1e9
_NS = 1e-9


class SpanIndex:
    """Looks single times up in the spans of a plan, without asking the plan each time."""

    def __init__(self, spans: TimeSpans, of: Callable[[list[float]], IntArray]) -> None:
        """Ask the plan at all bounds of its spans and between them: between two bounds the answer is one."""
        bounds = np.concatenate([spans.begin_s, spans.end_s, spans.busy_begin_s, spans.busy_end_s])
        self._bounds: list[float] = np.unique(bounds[np.isfinite(bounds)]).tolist()
        middles = [(a + b) / 2.0 for a, b in zip(self._bounds, self._bounds[1:], strict=False)]
        self._at: list[int] = of(self._bounds).tolist() if self._bounds else []
        self._between: list[int] = of(middles).tolist() if middles else []

    def number(self, time_ns: int) -> int:
        """The number of the span that holds a time; -1 for none."""
        time_s = time_ns * _NS
        after = bisect.bisect_left(self._bounds, time_s)
        if after < len(self._bounds) and self._bounds[after] == time_s:
            return self._at[after]
        return self._between[after - 1] if 0 < after < len(self._bounds) else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedTimes:
    """The times of one release.

    Attributes:
        index: Finds the span of a time.
        shift_ns: What is added to the times of each span, by its number. Secret.
        begin_ns: When each span begins in the release.
    """

    index: SpanIndex = field(repr=False)
    shift_ns: tuple[int, ...] = field(repr=False)
    begin_ns: tuple[int, ...]

    def released(self, time_ns: int, number: int) -> int:
        """A time of a span as it is released, in nanoseconds."""
        return time_ns + self.shift_ns[number]


def clip_times(plan: ClipPlan) -> ReleasedTimes:
    """Clips in released order: the first begins at 10 s, each further one 10 s after the end of the one before.

    Not at 0, which ROS reads as "no time".
    """
    begins, shifts, at = [], [], CLIP_GAP_NS
    for clip in plan.clips:
        begin = _ns(clip.begin_s)
        begins.append(at)
        shifts.append(at - begin)
        at += max(_ns(clip.end_s) - begin, 0) + CLIP_GAP_NS
    return ReleasedTimes(
        index=SpanIndex(plan.spans, plan.clip_of), shift_ns=tuple(shifts), begin_ns=tuple(begins)
    )


def shifted_times(plan: OffsetPlan) -> ReleasedTimes:
    """All times moved by the recording's keyed shift."""
    shift = _ns(plan.shift_s)
    begins = tuple(_ns(begin) + shift if np.isfinite(begin) else 0 for begin in plan.spans.begin_s.tolist())
    return ReleasedTimes(
        index=SpanIndex(plan.spans, plan.span_of), shift_ns=(shift,) * len(begins), begin_ns=begins
    )


def _ns(time_s: float) -> int:
    return round(time_s * _PER_S) if np.isfinite(time_s) else 0

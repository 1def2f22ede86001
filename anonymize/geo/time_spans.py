"""Spans of a recording's time, by which all its channels are cut alike."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anonymize.formats.track import Track
from anonymize.geo.ellipsoid import FloatArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimeSpans:
    """Numbered spans, both ends included, in POSIX seconds of the track that they were planned on.

    Attributes:
        begin_s: Begin of each span; NaN where the span has no time.
        end_s: End of each span; NaN likewise.
        busy_begin_s: Begin of everything the track did, kept or not, one per connected stretch.
        busy_end_s: Its end.
    """

    begin_s: FloatArray
    end_s: FloatArray
    busy_begin_s: FloatArray
    busy_end_s: FloatArray

    def of(self, time_s: ArrayLike) -> IntArray:
        """The number of the span that holds each time; -1 where none does.

        A time at which the clock of the track ran twice is in none: nothing says which of two places belongs
        to it. NaN is in none.
        """
        time = np.atleast_1d(np.asarray(time_s, dtype=np.float64)).ravel()
        order = np.argsort(time, kind="stable")
        ordered = time[order]
        numbers = np.arange(len(self.begin_s), dtype=np.int64)
        held = _cover(ordered, self.begin_s, self.end_s, np.ones(len(numbers), np.int64))
        busy = _cover(ordered, self.busy_begin_s, self.busy_end_s, np.ones(len(self.busy_begin_s), np.int64))
        number = _cover(ordered, self.begin_s, self.end_s, numbers)
        found = np.empty(len(time), np.int64)
        found[order] = np.where((held == 1) & (busy == 1), number, -1)
        return found


def time_range(track: Track, fixes: slice | NDArray[np.intp]) -> tuple[float, float]:
    """Earliest and latest time of some fixes of a track; NaN where none has a time."""
    time = track.time_s[fixes]
    known = time[np.isfinite(time)]
    return (float(known.min()), float(known.max())) if len(known) else (float("nan"), float("nan"))


def _cover(ordered: FloatArray, begin: FloatArray, end: FloatArray, weight: IntArray) -> IntArray:
    """For each of the ordered times, the sum of the weights of the spans that hold it."""
    timed = np.isfinite(begin)
    steps = np.zeros(len(ordered) + 1, np.int64)
    np.add.at(steps, np.searchsorted(ordered, begin[timed], side="left"), weight[timed])
    np.subtract.at(steps, np.searchsorted(ordered, end[timed], side="right"), weight[timed])
    return np.cumsum(steps)[:-1]

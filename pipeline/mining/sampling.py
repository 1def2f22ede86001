"""Signals that come at times of their own, brought to common rows."""

from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np

from pipeline.mining.signals import Clip, FloatArray, SignalTable, signal_table

LONGEST_HOLD_S: Final = 0.5
"""A value is taken for the one that holds until the next, for no longer than this."""


@dataclass(slots=True)
class Samples:
    """Values of one signal and their times, in the order that they came in."""

    t_s: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, t_s: float, value: float) -> None:
        """Take one more."""
        self.t_s.append(t_s)
        self.values.append(value)

    def between(self, begin_s: float, end_s: float) -> Self:
        """Those from ``begin_s`` to before ``end_s``, their times counted from there."""
        kept = [(t - begin_s, v) for t, v in zip(self.t_s, self.values, strict=True) if begin_s <= t < end_s]
        return type(self)(t_s=[t for t, _ in kept], values=[v for _, v in kept])


def sampled(clip: Clip, samples: dict[str, Samples]) -> SignalTable:
    """One row for each time of the signal that has the most samples; the others hold their last value.

    A value older than ``LONGEST_HOLD_S`` is absent: what was measured before a gap says nothing about its end.
    """
    present = {name: s for name, s in samples.items() if s.t_s}
    if not present:
        return signal_table(clip, {"t_s": []})
    densest = max(present, key=lambda name: (len(present[name].t_s), name))
    rows = np.unique(np.array(present[densest].t_s))
    columns: dict[str, FloatArray] = {"t_s": rows}
    for name, signal in present.items():
        t_s, values = np.array(signal.t_s), np.array(signal.values)
        order = np.argsort(t_s, kind="stable")
        t_s, values = t_s[order], values[order]
        last = np.searchsorted(t_s, rows, side="right") - 1
        held = (last >= 0) & (rows - t_s[np.maximum(last, 0)] <= LONGEST_HOLD_S)
        columns[name] = np.where(held, values[np.maximum(last, 0)], np.nan)
    return signal_table(clip, columns)

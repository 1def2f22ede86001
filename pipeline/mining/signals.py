"""Signals of drives as columns over time: what triggers are evaluated on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.mining.errors import SignalError

FloatArray = NDArray[np.float64]

SIGNALS: Final[Mapping[str, str]] = {
    "t_s": "time within the clip or span, s",
    "x_m": "place along the first axis of the clip's frame, m",
    "y_m": "place along the second axis, 90 degrees to the left of the first, m",
    "speed_mps": "speed, m/s",
    "accel_mps2": "acceleration along the way, forward positive, m/s²",
    "lateral_accel_mps2": "acceleration across the way, left positive, m/s²",
    "yaw_rate_rps": "rate of turn, left positive, rad/s",
    "steering_rad": "angle of the steering wheel, left positive, rad",
    "brake": "brake pedal, 0 released to 1 pressed",
    "engaged": "automation steers or drives: 1, else 0",
    "gap_m": "distance to the vehicle ahead, m",
    "closing_mps": "speed at which the gap closes, closing positive, m/s",
    "lead_lateral_m": "lateral place of the vehicle ahead, left positive, m",
    "lead_id": "number of the vehicle ahead in its tracker",
}
"""Every column that predicates may name, with meaning and unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A stretch of time within which a signal is continuous: nothing joins two clips.

    Attributes:
        release: Id of the release.
        item: Name of the item in it.
        number: Number of the clip or span in the item.
    """

    release: str
    item: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SignalTable:
    """Signals of some clips, in order of clip and time.

    Attributes:
        clips: The clips.
        clip: For each row the position of its clip in ``clips``; never falls.
        columns: Columns by name, ``t_s`` among them, which never falls within a clip; NaN where absent.
        untimed: Rows that had no finite time and are left out.
    """

    clips: tuple[Clip, ...]
    clip: NDArray[np.int32]
    columns: Mapping[str, FloatArray]
    untimed: int = 0

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.clip)


def signal_table(clip: Clip, columns: Mapping[str, Sequence[float] | FloatArray]) -> SignalTable:
    """The signals of one clip, brought into order of time; rows of equal time keep their order.

    Values that are not finite count as absent; rows without a finite time are left out and counted.

    Raises:
        SignalError: A column is unknown, not one-dimensional or of another length, or there is no ``t_s``.
    """
    unknown = sorted(columns.keys() - SIGNALS.keys())
    if unknown:
        raise SignalError(f"columns (got {unknown}, expected some of {sorted(SIGNALS)})")
    if "t_s" not in columns:
        raise SignalError(f"columns (got {sorted(columns)}, expected t_s among them)")
    made = {name: _numbers(name, values) for name, values in columns.items()}
    rows = len(made["t_s"])
    for name, values in made.items():
        if len(values) != rows:
            raise SignalError(f"column {name} (got {len(values)} rows, expected {rows} as t_s has)")
    timed = np.isfinite(made["t_s"])
    order = np.flatnonzero(timed)
    if (np.diff(made["t_s"][order]) < 0).any():
        order = order[np.argsort(made["t_s"][order], kind="stable")]
    if len(order) != rows or (order[1:] < order[:-1]).any():
        made = {name: values[order] for name, values in made.items()}
    return SignalTable(
        clips=(clip,), clip=np.zeros(len(order), np.int32), columns=made, untimed=int(rows - timed.sum())
    )


def join_tables(tables: Sequence[SignalTable]) -> SignalTable:
    """The rows of several tables, one after the other; what a table lacks is absent in its rows."""
    names = [name for name in SIGNALS if any(name in table.columns for table in tables)] or ["t_s"]
    starts = np.cumsum([0, *(len(table.clips) for table in tables)])
    return SignalTable(
        clips=tuple(clip for table in tables for clip in table.clips),
        clip=np.concatenate(
            [np.zeros(0, np.int32), *(t.clip + np.int32(s) for t, s in zip(tables, starts, strict=False))]
        ),
        columns={
            name: np.concatenate(
                [
                    np.zeros(0),
                    *(t.columns[name] if name in t.columns else np.full(len(t), np.nan) for t in tables),
                ]
            )
            for name in names
        },
        untimed=sum(table.untimed for table in tables),
    )


def _numbers(name: str, values: Sequence[float] | FloatArray) -> FloatArray:
    try:
        made = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SignalError(f"column {name} holds something that is no number: {error}") from error
    if made.ndim != 1:
        raise SignalError(f"column {name} (got {made.ndim} dimensions, expected 1)")
    made[~np.isfinite(made)] = np.nan
    return made

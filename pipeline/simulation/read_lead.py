"""Tracks of the vehicle ahead by the automated vehicle's sensors: gap, offset and number in its tracker.

Places are in the frame of each clip: the automated vehicle's way is its speed and rate of turn added up, from the
origin along the first axis.
"""

from typing import Final

import numpy as np
import polars as pl

from pipeline.mining.signals import SignalTable
from pipeline.simulation.backend import Floats
from pipeline.simulation.read_nuscenes import EGO, LEAST_CLIP_S
from pipeline.simulation.tracks import DEFAULT_LENGTH_M

FASTEST_CHANGE_MPS: Final = 40.0
"""A gap that changes faster than this, by more than a metre, is that of another vehicle."""


def lead_tracks(signals: SignalTable) -> pl.DataFrame | None:
    """A table of tracks of the clips in which speed and gap are known; ``None`` where there is none.

    Where the rate of turn is absent the way is taken as straight, where the offset is, the vehicle ahead as in the
    middle of the lane: such a clip tells of following, not of cut-ins.
    """
    columns = signals.columns
    if not {"speed_mps", "gap_m"} <= columns.keys():
        return None
    made = []
    for number, clip in enumerate(signals.clips):
        of = np.flatnonzero((signals.clip == number) & np.isfinite(columns["speed_mps"]))
        # Rows of one instant in the log's resolution say no way: the first stays.
        of = of[np.diff(columns["t_s"][of], prepend=-np.inf) > 0.0]
        long = len(of) > 1 and np.ptp(columns["t_s"][of]) >= LEAST_CLIP_S
        if long and np.isfinite(columns["gap_m"][of]).any():
            taken = {name: values[of] for name, values in columns.items()}
            made.append(_clip(f"{clip.item}#{clip.number}", taken))
    return pl.concat(made) if made else None


def _clip(name: str, columns: dict[str, Floats]) -> pl.DataFrame:
    t, speed = columns["t_s"], columns["speed_mps"]
    absent = np.full(len(t), np.nan)
    turn = np.nan_to_num(columns.get("yaw_rate_rps", absent))
    heading = _added_up(turn, t)
    x, y = _added_up(speed * np.cos(heading), t), _added_up(speed * np.sin(heading), t)
    gap = columns["gap_m"]
    ahead = gap + DEFAULT_LENGTH_M
    left = np.nan_to_num(columns.get("lead_lateral_m", absent))
    vehicle = _vehicles(t, gap, columns.get("lead_id", absent))
    seen = np.isfinite(gap)
    own = pl.DataFrame({"track": [EGO] * len(t), "t": t, "x": x, "y": y})
    other = pl.DataFrame(
        {
            "track": [f"lead-{each}" for each in vehicle[seen]],
            "t": t[seen],
            "x": (x + ahead * np.cos(heading) - left * np.sin(heading))[seen],
            "y": (y + ahead * np.sin(heading) + left * np.cos(heading))[seen],
        }
    )
    return pl.concat([own, other]).select(
        pl.lit(name).alias("clip"), "track", "t", "x", "y", pl.lit(DEFAULT_LENGTH_M).alias("length")
    )


def _vehicles(t: Floats, gap: Floats, tracker: Floats) -> np.ndarray:
    """A number for each row that changes where the vehicle ahead is another."""
    seen = np.flatnonzero(np.isfinite(gap))
    other = np.abs(np.diff(gap[seen])) > 1.0 + FASTEST_CHANGE_MPS * np.diff(t[seen])
    ids = np.nan_to_num(tracker[seen], nan=-1.0)
    numbers = np.zeros(len(t), dtype=np.int64)
    numbers[seen] = np.concatenate([[0], np.cumsum(other | (np.diff(ids) != 0.0))])
    return numbers


def _added_up(rate: Floats, t: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(t))])

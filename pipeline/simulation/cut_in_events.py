"""Cut-ins in tracks: when another vehicle comes into the automated one's lane ahead of it, and how."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from pipeline.simulation.backend import Floats
from pipeline.simulation.errors import TracksError
from pipeline.simulation.tracks import STEP_S, Seen, clips, seen_from

OBSERVED: Final = ("ego_speed", "gap", "relative_speed", "lane_change_duration", "braking", "braking_delay")
"""What tracks tell of a cut-in; reaction and grip they do not."""
_SCHEMA: Final = {"clip": pl.String, "track": pl.String, "t": pl.Float64} | dict.fromkeys(
    OBSERVED, pl.Float64
)
_SMOOTHING_STEPS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CutInRule:
    """What counts as a cut-in.

    Attributes:
        half_lane_m: Offset from the path under which a vehicle is in the lane.
        outside_m: Offset that it must have had before.
        longest_gap_m: Greatest gap at the start of the lane change.
        stays_s: Time for which it must stay in the lane.
        still_mps: Lateral speed under which the lane change has not begun, or is over.
        watched_s: Time after the start in which its braking is looked for.
    """

    half_lane_m: float = 1.75
    outside_m: float = 2.5
    longest_gap_m: float = 150.0
    stays_s: float = 1.0
    still_mps: float = 0.15
    watched_s: float = 6.0


def cut_ins(table: pl.DataFrame, ego: str, rule: CutInRule | None = None) -> pl.DataFrame:
    """One row per cut-in: ``clip``, ``track``, ``t`` (start of the lane change, s) and ``OBSERVED``.

    Raises:
        TracksError: The table is no table of tracks, or holds no cut-in.
    """
    found, pairs = looked_for(table, ego, rule)
    if found.is_empty():
        raise TracksError(f"no cut-in among {pairs} pairs of tracks")
    return found


def looked_for(table: pl.DataFrame, ego: str, rule: CutInRule | None = None) -> tuple[pl.DataFrame, int]:
    """The same, without rows where there is no cut-in, and among how many pairs of tracks they were looked for.

    Raises:
        TracksError: The table is no table of tracks.
    """
    rule = rule or CutInRule()
    found: list[dict[str, str | float]] = []
    pairs = 0
    for clip in clips(table, ego):
        for mine in clip.ego:
            for other in clip.others:
                seen = seen_from(mine, other)
                if seen is None:
                    continue
                pairs += 1
                origin = max(mine.first, other.first) * STEP_S
                found += [
                    {"clip": clip.name, "track": other.name, "t": origin + step * STEP_S, **values}
                    for step, values in _events(seen, rule)
                ]
    return pl.DataFrame(found, schema=_SCHEMA), pairs


def _events(seen: Seen, rule: CutInRule) -> Iterator[tuple[int, dict[str, float]]]:
    offset = np.abs(seen.across)
    inside = offset < rule.half_lane_m
    stays = int(np.ceil(rule.stays_s / STEP_S))
    for step in np.flatnonzero(inside[1:] & ~inside[:-1]) + 1:
        if not inside[step : step + stays].all() or len(inside) - step < stays:
            continue
        start, end = _lane_change(seen, int(step), rule)
        gap = seen.along[start] - seen.own[start] - seen.ahead_length
        if offset[start] < rule.outside_m or not 0.0 < gap <= rule.longest_gap_m:
            continue
        if seen.along[step] - seen.own[step] <= seen.ahead_length:
            continue
        yield start, _parameters(seen, start, end, gap, rule)


def _lane_change(seen: Seen, step: int, rule: CutInRule) -> tuple[int, int]:
    """Steps at which the move across began and ended, around the step that crossed the line."""
    inwards = -np.sign(seen.across[step]) * _rate(seen.across)
    still = inwards < rule.still_mps
    before, after = np.flatnonzero(still[:step]), np.flatnonzero(still[step:])
    start = int(before[-1]) if before.size else 0
    end = step + int(after[0]) if after.size else len(still) - 1
    return start, end


def _parameters(seen: Seen, start: int, end: int, gap: float, rule: CutInRule) -> dict[str, float]:
    own, other = _rate(seen.own), _rate(seen.along)
    until = min(len(other), start + int(rule.watched_s / STEP_S))
    braking = np.maximum(0.0, -_rate(other))[start:until]
    hardest = float(braking.max())
    return {
        "ego_speed": float(own[start]),
        "gap": float(gap),
        "relative_speed": float(other[start] - own[start]),
        "lane_change_duration": (end - start) * STEP_S,
        "braking": hardest,
        "braking_delay": float(np.argmax(braking >= 0.5 * hardest)) * STEP_S,
    }


def _rate(values: Floats) -> Floats:
    """Slope of a line through ``_SMOOTHING_STEPS`` neighbours, per second; ends by what is there."""
    half = min(_SMOOTHING_STEPS // 2, (len(values) - 1) // 2)
    if half == 0:
        return np.asarray(np.gradient(values, STEP_S))
    kernel = np.arange(half, -half - 1, -1) / (2 * sum(k * k for k in range(1, half + 1)) * STEP_S)
    rate = np.convolve(values, kernel, mode="valid")
    return np.concatenate([np.full(half, rate[0]), rate, np.full(half, rate[-1])])

"""Signals that follow from others: speed from places, acceleration from speed, turning from the way."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from pipeline.mining.signals import FloatArray

_SLOWEST_TURN_MPS: Final = 1.0
"""Below this the direction of a way is noise."""
_REACH_S: Final = 0.1
"""Logs time their rows to some milliseconds: over less than this to each side, jitter looks like braking."""
_TOLERANCE_S: Final = 1e-6
_EQUATOR_M: Final = 6_378_137.0
_ECCENTRICITY_2: Final = 6.694_379_990_14e-3
"""WGS-84."""


def completed(columns: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """The columns of one clip, in order of time, and those that follow from them and are not there.

    Speed from places, acceleration along the way from speed, rate of turn from the direction of the way where it
    is faster than 1 m/s, acceleration across it from both. Central differences over 0.1 s to each side, or to the
    neighbouring rows where these are farther; absent where one of both is, or time stands still.
    """
    made = dict(columns)
    t, has = made["t_s"], set(made)
    if len(t) < 2:  # noqa: PLR2004 - a difference takes two
        return made
    if {"x_m", "y_m"} <= has:
        vx, vy = _slope(made["x_m"], t), _slope(made["y_m"], t)
        if "speed_mps" not in has:
            made["speed_mps"] = np.hypot(vx, vy)
        if "yaw_rate_rps" not in has:
            fast = np.hypot(vx, vy) > _SLOWEST_TURN_MPS
            made["yaw_rate_rps"] = _turning(np.where(fast, np.arctan2(vy, vx), np.nan), t)
    if "speed_mps" in made and "accel_mps2" not in has:
        made["accel_mps2"] = _slope(made["speed_mps"], t)
    if {"speed_mps", "yaw_rate_rps"} <= made.keys() and "lateral_accel_mps2" not in has:
        made["lateral_accel_mps2"] = made["speed_mps"] * made["yaw_rate_rps"]
    return made


def metres(lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
    """East and north of the first place, in metres: a plane that is right to 1e-4 within some kilometres.

    Radii of curvature of WGS-84 at the first place.
    """
    sine = np.sin(np.radians(lat[0]))
    across = _EQUATOR_M / np.sqrt(1 - _ECCENTRICITY_2 * sine**2)
    along = across * (1 - _ECCENTRICITY_2) / (1 - _ECCENTRICITY_2 * sine**2)
    east = (lon - lon[0] + 180.0) % 360.0 - 180.0
    return np.radians(east) * across * np.cos(np.radians(lat[0])), np.radians(lat - lat[0]) * along


def _turning(yaw_rad: FloatArray, t_s: FloatArray) -> FloatArray:
    known = np.flatnonzero(np.isfinite(yaw_rad))
    rates = np.full(len(yaw_rad), np.nan)
    if len(known) > 1:
        even = np.full(len(yaw_rad), np.nan)
        even[known] = np.unwrap(yaw_rad[known])
        rates = _slope(even, t_s)
    return rates


def _slope(values: FloatArray, t_s: FloatArray) -> FloatArray:
    """Differences from the row ``_REACH_S`` before, or the one before that, to the one as long after."""
    rows = np.arange(len(t_s))
    before = np.searchsorted(t_s, t_s - _REACH_S + _TOLERANCE_S, side="right") - 1
    after = np.searchsorted(t_s, t_s + _REACH_S - _TOLERANCE_S, side="left")
    before, after = np.clip(before, 0, rows), np.clip(after, rows, len(t_s) - 1)
    taken = t_s[after] - t_s[before]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(taken > _TOLERANCE_S, (values[after] - values[before]) / taken, np.nan)

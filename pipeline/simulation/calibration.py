"""Drivers of the intelligent driver model, estimated from how vehicles were seen to follow.

The follower is simulated behind the leader as it drove, from the gap and speed at the begin of each stretch, and
the gap is held against the one that was seen, by the mixed error measure of Kesting and Treiber (Transportation
Research Record 2088 (2008) 148): sqrt(<(s_sim - s)² / s> / <s>). A parameter whose regime was not driven leaves no
trace (Treiber and Kesting, Microscopic Calibration and Validation of Car-Following Models, 2013).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import optimize, stats  # type: ignore[import-untyped]
from scipy.stats import qmc  # type: ignore[import-untyped]

from pipeline.simulation.backend import Floats
from pipeline.simulation.car_following import compiled, idm_acceleration
from pipeline.simulation.following import Follower, Stretch
from pipeline.simulation.tracks import STEP_S

BOUNDS: Final[Mapping[str, tuple[str, float, float]]] = {
    "desired_speed": ("m/s", 1.0, 70.0),
    "headway": ("s", 0.1, 5.0),
    "standstill_gap": ("m", 0.1, 10.0),
    "greatest_acceleration": ("m/s²", 0.1, 6.0),
    "comfortable_braking": ("m/s²", 0.1, 9.0),
}
"""Unit, least and greatest value of each parameter."""

STARTS: Final = 4
APART: Final = 1.5
"""A parameter is determined where neither this times its estimate nor its part can be told to fit as well."""
CONFIDENCE: Final = 0.95
KNOWN_M: Final = 0.05
"""Gaps are known no better than this: a smaller misfit says nothing."""
_HARDEST_MPS2: Final = 9.81
_LOW: Final = np.log([low for _, low, _ in BOUNDS.values()])
_HIGH: Final = np.log([high for _, _, high in BOUNDS.values()])


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One parameter.

    Attributes:
        value: Its estimate.
        relative_error: Standard error, as a part of the value, residuals' persistence counted.
        determined: Whether the data tell the value from ``APART`` times it and from its part, whatever the others.
    """

    value: float
    relative_error: float
    determined: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """A follower as a driver.

    Attributes:
        follower: Who was seen.
        parameters: By the names of ``BOUNDS``.
        mixed_error: Of the gaps, 1.
        independent: How many independent observations the residuals amount to.
    """

    follower: Follower
    parameters: Mapping[str, Estimate]
    mixed_error: float
    independent: float


@compiled
def followed(lead: Floats, gap: float, speed: float, step: float, driver: Floats) -> Floats:
    """Gaps of a driver behind a leader that drove as given.

    ``driver`` holds desired speed, time headway, standstill gap, greatest acceleration and comfortable braking.
    """
    gaps = np.empty(len(lead))
    gaps[0] = gap
    for i in range(1, len(lead)):
        lead_speed = (lead[i] - lead[i - 1]) / step
        wanted = idm_acceleration(speed, driver[0], gap, speed - lead_speed, driver[1:])
        after = max(0.0, speed + max(-_HARDEST_MPS2, wanted) * step)
        gap += lead[i] - lead[i - 1] - 0.5 * (speed + after) * step
        speed = after
        gaps[i] = gap
    return gaps


def calibrated(follower: Follower) -> Driver:
    """The driver of least mixed error, and which parameters the data determine.

    A parameter is determined where the best fit with it held at 1.5 times its estimate, and at that part of it, is
    worse by more than chance (F-test, 95 %; observations are counted as independent by the persistence of the
    residuals). Where a bound is nearer than that, it is not.
    """
    stretches = follower.stretches
    fits = [_least(stretches, start) for start in _starts(stretches)]
    best = _least(stretches, min(fits, key=lambda fit: float(fit.cost)).x, closely=True)
    residuals = best.fun
    independent = _independent(residuals)
    squares = max(float(residuals @ residuals), _floor(stretches))
    spare = independent - len(BOUNDS)
    errors = _errors(best.jac, squares / spare) if spare > 1.0 else np.full(len(BOUNDS), np.inf)
    limit = squares * (1.0 + float(stats.f.ppf(CONFIDENCE, 1, spare)) / spare) if spare > 1.0 else np.inf
    parameters = {
        name: Estimate(
            value=float(np.exp(best.x[i])),
            relative_error=float(errors[i]),
            determined=all(_worse(stretches, best.x, i, side, limit) for side in (APART, 1.0 / APART)),
        )
        for i, name in enumerate(BOUNDS)
    }
    return Driver(
        follower=follower,
        parameters=parameters,
        mixed_error=float(np.sqrt(residuals @ residuals)),
        independent=independent,
    )


def _residuals(logs: Floats, stretches: Sequence[Stretch]) -> Floats:
    """Weighted so that the sum of their squares is the square of the mixed error."""
    driver = np.exp(logs)
    seen = np.concatenate([each.gap for each in stretches])
    made = np.concatenate(
        [followed(each.lead, each.gap[0], each.speed[0], STEP_S, driver) for each in stretches]
    )
    return np.asarray((made - seen) / np.sqrt(seen * seen.mean() * len(seen)))


def _least(
    stretches: Sequence[Stretch], start: Floats, held: int | None = None, *, closely: bool = False
) -> optimize.OptimizeResult:
    """Least squares of logarithms of the parameters within their bounds, one of them held if so said."""
    free = np.array([i for i in range(len(start)) if i != held])

    def residuals(part: Floats) -> Floats:
        logs = start.copy()
        logs[free] = part
        return _residuals(logs, stretches)

    inside = np.clip(start[free], _LOW[free] + 1e-6, _HIGH[free] - 1e-6)
    return optimize.least_squares(
        residuals,
        inside,
        bounds=(_LOW[free], _HIGH[free]),
        diff_step=1e-4,
        max_nfev=60 if closely else 20,
        xtol=1e-6 if closely else 1e-4,
        ftol=1e-8 if closely else 1e-4,
    )


def _starts(stretches: Sequence[Stretch]) -> Floats:
    """A usual driver, who wishes to be a little faster than was driven, and others spread about."""
    fastest = max(float(each.speed.max()) for each in stretches)
    usual = np.log([min(69.0, max(2.0, 1.2 * fastest)), 1.2, 2.0, 1.5, 2.0])
    spread = qmc.Sobol(len(BOUNDS), seed=1).random(STARTS) * 2.0 - 1.0
    return np.asarray(np.clip(np.vstack([usual, usual + spread * np.log(2.5)]), _LOW, _HIGH))


def _worse(stretches: Sequence[Stretch], best: Floats, which: int, side: float, limit: float) -> bool:
    """Whether holding one parameter aside makes the best fit worse than the limit."""
    start = best.copy()
    start[which] += np.log(side)
    if not _LOW[which] <= start[which] <= _HIGH[which]:
        return False
    return bool(2.0 * float(_least(stretches, start, which).cost) > limit)


def _floor(stretches: Sequence[Stretch]) -> float:
    seen = np.concatenate([each.gap for each in stretches])
    return float((KNOWN_M**2 / seen).mean() / seen.mean())


def _independent(residuals: Floats) -> float:
    """Count of independent observations by the correlation of neighbours (of a first-order process)."""
    spread = float(residuals @ residuals)
    if spread == 0.0:
        return float(len(residuals))
    persistence = float(np.clip(residuals[1:] @ residuals[:-1] / spread, 0.0, 0.999))
    return len(residuals) * (1.0 - persistence) / (1.0 + persistence)


def _errors(jacobian: Floats, variance: float) -> Floats:
    """Standard errors of logarithms, that is relative ones; infinite where the data say nothing."""
    _, singular, turned = np.linalg.svd(jacobian, full_matrices=False)
    with np.errstate(divide="ignore", over="ignore"):
        weights = np.where(singular > singular[0] * 1e-9, 1.0 / np.square(singular), np.inf)
    contributions = np.square(turned.T) * np.where(np.isinf(weights), 1e18, weights)
    return np.asarray(np.sqrt(contributions.sum(axis=1) * variance))

"""Which inputs matter: in the bulk by Morris and Sobol, and for failure by holding each still.

The two differ. Most of a KPI's variance is made where nothing fails, so an input of no index there may still
decide how often a failure happens: only the re-estimate answers that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from SALib.analyze import morris as analyze_morris  # type: ignore[import-untyped]
from SALib.analyze import sobol as analyze_sobol
from SALib.sample import morris as sample_morris  # type: ignore[import-untyped]
from SALib.sample import sobol as sample_sobol
from scipy.special import ndtri  # type: ignore[import-untyped]

from pipeline.simulation.backend import Floats
from pipeline.simulation.limit_state import LimitState
from pipeline.simulation.reliability.estimate import Estimate, Settings, estimate

_EDGE: Final = 0.001
"""Share at either end that bulk designs leave out: their levels of 0 and 1 are no finite deviates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """One input's influence on the KPI over the whole law.

    Attributes:
        name: The input.
        mean_effect: Morris: mean absolute elementary effect over the range, in units of the KPI.
        effect_deviation: Morris: deviation of the effects (interaction and curvature).
        first: Sobol: share of the variance that the input explains by itself.
        total: Sobol: share that goes without it.
        total_confidence: Half width of the 95 % interval of ``total``.
    """

    name: str
    mean_effect: float
    effect_deviation: float
    first: float
    total: float
    total_confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The probability of failure with one input held at its median.

    Attributes:
        name: The input.
        median: Where it is held.
        estimate: The probability then.
        ratio: It over the probability with all inputs free; ``None`` where no failure was found.
        ratio_error: Standard error of the ratio; ``None`` likewise.
    """

    name: str
    median: float
    estimate: Estimate
    ratio: float | None
    ratio_error: float | None


def bulk(limit_state: LimitState, *, trajectories: int, base: int, seed: int) -> tuple[Influence, ...]:
    """Morris by ``trajectories`` and Sobol by Saltelli's design on ``base`` points (a power of 2).

    Indices are those of the independent standard variables behind the inputs: under dependence what inputs share
    is counted with the first of them. With d inputs this takes (trajectories + base)·(d + 1) + base runs.

    Raises:
        BackEndError: The simulator failed.
    """
    names = [each.name for each in limit_state.law.inputs]
    problem = {
        "num_vars": len(names),
        "names": names,
        "bounds": [[_EDGE, 1.0 - _EDGE]] * len(names),
    }
    steps = sample_morris.sample(problem, trajectories, num_levels=8, seed=seed)
    effects = analyze_morris.analyze(problem, steps, _kpi(limit_state, steps), num_levels=8, seed=seed)
    points = sample_sobol.sample(problem, base, calc_second_order=False, seed=seed)
    shares = analyze_sobol.analyze(problem, _kpi(limit_state, points), calc_second_order=False, seed=seed)
    return tuple(_influence(i, name, effects, shares) for i, name in enumerate(names))


def hold_each(
    limit_state: LimitState,
    free: Estimate,
    settings: Settings,
    seed: int,
    progress: Callable[[str, int], None] = lambda _name, _runs: None,
) -> tuple[Held, ...]:
    """Estimate the probability anew with each input held at its median, the law of the others as it is.

    Raises:
        BackEndError: The simulator failed.
        SettingsError: A search left too few runs for its final batch.
    """
    before = limit_state.runs
    medians = [float(each.computeQuantile(0.5)[0]) for each in _marginals(limit_state)]
    held = []
    for i, (each, median) in enumerate(zip(limit_state.law.inputs, medians, strict=True)):
        found = estimate(_Still(limit_state, i, median), settings, seed + i)
        ratio, error = _ratio(found, free)
        held.append(Held(name=each.name, median=median, estimate=found, ratio=ratio, ratio_error=error))
        progress(each.name, limit_state.runs - before)
    return tuple(held)


class _Still:
    """A limit state with one input held."""

    def __init__(self, limit_state: LimitState, place: int, value: float) -> None:
        self._limit_state = limit_state
        self._place = place
        self._value = value

    @property
    def dimension(self) -> int:
        return self._limit_state.dimension

    def __call__(self, standard: Floats) -> Floats:
        physical = self._limit_state.law.to_physical(standard)
        physical[:, self._place] = self._value
        return self._limit_state.run(physical).g


def _kpi(limit_state: LimitState, unit: Floats) -> Floats:
    return limit_state(np.asarray(ndtri(unit)))


def _influence(i: int, name: str, effects: Any, shares: Any) -> Influence:
    return Influence(
        name=name,
        mean_effect=float(effects["mu_star"][i]),
        effect_deviation=float(effects["sigma"][i]),
        first=float(shares["S1"][i]),
        total=float(shares["ST"][i]),
        total_confidence=float(shares["ST_conf"][i]),
    )


def _marginals(limit_state: LimitState) -> list[Any]:
    law = limit_state.law.distribution
    return [law.getMarginal(i) for i in range(limit_state.dimension)]


def _ratio(found: Estimate, free: Estimate) -> tuple[float | None, float | None]:
    if found.probability is None or free.probability is None:
        return None, None
    assert found.variation is not None and free.variation is not None  # noqa: S101, PT018 - set with probabilities
    ratio = found.probability / free.probability
    return ratio, ratio * float(np.hypot(found.variation, free.variation))

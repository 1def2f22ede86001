"""The probability of failure from one seed: exploration, design points, cross-entropy, and a final batch.

Only the final batch estimates. Everything before it decides where that batch is drawn from and nothing else, so
the estimate is unbiased whatever the search found; what the search missed shows as variance or not at all, which
is why two seeds and a cross-check are asked for (``verdict``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from scipy.special import logsumexp  # type: ignore[import-untyped]

from pipeline.simulation.backend import Floats
from pipeline.simulation.errors import SettingsError
from pipeline.simulation.limit_state import Sim
from pipeline.simulation.reliability.cross_entropy import fitted
from pipeline.simulation.reliability.design_points import Search, design_points, explore
from pipeline.simulation.reliability.mixture import Mixture

LEAST_FINAL_RUNS: Final = 200
LEAST_RUNS: Final = 1500

Progress = Callable[[str, int], None]
"""Told the stage and the runs that it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How runs are spent.

    Attributes:
        runs: Runs of all stages together; the final batch gets what the others leave.
        explore_runs: Runs of the space-filling exploration.
        spread: Standard deviation that exploration widens standard space to.
        most_design_points: Design points kept.
        steps: Cross-entropy steps.
        step_runs: Runs of each.
        defensive: Share of the final batch that ignores what cross-entropy fitted.
        wide: Share of the final batch, out of the defensive part, that is drawn from widened space.
    """

    runs: int = 5500
    explore_runs: int = 2048
    spread: float = 2.5
    most_design_points: int = 10
    steps: int = 2
    step_runs: int = 500
    defensive: float = 0.5
    wide: float = 0.05

    @classmethod
    def of_budget(cls, runs: int) -> Self:
        """Settings that spend so many runs in the proportions of the default.

        Raises:
            SettingsError: There are too few for a search and a final batch.
        """
        if runs < LEAST_RUNS:
            raise SettingsError(f"runs of one seed (got {runs}, expected {LEAST_RUNS} or more)")
        return cls(runs=runs, explore_runs=2 ** int(np.log2(0.4 * runs)), step_runs=runs // 11)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one seed gives.

    Attributes:
        probability: Estimate; ``None`` where no run of the final batch failed, or none was found to start from.
        standard_error: Its standard error; ``None`` likewise.
        runs: Runs of the simulator, all stages.
        explored_failures: Failing runs of the exploration.
        design_points: Rows of standard space.
        points: The final batch's failing points.
        log_weights: Their weights; the mean over ``final_runs`` is the estimate.
        final_runs: Size of the final batch.
    """

    probability: float | None
    standard_error: float | None
    runs: int
    explored_failures: int
    design_points: Floats
    points: Floats
    log_weights: Floats
    final_runs: int

    @property
    def variation(self) -> float | None:
        """Coefficient of variation."""
        if self.probability is None or self.standard_error is None:
            return None
        return self.standard_error / self.probability

    @property
    def heaviest(self) -> float:
        """Share of the estimate that its heaviest run carries; 0 where no run failed."""
        if not len(self.log_weights):
            return 0.0
        return float(np.exp(self.log_weights.max() - logsumexp(self.log_weights)))


def no_progress(stage: str, runs: int) -> None:
    """Show nothing."""


def estimate(sim: Sim, settings: Settings, seed: int, progress: Progress = no_progress) -> Estimate:
    """Estimate the probability of failure.

    Raises:
        BackEndError: The simulator failed.
        SettingsError: The search left too few runs for the final batch.
    """
    random = np.random.default_rng(seed)
    counted = _Counted(sim)
    failing, _ = explore(counted, settings.explore_runs, settings.spread, random)
    progress("explore", counted.runs)
    if not len(failing):
        return _nothing(counted, sim.dimension)
    starts = design_points(counted, failing, Search(most=settings.most_design_points))
    progress("design points", counted.runs)
    mixture = Mixture.around(starts)
    for _ in range(settings.steps):
        points = mixture.sample(settings.step_runs, random)
        fails = counted(points) <= 0.0
        progress("cross-entropy", counted.runs)
        if fails.sum() > sim.dimension:
            weights = mixture.log_weights(points[fails])
            mixture = fitted(mixture, points[fails], weights, shrinkage=0.1, least=0.05)
    proposal = _final_mixture(mixture, starts, settings)
    left = settings.runs - counted.runs
    if left < LEAST_FINAL_RUNS:
        raise SettingsError(
            f"{counted.runs} of {settings.runs} runs went into the search "
            f"(expected {LEAST_FINAL_RUNS} or more to be left for the final batch)"
        )
    points = proposal.sample(left, random)
    fails = counted(points) <= 0.0
    progress("final batch", counted.runs)
    probability, error = _mean(proposal.log_weights(points[fails]), left)
    return Estimate(
        probability=probability,
        standard_error=error,
        runs=counted.runs,
        explored_failures=len(failing),
        design_points=starts,
        points=points[fails],
        log_weights=proposal.log_weights(points[fails]),
        final_runs=left,
    )


class _Counted:
    """Counts runs."""

    def __init__(self, sim: Sim) -> None:
        self.runs = 0
        self._sim = sim

    @property
    def dimension(self) -> int:
        return self._sim.dimension

    def __call__(self, standard: Floats) -> Floats:
        self.runs += len(standard)
        return self._sim(standard)


def _final_mixture(mixture: Mixture, starts: Floats, settings: Settings) -> Mixture:
    dimension = starts.shape[1]
    wide = Mixture.around(np.zeros((1, dimension)), settings.spread)
    defence = Mixture.around(starts).blended(wide, settings.wide / settings.defensive)
    return mixture.blended(defence, settings.defensive)


def _mean(log_weights: Floats, count: int) -> tuple[float | None, float | None]:
    """Mean of the weights over all runs, those that pass counting 0, and its standard error.

    The error is that of independent draws: with counts per component fixed it is never too small on average.
    """
    if not len(log_weights):
        return None, None
    log_mean = float(logsumexp(log_weights)) - np.log(count)
    mean = float(np.exp(log_mean))
    relative = np.exp(log_weights - log_mean)
    variance = (float((relative**2).sum()) / count - 1.0) / (count - 1)
    return mean, mean * float(np.sqrt(max(variance, 0.0)))


def _nothing(counted: _Counted, dimension: int) -> Estimate:
    empty = np.empty((0, dimension))
    return Estimate(
        probability=None,
        standard_error=None,
        runs=counted.runs,
        explored_failures=0,
        design_points=empty,
        points=empty,
        log_weights=np.empty(0),
        final_runs=0,
    )

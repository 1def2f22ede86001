"""How far a probability moves with the events that its laws were fitted on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.simulation.backend import Floats
from pipeline.simulation.errors import FitError, ScenarioError, SettingsError
from pipeline.simulation.fitting import refitted
from pipeline.simulation.laws import JointLaw
from pipeline.simulation.reliability.estimate import Estimate
from pipeline.simulation.scenario import LogicalScenario

LEAST_EFFECTIVE: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Where the probability lies when the events are drawn anew.

    Attributes:
        low: 5 % quantile over replicates.
        middle: Median.
        high: 95 % quantile.
        replicates: Replicates that could be fitted.
        unfitted: Replicates that no law of the families fits.
        thin: Replicates whose failures weigh like fewer than 20 runs: their figures are rough.
    """

    low: float
    middle: float
    high: float
    replicates: int
    unfitted: int
    thin: int

    @property
    def factor(self) -> float:
        """Upper end over lower end; infinite where the lower end is 0."""
        return self.high / self.low if self.low > 0.0 else float("inf")


def bootstrap_band(
    scenario: LogicalScenario,
    law: JointLaw,
    events: Mapping[str, Floats],
    estimates: Sequence[Estimate],
    *,
    replicates: int,
    seed: int,
) -> Band:
    """Resample the events, refit the same families, and weigh the failing runs anew: no run is repeated.

    Args:
        scenario: The scenario with fitted laws.
        law: Its joint law, under which the runs were drawn.
        events: Observed values of the inputs that were fitted.
        estimates: Estimates of the scenario.
        replicates: How often to resample.
        seed: Seed of the resampling.

    Raises:
        SettingsError: No estimate has a failing run, or too few replicates can be fitted.
    """
    failing = [each for each in estimates if len(each.points)]
    if not failing:
        raise SettingsError("no estimate has a failing run (expected one to weigh anew)")
    standard = np.concatenate([each.points for each in failing])
    # The mean of the estimates is the mean over all final runs, each batch by its own weights.
    log_weights = np.concatenate(
        [each.log_weights - np.log(each.final_runs * len(failing)) for each in failing]
    )
    physical = law.to_physical(standard)
    before = law.log_density(physical)
    random = np.random.default_rng(seed)
    observed = tuple(each for each in scenario.inputs if each.name in events)
    table = np.column_stack([events[each.name] for each in observed])
    probabilities, thin, unfitted = [], 0, 0
    for _ in range(replicates):
        drawn = table[random.integers(0, len(table), len(table))]
        try:
            again = refitted(scenario, drawn, observed)
            new = JointLaw(again.inputs, again.spearman)
        except (FitError, ScenarioError):
            unfitted += 1
            continue
        moved = log_weights + new.log_density(physical) - before
        weights = np.exp(moved)
        squares = float((weights**2).sum())
        thin += squares == 0.0 or float(weights.sum()) ** 2 / squares < LEAST_EFFECTIVE
        probabilities.append(float(weights.sum()))
    if len(probabilities) < 0.8 * replicates:
        raise SettingsError(
            f"{unfitted} of {replicates} replicates could not be fitted (expected at most a fifth)"
        )
    low, middle, high = np.quantile(probabilities, [0.05, 0.5, 0.95])
    return Band(
        low=float(low),
        middle=float(middle),
        high=float(high),
        replicates=len(probabilities),
        unfitted=unfitted,
        thin=thin,
    )

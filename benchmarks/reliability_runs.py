"""What a probability of 1e-7 costs: repeats of the reliability method against Monte Carlo of our own, in one run.

    python benchmarks/reliability_runs.py [--repeats 30] [--stratum-runs 1000000 | --reference P SE] [--json]

Taken: bias and scatter of 30 repeats of 5,500 runs each on the example cut-in with eight inputs, against
stratified Monte Carlo (``brute_force.py``); what OpenTURNS's own methods say of the same limit state by its least
gap; what breaks the method (30 dimensions, more modes of failure than design points); simulator runs/s.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import openturns as ot
from brute_force import Compiled, run_stratified, scenario
from scipy.stats import norm

from pipeline.simulation.cut_in import CutIn
from pipeline.simulation.limit_state import LimitState, Sim
from pipeline.simulation.reliability.estimate import Settings, estimate

EXAMPLE_GAP = 4.25
BETA = 5.2


class Plane:
    """Failure beyond an oblique plane."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def __call__(self, standard: np.ndarray) -> np.ndarray:
        return BETA - standard.sum(axis=1) / np.sqrt(self.dimension)


class Walls:
    """Failure beyond a wall on either side of every axis: two modes for each."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def __call__(self, standard: np.ndarray) -> np.ndarray:
        return BETA - np.abs(standard).max(axis=1)


def repeated(sim: Sim, probability: float, settings: Settings, repeats: int) -> dict[str, Any]:
    """Repeats against a known probability."""
    found = [estimate(sim, settings, seed) for seed in range(1000, 1000 + repeats)]
    given = [each for each in found if each.probability is not None]
    ratios = np.array([each.probability / probability for each in given])
    scores = np.array([(each.probability - probability) / each.standard_error for each in given])
    return {
        "repeats": repeats,
        "without_estimate": repeats - len(given),
        "runs": max(each.runs for each in found),
        "mean_over_reference": float(ratios.mean()),
        "standard_error_of_mean": float(ratios.std(ddof=1) / np.sqrt(len(ratios))),
        "median_over_reference": float(np.median(ratios)),
        "scatter": float(ratios.std(ddof=1)),
        "median_cov": statistics.median(each.variation for each in given),
        "worst_cov": max(each.variation for each in given),
        "within_2_standard_errors": float((np.abs(scores) < 2).mean()),
    }


def openturns_methods(state: LimitState, probability: float, repeats: int) -> dict[str, Any]:
    """OpenTURNS's methods on the least gap as it stands, with their defaults."""
    methods: dict[str, Callable[[Any], Any]] = {
        "subset sampling": ot.SubsetSampling,
        "NAIS": ot.NAIS,
        "cross-entropy": ot.StandardSpaceCrossEntropyImportanceSampling,
    }

    def least_gap(sample: Any) -> np.ndarray:
        return state(np.asarray(sample))[:, None]

    rows = {}
    for name, method in methods.items():
        ratios, covs, runs = [], [], []
        for seed in range(repeats):
            ot.RandomGenerator.SetSeed(seed)
            function = ot.PythonFunction(state.dimension, 1, func_sample=least_gap)
            output = ot.CompositeRandomVector(function, ot.RandomVector(ot.Normal(state.dimension)))
            event = ot.ThresholdEvent(output, ot.LessOrEqual(), 0.0)
            before = state.runs
            try:
                algorithm = method(event)
                # The default sizes, asked for at once and not point by point.
                algorithm.setBlockSize(1000)
                algorithm.setMaximumOuterSampling(1 if name == "NAIS" else 10)
                algorithm.run()
                result = algorithm.getResult()
            except (RuntimeError, TypeError, ValueError) as error:
                rows[name] = {"failed": str(error)[:200]}
                break
            ratios.append(result.getProbabilityEstimate() / probability)
            covs.append(result.getCoefficientOfVariation())
            runs.append(state.runs - before)
        else:
            rows[name] = {"over_reference": ratios, "stated_cov": covs, "runs": runs}
    return rows


def runs_per_s(seconds: float = 3.0) -> float:
    """Rows of the cut-in per second on one core."""
    state = LimitState(scenario(EXAMPLE_GAP), CutIn())
    physical = state.law.to_physical(np.random.default_rng(0).standard_normal((50_000, 8)))
    state.run(physical[:10])
    started, done = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        state.run(physical)
        done += len(physical)
    return done / (time.monotonic() - started)


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--stratum-runs", type=int, default=1_000_000)
    parser.add_argument(
        "--reference", type=float, nargs=2, metavar=("PROBABILITY", "STANDARD_ERROR"),
        help="what brute_force.py found, in place of a reference taken now",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    described = scenario(EXAMPLE_GAP)
    if asked.reference:
        reference = {"probability": asked.reference[0], "standard_error": asked.reference[1]}
    else:
        reference = run_stratified(Compiled(described), asked.stratum_runs, 11)
    state = LimitState(described, CutIn())
    few = max(5, asked.repeats // 3)
    headline = repeated(state, reference["probability"], Settings(), asked.repeats)
    relative = reference["standard_error"] / reference["probability"]
    apart = np.hypot(headline["standard_error_of_mean"], relative * headline["mean_over_reference"])
    report = {
        "benchmark": "reliability_runs",
        "reference": reference,
        "headline": headline
        | {"bias_in_standard_errors": float((headline["mean_over_reference"] - 1) / apart)},
        "runs_of_crude_monte_carlo_for_the_same_error": round(
            (1 - reference["probability"]) / (reference["probability"] * headline["median_cov"] ** 2)
        ),
        "half_the_runs": repeated(
            state,
            reference["probability"],
            Settings(runs=2750, explore_runs=1024, step_runs=250),
            asked.repeats,
        ),
        "openturns_on_least_gap": openturns_methods(state, reference["probability"], 3),
        "plane_in_8_dimensions": repeated(Plane(8), norm.sf(BETA), Settings(), few),
        "plane_in_30_dimensions": repeated(Plane(30), norm.sf(BETA), Settings(), few),
        "24_modes_for_10_design_points": repeated(Walls(12), 24 * norm.sf(BETA), Settings(), few),
        "simulator_runs_per_s": round(runs_per_s()),
    }
    print(json.dumps(report, indent=None if asked.json else 1))


if __name__ == "__main__":
    main()

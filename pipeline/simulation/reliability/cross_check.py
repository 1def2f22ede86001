"""The same probability by OpenTURNS: its own standard space, weights and estimator around our design points.

It shares the design points, so it cannot see a mode that both seeds missed; it does see a wrong density, a wrong
transformation or a wrong weight.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import openturns as ot  # type: ignore[import-untyped]

from pipeline.simulation.backend import Floats

_BLOCK = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossCheck:
    """What OpenTURNS found; a probability of 0 means that none of its runs failed."""

    probability: float
    standard_error: float
    runs: int


def cross_check(
    distribution: Any, g: Callable[[Floats], Floats], centres: Floats, *, runs: int, seed: int
) -> CrossCheck:
    """Importance sampling by OpenTURNS around design points.

    Args:
        distribution: Joint law of the physical inputs.
        g: Limit state of physical values; only its sign is used.
        centres: Design points in standard space, one row each.
        runs: Runs to spend, rounded up to whole blocks of 50.
        seed: Seed of OpenTURNS's generator.
    """

    def sign(sample: Any) -> Any:
        return np.where(g(np.asarray(sample)) <= 0.0, -1.0, 1.0)[:, None]

    dimension = centres.shape[1]
    ot.RandomGenerator.SetSeed(seed)
    function = ot.PythonFunction(dimension, 1, func_sample=sign)
    output = ot.CompositeRandomVector(function, ot.RandomVector(distribution))
    event = ot.StandardEvent(ot.ThresholdEvent(output, ot.LessOrEqual(), 0.0))
    around = ot.Mixture([ot.Normal(ot.Point(point), ot.CovarianceMatrix(dimension)) for point in centres])
    algorithm = ot.ProbabilitySimulationAlgorithm(event, ot.ImportanceSamplingExperiment(around))
    algorithm.setBlockSize(_BLOCK)
    blocks = -(-runs // _BLOCK)
    algorithm.setMaximumOuterSampling(blocks)
    # A goal of nought spends all the runs: to stop where the error looks small biases the mean.
    algorithm.setMaximumCoefficientOfVariation(0.0)
    algorithm.setMaximumStandardDeviation(0.0)
    algorithm.run()
    result = algorithm.getResult()
    return CrossCheck(
        probability=float(result.getProbabilityEstimate()),
        standard_error=float(result.getStandardDeviation()),
        runs=blocks * _BLOCK,
    )

"""Laws of single inputs, by the names that scenario files use, and their joint law by OpenTURNS."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import openturns as ot  # type: ignore[import-untyped]

from pipeline.simulation.backend import Floats
from pipeline.simulation.errors import ScenarioError
from pipeline.simulation.scenario import Input

# Its warnings would stand among what commands print; what goes wrong is raised.
ot.Log.Show(ot.Log.ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family of laws: its parameters in OpenTURNS's order."""

    parameters: tuple[str, ...]
    law: Callable[..., Any]


FAMILIES: Final[Mapping[str, Family]] = {
    "normal": Family(parameters=("mean", "deviation"), law=ot.Normal),
    "lognormal": Family(parameters=("log_mean", "log_deviation", "shift"), law=ot.LogNormal),
    "uniform": Family(parameters=("from", "to"), law=ot.Uniform),
    "exponential": Family(parameters=("rate", "shift"), law=ot.Exponential),
    "gamma": Family(parameters=("shape", "rate", "shift"), law=ot.Gamma),
    "weibull": Family(parameters=("scale", "shape", "shift"), law=ot.WeibullMin),
    "gumbel": Family(parameters=("scale", "mode"), law=ot.Gumbel),
    "logistic": Family(parameters=("mean", "scale"), law=ot.Logistic),
    "beta": Family(parameters=("alpha", "beta", "from", "to"), law=ot.Beta),
}


def marginal(each: Input) -> Any:
    """An input's law within its bounds.

    Raises:
        ScenarioError: The parameters are no law of that family, or it has next to no mass within the bounds.
    """
    family = FAMILIES[each.family]
    given = [each.law[name] for name in family.parameters]
    try:
        law = family.law(*given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ScenarioError(
            f"input {each.name}: {each.family}({dict(each.law)}) is no law: {error}"
        ) from error
    inside = law.computeCDF(each.upper) - law.computeCDF(each.lower)
    if not inside > 1e-3:  # noqa: PLR2004 - said in the message
        raise ScenarioError(
            f"input {each.name}: {inside:.2g} of its law lies within its bounds {each.lower} to {each.upper} "
            f"{each.unit} (expected more than 0.001)"
        )
    return ot.TruncatedDistribution(law, float(each.lower), float(each.upper))


class JointLaw:
    """The joint law of a scenario's inputs, and its map to independent standard normal variables and back."""

    def __init__(self, inputs: tuple[Input, ...], spearman: tuple[tuple[float, ...], ...] | None) -> None:
        """Bind the law.

        Raises:
            ScenarioError: A law or the correlation is impossible.
        """
        self.inputs = inputs
        self.distribution = ot.JointDistribution(
            [marginal(each) for each in inputs], _copula(len(inputs), spearman)
        )
        self._to_standard = self.distribution.getIsoProbabilisticTransformation()
        self._to_physical = self.distribution.getInverseIsoProbabilisticTransformation()

    @property
    def dimension(self) -> int:
        """How many inputs vary."""
        return len(self.inputs)

    def to_physical(self, standard: Floats) -> Floats:
        """Physical values of standard normal points, one row each; never outside the bounds."""
        lower = np.array([each.lower for each in self.inputs])
        upper = np.array([each.upper for each in self.inputs])
        # Rounding in the tails must not carry a value over its bound.
        return np.asarray(np.clip(np.asarray(self._to_physical(ot.Sample(standard))), lower, upper))

    def to_standard(self, physical: Floats) -> Floats:
        """Standard normal points of physical values."""
        return np.asarray(self._to_standard(ot.Sample(physical)))

    def log_density(self, physical: Floats) -> Floats:
        """Logarithm of the joint density."""
        return np.asarray(self.distribution.computeLogPDF(ot.Sample(physical))).ravel()


def _copula(dimension: int, spearman: tuple[tuple[float, ...], ...] | None) -> Any:
    if spearman is None:
        return ot.IndependentCopula(dimension)
    ranks = ot.CorrelationMatrix(np.array(spearman).tolist())
    try:
        return ot.NormalCopula(ot.NormalCopula.GetCorrelationFromSpearmanCorrelation(ranks))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ScenarioError(
            f"spearman is no matrix of rank correlations of a normal copula: {error}"
        ) from error

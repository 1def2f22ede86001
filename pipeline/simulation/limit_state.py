"""A scenario bound to its simulator: standard normal points in, pass or fail out."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipeline.simulation.backend import BackEnd, Flags, Floats, Outcomes, Parameter
from pipeline.simulation.errors import BackEndError, ScenarioError
from pipeline.simulation.laws import JointLaw
from pipeline.simulation.scenario import Input, LogicalScenario


class Sim(Protocol):
    """``g`` of standard normal points: at most 0 where the run fails. All that reliability methods need."""

    @property
    def dimension(self) -> int:
        """How many variables a point has."""
        ...

    def __call__(self, standard: Floats) -> Floats:
        """Run each row.

        Raises:
            BackEndError: The simulator failed or answered with what is no number.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Runs with all that is known of them, one row each."""

    physical: Floats
    outcomes: Outcomes
    g: Floats

    @property
    def failed(self) -> Flags:
        """Whether each run fails."""
        return np.asarray(self.g <= 0.0)


class LimitState:
    """A scenario's ``Sim``; counts its runs."""

    def __init__(self, scenario: LogicalScenario, back_end: BackEnd, law: JointLaw | None = None) -> None:
        """Bind the scenario.

        Raises:
            ScenarioError: An input or constant is no parameter of the back end, a bound or value is outside what
                the parameter admits, or a parameter without a default is left open.
        """
        self.scenario = scenario
        self.law = law or JointLaw(scenario.inputs, scenario.spearman)
        self.runs = 0
        self._back_end = back_end
        self._row = _fixed(scenario, back_end)
        names = [each.name for each in back_end.parameters]
        self._columns = [names.index(each.name) for each in scenario.inputs]

    @property
    def dimension(self) -> int:
        """How many inputs vary."""
        return self.law.dimension

    def __call__(self, standard: Floats) -> Floats:
        """See ``Sim``."""
        return self.run(self.law.to_physical(standard)).g

    def run(self, physical: Floats) -> Runs:
        """Run physical values of the inputs, one row each.

        Raises:
            BackEndError: The simulator failed or answered with what is no number.
        """
        rows = np.tile(self._row, (len(physical), 1))
        rows[:, self._columns] = physical
        outcomes = self._back_end.run(rows)
        g = self.scenario.fail.limit(outcomes)
        if g.shape != (len(rows),) or not np.isfinite(g).all():
            raise BackEndError(
                f"{self.scenario.fail.kpi} of {len(rows)} runs "
                f"(got {int(np.isfinite(g).sum())} numbers, expected one for each run)"
            )
        self.runs += len(rows)
        return Runs(physical=physical, outcomes=outcomes, g=g)


def _fixed(scenario: LogicalScenario, back_end: BackEnd) -> Floats:
    """A row with constants and defaults in place; NaN where inputs go."""
    known = {each.name: each for each in back_end.parameters}
    varied = {each.name for each in scenario.inputs}
    for name in [*varied, *scenario.constants]:
        if name not in known:
            raise ScenarioError(
                f"{name!r} is no parameter of this back end (expected one of {', '.join(known)})"
            )
    for name in scenario.constants.keys() & varied:
        raise ScenarioError(f"{name!r} is both an input and a constant (expected one of the two)")
    for each in scenario.inputs:
        _require_fit(each, known[each.name])
    row = [
        np.nan if name in varied else _held(parameter, scenario.constants.get(name, parameter.default))
        for name, parameter in known.items()
    ]
    return np.array(row, dtype=np.float64)


def _require_fit(each: Input, parameter: Parameter) -> None:
    if each.unit != parameter.unit:
        raise ScenarioError(f"input {each.name}: unit (got {each.unit!r}, expected {parameter.unit!r})")
    if each.lower < parameter.lowest or each.upper > parameter.highest:
        raise ScenarioError(
            f"input {each.name}: bounds (got {each.lower} to {each.upper}, expected within "
            f"{parameter.lowest} to {parameter.highest} {parameter.unit})"
        )


def _held(parameter: Parameter, value: float | None) -> float:
    if value is None:
        raise ScenarioError(
            f"{parameter.name!r} ({parameter.unit}) has no default (expected an input or a constant)"
        )
    if not parameter.lowest <= value <= parameter.highest:
        raise ScenarioError(
            f"constant {parameter.name} (got {value}, expected within {parameter.lowest} to "
            f"{parameter.highest} {parameter.unit})"
        )
    return value

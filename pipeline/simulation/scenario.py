"""A logical scenario: which inputs vary and how, what is measured, and what counts as failure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from pipeline.simulation.backend import Flags, Floats, Outcomes


class Kpi(StrEnum):
    """Figure of merit that the fail rule reads."""

    MIN_GAP = "min_gap"
    MIN_TTC = "min_ttc"
    IMPACT_SPEED = "impact_speed"

    def of(self, outcomes: Outcomes) -> Floats:
        """Its values."""
        return {
            Kpi.MIN_GAP: outcomes.min_gap,
            Kpi.MIN_TTC: outcomes.min_ttc,
            Kpi.IMPACT_SPEED: outcomes.impact_speed,
        }[self]


class Fails(StrEnum):
    """On which side of the threshold failure lies."""

    AT_MOST = "at_most"
    AT_LEAST = "at_least"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailRule:
    """Failure is a KPI at or beyond a threshold."""

    kpi: Kpi
    fails: Fails
    threshold: float

    def limit(self, outcomes: Outcomes) -> Floats:
        """``g``: at most 0 where the run fails. Only its sign is relied on: it may jump and have plateaus."""
        distance = self.kpi.of(outcomes) - self.threshold
        return distance if self.fails is Fails.AT_MOST else -distance

    def failed(self, outcomes: Outcomes) -> Flags:
        """Whether each run fails."""
        return np.asarray(self.limit(outcomes) <= 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A physical input that varies: its law, cut off at its bounds.

    Attributes:
        name: A parameter of the back end.
        unit: That parameter's unit.
        lower: Least value.
        upper: Greatest value.
        family: Name of the law (``laws.FAMILIES``).
        law: That law's parameters by name.
    """

    name: str
    unit: str
    lower: float
    upper: float
    family: str
    law: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalScenario:
    """Inputs with their joint law, everything else held fixed, the KPI and the fail rule.

    Attributes:
        name: What people call it.
        inputs: What varies.
        spearman: Rank correlation of the inputs under a normal copula; ``None`` for independence.
        constants: Parameters of the back end that are held at a value other than its default.
        fail: When a run fails.
        back_end: Name and settings of the simulator.
        sources: Releases that the laws were fitted on, id and digest each.
        artefacts: Ids of the registered tables that the laws were fitted on.
    """

    name: str
    inputs: tuple[Input, ...]
    spearman: tuple[tuple[float, ...], ...] | None
    constants: Mapping[str, float]
    fail: FailRule
    back_end: Mapping[str, Any]
    sources: tuple[Mapping[str, str], ...] = ()
    artefacts: tuple[str, ...] = ()

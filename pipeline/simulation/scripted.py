"""The cut-in as simulators of others play it: what the other vehicle does, what is measured, when a run is over.

The same rules as in ``cut_in``: collisions count from the moment when the other reaches into the lane; a run ends
with a collision, when the automated vehicle was passed by, or when the conflict is over. How the automated vehicle
drives from the moment when it notices is the simulator's.
"""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pipeline.simulation.backend import MAX_TTC_S, Floats, Outcomes
from pipeline.simulation.cut_in import BOUNDS, HORIZON_S, OVER_MPS, PARAMETERS, VEHICLE_LENGTHS_M
from pipeline.simulation.errors import BackEndError

_PLACE: Final = {each.name: i for i, each in enumerate(PARAMETERS)}


@dataclass(slots=True)
class Run:
    """One cut-in in the hands of a simulator.

    Attributes:
        row: Values of ``PARAMETERS``.
        least_gap: Least gap while both are in one lane, m.
        least_ttc: Least time to collision then, s.
        impact: Closing speed of the collision, m/s.
        over: Whether the run has ended.
    """

    row: Floats
    least_gap: float = math.inf
    least_ttc: float = MAX_TTC_S
    impact: float = 0.0
    over: bool = field(default=False)

    def value(self, name: str) -> float:
        """A parameter."""
        return float(self.row[_PLACE[name]])

    @property
    def reaches_s(self) -> float:
        """When the other reaches into the lane."""
        return self.value("lane_reached_at") * self.value("lane_change_duration")

    @property
    def notices_s(self) -> float:
        """When the automated vehicle begins to answer."""
        return self.reaches_s + self.value("reaction_time")

    @property
    def other_begins_mps(self) -> float:
        """The other's speed at the start of the lane change."""
        return max(0.0, self.value("ego_speed") + self.value("relative_speed"))

    @property
    def other_ends_mps(self) -> float:
        """The speed that its braking leaves it."""
        return max(0.0, self.other_begins_mps - self.value("speed_drop"))

    def other_speed(self, now: float) -> float:
        """Its speed at a time."""
        braked = self.value("braking") * max(0.0, now - self.value("braking_delay"))
        return max(self.other_ends_mps, self.other_begins_mps - braked) if braked else self.other_begins_mps

    def across(self, now: float) -> float:
        """Part of the way into the lane that it still has to go, from 1 to 0: half a period of a cosine."""
        part = min(1.0, now / self.value("lane_change_duration"))
        return 0.5 * (1.0 + math.cos(math.pi * part))

    def look(self, now: float, gap: float, ego: float, other: float) -> None:
        """Take gap and speeds of an instant, in order of time."""
        if now >= self.reaches_s:
            if gap < -VEHICLE_LENGTHS_M:
                self.over = True
                return
            if gap <= 0.0:
                self.least_gap, self.least_ttc, self.impact = 0.0, 0.0, max(0.0, ego - other)
                self.over = True
                return
            self.least_gap = min(self.least_gap, gap)
            if ego > other:
                self.least_ttc = min(self.least_ttc, gap / (ego - other))
        braked = self.value("braking") == 0.0 or other <= self.other_ends_mps + 1e-9
        calm = now >= self.notices_s and braked and ego - other <= OVER_MPS
        self.over = calm or now >= HORIZON_S

    @property
    def figures(self) -> tuple[float, float, float]:
        """Least gap, least time to collision, impact speed."""
        # A vehicle that never came into the lane leaves no gap to measure.
        gap = BOUNDS["gap"][1] if math.isinf(self.least_gap) else self.least_gap
        return gap, self.least_ttc, self.impact


def checked_rows(values: Floats, fixed: frozenset[str], simulator: str) -> Floats:
    """Rows of ``PARAMETERS`` that a simulator can play.

    Args:
        values: The rows.
        fixed: Parameters that the simulator knows nothing of: they must have their default.
        simulator: Its name.

    Raises:
        BackEndError: A value is no number, outside what its parameter admits, or would be left out of account.
    """
    rows = np.ascontiguousarray(values, dtype=np.float64)
    for column, each in zip(rows.T, PARAMETERS, strict=True):
        # NaN fails both comparisons.
        wrong = column[~((column >= each.lowest) & (column <= each.highest))]
        if wrong.size:
            raise BackEndError(
                f"{each.name} (got {wrong[0]} {each.unit}, expected {each.lowest} to {each.highest})"
            )
        if each.name in fixed and (other := column[column != each.default]).size:
            raise BackEndError(
                f"{each.name} is nothing to {simulator} (got {other[0]} {each.unit}, expected its default "
                f"{each.default})"
            )
    return rows


def outcomes_of(answers: Floats) -> Outcomes:
    """A row of figures for each run, as outcomes."""
    return Outcomes(min_gap=answers[:, 0], min_ttc=answers[:, 1], impact_speed=answers[:, 2])


NEIGHBOURS: Final = frozenset(
    {
        "jerk",
        "neighbour_front_gap",
        "neighbour_rear_gap",
        "neighbour_speed",
        "politeness",
        "least_gain",
        "safe_braking",
        "own_lane_change_duration",
        "rear_headway",
        "rear_standstill_gap",
        "rear_greatest_acceleration",
        "rear_comfortable_braking",
    }
)
"""What neither SUMO nor highway-env is given here: a neighbouring lane to leave by, and the build-up of brakes."""

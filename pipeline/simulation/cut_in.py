"""A vehicle cuts in before an automated one and brakes: both simulated from the start of the lane change.

The automated vehicle holds its speed until it has noticed the other in its lane, then follows it by IDM within
its tyres' grip and the build-up of its brakes; where a neighbouring lane is given it may leave by MOBIL.
Collisions count from the moment when the other reaches into the lane. A run ends with a collision, when the
automated vehicle has left or been passed by, or when the conflict is over: the other has finished braking, was
noticed, and the gap hardly shrinks any more.
"""

import math
from typing import Final

import numpy as np

from pipeline.simulation.backend import MAX_TTC_S, Floats, Outcomes, Parameter
from pipeline.simulation.car_following import compiled, idm_acceleration, mobil_wants_change
from pipeline.simulation.errors import BackEndError

HORIZON_S: Final = 30.0
OVER_MPS: Final = 0.1
"""A gap that shrinks no faster than this, with the other done braking, is a conflict that is over."""


def _parameter(name: str, unit: str, default: float | None, lowest: float, highest: float) -> Parameter:
    return Parameter(name=name, unit=unit, default=default, lowest=lowest, highest=highest)


PARAMETERS: Final = (
    _parameter("ego_speed", "m/s", None, 0.0, 70.0),
    _parameter("gap", "m", None, 0.0, 500.0),
    _parameter("relative_speed", "m/s", None, -60.0, 60.0),
    _parameter("lane_change_duration", "s", 4.0, 0.2, 20.0),
    _parameter("braking", "m/s²", 0.0, 0.0, 12.0),
    _parameter("braking_delay", "s", 0.0, 0.0, 20.0),
    _parameter("reaction_time", "s", 0.5, 0.0, 5.0),
    _parameter("grip", "m/s²", 8.0, 0.2, 12.0),
    _parameter("speed_drop", "m/s", 10.0, 0.0, 70.0),
    _parameter("lane_reached_at", "1", 0.3, 0.0, 1.0),
    _parameter("headway", "s", 1.2, 0.1, 5.0),
    _parameter("standstill_gap", "m", 2.0, 0.1, 10.0),
    _parameter("greatest_acceleration", "m/s²", 1.5, 0.1, 6.0),
    _parameter("comfortable_braking", "m/s²", 2.5, 0.1, 9.0),
    _parameter("jerk", "m/s³", 20.0, 1.0, 200.0),
    # A neighbouring lane is there where its gaps are finite and positive; 0 means there is none.
    _parameter("neighbour_front_gap", "m", 0.0, 0.0, 500.0),
    _parameter("neighbour_rear_gap", "m", 0.0, 0.0, 500.0),
    _parameter("neighbour_speed", "m/s", 25.0, 0.0, 70.0),
    _parameter("politeness", "1", 0.3, 0.0, 2.0),
    _parameter("least_gain", "m/s²", 0.2, 0.0, 5.0),
    _parameter("safe_braking", "m/s²", 4.0, 0.1, 9.0),
    _parameter("own_lane_change_duration", "s", 3.0, 0.2, 20.0),
    # The driver behind in the neighbouring lane, of the traffic around.
    _parameter("rear_headway", "s", 1.2, 0.1, 5.0),
    _parameter("rear_standstill_gap", "m", 2.0, 0.1, 10.0),
    _parameter("rear_greatest_acceleration", "m/s²", 1.5, 0.1, 6.0),
    _parameter("rear_comfortable_braking", "m/s²", 2.5, 0.1, 9.0),
)
BOUNDS: Final = {each.name: (each.lowest, each.highest) for each in PARAMETERS}
VEHICLE_LENGTHS_M: Final = 10.0
"""Both vehicles' lengths together: a gap below minus this is a vehicle that was passed."""


@compiled
def one_run(p: Floats, step: float) -> tuple[float, float, float]:  # noqa: C901 - one compiled loop; passing its state around would cost most of its time
    """Least gap, least time to collision and impact speed of one row of ``PARAMETERS``."""
    ego, gap = p[0], p[1]
    other = max(0.0, ego + p[2])
    final = max(0.0, other - p[8])
    desired = max(ego, 0.1)
    reaches, braking, brakes_at, grip = p[9] * p[3], p[4], p[5], p[7]
    notices = reaches + p[6]
    driver, rule, rear_driver = p[10:14], p[18:21], p[22:26]
    front, rear = p[15], p[16]
    acceleration, least_gap, least_ttc = 0.0, math.inf, MAX_TTC_S
    leaves = math.inf
    now = 0.0
    while now < HORIZON_S:
        braked = braking == 0.0 or other <= final
        if now >= reaches:
            if gap < -VEHICLE_LENGTHS_M:
                break
            if gap <= 0.0:
                return 0.0, 0.0, max(0.0, ego - other)
            least_gap = min(least_gap, gap)
            if ego > other:
                least_ttc = min(least_ttc, gap / (ego - other))
        if now >= leaves:
            break
        wanted = 0.0
        if now >= notices:
            if braked and ego - other <= OVER_MPS:
                break
            wanted = max(-grip, idm_acceleration(ego, desired, gap, ego - other, driver))
            if math.isinf(leaves) and front > 0.0 and rear > 0.0:
                gain = idm_acceleration(ego, desired, front, ego - p[17], driver) - wanted
                behind = idm_acceleration(p[17], max(p[17], 0.1), rear, p[17] - ego, rear_driver)
                if mobil_wants_change(gain, -behind, -behind, rule):
                    leaves = now + p[21]
        change = p[14] * step
        acceleration = min(max(wanted, acceleration - change), acceleration + change)
        ego_next = max(0.0, ego + acceleration * step)
        other_next = max(final, other - braking * step) if now >= brakes_at else other
        gap += 0.5 * (other + other_next - ego - ego_next) * step
        front += (p[17] - 0.5 * (ego + ego_next)) * step
        rear += (0.5 * (ego + ego_next) - p[17]) * step
        ego, other = ego_next, other_next
        now += step
    return least_gap, least_ttc, 0.0


@compiled
def many_runs(rows: Floats, step: float) -> Floats:
    """``one_run`` of each row."""
    answers = np.empty((rows.shape[0], 3))
    for i in range(rows.shape[0]):
        answers[i] = one_run(rows[i], step)
    return answers


class CutIn:
    """The cut-in as a back end."""

    def __init__(self, step_s: float = 0.1) -> None:
        """Bind the simulator.

        Raises:
            BackEndError: The step is no time.
        """
        if not 0.0 < step_s <= 0.5:  # noqa: PLR2004 - said in the message
            raise BackEndError(f"step (got {step_s} s, expected more than 0 and at most 0.5 s)")
        self._step = step_s

    @property
    def digest(self) -> str:
        """Name, version of the equations, step."""
        return f"cut-in/2;step={self._step!r}"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """See ``PARAMETERS``."""
        return PARAMETERS

    def run(self, values: Floats) -> Outcomes:
        """Run each row of ``PARAMETERS``.

        Raises:
            BackEndError: A value is no number or outside what its parameter admits.
        """
        rows = np.ascontiguousarray(values, dtype=np.float64)
        for column, parameter in zip(rows.T, PARAMETERS, strict=True):
            # NaN fails both comparisons.
            wrong = column[~((column >= parameter.lowest) & (column <= parameter.highest))]
            if wrong.size:
                raise BackEndError(
                    f"{parameter.name} (got {wrong[0]} {parameter.unit}, expected "
                    f"{parameter.lowest} to {parameter.highest})"
                )
        answers = many_runs(rows, self._step)
        # A vehicle that never came into the lane leaves no gap to measure.
        gaps = np.where(np.isinf(answers[:, 0]), BOUNDS["gap"][1], answers[:, 0])
        return Outcomes(min_gap=gaps, min_ttc=answers[:, 1], impact_speed=answers[:, 2])

"""What a process with highway-env does: one cut-in after another, each on a straight road of two lanes."""

import os
from collections.abc import Callable
from typing import Any, Final

import numpy as np

# Its drawing library greets on standard output.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

from pipeline.simulation.backend import Floats
from pipeline.simulation.cut_in import HORIZON_S
from pipeline.simulation.scripted import Run

SEED: Final = 1
LANE_M: Final = 4.0
_ROAD_M: Final = 10_000.0
_FAST_MPS: Final = 300.0


def run_rows(rows: Floats, step_s: float) -> Floats:
    """Least gap, least time to collision and impact speed of rows of ``cut_in.PARAMETERS``."""
    scene = _Scene()
    answers = np.empty((len(rows), 3))
    for i, row in enumerate(rows):
        run = Run(row)
        scene.play(run, step_s)
        answers[i] = run.figures
    return answers


class _Scene:
    """highway-env's road and vehicles, loaded once."""

    def __init__(self) -> None:
        from highway_env.road.road import (  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415 - slow to load
            Road,
            RoadNetwork,
        )
        from highway_env.vehicle.behavior import (  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415 - slow to load
            IDMVehicle,
        )
        from highway_env.vehicle.kinematics import (  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415 - slow to load
            Vehicle,
        )

        class Automated(IDMVehicle):  # type: ignore[misc,unused-ignore]
            """Holds its speed until it notices."""

            MAX_SPEED = _FAST_MPS
            notices = False

            def act(self, action: Any = None) -> None:
                if self.notices:
                    super().act(action)
                else:
                    Vehicle.act(self, {"steering": 0.0, "acceleration": 0.0})

            def step(self, dt: float) -> None:
                super().step(dt)
                self.speed: float = max(0.0, float(self.speed))

        class Led(Vehicle):  # type: ignore[misc,unused-ignore]
            """Goes where it is put."""

            MAX_SPEED = _FAST_MPS

            def act(self, action: Any = None) -> None:
                """Decide nothing."""

            def step(self, dt: float) -> None:
                """Stay where it was put."""

        self._road: Callable[[], Any] = lambda: Road(
            network=RoadNetwork.straight_road_network(2, length=_ROAD_M, speed_limit=_FAST_MPS),
            np_random=np.random.RandomState(SEED),
        )
        self._automated: Any = Automated
        self._led: Any = Led

    def play(self, run: Run, step_s: float) -> None:
        """Play a cut-in to its end."""
        road = self._road()
        ego = self._automated(road, [0.0, LANE_M], speed=run.value("ego_speed"), enable_lane_change=False)
        length = float(ego.LENGTH)
        ego.target_speed = max(run.value("ego_speed"), 0.1)
        ego.ACC_MAX = run.value("grip")
        ego.COMFORT_ACC_MAX = run.value("greatest_acceleration")
        ego.COMFORT_ACC_MIN = -run.value("comfortable_braking")
        ego.DISTANCE_WANTED = run.value("standstill_gap") + length
        ego.TIME_WANTED = run.value("headway")
        other = self._led(road, [run.value("gap") + length, 0.0], speed=run.other_begins_mps)
        for each in (ego, other):
            # Collisions are measured here; the package's would push the vehicles about.
            each.check_collisions = each.collidable = False
        road.vehicles = [ego, other]
        for step in range(int(np.ceil(HORIZON_S / step_s)) + 1):
            now = step * step_s
            run.look(
                now, float(other.position[0] - ego.position[0]) - length, float(ego.speed), float(other.speed)
            )
            if run.over:
                return
            ego.notices = now >= run.notices_s
            road.act()
            road.step(step_s)
            after = run.other_speed(now + step_s)
            other.position = np.array(
                [
                    other.position[0] + 0.5 * (other.speed + after) * step_s,
                    LANE_M * (1.0 - run.across(now + step_s)),
                ]
            )
            other.speed = after
            other.on_state_update()

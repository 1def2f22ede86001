"""Cut-ins per second on each simulator, and how far they agree, in one run.

    python benchmarks/simulator_runs.py [--rows 512] [--json]

Taken: the same rows of the example scenario, its gaps a fifth so that some fail, on the compiled cut-in, SUMO and
highway-env, once to load and once to measure, with one process each; a table of named cut-ins on all three.
"""

import argparse
import json
import os
import time
from typing import Any

import numpy as np

from pipeline.simulation.backend import Outcomes
from pipeline.simulation.cut_in import PARAMETERS, CutIn
from pipeline.simulation.highway import HighwayEnv
from pipeline.simulation.laws import JointLaw
from pipeline.simulation.limit_state import LimitState
from pipeline.simulation.scenario_file import example_text, parse_scenario
from pipeline.simulation.sumo import Sumo

CASES = {
    "gap 60 m, other 2 m/s faster": {"gap": 60.0, "relative_speed": 2.0},
    "gap 60 m, brakes at 2 m/s²": {"gap": 60.0, "braking": 2.0},
    "gap 30 m, 2 m/s slower, brakes at 2 m/s²": {"gap": 30.0, "relative_speed": -2.0, "braking": 2.0},
    "gap 40 m, 8 m/s slower, brakes at 6 m/s²": {"gap": 40.0, "relative_speed": -8.0, "braking": 6.0},
    "gap 25 m, 8 m/s slower, brakes at 6 m/s²": {"gap": 25.0, "relative_speed": -8.0, "braking": 6.0},
    "gap 10 m, 12 m/s slower, brakes at 8 m/s²": {"gap": 10.0, "relative_speed": -12.0, "braking": 8.0},
}


class Kept:
    """A back end that keeps the rows it was asked."""

    def __init__(self) -> None:
        self.digest, self.parameters = "kept", PARAMETERS
        self.rows = np.empty((0, len(PARAMETERS)))

    def run(self, values: np.ndarray) -> Outcomes:
        self.rows = values
        nothing = np.zeros(len(values))
        return Outcomes(min_gap=nothing, min_ttc=nothing, impact_speed=nothing)


def drawn(count: int) -> np.ndarray:
    """Rows of the example scenario."""
    scenario = parse_scenario(example_text().replace("log_mean: 4.25", "log_mean: 2.6"))
    kept = Kept()
    state = LimitState(scenario, kept)
    points = np.random.default_rng(1).standard_normal((count, state.dimension))
    state.run(JointLaw(scenario.inputs, scenario.spearman).to_physical(points))
    return kept.rows


def named() -> np.ndarray:
    base = {"ego_speed": 27.0, "relative_speed": 0.0, "braking_delay": 1.0}
    return np.array(
        [[{**base, **each}.get(p.name, p.default) for p in PARAMETERS] for each in CASES.values()]
    )


def told(outcomes: Outcomes, i: int) -> str:
    if outcomes.collision[i]:
        return f"collision, {outcomes.impact_speed[i]:.1f} m/s"
    return f"{outcomes.min_gap[i]:.1f} m"


def measured(count: int) -> dict[str, Any]:
    rows = drawn(count)
    ends = {"idm": CutIn(), "sumo": Sumo(workers=1), "highway-env": HighwayEnv(workers=1)}
    speed, failed, cases = {}, {}, {}
    for name, end in ends.items():
        cases[name] = end.run(named())  # loads the simulator
        many = np.tile(rows, (40, 1)) if name == "idm" else rows
        begin = time.perf_counter()
        outcomes = end.run(many)
        speed[name] = len(many) / (time.perf_counter() - begin)
        failed[name] = outcomes.collision[: len(rows)]
    return {
        "rows": count,
        "load": os.getloadavg()[0],
        "runs_per_s": speed,
        "over_sumo": {name: each / speed["sumo"] for name, each in speed.items()},
        "failed": {name: int(each.sum()) for name, each in failed.items()},
        "agree_with_idm": {name: float((each == failed["idm"]).mean()) for name, each in failed.items()},
        "cases": {case: {n: told(o, i) for n, o in cases.items()} for i, case in enumerate(CASES)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    answer = measured(given.rows)
    if given.json:
        print(json.dumps(answer))
        return
    for name, each in answer["runs_per_s"].items():
        print(
            f"{name:12} {each:10.0f} runs/s, {answer['over_sumo'][name]:8.1f} × SUMO; {answer['failed'][name]} of "
            f"{answer['rows']} fail, {answer['agree_with_idm'][name]:.1%} as idm says"
        )
    print("\n| cut-in | idm | sumo | highway-env |\n|---|---|---|---|")
    for case, each in answer["cases"].items():
        print(f"| {case} | {each['idm']} | {each['sumo']} | {each['highway-env']} |")


if __name__ == "__main__":
    main()

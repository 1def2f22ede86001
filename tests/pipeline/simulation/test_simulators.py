"""One cut-in on three simulators: they agree where it is clear, and refuse what they would ignore."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from gateway.cli import app
from pipeline.simulation.back_ends import chosen, open_back_end
from pipeline.simulation.backend import BackEnd
from pipeline.simulation.choice import Choice
from pipeline.simulation.cut_in import PARAMETERS
from pipeline.simulation.errors import BackEndError, ScenarioError
from pipeline.simulation.scenario_file import example_text

NAMES = ("idm", "sumo", "highway-env")


def row(**values: float) -> list[float]:
    stated = {"ego_speed": 27.0, "gap": 40.0, "relative_speed": 0.0, "braking_delay": 1.0, **values}
    return [stated.get(each.name, each.default) for each in PARAMETERS]  # type: ignore[misc]


@pytest.fixture(scope="module")
def simulators() -> dict[str, BackEnd]:
    return {
        name: open_back_end(chosen({"kind": "cut_in", "step_s": 0.1}, Choice(name)), run_command=False)
        for name in NAMES
    }


SAFE = np.array(
    [
        row(gap=60, relative_speed=2),
        row(gap=80, braking=2),
        row(gap=40, relative_speed=1),
        row(ego_speed=15, gap=30, relative_speed=0, braking=1),
        row(gap=100, relative_speed=-5),
    ]
)
CRASH = np.array(
    [
        row(gap=5, relative_speed=-10, braking=8),
        row(gap=10, relative_speed=-12),
        row(gap=15, relative_speed=-8, braking=8),
        row(ego_speed=35, gap=20, relative_speed=-15, reaction_time=1.5),
        row(gap=25, relative_speed=-10, braking=6, grip=3),
    ]
)


@pytest.mark.parametrize("name", NAMES)
def test_clear_cases_go_alike(simulators: dict[str, BackEnd], name: str):
    safe, crash = simulators[name].run(SAFE), simulators[name].run(CRASH)
    assert not safe.collision.any()
    assert (safe.min_gap > 5.0).all()
    assert not safe.impact_speed.any()
    assert crash.collision.all()
    assert (crash.impact_speed > 2.0).all()
    assert (crash.min_ttc == 0.0).all()
    # Where nobody has to brake hard, all measure the same kinematics.
    assert safe.min_gap == pytest.approx(simulators["idm"].run(SAFE).min_gap, abs=3.0)


TRENDS = {
    "a larger gap leaves more": ("gap", [20, 30, 40, 60], 1),
    "a faster other leaves more": ("relative_speed", [-8, -5, -2, 1], 1),
    "a slower end leaves less": ("speed_drop", [2, 8, 14, 20], -1),
    "a later reaction leaves less": ("reaction_time", [0.2, 0.6, 1.0, 1.6], -1),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("trend", TRENDS)
def test_trends_have_one_sign(simulators: dict[str, BackEnd], name: str, trend: str):
    parameter, values, sign = TRENDS[trend]
    base = {"gap": 45.0, "relative_speed": -3.0, "braking": 3.0}
    rows = np.array([row(**{**base, parameter: value}) for value in values])
    gaps = simulators[name].run(rows).min_gap
    assert (sign * np.diff(gaps) > -1e-6).all(), gaps
    assert sign * (gaps[-1] - gaps[0]) > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_depends_on_the_row_alone(simulators: dict[str, BackEnd], name: str):
    rows = np.concatenate([SAFE, CRASH, SAFE[::-1]])
    together = simulators[name].run(rows)
    alone = [simulators[name].run(rows[i : i + 1]) for i in (1, 6, 8)]
    for i, each in zip((1, 6, 8), alone, strict=True):
        assert (each.min_gap[0], each.min_ttc[0], each.impact_speed[0]) == (
            together.min_gap[i],
            together.min_ttc[i],
            together.impact_speed[i],
        )
    assert together.min_gap[10:] == pytest.approx(together.min_gap[:5][::-1], abs=0.0)


@pytest.mark.parametrize("name", NAMES[1:])
def test_what_a_simulator_would_ignore_is_refused(simulators: dict[str, BackEnd], name: str):
    for spoilt, said in (
        (row(neighbour_front_gap=30.0), f"neighbour_front_gap is nothing to {name}"),
        (row(jerk=5.0), f"jerk is nothing to {name}"),
        (row(gap=float("nan")), "gap (got nan m"),
        (row(gap=900.0), "gap (got 900.0 m"),
    ):
        with pytest.raises(BackEndError) as refused:
            simulators[name].run(np.array([row(), spoilt]))
        assert said in str(refused.value)
    assert simulators[name].run(np.empty((0, len(PARAMETERS)))).min_gap.size == 0
    with pytest.raises(BackEndError, match="expected more than 0"):
        open_back_end(chosen({"kind": "cut_in", "step_s": 0.9}, Choice(name)), run_command=False)


def test_a_worker_that_is_killed_is_told_and_replaced(simulators: dict[str, BackEnd]):
    sumo: Any = simulators["sumo"]
    before = sumo.run(SAFE)
    for process in list(sumo._workers._pool._processes.values()):
        os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(BackEndError, match="a process of sumo ended before it answered"):
        sumo.run(SAFE)
    assert sumo.run(SAFE).min_gap.tolist() == before.min_gap.tolist()


def test_one_scenario_file_runs_on_each_simulator(tmp_path: Path):
    scenario = tmp_path / "cut-in.yaml"
    scenario.write_text(example_text().replace("log_mean: 4.25", "log_mean: 3.1"), encoding="utf-8")
    failed, identities = {}, set()
    for name in NAMES:
        asked = [
            "sample",
            str(scenario),
            "--dir",
            str(tmp_path / name),
            "--out",
            str(tmp_path / f"{name}.csv"),
        ]
        done = CliRunner().invoke(app, ["simulate", *asked, "--runs", "40", "--back-end", name, "--json"])
        assert done.exit_code == 0, done.output
        answer = json.loads(done.stdout)
        failed[name] = answer["failed"]
        identities.add(answer["rests_on"]["back_end"])
    assert len(identities) == len(NAMES)
    assert max(failed.values()) - min(failed.values()) <= 3, failed
    asked = ["sample", str(scenario), "--dir", str(tmp_path / "idm"), "--out", str(tmp_path / "again.csv")]
    other = CliRunner().invoke(app, ["simulate", *asked, "--back-end", "sumo", "--json"])
    assert json.loads(other.stdout)["reason"] == "run_folder_unusable"
    none = CliRunner().invoke(app, ["simulate", *asked, "--back-end", "external", "--json"])
    assert "expected 'command'" in json.loads(none.stdout)["detail"]
    wrong = CliRunner().invoke(app, ["simulate", *asked, "--back-end", "carla"])
    assert wrong.exit_code == 2


def test_a_scenario_may_name_a_simulator():
    assert open_back_end({"kind": "sumo"}, run_command=False).digest.startswith("sumo/1;libsumo=")
    assert open_back_end({"kind": "highway_env", "step_s": 0.05}, run_command=False).digest.endswith(
        "step=0.05"
    )
    with pytest.raises(ScenarioError, match="expected one of cut_in, sumo, highway_env, command"):
        open_back_end({"kind": "carla"}, run_command=False)

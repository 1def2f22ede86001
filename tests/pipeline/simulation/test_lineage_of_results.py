"""On a real gate: what simulation makes of releases is registered with parents, refused once one is revoked."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import rfc8785
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.flow.lineage import release_lineage
from gateway.flow.release import revoke_release
from pipeline.publishing import registered_as
from pipeline.simulation.scenario_file import example_text, read_scenario

# It may have to wait for a gate with its releases on a busy machine.
pytestmark = pytest.mark.timeout(900)

RUNS = ("--runs", "5500")


def ran(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["simulate", *map(str, arguments), "--json"])


def answer(*arguments: object, status: int | None = 0) -> dict[str, Any]:
    done = ran(*arguments)
    assert status is None or done.exit_code == status, done.output
    return dict(json.loads(done.stdout))


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "template.yaml"
    path.write_text(example_text().replace("[12, 38]", "[5, 38]"), encoding="utf-8")
    return path


def test_every_result_is_registered_with_its_parents_and_falls_with_a_release(
    traffic: Any, template: Path, tmp_path: Path
):
    options, ending = traffic.options(tmp_path), traffic.another(seed=11)
    officer, auditor = (traffic.house.people[who].actor for who in ("officer", "auditor"))

    def listed() -> dict[str, Any]:
        found = release_lineage(traffic.gate, ending, actor=auditor)["artefacts"]
        return {each["artefact"]: each for each in found}

    scenario, points, concrete = (tmp_path / name for name in ("cut-in.yaml", "points.csv", "concrete.csv"))
    folder, out = ("--dir", tmp_path / "runs"), tmp_path / "openscenario"
    commands: dict[str, tuple[object, ...]] = {
        "fit": ("fit", tmp_path / "events", "--template", template, "--out", scenario),
        "sample": ("sample", scenario, *folder, "--out", concrete, "--runs", 50),
        "reliability": ("reliability", scenario, *folder, *RUNS, "--design-points", points),
        "sensitivity": ("sensitivity", scenario, *folder, *RUNS),
        "export": ("export", scenario, "--concrete", concrete, "--out", out, "--most", 2),
    }
    table = answer("extract", traffic.annotated, ending, *options, "--out", tmp_path / "events")["artefact"]
    made = {
        name: answer(*command, *options, status=None if name == "reliability" else 0)
        for name, command in commands.items()
    }

    known = listed()
    fitted = made["fit"]["artefact"]
    parents = {name: known[each["artefact"]]["derived_from"]["artefacts"] for name, each in made.items()}
    assert known[table]["name"] == "events"
    assert parents["fit"] == [table]
    assert parents["sample"] == parents["reliability"] == parents["sensitivity"] == [fitted]
    assert parents["export"] == sorted([fitted, made["sample"]["artefact"]])
    assert known[registered_as(points)]["derived_from"]["artefacts"] == [fitted]
    for path, name in ((scenario, "fit"), (concrete, "sample")):
        assert registered_as(path) == made[name]["artefact"]
        assert known[registered_as(path)]["digest"] == sha256(path.read_bytes()).hexdigest()
    written = sorted(path for path in out.iterdir() if path.suffix in {".xosc", ".xodr"})
    assert len(written) == 4
    assert {registered_as(path) for path in written} == {made["export"]["artefact"]}
    for name in ("reliability", "sensitivity"):
        said = {key: value for key, value in made[name].items() if key not in {"artefact", "sha256"}}
        assert made[name]["sha256"] == sha256(rfc8785.dumps(said)).hexdigest()
        assert known[made[name]["artefact"]]["digest"] == made[name]["sha256"]
    assert all(
        set(each["derived_from"]["releases"]) == {traffic.annotated, ending} for each in known.values()
    )

    for name in set(commands) - {"fit"}:  # what rests on a release is not used without the gate
        refused = ran(*commands[name])
        assert refused.exit_code == 2, name
        assert "--release-key" in refused.output

    again = tmp_path / "again.yaml"  # a fitted scenario as a template: what it rests on is not lost
    fit_again = ("fit", tmp_path / "events", "--template", scenario, "--out", again, *options)
    assert set(answer(*fit_again)) >= {"artefact"}
    assert set(read_scenario(again).artefacts) == {fitted, table}

    revoke_release(traffic.gate, ending, actor=officer)
    assert all(each["revoked"] for each in listed().values())
    count = len(listed())
    for name in set(commands) - {"fit"}:
        refused_too = answer(*commands[name], *options, status=1)
        assert refused_too["reason"] == "artefact_revoked", name
        assert ending in refused_too["detail"]
    assert answer(*commands["fit"], *options, status=1)["reason"] == "release_ended"
    assert len(listed()) == count


def test_a_scenario_that_was_changed_is_unknown_until_it_is_registered(
    traffic: Any, template: Path, tmp_path: Path
):
    options, scenario = traffic.options(tmp_path), tmp_path / "cut-in.yaml"
    extract = ("extract", traffic.annotated, traffic.another(seed=12), "--out", tmp_path / "events")
    answer(*extract, *options)
    first = answer("fit", tmp_path / "events", "--template", template, "--out", scenario, *options)
    scenario.write_text(scenario.read_text().replace("at_most: 0.0", "at_most: 0.5"), encoding="utf-8")
    sample = ("sample", scenario, "--dir", tmp_path / "runs", "--out", tmp_path / "c.csv", "--runs", 20)

    refused = answer(*sample, *options, status=1)
    assert refused["reason"] == "unregistered"
    assert not (tmp_path / "c.csv").exists()
    second = answer("register", scenario, *options)
    assert second["artefact"] not in {first["artefact"], None}
    assert answer("register", scenario, *options)["artefact"] == second["artefact"]
    assert answer(*sample, *options)["artefact"] == registered_as(tmp_path / "c.csv")

    # A table that was changed after it was made is another one, too.
    table = pl.read_csv(tmp_path / "c.csv").head(3)
    table.write_csv(tmp_path / "c.csv")
    export = ("export", scenario, "--concrete", tmp_path / "c.csv", "--out", tmp_path / "out")
    assert answer(*export, *options, status=1)["reason"] == "unregistered"
    assert not (tmp_path / "out").exists()


def test_what_rests_on_no_release_asks_no_gate_and_is_registered_nowhere(tmp_path: Path, template: Path):
    folder, concrete = ("--dir", tmp_path / "runs"), tmp_path / "c.csv"
    out = tmp_path / "out"
    for command in (
        ("sample", template, *folder, "--out", concrete, "--runs", 20),
        ("export", template, "--concrete", concrete, "--out", out, "--most", 1),
    ):
        assert answer(*command)["artefact"] is None
    assert answer("reliability", template, *folder, *RUNS, status=None)["artefact"] is None
    assert not list(tmp_path.rglob("*.artefact.json"))

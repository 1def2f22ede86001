import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from filelock import FileLock
from typer.testing import CliRunner, Result

from driven_tracks import Drive, Other
from gateway.cli import app
from pipeline.simulation.scenario_file import example_text, parse_scenario


def simulate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)])


def answer(*arguments: object, status: int = 0) -> dict:
    done = simulate(*arguments, "--json")
    assert done.exit_code == status, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(1)
    drives = [
        Drive(
            name=f"clip-{i:02}", ego_speed=float(random.normal(26, 3)), noise=0.01, seed=i,
            others=[
                Other(
                    gap=float(random.lognormal(3.6, 0.3)), relative_speed=float(random.normal(0.5, 1.5)),
                    duration=float(random.uniform(3, 6)), braking=float(random.gamma(2, 0.7)),
                    braking_delay=float(random.uniform(0.2, 2.5)),
                )
            ],
        ).table()
        for i in range(60)
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("tracks") / "tracks.parquet"
    pl.concat(drives).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenario") / "cut-in.yaml"
    path.write_text(example_text(), encoding="utf-8")
    return path


def test_from_tracks_to_a_probability_and_how_far_the_events_move_it(tracks: Path, tmp_path: Path):
    template, events, fitted = tmp_path / "template.yaml", tmp_path / "events.csv", tmp_path / "fitted.yaml"
    template.write_text(simulate("example").stdout, encoding="utf-8")
    found = answer("extract-own", tracks, "--out", events)
    assert found == {"events": 60, "out": str(events)}
    fit = answer("fit", "--own-events", events, "--template", template, "--out", fitted)
    assert fit["events"] == 60
    assert fit["not_observed"] == ["reaction_time", "grip"]
    assert parse_scenario(fitted.read_text()).sources == ()
    folder = tmp_path / "runs"
    asked = ("reliability", fitted, "--dir", folder, "--own-events", events, "--replicates", 20)
    result = answer(*asked)
    assert result["verdict"] == "converged", result["reasons"]
    assert result["verdict_zh"] == "已收敛"
    assert result["rests_on"]["sources"] == []
    assert result["band"]["low"] < result["probability"] < result["band"]["high"]
    assert result["band"]["factor"] > 1.5
    assert result["runs_kept_from_before"] == 0
    again = answer(*asked)
    assert again.pop("runs_kept_from_before") == again["runs"]
    assert again == {key: value for key, value in result.items() if key != "runs_kept_from_before"}


def test_a_broken_off_study_goes_on_where_it_stopped(scenario: Path, tmp_path: Path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    first = answer("reliability", scenario, "--dir", whole)
    assert first["verdict"] == "converged"
    assert first["runs"] > 12_000
    answer("reliability", scenario, "--dir", broken)
    batches = sorted((broken / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    for batch in batches[len(batches) // 2 :]:
        batch.unlink()
    second = answer("reliability", scenario, "--dir", broken)
    assert 0 < second["runs_kept_from_before"] < first["runs"]
    assert second["probability"] == first["probability"]


def test_a_person_reads_the_verdict_in_both_languages(scenario: Path, tmp_path: Path):
    said = simulate("reliability", scenario, "--dir", tmp_path / "runs")
    assert said.exit_code == 0
    assert "converged 已收敛" in said.stdout
    assert re.search(r"probability of failure 1\.\d+e-07 ± \d\.\d%", said.stdout)
    assert re.search(r"gap \d+(\.\d+)? m: \d+(\.\d+)? passes", said.stdout)


def test_no_failure_gives_a_bound_and_no_probability(tmp_path: Path):
    safe = tmp_path / "safe.yaml"
    safe.write_text(example_text().replace("at_most: 0", "at_most: -1"), encoding="utf-8")
    result = answer("reliability", safe, "--dir", tmp_path / "runs")
    assert (result["verdict"], result["probability"]) == ("no_failure_found", None)
    assert result["upper_bound"]["upper_bound"] == pytest.approx(1e-3, rel=0.05)


def test_what_did_not_converge_leaves_with_status_1(tmp_path: Path):
    # Some 5e-12: exploration meets a handful of failures, and 1,500 runs leave little for a final batch.
    rare = tmp_path / "rare.yaml"
    rare.write_text(example_text().replace("log_mean: 4.25", "log_mean: 5.1"), encoding="utf-8")
    result = answer("reliability", rare, "--dir", tmp_path / "runs", "--runs", 1500, "--seed", 2, status=1)
    assert result["verdict"] == "not_converged"
    assert result["reasons"]
    assert result["probability"] is None


def test_sensitivities_are_told_for_each_input(scenario: Path, tmp_path: Path):
    result = answer("sensitivity", scenario, "--dir", tmp_path / "runs")
    assert [each["name"] for each in result["bulk"]] == [each["name"] for each in result["held"]]
    ratios = {each["name"]: each["ratio"] for each in result["held"]}
    totals = {each["name"]: each["total"] for each in result["bulk"]}
    assert totals["braking_delay"] < 0.05
    assert ratios["braking_delay"] < 0.3


def test_concrete_scenarios_are_drawn_and_run(scenario: Path, tmp_path: Path):
    out = tmp_path / "concrete.csv"
    result = answer("sample", scenario, "--dir", tmp_path / "runs", "--out", out, "--runs", 300)
    table = pl.read_csv(out)
    assert table.height == result["runs"] == 300
    assert table.columns[:2] == ["ego_speed", "gap"]
    assert table.columns[-1] == "failed"
    assert int(table["failed"].sum()) == result["failed"]


def test_likeliest_failures_are_exported_for_other_simulators(scenario: Path, tmp_path: Path):
    points, out = tmp_path / "points.csv", tmp_path / "export"
    answer("reliability", scenario, "--dir", tmp_path / "runs", "--design-points", points)
    table = pl.read_csv(points)
    assert table["distance"].is_sorted()
    written = answer("export", scenario, "--concrete", points, "--out", out, "--most", 1)["scenarios"]
    assert [Path(each).name for each in written] == ["cut-in-0001.xosc"]
    assert (out / "cut-in-0001.xodr").is_file()
    assert f'value="{table["braking"][0]}"' in Path(written[0]).read_text(encoding="utf-8")
    assert answer("export", scenario, "--concrete", points, "--out", out, "--failed-only", status=1)
    none = tmp_path / "none.csv"
    table.with_columns(pl.lit(value=False).alias("failed")).write_csv(none)
    refused = answer("export", scenario, "--concrete", none, "--out", out, "--failed-only", status=1)
    assert "holds no row to export" in refused["detail"]
    table.drop("gap").write_csv(none)
    refused = answer("export", scenario, "--concrete", none, "--out", out, status=1)
    assert "lacks the inputs gap" in refused["detail"]


def test_a_command_runs_only_when_it_is_allowed_to(tmp_path: Path):
    simulator = (
        "import csv, sys; rows = list(csv.DictReader(sys.stdin)); out = csv.writer(sys.stdout);"
        "out.writerow(['min_gap', 'min_ttc', 'impact_speed']);"
        "[out.writerow([max(0.0, float(r['distance']) - float(r['speed'])), 9, 0]) for r in rows]"
    )
    path = tmp_path / "external.yaml"
    path.write_text(
        json.dumps(
            {
                "format": "fleetgate-scenario/1",
                "name": "external",
                "back_end": {
                    "kind": "command", "command": [sys.executable, "-c", simulator], "version": "1",
                    "parameters": {
                        "speed": {"unit": "m/s", "bounds": [0, 60]}, "distance": {"unit": "m", "bounds": [0, 99]},
                    },
                },
                "inputs": {
                    "speed": {"unit": "m/s", "bounds": [0, 60], "law": {"normal": {"mean": 20, "deviation": 3}}},
                    "distance": {"unit": "m", "bounds": [0, 99], "law": {"normal": {"mean": 40, "deviation": 3}}},
                },
                "fail": {"kpi": "min_gap", "at_most": 0},
            }
        )
    )  # fmt: skip
    refused = answer("reliability", path, "--dir", tmp_path / "runs", status=1)
    assert refused["reason"] == "scenario_invalid"
    assert "give --run-command" in refused["detail"]
    result = answer("reliability", path, "--dir", tmp_path / "runs", "--run-command")
    # 20 m ± 4.24 m apart: 4.71 standard deviations.
    assert result["probability"] == pytest.approx(1.2e-6, rel=0.3)


def test_without_the_extra_commands_say_what_to_install():
    code = (
        "import sys; sys.modules['openturns'] = None\n"
        "from gateway.cli import app\n"
        "app(['simulate', 'example', '--json'])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["detail"] == "openturns is not installed (install fleetgate[sim])"


def test_a_folder_of_another_scenario_is_refused(scenario: Path, tmp_path: Path):
    folder = tmp_path / "runs"
    sample = ("--dir", folder, "--out", tmp_path / "out.csv", "--runs", 10)
    answer("sample", scenario, *sample)
    other = tmp_path / "other.yaml"
    other.write_text(example_text().replace("log_mean: 4.25", "log_mean: 4.2"), encoding="utf-8")
    refused = answer("sample", other, *sample, status=1)
    assert refused["reason"] == "run_folder_unusable"
    assert "belongs to another scenario" in refused["detail"]
    (folder / "study.json").write_text("{")
    assert answer("sample", scenario, *sample, status=1)["reason"] == "run_folder_unusable"


def test_a_folder_in_use_is_refused(scenario: Path, tmp_path: Path):
    (tmp_path / "runs").mkdir()
    with FileLock(tmp_path / "runs" / "lock"):
        refused = answer(
            "sample", scenario, "--dir", tmp_path / "runs", "--out", tmp_path / "out.csv", status=1
        )
    assert "in use by another process" in refused["detail"]


def test_what_cannot_be_done_is_refused_with_a_reason(scenario: Path, tracks: Path, tmp_path: Path):
    nowhere = tmp_path / "no" / "folder" / "out.csv"
    runs = ("--dir", tmp_path / "runs")
    cases = [
        (("extract-own", tracks, "--out", nowhere), "output_unwritable"),
        (("extract-own", tracks, "--out", tmp_path / "x.csv", "--ego", "me"), "tracks_unusable"),
        (
            ("fit", "--own-events", tmp_path / "none.csv", "--template", scenario, "--out", nowhere),
            "tracks_unusable",
        ),
        (("sample", tmp_path / "none.yaml", *runs, "--out", nowhere), "scenario_invalid"),
        (("sample", scenario, *runs, "--out", nowhere, "--runs", 5), "output_unwritable"),
        (("reliability", scenario, *runs, "--own-events", tracks), "settings_impossible"),
    ]
    for arguments, reason in cases:
        assert answer(*arguments, status=1)["reason"] == reason, arguments
    for arguments in (
        ("fit", tracks, "--template", scenario, "--out", nowhere),
        ("fit", "--template", scenario, "--out", nowhere),
        ("fit", tracks, "--own-events", tracks, "--template", scenario, "--out", nowhere),
        ("reliability", scenario, *runs, "--events", tracks),
    ):
        wrong = simulate(*arguments)
        assert wrong.exit_code == 2, arguments
        assert "--own-events" in wrong.output or "--release-key" in wrong.output, wrong.output

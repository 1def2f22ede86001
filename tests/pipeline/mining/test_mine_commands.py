"""``fleetgate mine`` on a real release: what it prints, how it resumes, how it refuses."""

import json
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli import app
from gateway.flow.lineage import release_lineage
from gateway.flow.release import revoke_release
from simulators import ORIGIN, START


@pytest.fixture
def events(served: Any, options: dict[str, str]) -> Callable[..., Result]:
    def run(*more: str, release: str = served.local, **changes: str) -> Result:
        given = options | {f"--{name}": value for name, value in changes.items()}
        flat = [part for pair in given.items() for part in pair]
        return CliRunner().invoke(app, ["mine", "events", release, *flat, *more])

    return run


def test_events_are_printed_with_what_they_rest_on(events: Callable[..., Result], served: Any):
    result = events("--json", "--only", "hard_brake", "--only", "near_miss")

    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["release"] == served.local
    assert len(answer["events"]) >= 10
    assert {event["trigger"] for event in answer["events"]} == {"hard_brake"}
    assert answer["coverage"]["near_miss"] == {"rows": 0, "absent": ["closing_mps", "gap_m"]}
    assert set(answer["coverage"]) == {"hard_brake", "near_miss"}
    with served.client() as client:
        manifest = client.manifest(served.local)
    rests = answer["rests_on"]
    assert rests["release_digest"] == manifest.digest
    for name, item in rests["items"].items():
        assert item["sha256"] == manifest.by_name[name].sha256
    assert set(rests["items"]) | set(answer["passed_over"]) == set(manifest.by_name)
    assert len(rests["parameters"]["triggers"]) == 64
    assert rests["parameters"]["only"] == ["hard_brake", "near_miss"]
    assert rests["fleetgate"]


def test_people_read_events_and_coverage(events: Callable[..., Result]):
    result = events()

    assert result.exit_code == 0, result.output
    assert "hard_brake" in result.stdout
    assert "take_over: 0 个事件 / events, 0 /" in result.stdout
    assert "缺少 / absent: engaged" in result.stdout
    assert "passed over" in result.stdout


def test_can_logs_are_read_with_their_signals(
    events: Callable[..., Result], bus: tuple[bytes, bytes], tmp_path: Path
):
    (tmp_path / "signals.yaml").write_bytes(bus[0])
    (tmp_path / "bus.dbc").write_bytes(bus[1])

    result = events("--json", signals=str(tmp_path / "signals.yaml"), dbc=str(tmp_path / "bus.dbc"))

    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert {event["trigger"] for event in answer["events"]} >= {"near_miss", "take_over", "hard_brake"}
    assert answer["passed_over"] == {}
    assert {"signals", "dbc"} <= answer["rests_on"]["parameters"].keys()


def test_a_second_run_uses_the_sealed_copies(events: Callable[..., Result], tmp_path: Path):
    cache = tmp_path / "cache"
    first = events("--json", cache=str(cache))
    copies = {path.name: path.stat().st_ino for path in cache.glob("*/*.sealed")}
    again = events("--json", cache=str(cache))

    assert first.exit_code == again.exit_code == 0, again.output
    found = [json.loads(each.stdout) for each in (first, again)]
    assert len({each.pop("artefact") for each in found}) == 2
    assert found[0] == found[1]
    assert {path.name: path.stat().st_ino for path in cache.glob("*/*.sealed")} == copies
    assert len(copies) == 1
    written = b"".join(path.read_bytes() for path in cache.rglob("*") if path.is_file())
    assert b"t_s" not in written


def test_a_stranger_is_refused_with_the_reason(events: Callable[..., Result], served: Any, tmp_path: Path):
    key = served.house.people["auditor"].key
    (tmp_path / "other.pem").write_bytes(key.as_pem(private=True, password="correct horse"))

    result = events("--json", key=str(tmp_path / "other.pem"), principal="auditor")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["reason"] == "no_grant"


def test_a_bad_file_of_triggers_is_named(events: Callable[..., Result], tmp_path: Path):
    (tmp_path / "bad.yaml").write_text(
        "format: fleetgate-triggers\nversion: 1\nmax_step_s: 1\ntriggers: {}\n"
    )

    for result in (
        events("--json", triggers=str(tmp_path / "bad.yaml")),
        CliRunner().invoke(app, ["mine", "triggers", "--json", "--triggers", str(tmp_path / "bad.yaml")]),
    ):
        assert result.exit_code == 1
        assert json.loads(result.stdout)["reason"] == "trigger_file_invalid"


@pytest.mark.parametrize(
    "changes", [{"triggers": "missing.yaml"}, {"signals": "only.yaml"}, {"url": "gate"}, {"key": "none.pem"}]
)
def test_wrong_usage_has_its_own_status(events: Callable[..., Result], changes: dict[str, str]):
    assert events(**changes).exit_code == 2


def test_an_unknown_trigger_is_named(events: Callable[..., Result]):
    result = events("--only", "hard_break")
    assert result.exit_code == 1
    assert "hard_break" in result.stderr


def test_the_shipped_triggers_are_listed_in_both_languages():
    plain = CliRunner().invoke(app, ["mine", "triggers"])
    assert plain.exit_code == 0, plain.output
    assert "急刹车 / hard braking" in plain.stdout
    listed = json.loads(CliRunner().invoke(app, ["mine", "triggers", "--json"]).stdout)
    assert listed["triggers"]["hard_brake"]["where"] == "accel_mps2 <= -4 AND speed_mps > 0.5"
    assert listed["features"]["engaged_1s"] == {"of": "engaged", "take": "max", "over_s": 1.0}


def test_a_missing_library_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pipeline.mining.trigger_file", None)
    result = CliRunner().invoke(app, ["mine", "triggers"])
    assert result.exit_code == 2
    assert "fleetgate[mining]" in result.stderr


def test_events_are_registered_with_what_they_rest_on(served: Any, events: Callable[..., Result]):
    result = events("--json", "--name", "braking of the drive")

    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    digest = answer.pop("sha256")
    artefact = answer.pop("artefact")
    assert sha256(rfc8785.dumps(answer)).hexdigest() == digest
    with served.client() as client:
        assert not client.standing(artefact).revoked
        assert served.local in {each.release for each in client.releases()}
    auditor = served.house.people["auditor"].actor
    listed = release_lineage(served.gate, served.local, actor=auditor)["artefacts"]
    assert {each["artefact"]: each["name"] for each in listed}[artefact] == "braking of the drive"


def test_a_revoked_release_refuses_wipes_and_marks_what_was_mined(
    served: Any, events: Callable[..., Result], new_release: Callable[..., str], tmp_path: Path
):
    release = new_release({"drive.csv": another_drive()}, captured={})
    more = ("--json", "--cache", str(tmp_path / "cache"))
    first = events(*more, release=release)
    assert first.exit_code == 0, first.output
    assert list((tmp_path / "cache").glob("*/*.sealed"))
    revoke_release(served.gate, release, actor=served.house.people["first"].actor)

    again = events(*more, release=release)

    assert again.exit_code == 1
    assert json.loads(again.stdout)["reason"] in {"denied", "no_grant"}
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
    with served.client() as client:
        standing = client.standing(json.loads(first.stdout)["artefact"])
    assert (standing.revoked, standing.revoked_releases) == (True, (release,))


def another_drive() -> bytes:
    """A drive far from the others, north-east at 15 m/s."""
    rows = ["time,lat,lon,speed"]
    for i in range(1500):
        moment = (START + timedelta(seconds=i / 10)).isoformat(timespec="milliseconds")
        step = 1.5 * i / 111_200
        rows.append(
            f"{moment.replace('+00:00', 'Z')},{ORIGIN[0] - 0.3 + step:.8f},{ORIGIN[1] + step:.8f},18.4"
        )
    return ("\n".join(rows) + "\n").encode()

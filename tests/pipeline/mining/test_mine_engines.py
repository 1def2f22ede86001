"""``fleetgate mine`` by a pool of processes answers as without one, and goes on from what is there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli import app


@pytest.fixture
def mine(options: dict[str, str]) -> Callable[..., Result]:
    def run(command: str, release: str, *more: str) -> Result:
        flat = [part for pair in options.items() for part in pair]
        return CliRunner().invoke(app, ["mine", command, release, *flat, "--json", *more])

    return run


def answer_of(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer.pop("artefact")  # of each registration; what was found has its digest, ``sha256``
    return answer


@pytest.mark.timeout(600)
def test_pictures_by_a_pool_are_as_one_by_one(mine: Callable[..., Result], served: Any, tmp_path: Path):
    pool = ("--engine", "pool", "--workers", "1", "--outputs", str(tmp_path / "outputs"))

    by_pool = answer_of(mine("pictures", served.pictures, *pool))

    assert by_pool == answer_of(mine("pictures", served.pictures))
    before = sum(1 for _ in served.gate.ledger.entries())
    assert answer_of(mine("pictures", served.pictures, *pool)) == by_pool
    later = [entry.event.type.value for entry in served.gate.ledger.entries()][before:]
    assert "serve:item:read" not in later
    assert "serve:manifest:read" in later


@pytest.mark.timeout(600)
def test_events_by_a_pool_are_as_one_by_one(
    mine: Callable[..., Result], served: Any, bus: tuple[bytes, bytes], tmp_path: Path
):
    (tmp_path / "signals.yaml").write_bytes(bus[0])
    (tmp_path / "bus.dbc").write_bytes(bus[1])
    signals = ("--signals", str(tmp_path / "signals.yaml"), "--dbc", str(tmp_path / "bus.dbc"))
    pool = ("--engine", "pool", "--workers", "1", "--outputs", str(tmp_path / "outputs"))

    by_pool = answer_of(mine("events", served.local, *signals, *pool))

    assert by_pool["events"]
    assert by_pool == answer_of(mine("events", served.local, *signals))


WRONG = {
    "outputs without an engine": ("--outputs", "x"),
    "an engine without outputs": ("--engine", "pool"),
    "workers without an engine": ("--workers", "2"),
    "a cluster for the pool": ("--engine", "pool", "--outputs", "x", "--ray-address", "127.0.0.1:1"),
    "an engine that is none": ("--engine", "spark", "--outputs", "x"),
}


@pytest.mark.parametrize("case", WRONG)
def test_options_that_do_not_fit_are_told(mine: Callable[..., Result], served: Any, case: str):
    assert mine("pictures", served.pictures, *WRONG[case]).exit_code == 2

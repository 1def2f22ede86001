"""``fleetgate maps review``: what waits in a release's maps, and the officer's decision about it."""

from pathlib import Path
from typing import Any

import pytest

from simulators import UNIT
from town_maps import town

DECISION = ("--approve", "--reason", "ordinary roads")


@pytest.fixture(scope="module")
def waiting(furnished: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A release that was requested and waits for its review."""
    folder: Path = tmp_path_factory.mktemp("maps")
    (folder / "town.osm").write_bytes(town())
    recording = furnished.did(
        "officer", "ingest", folder, "--carrier", "disk-1", "--unit", UNIT, "--region", "110108"
    )
    answer = furnished.act(
        "submitter", "release", "request", recording["recording"], "--purpose", "training",
        "--recipient", "team", "--mode", "OFFSET",
    )  # fmt: skip
    assert answer.code == 1
    assert answer.document["error"] == "review_pending"
    return str(answer.document["detail"].split("fleetgate maps review ")[1].split(",")[0])


def test_a_release_goes_on_after_the_review_that_it_waited_for(furnished: Any, waiting: str):
    lines = furnished.run("maps", "review", waiting, *furnished.proof("officer")).out
    assert "1 attributes wait, pending" in lines
    assert "incline, COMPLIANCE B7, rule 15" in lines
    assert furnished.act("submitter", "release", "resume", waiting).code == 1
    assert furnished.act("first", "maps", "review", waiting, *DECISION).document["error"] == "forbidden"
    assert furnished.did("officer", "maps", "review", waiting, *DECISION)["standing"] == "approved"
    assert furnished.did("submitter", "release", "resume", waiting)["state"] == "judged"
    shown = furnished.run("release", "show", waiting, *furnished.proof("first")).out
    assert "slopes    1 to review, approved" in shown


@pytest.mark.parametrize(
    "options", [("--approve",), ("--reason", "x"), ("--approve", "--reject", "--reason", "x")]
)
def test_half_a_decision_is_a_wrong_usage(furnished: Any, options: tuple[str, ...]):
    assert furnished.act("officer", "maps", "review", "0" * 32, *options).code == 2

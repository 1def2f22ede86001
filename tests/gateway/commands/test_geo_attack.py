"""``fleetgate geo attack`` over a furnished gate: figures, summary in two languages, refusals, the dossier."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from audit.events import EventType, Outcome
from gateway.app import open_gate
from gateway.flow.recording import ReleaseMode
from gateway.settings import Settings
from simulators import PASSPHRASE, PURPOSE, RECIPIENT, cleanse
from streets import csv_drive, extract, town


@pytest.fixture(scope="module")
def world(quick, tmp_path_factory) -> SimpleNamespace:
    """A drive through a made town, requested in OFFSET mode by the command."""
    made = town()
    folder = tmp_path_factory.mktemp("osm")
    extract(made, folder / "town.osm")
    with open_gate(Settings(home=quick.home, passphrase=PASSPHRASE)) as gate:  # type: ignore[arg-type]
        drive = made.drive(np.random.default_rng(5), 8000.0, turns=0.3)
        recording = cleanse(gate, {"drive.csv": csv_drive(drive)})
    options = ["--purpose", PURPOSE, "--recipient", RECIPIENT, "--mode", ReleaseMode.OFFSET]
    release = quick.did("submitter", "release", "request", recording, *options)["release"]
    return SimpleNamespace(cli=quick, release=release, osm=folder / "town.osm")


@pytest.fixture(scope="module")
def figures(world) -> dict:
    before = world.cli.run("release", "show", world.release, *world.cli.proof("officer")).out
    assert "attacked  never (fleetgate geo attack)" in before
    return world.cli.did("officer", "geo", "attack", world.release, "--osm", world.osm, "--known", "1,10")


def test_figures_come_as_one_json_document(world, figures):
    assert figures["release"] == world.release
    assert {f["known"] for f in figures["known_points"]} == {1, 10}
    assert sum(f["tried"] for f in figures["map_matching"]) > 5
    settled = [e.event.outcome for e in world.cli.entries() if e.event.type is EventType.REVIEW_ATTACK_RUN]
    assert settled[:2] == [Outcome.INTENT, Outcome.COMPLETED]


def test_the_dossier_holds_the_figures_for_every_reviewer(world, figures):
    shown = world.cli.did("auditor", "release", "show", world.release)["attack"]
    assert shown["map_matching"] == figures["map_matching"]
    assert shown["known_points"] == figures["known_points"]
    text = world.cli.run("release", "show", world.release, *world.cli.proof("first")).out
    assert "偏移不是匿名化" in text


def test_people_read_what_the_figures_mean_in_both_languages(world, figures):
    del figures
    answer = world.cli.run("geo", "attack", world.release, "--osm", world.osm, *world.cli.proof("first"))
    assert answer.code == 0
    for part in ("an offset is no anonymisation", "偏移不是匿名化", "路网匹配", "map matching, clips of"):
        assert part in answer.out
    assert answer.out.count("error left to somebody who knows") == 5


@pytest.mark.parametrize(
    ("person", "arguments", "error"),
    [
        ("auditor", [], "forbidden"),
        ("officer", ["--known", "1,many"], "invalid_request"),
        ("officer", ["--known", "0"], "invalid_request"),
    ],
)
def test_what_is_not_allowed_is_refused_with_status_1(world, person, arguments, error):
    answer = world.cli.act(person, "geo", "attack", world.release, "--osm", world.osm, *arguments)
    assert (answer.code, answer.document["error"]) == (1, error)


def test_a_missing_or_foreign_file_is_refused(world, tmp_path: Path):
    missing = world.cli.act("officer", "geo", "attack", world.release, "--osm", tmp_path / "no.pbf")
    assert missing.code == 1
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    foreign = world.cli.act("officer", "geo", "attack", world.release, "--osm", tmp_path / "picture.png")
    assert (foreign.code, json.loads(foreign.out)["error"]) == (1, "unknown_format")


def test_without_an_extract_nothing_is_tried(world):
    assert world.cli.act("officer", "geo", "attack", world.release).code == 2

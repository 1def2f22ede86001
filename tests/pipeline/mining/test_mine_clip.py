"""``fleetgate mine`` with a network of the user's: by words in two languages and by picture, on a real release."""

import io
import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from audit.events import EventType, Outcome
from clip_colours import (
    CHINESE,
    COLOURS,
    Weights,
    chinese_clip_colours,
    coloured,
    open_clip_colours,
)
from gateway.cli import app
from gateway.flow.use import read_query
from simulators import ORIGIN, START, released

pytestmark = pytest.mark.timeout(900)  # importing both libraries takes a minute on a busy machine


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return open_clip_colours(tmp_path_factory.mktemp("english"))


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return chinese_clip_colours(tmp_path_factory.mktemp("chinese"))


def png(colour: str, seed: int) -> bytes:
    out = io.BytesIO()
    coloured(colour, seed, size=(320, 200)).save(out, "PNG")
    return out.getvalue()


def drive() -> bytes:
    """Five minutes north at 12 m/s, which tell where the pictures were taken."""
    rows = ["time,lat,lon,speed"]
    for second in range(300):
        moment = (START + timedelta(seconds=second)).isoformat(timespec="milliseconds")
        lat = ORIGIN[0] - 0.2 + 12.0 * second / 111_200
        rows.append(f"{moment.replace('+00:00', 'Z')},{lat:.8f},{ORIGIN[1] - 0.1:.8f},12.0")
    return ("\n".join(rows) + "\n").encode()


@pytest.fixture(scope="module")
def release(served: Any) -> str:
    """Two pictures of each colour, and the drive."""
    shots = {f"cam/{colour}{n}.png": png(colour, n) for colour in COLOURS for n in (1, 2)}
    captured = {name: START + timedelta(seconds=1 + at) for at, name in enumerate(shots)}
    return released(served.gate, served.house, {"drive.csv": drive(), **shots}, captured=captured)


@pytest.fixture(scope="module")
def colours(served: Any, release: str) -> dict[str, str]:
    """The colour of each item, told from its pixels."""
    found = {}
    with served.client() as client:
        pictures = [i for i in client.manifest(release).items if i.media_type.startswith("image/")]
        for item in pictures:
            with Image.open(io.BytesIO(client.read(release, item.name))) as picture:
                shown = picture.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
            apart = {c: sum(abs(a - b) for a, b in zip(shown, COLOURS[c], strict=True)) for c in COLOURS}
            found[item.name] = min(apart, key=apart.__getitem__)
    assert sorted(found.values()) == sorted([*COLOURS, *COLOURS])
    return found


@pytest.fixture
def mine(options: dict[str, str]) -> Callable[..., Result]:
    flat = [part for pair in options.items() for part in pair]
    return lambda *command: CliRunner().invoke(app, ["mine", *command, *flat])


def answer_of(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def uses(served: Any) -> list[Any]:
    found = [e.event for e in served.gate.ledger.entries() if e.event.type is EventType.USE_RELEASE_REPORT]
    return [event for event in found if event.outcome is Outcome.COMPLETED]


@pytest.mark.parametrize("language", ["english", "chinese"])
def test_words_find_pictures_and_the_query_is_in_the_ledger(
    mine: Callable[..., Result],
    served: Any,
    release: str,
    colours: dict[str, str],
    language: str,
    request: pytest.FixtureRequest,
):
    weights = request.getfixturevalue(language)
    model = {"name": weights.name, "sha256": weights.sha256}
    for colour in ("red", "blue"):
        words = colour if language == "english" else CHINESE[colour]
        answer = answer_of(
            mine("search", release, "--text", words, "--count", "2", *weights.options, "--json")
        )
        assert (answer["mode"], answer["model"], answer["vectors"]) == ("clip", model, "flat")
        assert [colours[each["item"]] for each in answer["results"]] == [colour, colour]
        assert {tag["name"] for tag in answer["results"][0]["tags"]} >= {"masked:none"}
        use = uses(served)[-1]
        assert (use.actor, use.release, use.facts["kind"]) == ("engineer", release, "text")
        found = read_query(served.gate, use.object, actor=served.house.people["auditor"].actor)
        assert found["query"] == {"text": words, "count": 2, "clip": model}


def test_pictures_find_pictures_by_the_network(
    mine: Callable[..., Result],
    served: Any,
    release: str,
    colours: dict[str, str],
    english: Weights,
    tmp_path: Path,
):
    own = tmp_path / "own.png"
    own.write_bytes(png("yellow", 9))
    by_own = answer_of(
        mine("search", release, "--image", str(own), "--count", "2", *english.options, "--json")
    )
    assert [colours[each["item"]] for each in by_own["results"]] == ["yellow", "yellow"]
    green = next(name for name, colour in colours.items() if colour == "green")
    like = answer_of(mine("search", release, "--like", green, "--count", "1", *english.options, "--json"))
    assert [colours[each["item"]] for each in like["results"]] == ["green"]
    assert like["results"][0]["item"] != green
    assert uses(served)[-1].facts["kind"] == "image"
    refused = mine("search", release, "--like", "nowhere.png", *english.options, "--json")
    assert (refused.exit_code, json.loads(refused.stdout)["reason"]) == (1, "question_invalid")


def test_people_read_which_network_answered(mine: Callable[..., Result], release: str, english: Weights):
    result = mine("search", release, "--text", "green", *english.options)
    assert result.exit_code == 0, result.output
    assert f"by clip {english.name} sha256 {english.sha256}" in result.stdout


def test_a_second_search_reads_no_picture_again(
    mine: Callable[..., Result], served: Any, release: str, english: Weights, tmp_path: Path
):
    asked = ("search", release, "--text", "red", *english.options, "--cache", str(tmp_path / "c"), "--json")
    first = answer_of(mine(*asked))
    before = sum(1 for _ in served.gate.ledger.entries())
    assert answer_of(mine(*asked)) == first
    types = [entry.event.type.value for entry in served.gate.ledger.entries()][before:]
    assert "serve:manifest:read" in types
    assert "serve:item:read" not in types


def test_an_index_is_searched_in_chinese_and_by_its_own_network_only(
    mine: Callable[..., Result],
    served: Any,
    release: str,
    colours: dict[str, str],
    english: Weights,
    chinese: Weights,
    tmp_path: Path,
):
    path = str(tmp_path / "colours.index")
    built = answer_of(mine("index", "build", release, "--out", path, *chinese.options, "--json"))
    assert (built["pictures"], built["model"]["sha256"]) == (8, chinese.sha256)
    found = answer_of(
        mine("index", "search", path, "--text", "黄色的车", "--count", "2", *chinese.options, "--json")
    )
    assert (found["mode"], found["model"], found["artefact"]) == ("clip", built["model"], built["artefact"])
    assert [colours[each["item"]] for each in found["results"]] == ["yellow", "yellow"]
    use = uses(served)[-1]
    auditor = served.house.people["auditor"].actor
    assert read_query(served.gate, use.object, actor=auditor)["query"] == {
        "index": built["artefact"],
        "text": "黄色的车",
        "count": 2,
        "clip": built["model"],
    }
    own = tmp_path / "own.png"
    own.write_bytes(png("blue", 9))
    other = mine("index", "search", path, "--image", str(own), *english.options, "--json")
    assert (other.exit_code, json.loads(other.stdout)["reason"]) == (1, "index_unusable")
    for named in (english, chinese):
        assert f"{named.name} sha256 {named.sha256}" in other.stdout
    without = mine("index", "search", path, "--image", str(own), "--json")
    assert (without.exit_code, json.loads(without.stdout)["reason"]) == (1, "index_unusable")


def test_an_index_of_looks_is_built_and_searched_without_a_network_and_not_with_one(
    mine: Callable[..., Result], release: str, colours: dict[str, str], english: Weights, tmp_path: Path
):
    path, own = str(tmp_path / "looks.index"), tmp_path / "own.png"
    own.write_bytes(png("red", 9))
    built = answer_of(mine("index", "build", release, "--out", path, "--json"))
    assert (built["mode"], "model" in built) == ("flat", False)
    found = answer_of(mine("index", "search", path, "--image", str(own), "--count", "2", "--json"))
    assert (found["mode"], "model" in found) == ("flat", False)
    assert [colours[each["item"]] for each in found["results"]] == ["red", "red"]
    other = mine("index", "search", path, "--text", "red", *english.options, "--json")
    assert (other.exit_code, json.loads(other.stdout)["reason"]) == (1, "index_unusable")
    assert "got vectors of looks 1, expected of colours" in other.stdout


def test_a_digest_that_is_another_and_a_network_that_is_unknown_are_told_and_nothing_is_asked(
    mine: Callable[..., Result], served: Any, release: str, english: Weights
):
    before = sum(1 for _ in served.gate.ledger.entries())
    wrong = (*english.options[:3], "0" * 64, *english.options[4:])
    for options in (wrong, (*english.options[:5], "ViT-B-33")):
        result = mine("search", release, "--text", "red", *options, "--json")
        assert (result.exit_code, json.loads(result.stdout)["reason"]) == (1, "model_unusable")
    assert sum(1 for _ in served.gate.ledger.entries()) == before


@pytest.mark.parametrize("left_out", [0, 2, 4])
@pytest.mark.parametrize("command", ["search", "index build", "index search"])
def test_the_options_of_a_network_come_together(
    mine: Callable[..., Result], release: str, english: Weights, tmp_path: Path, command: str, left_out: int
):
    options = english.options[:left_out] + english.options[left_out + 2 :]
    own = tmp_path / "own.png"
    own.write_bytes(png("blue", 9))
    rest = {
        "search": (release, "--text", "red"),
        "index build": (release, "--out", str(tmp_path / "i")),
        "index search": (str(tmp_path / "i"), "--image", str(own)),
    }
    result = mine(*command.split(), *rest[command], *options)
    assert result.exit_code == 2
    assert "come together" in result.output


@pytest.mark.parametrize("more", [(), ("--text", "red", "--image", "x.png"), ("--text", "red")])
def test_an_index_is_asked_one_question_and_words_need_a_network(
    mine: Callable[..., Result], tmp_path: Path, more: tuple[str, ...]
):
    assert mine("index", "search", str(tmp_path / "i"), *more).exit_code == 2


def test_a_missing_extra_is_named(
    mine: Callable[..., Result], release: str, english: Weights, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    result = mine("search", release, "--text", "red", *english.options)
    assert result.exit_code == 2
    assert "fleetgate[clip]" in result.output

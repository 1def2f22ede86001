"""``fleetgate label task``, ``invite``, ``serve`` and ``prelabel``: from a release to a registered label set."""

import json
import threading
from hashlib import sha256
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gateway.flow.lineage import release_lineage
from label_servers import (
    FRAMES,
    PATIENCE_S,
    Gated,
    Labelled,
    Person,
    ServerProcess,
    box,
    car_at,
    run_label,
)
from pipeline.artefacts import ArtefactKind, DerivedArtefact
from pipeline.labelling.ontology import shipped_label_ontology
from pipeline.labelling.openlabel import read_openlabel
from pipeline.publishing import publish, registered_as


@pytest.fixture
def options(label_gate: Gated, tmp_path: Path) -> dict[str, str]:
    return label_gate.options(tmp_path / "keys") | {"--store": str(tmp_path / "tasks")}


@pytest.fixture
def without_gate(options: dict[str, str]) -> dict[str, str]:
    return {name: options[name] for name in ("--store", "--key", "--passphrase-file")}


def test_a_task_from_its_making_to_its_registered_label_set(
    label_gate: Gated,
    label_release: str,
    options: dict[str, str],
    without_gate: dict[str, str],
    tmp_path: Path,
):
    people = ("--annotator", "wang", "--reviewer", "zhao", "--name", "evening", "--json")
    made = run_label(options, "task", "create", label_release, *people, "--cache", str(tmp_path / "cache"))
    assert made.exit_code == 0, made.output
    task = json.loads(made.stdout)
    assert (task["frames"], task["release"]) == (FRAMES, label_release)
    listed = json.loads(run_label(without_gate, "task", "list", "--json").stdout)
    assert [each["task"] for each in listed["tasks"]] == [task["task"]]

    invited = run_label(without_gate, "invite", task["task"], "wang", "--json")
    assert run_label(without_gate, "invite", task["task"], "mallory").exit_code == 1
    labelled = Labelled(
        gated=label_gate,
        root=tmp_path / "tasks",
        task=None,  # type: ignore[arg-type]
        folder=None,  # type: ignore[arg-type]
    )
    server = ServerProcess(labelled, tmp_path / "serving", "--cache", str(tmp_path / "cache"))
    try:
        wang = Person(server.url, json.loads(invited.stdout)["token"])
        car = wang.object()
        for number in range(FRAMES):
            assert wang.save(number, 0, box(car, x=car_at(number)[0])).status_code == 200
        assert wang.http.get(wang.frame(0)["picture"]).status_code == 200
        wang.http.close()
    finally:
        server.kill()

    shown = json.loads(run_label(options, "task", "show", task["task"], "--json").stdout)
    assert (shown["labels"], shown["saves"], shown["views"]) == (FRAMES, FRAMES + 4, {"wang": 1})
    closed = json.loads(run_label(options, "task", "close", task["task"], "--json").stdout)
    again = json.loads(run_label(options, "task", "close", task["task"], "--json").stdout)
    assert again["artefact"] == closed["artefact"]
    out = tmp_path / "evening.json"
    assert run_label(options, "task", "export", task["task"], "--out", str(out)).exit_code == 0
    assert run_label(options, "task", "export", task["task"], "--out", str(out)).exit_code == 2
    assert sha256(out.read_bytes()).hexdigest() == closed["sha256"]
    assert registered_as(out) == closed["artefact"]
    gate = {name: value for name, value in options.items() if name != "--store"}
    named = json.loads(run_label(gate, "register", str(out), "--name", "again", "--json").stdout)
    assert named["artefact"] == closed["artefact"], "what a task registered keeps its id"
    labels = read_openlabel(out.read_bytes(), shipped_label_ontology())
    assert len(labels.labels) == FRAMES
    with label_gate.client() as client:
        assert not client.standing(closed["artefact"]).revoked
    lineage = release_lineage(label_gate.gate, label_release, actor=label_gate.house.people["first"].actor)
    assert closed["artefact"] in str(lineage)
    assert run_label(without_gate, "invite", task["task"], "wang").exit_code == 1


def test_kill_between_saves_loses_nothing_acknowledged(labelled: Labelled, tmp_path: Path):
    acknowledged: list[int] = []
    killed = threading.Event()
    server = ServerProcess(labelled, tmp_path / "serving")
    wang = Person(server.url, labelled.invitation("wang"))
    car = wang.object()

    def keep_saving() -> None:
        revision = 0
        while not killed.is_set():
            try:
                answer = wang.save(0, revision, box(car, x=float(revision)))
            except httpx.TransportError:
                return
            revision = answer.json()["revision"]
            acknowledged.append(revision)

    thread = threading.Thread(target=keep_saving)
    thread.start()
    while len(acknowledged) < 8:
        assert thread.is_alive()
        killed.wait(0.01)
    server.kill()
    killed.set()
    thread.join(PATIENCE_S)
    wang.http.close()

    labelled.folder.check()
    last = labelled.folder.last("frame:0")
    assert last is not None
    assert acknowledged[-1] <= last.number <= acknowledged[-1] + 1
    assert last.value["labels"][0]["geometry"]["x"] == last.number - 1
    again = ServerProcess(labelled, tmp_path / "again")
    try:
        wang = Person(again.url, labelled.invitation("wang"))
        assert wang.frame(0)["revision"] == last.number
        wang.http.close()
    finally:
        again.kill()


def red_finder() -> bytes:
    """A network that boxes what is red below the horizon: the car of the made street."""
    colour = numpy_helper.from_array(np.array([1.0, -1.0, -1.0], np.float32).reshape(1, 3, 1, 1), "colour")
    size = 640
    below = np.zeros((1, 1, size, size), np.float32)
    below[:, :, 310:] = 1.0
    ramp = np.arange(size, dtype=np.float32)
    constants = [
        colour,
        numpy_helper.from_array(below, "below"),
        numpy_helper.from_array(ramp, "ramp"),
        numpy_helper.from_array(np.array(0.15, np.float32), "least"),
        numpy_helper.from_array(np.array(1.0, np.float32), "one"),
        numpy_helper.from_array(np.array(float(size), np.float32), "size"),
        numpy_helper.from_array(np.array([0.9, 0.0], np.float32), "said"),
        numpy_helper.from_array(np.array([1, 1, 6], np.int64), "form"),
        *(numpy_helper.from_array(np.array(axes, np.int64), name) for name, axes in AXES.items()),
    ]
    nodes = [
        helper.make_node("Conv", ["images", "colour"], ["redness"]),
        helper.make_node("Greater", ["redness", "least"], ["is_red"]),
        helper.make_node("Cast", ["is_red"], ["red"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["red", "below"], ["mask"]),
    ]
    corners = []
    for side, along in (("x", "over_y"), ("y", "over_x")):
        nodes += [
            helper.make_node("ReduceMax", ["mask", along], [f"any_{side}"], keepdims=0),
            helper.make_node("Mul", [f"any_{side}", "ramp"], [f"at_{side}"]),
            helper.make_node("ReduceMax", [f"at_{side}", "all"], [f"last_{side}"], keepdims=1),
            helper.make_node("Add", [f"last_{side}", "one"], [f"end_{side}"]),
            helper.make_node("Sub", ["one", f"any_{side}"], [f"none_{side}"]),
            helper.make_node("Mul", [f"none_{side}", "size"], [f"far_{side}"]),
            helper.make_node("Add", [f"at_{side}", f"far_{side}"], [f"or_far_{side}"]),
            helper.make_node("ReduceMin", [f"or_far_{side}", "all"], [f"begin_{side}"], keepdims=1),
        ]
        corners.append((f"begin_{side}", f"end_{side}"))
    (x0, x1), (y0, y1) = corners
    nodes += [
        helper.make_node("Concat", [x0, y0, x1, y1, "said"], ["row"], axis=0),
        helper.make_node("Reshape", ["row", "form"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "red",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 1, 6])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    for name, value in (("task", "detect"), ("names", "{0: 'auto', 1: 'ship'}")):
        model.metadata_props.add(key=name, value=value)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


AXES = {"over_y": [0, 1, 2], "over_x": [0, 1, 3], "all": [0]}


def test_a_detector_proposes_and_people_decide(labelled: Labelled, options: dict[str, str], tmp_path: Path):
    path = tmp_path / "red.onnx"
    path.write_bytes(red_finder())
    digest = sha256(path.read_bytes()).hexdigest()
    given = ("prelabel", labelled.task.id, "--model", str(path), "--sha256", digest, "--json")
    folder = labelled.folder
    folder.save("frame:4", {"labels": []}, based_on=0, by="wang")

    unnamed = run_label(options, *given)
    done = run_label(options, *given, "--as-class", "auto=car")
    again = json.loads(run_label(options, *given, "--as-class", "auto=car").stdout)
    altered = run_label(options, *given[:-3], "--sha256", "0" * 64)

    assert unnamed.exit_code == 1
    assert "none is of the ontology" in unnamed.stdout
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert (answer["frames"], answer["kept"], answer["labels"]) == (4, 1, {"car": 4})
    assert (again["frames"], again["kept"]) == (0, 5)
    assert altered.exit_code == 1
    objects = set()
    for number in range(4):
        (label,) = folder.last(f"frame:{number}").value["labels"]  # type: ignore[union-attr]
        shape = label["geometry"]
        left, top, right, _ = car_at(number)
        assert [shape["x"], shape["x"] + shape["width"]] == pytest.approx([left, right], abs=3)
        assert shape["y"] == pytest.approx(top, abs=20)
        assert label["source"] == f"model@sha256:{digest}"
        assert label["confidence"] == pytest.approx(0.9)
        objects.add(label["object"])
    assert objects == {"1"}


def test_a_registered_model_that_labelled_before_is_a_parent_of_the_label_set(
    labelled: Labelled, label_gate: Gated, options: dict[str, str], tmp_path: Path
):
    content, path = red_finder(), tmp_path / "registered.onnx"
    release = labelled.task.release
    stated = DerivedArtefact(
        kind=ArtefactKind.MODEL, name="auto", sha256="", code="git:abc", releases=(release,)
    )
    with label_gate.client() as client:
        model = publish(path, content, stated, client)
    digest = sha256(content).hexdigest()
    task, given = labelled.task.id, ("--sha256", digest, "--as-class", "auto=car", "--json")
    path.write_bytes(content + b" ")
    refused = run_label(options, "prelabel", task, "--model", str(path), *given)
    assert refused.exit_code == 1, "a file that is not the registered one"
    path.write_bytes(content)
    answer = json.loads(run_label(options, "prelabel", task, "--model", str(path), *given).stdout)
    assert answer["artefact"] == model

    out = tmp_path / "labels.json"
    assert run_label(options, "task", "export", task, "--out", str(out)).exit_code == 0
    assert read_openlabel(out.read_bytes(), shipped_label_ontology()).lineage.artefacts == (model,)
    closed = json.loads(run_label(options, "task", "close", task, "--json").stdout)
    gate = {name: value for name, value in options.items() if name != "--store"}
    named = json.loads(run_label(gate, "register", str(out), "--name", "evening", "--json").stdout)
    more = ("--artefact", closed["artefact"], "--model", str(path), "--json")
    again = json.loads(run_label(gate, "register", str(out), "--name", "evening 2", *more).stdout)

    lineage = release_lineage(label_gate.gate, release, actor=label_gate.house.people["auditor"].actor)
    known = {each["artefact"]: each["derived_from"]["artefacts"] for each in lineage["artefacts"]}
    assert known[closed["artefact"]] == known[named["artefact"]] == [model]
    assert known[again["artefact"]] == sorted([model, closed["artefact"]])
    unknown = run_label(gate, "register", str(out), "--name", "x", "--artefact", "0" * 64)
    assert unknown.exit_code == 1


def test_commands_refuse_what_a_task_cannot_be(label_release: str, options: dict[str, str]):
    def refused(*more: str) -> str:
        result = run_label(options, "task", "create", label_release, "--name", "x", *more)
        assert result.exit_code == 1, result.output
        return result.stderr

    assert "who label as well" in refused("--annotator", "wang", "--reviewer", "wang")
    assert "expected up to 64" in refused("--annotator", "王")
    assert "no picture" in refused("--annotator", "wang", "--match", "*.tif")
    assert "end of the task" in refused("--annotator", "wang", "--days", "999")


def test_commands_are_refused_once_the_grant_has_ended(
    labelled: Labelled, label_gate: Gated, options: dict[str, str], tmp_path: Path
):
    with label_gate.without_grant(labelled.task.release):
        for command in (("show",), ("close",), ("export", "--out", str(tmp_path / "out.json"))):
            result = run_label(options, "task", command[0], labelled.task.id, *command[1:], "--json")
            assert result.exit_code == 1, result.output
            assert json.loads(result.stdout)["reason"] == "release_ended"
    assert not (tmp_path / "out.json").exists()
    assert run_label(options, "task", "show", labelled.task.id, "--json").exit_code == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [(("--host", "0.0.0.0"), "expected a loopback address"), (("--tls-key", "k.pem"), "come together")],  # noqa: S104
)
def test_serving_beyond_loopback_needs_a_certificate(
    labelled: Labelled, options: dict[str, str], more: tuple[str, str], said: str
):
    assert labelled.folder.last("task")
    result = run_label(options, "serve", *more)

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())

"""What a detector's file must state, and what is read of its answers."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from pipeline.labelling.detector import OnnxDetector
from pipeline.labelling.errors import DetectorError

STATED = {"task": "detect", "names": "{0: 'car', 1: 'person'}"}
PICTURE = Image.new("RGB", (640, 320))


def network(answer: np.ndarray, stated: dict[str, str], side: int = 320) -> bytes:
    """A network that answers the same to every picture of 320 × 320."""
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "zero"], ["nothing"]),
        helper.make_node("Add", ["answer", "nothing"], ["output0"]),
    ]
    constants = [
        numpy_helper.from_array(answer.astype(np.float32), "answer"),
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
    ]
    taken = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, side, side])
    given = helper.make_tensor_value_info("output0", TensorProto.FLOAT, list(answer.shape))
    graph = helper.make_graph(nodes, "same", [taken], [given], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    for name, value in stated.items():
        model.metadata_props.add(key=name, value=value)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def loaded(folder: Path, content: bytes) -> OnnxDetector:
    (folder / "model.onnx").write_bytes(content)
    return OnnxDetector(folder / "model.onnx", sha256(content).hexdigest())


# Candidates: centre, size, scores. The picture of 640 × 320 stands at half its size, 80 pixels from the top.
RAW = np.array(
    [
        [100, 120, 40, 20, 0.9, 0.1],
        [101, 121, 40, 20, 0.8, 0.1],  # the same car again
        [100, 120, 40, 20, 0.1, 0.7],  # a person in the same place
        [200, 150, 10, 10, 0.2, 0.1],  # not sure
        [310, 235, 40, 40, 0.6, 0.0],  # reaches beyond the picture
    ],
    np.float32,
).T[None]


def test_candidates_are_cleared_of_overlaps_and_put_back_into_the_picture(tmp_path: Path):
    found = loaded(tmp_path, network(RAW, STATED)).find(PICTURE, 0.3)

    assert [(each.name, round(each.confidence, 3)) for each in found] == [
        ("car", 0.9),
        ("person", 0.7),
        ("car", 0.6),
    ]
    assert found[0].box.extent == (160, 60, 240, 100)
    assert found[2].box.extent == (580, 270, 640, 320)


def test_an_export_that_suppresses_overlaps_itself(tmp_path: Path):
    rows = np.array([[[80, 110, 120, 130, 0.9, 1], [0, 0, 0, 0, 0, 0]]], np.float32)

    (found,) = loaded(tmp_path, network(rows, STATED)).find(PICTURE, 0.3)

    assert (found.name, found.box.extent) == ("person", (160, 60, 240, 100))


FORMS = {
    "other classes": np.zeros((1, 9, 5)),
    "class out of range": np.array([[[80, 110, 120, 130, 0.9, 7]]]),
    "not finite": np.full((1, 6, 5), np.nan),
    "two pictures": np.zeros((2, 6, 5)),
}


@pytest.mark.parametrize("form", FORMS)
def test_answers_of_other_forms_are_refused(tmp_path: Path, form: str):
    with pytest.raises(DetectorError, match="output of the model"):
        loaded(tmp_path, network(FORMS[form], STATED)).find(PICTURE, 0.3)


STATEMENTS = {
    "no task": ({"names": STATED["names"]}, "got task None"),
    "another task": ({**STATED, "task": "segment"}, "got task 'segment'"),
    "no classes": ({"task": "detect"}, "got classes None"),
    "code for classes": ({**STATED, "names": "__import__('os').getcwd()"}, "got classes"),
    "classes with gaps": ({**STATED, "names": "{0: 'car', 2: 'bus'}"}, "expected numbered from 0"),
}


@pytest.mark.parametrize("case", STATEMENTS)
def test_a_file_that_does_not_say_what_it_finds_is_refused(tmp_path: Path, case: str):
    stated, said = STATEMENTS[case]

    with pytest.raises(DetectorError, match=said):
        loaded(tmp_path, network(RAW, stated))


def test_another_file_than_named_and_no_model_are_refused(tmp_path: Path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(DetectorError, match="expected '00"):
        OnnxDetector(path, "0" * 64)
    with pytest.raises(DetectorError, match="no model that ONNX Runtime loads"):
        OnnxDetector(path, sha256(b"no model").hexdigest())
    with pytest.raises(DetectorError, match="No such file"):
        OnnxDetector(tmp_path / "none.onnx", "0" * 64)

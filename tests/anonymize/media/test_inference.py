import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from anonymize.errors import ModelError
from anonymize.media.inference import InputForm, open_session, openvino_precision

ROOT = Path(__file__).parents[3]
ENGINES = ("openvino", "onnxruntime")


@pytest.fixture(scope="module")
def doubling() -> bytes:
    """A model that doubles planes of floats of any size."""
    shape = ["n", 3, "h", "w"]
    taken, given = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("taken", "given"))
    two = helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])
    node = helper.make_node("Mul", ["taken", "two"], ["given"])
    graph = helper.make_graph([node], "doubling", [taken], [given], [two])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (2, 24, 40, 3), np.uint8)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("bgr", [False, True])
def test_planes_are_the_pixels_in_order_and_divided(doubling, noise, engine, bgr):
    session = open_session(
        doubling, name="doubling", form=InputForm(divisor=255.0, bgr=bgr), engine=engine, precision="f32"
    )
    (given,) = session.run(noise)
    ordered = noise[..., ::-1] if bgr else noise
    assert given.dtype == np.float32
    assert np.allclose(given, ordered.transpose(0, 3, 1, 2) * (2 / 255), atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_runtime_says_who_ran_it_and_how_exactly(doubling, engine):
    session = open_session(doubling, name="doubling", form=InputForm(), engine=engine, precision="f32")
    assert session.runtime.startswith(f"{engine} ")
    assert session.runtime.endswith(" CPU f32")


def test_the_fastest_precision_is_one_that_the_processor_has(doubling):
    session = open_session(doubling, name="doubling", form=InputForm())
    assert session.runtime.endswith(f" CPU {openvino_precision()}")


@pytest.mark.parametrize("engine", ENGINES)
def test_outputs_of_one_run_survive_the_next(doubling, noise, engine):
    session = open_session(doubling, name="doubling", form=InputForm(), engine=engine)
    (first,) = session.run(noise)
    before = first.copy()
    session.run(255 - noise)
    assert np.array_equal(first, before)


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_do_not_disturb_one_another(doubling, engine):
    session = open_session(doubling, name="doubling", form=InputForm(), engine=engine)
    batches = [np.full((1, 16 + 8 * n, 24, 3), n, np.uint8) for n in range(12)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(session.run, batches))
    assert all((a[0] == 2 * n).all() and a[0].shape[2] == 16 + 8 * n for n, a in enumerate(answers))


@pytest.mark.parametrize("engine", ENGINES)
def test_rubbish_and_batches_of_another_form_are_refused(doubling, engine):
    with pytest.raises(ModelError, match="does not load"):
        open_session(b"\xff\xff rubbish", name="rubbish", form=InputForm(), engine=engine)
    session = open_session(doubling, name="doubling", form=InputForm(), engine=engine)
    with pytest.raises(ModelError, match="failed"):
        session.run(np.zeros((1, 8, 8, 4), np.uint8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "tensorflow"}, "no such inference engine"),
        ({"device": "NPU.7"}, "no such device"),
        ({"engine": "onnxruntime", "precision": "bf16"}, "f32 on the CPU"),
        ({"engine": "onnxruntime", "device": "GPU"}, "f32 on the CPU"),
    ],
)
def test_what_is_not_there_is_refused_and_never_replaced(doubling, options, message):
    with pytest.raises(ModelError, match=message):
        open_session(doubling, name="doubling", form=InputForm(), **options)


_WATCHED = """
import json, socket, sys
asked = []

def refuse(*arguments, **options):
    asked.append("socket")
    raise OSError("refused")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""


def _in_process(statements: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run in a process of its own without a consent file, with an empty HOME and no CI around it."""
    return subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", _WATCHED + statements],
        capture_output=True, text=True, check=False, cwd=ROOT, env={"HOME": str(home), "PATH": ""},
    )  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
def test_detection_opens_no_socket_and_leaves_nothing_at_home(tmp_path, engine):
    """Both engines send events when they are imported as their makers meant them to be; here they must not."""
    done = _in_process(
        "import numpy as np\n"
        "from anonymize.media.detection import embedded_detectors\n"
        "black = np.zeros((64, 64, 3), np.uint8)\n"
        f"for d in embedded_detectors(engine={engine!r}): d.detect(black, threshold=0.2)\n"
        "print(json.dumps([asked, sys.modules.get('openvino_telemetry')]))\n",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[], None]
    assert list(tmp_path.iterdir()) == []


def test_an_openvino_that_could_go_online_is_refused(tmp_path):
    done = _in_process(
        "sys.modules['openvino_telemetry'] = json\n"
        "from anonymize.media.detection import embedded_detectors\n"
        "embedded_detectors()\n",
        tmp_path,
    )
    assert "could shut it out" in done.stderr


def test_an_onnxruntime_that_goes_online_is_refused(tmp_path):
    done = _in_process(
        "sys.modules['onnxruntime'] = json\n"
        "from anonymize.media.detection import embedded_detectors\n"
        "embedded_detectors(engine='onnxruntime')\n",
        tmp_path,
    )
    assert "before its telemetry was off" in done.stderr


def test_a_large_size_that_comes_again_and_again_gives_what_it_gave_at_first(doubling):
    session = open_session(doubling, name="doubling", form=InputForm(), engine="openvino", precision="f32")
    frame = np.random.default_rng(5).integers(0, 256, (1, 512, 640, 3), np.uint8)
    with ThreadPoolExecutor(2) as threads:
        given = list(threads.map(lambda _: session.run(frame)[0], range(16)))
    assert all(np.array_equal(g, frame.transpose(0, 3, 1, 2) * np.float32(2)) for g in given)


def test_threads_may_run_on_any_core():
    """Pinned ones would crowd the first cores as soon as several workers or models run."""
    model = ROOT / "anonymize/media/models/street.onnx"
    session = open_session(model.read_bytes(), name="street", form=InputForm(), threads=2)
    session.run(np.zeros((1, 640, 640, 3), np.uint8))
    allowed = os.sched_getaffinity(0)
    tasks = {int(t.name): os.sched_getaffinity(int(t.name)) for t in Path("/proc/self/task").iterdir()}
    assert {t: cores for t, cores in tasks.items() if cores != allowed} == {}

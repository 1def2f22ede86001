"""Neural networks on the CPU by OpenVINO or ONNX Runtime: bounded threads, nothing but the model in memory."""

import os
import sys
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import ModelError

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Engine = Literal["openvino", "onnxruntime"]
Precision = Literal["f32", "bf16"]

DEFAULT_ENGINE: Engine = "openvino"
_THREADS = 2
_WORTH_PIXELS = 250_000
_COMMON = 5
_MOST_EXACT = 3
_ORT_OPT_OUT = "ORT_DISABLE_TELEMETRY"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputForm:
    """What a model takes, beside planes of floats, batch × 3 × height × width.

    Attributes:
        divisor: Byte values are divided by it.
        bgr: Whether the planes are blue, green, red instead of red, green, blue.
    """

    divisor: float = 1.0
    bgr: bool = False


class Session(Protocol):
    """A loaded model that takes a batch of images of one size.

    Attributes:
        runtime: Engine, its version, device and precision, as evidence names them.
    """

    @property
    def runtime(self) -> str:
        """Engine, its version, device and precision."""

    def run(self, batch: Pixels) -> list[Floats]:
        """Run N × H × W × 3 RGB bytes; the outputs are copies. May be called from several threads.

        Raises:
            ModelError: The engine refuses the run.
        """


def open_session(
    model: bytes,
    *,
    name: str,
    form: InputForm,
    engine: Engine = DEFAULT_ENGINE,
    precision: Precision | None = None,
    device: str = "CPU",
    threads: int = _THREADS,
) -> Session:
    """Load a model of one image input.

    Args:
        model: ONNX.
        name: What errors call it.
        form: What the model takes.
        engine: Who runs it.
        precision: Arithmetic; by default the fastest that the processor has. Recall was measured to be equal
            in ``bf16`` and ``f32`` (docs/images.md). ONNX Runtime knows ``f32`` only.
        device: OpenVINO's device; it must be among ``openvino.Core().available_devices``.
        threads: Greatest number of threads of one call.

    Raises:
        ModelError: The engine, device or precision is not there, or the bytes are no model that it loads.
    """
    if engine not in get_args(Engine):
        raise ModelError(f"no such inference engine (got {engine!r}, expected one of {get_args(Engine)})")
    if engine == "onnxruntime":
        if device != "CPU" or precision not in {None, "f32"}:
            raise ModelError(f"ONNX Runtime runs f32 on the CPU here (got {precision!r} on {device!r})")
        return _OnnxRuntimeSession(model, name=name, form=form, threads=threads)
    return _OpenVinoSession(model, name=name, form=form, device=device, precision=precision, threads=threads)


@lru_cache(maxsize=1)
def import_openvino() -> ModuleType:
    """Import OpenVINO with its telemetry shut out; the only way in which Fleetgate imports it.

    ``import openvino`` by itself writes an identifier into the home directory and sends an event to an analytics
    service, unless the user once declined. Without the package ``openvino_telemetry`` it falls back to a stub of
    its own that sends nothing: the package is therefore made impossible to import.

    Raises:
        ModelError: OpenVINO is not installed, or someone imported it before and its telemetry with it.
    """
    if sys.modules.get("openvino_telemetry") is not None:
        raise ModelError(
            "openvino_telemetry was imported before Fleetgate could shut it out (expected: never)"
        )
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino  # type: ignore[import-untyped] # noqa: PLC0415 - the line above comes first
        import openvino.preprocess  # type: ignore[import-untyped] # noqa: PLC0415 - the same
    except ImportError as error:
        raise ModelError(f"openvino cannot be imported: {error}") from error
    module: ModuleType = openvino
    return module


@lru_cache(maxsize=1)
def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime with its telemetry off; call this before anything else of the process imports it.

    The builds on PyPI write a device identifier into the home directory and send events from the moment they
    are imported; ``ORT_DISABLE_TELEMETRY`` is their full opt-out and is read once, at that moment.

    Raises:
        ModelError: ONNX Runtime is not installed, or someone imported it before with its telemetry on.
    """
    if "onnxruntime" in sys.modules and os.environ.get(_ORT_OPT_OUT) != "1":
        raise ModelError(f"onnxruntime was imported before its telemetry was off (expected {_ORT_OPT_OUT}=1)")
    os.environ[_ORT_OPT_OUT] = "1"
    try:
        import onnxruntime  # type: ignore[import-untyped] # noqa: PLC0415 - the line above comes first
    except ImportError as error:
        raise ModelError(f"onnxruntime cannot be imported: {error}") from error
    module: ModuleType = onnxruntime
    return module


@lru_cache(maxsize=1)
def _core() -> Any:
    return import_openvino().Core()


def openvino_precision(device: str = "CPU") -> Precision:
    """The fastest arithmetic that a device has of those whose recall was measured.

    Raises:
        ModelError: There is no such device.
    """
    available = _core().available_devices
    if device not in available:
        raise ModelError(f"OpenVINO has no such device (got {device!r}, expected one of {available})")
    return "bf16" if "BF16" in _core().get_property(device, "OPTIMIZATION_CAPABILITIES") else "f32"


class _Compiled:
    """A compiled model; requests are pooled, so that threads do not share one."""

    def __init__(self, graph: Any, device: str, options: Mapping[str, str]) -> None:
        self._compiled = _core().compile_model(graph, device, dict(options))
        self._idle: deque[Any] = deque()

    def infer(self, batch: Pixels) -> list[Floats]:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        outputs = request.infer([np.ascontiguousarray(batch)], share_inputs=True)
        copies = [np.array(o, dtype=np.float32) for o in outputs.values()]
        self._idle.append(request)
        return copies


class _OpenVinoSession:
    """A model compiled for all sizes, and once more for each of the few large sizes that come again and again.

    A model of fixed size takes a sixth to a third less time; compiling one takes a quarter of a second and some
    70 MiB, which frames of a camera repay and single photographs would not.
    """

    def __init__(
        self,
        model: bytes,
        *,
        name: str,
        form: InputForm,
        device: str,
        precision: Precision | None,
        threads: int,
    ) -> None:
        fastest = openvino_precision(device)
        if precision == "bf16" and fastest != "bf16":
            raise ModelError(f"device {device} has no bf16 (got precision {precision!r})")
        chosen = precision or fastest
        options = {"INFERENCE_PRECISION_HINT": chosen, "PERFORMANCE_HINT": "LATENCY"}
        if device == "CPU":
            # Pinned, the threads of every worker process and of every model would share the same first cores.
            options |= {"INFERENCE_NUM_THREADS": str(threads), "ENABLE_CPU_PINNING": "NO"}
        try:
            self._graph = _with_preprocessing(_core().read_model(model), form)
            self._any = _Compiled(self._graph, device, options)
        except Exception as error:
            raise ModelError(f"model {name} does not load: {error}") from error
        self._name, self._device, self._options = name, device, options
        self._uses: Counter[tuple[int, ...]] = Counter()
        self._exact: dict[tuple[int, ...], _Compiled] = {}
        self._lock = threading.Lock()
        self.runtime = f"openvino {import_openvino().__version__.split('-')[0]} {device} {chosen}"

    def run(self, batch: Pixels) -> list[Floats]:
        """See ``Session.run``."""
        try:
            return self._compiled_for(batch.shape).infer(batch)
        except Exception as error:
            raise ModelError(f"model {self._name} failed: {error}") from error

    def _compiled_for(self, shape: tuple[int, ...]) -> _Compiled:
        if shape in self._exact:
            return self._exact[shape]
        if shape[0] * shape[1] * shape[2] < _WORTH_PIXELS:
            return self._any
        with self._lock:
            self._uses[shape] += 1
            if shape not in self._exact and self._uses[shape] > _COMMON and len(self._exact) < _MOST_EXACT:
                graph = self._graph.clone()
                graph.reshape(list(shape))
                self._exact[shape] = _Compiled(graph, self._device, self._options)
        return self._exact.get(shape, self._any)


def _with_preprocessing(model: Any, form: InputForm) -> Any:
    """Let the engine turn RGB bytes into planes of floats: in numpy that takes a third of the network's time."""
    openvino = import_openvino()
    steps = openvino.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    chain = steps.input().preprocess().convert_element_type(openvino.Type.f32)
    if form.divisor != 1.0:
        chain = chain.scale(form.divisor)
    if form.bgr:
        chain.reverse_channels()
    return steps.build()


class _OnnxRuntimeSession:
    def __init__(self, model: bytes, *, name: str, form: InputForm, threads: int) -> None:
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(f"model {name} does not load: {error}") from error
        self._name, self._form = name, form
        self._input = self._session.get_inputs()[0].name
        self.runtime = f"onnxruntime {onnxruntime.__version__} CPU f32"

    def run(self, batch: Pixels) -> list[Floats]:
        """See ``Session.run``."""
        planes = batch.transpose(0, 3, 1, 2)
        if self._form.bgr:
            planes = planes[:, ::-1]
        blob = np.ascontiguousarray(planes, dtype=np.float32)
        if self._form.divisor != 1.0:
            blob /= np.float32(self._form.divisor)
        try:
            return [np.asarray(o, dtype=np.float32) for o in self._session.run(None, {self._input: blob})]
        except Exception as error:
            raise ModelError(f"model {self._name} failed: {error}") from error

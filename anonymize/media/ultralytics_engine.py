"""User-supplied YOLO weights run by ultralytics, beside the embedded detectors; the only user of torch.

ultralytics is imported late, offline and with nothing of its own left on: no sync, no telemetry, no automatic
installation, no download, and its settings live in a temporary directory that ends with the process.
"""

import atexit
import hashlib
import importlib.util
import json
import math
import os
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import yaml
from PIL import Image as PillowImage

from anonymize.errors import ModelError
from anonymize.finding import FindingKind
from anonymize.media.inference import Pixels, import_onnxruntime, import_openvino
from anonymize.media.pyramid import Boxes
from anonymize.media.tiling import ObjectSizes
from anonymize.media.yolo_onnx import YoloMetadata, checked_metadata, read_metadata

_ENVIRONMENT = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
_INTEGRATIONS = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb")
_FOLDER_SUFFIX = "_openvino_model"
_SUFFIXES = (".pt", ".onnx", ".engine", _FOLDER_SUFFIX)
_LEAST_SCORE = 1e-3
_CUDA_BATCH = 8
_MOST_FOUND = 10_000

Device = Literal["auto", "cpu", "cuda"]


def _restore_torchvision_nms() -> None:
    """Give ``torchvision::nms`` a kernel where torchvision's compiled operators do not load.

    The torchvision wheel on PyPI is built for CUDA; beside a CPU build of torch its library cannot be loaded
    and ``import torchvision`` stops with "operator torchvision::nms does not exist", although ultralytics
    imports it before each NMS. The operator is therefore defined here, with ultralytics' own NMS as its CPU
    kernel, before torchvision is first imported; its quantised sibling ``qnms`` is declared without a kernel,
    since the import asks for it and nothing calls it. ``torchvision.ops.nms`` itself refuses to run without
    the compiled library, so the operator takes its place. Where torchvision's library loads, nothing is done.
    """
    import torch  # noqa: PLC0415 - heavy, and wanted only with user-supplied weights

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or "torchvision" in sys.modules:
        return
    for library in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
        except OSError:
            continue
    if hasattr(torch.ops.torchvision, "nms"):
        return
    for operator in ("nms", "qnms"):
        torch.library.define(
            f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        )

    def kernel(dets: Any, scores: Any, iou_threshold: float) -> Any:
        from ultralytics.utils.nms import TorchNMS  # noqa: PLC0415 - ultralytics is loading when this is defined

        return TorchNMS.nms(dets, scores, iou_threshold)

    torch.library.impl("torchvision::nms", "CPU", kernel)
    import torchvision  # type: ignore[import-untyped]  # noqa: PLC0415 - cannot be imported before the operators are there

    torchvision.ops.nms = torchvision.ops.boxes.nms = torch.ops.torchvision.nms


@lru_cache(maxsize=1)
def import_ultralytics() -> ModuleType:
    """Import ultralytics with its network access, telemetry and installer off; once per process.

    Raises:
        ModelError: ultralytics is not installed, or it, OpenVINO or ONNX Runtime, which run its exports, was
            imported by someone else while it could go online.
    """
    settings = tempfile.TemporaryDirectory(prefix="fleetgate-ultralytics-")
    atexit.register(settings.cleanup)
    os.environ.update(_ENVIRONMENT, YOLO_CONFIG_DIR=settings.name)
    import_openvino()
    import_onnxruntime()
    try:
        _restore_torchvision_nms()
        opener = PillowImage.open
        import ultralytics  # noqa: PLC0415 - heavy, and wanted only with user-supplied weights
        import ultralytics.utils  # noqa: PLC0415 - the same
        from ultralytics.utils import events, nms  # noqa: PLC0415 - the same

        # ultralytics replaces it for the whole process by one that asks for pi_heif at every unknown file.
        PillowImage.open = opener
        # It leaves out the rest of a batch where suppression, or the first pass of a GPU, takes longer than 2 s.
        nms.non_max_suppression = partial(nms.non_max_suppression, max_time_img=math.inf)
    except ImportError as error:
        raise ModelError(f"ultralytics cannot be imported: {error}") from error
    ultralytics.utils.SETTINGS.update(dict.fromkeys(_INTEGRATIONS, False))  # type: ignore[no-untyped-call]
    events.events.enabled = False
    if ultralytics.utils.ONLINE or ultralytics.utils.AUTOINSTALL:
        raise ModelError(
            "ultralytics was imported before Fleetgate could take it offline (expected ONLINE=False)"
        )
    return ultralytics


class UltralyticsNetwork:
    """YOLO detection weights of the user's own: ``.pt``, ``.onnx``, ``*_openvino_model`` folders, ``.engine``.

    A ``.pt`` file is a pickle and runs code when it is loaded: the pinned digest is what says that it is
    trusted. Calls are serialised by a lock, since ultralytics' predictor keeps state. On CUDA the arithmetic
    is half precision and eight images run together.
    """

    padding = 114
    overlap = 0.5
    weakest = None

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        sha256: str,
        kinds: Mapping[str, FindingKind],
        sizes: Mapping[FindingKind, ObjectSizes],
        device: Device = "auto",
    ) -> None:
        """Load and check the weights.

        Args:
            path: The weights: a file, or the folder that ultralytics writes for OpenVINO.
            name: The detector's name.
            sha256: Expected ``weights_digest``, hexadecimal.
            kinds: What each class of the model is a finding of; every class must be mapped.
            sizes: Objects of each kind that it finds reliably.
            device: ``auto`` takes CUDA where torch sees it, else the CPU.

        Raises:
            ModelError: The weights are missing, have another digest or suffix, are no detection model, lack
                class names or have a class that is not mapped; or the device is not there.
        """
        self.name, self.sizes = name, sizes
        self.digest = _require_digest(path, sha256)
        self._device = _device(device, path)
        metadata = _exported_metadata(path)
        self.canvas = None if metadata is None or metadata.dynamic else metadata.imgsz[::-1]
        self._model = _load(path)
        names = _class_names(self._model, path)
        unmapped = sorted(set(names.values()) - set(kinds))
        if unmapped:
            raise ModelError(f"classes of {path.name} are not mapped to kinds (got {unmapped})")
        self.classes = {index: (kinds[label], label) for index, label in names.items()}
        self.batch = _CUDA_BATCH if self._device != "cpu" and self.canvas is None else 1
        self._half = self._device != "cpu"
        version = import_ultralytics().__version__
        self.runtime = f"ultralytics {version} {self._device} {'f16' if self._half else 'f32'}"
        self._lock = threading.Lock()

    def infer(self, batch: Pixels, *, threshold: float) -> list[Boxes]:
        """See ``Network.infer``."""
        import torch  # noqa: PLC0415 - heavy, and wanted only with user-supplied weights

        planes = np.ascontiguousarray(batch.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)
        size = batch.shape[1], batch.shape[2]
        with self._lock:
            try:
                results = self._model.predict(
                    torch.from_numpy(planes), conf=max(threshold, _LEAST_SCORE), imgsz=size,
                    device=self._device, half=self._half, verbose=False, save=False, max_det=_MOST_FOUND,
                )  # fmt: skip
            except Exception as error:
                raise ModelError(f"{self.name} failed: {error}") from error
        boxes = [result.boxes.cpu().numpy() for result in results]
        if (most := max(map(len, boxes), default=0)) >= _MOST_FOUND:
            raise ModelError(f"{self.name} found more than it can tell (got {most} objects in one image)")
        return [
            Boxes(
                corners=np.array(b.xyxy, dtype=np.float32).reshape(-1, 4),
                scores=np.array(b.conf, dtype=np.float32),
                classes=np.array(b.cls).astype(np.intp),
            )
            for b in boxes
        ]


def weights_digest(path: Path) -> str:
    """SHA-256 of a weights file; of a folder, of its listing.

    The listing has one line per file, ``<sha256>  <path inside the folder>``, sorted by path: what
    ``sha256sum`` prints of the files inside the folder.

    Raises:
        ModelError: There is no such file or folder, or the folder is empty.
    """
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    inside = sorted((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.relative_to(path).as_posix())
    if not inside:
        raise ModelError(f"model file does not exist (got {path.name!r})")
    lines = (f"{weights_digest(p)}  {p.relative_to(path).as_posix()}\n" for p in inside)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _require_digest(path: Path, sha256: str) -> str:
    if not path.name.endswith(_SUFFIXES):
        raise ModelError(f"model file has an unknown suffix (got {path.name!r}, expected one of {_SUFFIXES})")
    digest = weights_digest(path)
    if digest != sha256:
        raise ModelError(f"model {path.name} has the wrong digest (got {digest}, expected {sha256})")
    return digest


def _device(wanted: Device, path: Path) -> str:
    """The device by the name that torch has for it.

    Raises:
        ModelError: CUDA is wanted, or needed by the weights, and torch sees none.
    """
    import_ultralytics()
    import torch  # noqa: PLC0415 - heavy, and wanted only with user-supplied weights

    seen = torch.cuda.is_available()
    if (wanted == "cuda" or path.suffix == ".engine") and not seen:
        raise ModelError(f"model {path.name} needs CUDA, which torch does not see (got device {wanted!r})")
    if path.suffix == ".engine" and wanted == "cpu":
        raise ModelError(f"TensorRT engines run on CUDA only (got device {wanted!r} for {path.name})")
    return "cuda:0" if seen and wanted != "cpu" else "cpu"


def _exported_metadata(path: Path) -> YoloMetadata | None:
    """What an export says of itself, checked before ultralytics sees the file; None for ``.pt``."""
    if path.suffix == ".onnx":
        return read_metadata(path.read_bytes(), name=path.name)
    if path.suffix == ".pt":
        return None
    try:
        if path.suffix == ".engine":
            content = path.read_bytes()
            fields = json.loads(content[4 : 4 + int.from_bytes(content[:4], "little")])
        else:
            fields = yaml.safe_load((path / "metadata.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ModelError(f"model {path.name} lacks metadata: {error}") from error
    if not isinstance(fields, dict):
        raise ModelError(f"model {path.name} lacks metadata (got {type(fields).__name__})")
    arguments = fields.get("args")
    free = isinstance(arguments, dict) and arguments.get("dynamic") is True
    return checked_metadata(fields, name=path.name, dynamic=free)


def _load(path: Path) -> Any:
    module = import_ultralytics()
    try:
        return module.YOLO(str(path), task=None if path.suffix == ".pt" else "detect")
    except Exception as error:
        raise ModelError(f"model {path.name} does not load: {error}") from error


def _class_names(model: Any, path: Path) -> dict[int, str]:
    if model.task != "detect":
        raise ModelError(f"model {path.name} has another task (got {model.task!r}, expected 'detect')")
    try:
        names = dict(model.names)
    except Exception as error:
        raise ModelError(f"model {path.name} has no class names: {error}") from error
    if not names or not all(isinstance(n, str) and n for n in names.values()):
        raise ModelError(f"model {path.name} has no class names (got {names!r})")
    return {int(index): name for index, name in names.items()}

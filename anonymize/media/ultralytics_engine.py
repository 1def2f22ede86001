"""User-supplied YOLO weights run by ultralytics, beside the embedded detectors; the only user of torch.

ultralytics is imported late, offline and with nothing of its own left on: no sync, no telemetry, no automatic
installation, no download, and its settings live in a temporary directory that ends with the process.
"""

import atexit
import hashlib
import importlib.util
import os
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from anonymize.errors import ModelError
from anonymize.finding import Finding, FindingKind
from anonymize.media.detection import Image, Look, mirror, mirror_boxes, require_rgb, to_finding

_ENVIRONMENT = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
_INTEGRATIONS = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb")
_RESIDUAL_SCALE = 1.25
_SUFFIXES = (".pt", ".onnx")


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
        ModelError: ultralytics is not installed, or it was imported by someone else while it could go online.
    """
    settings = tempfile.TemporaryDirectory(prefix="fleetgate-ultralytics-")
    atexit.register(settings.cleanup)
    os.environ.update(_ENVIRONMENT, YOLO_CONFIG_DIR=settings.name)
    try:
        _restore_torchvision_nms()
        import ultralytics  # noqa: PLC0415 - heavy, and wanted only with user-supplied weights
        import ultralytics.utils  # noqa: PLC0415 - the same
        from ultralytics.utils import events  # noqa: PLC0415 - the same
    except ImportError as error:
        raise ModelError(f"ultralytics cannot be imported: {error}") from error
    ultralytics.utils.SETTINGS.update(dict.fromkeys(_INTEGRATIONS, False))  # type: ignore[no-untyped-call]
    events.events.enabled = False
    if ultralytics.utils.ONLINE or ultralytics.utils.AUTOINSTALL:
        raise ModelError(
            "ultralytics was imported before Fleetgate could take it offline (expected ONLINE=False)"
        )
    return ultralytics


class UltralyticsDetector:
    """YOLO detection weights (``.pt``, ``.onnx``) of the user's own.

    A ``.pt`` file is a pickle and runs code when it is loaded: the pinned digest is what says that it is
    trusted. Calls are serialised by a lock, since ultralytics' predictor keeps state.
    """

    def __init__(
        self, path: Path, *, sha256: str, kinds: Mapping[str, FindingKind], imgsz: int = 640
    ) -> None:
        """Load and check the weights.

        Args:
            path: The weights file.
            sha256: Its expected digest, hexadecimal.
            kinds: What each class of the model is a finding of; every class must be mapped.
            imgsz: Longer side in pixels at which images are run.

        Raises:
            ModelError: The file is missing, has another digest or suffix, is no detection model, lacks class
                names, or has a class that is not mapped.
        """
        self._model, self.digest = _load(path, sha256)
        self.name = f"ultralytics:{path.stem}"
        names = _class_names(self._model, path)
        unmapped = sorted(set(names.values()) - set(kinds))
        if unmapped:
            raise ModelError(f"classes of {path.name} are not mapped to kinds (got {unmapped})")
        self._classes = {index: (kinds[name], name) for index, name in names.items()}
        self.kinds = frozenset(kind for kind, _ in self._classes.values())
        self._imgsz = imgsz
        self._lock = threading.Lock()

    def detect(self, image: Image, *, threshold: float, look: Look = Look.MASKING) -> tuple[Finding, ...]:
        """Find objects of at least ``threshold`` confidence; see ``Detector.detect``."""
        require_rgb(image)
        residual = look is Look.RESIDUAL
        bgr = np.ascontiguousarray((mirror(image) if residual else image)[..., ::-1])
        side = round(self._imgsz * _RESIDUAL_SCALE) if residual else self._imgsz
        with self._lock:
            try:
                (result,) = self._model.predict(
                    bgr, conf=max(threshold, 1e-3), imgsz=side, device="cpu", verbose=False, save=False
                )
            except Exception as error:
                raise ModelError(f"{self.name} failed: {error}") from error
        boxes = result.boxes.cpu().numpy()
        corners = mirror_boxes(boxes.xyxy, image.shape[1]) if residual else boxes.xyxy
        size = (image.shape[1], image.shape[0])
        found = (
            to_finding(self._classes[int(c)][0], xyxy, float(conf), size=size,
                       detector=f"{self.name}@{self.digest[:12]}", label=self._classes[int(c)][1])
            for xyxy, conf, c in zip(corners, boxes.conf, boxes.cls, strict=True)
        )  # fmt: skip
        return tuple(f for f in found if f is not None and f.confidence >= threshold)

    def detect_batch(
        self, images: Sequence[Image], *, threshold: float, look: Look = Look.MASKING
    ) -> tuple[tuple[Finding, ...], ...]:
        """``detect`` on each image; see ``Detector.detect_batch``."""
        return tuple(self.detect(image, threshold=threshold, look=look) for image in images)


def _load(path: Path, sha256: str) -> tuple[Any, str]:
    if path.suffix not in _SUFFIXES:
        raise ModelError(
            f"model file has an unknown suffix (got {path.suffix!r}, expected one of {_SUFFIXES})"
        )
    if not path.is_file():
        raise ModelError(f"model file does not exist (got {path.name!r})")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != sha256:
        raise ModelError(f"model {path.name} has the wrong digest (got {digest}, expected {sha256})")
    if path.suffix == ".onnx":
        from anonymize.media.yolo_onnx import read_metadata  # noqa: PLC0415 - onnxruntime is not needed for .pt

        read_metadata(path.read_bytes(), name=path.name)
    module = import_ultralytics()
    try:
        return module.YOLO(str(path), task="detect" if path.suffix == ".onnx" else None), digest
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

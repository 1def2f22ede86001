"""ultralytics for training, with nothing of its own left on: no network, telemetry, installer, download or plot.

It is imported late, once per process, and its settings live in a temporary directory that ends with the process.
"""

import atexit
import importlib.util
import os
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from PIL import Image as PillowImage

from pipeline.training.errors import DetectorError

_ENVIRONMENT: Final = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
_INTEGRATIONS: Final = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb")


@lru_cache(maxsize=1)
def import_ultralytics() -> ModuleType:
    """Import ultralytics with its network access, telemetry, integrations and installer off.

    Raises:
        DetectorError: It was imported by someone else while it could go online.
        ModuleNotFoundError: It is not installed.
    """
    settings = tempfile.TemporaryDirectory(prefix="fleetgate-ultralytics-")
    atexit.register(settings.cleanup)
    os.environ.update(_ENVIRONMENT, YOLO_CONFIG_DIR=settings.name)
    _restore_torchvision_nms()
    opener = PillowImage.open
    import ultralytics  # noqa: PLC0415 - heavy, and wanted only by who trains a detector
    import ultralytics.utils  # noqa: PLC0415 - the same
    from ultralytics.utils import events  # noqa: PLC0415 - the same

    # ultralytics replaces it for the whole process by one that asks for pi_heif at every unknown file.
    PillowImage.open = opener
    ultralytics.utils.SETTINGS.update(dict.fromkeys(_INTEGRATIONS, False))  # type: ignore[no-untyped-call]
    events.events.enabled = False
    if ultralytics.utils.ONLINE or ultralytics.utils.AUTOINSTALL:
        raise DetectorError(
            "ultralytics was imported before it could be taken offline (expected ONLINE=False)"
        )
    return ultralytics


def _restore_torchvision_nms() -> None:
    """Give ``torchvision::nms`` a kernel where torchvision's compiled operators do not load.

    torchvision from PyPI is built for CUDA; beside a CPU build of torch ``import torchvision`` stops with
    "operator torchvision::nms does not exist". The operator is defined before that import, with ultralytics'
    NMS as its CPU kernel; ``qnms`` is declared only, since nothing calls it. Where torchvision's
    library loads, nothing is done. ``anonymize`` does the same for user-supplied weights: neither package may
    import the other.
    """
    import torch  # noqa: PLC0415 - heavy, and wanted only by who trains a detector

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

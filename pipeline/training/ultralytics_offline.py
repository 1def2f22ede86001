"""ultralytics for training, with nothing of its own left on: no network, telemetry, installer, download or plot.

It is imported late, once per process, and its settings live in a temporary directory that ends with the process.
"""

import atexit
import math
import os
import tempfile
from functools import lru_cache, partial
from types import ModuleType
from typing import Final

from PIL import Image as PillowImage

from pipeline.torchvision_operators import restore_torchvision_nms
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
    restore_torchvision_nms()
    opener = PillowImage.open
    import ultralytics  # noqa: PLC0415 - heavy, and wanted only by who trains a detector
    import ultralytics.utils  # noqa: PLC0415 - the same
    from ultralytics.utils import events, nms  # noqa: PLC0415 - the same

    # ultralytics replaces it for the whole process by one that asks for pi_heif at every unknown file.
    PillowImage.open = opener
    # It leaves out the rest of a batch after 2 s: what is measured would depend on how busy the machine is.
    nms.non_max_suppression = partial(nms.non_max_suppression, max_time_img=math.inf)
    ultralytics.utils.SETTINGS.update(dict.fromkeys(_INTEGRATIONS, False))  # type: ignore[no-untyped-call]
    events.events.enabled = False
    if ultralytics.utils.ONLINE or ultralytics.utils.AUTOINSTALL:
        raise DetectorError(
            "ultralytics was imported before it could be taken offline (expected ONLINE=False)"
        )
    return ultralytics

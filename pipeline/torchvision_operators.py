"""torchvision beside a build of torch that it was not compiled for: what must be there before it is imported."""

import importlib.util
import sys
from pathlib import Path
from typing import Any


def restore_torchvision_nms() -> None:
    """Give ``torchvision::nms`` a kernel where torchvision's compiled operators do not load.

    torchvision from PyPI is built for CUDA; beside a CPU build of torch ``import torchvision`` stops with
    "operator torchvision::nms does not exist". The operator is defined before that import, with ultralytics'
    NMS as its CPU kernel; ``qnms`` is declared only, since nothing calls it. Where torchvision's
    library loads, nothing is done. ``anonymize`` does the same for user-supplied weights: neither package may
    import the other. Call it before what imports torchvision: ultralytics, transformers, open_clip.
    """
    import torch  # noqa: PLC0415 - heavy, and wanted only where a network runs

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

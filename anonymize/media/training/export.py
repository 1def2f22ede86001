"""From a checkpoint of ultralytics to the file that ships."""

from pathlib import Path

import numpy as np
import onnx

_HALF_FROM_BYTES = 1024
_DESCRIPTION = "Licence plates and limit signs, trained on drawn scenes by anonymize.media.training.street"


def export(weights: Path, target: Path, *, side: int) -> None:
    """Write ONNX with dynamic size, NMS inside, ultralytics' metadata and weights stored as 16-bit floats."""
    from anonymize.media.ultralytics_engine import import_ultralytics  # noqa: PLC0415 - imports torch

    yolo = import_ultralytics().YOLO(str(weights), task="detect")
    settings = {"nms": True, "dynamic": True, "conf": 0.05, "iou": 0.5, "max_det": 300, "simplify": False}
    written = yolo.export(format="onnx", imgsz=side, device="cpu", **settings)
    model = onnx.load(written)
    Path(written).unlink()
    _store_half(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    for entry in model.metadata_props:
        if entry.key == "description":  # ultralytics writes the path of the data there
            entry.value = _DESCRIPTION
    onnx.save(model, str(target))


def _store_half(model: onnx.ModelProto) -> None:
    """Keep large weights as 16-bit floats, widened by a Cast that engines fold when they load it."""
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or len(weight.raw_data) < _HALF_FROM_BYTES:
            continue
        name = weight.name
        half = onnx.numpy_helper.to_array(weight).astype(np.float16)
        weight.CopyFrom(onnx.numpy_helper.from_array(half, f"{name}_half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)

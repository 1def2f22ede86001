"""ONNX Runtime sessions of bounded threads, resampling and suppression shared by the embedded detectors."""

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image as PillowImage

from anonymize.errors import ModelError
from anonymize.media.detection import Image

Floats = NDArray[np.float32]

_THREADS = 2


def open_session(model: bytes, *, name: str) -> onnxruntime.InferenceSession:
    """Load a model for the CPU with at most two threads per call.

    Raises:
        ModelError: The bytes are no model that ONNX Runtime loads.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _THREADS
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"model {name} does not load: {error}") from error


def run_session(session: onnxruntime.InferenceSession, blob: Floats, *, name: str) -> list[Floats]:
    """Run a one-input model.

    Raises:
        ModelError: ONNX Runtime refuses the run.
    """
    try:
        return [
            np.asarray(o, dtype=np.float32) for o in session.run(None, {session.get_inputs()[0].name: blob})
        ]
    except Exception as error:
        raise ModelError(f"model {name} failed: {error}") from error


def resample(image: Image, size: tuple[int, int]) -> Image:
    """Resize to ``size`` (width, height), area-weighted when shrinking."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    pillow = PillowImage.fromarray(image)
    return np.asarray(pillow.resize(size, PillowImage.Resampling.BILINEAR), dtype=np.uint8)


def pad_to(image: Image, multiple: int, *, value: int) -> Image:
    """Pad on the right and below up to multiples of ``multiple`` pixels."""
    height, width = image.shape[:2]
    below, right = -height % multiple, -width % multiple
    return np.pad(image, ((0, below), (0, right), (0, 0)), constant_values=value)


def to_blob(image: Image, *, scale: float) -> Floats:
    """1 × 3 × H × W floats."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32) * np.float32(scale)


def suppress(boxes: Floats, scores: Floats, *, overlap: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression; indices of the boxes that stay, best first.

    Args:
        boxes: N × 4 corners x0, y0, x1, y1.
        scores: N confidences.
        overlap: Intersection over union from which the weaker box goes.
    """
    order = np.argsort(-scores, kind="stable")
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    keep: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        keep.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.prod(np.clip(high - low, 0, None), axis=1)
        order = rest[shared < overlap * (areas[best] + areas[rest] - shared)]
    return np.array(keep, dtype=np.intp)

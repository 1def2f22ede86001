"""A detector that its user supplies as an ONNX file, named by its digest; people decide on what it finds."""

import ast
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.labelling.errors import DetectorError
from pipeline.labelling.geometry import BoundingBox

OVERLAP: Final = 0.6
_OPT_OUT: Final = "ORT_DISABLE_TELEMETRY"
_THREADS: Final = 2
_BORDER: Final = 114
_END_TO_END: Final = 6

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What was found in a picture.

    Attributes:
        name: Class of the model.
        box: Where, inside the picture.
        confidence: In [0, 1].
    """

    name: str
    box: BoundingBox
    confidence: float


class OnnxDetector:
    """A detector of the kind that ultralytics exports: its metadata state task and classes.

    One input of 1 × 3 × height × width in [0, 1], red first; the output is 1 × (4 + classes) × candidates (centre,
    size, a score for each class), or 1 × candidates × 6 (corners, score, class) where the export suppresses
    overlaps itself.
    """

    def __init__(self, path: Path, expected: str) -> None:
        """Load a file.

        Args:
            path: The ONNX file.
            expected: Its SHA-256, hexadecimal.

        Raises:
            DetectorError: The file is another one, no model, or does not state task and classes.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DetectorError(f"{path}: {error.strerror}") from error
        self.digest = sha256(content).hexdigest()
        if self.digest != expected:
            raise DetectorError(f"{path} (got sha256 {self.digest}, expected {expected!r})")
        runtime = _import_onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = _THREADS
        try:
            self._session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # whatever the engine makes of a file that is no model
            raise DetectorError(f"{path} is no model that ONNX Runtime loads: {error}") from error
        stated = self._session.get_modelmeta().custom_metadata_map
        if stated.get("task") != "detect":
            raise DetectorError(
                f"{path} (got task {stated.get('task')!r} in its metadata, expected 'detect')"
            )
        self.names = _names(path, stated.get("names"))
        (only,) = self._session.get_inputs()
        self._input, self._shape = only.name, only.shape
        if len(only.shape) != 4 or not all(isinstance(side, int) for side in only.shape[1:]):  # noqa: PLR2004 - NCHW
            raise DetectorError(f"{path} (got input {only.shape}, expected 1 × 3 × height × width)")

    def find(self, picture: Image.Image, confidence: float) -> tuple[Detection, ...]:
        """Objects in a picture, the surest first, at least of a confidence.

        Raises:
            DetectorError: The model answers in another form.
        """
        height, width = self._shape[2:]
        share = min(width / picture.width, height / picture.height)
        size = max(1, round(picture.width * share)), max(1, round(picture.height * share))
        left, top = (width - size[0]) // 2, (height - size[1]) // 2
        sheet = Image.new("RGB", (width, height), (_BORDER,) * 3)
        sheet.paste(picture.resize(size, Image.Resampling.BILINEAR), (left, top))
        planes = np.ascontiguousarray(
            np.asarray(sheet, dtype=np.float32).transpose(2, 0, 1)[None] / np.float32(255)
        )
        answer = self._session.run(None, {self._input: planes})[0]
        corners, scores, classes = self._read(np.asarray(answer, dtype=np.float32))
        sure = scores >= confidence
        corners, scores, classes = corners[sure], scores[sure], classes[sure]
        kept = _without_overlaps(corners, scores, classes)
        shift = np.array([left, top, left, top], dtype=np.float32)
        limits = np.array([picture.width, picture.height] * 2, dtype=np.float32)
        inside = np.clip((corners[kept] - shift) / np.float32(share), 0, limits)
        return tuple(
            Detection(
                name=self.names[int(classes[at])],
                box=BoundingBox(x=float(x0), y=float(y0), width=float(x1 - x0), height=float(y1 - y0)),
                confidence=min(1.0, float(scores[at])),
            )
            for at, (x0, y0, x1, y1) in zip(kept, inside, strict=True)
            if x1 - x0 >= 1 and y1 - y0 >= 1
        )

    def _read(self, answer: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
        if answer.ndim == 3 and answer.shape[0] == 1 and np.isfinite(answer).all():  # noqa: PLR2004 - see the class
            rows = answer[0]
            if rows.shape[1] == _END_TO_END and rows.shape[0] != 4 + len(self.names):
                classes = rows[:, 5].astype(np.int64)
                if not len(classes) or (classes.min() >= 0 and classes.max() < len(self.names)):
                    return rows[:, :4], rows[:, 4], classes
            elif rows.shape[0] == 4 + len(self.names):
                centre, size, scores = rows[:2].T, rows[2:4].T, rows[4:].T
                corners = np.hstack([centre - size / 2, centre + size / 2])
                return corners, scores.max(axis=1), scores.argmax(axis=1)
        raise DetectorError(
            f"output of the model (got shape {answer.shape}, expected 1 × {4 + len(self.names)} × candidates or "
            "1 × candidates × 6, finite)"
        )


def _without_overlaps(corners: Floats, scores: Floats, classes: NDArray[np.int64]) -> list[int]:
    """Places of the candidates that stay, the surest first; each removes those of its class that it overlaps."""
    kept: list[int] = []
    waiting = list(np.argsort(-scores, kind="stable"))
    while waiting:
        best = int(waiting.pop(0))
        kept.append(best)
        waiting = [
            other
            for other in waiting
            if classes[other] != classes[best] or overlap(corners[best], corners[other]) < OVERLAP
        ]
    return kept


def overlap(a: Any, b: Any) -> float:
    """Intersection over union of two boxes of left, top, right, bottom."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = float(width * height)
    whole = float((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])) - shared
    return shared / whole


def _names(path: Path, stated: str | None) -> Mapping[int, str]:
    try:
        names = ast.literal_eval(stated or "")
        found = {int(number): str(name) for number, name in names.items()}
    except (ValueError, SyntaxError, AttributeError, TypeError) as error:
        raise DetectorError(
            f"{path} (got classes {stated!r} in its metadata, expected numbers and names)"
        ) from error
    if sorted(found) != list(range(len(found))) or not found:
        raise DetectorError(f"{path} (got classes {found}, expected numbered from 0)")
    return found


def _import_onnxruntime() -> ModuleType:
    """ONNX Runtime with its telemetry off: the variable is read once, when it is first imported."""
    if "onnxruntime" in sys.modules and os.environ.get(_OPT_OUT) != "1":
        raise DetectorError(f"onnxruntime was imported before its telemetry was off (expected {_OPT_OUT}=1)")
    os.environ[_OPT_OUT] = "1"
    import onnxruntime  # type: ignore[import-untyped] # noqa: PLC0415 - the line above comes first

    module: ModuleType = onnxruntime
    return module

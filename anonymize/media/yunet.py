"""YuNet (MIT), a small face detector that an operator may register: its ONNX carries no metadata of its own."""

import hashlib
from collections.abc import Mapping

import numpy as np

from anonymize.errors import ModelError
from anonymize.finding import FindingKind
from anonymize.media.inference import (
    DEFAULT_ENGINE,
    Engine,
    Floats,
    InputForm,
    Pixels,
    Precision,
    open_session,
)
from anonymize.media.pyramid import Boxes
from anonymize.media.tiling import ObjectSizes

_STRIDES = (8, 16, 32)
_PROBE_PX = 64
# cls, obj, bbox and kps at each stride, and the width of their rows.
_COLUMNS = (1, 1, 4, 10)


class YuNet:
    """Faces by an ONNX of twelve outputs: class, objectness, box and landmarks at strides 8, 16 and 32."""

    canvas = None
    padding = 0
    batch = 1
    weakest = None
    overlap = 0.35

    def __init__(
        self,
        content: bytes,
        *,
        name: str,
        sha256: str,
        kinds: Mapping[str, FindingKind],
        sizes: Mapping[FindingKind, ObjectSizes],
        engine: Engine = DEFAULT_ENGINE,
        precision: Precision | None = None,
    ) -> None:
        """Load and check a model.

        Args:
            content: The model file, of free input size.
            name: The detector's name.
            sha256: Expected digest of ``content``, hexadecimal.
            kinds: Its only class, and what it is a finding of.
            sizes: Objects that it finds reliably.
            engine: Who runs it.
            precision: Arithmetic; see ``open_session``.

        Raises:
            ModelError: The digest is wrong, not exactly one class is named, the outputs are not YuNet's, or
                the model does not load.
        """
        self.digest = hashlib.sha256(content).hexdigest()
        if self.digest != sha256:
            raise ModelError(f"model {name} has the wrong digest (got {self.digest}, expected {sha256})")
        if len(kinds) != 1:
            raise ModelError(f"YuNet has one class (got {sorted(kinds)} for {name})")
        self.name, self.sizes = name, sizes
        ((label, kind),) = kinds.items()
        self.classes = {0: (kind, label)}
        self._session = open_session(
            content, name=name, form=InputForm(bgr=True), engine=engine, precision=precision
        )
        self.runtime = self._session.runtime
        self.infer(np.zeros((1, _PROBE_PX, _PROBE_PX, 3), np.uint8), threshold=0.5)

    def infer(self, batch: Pixels, *, threshold: float) -> list[Boxes]:
        """See ``Network.infer``."""
        outputs = self._session.run(batch)
        height, width = batch.shape[1:3]
        expected = [
            (len(batch), (height // s) * (width // s), columns) for columns in _COLUMNS for s in _STRIDES
        ]
        if [o.shape for o in outputs] != expected:
            raise ModelError(
                f"model {self.name} is no YuNet (got {[o.shape for o in outputs]}, expected {expected})"
            )
        return [_joined([_decode(outputs[k:9:3], n, batch.shape[2], s, threshold)
                         for k, s in enumerate(_STRIDES)]) for n in range(len(batch))]  # fmt: skip


def _decode(
    outputs: list[Floats], image: int, width: int, stride: int, threshold: float
) -> tuple[Floats, Floats]:
    """Corners and scores of one image at one stride; a score is the geometric mean of class and objectness."""
    classes, objects, boxes = (o[image] for o in outputs)
    columns = width // stride
    scores = np.sqrt(np.clip(classes[:, 0], 0, 1) * np.clip(objects[:, 0], 0, 1))
    (chosen,) = np.nonzero((scores >= threshold) & (scores > 0))
    centre = (np.stack([chosen % columns, chosen // columns], axis=1) + boxes[chosen, :2]) * stride
    half = np.exp(boxes[chosen, 2:]) * stride / 2
    corners = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    return corners, scores[chosen].astype(np.float32)


def _joined(parts: list[tuple[Floats, Floats]]) -> Boxes:
    scores = np.concatenate([s for _, s in parts])
    return Boxes(
        corners=np.concatenate([c for c, _ in parts]),
        scores=scores,
        classes=np.zeros(len(scores), dtype=np.intp),
    )

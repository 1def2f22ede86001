"""Exported YOLO detection models with suppression inside, run through ONNX Runtime; no torch."""

import ast
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from anonymize.errors import ModelError
from anonymize.finding import Finding, FindingKind
from anonymize.media.detection import Image, Look, mirror, mirror_boxes, require_rgb, to_finding
from anonymize.media.inference import Floats, open_session, pad_to, resample, run_session, suppress, to_blob

_PADDING = 114
_COLUMNS = 6
_OVERLAP = 0.5
_BETWEEN = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloMetadata:
    """What ultralytics writes into the files that it exports.

    Attributes:
        task: ``detect`` for models that can be run here.
        names: Class index to class name; never empty.
        stride: Input sides must be multiples of it, in pixels.
        dynamic: Whether any input size is taken.
        imgsz: Height and width of a fixed input in pixels.
    """

    task: str
    names: Mapping[int, str]
    stride: int
    dynamic: bool
    imgsz: tuple[int, int]


def read_metadata(content: bytes, *, name: str) -> YoloMetadata:
    """Read and check a model's metadata; ultralytics itself decodes foreign files into nonsense.

    Raises:
        ModelError: The file is no ONNX, or task, class names, stride or input size are missing or malformed,
            or the task is not detection.
    """
    try:
        model = onnx.load_from_string(content)
    except DecodeError as error:
        raise ModelError(f"model {name} is not ONNX: {error}") from error
    fields = {p.key: p.value for p in model.metadata_props}
    missing = sorted({"task", "names", "stride", "imgsz"} - set(fields))
    if missing:
        raise ModelError(f"model {name} lacks metadata (got {sorted(fields)}, expected also {missing})")
    if fields["task"] != "detect":
        raise ModelError(f"model {name} has another task (got {fields['task']!r}, expected 'detect')")
    try:
        names = {int(k): v for k, v in dict(ast.literal_eval(fields["names"])).items()}
        height, width = (int(v) for v in ast.literal_eval(fields["imgsz"]))
        stride = int(fields["stride"])
    except (ValueError, SyntaxError, TypeError) as error:
        raise ModelError(f"model {name} has malformed metadata: {error}") from error
    if not names or not all(isinstance(v, str) and v for v in names.values()) or stride < 1:
        raise ModelError(f"model {name} has no class names or no stride (got {names!r}, {stride})")
    free = bool(model.graph.input) and bool(model.graph.input[0].type.tensor_type.shape.dim[2].dim_param)
    return YoloMetadata(task="detect", names=names, stride=stride, dynamic=free, imgsz=(height, width))


class YoloOnnx:
    """A detector of the classes that its model names; safe for several threads."""

    def __init__(
        self,
        content: bytes,
        *,
        name: str,
        sha256: str,
        kinds: Mapping[str, FindingKind],
        sides: tuple[int, ...],
        magnification: float = 2.0,
    ) -> None:
        """Load and check a model.

        Args:
            content: The model file.
            name: The detector's name.
            sha256: Expected digest of ``content``, hexadecimal.
            kinds: What each class is a finding of; every class must be mapped.
            sides: Longer sides in pixels at which an image is evaluated; ignored for models of fixed size.
            magnification: How much an image is enlarged at most to reach a side.

        Raises:
            ModelError: The digest is wrong, metadata is missing, a class is not mapped, the model has no
                suppression inside or does not load.
        """
        digest = hashlib.sha256(content).hexdigest()
        if digest != sha256:
            raise ModelError(f"model {name} has the wrong digest (got {digest}, expected {sha256})")
        metadata = read_metadata(content, name=name)
        unmapped = sorted(set(metadata.names.values()) - set(kinds))
        if unmapped:
            raise ModelError(f"classes of model {name} are not mapped to kinds (got {unmapped})")
        self.name, self.digest = name, digest
        self.kinds = frozenset(kinds[n] for n in metadata.names.values())
        self._classes = {i: (kinds[n], n) for i, n in metadata.names.items()}
        self._stride = metadata.stride
        self._fixed = None if metadata.dynamic else metadata.imgsz
        self._sides = sides if metadata.dynamic else (max(metadata.imgsz),)
        self._magnification = magnification
        self._session = open_session(content, name=name)
        self._require_suppression()

    def _require_suppression(self) -> None:
        height, width = self._fixed or (self._stride * 2, self._stride * 2)
        outputs = run_session(self._session, np.zeros((1, 3, height, width), np.float32), name=self.name)
        if len(outputs) != 1 or outputs[0].ndim != 3 or outputs[0].shape[2] != _COLUMNS:  # noqa: PLR2004
            shapes = [o.shape for o in outputs]
            raise ModelError(
                f"model {self.name} has no suppression inside (got {shapes}, expected 1 × N × {_COLUMNS})"
            )

    def detect(self, image: Image, *, threshold: float, look: Look = Look.MASKING) -> tuple[Finding, ...]:
        """Find objects of at least ``threshold`` confidence; see ``Detector.detect``."""
        require_rgb(image)
        height, width = image.shape[:2]
        factors = dict.fromkeys(
            min(side / max(width, height), self._magnification) for side in self._sides_of(look)
        )
        seen = mirror(image) if look is Look.RESIDUAL else image
        rows = np.concatenate([self._at_scale(seen, factor, threshold) for factor in factors])
        if look is Look.RESIDUAL:
            rows[:, :4] = mirror_boxes(rows[:, :4], width)
        detector = f"{self.name}@{self.digest[:12]}"
        found = []
        for index in np.unique(rows[:, 5]):
            if int(index) not in self._classes:
                raise ModelError(f"model {self.name} gave an unknown class (got {index})")
            kind, label = self._classes[int(index)]
            mine = rows[rows[:, 5] == index]
            found += [
                to_finding(
                    kind, mine[i, :4], float(mine[i, 4]), size=(width, height), detector=detector, label=label
                )
                for i in suppress(mine[:, :4], mine[:, 4], overlap=_OVERLAP)
            ]
        return tuple(f for f in found if f is not None)

    def detect_batch(
        self, images: Sequence[Image], *, threshold: float, look: Look = Look.MASKING
    ) -> tuple[tuple[Finding, ...], ...]:
        """``detect`` on each image; see ``Detector.detect_batch``."""
        return tuple(self.detect(image, threshold=threshold, look=look) for image in images)

    def _sides_of(self, look: Look) -> tuple[int, ...]:
        """The sides of the look; those of the residual look lie between those of the masking look."""
        if look is Look.MASKING or self._fixed is not None:
            return self._sides
        return tuple(round(side * _BETWEEN) for side in self._sides[1:] or self._sides)

    def _at_scale(self, image: Image, factor: float, threshold: float) -> Floats:
        size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
        padded = pad_to(resample(image, size), self._stride, value=_PADDING)
        if self._fixed is not None:
            room = ((0, self._fixed[0] - padded.shape[0]), (0, self._fixed[1] - padded.shape[1]), (0, 0))
            padded = np.pad(padded, room, constant_values=_PADDING)
        rows = run_session(self._session, to_blob(padded, scale=1 / 255), name=self.name)[0][0]
        rows = rows[(rows[:, 4] >= threshold) & (rows[:, 4] > 0)].copy()
        rows[:, [0, 2]] *= image.shape[1] / size[0]
        rows[:, [1, 3]] *= image.shape[0] / size[1]
        return np.asarray(rows, dtype=np.float32)

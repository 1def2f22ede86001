"""Exported YOLO detection models with suppression inside, for any engine; no torch."""

import ast
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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

_COLUMNS = 6
_MULTIPLE_OF_ALL = 64


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
    free = bool(model.graph.input) and bool(model.graph.input[0].type.tensor_type.shape.dim[2].dim_param)
    return checked_metadata({p.key: p.value for p in model.metadata_props}, name=name, dynamic=free)


def checked_metadata(fields: Mapping[str, Any], *, name: str, dynamic: bool) -> YoloMetadata:
    """Metadata from the fields that an export carries, as text or already decoded.

    Raises:
        ModelError: Task, class names, stride or input size are missing or malformed, or the task is not
            detection.
    """
    missing = sorted({"task", "names", "stride", "imgsz"} - set(fields))
    if missing:
        raise ModelError(f"model {name} lacks metadata (got {sorted(fields)}, expected also {missing})")
    if fields["task"] != "detect":
        raise ModelError(f"model {name} has another task (got {fields['task']!r}, expected 'detect')")
    try:
        names = {int(k): v for k, v in dict(_decoded(fields["names"])).items()}
        height, width = (int(v) for v in _decoded(fields["imgsz"]))
        stride = int(fields["stride"])
    except (ValueError, SyntaxError, TypeError) as error:
        raise ModelError(f"model {name} has malformed metadata: {error}") from error
    if not names or not all(isinstance(v, str) and v for v in names.values()) or stride < 1:
        raise ModelError(f"model {name} has no class names or no stride (got {names!r}, {stride})")
    return YoloMetadata(task="detect", names=names, stride=stride, dynamic=dynamic, imgsz=(height, width))


def _decoded(value: Any) -> Any:
    return ast.literal_eval(value) if isinstance(value, str) else value


class YoloOnnx:
    """A network of the classes that its model names; safe for several threads.

    Weak responses are cut off inside the export, hence every pass sees the whole image.
    """

    padding = 114
    batch = 1
    weakest = None
    overlap = 0.5

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
            content: The model file.
            name: The detector's name.
            sha256: Expected digest of ``content``, hexadecimal.
            kinds: What each class is a finding of; every class must be mapped.
            sizes: Objects of each kind that it finds reliably.
            engine: Who runs it.
            precision: Arithmetic; see ``open_session``.

        Raises:
            ModelError: The digest is wrong, metadata is missing, a class is not mapped, the model has no
                suppression inside, has an unusable stride or does not load.
        """
        digest = hashlib.sha256(content).hexdigest()
        if digest != sha256:
            raise ModelError(f"model {name} has the wrong digest (got {digest}, expected {sha256})")
        metadata = read_metadata(content, name=name)
        unmapped = sorted(set(metadata.names.values()) - set(kinds))
        if unmapped:
            raise ModelError(f"classes of model {name} are not mapped to kinds (got {unmapped})")
        if _MULTIPLE_OF_ALL % metadata.stride:
            raise ModelError(f"model {name} has a stride that does not divide 64 (got {metadata.stride})")
        self.name, self.digest, self.sizes = name, digest, sizes
        self.classes = {i: (kinds[n], n) for i, n in metadata.names.items()}
        self.canvas = None if metadata.dynamic else (metadata.imgsz[1], metadata.imgsz[0])
        self._session = open_session(
            content, name=name, form=InputForm(divisor=255.0), engine=engine, precision=precision
        )
        self.runtime = self._session.runtime
        width, height = self.canvas or (_MULTIPLE_OF_ALL, _MULTIPLE_OF_ALL)
        # An export fills up to so many rows: an image without objects shows how many.
        self._rows = self._run(np.zeros((1, height, width, 3), np.uint8)).shape[1]

    def infer(self, batch: Pixels, *, threshold: float) -> list[Boxes]:
        """See ``Network.infer``."""
        strong = [rows[(rows[:, 4] >= threshold) & (rows[:, 4] > 0)] for rows in self._run(batch)]
        if self._rows and max(map(len, strong), default=0) >= self._rows:
            raise ModelError(
                f"model {self.name} found more than it can tell (got all {self._rows} rows filled)"
            )
        return [
            Boxes(corners=rows[:, :4].copy(), scores=rows[:, 4], classes=rows[:, 5].astype(np.intp))
            for rows in strong
        ]

    def _run(self, batch: Pixels) -> Floats:
        """What the export answers, N × rows × 6: corners, score and class."""
        outputs = self._session.run(batch)
        if len(outputs) != 1 or outputs[0].ndim != 3 or outputs[0].shape[2] != _COLUMNS:  # noqa: PLR2004
            shapes = [o.shape for o in outputs]
            raise ModelError(
                f"model {self.name} has no suppression inside (got {shapes}, expected N × rows × {_COLUMNS})"
            )
        return outputs[0]

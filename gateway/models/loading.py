"""From a model card and its file to a detector that runs; everything is verified on the way, every time."""

from pathlib import Path

import numpy as np

from anonymize.errors import ModelError
from anonymize.media.detection import Detector, Look, Reach
from anonymize.media.inference import Engine
from anonymize.media.model_card import ModelCard
from anonymize.media.named_detector import NamedDetector
from anonymize.profile import ImageProfile
from gateway.models.weights import load_weights, weights_path

_BLANK = (240, 320)


def reach_of(profile: ImageProfile) -> Reach:
    """The smallest objects that a profile wants to be found."""
    sign = profile.limit_sign
    sizes = {"face_px": profile.face.smallest_px, "plate_px": profile.plate.smallest_px}
    return Reach(**sizes) if sign is None else Reach(**sizes, limit_sign_px=sign.smallest_px)


def open_registered(
    home: Path, card: ModelCard, use: str, *, profile: ImageProfile, engine: Engine
) -> Detector:
    """Load a registered model as a detector.

    1. The file in ``home`` has the card's digest. 2. The model loads, is a detector, and has the card's classes
    and no others. 3. It takes the looks that its use says.

    Raises:
        ModelError: Step 1 or 2 fails.
    """
    load_weights(home, card)  # 1
    detector = open_card(weights_path(home, card), card, profile=profile, engine=engine)  # 2
    return NamedDetector(detector, name=card.name, looks=looks_of(use))  # 3


def looks_of(use: str) -> tuple[Look, ...]:
    """The looks that a model of this use takes."""
    return tuple(Look) if use == "both" else (Look(use),)


def open_card(file: Path, card: ModelCard, *, profile: ImageProfile, engine: Engine) -> Detector:
    """Load a model file as its card describes it.

    Raises:
        ModelError: The file is missing, altered, of another task or architecture, or has a class that the card
            does not map.
    """
    # Imported here: it brings the inference engines, and commands that never look at images need none.
    from anonymize.media.architectures import open_detector  # noqa: PLC0415

    detector = open_detector(
        card.architecture,
        file,
        name=card.name,
        sha256=card.sha256,
        classes=card.classes,
        sides=card.sides,
        reach=reach_of(profile),
        engine=engine,
    )
    if detector.kinds != set(card.classes.values()):
        raise ModelError(
            f"{card.name} has not all classes of its card (got {sorted(detector.kinds)}, "
            f"expected {sorted(set(card.classes.values()))})"
        )
    return detector


def run_blank(detector: Detector) -> None:
    """Run a detector over a grey image in both looks.

    Raises:
        ModelError: It fails, or is sure to see something where nothing is.
    """
    blank = np.full((*_BLANK, 3), 128, dtype=np.uint8)
    for look in Look:
        try:
            found = detector.detect(blank, threshold=0.5, look=look)
        except Exception as error:
            raise ModelError(f"{detector.name} cannot be run on a grey image: {error!r}") from error
        if found:
            raise ModelError(
                f"{detector.name} finds things in a grey image (got {len(found)}, expected none)"
            )

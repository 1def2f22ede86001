"""How light a picture is: the one measure by which evaluation and image facts tell day from night.

The measure is the median Rec. 709 luma of the picture as stored (gamma-coded, 0 to 255). A median ignores
the few bright pixels of headlamps. It says how much light the picture shows, not what time it was: a black car
that fills a daylight photograph is ``dusk``, and a camera that brightens a lit street at night may be ``day``.
"""

from typing import Literal

import numpy as np

from anonymize.media.detection import Image

Light = Literal["day", "dusk", "night"]

NIGHT_BELOW = 36.0
DAY_FROM = 60.0

_REC709 = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
_SAMPLES = 1 << 18


def median_luma(image: Image) -> float:
    """Median Rec. 709 luma, 0 (black) to 255; large images are sampled on a regular lattice.

    Args:
        image: H × W × 3, RGB.

    Raises:
        ValueError: The array is no non-empty RGB image of bytes.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:  # noqa: PLR2004
        raise ValueError(f"luminance needs H×W×3 uint8 (got {image.shape} {image.dtype})")
    step = max(1, int((image.shape[0] * image.shape[1] / _SAMPLES) ** 0.5))
    return float(np.median(image[::step, ::step].astype(np.float32) @ _REC709))


def light_of(image: Image) -> Light:
    """``night`` below a median luma of 36, ``day`` from 60 on, ``dusk`` between; see ``median_luma``."""
    luma = median_luma(image)
    if luma < NIGHT_BELOW:
        return "night"
    return "day" if luma >= DAY_FROM else "dusk"

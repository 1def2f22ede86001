"""Where pixels of an image were destroyed, as a file of its own: for the losses of training, which skip them."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

MASK_MEDIA_TYPE = "image/png"


def encode_mask(mask: NDArray[np.bool_]) -> bytes:
    """A 1-bit PNG without any metadata, white where ``mask`` is true.

    Args:
        mask: H × W.

    Raises:
        ValueError: The array is no non-empty array of truth values of two dimensions.
    """
    if mask.dtype != np.bool_ or mask.ndim != 2 or 0 in mask.shape:  # noqa: PLR2004
        raise ValueError(f"a mask is H×W of truth values (got {mask.shape} {mask.dtype})")
    # Pillow's own conversion from bool needs a byte a pixel twice; packed bits are what mode 1 holds anyway.
    packed = np.packbits(mask, axis=1).tobytes()
    picture = PillowImage.frombytes("1", (mask.shape[1], mask.shape[0]), packed)
    out = io.BytesIO()
    picture.save(out, format="PNG")
    return out.getvalue()


def decode_mask(content: bytes) -> NDArray[np.bool_]:
    """The mask in a file that ``encode_mask`` wrote.

    Raises:
        ValueError: The file is no 1-bit PNG.
    """
    try:
        with PillowImage.open(io.BytesIO(content), formats=["PNG"]) as picture:
            if picture.mode != "1":
                raise ValueError(f"a mask is a 1-bit PNG (got mode {picture.mode!r})")
            return np.array(picture, dtype=np.bool_)
    except OSError as error:
        raise ValueError(f"a mask is a 1-bit PNG ({error})") from error

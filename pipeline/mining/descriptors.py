"""What a picture looks like, in numbers: perceptual hash, colour and gradients, brightness, sharpness.

No network and no training: pHash (imagehash) survives JPEG, scale and masks; histograms of colour and of oriented
gradients (scikit-image) survive small crops and shifts.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from scipy.ndimage import label  # type: ignore[import-untyped]
from skimage.feature import hog

from pipeline.mining.errors import UnreadableItemError

HASH_BITS: Final = 64
LOOK_VERSION: Final = 1
"""Raised when looks are measured in another way."""
SIDE: Final = 128
MAX_PIXELS: Final = 200_000_000
DESCRIPTOR_LENGTH: Final = 288 + 128

_BINS: Final = (8, 4, 4)
FloatVector = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """A picture in numbers.

    Attributes:
        width: Pixels.
        height: Pixels.
        hash: Its perceptual hash, 64 bits.
        descriptor: Gradients and colours, of length 1.
        brightness: Mean luma of what is not masked, 0 to 1.
        dark_share: Share of what is not masked that is darker than 0.2.
        sharpness: Variance of the Laplacian of luma (0 to 255) at 512 pixels of width, outside masks.
        masked_places: Connected places of the mask beside it; None where there is no mask.
        masked_share: Share of pixels that are masked; None where there is no mask.
    """

    width: int
    height: int
    hash: int
    descriptor: FloatVector
    brightness: float
    dark_share: float
    sharpness: float
    masked_places: int | None
    masked_share: float | None


def look_at(content: bytes, mask: bytes | None, *, item: str) -> Look:
    """Decode a picture and measure it.

    Args:
        content: The picture.
        mask: The 1-bit PNG beside it, white where pixels were destroyed.
        item: Its name, for errors.

    Raises:
        UnreadableItemError: It is no picture, its mask is none, or is of another size.
    """
    picture = decoded_picture(content, item)
    covered = None if mask is None else np.asarray(decoded_picture(mask, f"{item} (mask)").convert("L")) > 0
    if covered is not None and covered.shape != (picture.height, picture.width):
        raise UnreadableItemError(
            f"mask of {item!r} (got {covered.shape}, expected {(picture.height, picture.width)})"
        )
    luma = np.asarray(picture.convert("L"), dtype=np.float32)
    clear = luma[~covered] if covered is not None and not covered.all() else luma.ravel()
    places, share = _places(covered)
    return Look(
        width=picture.width,
        height=picture.height,
        hash=int(str(imagehash.phash(picture)), 16),
        descriptor=_descriptor(picture),
        brightness=float(clear.mean() / 255.0),
        dark_share=float((clear < 0.2 * 255.0).mean()),
        sharpness=_sharpness(picture, covered),
        masked_places=places,
        masked_share=share,
    )


def look_to_json(look: Look) -> bytes:
    """A look as bytes."""
    numbers = {name: getattr(look, name) for name in _NUMBERS}
    return json.dumps(numbers | {"descriptor": look.descriptor.tobytes().hex()}).encode()


def look_from_json(content: bytes) -> Look:
    """The look that ``look_to_json`` wrote."""
    read = json.loads(content)
    descriptor = np.frombuffer(bytes.fromhex(read.pop("descriptor")), np.float32)
    return Look(descriptor=descriptor, **read)


_NUMBERS: Final = (
    "width",
    "height",
    "hash",
    "brightness",
    "dark_share",
    "sharpness",
    "masked_places",
    "masked_share",
)


def distance(one: int, other: int) -> int:
    """Bits in which two hashes differ."""
    return (one ^ other).bit_count()


def decoded_picture(content: bytes, item: str) -> Image.Image:
    """A picture in RGB.

    Raises:
        UnreadableItemError: It is none, or has more than ``MAX_PIXELS``; ``item`` is its name there.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise UnreadableItemError(
                    f"{item!r} (got {picture.width}×{picture.height}, expected at most {MAX_PIXELS} pixels)"
                )
            return picture.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableItemError(f"{item!r} is no picture: {error}") from error


def _descriptor(picture: Image.Image) -> FloatVector:
    small = picture.resize((SIDE, SIDE), Image.Resampling.BOX)
    gradients = hog(
        np.asarray(small.convert("L")),
        orientations=8,
        pixels_per_cell=(32, 32),
        cells_per_block=(2, 2),
        feature_vector=True,
    )
    colours, _ = np.histogramdd(
        np.asarray(small.convert("HSV")).reshape(-1, 3), bins=_BINS, range=[(0, 256)] * 3
    )
    # The root of a histogram compares by Hellinger's distance, which a few dominant colours do not decide.
    parts = [_unit(gradients), _unit(np.sqrt(colours.ravel()))]
    joined: FloatVector = (np.concatenate(parts) / np.sqrt(2.0)).astype(np.float32)
    return joined


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else np.full(len(vector), 1.0 / np.sqrt(len(vector)))


def _sharpness(picture: Image.Image, covered: NDArray[np.bool_] | None) -> float:
    size = (512, max(3, round(512 * picture.height / picture.width)))
    luma = np.asarray(picture.convert("L").resize(size, Image.Resampling.BOX), dtype=np.float32)
    inner = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * inner
    if covered is not None:
        shown = Image.fromarray(covered.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
        kept = np.asarray(shown)[1:-1, 1:-1] == 0
        laplacian = laplacian[kept] if kept.any() else laplacian
    return float(laplacian.var())


def _places(covered: NDArray[np.bool_] | None) -> tuple[int | None, float | None]:
    if covered is None:
        return None, None
    _, count = label(covered)
    return int(count), float(covered.mean())


def describe(looks: Mapping[str, Look]) -> NDArray[np.float32]:
    """The descriptors of pictures, one in a row."""
    if not looks:
        return np.zeros((0, DESCRIPTOR_LENGTH), np.float32)
    return np.stack([look.descriptor for look in looks.values()])

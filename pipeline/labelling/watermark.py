"""Who looks and when, blended into the pixels of a picture before it leaves the label server.

The mark is a tiling of text over the whole picture, turned. It is lighter than what lies behind it where that is
dark, and darker where it is bright, by a step that grows with the texture around, so it can be read on sky,
asphalt and leaves and hides nothing. It can be painted over by whoever wants to; it tells where a copy came from,
and prevents none.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from pipeline.labelling.errors import PictureError

LEAST_STEP: Final = 24
"""By how many of 255 levels the mark departs from what lies behind it, on plain ground."""
MOST_STEP: Final = 60
"""The same on the roughest ground."""
JPEG_QUALITY: Final = 92
MAX_PIXELS: Final = 100_000_000
_PER_TEXTURE: Final = 0.7
_TURN: Final = 18
_MIDDLE: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPicture:
    """A picture that carries its mark.

    Attributes:
        content: JPEG.
        width: Pixels, those of the released picture.
        height: The same.
    """

    content: bytes
    width: int
    height: int


def picture_size(content: bytes) -> tuple[int, int]:
    """Width and height of a picture in pixels, as its header states them.

    Raises:
        PictureError: It is no picture, or a larger one than is shown.
    """
    try:
        with Image.open(io.BytesIO(content)) as opened:
            size = opened.size
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise PictureError(f"it is no picture that can be decoded: {error}") from error
    if size[0] * size[1] > MAX_PIXELS:
        raise PictureError(f"size of the picture (got {size}, expected at most {MAX_PIXELS} pixels)")
    return size


def decoded(content: bytes) -> Image.Image:
    """A released picture as RGB, in the orientation of its pixels.

    Raises:
        PictureError: It is no picture, a larger one than is shown, or broken.
    """
    picture_size(content)
    try:
        with Image.open(io.BytesIO(content)) as opened:
            return opened.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise PictureError(f"the picture cannot be decoded: {error}") from error


def marked(content: bytes, *, person: str, task: str, at: datetime) -> ShownPicture:
    """A released picture with person, task and time blended in.

    Args:
        content: JPEG, PNG or what else Pillow decodes.
        person: Who looks.
        task: Id of the labelling task.
        at: When, with time zone; the mark says it in UTC, to the second.

    Raises:
        PictureError: It cannot be decoded.
    """
    picture = decoded(content)
    lines = (f"{person}  {at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}", task)
    pixels = blended(np.asarray(picture), tiling(picture.size, lines))
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return ShownPicture(content=out.getvalue(), width=picture.width, height=picture.height)


def tiling(size: tuple[int, int], lines: Sequence[str]) -> NDArray[np.float32]:
    """How much of each pixel is text, from 0 to 1: the lines again and again, turned, over the whole picture."""
    width, height = size
    font = _font(max(9, round((width * height) ** 0.5 / 34)))
    text = "\n".join(lines)
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox(
        (0, 0), text, font=font
    )
    step_x, step_y = round(right - left) + 2 * round(font.size), round((bottom - top) * 2.2)
    side = int((width**2 + height**2) ** 0.5) + 2 * step_y
    sheet = Image.new("L", (side, side))
    draw = ImageDraw.Draw(sheet)
    for row, y in enumerate(range(0, side, step_y)):
        for x in range(-(row % 2) * step_x // 2, side, step_x):
            draw.multiline_text((x, y), text, font=font, fill=255)
    turned = sheet.rotate(_TURN, resample=Image.Resampling.BILINEAR)
    begin_x, begin_y = (side - width) // 2, (side - height) // 2
    cut = turned.crop((begin_x, begin_y, begin_x + width, begin_y + height))
    return np.asarray(cut, dtype=np.float32) / np.float32(255)


def blended(pixels: NDArray[np.uint8], text: NDArray[np.float32]) -> NDArray[np.uint8]:
    """RGB pixels with the text blended in: away from the brightness around, so that it can be read everywhere."""
    grey = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    reach = max(4, min(text.shape) // 60)
    around, square = _blurred(grey, reach), _blurred(grey * grey, reach)
    texture = np.sqrt(np.maximum(square - around * around, 0))
    step = np.clip(LEAST_STEP + np.float32(_PER_TEXTURE) * texture, LEAST_STEP, MOST_STEP)
    shift = np.where(around < _MIDDLE, step, -step) * text
    made: NDArray[np.uint8] = np.clip(pixels + shift[..., None] + np.float32(0.5), 0, 255).astype(np.uint8)
    return made


def _blurred(values: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(values, "F").reduce(reach).resize(values.shape[::-1]), dtype=np.float32)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise PictureError("Pillow was built without FreeType, so no mark can be drawn")
    return font

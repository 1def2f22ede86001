"""A picture reduced and marked all over with who looks at it: for a look at what must not leave as a file."""

import io

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from anonymize.media.detection import Image

LONGEST_PX = 1280
_FONT_PX = 18
_GAP_PX = 60
_ANGLE = 24
_INK = (255, 255, 255, 110)
_SHADE = (0, 0, 0, 110)


def marked_picture(image: Image, *, mark: str) -> bytes:
    """A PNG without metadata: at most ``LONGEST_PX`` on its longer side, ``mark`` across it in slanting rows.

    Every part of the picture that is worth cutting out carries the mark.

    Args:
        image: H × W × 3, RGB.
        mark: A line of ASCII.

    Raises:
        ValueError: The array is no picture, or the mark is empty or no ASCII.
    """
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:  # noqa: PLR2004
        raise ValueError(f"a picture is H×W×3 (got {image.shape})")
    if not mark.strip() or not mark.isascii():
        raise ValueError(f"a mark is a line of ASCII (got {mark!r})")
    picture = PillowImage.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((LONGEST_PX, LONGEST_PX))
    layer = _rows(picture.size, mark)
    marked = PillowImage.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")
    out = io.BytesIO()
    marked.save(out, format="PNG")
    return out.getvalue()


def _rows(size: tuple[int, int], mark: str) -> PillowImage.Image:
    """Rows of the mark over a square that still covers the picture when it is turned."""
    width, height = size
    side = int((width**2 + height**2) ** 0.5) + 2 * _GAP_PX
    square = PillowImage.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(square)
    font = ImageFont.load_default(_FONT_PX)
    step = int(font.getlength(f"{mark}   "))
    for row, y in enumerate(range(0, side, _GAP_PX)):
        for x in range(-(row % 2) * step // 2, side, step):
            draw.text((x + 1, y + 1), mark, fill=_SHADE, font=font)
            draw.text((x, y), mark, fill=_INK, font=font)
    turned = square.rotate(_ANGLE, resample=PillowImage.Resampling.BILINEAR)
    left, top = (side - width) // 2, (side - height) // 2
    return turned.crop((left, top, left + width, top + height))

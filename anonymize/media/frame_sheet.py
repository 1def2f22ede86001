"""One treated picture at its full size, with rulers around it, for a person to count what still shows."""

import io

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from anonymize.media.detection import Image

_GROUND = (24, 24, 24)
_INK = (235, 235, 235)
_TICK = (255, 196, 0)
_MARGIN_PX = 22
_LINE_PX = 16
_FONT_PX = 12
_CELLS = 8


def frame_sheet(image: Image, *, head: str, foot: str) -> bytes:
    """A PNG without metadata: the picture pixel by pixel, nothing drawn over it.

    Rulers outside the picture divide it into cells A1 to H8, so that a place can be named; ``head`` stands above
    it and ``foot`` below, where they say which picture it is, who looks and when.

    Args:
        image: H × W × 3, RGB: the treated image or frame.
        head: A line of ASCII.
        foot: A line of ASCII.

    Raises:
        ValueError: The array is no picture.
    """
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:  # noqa: PLR2004
        raise ValueError(f"a picture is H×W×3 (got {image.shape})")
    height, width = image.shape[:2]
    top = _MARGIN_PX + _LINE_PX
    font = ImageFont.load_default(_FONT_PX)
    wide = max(width, int(max(font.getlength(head), font.getlength(foot))) + _MARGIN_PX)
    size = (wide + 2 * _MARGIN_PX, height + top + _MARGIN_PX + _LINE_PX)
    sheet = PillowImage.new("RGB", size, _GROUND)
    sheet.paste(PillowImage.fromarray(np.ascontiguousarray(image)), (_MARGIN_PX, top))
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN_PX, 2), head, fill=_INK, font=font)
    draw.text((_MARGIN_PX, size[1] - _LINE_PX), foot, fill=_INK, font=font)
    for cell in range(_CELLS + 1):
        x, y = _MARGIN_PX + width * cell // _CELLS, top + height * cell // _CELLS
        draw.line((x, top - 6, x, top - 1), fill=_TICK)
        draw.line((_MARGIN_PX - 6, y, _MARGIN_PX - 1, y), fill=_TICK)
        if cell < _CELLS:
            draw.text((x + width // (2 * _CELLS) - 3, top - 18), "ABCDEFGH"[cell], fill=_TICK, font=font)
            draw.text((4, y + height // (2 * _CELLS) - 6), str(cell + 1), fill=_TICK, font=font)
    out = io.BytesIO()
    sheet.save(out, format="PNG")
    return out.getvalue()

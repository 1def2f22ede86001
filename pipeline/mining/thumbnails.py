"""Small pictures for looking through results, with who looks and when blended in."""

import base64
import io
from datetime import UTC, datetime
from typing import Final

from PIL import Image, ImageDraw, ImageFont

SIDE: Final = 256
_LINES: Final = 4


def watermarked(content: bytes, *, principal: str, release: str, now: datetime) -> bytes:
    """A JPEG of at most 256 pixels a side that carries reader, release and time across its whole area.

    A mark can be painted over by whoever wants to; it tells where a copy came from, and prevents none.

    Args:
        content: A picture that was decoded before.
        principal: Who looks.
        release: Id of the release.
        now: When, with time zone.
    """
    with Image.open(io.BytesIO(content)) as opened:
        opened.draft("RGB", (2 * SIDE, 2 * SIDE))
        picture = opened.convert("RGBA")
    picture.thumbnail((SIDE, SIDE))
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    draw, font = ImageDraw.Draw(layer), ImageFont.load_default(size=12)
    text = f"{principal} {now.astimezone(UTC):%Y-%m-%d %H:%M:%SZ} {release[:8]}"
    for line in range(_LINES):
        place = (4 - 40 * (line % 2), 4 + line * max(16, picture.height // _LINES))
        draw.text(
            place, text, font=font, fill=(255, 255, 255, 120), stroke_width=1, stroke_fill=(0, 0, 0, 120)
        )
    out = io.BytesIO()
    Image.alpha_composite(picture, layer).convert("RGB").save(out, "JPEG", quality=80)
    return out.getvalue()


def data_uri(jpeg: bytes) -> str:
    """The picture as text (RFC 2397)."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"

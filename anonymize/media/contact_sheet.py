"""Contact sheets: masked places of treated images, side by side, for an operator to look over."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from anonymize.finding import Finding, FrameBox, PixelBox
from anonymize.media.detection import Image

_GROUND = (24, 24, 24)
_INK = (235, 235, 235)
_FRAME = (255, 196, 0)
_CAPTION_PX = 11
_LINE_PX = 14
_GAP_PX = 6
_SHORT_ID = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A masked place with some of its surroundings.

    Attributes:
        pixels: h × w × 3, RGB, of the *treated* image, at most as large as a tile.
        box: The detected box in ``pixels``.
        captions: Lines of ASCII below it.
    """

    pixels: Image
    box: PixelBox
    captions: tuple[str, ...]


def crop_of(image: Image, finding: Finding, *, item: str, tile_px: int = 160, around: float = 1.0) -> Crop:
    """Cut a finding's place from a treated image, so that the image itself need not be kept.

    Args:
        image: H × W × 3, RGB: the treated image or frame.
        finding: A finding with a pixel box, or a box in that frame.
        item: Id of the item; its first eight characters are shown.
        tile_px: Width and height of what the place is scaled down to; it is never enlarged by more than four.
        around: How much surroundings to show on each side, as a share of the box's longer side.

    Raises:
        ValueError: The finding has no pixel box, or it lies outside the image.
    """
    where = finding.where.box if isinstance(finding.where, FrameBox) else finding.where
    if not isinstance(where, PixelBox):
        raise ValueError(f"only findings with pixel boxes can be shown (got {type(where).__name__})")  # noqa: TRY004
    height, width = image.shape[:2]
    if not (0 <= where.x0 < where.x1 <= width and 0 <= where.y0 < where.y1 <= height):
        raise ValueError(f"the box does not lie in the image (got {where}, expected inside {width}×{height})")
    margin = max(4, round(max(where.x1 - where.x0, where.y1 - where.y0) * around))
    x0, y0 = max(0, where.x0 - margin), max(0, where.y0 - margin)
    cut = image[y0 : where.y1 + margin, x0 : where.x1 + margin]
    scale = min(4.0, tile_px / max(cut.shape[:2]))
    size = (max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
    shrunk = PillowImage.fromarray(np.ascontiguousarray(cut)).resize(size, PillowImage.Resampling.BILINEAR)
    box = PixelBox(
        x0=round((where.x0 - x0) * scale), y0=round((where.y0 - y0) * scale),
        x1=round((where.x1 - x0) * scale), y1=round((where.y1 - y0) * scale),
    )  # fmt: skip
    frame = f" frame {finding.where.frame}" if isinstance(finding.where, FrameBox) else ""
    captions = (f"{item[:_SHORT_ID]}{frame}", f"{finding.kind.value} {finding.confidence:.2f}")
    return Crop(pixels=np.asarray(shrunk, dtype=np.uint8), box=box, captions=captions)


def contact_sheets(
    crops: Iterable[Crop], *, columns: int = 8, rows: int = 6, tile_px: int = 160, title: str = ""
) -> Iterator[bytes]:
    """Pages of crops in the order given, each a PNG without metadata; one page is in memory at a time.

    Args:
        crops: What to show; read lazily.
        columns: Crops side by side.
        rows: Crops one above the other; ``columns * rows`` make a page.
        tile_px: Width and height of a place, in pixels.
        title: Line at the head of each page, before its number; ASCII.

    Yields:
        PNG; nothing where there is no crop.

    Raises:
        ValueError: A number is not positive, or a crop is larger than a tile.
    """
    if min(columns, rows, tile_px) < 1:
        raise ValueError(f"columns, rows and tile_px are positive (got {(columns, rows, tile_px)})")
    rest = iter(crops)
    page = 0
    while batch := list(islice(rest, columns * rows)):
        page += 1
        yield _page(batch, columns=columns, tile_px=tile_px, head=f"{title} page {page}".strip())


def _page(batch: list[Crop], *, columns: int, tile_px: int, head: str) -> bytes:
    cell_w, cell_h = tile_px + _GAP_PX, tile_px + _GAP_PX + 2 * _LINE_PX
    rows = -(-len(batch) // columns)
    sheet = PillowImage.new(
        "RGB", (columns * cell_w + _GAP_PX, rows * cell_h + _LINE_PX + 2 * _GAP_PX), _GROUND
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_CAPTION_PX)
    draw.text((_GAP_PX, _GAP_PX // 2), head, fill=_INK, font=font)
    for i, crop in enumerate(batch):
        height, width = crop.pixels.shape[:2]
        if max(height, width) > tile_px:
            raise ValueError(f"a crop is larger than a tile (got {width}×{height}, expected {tile_px})")
        x = _GAP_PX + i % columns * cell_w
        y = _LINE_PX + 2 * _GAP_PX + i // columns * cell_h
        sheet.paste(PillowImage.fromarray(crop.pixels), (x, y))
        box = crop.box
        draw.rectangle((x + box.x0 - 1, y + box.y0 - 1, x + box.x1, y + box.y1), outline=_FRAME)
        for line, text in enumerate(crop.captions[:2]):
            draw.text((x, y + tile_px + line * _LINE_PX), text, fill=_INK, font=font)
    out = io.BytesIO()
    sheet.save(out, format="PNG")
    return out.getvalue()

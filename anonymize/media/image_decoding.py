"""Untrusted JPEG and PNG to upright pixels; sizes are checked in the headers before anything is decoded."""

import io
import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.media.detection import Image
from anonymize.media.jpeg_markers import JpegStructure, frame_of, walk_jpeg
from anonymize.media.png_chunks import PngStructure, header_of, walk_png
from anonymize.profile import ImageProfile

ImageKind = Literal["jpeg", "png"]
_MODES = {"RGB": "RGB", "L": "L", "1": "L", "P": "RGB", "CMYK": "RGB", "RGBA": "RGB", "LA": "L", "PA": "RGB"}
_DEPTH = 8

DECODE_ERRORS = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError,
                 ZeroDivisionError, struct.error)  # fmt: skip
"""What Pillow raises on malformed files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedImage:
    """A file whose structure and size were checked; nothing is decoded yet.

    Attributes:
        structure: Its segments or chunks.
        pillow: The lazily decoding reader.
        mode: The mode of its pixels as stored (Pillow's names).
    """

    structure: JpegStructure | PngStructure
    pillow: PillowImage.Image
    mode: str


def open_image(content: bytes, kind: ImageKind, *, profile: ImageProfile) -> OpenedImage:
    """Check structure and size and open the image.

    1. The byte structure is whole. 2. Width and height lie within the profile's limits. 3. Samples have 8
    bits or less. 4. The reader agrees with the header. 5. The pixel mode is one that can be brought to RGB or
    grey.

    The reader is made directly and not by ``PIL.Image.open``: its limit on pixels is a module global, the
    profile's is not.

    Raises:
        MalformedItemError: The file is empty, truncated, of another structure, 0 pixels wide or high,
            animated, or has 16-bit samples or a pixel mode that is not supported.
        LimitExceededError: It is smaller or larger than the profile permits.
    """
    if not content:
        raise MalformedItemError("the image is empty (got 0 bytes)")
    structure: JpegStructure | PngStructure
    if kind == "jpeg":
        structure = walk_jpeg(content)  # 1
        frame = frame_of(structure)
        width, height, depth = frame.width, frame.height, frame.precision
    else:
        structure = walk_png(content)  # 1
        header = header_of(structure)
        width, height, depth = header.width, header.height, header.depth
    _check_size(width, height, profile)  # 2
    if depth > _DEPTH:  # 3
        raise MalformedItemError(f"samples of more than 8 bits are not supported (got {depth}-bit {kind})")
    try:
        pillow = (JpegImageFile if kind == "jpeg" else PngImageFile)(io.BytesIO(content))
    except DECODE_ERRORS as error:
        raise MalformedItemError(f"the {kind} cannot be opened: {error}") from error
    if pillow.size != (width, height):  # 4
        raise MalformedItemError(
            f"the {kind} contradicts itself (header {width}×{height}, reader {pillow.size})"
        )
    if pillow.mode not in _MODES:  # 5
        raise MalformedItemError(
            f"pixel mode is not supported (got {pillow.mode!r}, expected one of {sorted(_MODES)})"
        )
    return OpenedImage(structure=structure, pillow=pillow, mode=pillow.mode)


def _check_size(width: int, height: int, profile: ImageProfile) -> None:
    if width == 0 or height == 0:
        raise MalformedItemError(f"the image has no pixels (got {width}×{height})")
    if min(width, height) < profile.min_side_px:
        expected = f"expected at least {profile.min_side_px} pixels a side"
        raise LimitExceededError(f"the image is too small (got {width}×{height}, {expected})")
    if max(width, height) > profile.max_side_px or width * height > profile.max_pixels:
        expected = f"expected at most {profile.max_side_px} pixels a side and {profile.max_pixels} in all"
        raise LimitExceededError(f"the image is too large (got {width}×{height}, {expected})")


def decode_upright(opened: OpenedImage) -> tuple[Image, bool]:
    """Decode to upright RGB; also whether the pixels were grey.

    Palettes and CMYK are converted, transparency is flattened onto black: what is released is what detectors
    saw.

    Raises:
        MalformedItemError: The data are truncated or corrupt.
    """
    try:
        opened.pillow.load()
        upright = ImageOps.exif_transpose(opened.pillow)
        if upright.mode == "P" or upright.mode.endswith("A"):
            clear = upright.convert("RGBA")
            ground = PillowImage.new("RGBA", clear.size, (0, 0, 0, 255))
            flat = PillowImage.alpha_composite(ground, clear)
        else:
            flat = upright
        grey = _MODES[opened.mode] == "L"
        return np.asarray(flat.convert("RGB"), dtype=np.uint8), grey
    except DECODE_ERRORS as error:
        raise MalformedItemError(f"the image cannot be decoded: {error}") from error


def encode(image: Image, kind: ImageKind, *, grey: bool, quality: int) -> bytes:
    """Encode pixels and nothing else.

    Args:
        image: H × W × 3, RGB.
        kind: Format of the output.
        grey: Whether to write one component; the three must then be equal.
        quality: JPEG quality, 1 to 95; ignored for PNG.
    """
    pillow = PillowImage.fromarray(image)
    if grey:
        pillow = PillowImage.fromarray(np.ascontiguousarray(image[..., 0]))
    out = io.BytesIO()
    if kind == "jpeg":
        pillow.save(out, format="JPEG", quality=quality)
    else:
        pillow.save(out, format="PNG")
    return out.getvalue()

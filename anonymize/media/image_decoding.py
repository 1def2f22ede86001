"""Untrusted JPEG, PNG and HEIC to upright pixels; sizes are checked in the headers before anything is decoded."""

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
from anonymize.media import exif_structure, heif_boxes, jpeg_entropy
from anonymize.media.detection import Image
from anonymize.media.heif_boxes import HeifStructure, walk_heif
from anonymize.media.jpeg_markers import JpegStructure, frame_of, walk_jpeg
from anonymize.media.png_chunks import PngStructure, header_of, walk_png
from anonymize.profile import ImageProfile

ImageKind = Literal["jpeg", "png", "heic"]
_MODES = {"RGB": "RGB", "L": "L", "1": "L", "P": "RGB", "CMYK": "RGB", "RGBA": "RGB", "LA": "L", "PA": "RGB"}
_DEPTH = 8

DECODE_ERRORS = (OSError, RuntimeError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError,
                 OverflowError, ZeroDivisionError, struct.error)  # fmt: skip
"""What Pillow and its reader of HEIC raise on malformed files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedImage:
    """A file whose structure and size were checked; nothing is decoded yet.

    Attributes:
        structure: Its segments, chunks or boxes.
        pillow: The lazily decoding reader.
        mode: The mode of its pixels as stored (Pillow's names).
    """

    structure: JpegStructure | PngStructure | HeifStructure
    pillow: PillowImage.Image
    mode: str


def released_kind(kind: ImageKind) -> ImageKind:
    """The format in which an image of ``kind`` leaves: its own, and JPEG for HEIC."""
    return "jpeg" if kind == "heic" else kind


def open_image(content: bytes, kind: ImageKind, *, profile: ImageProfile) -> OpenedImage:
    """Check structure and size and open the image.

    1. The byte structure is whole, that of EXIF too. 2. Width and height lie within the profile's limits.
    3. Samples have 8 bits or less. 4. The reader agrees with the header. 5. The pixel mode is one that can be
    brought to RGB or grey.

    The reader is made directly and not by ``PIL.Image.open``: its limit on pixels is a module global, the
    profile's is not. For HEIC it is also what reads the header; libheif bounds what that may cost.

    Raises:
        MalformedItemError: The file is empty, truncated, of another structure, 0 pixels wide or high,
            animated, or has 16-bit samples or a pixel mode that is not supported.
        LimitExceededError: It is smaller or larger than the profile permits.
    """
    if not content:
        raise MalformedItemError("the image is empty (got 0 bytes)")
    if kind == "heic":
        return _open_heif(content, profile)
    structure: JpegStructure | PngStructure
    if kind == "jpeg":
        structure = walk_jpeg(content)  # 1
        frame = frame_of(structure)
        width, height, depth = frame.width, frame.height, frame.precision
    else:
        structure = walk_png(content)  # 1
        header = header_of(structure)
        width, height, depth = header.width, header.height, header.depth
    exif_structure.require_whole(exif_structure.exif_of(structure))
    _check_size(width, height, profile)  # 2
    _check_depth(depth, kind)  # 3
    try:
        pillow = (JpegImageFile if kind == "jpeg" else PngImageFile)(io.BytesIO(content))
    except DECODE_ERRORS as error:
        raise MalformedItemError(f"the {kind} cannot be opened: {error}") from error
    if pillow.size != (width, height):  # 4
        raise MalformedItemError(
            f"the {kind} contradicts itself (header {width}×{height}, reader {pillow.size})"
        )
    _check_mode(pillow.mode)  # 5
    return OpenedImage(structure=structure, pillow=pillow, mode=pillow.mode)


def _open_heif(content: bytes, profile: ImageProfile) -> OpenedImage:
    from pillow_heif import HeifImageFile  # noqa: PLC0415 - loads libheif, which most files do not need

    structure = walk_heif(content)  # 1
    try:
        pillow = HeifImageFile(io.BytesIO(content))  # type: ignore[no-untyped-call]
    except DECODE_ERRORS as error:
        raise MalformedItemError(f"the heic cannot be opened: {error}") from error
    exif_structure.require_whole((pillow.info.get("exif") or b"").removeprefix(exif_structure.PREFIX))
    _check_size(*pillow.size, profile)  # 2
    _check_depth(pillow.info["bit_depth"], "heic")  # 3
    _check_mode(pillow.mode)  # 5
    return OpenedImage(structure=structure, pillow=pillow, mode=pillow.mode)


def _check_depth(depth: int, kind: ImageKind) -> None:
    if depth > _DEPTH:
        raise MalformedItemError(f"samples of more than 8 bits are not supported (got {depth}-bit {kind})")


def _check_mode(mode: str) -> None:
    if mode not in _MODES:
        raise MalformedItemError(
            f"pixel mode is not supported (got {mode!r}, expected one of {sorted(_MODES)})"
        )


def require_whole(content: bytes, opened: OpenedImage, *, profile: ImageProfile) -> None:
    """Refuse an image whose coded data are damaged, where its decoder would paint over that.

    PNG needs nothing here: its checksums were read with its structure, and Pillow refuses what does not
    inflate to all rows.

    Raises:
        MalformedItemError: The data are damaged, as far as that can be told.
        LimitExceededError: A HEIC holds more images than a file may have.
    """
    if isinstance(opened.structure, JpegStructure):
        jpeg_entropy.require_whole(content, opened.structure)
    elif isinstance(opened.structure, HeifStructure):
        heif_boxes.require_whole(content, max_pixels=profile.max_pixels)


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
        size = opened.pillow.size
        opened.pillow.load()
        if opened.pillow.size != size:
            raise MalformedItemError(
                f"the image contradicts itself (header {size}, pixels {opened.pillow.size})"
            )
        # In place, and without conversions to the same mode: a panorama has few copies to spare.
        ImageOps.exif_transpose(opened.pillow, in_place=True)
        flat = opened.pillow
        if flat.mode == "P" or flat.mode.endswith("A"):
            clear = flat.convert("RGBA")
            ground = PillowImage.new("RGBA", clear.size, (0, 0, 0, 255))
            flat = PillowImage.alpha_composite(ground, clear)
        if flat.mode != "RGB":
            flat = flat.convert("RGB")
        return np.asarray(flat, dtype=np.uint8), _MODES[opened.mode] == "L"
    except DECODE_ERRORS as error:
        raise MalformedItemError(f"the image cannot be decoded: {error}") from error


def encode(image: Image, kind: ImageKind, *, grey: bool, quality: int) -> bytes:
    """Encode pixels and nothing else.

    Args:
        image: H × W × 3, RGB.
        kind: Format of the original; see ``released_kind``.
        grey: Whether to write one component; the three must then be equal.
        quality: JPEG quality, 1 to 95; ignored for PNG.
    """
    pillow = PillowImage.fromarray(np.ascontiguousarray(image[..., 0]) if grey else image)
    out = io.BytesIO()
    if released_kind(kind) == "jpeg":
        pillow.save(out, format="JPEG", quality=quality)
    else:
        pillow.save(out, format="PNG")
    return out.getvalue()

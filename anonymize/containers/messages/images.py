"""Images: sensor_msgs/Image and CompressedImage, foxglove.RawImage and CompressedImage.

Compressed images stay in their format. Raw pixels go through the treatment as PNG, which loses nothing, and
come back in the same encoding and size.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from anonymize.containers.tree import Fields
from anonymize.errors import MalformedItemError
from anonymize.finding import Treated

ImageKind = Literal["jpeg", "png", "heic"]
Images = Callable[[bytes, ImageKind], Treated]

_MAGIC: tuple[tuple[bytes, ImageKind], ...] = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"))
_MEDIA = {"jpeg": "image/jpeg", "png": "image/png"}
_CHANNELS = {"rgb8": 3, "bgr8": 3, "mono8": 1, "8UC1": 1, "8UC3": 3, "rgba8": 4, "bgra8": 4}
_REVERSED = frozenset({"bgr8", "8UC3", "bgra8"})
_COLOURS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TreatedImage:
    """The message as it leaves, None when the image was dropped, and what the treatment of the file said."""

    fields: Fields | None
    treated: Treated


def treat_image(fields: Fields, images: Images) -> TreatedImage:
    """Treat the image of a message as a file is treated.

    Raises:
        MalformedItemError: It is neither JPEG nor PNG, nor raw pixels of 8 bits in a known order; or the
            treatment gave back another format or, for raw pixels, another size.
    """
    return _raw(fields, images) if "encoding" in fields else _compressed(fields, images)


def image_file(fields: Fields) -> tuple[bytes, ImageKind]:
    """The image of a message as a file: as it is where it is compressed, as PNG where it is raw.

    Raises:
        MalformedItemError: As of ``treat_image``.
    """
    if "encoding" in fields:
        _, pixels = _rows_and_pixels(fields)
        return _png(pixels, str(fields["encoding"])), "png"
    return _compressed_file(fields)


def _compressed_file(fields: Fields) -> tuple[bytes, ImageKind]:
    content = bytes(fields["data"])
    kind = next((kind for magic, kind in _MAGIC if content.startswith(magic)), None)
    if kind is None:
        raise MalformedItemError(f"a compressed image is neither JPEG nor PNG (got {len(content)} bytes)")
    return content, kind


def _compressed(fields: Fields, images: Images) -> TreatedImage:
    content, kind = _compressed_file(fields)
    treated = images(content, kind)
    if treated.dropped:
        return TreatedImage(fields=None, treated=treated)
    if treated.media_type != _MEDIA[kind]:
        raise MalformedItemError(
            f"a treated image changed its format (got {treated.media_type!r}, expected {_MEDIA[kind]!r})"
        )
    return TreatedImage(fields={**fields, "data": _like(fields["data"], treated.content)}, treated=treated)


def _rows_and_pixels(fields: Fields) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The rows of a raw image with their padding, and its pixels as H × W × channels."""
    encoding, height, width = str(fields["encoding"]), int(fields["height"]), int(fields["width"])
    channels = _CHANNELS.get(encoding)
    if channels is None:
        raise MalformedItemError(
            f"raw images of this encoding are not supported "
            f"(got {encoding[:32]!r}, expected one of {sorted(_CHANNELS)})"
        )
    step, data = int(fields["step"]), np.frombuffer(bytes(fields["data"]), np.uint8)
    if step < width * channels or len(data) != step * height or not width * height:
        raise MalformedItemError(
            f"a raw image contradicts itself (got {len(data)} bytes for {width}×{height} in steps of {step})"
        )
    rows = data.reshape(height, step)
    return rows, rows[:, : width * channels].reshape(height, width, channels)


def _raw(fields: Fields, images: Images) -> TreatedImage:
    encoding, (rows, pixels) = str(fields["encoding"]), _rows_and_pixels(fields)
    height, width, channels = pixels.shape
    treated = images(_png(pixels, encoding), "png")
    facts = {k: v for k, v in treated.facts.items() if k != "converted_from"}
    if treated.dropped:
        return TreatedImage(fields=None, treated=replace(treated, facts=facts))
    masked = _pixels(treated.content, pixels, encoding)
    made = np.zeros_like(rows)
    made[:, : width * channels] = masked.reshape(height, -1)
    return TreatedImage(
        fields={**fields, "data": _like(fields["data"], made.tobytes())},
        treated=replace(treated, facts=facts),
    )


def _png(pixels: NDArray[np.uint8], encoding: str) -> bytes:
    flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., :_COLOURS]
    if encoding in _REVERSED and flat.ndim == _COLOURS:
        flat = flat[..., ::-1]
    out = io.BytesIO()
    PillowImage.fromarray(np.ascontiguousarray(flat)).save(out, format="PNG", compress_level=1)
    return out.getvalue()


def _pixels(png: bytes, before: NDArray[np.uint8], encoding: str) -> NDArray[np.uint8]:
    with PillowImage.open(io.BytesIO(png), formats=("PNG",)) as opened:
        decoded = np.asarray(opened.convert("L" if before.shape[2] == 1 else "RGB"), dtype=np.uint8)
    if decoded.shape[:2] != before.shape[:2]:
        raise MalformedItemError(
            f"a treated image changed its size (got {decoded.shape[:2]}, expected {before.shape[:2]})"
        )
    if before.shape[2] == 1:
        return decoded[..., None]
    colours = decoded[..., ::-1] if encoding in _REVERSED else decoded
    if before.shape[2] == _COLOURS:
        return colours
    # What an alpha channel shows of a masked pixel is not known: it becomes opaque everywhere.
    return np.concatenate([colours, np.full((*colours.shape[:2], 1), 255, np.uint8)], axis=2)


def _like(before: Any, content: bytes) -> Any:
    return np.frombuffer(content, np.uint8) if isinstance(before, np.ndarray) else content

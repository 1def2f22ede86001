"""HEIC as its bytes: the boxes of the file, and whether its coded data are whole (ISO/IEC 23008-12, 14496-12)."""

import io
from dataclasses import dataclass

import av

from anonymize.errors import LimitExceededError, MalformedItemError

BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
"""Brands of HEIF files, of which the coding is HEVC unless libheif says otherwise."""

_HEADER, _LARGE_HEADER = 8, 16
_PIXEL_BOXES = frozenset({b"ftyp", b"meta", b"mdat", b"free", b"skip"})
_KNOWN = {
    b"moov": "heif.sequence",
    b"moof": "heif.sequence",
    b"uuid": "heif.uuid",
    b"mpvd": "heif.motion_video",
}
_MAX_STREAMS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class HeifStructure:
    """The boxes of a file.

    Attributes:
        brand: Major brand.
        others: Names from a closed vocabulary of the boxes that a still image does not need, in order.
    """

    brand: str
    others: tuple[str, ...]


def is_heif(content: bytes) -> bool:
    """Whether the file begins with a file-type box of a HEIF brand, major or compatible."""
    size = int.from_bytes(content[:4], "big")
    if content[4:8] != b"ftyp" or not _LARGE_HEADER <= size <= len(content):
        return False
    compatible = {content[i : i + 4] for i in range(_LARGE_HEADER, size, 4)}
    return content[8:12] in BRANDS or (content[8:12] not in {b"avif", b"avis"} and bool(compatible & BRANDS))


def walk_heif(content: bytes) -> HeifStructure:
    """Read all boxes of the file, which must fill it to its last byte.

    Raises:
        MalformedItemError: The file is no HEIF, a box is truncated or too small, or it lacks its description.
    """
    if not is_heif(content):
        raise MalformedItemError(
            f"not a HEIF file (got {content[4:12]!r}, expected 'ftyp' and a known brand)"
        )
    kinds = []
    at = 0
    while at < len(content):
        size, header = int.from_bytes(content[at : at + 4], "big"), _HEADER
        kind = content[at + 4 : at + 8]
        if size == 1:
            size, header = int.from_bytes(content[at + 8 : at + 16], "big"), _LARGE_HEADER
        elif size == 0:
            size = len(content) - at
        if len(kind) != 4 or size < header or at + size > len(content):  # noqa: PLR2004
            raise MalformedItemError(f"HEIF is truncated (box at byte {at} of {len(content)})")
        kinds.append(kind)
        at += size
    if kinds.count(b"meta") != 1:
        raise MalformedItemError(f"HEIF has no single description (got {kinds.count(b'meta')} boxes 'meta')")
    others = tuple(_KNOWN.get(k, "heif.unknown_box") for k in kinds if k not in _PIXEL_BOXES)
    return HeifStructure(brand=content[8:12].decode("latin-1"), others=others)


def require_whole(content: bytes, *, max_pixels: int) -> None:
    """Refuse a HEIC of which an image or tile cannot be decoded; libheif paints over the damage.

    HEVC tells less of its damage than one would wish: what yields valid syntax passes.

    Args:
        content: The file.
        max_pixels: Largest image or tile that is decoded.

    Raises:
        LimitExceededError: There are more images and tiles than a file may have.
        MalformedItemError: FFmpeg finds no image or stops at one.
    """
    options = {"err_detect": "explode+crccheck", "max_pixels": str(max_pixels)}
    decoded = 0
    try:
        with av.open(io.BytesIO(content), mode="r", format="mov") as container:
            streams = container.streams.video
            if len(streams) > _MAX_STREAMS:
                raise LimitExceededError(
                    f"HEIF has too many images (got {len(streams)}, expected at most {_MAX_STREAMS})"
                )
            for stream in streams:
                stream.codec_context.options = options
                stream.codec_context.thread_count = 1
            for packet in container.demux(streams):
                decoded += len(packet.decode())
    except av.error.FFmpegError as error:
        raise MalformedItemError(f"HEIF data are damaged ({error.strerror})") from error
    if not decoded:
        raise MalformedItemError("HEIF data are damaged (got no image)")

"""PNG as its bytes: chunks with checksums, and what follows the image (PNG, third edition)."""

import zlib
from dataclasses import dataclass

from anonymize.errors import MalformedItemError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_OVERHEAD = 12
_HEADER_BYTES = 13
_PIXEL_CHUNKS = frozenset({"IHDR", "PLTE", "tRNS", "IDAT", "IEND"})
_KNOWN = frozenset(
    [
        "tEXt",
        "zTXt",
        "iTXt",
        "eXIf",
        "iCCP",
        "sRGB",
        "gAMA",
        "cHRM",
        "cICP",
        "mDCV",
        "cLLI",
        "sBIT",
        "bKGD",
        "hIST",
        "pHYs",
        "sPLT",
        "tIME",
        "acTL",
        "fcTL",
        "fdAT",
        "caBX",
    ]
)
_ANIMATION = frozenset({"acTL", "fcTL", "fdAT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One chunk: its type and its data."""

    kind: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PngStructure:
    """The chunks up to IEND and the bytes behind it."""

    chunks: tuple[Chunk, ...]
    trailing: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """IHDR: width and height in pixels, bits per sample, colour type."""

    width: int
    height: int
    depth: int
    colour: int


def walk_png(content: bytes) -> PngStructure:
    """Read all chunks up to IEND.

    Raises:
        MalformedItemError: The signature is missing, a chunk is truncated or its checksum is wrong, or IHDR
            is not the first chunk.
    """
    if not content.startswith(_SIGNATURE):
        raise MalformedItemError(f"not a PNG: no signature (got {content[:8].hex()!r})")
    chunks: list[Chunk] = []
    at = len(_SIGNATURE)
    while not chunks or chunks[-1].kind != "IEND":
        length = int.from_bytes(content[at : at + 4], "big")
        end = at + _OVERHEAD + length
        if at + _OVERHEAD > len(content) or end > len(content):
            raise MalformedItemError(f"PNG is truncated (chunk at byte {at} of {len(content)})")
        kind, data = content[at + 4 : at + 8], content[at + 8 : end - 4]
        if zlib.crc32(kind + data) != int.from_bytes(content[end - 4 : end], "big"):
            raise MalformedItemError(f"PNG chunk has a wrong checksum (chunk at byte {at})")
        chunks.append(Chunk(kind=kind.decode("latin-1"), data=data))
        at = end
    if chunks[0].kind != "IHDR" or len(chunks[0].data) != _HEADER_BYTES:
        raise MalformedItemError("PNG does not begin with an IHDR chunk")
    return PngStructure(chunks=tuple(chunks), trailing=content[at:])


def header_of(structure: PngStructure) -> Header:
    """The image header.

    Raises:
        MalformedItemError: The PNG is animated.
    """
    if any(c.kind in _ANIMATION for c in structure.chunks):
        raise MalformedItemError("PNG is animated (expected a single frame)")
    data = structure.chunks[0].data
    return Header(
        width=int.from_bytes(data[0:4], "big"),
        height=int.from_bytes(data[4:8], "big"),
        depth=data[8],
        colour=data[9],
    )


def carries_only_pixels(chunk: Chunk, *, strict: bool = False) -> bool:
    """Whether a chunk is needed for the pixels; ``strict`` is for our own output, which has no palette."""
    if strict:
        return chunk.kind in {"IHDR", "IDAT", "IEND"}
    return chunk.kind in _PIXEL_CHUNKS


def field_name(chunk: Chunk) -> str:
    """A name from a closed vocabulary; chunk types are free bytes, so unknown ones are not repeated."""
    return f"png:{chunk.kind}" if chunk.kind in _KNOWN else "png:unknown"

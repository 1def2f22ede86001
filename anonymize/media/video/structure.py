"""Boxes of MP4 and elements of Matroska, as far as wholeness and an allow-list need them."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from anonymize.errors import MalformedItemError
from anonymize.media.video.container import VideoSource

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_TOP_LEVEL = frozenset(
    {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"sidx", b"ssix", b"styp", b"mfra", b"uuid",
     b"meta", b"pdin", b"prft", b"emsg", b"udta", b"pnot", b"PICT", b"junk", b"mvex"}
)  # fmt: skip
_HEADER, _LARGE_HEADER = 8, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A box of ISO/IEC 14496-12.

    Attributes:
        kind: Its four-character code.
        start: Offset of its header.
        body: Offset of its content.
        end: Offset behind it.
    """

    kind: bytes
    start: int
    body: int
    end: int


def size_of(source: VideoSource) -> int:
    """Bytes of a source, which is left at its end."""
    return source.seek(0, 2)


def boxes(source: VideoSource, start: int, end: int) -> Iterator[Box]:
    """The boxes between two offsets.

    Raises:
        MalformedItemError: A box is longer than what holds it, or shorter than its header.
    """
    while start < end:
        source.seek(start)
        head = source.read(min(_LARGE_HEADER, end - start))
        if len(head) < _HEADER:
            raise MalformedItemError(f"a box is cut short (got {len(head)} bytes at {start})")
        size, kind, body = int.from_bytes(head[:4]), head[4:8], start + _HEADER
        if size == 1 and len(head) == _LARGE_HEADER:
            size, body = struct.unpack(">Q", head[8:16])[0], start + _LARGE_HEADER
        elif size == 0:
            size = end - start
        if start + size > end or size < body - start:
            raise MalformedItemError(
                f"the box {kind!r} is cut short (got {end - start} bytes, expected {size})"
            )
        yield Box(kind=kind, start=start, body=body, end=start + size)
        start += size


def require_whole(source: VideoSource) -> None:
    """Refuse a container whose own lengths reach beyond the file's end; bare streams state none.

    Raises:
        MalformedItemError: The file is empty or cut short, or an MP4 has no ``moov``.
    """
    end = size_of(source)
    source.seek(0)
    head = source.read(12)
    if not head:
        raise MalformedItemError("the video is empty (got 0 bytes)")
    if head[4:8] in _TOP_LEVEL:
        kinds = {box.kind for box in boxes(source, 0, end)}
        if b"moov" not in kinds:
            raise MalformedItemError(f"an MP4 has a moov box (got {sorted(kinds)})")
    elif head[:4] == _EBML.to_bytes(4):
        _require_whole_matroska(source, end)


def _require_whole_matroska(source: VideoSource, end: int) -> None:
    offset, seen = 0, False
    while offset < end:
        source.seek(offset)
        head = source.read(12)
        marker, header = _vint(head, keep_marker=True)
        size, more = _vint(head[header:], keep_marker=False)
        header += more
        unknown = size == (1 << 7 * more) - 1
        if not unknown and offset + header + size > end:
            raise MalformedItemError(
                f"a Matroska element is cut short (got {end - offset} bytes, expected {size})"
            )
        seen |= marker == _SEGMENT
        offset = end if unknown else offset + header + size
    if not seen:
        raise MalformedItemError("a Matroska file has a segment (got none)")


def _vint(head: bytes, *, keep_marker: bool) -> tuple[int, int]:
    length = 9 - head[0].bit_length() if head else 9
    if length > 8 or len(head) < length:  # noqa: PLR2004 - RFC 8794, section 4
        raise MalformedItemError("a Matroska element has no valid length")
    value = int.from_bytes(head[:length])
    return (value if keep_marker else value & (1 << 7 * length) - 1), length

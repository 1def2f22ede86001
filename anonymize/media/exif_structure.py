"""EXIF as its bytes: directories whose entries all lie inside the block (EXIF 2.32, 4.6.2; TIFF 6.0, section 2).

Pillow skips what it cannot read and warns, so that a position in a damaged block would read as none.
"""

from collections.abc import Sequence

from PIL import TiffTags

from anonymize.errors import MalformedItemError
from anonymize.media.jpeg_markers import JpegStructure
from anonymize.media.png_chunks import PngStructure

PREFIX = b"Exif\x00\x00"
_APP1 = 0xE1
_ORDERS = {b"II*\x00": "little", b"MM\x00*": "big"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
_ONE_VALUE = frozenset({1, 2, 7, 129})
"""Types whose values together are one text or one run of bytes."""
_INLINE = 4
_ENTRY = 12
_EXIF, _GPS, _INTEROPERABILITY = 0x8769, 0x8825, 0xA005
_POINTERS = frozenset({_EXIF, _GPS, _INTEROPERABILITY})
_POINTER_TYPES = frozenset({4, 13})
_MAKER_NOTE = 0x927C
_MAIN = None
"""Group of the tags of the main directory and of the thumbnail's, in Pillow's tables."""


def exif_of(structure: JpegStructure | PngStructure) -> bytes:
    """The EXIF block of a file, without the prefix that JPEG puts before it; empty where there is none.

    Several APP1 segments are one block, as readers put them together.
    """
    if isinstance(structure, JpegStructure):
        parts: Sequence[bytes] = [
            s.payload for s in structure.segments if s.marker == _APP1 and s.payload.startswith(PREFIX)
        ]
    else:
        parts = [c.data for c in structure.chunks if c.kind == "eXIf"]
    return b"".join(p.removeprefix(PREFIX) for p in parts)


def require_whole(block: bytes) -> None:
    """Refuse a block of which a reader would have to skip something.

    1. The header names a byte order and a first directory. 2. Every directory (the main one, Exif, GPS,
    interoperability, thumbnail) lies inside the block; cameras point to one of them twice. 3. Every entry has
    a type of the standard, its value lies inside the block, and it has one value where the standard gives it
    one. What a maker's note holds is its maker's.

    Args:
        block: From the byte order mark on; empty means that there is no EXIF.

    Raises:
        MalformedItemError: One of these does not hold.
    """
    if not block:
        return
    order = _ORDERS.get(block[:4])
    if order is None:
        raise MalformedItemError(
            f"EXIF is damaged: no byte order (got {block[:4].hex()!r}, expected one of "
            f"{[o.hex() for o in _ORDERS]})"
        )
    big = order == "big"
    pending: list[tuple[int, int | None]] = [(_number(block, 4, 4, big=big), _MAIN)]  # 1
    seen = set[tuple[int, int | None]]()
    while pending:
        place = pending.pop()
        if place not in seen:
            seen.add(place)
            pending += _directory(block, *place, big=big)  # 2, 3


def _directory(block: bytes, at: int, group: int | None, *, big: bool) -> list[tuple[int, int | None]]:
    """Check one directory; the offsets of those that it points to, each with the tag that names it."""
    count = _number(block, at, 2, big=big)
    end = at + 2 + count * _ENTRY
    following = _number(block, end, 4, big=big)
    found: list[tuple[int, int | None]] = [(following, _MAIN)] if following else []
    held = 0
    for entry in range(at + 2, end, _ENTRY):
        tag, kind = _number(block, entry, 2, big=big), _number(block, entry + 2, 2, big=big)
        values, where = _number(block, entry + 4, 4, big=big), _number(block, entry + 8, 4, big=big)
        if kind not in _SIZES and tag != _MAKER_NOTE:
            raise MalformedItemError(
                f"EXIF is damaged: tag {tag:#06x} has an unknown type (got {kind}, expected one of "
                f"{sorted(_SIZES)})"
            )
        size = values * _SIZES.get(kind, 1)
        held += size if size > _INLINE else 0
        if size > _INLINE and (where + size > len(block) or held > len(block)):
            raise MalformedItemError(
                f"EXIF is damaged: the value of tag {tag:#06x} lies outside the block (got {size} bytes at "
                f"byte {where} of {len(block)})"
            )
        if values > 1 and kind not in _ONE_VALUE and TiffTags.lookup(tag, group).length == 1:
            raise MalformedItemError(
                f"EXIF is damaged: tag {tag:#06x} has too many values (got {values}, expected 1)"
            )
        if tag in _POINTERS and values:  # a camera writes a pointer of no value where it has no position
            if kind not in _POINTER_TYPES or values != 1:
                raise MalformedItemError(
                    f"EXIF is damaged: tag {tag:#06x} is no pointer (got {values} of type {kind})"
                )
            found.append((where, tag))
    return found


def _number(block: bytes, at: int, size: int, *, big: bool) -> int:
    if at + size > len(block):
        raise MalformedItemError(f"EXIF is damaged: it ends at byte {len(block)} (expected {at + size})")
    return int.from_bytes(block[at : at + size], "big" if big else "little")

"""The key-length-value structure of GPMF telemetry, walked strictly.

Source: GoPro's GPMF introduction: a key of four characters, a type, the size of a structure, the number of
structures (big-endian), and the content, padded to four bytes; type 0 nests.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from anonymize.errors import MalformedItemError
from anonymize.geo.ellipsoid import FloatArray

_HEAD = struct.Struct(">4sBBH")
_ALIGNMENT = 4
_DEEPEST = 8
_NESTED, _COMPLEX = 0, ord("?")
# Sizes in bytes of one value; F, G and U are a key, an identifier and a time.
_SIZES = {
    **{ord(c): 1 for c in "bBc"},
    **{ord(c): 2 for c in "sS"},
    **{ord(c): 4 for c in "lLfFq"},
    **{ord(c): 8 for c in "jJdQ"},
    ord("G"): 16,
    ord("U"): 16,
}
_NUMBERS = {"b": ">i1", "B": ">u1", "s": ">i2", "S": ">u2", "l": ">i4", "L": ">u4", "f": ">f4", "d": ">f8",
            "j": ">i8", "J": ">u8"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element.

    Attributes:
        key: Four characters.
        type: The character that names the type of its values; empty where it nests.
        size: Bytes of one structure.
        content: The structures, without padding.
    """

    key: str
    type: str
    size: int
    content: bytes

    @property
    def nests(self) -> bool:
        """Whether the content is elements."""
        return not self.type

    def numbers(self) -> FloatArray:
        """All values of a numeric element in order.

        Raises:
            MalformedItemError: The type is none of numbers.
        """
        if self.type not in _NUMBERS:
            raise MalformedItemError(f"{self.key} holds no numbers (got type {self.type!r})")
        return np.frombuffer(self.content, dtype=_NUMBERS[self.type]).astype(np.float64)


def elements(content: bytes, *, depth: int = 0) -> Iterator[Element]:
    """The elements of a sample, or of an element that nests; zeros at the end are padding.

    Raises:
        MalformedItemError: An element is cut short, its key is no text, its type unknown, its structures of
            another size than its type, or elements nest too deeply.
    """
    if depth > _DEEPEST:
        raise MalformedItemError(f"GPMF nests too deeply (got more than {_DEEPEST})")
    at = 0
    while at < len(content):
        if not any(content[at:]):
            return
        if len(content) - at < _HEAD.size:
            raise MalformedItemError(f"a GPMF element is cut short (got {len(content) - at} bytes)")
        raw, kind, size, repeat = _HEAD.unpack_from(content, at)
        key = raw.decode("latin-1")
        if not (key.isascii() and key.isprintable()):
            raise MalformedItemError(f"a GPMF key is no text (got {raw!r})")
        begin, end = at + _HEAD.size, at + _HEAD.size + size * repeat
        if end > len(content):
            raise MalformedItemError(
                f"the GPMF element {key!r} is cut short (got {len(content) - begin} bytes, "
                f"expected {size * repeat})"
            )
        _check_type(key, kind, size)
        yield Element(
            key=key, type=chr(kind) if kind != _NESTED else "", size=size, content=content[begin:end]
        )
        at = end + -end % _ALIGNMENT


def _check_type(key: str, kind: int, size: int) -> None:
    if kind in {_NESTED, _COMPLEX}:
        return
    if kind not in _SIZES:
        raise MalformedItemError(f"the GPMF element {key!r} has an unknown type (got {kind:#04x})")
    if size % _SIZES[kind]:
        raise MalformedItemError(
            f"the GPMF element {key!r} has structures of a wrong size "
            f"(got {size} bytes, expected a multiple of {_SIZES[kind]})"
        )

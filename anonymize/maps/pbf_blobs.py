"""The frame of OSM PBF: a sequence of length, blob header and blob (OSM wiki, PBF Format, File format)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from anonymize.errors import MalformedItemError

_LENGTH_BYTES = 4
_HEADER_MAX = 64 * 1024
_BLOB_MAX = 32 * 1024 * 1024
_KEY_TYPE, _KEY_INDEX, _KEY_SIZE = 0x0A, 0x12, 0x18
_TYPES = (b"OSMHeader", b"OSMData")
_VARINT_BYTES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """One blob: ``frame`` is its length and header, ``body`` the blob message."""

    header: bool
    frame: bytes
    body: bytes


def read_blobs(file: BinaryIO) -> Iterator[Blob]:
    """The blobs of a file from where it stands; the first, and no other, is the header.

    Raises:
        MalformedItemError: The file is truncated, a length is beyond the format's limits, a type is unknown.
    """
    number = 0
    while length := file.read(_LENGTH_BYTES):
        size = int.from_bytes(length, "big") if len(length) == _LENGTH_BYTES else 0
        if not 0 < size <= _HEADER_MAX:
            raise MalformedItemError(
                f"blob {number}: length of the header is impossible (got {size}, expected 1 to {_HEADER_MAX})"
            )
        head = _exactly(file, size, number)
        kind, body_size = _header(head, number)
        if kind not in _TYPES or (kind == _TYPES[0]) != (number == 0):
            raise MalformedItemError(
                f"blob {number}: unexpected type (got {kind[:20]!r}, expected {_TYPES[number > 0]!r})"
            )
        if not 0 < body_size <= _BLOB_MAX:
            raise MalformedItemError(
                f"blob {number}: size is impossible (got {body_size}, expected 1 to {_BLOB_MAX})"
            )
        body = _exactly(file, body_size, number)
        yield Blob(header=number == 0, frame=length + head, body=body)
        number += 1
    if number == 0:
        raise MalformedItemError("the PBF file is empty (got 0 blobs)")


def _exactly(file: BinaryIO, size: int, number: int) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise MalformedItemError(f"blob {number}: truncated (got {len(content)} bytes, expected {size})")
    return content


def _header(head: bytes, number: int) -> tuple[bytes, int]:
    kind, size, at = b"", 0, 0
    while at < len(head):
        key, at = head[at], at + 1
        value, at = _varint(head, at, number)
        if key in {_KEY_TYPE, _KEY_INDEX}:
            kind, at = (head[at : at + value] if key == _KEY_TYPE else kind), at + value
        elif key == _KEY_SIZE:
            size = value
        else:
            raise MalformedItemError(f"blob {number}: unknown field in the header (got key {key})")
    if at != len(head):
        raise MalformedItemError(f"blob {number}: header is malformed (a field runs past its end)")
    return kind, size


def _varint(head: bytes, at: int, number: int) -> tuple[int, int]:
    value = 0
    for shift in range(_VARINT_BYTES):
        if at >= len(head):
            break
        byte, at = head[at], at + 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:  # noqa: PLR2004
            return value, at
    raise MalformedItemError(f"blob {number}: header is malformed (a number does not end)")

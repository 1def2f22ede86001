"""All bytes of a released MCAP with its chunks expanded, for searches that know no format."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from anonymize.containers.released_records import Fields, expanded_lz4, limit, require

_MAGIC_BYTES = 8
_PREFIX = struct.Struct("<BQ")
_FOOTER, _CHUNK = 0x02, 0x06
_MAX_CHUNK_BYTES = 1 << 30
_PIECE = 1 << 20


def expanded(file: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of an MCAP in order, each compressed chunk replaced by the records that it holds.

    A search of the compressed bytes finds what an lz4 frame happens to leave whole, and misses what it does
    not; it also takes digits between offsets and lengths of the frame for words. Nothing of the file is left
    out here: the expanded records say all that the frame says. Memory is that of one chunk.

    Args:
        file: The file, seekable, as ``scan_structure`` found it sound.

    Raises:
        MalformedItemError: The file is cut short, or a chunk is no lz4 frame of its size.
        LimitExceededError: A chunk claims more than 1 GiB.
    """
    file.seek(0)
    yield _exactly(file, _MAGIC_BYTES)
    opcode = 0
    while opcode != _FOOTER:
        yield (head := _exactly(file, _PREFIX.size))
        opcode, length = _PREFIX.unpack(head)
        if opcode == _CHUNK:
            limit(length, _MAX_CHUNK_BYTES)
            yield from _chunk(_exactly(file, length))
            continue
        while length:
            piece = _exactly(file, min(length, _PIECE))
            length -= len(piece)
            yield piece
    while piece := file.read(_PIECE):
        yield piece


def _chunk(body: bytes) -> Iterator[bytes]:
    fields = Fields(body)
    _, _, size, _ = fields.number("Q"), fields.number("Q"), fields.number("Q"), fields.number("I")
    compression, records = fields.text(), fields.sized("Q")
    require(compression == "lz4" and not fields.left, "a chunk is one lz4 frame")
    limit(size, _MAX_CHUNK_BYTES)
    yield body[: len(body) - len(records)]
    yield expanded_lz4(records, size)


def _exactly(file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    require(len(data) == length, "the file is whole")
    return data

"""Chunks of an MCAP and the records in them (MCAP specification, version 0)."""

import struct
import zlib
from collections.abc import Iterator

from anonymize.containers.compression import expand
from anonymize.containers.limits import Tally
from anonymize.containers.source import Source
from anonymize.errors import MalformedItemError

# Opcode and length of a record.
PREFIX = struct.Struct("<BQ")

# Begin, end, uncompressed size, uncompressed CRC, length of the compression's name.
_CHUNK = struct.Struct("<QQQII")
_LENGTH = struct.Struct("<Q")
_MAX_COMPRESSION_NAME = 32


def read_chunk(source: Source, length: int, tally: Tally) -> bytes:
    """Read a chunk record's fields and expand its records; the library would copy the compressed bytes once more.

    Args:
        source: The file, at the fields of the record; afterwards behind them.
        length: Length of the record in bytes.
        tally: Holds the limits.

    Raises:
        MalformedItemError: The record is damaged, or its records are not what its size and CRC say.
        LimitExceededError: The chunk is larger than permitted, compressed or not.
    """
    tally.require_chunk_size(length)
    end = source.offset + length
    _, _, size, crc, name_length = _CHUNK.unpack(source.read(_CHUNK.size, "a chunk"))
    if name_length > _MAX_COMPRESSION_NAME:
        raise MalformedItemError(f"a chunk names its compression (got a name of {name_length} bytes)")
    compression = source.read(name_length, "a chunk").decode("ascii", "replace")
    (compressed,) = _LENGTH.unpack(source.read(_LENGTH.size, "a chunk"))
    if source.offset + compressed > end:
        raise MalformedItemError(
            f"a chunk is cut short (got {end - source.offset} bytes, expected {compressed})"
        )
    tally.require_chunk_size(size)
    data = expand(source.read(compressed, "a chunk"), compression=compression, size=size)
    source.skip(end - source.offset, "a chunk")
    require_crc("a chunk", got=zlib.crc32(data) if crc else 0, expected=crc)
    return data


def records_in(data: bytes, start: int = 0) -> Iterator[tuple[int, int, int]]:
    """Opcode, start and end of the fields of each record in a chunk, from the one at ``start`` on.

    Raises:
        MalformedItemError: A record is cut short.
    """
    end = len(data)
    while start < end:
        if end - start < PREFIX.size:
            raise MalformedItemError(f"a record in a chunk is cut short (got {end - start} bytes)")
        opcode, size = PREFIX.unpack_from(data, start)
        start += PREFIX.size
        if size > end - start:
            raise MalformedItemError(
                f"a record in a chunk is cut short (got {end - start} bytes, expected {size})"
            )
        yield opcode, start, start + size
        start += size


def require_crc(what: str, *, got: int, expected: int) -> None:
    """Hold a CRC-32 against the recorded one; 0 says that none was recorded.

    Raises:
        MalformedItemError: They differ.
    """
    if expected and got != expected:
        raise MalformedItemError(
            f"the CRC of {what} does not fit (got {got:#010x}, expected {expected:#010x})"
        )

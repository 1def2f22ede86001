"""Write messages as MCAP (MCAP specification, version 0), forward only.

The library's writer copies every chunk four times and keeps an object for each; here a chunk is gathered in a
buffer that is used again, and the index is kept as the bytes that are written.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator

import lz4.frame  # type: ignore[import-untyped]
from mcap.opcode import Opcode

from anonymize.containers.released import LIBRARY, PROFILES, kept_metadata
from anonymize.containers.stream import Channel, Message, Schema
from anonymize.errors import LimitExceededError

_MAGIC = b"\x89MCAP0\r\n"
_PREFIX = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<BQHIQQ")
_ENTRY = struct.Struct("<QQ")
_COUNT = struct.Struct("<HQ")
_MESSAGE_FIELDS_BYTES = _MESSAGE.size - _PREFIX.size
_COMPRESSION = b"\x03\x00\x00\x00lz4"
# Numbers of channels and schemas are unsigned 16-bit integers; 0 says that there is no schema.
_MOST_NUMBERS = 65535


def write_mcap(messages: Iterable[Message], *, profile: str, chunk_bytes: int) -> Iterator[bytes]:
    """Write messages in the order given; holds one chunk, and the index that stands at the end.

    Topic, schema, encoding, times, sequence and payload are written as given. Channels and schemas are
    registered as they first occur and numbered anew from 1, equal schemas once. Chunks are lz4 frames; chunks,
    data section and summary carry CRCs. There are no attachments and no metadata records, and of the metadata
    of channels only what ``kept_metadata`` keeps.

    Args:
        messages: The messages; those of one channel id carry equal channels.
        profile: MCAP profile: ``ros1``, ``ros2`` or empty.
        chunk_bytes: Size in bytes beyond which a chunk is closed, before compression.

    Yields:
        The file, in pieces of at most about one compressed chunk.

    Raises:
        ValueError: The profile is unknown, a channel id stands for two channels, or a time or sequence is not an
            unsigned integer of 64 or 32 bits.
        LimitExceededError: There are more channels or schemas than MCAP can number.
    """
    if profile not in PROFILES:
        raise ValueError(f"the MCAP profile is unknown (got {profile!a}, expected one of {sorted(PROFILES)})")
    file = _File(chunk_bytes)
    yield from file.opening(profile)
    for message in messages:
        number = file.number_of(message.channel)
        file.add(number, message)
        if file.chunk.length > chunk_bytes:
            yield from file.close_chunk()
    yield from file.close_chunk()
    yield from file.end()


class _Chunk:
    """Records that wait for being compressed together, in one buffer for all chunks."""

    def __init__(self, capacity: int) -> None:
        self._buffer = bytearray(capacity)
        self.length = 0
        self.first, self.last = 0, 0
        self.entries: dict[int, bytearray] = {}

    def append(self, record: bytes) -> None:
        end = self.length + len(record)
        if end > len(self._buffer):
            self._buffer.extend(bytes(end - len(self._buffer)))
        self._buffer[self.length : end] = record
        self.length = end

    def note(self, number: int, time: int) -> None:
        """Say of the message that comes next when and on which channel it is."""
        if self.entries:
            self.first, self.last = min(self.first, time), max(self.last, time)
        else:
            self.first = self.last = time
        entries = self.entries.get(number)
        if entries is None:
            entries = self.entries[number] = bytearray()
        entries += _ENTRY.pack(time, self.length)

    def take(self) -> tuple[bytes, int]:
        """The compressed records and their CRC; the buffer is empty afterwards."""
        with memoryview(self._buffer)[: self.length] as records:
            compressed, crc = lz4.frame.compress(records), zlib.crc32(records)
        self.length = 0
        self.entries = {}
        return compressed, crc


class _File:
    """A file that is being written."""

    def __init__(self, chunk_bytes: int) -> None:
        self.chunk = _Chunk(chunk_bytes)
        self._offset = 0
        self._crc = 0
        self._numbers: dict[int, tuple[Channel, int]] = {}
        self._schema_numbers: dict[Schema, int] = {}
        self._schemas: list[bytes] = []
        self._channels: list[bytes] = []
        self._indexes: list[bytes] = []
        self._counts: dict[int, int] = {}
        self._first, self._last = 0, 0

    def opening(self, profile: str) -> Iterator[bytes]:
        yield self._piece(_MAGIC)
        yield self._piece(_record(Opcode.HEADER, _text(profile) + _text(LIBRARY)))

    def number_of(self, channel: Channel) -> int:
        """The number of a channel in the file, which is registered where it is new."""
        known = self._numbers.get(channel.id)
        if known is not None:
            if known[0] is not channel and known[0] != channel:
                raise ValueError(f"a channel id stands for one channel (got two with id {channel.id})")
            return known[1]
        schema = self._schema(channel.schema)
        number = len(self._channels) + 1
        if number > _MOST_NUMBERS:
            raise LimitExceededError(f"too many channels for MCAP (expected at most {_MOST_NUMBERS})")
        metadata = b"".join(_text(k) + _text(v) for k, v in sorted(kept_metadata(channel.metadata).items()))
        names = _text(channel.topic) + _text(channel.message_encoding)
        body = struct.pack("<HH", number, schema) + names + _sized(metadata)
        self._channels.append(_record(Opcode.CHANNEL, body))
        self.chunk.append(self._channels[-1])
        self._numbers[channel.id] = (channel, number)
        self._counts[number] = 0
        return number

    def _schema(self, schema: Schema | None) -> int:
        if schema is None:
            return 0
        number = self._schema_numbers.get(schema)
        if number is None:
            number = self._schema_numbers[schema] = len(self._schemas) + 1
            if number > _MOST_NUMBERS:
                raise LimitExceededError(f"too many schemas for MCAP (expected at most {_MOST_NUMBERS})")
            body = (
                struct.pack("<H", number) + _text(schema.name) + _text(schema.encoding) + _sized(schema.data)
            )
            self._schemas.append(_record(Opcode.SCHEMA, body))
            self.chunk.append(self._schemas[-1])
        return number

    def add(self, number: int, message: Message) -> None:
        """Append a message to the chunk."""
        data, time = message.data, message.log_time_ns
        length = _MESSAGE_FIELDS_BYTES + len(data)
        try:
            head = _MESSAGE.pack(
                Opcode.MESSAGE, length, number, message.sequence, time, message.publish_time_ns
            )
        except struct.error as error:
            raise ValueError(
                "times are unsigned 64-bit nanoseconds and sequences unsigned 32-bit (got one outside)"
            ) from error
        self.chunk.note(number, time)
        self.chunk.append(head)
        self.chunk.append(data)
        self._counts[number] += 1

    def close_chunk(self) -> Iterator[bytes]:
        """Write the chunk with its message indexes, and remember its place."""
        chunk = self.chunk
        if not chunk.entries:
            return
        size, entries, at = chunk.length, chunk.entries, self._offset
        self._first = min(self._first, chunk.first) if self._indexes else chunk.first
        self._last = max(self._last, chunk.last)
        compressed, crc = chunk.take()
        head = struct.pack("<QQQI", chunk.first, chunk.last, size, crc) + _COMPRESSION
        head += struct.pack("<Q", len(compressed))
        yield self._piece(_PREFIX.pack(Opcode.CHUNK, len(head) + len(compressed)) + head)
        yield self._piece(compressed)
        indexes_at, places, indexes = self._offset, b"", b""
        for number, listed in entries.items():
            places += _COUNT.pack(number, indexes_at + len(indexes))
            indexes += _record(Opcode.MESSAGE_INDEX, struct.pack("<HI", number, len(listed)) + listed)
        yield self._piece(indexes)
        body = struct.pack("<QQQQ", chunk.first, chunk.last, at, indexes_at - at) + _sized(places)
        body += struct.pack("<Q", len(indexes)) + _COMPRESSION + struct.pack("<QQ", len(compressed), size)
        self._indexes.append(_record(Opcode.CHUNK_INDEX, body))

    def end(self) -> Iterator[bytes]:
        """Write the end of data, the summary, the footer and the magic."""
        yield self._piece(_record(Opcode.DATA_END, struct.pack("<I", self._crc)))
        start, self._crc = self._offset, 0
        offsets = b""
        for opcode, group in (
            (Opcode.SCHEMA, self._schemas),
            (Opcode.CHANNEL, self._channels),
            (Opcode.STATISTICS, [self._statistics()]),
            (Opcode.CHUNK_INDEX, self._indexes),
        ):
            group_at = self._offset
            for record in group:
                yield self._piece(record)
            if group:
                body = struct.pack("<BQQ", opcode, group_at, self._offset - group_at)
                offsets += _record(Opcode.SUMMARY_OFFSET, body)
        offsets_at = self._offset
        yield self._piece(offsets)
        yield self._piece(_PREFIX.pack(Opcode.FOOTER, 20) + struct.pack("<QQ", start, offsets_at))
        yield self._piece(struct.pack("<I", self._crc) + _MAGIC)

    def _statistics(self) -> bytes:
        counts = b"".join(_COUNT.pack(number, count) for number, count in self._counts.items())
        about = (
            sum(self._counts.values()),
            len(self._schemas),
            len(self._channels),
            0,
            0,
            len(self._indexes),
        )
        body = struct.pack("<QHIIII", *about) + struct.pack("<QQ", self._first, self._last) + _sized(counts)
        return _record(Opcode.STATISTICS, body)

    def _piece(self, data: bytes) -> bytes:
        self._crc = zlib.crc32(data, self._crc)
        self._offset += len(data)
        return data


def _record(opcode: Opcode, body: bytes) -> bytes:
    return _PREFIX.pack(opcode, len(body)) + body


def _text(value: str) -> bytes:
    return _sized(value.encode())


def _sized(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data

"""Read ROS 1 bags from beginning to end (ROS bag format, version 2.0)."""

import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from anonymize.containers.compression import expand
from anonymize.containers.limits import MAX_DEFINITION_BYTES, MAX_METADATA_BYTES, Tally
from anonymize.containers.source import Source
from anonymize.containers.stream import Channel, ContainerKind, Message, Schema, Summary, wanted
from anonymize.errors import LimitExceededError, MalformedItemError, UnknownFormatError
from anonymize.profile import ContainerProfile

MAGIC = b"#ROSBAG V2.0\n"

_MESSAGE, _BAG_HEADER, _INDEX, _CHUNK, _CHUNK_INFO, _CONNECTION = 0x02, 0x03, 0x04, 0x05, 0x06, 0x07
_LENGTH = struct.Struct("<I")
_TIME = struct.Struct("<II")
_PAIR = struct.Struct("<II")
_NANOSECONDS = 1_000_000_000
_COMPRESSION = {b"none": "", b"bz2": "bz2", b"lz4": "lz4"}
_MAX_HEADER_BYTES = 64 * 1024
_KEPT_FIELDS = ("callerid", "latching", "md5sum")
_Fields = Mapping[bytes, bytes]


class Ros1Bag:
    """A ROS 1 bag that was read through once and found whole.

    The library for bags holds the place of every message in memory and trusts the lengths it reads, so bags are
    read sequentially here: chunk by chunk, in the order of the file, and the index at the end is held against
    what was read. Every connection is a channel of its own; publish time is log time, and the sequence is 0.

    Args:
        file: The file, seekable; must stay open and unchanged.
        profile: Limits.

    Raises:
        UnknownFormatError: The bag is encrypted.
        MalformedItemError: The bag is cut short, was never closed (it has no index), or its index does not say
            what was read; a record is damaged or unknown; a connection id stands for two connections; a message
            precedes its connection.
        LimitExceededError: More or larger messages, channels or chunks than permitted.
    """

    def __init__(self, file: BinaryIO, *, profile: ContainerProfile) -> None:
        self._file = file
        self._limits = profile
        reading = _Reading(file, profile)
        for _ in reading.messages():
            pass
        self.summary: Summary = reading.tally.summary(ContainerKind.ROS1_BAG, profile="ros1")

    def messages(self, channels: frozenset[int] | None = None) -> Iterator[Message]:
        """Yield messages, of all channels or of those given, in the order of the file; holds one chunk at a time.

        Raises:
            MalformedItemError: The file is no longer what it was.
        """
        return wanted(_Reading(self._file, self._limits).messages(), channels)


class _Reading:
    """One reading of a file."""

    def __init__(self, file: BinaryIO, limits: ContainerProfile) -> None:
        self.source = Source(file)
        self.tally = Tally(limits=limits)

    def messages(self) -> Iterator[Message]:
        # 1. The magic, and the header that says where the index is.
        magic = self.source.read(len(MAGIC), "the magic")
        if magic != MAGIC:
            raise MalformedItemError(
                f"a bag begins with its version (got {magic.hex()}, expected {MAGIC.hex()})"
            )
        index_at, connections, chunks = self._bag_header()
        # 2. Chunks, each with what it holds.
        read: list[tuple[int, bytes]] = []
        while self.source.offset < index_at:
            at = self.source.offset
            fields = self._fields()
            if _operation(fields) == _CHUNK:
                counts: dict[int, int] = {}
                yield from self._chunk(fields, counts)
                read.append((at, _packed(counts)))
            elif _operation(fields) == _INDEX:
                self.source.skip(self._length(), "an index")
            else:
                raise MalformedItemError(
                    f"a record is out of place (got operation {_operation(fields):#04x})"
                )
        # 3. The index knows all connections and chunks, and nothing else.
        self._index(connections, chunks, read)

    def _bag_header(self) -> tuple[int, int, int]:
        fields = self._fields()
        if _operation(fields) != _BAG_HEADER:
            raise MalformedItemError(
                f"a bag begins with its header (got operation {_operation(fields):#04x})"
            )
        if fields.get(b"encryptor"):
            raise UnknownFormatError("the bag is encrypted (expected one that is not)")
        self.source.skip(self._length(), "the bag's header")
        index_at = _integer(fields, b"index_pos", 8)
        if index_at < self.source.offset:
            raise MalformedItemError(
                f"the bag was not closed, it has no index (got index position {index_at}, expected one behind "
                f"{self.source.offset})"
            )
        self.source.require(index_at - self.source.offset, "the bag before its index")
        return index_at, _integer(fields, b"conn_count", 4), _integer(fields, b"chunk_count", 4)

    def _chunk(self, fields: _Fields, counts: dict[int, int]) -> Iterator[Message]:
        compression = _COMPRESSION.get(_field(fields, b"compression"))
        if compression is None:
            raise MalformedItemError("a chunk is compressed in an unknown way (expected none, bz2 or lz4)")
        size, length = _integer(fields, b"size", 4), self._length()
        self.tally.require_chunk_size(size)
        self.tally.require_chunk_size(length)
        data = expand(self.source.read(length, "a chunk"), compression=compression, size=size)
        offset = 0
        while offset < len(data):
            header, offset = _sized(data, offset)
            body, offset = _sized(data, offset)
            inner = _split(data[slice(*header)])
            operation = _operation(inner)
            if operation == _MESSAGE:
                message = self._message(inner, data, *body)
                counts[message.channel.id] = counts.get(message.channel.id, 0) + 1
                yield message
            elif operation == _CONNECTION:
                self._connection(inner, data[slice(*body)])
            else:
                raise MalformedItemError(
                    f"a chunk holds connections and messages (got operation {operation:#04x})"
                )

    def _message(self, fields: _Fields, data: bytes, start: int, end: int) -> Message:
        number = _integer(fields, b"conn", 4)
        channel = self.tally.channels.get(number)
        if channel is None:
            raise MalformedItemError(f"a message precedes its connection (got connection {number})")
        self.tally.require_size(end - start)
        time = _time(fields)
        self.tally.count(number, time)
        return Message(
            channel=channel, log_time_ns=time, publish_time_ns=time, sequence=0, data=data[start:end]
        )

    def _connection(self, fields: _Fields, body: bytes) -> None:
        if len(body) > MAX_DEFINITION_BYTES:
            raise LimitExceededError(
                f"a connection is too large (got {len(body)} bytes, expected at most {MAX_DEFINITION_BYTES})"
            )
        number = _integer(fields, b"conn", 4)
        about = _split(body)
        channel = Channel(
            id=number,
            topic=_text(fields, b"topic"),
            message_encoding="ros1",
            schema=Schema(
                name=_text(about, b"type"),
                encoding="ros1msg",
                data=_field(about, b"message_definition"),
            ),
            metadata={name: _text(about, name.encode()) for name in _KEPT_FIELDS if name.encode() in about},
        )
        if number not in self.tally.channels and channel.schema is not None:
            self.tally.define(channel.schema)
        self.tally.declare(channel)

    def _index(self, connections: int, chunks: int, read: list[tuple[int, bytes]]) -> None:
        for _ in range(connections):
            fields = self._fields()
            if _operation(fields) != _CONNECTION:
                raise MalformedItemError(
                    f"the index lists connections (got operation {_operation(fields):#04x})"
                )
            self._connection(fields, self._body())
        if len(self.tally.channels) != connections or len(read) != chunks:
            raise MalformedItemError(
                f"the bag's header does not count what is there (got {connections} connections and {chunks} "
                f"chunks, expected {len(self.tally.channels)} and {len(read)})"
            )
        for at, counts in read:
            fields = self._fields()
            if _operation(fields) != _CHUNK_INFO or _integer(fields, b"chunk_pos", 8) != at:
                raise MalformedItemError(f"the index does not list the chunk at {at}")
            pairs = dict(_PAIR.iter_unpack(self._body(of=_PAIR.size)))
            if _packed(pairs) != counts:
                raise MalformedItemError(f"the index does not count the messages of the chunk at {at}")
        if self.source.left:
            raise MalformedItemError(f"a bag ends with its index (got {self.source.left} bytes behind it)")

    def _length(self) -> int:
        (length,) = _LENGTH.unpack(self.source.read(_LENGTH.size, "a length"))
        self.source.require(length, "a record")
        return int(length)

    def _fields(self) -> _Fields:
        length = self._length()
        if length > _MAX_HEADER_BYTES:
            raise LimitExceededError(
                f"a header is too large (got {length} bytes, expected at most {_MAX_HEADER_BYTES})"
            )
        return _split(self.source.read(length, "a header"))

    def _body(self, *, of: int = 1) -> bytes:
        length, most = self._length(), MAX_DEFINITION_BYTES + MAX_METADATA_BYTES
        if length > most:
            raise LimitExceededError(f"a record is too large (got {length} bytes, expected at most {most})")
        if length % of:
            raise MalformedItemError(
                f"a record is cut short (got {length} bytes, expected a multiple of {of})"
            )
        return self.source.read(length, "a record")


def _sized(data: bytes, offset: int) -> tuple[tuple[int, int], int]:
    """Where the bytes stand that follow their length, and what comes next."""
    start = offset + _LENGTH.size
    if start > len(data):
        raise MalformedItemError(f"a record in a chunk is cut short (got {len(data) - offset} bytes)")
    end = start + int(_LENGTH.unpack_from(data, offset)[0])
    if end > len(data):
        raise MalformedItemError(
            f"a record in a chunk is cut short (got {len(data) - start} bytes, expected {end - start})"
        )
    return (start, end), end


def _split(header: bytes) -> _Fields:
    """The fields of a header, ``name=value`` each behind its length."""
    fields: dict[bytes, bytes] = {}
    offset = 0
    while offset < len(header):
        (start, end), offset = _sized(header, offset)
        name, equals, value = header[start:end].partition(b"=")
        if not equals or name in fields:
            raise MalformedItemError("a header has fields of one name and value each (got another)")
        fields[name] = value
    return fields


def _field(fields: _Fields, name: bytes, length: int | None = None) -> bytes:
    value = fields.get(name)
    if value is None or (length is not None and len(value) != length):
        got = "none" if value is None else f"{len(value)} bytes"
        raise MalformedItemError(
            f"a header lacks the field {name.decode()} (got {got}, expected {length or 'one'})"
        )
    return value


def _integer(fields: _Fields, name: bytes, length: int) -> int:
    return int.from_bytes(_field(fields, name, length), "little")


def _operation(fields: _Fields) -> int:
    return _integer(fields, b"op", 1)


def _time(fields: _Fields) -> int:
    seconds, nanoseconds = _TIME.unpack(_field(fields, b"time", _TIME.size))
    if nanoseconds >= _NANOSECONDS:
        raise MalformedItemError(f"a time has less than a second of nanoseconds (got {nanoseconds})")
    return int(seconds) * _NANOSECONDS + int(nanoseconds)


def _text(fields: _Fields, name: bytes) -> str:
    try:
        return _field(fields, name).decode()
    except UnicodeDecodeError as error:
        raise MalformedItemError(f"the field {name.decode()} is not UTF-8") from error


def _packed(counts: Mapping[int, int]) -> bytes:
    """Counts by connection in one form and little memory: there is one for each chunk of the bag."""
    return b"".join(_PAIR.pack(number, counts[number]) for number in sorted(counts) if counts[number])

"""Read MCAP from beginning to end (MCAP specification, version 0)."""

import io
import struct
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import BinaryIO, TypeVar

from mcap import records
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode

from anonymize.containers.limits import MAX_DEFINITION_BYTES, MAX_METADATA_BYTES, Tally
from anonymize.containers.mcap_chunk import PREFIX, read_chunk, records_in, require_crc
from anonymize.containers.source import Source
from anonymize.containers.stream import Channel, ContainerKind, Message, Schema, Summary
from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.profile import ContainerProfile

MAGIC = b"\x89MCAP0\r\n"

_MESSAGE = struct.Struct("<HIQQ")
# The same behind its opcode and length.
_RECORD = struct.Struct("<BQHIQQ")
_MESSAGE_OPCODE = int(Opcode.MESSAGE)
_FIRST_PRIVATE = 0x80
_PROFILES = frozenset({"", "ros1", "ros2"})
_MAX_RECORD_BYTES = MAX_DEFINITION_BYTES + MAX_METADATA_BYTES
_BESIDE = {Opcode.ATTACHMENT: "attachment", Opcode.METADATA: "metadata"}
_INDEXES = frozenset(
    {Opcode.CHUNK_INDEX, Opcode.ATTACHMENT_INDEX, Opcode.METADATA_INDEX, Opcode.SUMMARY_OFFSET}
)
_Record = TypeVar("_Record")


class McapContainer:
    """An MCAP that was read through once and found whole.

    Reading is sequential, so that a file without a summary reads like one with it, and messages come in the
    order of the file also where log times go backwards. Chunks and sections that carry a CRC are held against
    it, the statistics against what was read. Attachments, metadata and private records are passed over.

    Args:
        file: The file, seekable; must stay open and unchanged.
        profile: Limits.

    Raises:
        MalformedItemError: The file is cut short, has no end of data, footer or magic, or more behind it; a CRC
            or the statistics do not fit; a record is damaged or unknown; ids stand for two things; a message
            precedes its channel, or a channel its schema.
        LimitExceededError: More or larger messages, channels or chunks than permitted.
    """

    def __init__(self, file: BinaryIO, *, profile: ContainerProfile) -> None:
        self._file = file
        self._limits = profile
        reading = _Reading(file, profile, check=True, channels=frozenset())
        for _ in reading.walk():
            pass
        self.summary: Summary = reading.tally.summary(ContainerKind.MCAP, profile=reading.profile)

    def messages(self, channels: frozenset[int] | None = None) -> Iterator[Message]:
        """Yield messages, of all channels or of those given, in the order of the file.

        Holds one chunk at a time and checks its CRC again.

        Raises:
            MalformedItemError: The file is no longer what it was.
        """
        return _Reading(self._file, self._limits, check=False, channels=channels).walk()


class _Reading:
    """One reading of a file."""

    def __init__(
        self, file: BinaryIO, limits: ContainerProfile, *, check: bool, channels: frozenset[int] | None
    ) -> None:
        self._check = check
        self._channels = channels
        self.source = Source(file, with_crc=check)
        self.tally = Tally(limits=limits)
        self.schemas: dict[int, Schema] = {}
        self.profile = ""

    def walk(self) -> Iterator[Message]:
        # 1. Magic and header come first.
        self._require_magic("beginning")
        header = self._record(Opcode.HEADER, records.Header.read)
        self.profile = header.profile if header.profile in _PROFILES else ""
        # 2. The data section ends with a record that says so.
        yield from self._data_section()
        # 3. The summary says what was read.
        self._summary_section()
        # 4. Nothing follows the magic.
        self._require_magic("end")
        if self.source.left:
            raise MalformedItemError(f"an MCAP ends with its magic (got {self.source.left} bytes behind it)")

    def _data_section(self) -> Iterator[Message]:
        while True:
            before = self.source.crc
            opcode, length = self._prefix()
            if opcode == Opcode.CHUNK:
                yield from self._chunk(length)
            elif opcode == Opcode.MESSAGE:
                self.tally.require_size(length - _MESSAGE.size)
                body = self.source.read(length, "a message")
                yield from self._message(body, 0, length)
            elif opcode == Opcode.DATA_END:
                end = _parse(records.DataEnd.read, self._body(length))
                self._require_section_crc("the data section", got=before, expected=end.data_section_crc)
                return
            elif opcode in {Opcode.SCHEMA, Opcode.CHANNEL}:
                self._declaration(opcode, self._body(length))
            else:
                self._pass_over(opcode, length)

    def _pass_over(self, opcode: int, length: int) -> None:
        if opcode in _BESIDE:
            self.tally.dropped.add(_BESIDE[Opcode(opcode)])
        elif opcode >= _FIRST_PRIVATE:
            self.tally.dropped.add("private_record")
        elif opcode != Opcode.MESSAGE_INDEX:
            # A record of a later version may hold messages in a way that is not known here.
            raise MalformedItemError(f"a record is unknown or out of place (got opcode {opcode:#04x})")
        self.source.skip(length, "a record")

    def _chunk(self, length: int) -> Iterator[Message]:
        data = read_chunk(self.source, length, self.tally)
        known, tally, wanted = self.tally.channels, self.tally, self._channels
        largest, room, begin = tally.limits.max_message_bytes, len(data) - _RECORD.size, 0
        # The same as below, in one step: most of what chunks hold are messages that are as they should be.
        while begin <= room:
            opcode, length, channel_id, sequence, log_time, publish_time = _RECORD.unpack_from(data, begin)
            body, end = begin + _RECORD.size, begin + PREFIX.size + length
            channel = known.get(channel_id)
            if (
                opcode != _MESSAGE_OPCODE
                or channel is None
                or not body <= end <= len(data)
                or end - body > largest
            ):
                end = yield from self._other(data, begin)
            else:
                tally.count(channel_id, log_time)
                if wanted is None or channel_id in wanted:
                    yield Message(
                        channel=channel,
                        log_time_ns=log_time,
                        publish_time_ns=publish_time,
                        sequence=sequence,
                        data=data[body:end],
                    )
            begin = end
        while begin < len(data):
            begin = yield from self._other(data, begin)

    def _other(self, data: bytes, begin: int) -> Generator[Message, None, int]:
        """Any record of a chunk; returns where it ends."""
        for opcode, start, end in records_in(data, begin):
            if opcode == _MESSAGE_OPCODE:
                yield from self._message(data, start, end)
            elif opcode in {Opcode.SCHEMA, Opcode.CHANNEL}:
                self._declaration(opcode, data[start:end])
            else:
                raise MalformedItemError(
                    f"a chunk holds schemas, channels and messages (got opcode {opcode:#04x})"
                )
            return end
        return len(data)

    def _message(self, data: bytes, start: int, end: int) -> Iterable[Message]:
        """The message, where its channel is wanted; others are only counted."""
        body = start + _MESSAGE.size
        if body > end:
            raise MalformedItemError(f"a message is cut short (got {end - start} bytes)")
        channel_id, sequence, log_time, publish_time = _MESSAGE.unpack_from(data, start)
        channel = self.tally.channels.get(channel_id)
        if channel is None:
            raise MalformedItemError(f"a message precedes its channel (got channel id {channel_id})")
        self.tally.require_size(end - body)
        self.tally.count(channel_id, log_time)
        if self._channels is not None and channel_id not in self._channels:
            return ()
        return (
            Message(
                channel=channel,
                log_time_ns=log_time,
                publish_time_ns=publish_time,
                sequence=sequence,
                data=data[body:end],
            ),
        )

    def _declaration(self, opcode: int, body: bytes) -> None:
        if opcode == Opcode.SCHEMA:
            read = _parse(records.Schema.read, body)
            self._schema(read.id, Schema(name=read.name, encoding=read.encoding, data=read.data))
            return
        channel = _parse(records.Channel.read, body)
        schema = self.schemas.get(channel.schema_id)
        if channel.schema_id and schema is None:
            raise MalformedItemError(f"a channel precedes its schema (got schema id {channel.schema_id})")
        self.tally.declare(
            Channel(
                id=channel.id,
                topic=channel.topic,
                message_encoding=channel.message_encoding,
                schema=schema,
                metadata=channel.metadata,
            )
        )

    def _schema(self, number: int, schema: Schema) -> None:
        known = self.schemas.get(number)
        if known is None and number:
            self.tally.define(schema)
            self.schemas[number] = schema
        elif known != schema:
            raise MalformedItemError(f"a schema is defined once (got two different ones with id {number})")

    def _summary_section(self) -> None:
        source = self.source
        begin, source.crc = source.offset, 0
        while True:
            before = source.crc
            opcode, length = self._prefix()
            if opcode == Opcode.FOOTER:
                break
            body = self._body(length)
            if opcode in {Opcode.SCHEMA, Opcode.CHANNEL}:
                self._declaration(opcode, body)
            elif opcode == Opcode.STATISTICS:
                self._require_statistics(_parse(records.Statistics.read, body))
            elif opcode >= _FIRST_PRIVATE:
                self.tally.dropped.add("private_record")
            elif opcode not in _INDEXES:
                raise MalformedItemError(f"a record is unknown or out of place (got opcode {opcode:#04x})")
        end = source.offset - PREFIX.size
        body = self._body(length)
        footer = _parse(records.Footer.read, body)
        if footer.summary_start != (begin if end > begin else 0):
            raise MalformedItemError(
                f"the summary is not where the footer says (got {footer.summary_start}, expected {begin})"
            )
        covered = zlib.crc32(PREFIX.pack(Opcode.FOOTER, length) + body[:-4], before)
        self._require_section_crc("the summary", got=covered, expected=footer.summary_crc)

    def _require_section_crc(self, what: str, *, got: int, expected: int) -> None:
        # Of a file that was found whole, a later reading holds chunks against their CRCs, sections no more.
        if self._check:
            require_crc(what, got=got, expected=expected)

    def _require_statistics(self, claimed: records.Statistics) -> None:
        counts = {number: count for number, count in self.tally.counts.items() if count}
        by_channel = {number: n for number, n in claimed.channel_message_counts.items() if n}
        if claimed.message_count != self.tally.total or (by_channel and by_channel != counts):
            raise MalformedItemError(
                f"messages are missing, or were added (got {self.tally.total}, expected {claimed.message_count})"
            )

    def _require_magic(self, where: str) -> None:
        magic = self.source.read(len(MAGIC), f"the magic at the {where}")
        if magic != MAGIC:
            raise MalformedItemError(
                f"an MCAP has its magic at the {where} (got {magic.hex()}, expected {MAGIC.hex()})"
            )

    def _prefix(self) -> tuple[int, int]:
        opcode, length = PREFIX.unpack(self.source.read(PREFIX.size, "a record"))
        self.source.require(length, "a record")
        return opcode, length

    def _body(self, length: int) -> bytes:
        if length > _MAX_RECORD_BYTES:
            raise LimitExceededError(
                f"a record is too large (got {length} bytes, expected at most {_MAX_RECORD_BYTES})"
            )
        return self.source.read(length, "a record")

    def _record(self, expected: Opcode, read: Callable[[ReadDataStream], _Record]) -> _Record:
        opcode, length = self._prefix()
        if opcode != expected:
            raise MalformedItemError(
                f"a record is out of place (got opcode {opcode:#04x}, expected {expected:#04x})"
            )
        return _parse(read, self._body(length))


class _Exact(io.BytesIO):
    """The library takes whatever a stream gives; this one gives all that is asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if size is not None and len(data) < size:
            raise MalformedItemError(f"a record is cut short (got {len(data)} bytes, expected {size})")
        return data


def _parse(read: Callable[[ReadDataStream], _Record], body: bytes) -> _Record:
    try:
        return read(ReadDataStream(_Exact(body)))
    except UnicodeDecodeError as error:
        raise MalformedItemError("a name in a record is not UTF-8") from error

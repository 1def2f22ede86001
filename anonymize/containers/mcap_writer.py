"""Write messages as MCAP (MCAP specification, version 0), forward only."""

from collections.abc import Iterable, Iterator
from typing import IO, Any, cast

from mcap.writer import CompressionType, IndexType, Writer

from anonymize.containers.released import LIBRARY, PROFILES, kept_metadata
from anonymize.containers.stream import Channel, Message, Schema
from anonymize.errors import LimitExceededError

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
    sink = _Sink()
    writer = Writer(
        cast("IO[Any]", sink),
        chunk_size=chunk_bytes,
        compression=CompressionType.LZ4,
        index_types=IndexType.CHUNK | IndexType.MESSAGE,
        enable_data_crcs=True,
    )
    writer.start(profile=profile, library=LIBRARY)
    registered = _Registered(writer)
    for message in messages:
        _require_unsigned(message)
        writer.add_message(
            channel_id=registered.number_of(message.channel),
            log_time=message.log_time_ns,
            data=message.data,
            publish_time=message.publish_time_ns,
            sequence=message.sequence,
        )
        yield from sink.take()
    writer.finish()  # type: ignore[no-untyped-call]
    yield from sink.take()


class _Registered:
    """Channels and schemas that the writer knows."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._channels: dict[int, tuple[Channel, int]] = {}
        self._schemas: dict[Schema, int] = {}

    def number_of(self, channel: Channel) -> int:
        known = self._channels.get(channel.id)
        if known is not None:
            if known[0] is not channel and known[0] != channel:
                raise ValueError(f"a channel id stands for one channel (got two with id {channel.id})")
            return known[1]
        if len(self._channels) >= _MOST_NUMBERS:
            raise LimitExceededError(f"too many channels for MCAP (expected at most {_MOST_NUMBERS})")
        number = self._writer.register_channel(
            topic=channel.topic,
            message_encoding=channel.message_encoding,
            schema_id=self._schema(channel.schema),
            metadata=kept_metadata(channel.metadata),
        )
        self._channels[channel.id] = (channel, number)
        return number

    def _schema(self, schema: Schema | None) -> int:
        if schema is None:
            return 0
        if schema not in self._schemas:
            self._schemas[schema] = self._writer.register_schema(schema.name, schema.encoding, schema.data)
        return self._schemas[schema]


class _Sink:
    """What the library writes to: keeps the pieces until they are taken, and counts."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length = 0

    def write(self, data: bytes) -> int:
        if data:
            self._pieces.append(data)
            self._length += len(data)
        return len(data)

    def tell(self) -> int:
        return self._length

    def flush(self) -> None:
        """Pieces wait for nothing."""

    def take(self) -> list[bytes]:
        taken, self._pieces = self._pieces, []
        return taken


def _require_unsigned(message: Message) -> None:
    if not (0 <= message.log_time_ns < 1 << 64 and 0 <= message.publish_time_ns < 1 << 64):
        raise ValueError("a time is an unsigned 64-bit number of nanoseconds (got one outside)")
    if not 0 <= message.sequence < 1 << 32:
        raise ValueError(f"a sequence is an unsigned 32-bit number (got {message.sequence})")

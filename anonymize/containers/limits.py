"""What containers may declare and hold: limits, names that can be shown, and the tally of what was read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from anonymize.containers.stream import Channel, ContainerKind, Schema, Summary
from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.profile import ContainerProfile

MAX_NAME = 256
MAX_DEFINITION_BYTES = 16 * 1024 * 1024
MAX_DEFINITIONS_BYTES = 4 * MAX_DEFINITION_BYTES
MAX_METADATA_BYTES = 64 * 1024

# Writers close a chunk once it exceeds a size, so that one message stands beyond it. The largest size in use
# is 16 MiB (rosbag2's and Foxglove's are 768 KiB to 4 MiB).
CHUNK_ROOM_BYTES = 64 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was read of a container so far, held against the limits of a profile.

    Attributes:
        limits: The limits.
        channels: Declared channels by id.
        counts: Number of messages by channel id.
        total: Number of messages.
        begin_ns: Least log time in nanoseconds.
        end_ns: Greatest log time in nanoseconds.
        dropped: Names of what was met beside messages.
        definition_bytes: Bytes of all definitions.
    """

    limits: ContainerProfile
    channels: dict[int, Channel] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    total: int = 0
    begin_ns: int | None = None
    end_ns: int | None = None
    dropped: set[str] = field(default_factory=set)
    definition_bytes: int = 0

    def declare(self, channel: Channel) -> None:
        """Add a channel, or meet one again.

        Raises:
            MalformedItemError: Its id stands for another channel, or a name cannot be shown.
            LimitExceededError: There are too many channels, or it is larger than any that is known.
        """
        known = self.channels.get(channel.id)
        if known is not None:
            if known != channel:
                raise MalformedItemError(
                    f"a channel is declared once (got two different ones with id {channel.id})"
                )
            return
        if len(self.channels) >= self.limits.max_channels:
            raise LimitExceededError(f"too many channels (expected at most {self.limits.max_channels})")
        require_name(channel.topic, f"the topic of channel {channel.id}")
        require_name(channel.message_encoding, f"the encoding of channel {channel.id}", may_be_empty=True)
        _require_metadata(channel)
        self.channels[channel.id] = channel
        self.counts[channel.id] = 0

    def define(self, schema: Schema) -> None:
        """Add a schema.

        Raises:
            MalformedItemError: A name cannot be shown.
            LimitExceededError: The definition, or all of them together, are larger than any that are known.
        """
        require_name(schema.name, "the name of a schema", may_be_empty=True)
        require_name(schema.encoding, "the encoding of a schema", may_be_empty=True)
        self.definition_bytes += len(schema.data)
        if len(schema.data) > MAX_DEFINITION_BYTES or self.definition_bytes > MAX_DEFINITIONS_BYTES:
            raise LimitExceededError(
                f"definitions of messages are too large (got {self.definition_bytes} bytes, expected at most "
                f"{MAX_DEFINITION_BYTES} each and {MAX_DEFINITIONS_BYTES} together)"
            )

    def require_size(self, length: int) -> None:
        """Refuse a message before it is read.

        Raises:
            LimitExceededError: It is larger than the profile permits.
        """
        if length > self.limits.max_message_bytes:
            raise LimitExceededError(
                f"a message is too large (got {length} bytes, expected at most {self.limits.max_message_bytes})"
            )

    def require_chunk_size(self, length: int) -> None:
        """Refuse a chunk, compressed or not, before it is read or expanded.

        Raises:
            LimitExceededError: It is larger than any chunk whose messages the profile permits.
        """
        most = self.limits.max_message_bytes + CHUNK_ROOM_BYTES
        if length > most:
            raise LimitExceededError(f"a chunk is too large (got {length} bytes, expected at most {most})")

    def count(self, channel_id: int, log_time_ns: int) -> None:
        """Add a message.

        Raises:
            LimitExceededError: There are more messages than the profile permits.
        """
        self.total += 1
        if self.total > self.limits.max_messages:
            raise LimitExceededError(f"too many messages (expected at most {self.limits.max_messages})")
        self.counts[channel_id] += 1
        if self.begin_ns is None or log_time_ns < self.begin_ns:
            self.begin_ns = log_time_ns
        if self.end_ns is None or log_time_ns > self.end_ns:
            self.end_ns = log_time_ns

    def summary(self, container: ContainerKind, *, profile: str) -> Summary:
        """What was read, as a summary."""
        ids = sorted(self.channels)
        return Summary(
            container=container,
            profile=profile,
            channels=tuple(self.channels[i] for i in ids),
            counts={i: self.counts[i] for i in ids},
            begin_ns=self.begin_ns,
            end_ns=self.end_ns,
            dropped=tuple(sorted(self.dropped)),
        )


def require_name(name: str, what: str, *, may_be_empty: bool = False) -> None:
    """Refuse a name that cannot be shown to people or that is longer than names are.

    Raises:
        MalformedItemError: It is empty, longer than ``MAX_NAME`` code points, or not printable; the message
            does not repeat it, since it may hold anything.
    """
    if len(name) > MAX_NAME or not name.isprintable() or not (name or may_be_empty):
        raise MalformedItemError(
            f"{what} is not a name (got {len(name)} characters, expected at most {MAX_NAME}, all printable)"
        )


def _require_metadata(channel: Channel) -> None:
    size = _size(channel.metadata)
    if size > MAX_METADATA_BYTES:
        raise LimitExceededError(
            f"the metadata of channel {channel.id} is too large (got {size} characters, expected at most "
            f"{MAX_METADATA_BYTES})"
        )


def _size(metadata: Mapping[str, str]) -> int:
    return sum(len(key) + len(value) for key, value in metadata.items())

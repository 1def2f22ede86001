"""Messages, channels and schemas of a recording, whatever container holds them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class ContainerKind(StrEnum):
    """Kinds of containers that the gate recognises."""

    MCAP = "mcap"
    ROS1_BAG = "ros1_bag"
    ROS2_DB3 = "ros2_db3"
    CYBER_RECORD = "cyber_record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Definition of a type of message.

    Attributes:
        name: Name of the type, e.g. ``sensor_msgs/msg/NavSatFix``.
        encoding: ``ros1msg``, ``ros2msg``, ``protobuf``, ``jsonschema`` or another name of the MCAP registry;
            empty where the container holds no definition.
        data: The definition as the encoding says; empty where the container holds none.
    """

    name: str
    encoding: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A stream of messages of one type.

    Attributes:
        id: Number of the channel in its container.
        topic: Name of the stream.
        message_encoding: ``ros1``, ``cdr``, ``protobuf``, ``json`` or another name of the MCAP registry; may be
            empty.
        schema: Type of its messages; None for messages without one.
        metadata: What the container says about the channel (offered QoS, latching).
    """

    id: int
    topic: str
    message_encoding: str
    schema: Schema | None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as it was recorded.

    Attributes:
        channel: Its channel.
        log_time_ns: When it was recorded, in nanoseconds.
        publish_time_ns: When it was published, in nanoseconds.
        sequence: Its number, as the publisher counted; 0 where the container holds none.
        data: Its payload, encoded as the channel says.
    """

    channel: Channel
    log_time_ns: int
    publish_time_ns: int
    sequence: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a container holds, from one complete reading of it.

    Attributes:
        container: Kind of the container.
        profile: MCAP profile of the messages: ``ros1``, ``ros2`` or empty.
        channels: Channels in ascending order of ids, those without messages included.
        counts: Number of messages by channel id.
        begin_ns: Least log time in nanoseconds; None without messages.
        end_ns: Greatest log time in nanoseconds; None without messages.
        dropped: Sorted names, of a closed vocabulary, of what the container holds beside messages
            (``attachment``, ``metadata``, ``table``, ``trigger`` …); none of it is ever read out.
    """

    container: ContainerKind
    profile: str
    channels: tuple[Channel, ...]
    counts: Mapping[int, int]
    begin_ns: int | None
    end_ns: int | None
    dropped: tuple[str, ...]


class Container(Protocol):
    """A container of message streams that was read through once and found whole."""

    @property
    def summary(self) -> Summary:
        """What the container holds."""
        ...

    def messages(self, channels: frozenset[int] | None = None) -> Iterator[Message]:
        """Yield all messages in the order of the file, in constant memory; may be called again.

        Args:
            channels: Ids of those whose messages are wanted; None for all.
        """
        ...


def wanted(messages: Iterator[Message], channels: frozenset[int] | None) -> Iterator[Message]:
    """Those of the messages that are of the given channels; all of them for None."""
    return messages if channels is None else (m for m in messages if m.channel.id in channels)

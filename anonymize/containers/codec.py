"""Messages as trees of named values: decoded by the schema that the container holds, changed, encoded again.

A tree is made of ``dict`` (fields by name), ``list``, numpy arrays (sequences of numbers of ROS messages),
``bytes``, ``str``, numbers and :class:`Stamp`. Arrays are read-only views of the message: replace them.
"""

from typing import Protocol

from anonymize.containers.codec_json import JsonCodec
from anonymize.containers.codec_protobuf import ProtobufCodec
from anonymize.containers.codec_ros import RosCodec
from anonymize.containers.stream import Channel, Schema
from anonymize.containers.tree import Fields, Stamp, type_name
from anonymize.errors import MalformedItemError, UnknownFormatError

__all__ = ["Codec", "Fields", "Stamp", "changed", "codec_of", "type_name"]


class Codec(Protocol):
    """Decodes and encodes the messages of one channel."""

    @property
    def definition(self) -> Schema:
        """The schema as it is released: what decoding needs, without comments and other free text."""
        ...

    def decode(self, data: bytes) -> Fields:
        """Decode a message.

        Raises:
            MalformedItemError: The message does not follow the schema.
        """
        ...

    def encode(self, fields: Fields, *, like: bytes) -> bytes:
        """Encode a message in the byte order and style of ``like``.

        Raises:
            MalformedItemError: A value does not fit its field.
        """
        ...

    def same(self, data: bytes, again: bytes, fields: Fields) -> bool:
        """Whether ``again``, the encoding of ``fields`` as decoded, says what ``data`` says."""
        ...


def codec_of(channel: Channel) -> Codec:
    """The codec of a channel.

    ROS 1 and ROS 2 take the definition in the container; a definition of a standard type that is not one of
    those that were ever published is refused. A container without definitions (rosbag2 before Iron) takes the
    published one, where all distributions agree on it.

    Raises:
        UnknownFormatError: The encodings of schema and messages are none that can be decoded.
        MalformedItemError: The schema is malformed or contradicts a published definition.
    """
    schema = channel.schema
    pair = (schema.encoding if schema else "", channel.message_encoding)
    if schema is not None:
        if pair == ("ros1msg", "ros1"):
            return RosCodec(schema, ros1=True)
        if pair in {("ros2msg", "cdr"), ("", "cdr")}:
            return RosCodec(schema, ros1=False)
        if pair == ("protobuf", "protobuf"):
            return ProtobufCodec(schema)
        if pair == ("jsonschema", "json"):
            return JsonCodec(schema)
    raise UnknownFormatError(
        f"messages of topic {channel.topic!r} cannot be decoded (got schema and message encodings {pair!r}, "
        f"expected ros1msg with ros1, ros2msg with cdr, protobuf or jsonschema with json)"
    )


def changed(codec: Codec, data: bytes, original: Fields, fields: Fields) -> bytes:
    """Encode changed fields, after showing that the codec repeats the message as it was.

    Args:
        codec: The codec of the channel.
        data: The message.
        original: What it was decoded to.
        fields: What it becomes.

    Raises:
        MalformedItemError: Encoding the message as decoded gives another one: the codec would change more than
            was asked.
    """
    if not codec.same(data, codec.encode(original, like=data), original):
        raise MalformedItemError("a message does not survive decoding and encoding (expected the same bytes)")
    return codec.encode(fields, like=data)

"""Messages as trees of named values: decoded by the schema that the container holds, changed, encoded again.

A tree is made of ``dict`` (fields by name), ``list``, numpy arrays (sequences of numbers of ROS messages),
``bytes``, ``str``, numbers and :class:`Stamp`. Arrays are read-only views of the message: replace them.
"""

import functools
from typing import Protocol

from anonymize.containers.codec_json import JsonCodec
from anonymize.containers.codec_protobuf import ProtobufCodec
from anonymize.containers.codec_ros import RosCodec
from anonymize.containers.messages import KNOWN_FIELDS
from anonymize.containers.outline import Outline
from anonymize.containers.stream import Channel, Schema
from anonymize.containers.tree import Fields, Stamp, type_name
from anonymize.errors import MalformedItemError, UnknownFormatError

__all__ = ["Codec", "Fields", "Stamp", "changed", "codec_of", "type_name"]


class Codec(Protocol):
    """Decodes and encodes the messages of one channel."""

    @property
    def field_names(self) -> frozenset[str]:
        """Names of the fields of a message."""
        ...

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

    @property
    def tells_edges(self) -> bool:
        """Whether what outlines tell as placed are edges, as ``edges_of`` yields them, not poses."""
        ...

    def outline(self, data: bytes) -> Outline | None:
        """What decides about a message, where that can be told without decoding it; equal to what its tree says.

        None for a message that does not follow the schema: decoding it says why.
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
    published one, where all distributions agree on it. Types that rosbags does not ship may have no field beside
    those of ``KNOWN_FIELDS``.

    Raises:
        UnknownFormatError: The encodings of schema and messages are none that can be decoded.
        MalformedItemError: The schema is malformed or contradicts a published definition.
    """
    schema = channel.schema
    codec = _codec(schema, channel.message_encoding) if schema is not None else None
    if schema is None or codec is None:
        pair = (schema.encoding if schema else "", channel.message_encoding)
        raise UnknownFormatError(
            f"messages of topic {channel.topic[:128]!r} cannot be decoded (got schema and message encodings "
            f"{pair!r}, expected ros1msg with ros1, ros2msg with cdr, protobuf or jsonschema with json)"
        )
    known = KNOWN_FIELDS.get(type_name(schema.name))
    if known is not None and (other := sorted(codec.field_names - known)):
        raise MalformedItemError(
            f"schema {schema.name!r} has fields that its treatment does not know "
            f"(got {len(other)}, expected only {sorted(known)})"
        )
    return codec


@functools.lru_cache(maxsize=64)
def _codec(schema: Schema, message_encoding: str) -> Codec | None:
    match schema.encoding, message_encoding:
        case "ros1msg", "ros1":
            return RosCodec(schema, ros1=True)
        case ("ros2msg", "cdr") | ("", "cdr"):
            return RosCodec(schema, ros1=False)
        case "protobuf", "protobuf":
            return ProtobufCodec(schema)
        case "jsonschema", "json":
            return JsonCodec(schema)
        case _:
            return None


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

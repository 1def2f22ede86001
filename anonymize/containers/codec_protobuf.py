"""Protobuf messages by the FileDescriptorSet in the container (MCAP registry, ``protobuf``)."""

from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    unknown_fields,
)
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]

from anonymize.containers.stream import Schema
from anonymize.containers.tree import Fields, Stamp, stamp_of
from anonymize.errors import MalformedItemError

_TIME = "google.protobuf.Timestamp"


class ProtobufCodec:
    """Messages of one protobuf type; a field that the descriptor does not name is an error."""

    def __init__(self, schema: Schema) -> None:
        """Build the type.

        Raises:
            MalformedItemError: The descriptor set is malformed, incomplete or lacks the type.
        """
        try:
            files = descriptor_pb2.FileDescriptorSet.FromString(schema.data)
            pool = descriptor_pool.DescriptorPool()
            _add(pool, {file.name: file for file in files.file})
            self._descriptor = pool.FindMessageTypeByName(schema.name)
        except (DecodeError, TypeError, KeyError, ValueError, RecursionError) as error:
            raise MalformedItemError(f"schema {schema.name!r} is no complete FileDescriptorSet") from error
        self._bare = _bare(files)
        self._class: Any = message_factory.GetMessageClass(self._descriptor)

    @property
    def field_names(self) -> frozenset[str]:
        """Names of the fields of a message."""
        return frozenset(field.name for field in self._descriptor.fields)

    @property
    def definition(self) -> Schema:
        """The descriptor set without source code information, options and names of files."""
        return Schema(name=self._descriptor.full_name, encoding="protobuf", data=self._bare)

    def decode(self, data: bytes) -> Fields:
        """Decode a message; fields without presence have their default, absent messages are None.

        Raises:
            MalformedItemError: It is malformed or holds fields that the descriptor does not name.
        """
        try:
            message = self._class.FromString(data)
        except (DecodeError, ValueError) as error:
            raise MalformedItemError(f"a message is no {self._descriptor.full_name!r}") from error
        fields: Fields = _read(message)
        return fields

    @property
    def tells_edges(self) -> bool:
        """Without outlines, never."""
        return False

    def outline(self, data: bytes) -> None:
        """None: only decoding tells what a message holds."""

    def encode(self, fields: Fields, *, like: bytes) -> bytes:  # noqa: ARG002 - as the other codecs
        """Encode a message; fields in the order of their numbers.

        Raises:
            MalformedItemError: A value does not fit its field.
        """
        message = self._class()
        try:
            _write(message, fields)
            content: bytes = message.SerializeToString(deterministic=True)
        except (TypeError, ValueError, AttributeError, EncodeError) as error:
            raise MalformedItemError(
                f"a changed message does not fit {self._descriptor.full_name!r}"
            ) from error
        return content

    def same(self, data: bytes, again: bytes, fields: Fields) -> bool:  # noqa: ARG002 - as the other codecs
        """Whether two encodings are equal, or one message written in another order or with defaults."""
        if data == again:
            return True
        first, second = self._class.FromString(data), self._class.FromString(again)
        return bool(
            first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
        )


def _bare(files: Any) -> bytes:
    """A descriptor set by which the same bytes decode to the same fields."""
    numbers = {file.name: f"{number}.proto" for number, file in enumerate(files.file)}
    made = descriptor_pb2.FileDescriptorSet()
    for file in files.file:
        bare = made.file.add()
        bare.CopyFrom(file)
        for part in ("source_code_info", "options"):
            bare.ClearField(part)
        bare.name = numbers[file.name]
        del bare.dependency[:]
        bare.dependency.extend(numbers[name] for name in file.dependency)
    content: bytes = made.SerializeToString(deterministic=True)
    return content


def _add(pool: Any, files: dict[str, Any]) -> None:
    """Add files after those that they import."""
    added: set[str] = set()

    def add(name: str, depth: int) -> None:
        if name in added:
            return
        if depth > len(files):
            raise ValueError("files import one another")
        for needed in files[name].dependency:
            add(needed, depth + 1)
        pool.Add(files[name])
        added.add(name)

    for name in files:
        add(name, 0)


def _read(message: Any) -> Any:
    if len(unknown_fields.UnknownFieldSet(message)):
        raise MalformedItemError(
            f"a {message.DESCRIPTOR.full_name!r} holds fields that its schema does not name"
        )
    if message.DESCRIPTOR.full_name == _TIME:
        return stamp_of(message.seconds, message.nanos)
    fields: Fields = {}
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            raise MalformedItemError(f"maps are not supported (got field {field.name!r})")
        value = getattr(message, field.name)
        if field.is_repeated:
            fields[field.name] = [_read(v) for v in value] if field.message_type is not None else list(value)
        elif field.message_type is not None:
            fields[field.name] = _read(value) if message.HasField(field.name) else None
        else:
            fields[field.name] = value if not field.has_presence or message.HasField(field.name) else None
    return fields


def _write(message: Any, fields: Fields) -> None:
    for name, value in fields.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if value is None:
            continue
        if field.is_repeated:
            target = getattr(message, name)
            if field.message_type is None:
                target.extend(value)
            else:
                for item in value:
                    _fill(target.add(), item)
        elif field.message_type is not None:
            part = getattr(message, name)
            part.SetInParent()
            _fill(part, value)
        else:
            setattr(message, name, bytes(value) if isinstance(value, bytearray | memoryview) else value)


def _fill(message: Any, value: Any) -> None:
    if isinstance(value, Stamp):
        message.seconds, message.nanos = value.split()
    else:
        _write(message, value)

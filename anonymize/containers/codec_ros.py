"""ROS 1 serialisation and ROS 2 CDR by the definition in the container (rosbags' type store).

Sources: ROS message definition format (wiki.ros.org/msg), OMG CDR as ROS 2 uses it: encapsulation
``00 00`` or ``00 01`` and two bytes of options.
"""

import functools
import hashlib
import struct
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.serde import SerdeError
from rosbags.serde.utils import ndtype
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.base import normalize_fieldname
from rosbags.typesys.store import Typestore

from anonymize.containers.outline import Outline, RosOutlines
from anonymize.containers.stream import Schema
from anonymize.containers.tree import Fields, Stamp, is_type_name, stamp_of
from anonymize.errors import MalformedItemError

_TIME = "builtin_interfaces/msg/Time"
_DURATION = "builtin_interfaces/msg/Duration"
_ROS1_TIMES: dict[str, Any] = {
    _TIME: ([], [("sec", (Nodetype.BASE, ("uint32", 0))), ("nanosec", (Nodetype.BASE, ("uint32", 0)))]),
    _DURATION: ([], [("sec", (Nodetype.BASE, ("int32", 0))), ("nanosec", (Nodetype.BASE, ("int32", 0)))]),
}
_ROS2_STORES = tuple(s for s in Stores if s.name.startswith("ROS2"))
_MOST_TEXT = 1 << 20
_MOST_ARRAY = 4096
_HEADER = 4
_TAIL = 3
_LITTLE = sys.byteorder == "little"


class RosCodec:
    """Messages of one ROS type."""

    def __init__(self, schema: Schema, *, ros1: bool) -> None:
        """Register the definition.

        Args:
            schema: Name and definition of the type.
            ros1: Whether messages are in the serialisation of ROS 1; CDR otherwise.

        Raises:
            MalformedItemError: The definition is malformed, too large, missing where the distributions differ,
                or another one than any that was published under that name.
        """
        if not is_type_name(schema.name):
            raise MalformedItemError(f"name of a ROS type is malformed (got {schema.name[:80]!r})")
        self._name = schema.name
        self._store, self._type = _store(schema.name, schema.data, ros1=ros1)
        self._ros1 = ros1
        self._outlines = None if ros1 else RosOutlines.of(self._store, self._type)
        if self._outlines is None:
            self._require_code()

    def _require_code(self) -> None:
        """Make rosbags generate its code now; a plan for outlines already shows that it can."""
        try:
            self._store.get_msgdef(self._type)
        except (TypesysError, KeyError, RecursionError) as error:
            raise MalformedItemError(f"definition of {self._name!r} is malformed or incomplete") from error

    @functools.cached_property
    def _converters(self) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        self._require_code()
        return _Converters(self._store).of(self._type)

    @property
    def field_names(self) -> frozenset[str]:
        """Names of the fields of a message."""
        return frozenset(name for name, _ in self._store.fielddefs[self._type][1])

    @property
    def definition(self) -> Schema:
        """The definition with those of all types that it names, without comments and default values.

        Constants of text go too, but for those of standard types.
        """
        version = 1 if self._ros1 else 2
        text = self._store.generate_msgdef(self._type, ros_version=version)[0]
        return Schema(name=self._name, encoding="ros1msg" if self._ros1 else "ros2msg", data=text.encode())

    def decode(self, data: bytes) -> Fields:
        """Decode a message.

        Raises:
            MalformedItemError: The bytes do not follow the definition.
        """
        view, (read, _) = memoryview(data), self._converters
        try:
            if self._ros1:
                message = self._store.deserialize_ros1(view, self._type)
            else:
                message = self._store.deserialize_cdr(view, self._type)
            fields: Fields = read(message)
        except (SerdeError, struct.error, ValueError, IndexError, RecursionError) as error:
            raise MalformedItemError(f"a message does not follow the definition of {self._type!r}") from error
        return fields

    @property
    def tells_edges(self) -> bool:
        """Whether outlines tell edges, not poses."""
        return self._outlines is not None and self._outlines.tells_edges

    def outline(self, data: bytes) -> Outline | None:
        """What decides about a message; None where only decoding it can tell."""
        return None if self._outlines is None else self._outlines.read(data)

    def encode(self, fields: Fields, *, like: bytes) -> bytes:
        """Encode a message in the byte order of ``like``.

        Raises:
            MalformedItemError: A value does not fit its field.
        """
        try:
            return self._serialised(self._converters[1](fields), like, filled=False)
        except (
            SerdeError,
            struct.error,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            OverflowError,
        ) as error:
            raise MalformedItemError(
                f"a changed message does not fit the definition of {self._type!r}"
            ) from error

    def same(self, data: bytes, again: bytes, fields: Fields) -> bool:
        """Whether two encodings are one message: equal, but for CDR's padding, which has no value.

        Writers of CDR leave what was in memory in the gaps that align values, and up to three bytes after the
        last one.
        """
        if data == again:
            return True
        if self._ros1 or not len(again) <= len(data) <= len(again) + _TAIL:
            return False
        other = self._serialised(self._converters[1](fields), data, filled=True)
        a, b, c = (np.frombuffer(x, np.uint8, count=len(again)) for x in (data, again, other))
        return bool(((a == b) | (b != c)).all())

    def _serialised(self, message: Any, like: bytes, *, filled: bool) -> bytes:
        if self._ros1:
            return bytes(self._store.serialize_ros1(message, self._type))
        definition = self._store.get_msgdef(self._type)
        size = _HEADER + definition.getsize_cdr(0, message, self._store)
        buffer = bytearray((b"\xff" if filled else b"\x00") * size)
        buffer[:_HEADER] = like[:_HEADER]
        write = definition.serialize_cdr_le if like[1] else definition.serialize_cdr_be
        write(memoryview(buffer)[_HEADER:], 0, message, self._store)
        return bytes(buffer)


class _Converters:
    """Functions between the objects of a type store and trees, made once for each type."""

    def __init__(self, store: Typestore) -> None:
        self._store = store
        self._made: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {}

    def of(self, name: str) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        if name == _TIME:
            return self._time()
        if name not in self._made:
            made = self._store.types[name]
            parts = [(n, normalize_fieldname(n), *self._field(d)) for n, d in self._store.fielddefs[name][1]]

            def read(message: Any) -> Fields:
                return {n: r(getattr(message, a)) for n, a, r, _ in parts}

            def write(fields: Fields) -> Any:
                return made(**{a: w(fields[n]) for n, a, _, w in parts})

            self._made[name] = (read, write)
        return self._made[name]

    def _time(self) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        made = self._store.types[_TIME]

        def write(stamp: Stamp) -> Any:
            sec, nanosec = stamp.split()
            return made(sec=sec, nanosec=nanosec)

        return lambda message: stamp_of(message.sec, message.nanosec), write

    def _field(self, desc: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        kind, rest = desc
        if kind == Nodetype.NAME:
            return self.of(rest)
        if kind == Nodetype.BASE:
            return _same, _same
        (inner, name), _ = rest
        if inner == Nodetype.NAME:
            read, write = self.of(name)
            return (lambda v: [read(i) for i in v]), (lambda v: [write(i) for i in v])
        if name[0] == "string":
            return list, list
        dtype = np.dtype(ndtype(name[0]))
        return _same, lambda v: np.ascontiguousarray(
            np.frombuffer(v, dtype) if isinstance(v, bytes | bytearray) else v, dtype=dtype
        )


def _same(value: Any) -> Any:
    return value


def _store(name: str, data: bytes, *, ros1: bool) -> tuple[Typestore, str]:
    full = name if "/msg/" in name else "/msg/".join(name.rsplit("/", 1))
    store = Typestore()
    types = _parsed(full, data) if data else _agreed(full, ros1=ros1)
    if ros1:
        types = {**types, **_ROS1_TIMES}
    published = _published(ros1=ros1)
    types = {
        key: ([c for c in constants if key in published or c[1] != "string"], fields)
        for key, (constants, fields) in types.items()
    }
    try:
        _check_whole(types, full)
        store.register(types)
    except (TypesysError, KeyError, RecursionError) as error:
        raise MalformedItemError(f"definition of {name!r} is malformed or incomplete") from error
    _check_published(types, ros1=ros1)
    return store, full


def _parsed(name: str, data: bytes) -> Any:
    if len(data) > _MOST_TEXT:
        raise MalformedItemError(f"definition of {name!r} is too large (got {len(data)} bytes)")
    try:
        return get_types_from_msg(data.decode("utf-8").replace("\r\n", "\n"), name)
    except (TypesysError, UnicodeDecodeError, RecursionError, ValueError, AssertionError) as error:
        raise MalformedItemError(f"definition of {name!r} is malformed") from error


def _check_whole(types: Any, name: str) -> None:
    """Require every named type once, no cycle, and fixed arrays of a size that code can be made for."""
    state: dict[str, int] = {}

    def visit(current: str) -> None:
        if state.get(current) == 1:
            raise TypesysError(f"type {current!r} holds itself")
        if current in state:
            return
        state[current] = 1
        for _, desc in types[current][1]:
            kind, rest = desc
            if kind in {Nodetype.ARRAY, Nodetype.SEQUENCE}:
                (inner, of), size = rest
                numbers = inner == Nodetype.BASE and of[0] != "string"
                if kind == Nodetype.ARRAY and size > _MOST_ARRAY and not numbers:
                    raise TypesysError(f"type {current!r} has an array of {size} elements")
                kind, rest = inner, of
            if kind == Nodetype.NAME:
                visit(rest)
        state[current] = 2

    visit(name)


@functools.cache
def _published(*, ros1: bool) -> dict[str, tuple[Any, ...]]:
    """The fields of every standard type in each distribution."""
    stores = (Stores.ROS1_NOETIC,) if ros1 else _ROS2_STORES
    found: dict[str, list[Any]] = {}
    for which in stores:
        for name, (_, fields) in get_typestore(which).fielddefs.items():
            found.setdefault(name, []).append(fields)
    return {name: tuple(variants) for name, variants in found.items()}


def _plain(fields: Any) -> Any:
    return [
        (name, _plain_type(desc)) for name, desc in fields if name != "structure_needs_at_least_one_member"
    ]


def _plain_type(desc: Any) -> Any:
    kind, rest = desc
    if kind in {Nodetype.ARRAY, Nodetype.SEQUENCE}:
        return int(kind), _plain_type(rest[0]), rest[1]
    return int(kind), tuple(rest) if isinstance(rest, tuple) else rest


def _check_published(types: Any, *, ros1: bool) -> None:
    published = _published(ros1=ros1)
    for name, (_, fields) in types.items():
        if ros1 and name in _ROS1_TIMES:
            continue
        variants = published.get(name)
        if variants and not any(_plain(v) == _plain(fields) for v in variants):
            digest = hashlib.sha256(repr(_plain(fields)).encode()).hexdigest()[:12]
            raise MalformedItemError(
                f"definition of {name!r} is none that was published (got fields of digest {digest})"
            )


def _agreed(name: str, *, ros1: bool) -> Any:
    """The definition of a standard type on which all distributions agree, with those that it names."""
    published = _published(ros1=ros1)
    types: dict[str, Any] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        variants = published.get(current, ())
        if not variants or any(_plain(v) != _plain(variants[0]) for v in variants):
            raise MalformedItemError(
                f"the container holds no definition of {name!r}, and {current!r} has no single published one"
            )
        types[current] = ([], variants[0])
        for _, desc in variants[0]:
            inner = desc[1][0] if desc[0] in {Nodetype.ARRAY, Nodetype.SEQUENCE} else desc
            if inner[0] == Nodetype.NAME and inner[1] not in types:
                waiting.append(inner[1])
    return types

"""A second reader of messages, for the residual scan: shares no code with the codecs that wrote them.

ROS definitions are read line by line and messages walked with ``struct``; protobuf is walked by its wire format
alone, without a schema; JSON by the standard library. What comes out are values in the order of the message.
"""

import json
import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from anonymize.errors import MalformedItemError

_SIZES = {
    "bool": "?", "byte": "B", "char": "B", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i",
    "uint32": "I", "int64": "q", "uint64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip
_LINE = re.compile(
    r"\s*(?P<type>[A-Za-z][\w/]*)(?:<=\d+)?(?P<array>\[(?:<=)?\d*\])?\s+(?P<name>\w+)\s*(?P<rest>=?)"
)
_SEPARATOR = re.compile(r"^=+\s*$", re.MULTILINE)
_TIMES = frozenset({"time", "builtin_interfaces/Time"})
_SPANS = frozenset({"duration", "builtin_interfaces/Duration"})
_MOST = 1 << 24
_DEEPEST = 32
_PER_S = 1_000_000_000
_LEAST_SECONDS = 10**8


@dataclass(slots=True)
class Values:
    """What a message holds.

    Attributes:
        numbers: Single numbers and those of short sequences, in order.
        times_ns: Moments in nanoseconds that are not zero.
        texts: Strings.
        blobs: Sequences of bytes.
    """

    numbers: list[float]
    times_ns: list[int]
    texts: list[str]
    blobs: list[bytes]


def values_of(data: bytes, *, message_encoding: str, schema: bytes, name: str) -> Values:
    """Read a message.

    Raises:
        MalformedItemError: The encoding is unknown, or the message contradicts its schema.
    """
    found = Values([], [], [], [])
    try:
        match message_encoding:
            case "cdr" | "ros1":
                _Ros(_parsed(schema.decode(), name), data, found, cdr=message_encoding == "cdr").read(name)
            case "protobuf":
                _protobuf(data, found, 0)
            case "json":
                _json(json.loads(data), found, 0)
            case _:
                raise MalformedItemError(f"messages cannot be scanned (got encoding {message_encoding!r})")
    except (struct.error, UnicodeDecodeError, ValueError, KeyError, IndexError, RecursionError) as error:
        raise MalformedItemError(
            f"a message of {name!r} cannot be read again ({type(error).__name__})"
        ) from error
    return found


def _short(name: str) -> str:
    return name.replace("/msg/", "/")


def _parsed(text: str, name: str) -> dict[str, list[tuple[str, str]]]:
    types: dict[str, list[tuple[str, str]]] = {}
    for number, part in enumerate(_SEPARATOR.split(text)):
        lines = part.strip().splitlines()
        own = _short(lines.pop(0).removeprefix("MSG:").strip()) if number else _short(name)
        fields = []
        for line in lines:
            found = _LINE.match(line.split("#", 1)[0])
            if found and not found["rest"]:
                fields.append((_short(found["type"]), found["array"] or ""))
        types[own] = fields
    return types


class _Ros:
    def __init__(
        self, types: dict[str, list[tuple[str, str]]], data: bytes, found: Values, *, cdr: bool
    ) -> None:
        self._types, self._data, self._found, self._cdr = types, data, found, cdr
        self._at, self._start = (4, 4) if cdr else (0, 0)
        self._order = ">" if cdr and not data[1] else "<"

    def read(self, name: str) -> None:
        self._type(_short(name), "", 0)
        if not 0 <= len(self._data) - self._at <= (3 if self._cdr else 0):
            raise ValueError("bytes are left")

    def _type(self, name: str, package: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        if name in _TIMES or name in _SPANS:
            ns = int(self._scalar("i" if self._cdr else "I")) * _PER_S + int(self._scalar("I"))
            if ns and name in _TIMES:
                self._found.times_ns.append(ns)
            return
        if name == "Header":
            name = "std_msgs/Header"
        full = name if name in self._types or "/" in name else f"{package}/{name}"
        fields = self._types[full]
        if not fields and self._cdr:
            self._scalar("B")
        for kind, array in fields:
            self._field(kind, array, full.split("/", maxsplit=1)[0], depth)

    def _field(self, kind: str, array: str, package: str, depth: int) -> None:
        count = 1
        if array:
            fixed = array.strip("[]")
            count = int(fixed) if fixed.isdigit() else int(self._scalar("I"))
        if count > _MOST or count > len(self._data):
            raise ValueError("a sequence is too long")
        if kind == "string":
            for _ in range(count):
                self._string()
        elif kind not in _SIZES:
            for _ in range(count):
                self._type(kind, package, depth + 1)
        elif array:
            self._sequence(_SIZES[kind], count)
        else:
            self._found.numbers.append(float(self._scalar(_SIZES[kind])))

    def _align(self, size: int) -> None:
        if self._cdr:
            self._at += -(self._at - self._start) % size

    def _scalar(self, code: str) -> float:
        size = struct.calcsize(code)
        self._align(size)
        (value,) = struct.unpack_from(self._order + code, self._data, self._at)
        self._at += size
        return value  # type: ignore[no-any-return]

    def _string(self) -> None:
        length = int(self._scalar("I"))
        raw = self._data[self._at : self._at + length]
        if len(raw) != length:
            raise ValueError("a string is cut short")
        self._at += length
        self._found.texts.append(raw[: length - self._cdr].decode())

    def _sequence(self, code: str, count: int) -> None:
        size = struct.calcsize(code)
        if count:
            self._align(size)
        raw = self._data[self._at : self._at + size * count]
        if len(raw) != size * count:
            raise ValueError("a sequence is cut short")
        self._at += len(raw)
        if size == 1:
            self._found.blobs.append(raw)
        else:
            self._found.numbers.extend(
                np.frombuffer(raw, np.dtype(self._order + code)).astype(float).tolist()
            )


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
            return value, at
        if shift > 63:  # noqa: PLR2004 - bits of the longest varint
            raise ValueError("a varint is too long")


def _fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, kind, value
            continue
        if kind == 2:  # noqa: PLR2004 - length-delimited
            size, at = _varint(data, at)
        else:
            size = {1: 8, 5: 4}[kind]
        raw = data[at : at + size]
        if len(raw) != size or number == 0:
            raise ValueError("a field is cut short")
        at += size
        yield number, kind, raw


def _protobuf(data: bytes, found: Values, depth: int) -> None:
    varints: dict[int, int] = {}
    for number, kind, value in _fields(data):
        if isinstance(value, int):
            varints[number] = value
            found.numbers.append(float(value))
        elif kind == 1:
            found.numbers.append(struct.unpack("<d", value)[0])
        elif kind == 5:  # noqa: PLR2004 - four bytes
            found.numbers.append(struct.unpack("<f", value)[0])
        else:
            _delimited(value, found, depth)
    if varints.get(1, 0) >= _LEAST_SECONDS and set(varints) <= {1, 2}:
        found.times_ns.append(varints[1] * _PER_S + varints.get(2, 0))


def _delimited(value: bytes, found: Values, depth: int) -> None:
    """A message, a string or bytes: the wire does not say which, so all that it may be is noted."""
    inner = Values([], [], [], [])
    try:
        if depth < _DEEPEST:
            _protobuf(value, inner, depth + 1)
            found.numbers += inner.numbers
            found.times_ns += inner.times_ns
            found.texts += inner.texts
    except (ValueError, IndexError, KeyError, struct.error):
        found.blobs.append(value)
    try:
        found.texts.append(value.decode())
    except UnicodeDecodeError:
        found.blobs.append(value)


def _json(node: object, found: Values, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(node, dict):
        if set(node) == {"sec", "nsec"}:
            ns = int(node["sec"]) * _PER_S + int(node["nsec"])
            found.times_ns += [ns] if ns else []
            return
        for value in node.values():
            _json(value, found, depth + 1)
    elif isinstance(node, list):
        for value in node:
            _json(value, found, depth + 1)
    elif isinstance(node, str):
        found.texts.append(node)
    elif isinstance(node, int | float) and math.isfinite(node):
        found.numbers.append(float(node))

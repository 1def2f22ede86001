"""Grammars of the CAN logs that this package writes, for checking them: uses nothing of readers and writers.

An ASC log must match line by line; a BLF log is walked structure by structure, and every field that is not part
of a frame must be zero or the constant that it always is.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, Literal

_HEAD = re.compile(
    rb"date (?P<date>[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d\.\d{3} \d{4})\n"
    rb"base hex  timestamps absolute\nno internal events logged\n"
)
_HEAD_BYTES = 256
_LINE = re.compile(
    rb"(?P<time>\d+\.\d{6}) (?:(?P<error>\d+  ErrorFrame)"
    rb"|\d+  (?P<id>[0-9A-F]{1,8})(?P<x>x?) +(?:Rx|Tx)   "
    rb"(?:r (?P<asked>[0-8])|d (?P<length>[0-8])(?P<data>(?: [0-9A-F]{2})*))"
    rb"|CANFD +\d+ (?:Rx|Tx)   +(?P<fdid>[0-9A-F]{1,8})(?P<fdx>x?) +[01] [01] [0-9a-f] +(?P<fdlength>\d+) "
    rb"(?P<fddata>(?:[0-9A-F]{2} )*) +0 +0 +[1357]000 +0 +0 +0 +0 +0)"
)
_CHUNK = 1 << 20
_FILE_BYTES = 144
_OBJECT, _STAMP = struct.Struct("<4sHHII"), struct.Struct("<IHHQ")
_LARGEST = 128 * 1024
_FRAME = {1: 16, 73: 32, 100: 84}
_EXTENDED = 1 << 31


class GrammarError(Exception):
    """What was read breaks the grammar; says where, never what."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame as the scan sees it; ``data`` is None for error and remote frames."""

    time_s: float
    id: int
    extended: bool
    data: bytes | None
    error: bool


def date_of(file: BinaryIO, kind: Literal["asc", "blf"]) -> float | None:
    """POSIX seconds of the start that a log states; None where it states none.

    Raises:
        GrammarError: The head is none.
    """
    file.seek(0)
    if kind == "asc":
        head = _HEAD.match(file.read(_HEAD_BYTES))
        if head is None:
            raise GrammarError("head")
        moment = datetime.strptime(head["date"].decode() + " +0000", "%a %b %d %H:%M:%S.%f %Y %z")
        return moment.timestamp() or None
    times = struct.unpack("<16H", _blf_head(file)[40:72])
    start, stop = _moment(times[:8]), _moment(times[8:])
    if (start is None) != (stop is None) or (start is not None and stop is not None and stop < start):
        raise GrammarError("date")
    return start


def seen_in(file: BinaryIO, kind: Literal["asc", "blf"]) -> Iterator[Seen]:
    """The frames of a log, in its order.

    Raises:
        GrammarError: Something is there that is no frame, or a frame has another form than those written here.
    """
    return _asc(file) if kind == "asc" else _blf(file)


def _asc(file: BinaryIO) -> Iterator[Seen]:
    file.seek(0)
    left, number = file.read(_HEAD_BYTES), 0
    head = _HEAD.match(left)
    if head is None:
        raise GrammarError("head")
    left = left[head.end() :]
    while content := file.read(_CHUNK):
        *lines, left = (left + content).split(b"\n")
        for line in lines:
            number += 1
            yield _seen(line, number)
    *lines, left = left.split(b"\n")
    for line in lines:
        number += 1
        yield _seen(line, number)
    if left:
        raise GrammarError(f"frame {number}: no end of line")


def _seen(line: bytes, number: int) -> Seen:
    match = _LINE.fullmatch(line)
    if match is None:
        raise GrammarError(f"frame {number}")
    time_s = float(match["time"])
    if match["error"]:
        return Seen(time_s, 0, False, None, True)  # noqa: FBT003
    fd = match["fdid"] is not None
    data = bytes.fromhex((match["fddata"] if fd else match["data"] or b"").decode())
    if match["asked"] is None and len(data) != int(match["fdlength"] if fd else match["length"]):
        raise GrammarError(f"frame {number}: length")
    return Seen(
        time_s,
        int(match["fdid"] if fd else match["id"], 16),
        bool(match["fdx"] if fd else match["x"]),
        None if match["asked"] is not None else data,
        False,  # noqa: FBT003
    )


def _blf_head(file: BinaryIO) -> bytes:
    file.seek(0)
    head = file.read(_FILE_BYTES)
    constants = head[:4] + head[8:16] + head[36:40] + head[72:144]
    known = b"LOGG" + bytes([0, 0, 0, 0, 2, 6, 8, 1]) + bytes(4) + bytes(72)
    if len(head) != _FILE_BYTES or constants != known or head[4:8] != struct.pack("<I", _FILE_BYTES):
        raise GrammarError("head")
    return head


def _moment(fields: tuple[int, ...]) -> float | None:
    year, month, weekday, day, hour, minute, second, milli = fields
    if not any(fields):
        return None
    moment = datetime(year, month, day, hour, minute, second, milli * 1000, tzinfo=UTC)
    if weekday != moment.isoweekday() % 7:
        raise GrammarError("date")
    return moment.timestamp()


def _blf(file: BinaryIO) -> Iterator[Seen]:
    head = _blf_head(file)
    size, inner, objects, _ = struct.unpack("<QQII", head[16:40])
    count, at, unpacked = 0, _FILE_BYTES, _FILE_BYTES
    while at < size:
        file.seek(at)
        raw = file.read(_OBJECT.size + 16)
        if len(raw) < _OBJECT.size + 16:
            raise GrammarError(f"container at {at}")
        signature, header, version, length, kind = _OBJECT.unpack(raw[: _OBJECT.size])
        method, stated = struct.unpack("<H6xI4x", raw[_OBJECT.size :])
        packed = file.read(length - len(raw) + length % 4)
        fixed = (signature, header, version, kind, method) == (b"LOBJ", _OBJECT.size, 1, 10, 2)
        if not fixed or stated > _LARGEST or packed[length - len(raw) :].strip(b"\x00") or any(raw[18:24]):
            raise GrammarError(f"container at {at}")
        for seen in _objects(packed[: length - len(raw)], stated, at):
            count += 1
            yield seen
        unpacked += len(raw) + stated
        at += length + length % 4
    if (at, unpacked, count) != (file.seek(0, 2), inner, objects):
        raise GrammarError("totals")


def _objects(packed: bytes, stated: int, where: int) -> Iterator[Seen]:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(packed, stated + 1)
    if len(content) != stated or not unpacker.eof or unpacker.unused_data:
        raise GrammarError(f"container at {where}")
    at = 0
    while at < len(content):
        signature, header, version, length, kind = _OBJECT.unpack_from(content, at)
        if (signature, header, version) != (b"LOBJ", 32, 1) or length != 32 + _FRAME.get(kind, -1):
            raise GrammarError(f"object at {where}+{at}")
        flags, client, stamp_version, time_ns = _STAMP.unpack_from(content, at + _OBJECT.size)
        if (flags, client, stamp_version) != (2, 0, 0):
            raise GrammarError(f"object at {where}+{at}")
        yield _body(content[at + 32 : at + length], kind, time_ns, f"object at {where}+{at}")
        at += length + length % 4


def _body(body: bytes, kind: int, time_ns: int, where: str) -> Seen:
    time_s = time_ns / 1e9
    if kind == 73:  # noqa: PLR2004 - an error frame, of which only the channel is known
        if any(body[2:]):
            raise GrammarError(where)
        return Seen(time_s, 0, False, None, True)  # noqa: FBT003
    flags, length, number = body[2], body[3], int.from_bytes(body[4:8], "little")
    content, more = body[8:], 0
    if kind == 100:  # noqa: PLR2004 - a frame of CAN FD
        if any(body[8:13]) or any(body[15:20]) or not body[13] & 1:
            raise GrammarError(where)
        length, content = body[14], body[20:]
    more = len(content[length:].strip(b"\x00"))
    if more or flags & 0x7E or length > len(content):
        raise GrammarError(where)
    identifier, extended = number & ~_EXTENDED, bool(number & _EXTENDED)
    remote = bool(flags & 0x80)
    if remote and any(content):
        raise GrammarError(where)
    return Seen(time_s, identifier, extended, None if remote else content[:length], False)  # noqa: FBT003

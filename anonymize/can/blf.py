"""Vector BLF logs: objects within compressed containers.

The structure is walked here first, with every length checked and every container unpacked within a limit;
then python-can reads the frames, and must find as many as the walk counted.
"""

import io
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from anonymize.can.blf_layout import CONTAINER, CONTAINER_TYPE, DEFLATED, FILE, FILE_BYTES, OBJECT, STORED
from anonymize.can.blf_writing import file_header
from anonymize.can.frame import Frame
from anonymize.can.library import blf_messages, to_frame
from anonymize.errors import LimitExceededError, MalformedItemError

# Least bytes of the objects that hold frames, with the shorter of both headers.
_FRAME_TYPES = {1: 48, 86: 48, 73: 64, 100: 116, 101: 72}
_NAMES = {2: "can error", 3: "can overload", 4: "can statistic", 31: "can driver status", 46: "gps",
          65: "app text", 92: "event comment", 96: "global marker"}  # fmt: skip
_LARGEST = 16 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_YEAR = 1971


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container: offsets of its header and of what follows it."""

    begin: int
    end: int


@dataclass(slots=True)
class BlfWalk:
    """What the walk of a whole file found.

    Attributes:
        start_ms: Milliseconds since 1970 of the log's start as its header states, taken as UTC; None where it
            states none.
        frames: Number of objects that hold frames.
        dropped: Names of other objects, with their number.
    """

    start_ms: int | None = None
    frames: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def walk_blf(file: BinaryIO, *, max_frames: int) -> BlfWalk:
    """Check the structure of a file and count its objects; memory is bounded by one container.

    Raises:
        MalformedItemError: The header, an object or a container is cut short, has an impossible size, an
            unknown compression or damaged content, or a frame lies outside of containers.
        LimitExceededError: There are too many frames, or a container or object is larger than 16 MiB.
    """
    found = BlfWalk(start_ms=_start(file))
    tail = b""
    for container in containers(file, found.dropped):
        tail = _objects(tail + _unpack(file, container), found)
        if found.frames > max_frames:
            raise LimitExceededError(f"the log holds too many frames (expected at most {max_frames})")
    if tail.strip(b"\x00"):
        raise MalformedItemError(f"the last object is cut short (got {len(tail)} bytes)")
    return found


def containers(file: BinaryIO, dropped: Counter[str] | None = None) -> Iterator[Container]:
    """The containers of a file; other objects between them are counted.

    Raises:
        MalformedItemError: An object is cut short or no object, or a frame lies outside of containers.
    """
    size = file.seek(0, 2)
    at = _header(file)[1]
    while at < size:
        file.seek(at)
        head = file.read(OBJECT.size)
        if len(head) < OBJECT.size:
            if head.strip(b"\x00"):
                raise MalformedItemError(f"an object is cut short (got {len(head)} bytes)")
            return
        signature, header, _, length, kind = OBJECT.unpack(head)
        if signature != b"LOBJ" or length < max(header, OBJECT.size):
            raise MalformedItemError(f"no object at {at} (got {signature!r} of {length} bytes)")
        if at + length > size:
            raise MalformedItemError(f"an object is cut short (got {size - at} bytes, expected {length})")
        # Objects are followed by as many bytes as their length modulo 4, as all known writers do.
        end = at + length + length % 4
        if kind == CONTAINER_TYPE:
            yield Container(begin=at, end=end)
        elif kind in _FRAME_TYPES:
            raise MalformedItemError(f"a frame lies outside of containers (got object type {kind})")
        elif dropped is not None:
            dropped[_NAMES.get(kind, f"object {kind}")] += 1
        at = end


def read_blf(file: BinaryIO, walk: BlfWalk) -> Iterator[Frame]:
    """The frames of a whole file that was walked.

    Raises:
        MalformedItemError: A frame is impossible, or their number is not that of the walk.
    """
    begin, size = _header(file)[1], file.seek(0, 2)
    count = 0
    for message in blf_messages(_Part(file, begin, size)):
        yield to_frame(message, count)
        count += 1
    if count != walk.frames:
        raise MalformedItemError(f"frames are missing (got {count}, expected {walk.frames})")


def read_container(file: BinaryIO, container: Container) -> Iterator[Frame]:
    """The frames of one container in a file that this module wrote: no object spans two of them.

    Raises:
        MalformedItemError: An object spans two containers, or a frame is impossible.
    """
    found = BlfWalk()
    if _objects(_unpack(file, container), found).strip(b"\x00"):
        raise MalformedItemError("an object spans two containers (expected none in a cleansed log)")
    yield from read_blf_part(file, container, found.frames)


def read_blf_part(file: BinaryIO, container: Container, expected: int) -> Iterator[Frame]:
    """The frames between the offsets of a container, of which there are ``expected``."""
    count = 0
    for message in blf_messages(_Part(file, container.begin, container.end)):
        yield to_frame(message, count)
        count += 1
    if count != expected:
        raise MalformedItemError(f"frames are missing (got {count}, expected {expected})")


class _Part:
    """What python-can sees: a neutral header, so that times count from 0, and the bytes of a part."""

    def __init__(self, file: BinaryIO, begin: int, end: int) -> None:
        self._file, self._at, self._end = file, begin, end
        self._head = io.BytesIO(file_header(file_bytes=FILE_BYTES))

    def read(self, size: int = -1) -> bytes:
        if head := self._head.read(size):
            return head
        self._file.seek(self._at)
        left = self._end - self._at
        content = self._file.read(left if size < 0 else min(size, left))
        self._at += len(content)
        return content

    def close(self) -> None:
        """Nothing: the file is the caller's."""


def _header(file: BinaryIO) -> tuple[int, ...]:
    file.seek(0)
    raw = file.read(FILE.size)
    if len(raw) < FILE.size or raw[:4] != b"LOGG":
        raise MalformedItemError(f"no BLF header (got {raw[:4]!r} of {len(raw)} bytes)")
    fields: tuple[int, ...] = FILE.unpack(raw)
    size = file.seek(0, 2)
    if not FILE.size <= fields[1] <= size:
        raise MalformedItemError(f"the header has an impossible size (got {fields[1]})")
    if fields[10] > size:
        raise MalformedItemError(f"the log is cut short (got {size} bytes, expected {fields[10]})")
    return fields


def _start(file: BinaryIO) -> int | None:
    year, month, _, day, hour, minute, second, milli = _header(file)[14:22]
    if year < _EARLIEST_YEAR:
        return None
    try:
        moment = datetime(year, month, day, hour, minute, second, milli * 1000, tzinfo=UTC)
    except ValueError as error:
        raise MalformedItemError(f"the log's start is no time (got {year}-{month}-{day})") from error
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _unpack(file: BinaryIO, container: Container) -> bytes:
    file.seek(container.begin)
    _, _, _, length, _ = OBJECT.unpack(file.read(OBJECT.size))
    body = length - OBJECT.size - CONTAINER.size
    if body < 0:
        raise MalformedItemError(f"a container is cut short (got {length} bytes)")
    method, stated = CONTAINER.unpack(file.read(CONTAINER.size))
    if stated > _LARGEST or body > _LARGEST:
        raise LimitExceededError(
            f"a container is too large (got {stated} bytes, expected at most {_LARGEST})"
        )
    content = file.read(body)
    if method == DEFLATED:
        unpacker = zlib.decompressobj()
        try:
            content = unpacker.decompress(content, stated + 1)
        except zlib.error as error:
            raise MalformedItemError("a container's content is damaged (zlib)") from error
        if not unpacker.eof:
            raise MalformedItemError(
                f"a container holds more or less than it states (expected {stated} bytes)"
            )
    elif method != STORED:
        raise MalformedItemError(f"a container has an unknown compression (got {method}, expected 0 or 2)")
    if len(content) != stated:
        raise MalformedItemError(f"a container holds {len(content)} bytes (expected {stated})")
    return content


def _objects(content: bytes, found: BlfWalk) -> bytes:
    """Count the whole objects; what is left over continues in the next container."""
    at = 0
    while True:
        begin = content.find(b"LOBJ", at, at + 8)
        if begin < 0:
            rest = content[at:]
            if len(rest) >= 8 or rest.strip(b"\x00").strip(b"LOBJ"):  # noqa: PLR2004
                raise MalformedItemError("no object where one must begin (expected 'LOBJ')")
            return rest
        if len(content) - begin < OBJECT.size:
            return content[at:]
        _, header, version, length, kind = OBJECT.unpack_from(content, begin)
        least = _FRAME_TYPES.get(kind, OBJECT.size)
        if not max(least, header) <= length <= _LARGEST or (kind in _FRAME_TYPES and version not in {1, 2}):
            raise MalformedItemError(
                f"an object has an impossible size or version (got {length} bytes of version {version}, "
                f"expected at least {least})"
            )
        if begin + length > len(content):
            return content[at:]
        if kind in _FRAME_TYPES:
            found.frames += 1
        else:
            found.dropped[_NAMES.get(kind, f"object {kind}")] += 1
        at = begin + length

"""Writing BLF logs: whole objects in containers, and nothing but frames."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from anonymize.can.blf_layout import CONTAINER, CONTAINER_TYPE, DEFLATED, FILE, FILE_BYTES, OBJECT, STAMP
from anonymize.can.frame import FD_LENGTHS, Frame

_MESSAGE = struct.Struct("<HBBL8s")
_FD_MESSAGE = struct.Struct("<HBBLLBBB5x64s")
_ERROR = struct.Struct("<HHLBBBxLLH2x8s")
_MESSAGE_TYPE, _ERROR_TYPE, _FD_TYPE = 1, 73, 100
_OUT_BYTES = 128 * 1024
_NANOSECONDS = 2
_EXTENDED = 0x80000000
_REMOTE, _SENT = 0x80, 0x01
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class BlfTotals:
    """What the header of a written file states: sizes in bytes, objects, and the last time."""

    file_bytes: int = FILE_BYTES
    inner_bytes: int = FILE_BYTES
    objects: int = 0
    last_ns: int = 0


def blf_header(totals: BlfTotals, start_ms: int | None) -> bytes:
    """The header of a file that names no application; without times where ``start_ms`` is None."""
    stop = None if start_ms is None else start_ms + totals.last_ns // 10**6
    return file_header(
        file_bytes=totals.file_bytes,
        inner_bytes=totals.inner_bytes,
        objects=totals.objects,
        start_ms=start_ms,
        stop_ms=stop,
    )


def file_header(
    *,
    file_bytes: int,
    inner_bytes: int = FILE_BYTES,
    objects: int = 0,
    start_ms: int | None = None,
    stop_ms: int | None = None,
) -> bytes:
    """The header of a file; without times where they are None."""
    fields = (b"LOGG", FILE_BYTES, 0, 0, 0, 0, 2, 6, 8, 1, file_bytes, inner_bytes, objects, 0)
    return FILE.pack(*fields, *_system_time(start_ms), *_system_time(stop_ms)).ljust(FILE_BYTES, b"\x00")


def _system_time(milliseconds: int | None) -> tuple[int, ...]:
    if milliseconds is None:
        return (0,) * 8
    t = _EPOCH + timedelta(milliseconds=milliseconds)
    return t.year, t.month, t.isoweekday() % 7, t.day, t.hour, t.minute, t.second, t.microsecond // 1000


def blf_containers(frames: Iterable[Frame], totals: BlfTotals) -> Iterator[bytes]:
    """Containers of at most 128 KiB with whole objects, in the order of the frames; ``totals`` are counted."""
    buffer: list[bytes] = []
    size = 0
    for frame in frames:
        item = _object(frame)
        if size + len(item) > _OUT_BYTES:
            yield _packed(buffer, totals)
            buffer, size = [], 0
        buffer.append(item)
        size += len(item)
        totals.objects += 1
        totals.last_ns = max(totals.last_ns, frame.time_ns)
    if buffer:
        yield _packed(buffer, totals)


def _packed(buffer: list[bytes], totals: BlfTotals) -> bytes:
    content = b"".join(buffer)
    packed = zlib.compress(content, 6)
    length = OBJECT.size + CONTAINER.size + len(packed)
    head = OBJECT.pack(b"LOBJ", OBJECT.size, 1, length, CONTAINER_TYPE)
    whole = head + CONTAINER.pack(DEFLATED, len(content)) + packed + b"\x00" * (length % 4)
    totals.file_bytes += len(whole)
    totals.inner_bytes += OBJECT.size + CONTAINER.size + len(content)
    return whole


def _object(frame: Frame) -> bytes:
    identifier = frame.id | (_EXTENDED if frame.extended else 0)
    flags = (0 if frame.received else _SENT) | (_REMOTE if frame.remote else 0)
    if frame.error:
        kind, body = _ERROR_TYPE, _ERROR.pack(frame.channel, 0, 0, 0, 0, 0, 0, 0, 0, b"")
    elif frame.fd:
        code = FD_LENGTHS.index(frame.length)
        modes = 1 | (2 if frame.bitrate_switch else 0) | (4 if frame.error_state else 0)
        fields = (frame.channel, flags, code, identifier, 0, 0, modes, frame.length, frame.data)
        kind, body = _FD_TYPE, _FD_MESSAGE.pack(*fields)
    else:
        kind, body = _MESSAGE_TYPE, _MESSAGE.pack(frame.channel, flags, frame.length, identifier, frame.data)
    header = OBJECT.size + STAMP.size
    length = header + len(body)
    head = OBJECT.pack(b"LOBJ", header, 1, length, kind) + STAMP.pack(_NANOSECONDS, 0, 0, frame.time_ns)
    return head + body + b"\x00" * (length % 4)

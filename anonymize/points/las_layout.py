"""The layout of a LAS or LAZ file: header, variable length records and where points begin (LAS 1.0 to 1.4).

Nothing that the header claims is believed before it is held against the length of the file, so that no claim
makes anybody allocate.
"""

import math
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.points.las_records import ExtraDimension, LasRecord, read_extra_dimensions, record_of
from anonymize.profile import PointProfile

_HEADER = struct.Struct("<4s2H16s2B32s32s3H2IBHI5I12d")
_EXTENDED = struct.Struct("<8xQIQ")
_HEADER_BYTES = (227, 227, 227, 235, 375)
_VLR = struct.Struct("<2x16sHH32s")
_EVLR = struct.Struct("<2x16sHQ32s")
_MOST_RECORDS = 10_000
_EXTENDED_AT = 227
_LAS14 = 4
_COMPRESSED = 0x80
_FARTHEST = 1e12
_LASZIP = struct.Struct("<HH4xII16xH")
_LASZIP_ITEM = struct.Struct("<HHH")
_LASZIP_CHUNKED = (2, 3)

CRS_USER, SPEC_USER, LASZIP_USER, COPC_USER = "LASF_Projection", "LASF_Spec", "laszip encoded", "copc"
WKT_ID, GEO_KEYS_ID, EXTRA_BYTES_ID, LASZIP_ID = 2112, 34735, 4, 22204
CRS_IDS = frozenset({2111, WKT_ID, GEO_KEYS_ID, 34736, 34737})


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableRecord:
    """A VLR or EVLR: who defined it, which one it is, and where its payload lies in the file."""

    user_id: str
    record_id: int
    start: int
    length: int
    extended: bool

    @property
    def name(self) -> str:
        """How findings name it."""
        kind = "evlr" if self.extended else "vlr"
        return f"{kind}/{self.user_id}/{self.record_id}"

    def is_(self, user_id: str, record_id: int) -> bool:
        """Whether it is the record of this user and number."""
        return (self.user_id, self.record_id) == (user_id, record_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class LasLayout:
    """What a LAS file says of itself, checked against its length.

    Attributes:
        minor: Minor version, 0 to 4.
        record: Layout of a point record.
        compressed: Whether the points are LAZ.
        laszip: Payload of the LASzip VLR; empty without compression.
        count: Number of points, at least 1.
        scale, offset: Metres (or the unit of the reference system) per step and at step 0, for x, y, z.
        records: VLRs and EVLRs.
        points_at: Offset of the first point in bytes.
        metadata: Names of header fields that hold something which is no part of the points.
        trailing_bytes: Bytes behind everything that is accounted for; 0 for LAZ, where nothing tells.
    """

    minor: int
    record: LasRecord
    compressed: bool
    laszip: bytes
    count: int
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    records: tuple[VariableRecord, ...]
    points_at: int
    metadata: tuple[str, ...]
    trailing_bytes: int

    @property
    def copc(self) -> bool:
        """Whether the file is a COPC."""
        return any(r.user_id == COPC_USER for r in self.records)


def read_las_layout(file: BinaryIO, *, profile: PointProfile) -> LasLayout:
    """Read and check header, VLRs and EVLRs.

    Raises:
        MalformedItemError: Names what is wrong.
        LimitExceededError: There are more points than the profile permits, or absurdly many records.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(_HEADER_BYTES[_LAS14])
    if len(head) < _HEADER.size or not head.startswith(b"LASF"):
        raise MalformedItemError(f"no LAS header (got {len(head)} bytes, expected 'LASF' and {_HEADER.size})")
    (_, source_id, encoding, guid, major, minor, system, software, day, year, header_bytes, points_at, vlrs,
     point_format, length, legacy, *rest) = _HEADER.unpack_from(head)  # fmt: skip
    _check_version(major, minor, header_bytes, len(head))
    extended = _EXTENDED.unpack_from(head, _EXTENDED_AT) if minor >= _LAS14 else (0, 0, legacy)
    evlr_at, evlrs, count = extended
    if legacy and legacy != count:
        raise MalformedItemError(f"the two point counts differ (got {legacy} and {count})")
    _check_count(count, profile)
    if not header_bytes <= points_at <= size:
        raise MalformedItemError(
            f"points begin outside the file (got {points_at}, expected {header_bytes} to {size})"
        )
    records = (
        *_walk(file, header_bytes, points_at, vlrs, extended=False),
        *_walk(file, evlr_at, size, evlrs, extended=True),
    )
    compressed = bool(point_format & _COMPRESSED)
    extra = _extra_dimensions(file, records)
    record = record_of(point_format & ~_COMPRESSED, length, extra)
    named = {"file_source_id": source_id, "guid": any(guid), "system_identifier": system.strip(b"\x00 "),
             "generating_software": software.strip(b"\x00 "), "creation_date": day or year,
             "global_encoding": encoding & ~0x10, "header_bytes": header_bytes - _HEADER_BYTES[minor]}  # fmt: skip
    scale, offset = _place_of(rest[5:11])
    return LasLayout(
        minor=minor,
        record=record,
        compressed=compressed,
        laszip=_laszip(file, records, length) if compressed else b"",
        count=count,
        scale=scale,
        offset=offset,
        records=records,
        points_at=points_at,
        metadata=tuple(name for name, value in named.items() if value),
        trailing_bytes=0 if compressed else _trailing(size, points_at, count * length, records),
    )


def payload(file: BinaryIO, record: VariableRecord) -> bytes:
    """The payload of a VLR or EVLR."""
    file.seek(record.start)
    return file.read(record.length)


def _check_version(major: int, minor: int, header_bytes: int, there: int) -> None:
    if major != 1 or minor >= len(_HEADER_BYTES):
        raise MalformedItemError(f"LAS version is unknown (got {major}.{minor}, expected 1.0 to 1.4)")
    least = _HEADER_BYTES[minor]
    if header_bytes < least or there < least:
        raise MalformedItemError(
            f"the header of LAS 1.{minor} is truncated (got {min(header_bytes, there)}, expected {least} bytes)"
        )


def _check_count(count: int, profile: PointProfile) -> None:
    if not count:
        raise MalformedItemError("the cloud holds no points (got 0, expected at least 1)")
    if count > profile.max_points:
        raise LimitExceededError(
            f"the cloud holds too many points (got {count}, expected at most {profile.max_points})"
        )


def _place_of(
    values: Sequence[float],
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    scale, offset = values[:3], values[3:6]
    if not all(0.0 < s < _FARTHEST for s in scale):
        raise MalformedItemError(f"scale factors are positive numbers (got {list(scale)!r})")
    if not all(math.isfinite(o) and abs(o) < _FARTHEST for o in offset):
        raise MalformedItemError("coordinate offsets are finite numbers (got another)")
    return (scale[0], scale[1], scale[2]), (offset[0], offset[1], offset[2])


def _walk(file: BinaryIO, at: int, end: int, count: int, *, extended: bool) -> Iterator[VariableRecord]:
    kind, head = ("EVLR", _EVLR) if extended else ("VLR", _VLR)
    if count > _MOST_RECORDS:
        raise LimitExceededError(f"too many {kind}s (got {count}, expected at most {_MOST_RECORDS})")
    for number in range(count):
        if at + head.size > end:
            raise MalformedItemError(
                f"{kind} {number} of {count} is truncated (got {max(end - at, 0)} bytes)"
            )
        file.seek(at)
        raw = file.read(head.size)
        user, record_id, length, _ = head.unpack(raw)
        start = at + head.size
        at = start + length
        if at > end:
            raise MalformedItemError(f"{kind} {number} reaches past its place (got {length} bytes)")
        name = user.split(b"\x00", 1)[0].decode("ascii", "replace")
        yield VariableRecord(user_id=name, record_id=record_id, start=start, length=length, extended=extended)


def _extra_dimensions(file: BinaryIO, records: Sequence[VariableRecord]) -> tuple[ExtraDimension, ...]:
    found = [r for r in records if r.is_(SPEC_USER, EXTRA_BYTES_ID)]
    if len(found) > 1:
        raise MalformedItemError(f"extra bytes are described once (got {len(found)} records)")
    return read_extra_dimensions(payload(file, found[0])) if found else ()


def _laszip(file: BinaryIO, records: Sequence[VariableRecord], length: int) -> bytes:
    """The LASzip VLR, once its items are known to add up to the record, because the decoder trusts them."""
    found = [r for r in records if r.is_(LASZIP_USER, LASZIP_ID)]
    if len(found) != 1:
        raise MalformedItemError(f"compressed points need one LASzip record (got {len(found)})")
    data = payload(file, found[0])
    if len(data) < _LASZIP.size:
        raise MalformedItemError(f"the LASzip record is truncated (got {len(data)} bytes)")
    compressor, coder, _, chunk, items = _LASZIP.unpack_from(data)
    if compressor not in _LASZIP_CHUNKED or coder or not chunk:
        raise MalformedItemError(
            f"LASzip compressor is unknown (got {compressor}, coder {coder}, {chunk} points in a chunk)"
        )
    if len(data) < _LASZIP.size + items * _LASZIP_ITEM.size:
        raise MalformedItemError(f"the LASzip record is truncated (got {len(data)} bytes, {items} items)")
    sizes = [_LASZIP_ITEM.unpack_from(data, _LASZIP.size + i * _LASZIP_ITEM.size)[1] for i in range(items)]
    if sum(sizes) != length:
        raise MalformedItemError(f"LASzip items do not fill a record (got {sum(sizes)}, expected {length})")
    return data


def _trailing(size: int, points_at: int, points: int, records: Sequence[VariableRecord]) -> int:
    end = points_at + points
    if end > size:
        raise MalformedItemError(f"points are truncated (got {size - points_at} bytes, expected {points})")
    last = max((r.start + r.length for r in records if r.extended), default=0)
    return size - max(end, last)

"""Points of LAS, LAZ and COPC files, read and written in chunks, so that a file may be larger than memory.

Files are written forwards only. The header's counts and bounds come from a first run over the points; the
chunk table of LAZ lies at the end, its offset behind it and -1 in its usual place (LASzip, streamed output).
"""

import io
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import lazrs  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from anonymize.errors import MalformedItemError
from anonymize.geo.ellipsoid import FloatArray
from anonymize.points.decoder import decoding
from anonymize.points.las_layout import (
    EXTRA_BYTES_ID,
    LASZIP_ID,
    LASZIP_USER,
    SPEC_USER,
    LasLayout,
)
from anonymize.points.las_records import LasRecord, Records, write_extra_dimensions
from anonymize.points.laz_chunks import check_chunks

AT_ONCE = 100_000
_HEADER = struct.Struct("<4s2H16s2B32s32s3H2IBHI5I12d")
_WAVEFORM = struct.Struct("<Q")
_EXTENDED = struct.Struct("<QIQ15Q")
_VLR = struct.Struct("<2x16sHH32x")
_LEAST_MINOR, _LAS13, _LAS14 = 2, 3, 4
_COMPRESSED = 0x80
_WKT_BIT = 0x10
_LEGACY_RETURNS, _RETURNS = 5, 15
_LEGACY_LIMIT = 2**32
_HEADER_BYTES = {2: 227, 3: 235, 4: 375}
_NO_OFFSET = -1
_TABLE_OFFSET_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LasTarget:
    """What a new file is to be; everything else in its header is zero.

    Attributes:
        minor: Minor version that is asked for; at least 2 is written.
        record: Layout of a record.
        compressed: Whether points are written as LAZ.
        scale, offset: As in the header.
        records: VLRs as user, number and payload; those of extra bytes and LASzip are added.
        wkt: Whether the reference system is given as WKT, as point formats from 6 on demand.
    """

    minor: int
    record: LasRecord
    compressed: bool
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    records: tuple[tuple[str, int, bytes], ...] = ()
    wkt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LasSummary:
    """What the header tells of the points: their number, by return too, and the bounds of X, Y, Z in steps."""

    count: int
    by_return: tuple[int, ...]
    lowest: NDArray[np.int64]
    highest: NDArray[np.int64]


def read_records(file: BinaryIO, layout: LasLayout) -> Iterator[Records]:
    """The points in the order of the file, some at a time.

    Raises:
        MalformedItemError: The points are truncated or cannot be decompressed.
    """
    dtype = layout.record.dtype
    file.seek(layout.points_at)
    decompressor = None
    if layout.compressed:
        check_chunks(file, layout, LasRecord(point_format=layout.record.point_format).dtype.itemsize)
        file.seek(layout.points_at)
        with decoding():
            everything = lazrs.DecompressionSelection(lazrs.SELECTIVE_DECOMPRESS_ALL)
            decompressor = lazrs.LasZipDecompressor(file, layout.laszip, everything)
    for start in range(0, layout.count, AT_ONCE):
        count = min(AT_ONCE, layout.count - start)
        if decompressor is None:
            content: bytes | bytearray = file.read(count * dtype.itemsize)
        else:
            content = bytearray(count * dtype.itemsize)
            with decoding():
                decompressor.decompress_many(content)
        if len(content) != count * dtype.itemsize:
            raise MalformedItemError(
                f"points are truncated (got {len(content) // dtype.itemsize} after {start}, expected {count})"
            )
        yield np.frombuffer(content, dtype)


def coordinates(records: Records, layout: LasLayout) -> FloatArray:
    """One row of x, y, z per point, in the unit of the file's reference system."""
    raw = np.stack([records["X"], records["Y"], records["Z"]], axis=1).astype(np.float64)
    return np.asarray(raw * np.array(layout.scale) + np.array(layout.offset))


def summarise(record: LasRecord, chunks: Iterable[Records]) -> LasSummary:
    """Count and bound the points of a file that is to be written."""
    count, returns = 0, np.zeros(_RETURNS + 1, np.int64)
    lowest, highest = np.full(3, 2**31, np.int64), np.full(3, -(2**31) - 1, np.int64)
    for chunk in chunks:
        if not len(chunk):
            continue
        count += len(chunk)
        returns += np.bincount(record.return_number(chunk), minlength=_RETURNS + 1)
        raw = np.stack([chunk["X"], chunk["Y"], chunk["Z"]])
        lowest, highest = np.minimum(lowest, raw.min(axis=1)), np.maximum(highest, raw.max(axis=1))
    return LasSummary(count=count, by_return=tuple(returns[1:].tolist()), lowest=lowest, highest=highest)


def write_las(
    target: LasTarget, chunks: Callable[[], Iterable[Records]], summary: LasSummary | None = None
) -> Iterator[bytes]:
    """Write a file, forwards only.

    Args:
        target: What the file is to be.
        chunks: Gives the points anew at each call, in the layout of ``target.record``.
        summary: Of these points, when it is known; else they are run over twice.

    Raises:
        MalformedItemError: There is no point, or the second run differs from the first.
    """
    summary = summary or summarise(target.record, chunks())
    if not summary.count:
        raise MalformedItemError("a cloud to be written holds points (got 0)")
    vlr = None
    records = target.records
    if target.record.extra:
        extra = write_extra_dimensions(target.record.extra)
        records = (*records, (SPEC_USER, EXTRA_BYTES_ID, extra))
    if target.compressed:
        length = target.record.dtype.itemsize
        standard = LasRecord(point_format=target.record.point_format).dtype.itemsize
        vlr = lazrs.LazVlr.new_for_compression(target.record.point_format, length - standard)
        records = (*records, (LASZIP_USER, LASZIP_ID, bytes(vlr.record_data())))
    head = _header(target, summary, records)
    yield head
    written = 0
    compressor = _Compressor(vlr, len(head)) if vlr is not None else None
    for chunk in chunks():
        written += len(chunk)
        content = np.ascontiguousarray(chunk).tobytes()
        yield compressor.compress(content) if compressor else content
    if written != summary.count:
        raise MalformedItemError(f"a cloud changed while it was written (got {written} points)")
    if compressor:
        yield compressor.finish()


class _Compressor:
    """The LASzip compressor of one file, and the sink that it writes to, which only moves forwards."""

    def __init__(self, vlr: object, starts_at: int) -> None:
        self._starts_at = starts_at
        self._pending = bytearray()
        self._at = self._end = 0
        self._table_at = _NO_OFFSET
        self._compressor = lazrs.LasZipCompressor(self, vlr)

    def compress(self, points: bytes) -> bytes:
        self._compressor.compress_many(points)
        return self._take()

    def finish(self) -> bytes:
        """The last points, the chunk table and, as the last 8 bytes, the offset of the table in the file."""
        self._compressor.done()
        return self._take() + struct.pack("<q", self._starts_at + self._table_at)

    def write(self, content: bytes) -> int:
        if self._at == self._end:
            self._pending += content
            self._end += len(content)
        elif self._at == 0 and len(content) == _TABLE_OFFSET_BYTES:
            # What lazrs would put in front, once it is known: it goes behind the table instead.
            (self._table_at,) = struct.unpack("<q", content)
        else:
            raise io.UnsupportedOperation(f"the compressor writes backwards (got {len(content)} bytes)")
        self._at += len(content)
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """Nothing is held back."""

    def _take(self) -> bytes:
        taken = bytes(self._pending)
        self._pending.clear()
        return taken


def _header(target: LasTarget, summary: LasSummary, records: Sequence[tuple[str, int, bytes]]) -> bytes:
    minor = max(target.minor, _LEAST_MINOR)
    variable = b"".join(_VLR.pack(user.encode(), number, len(data)) + data for user, number, data in records)
    header_bytes = _HEADER_BYTES[minor]
    legacy = not target.record.extended and summary.count < _LEGACY_LIMIT
    if minor < _LAS14 and not legacy:
        raise MalformedItemError(f"LAS 1.{minor} cannot hold these points (got {summary.count})")
    by_return = [*summary.by_return, *[0] * (_RETURNS - len(summary.by_return))]
    low, high = (
        [float(v) * s + o for v, s, o in zip(bound.tolist(), target.scale, target.offset, strict=True)]
        for bound in (summary.lowest, summary.highest)
    )
    bounds = [value for pair in zip(high, low, strict=True) for value in pair]
    head = _HEADER.pack(
        b"LASF", 0, _WKT_BIT if target.wkt else 0, bytes(16), 1, minor, b"", b"", 0, 0, header_bytes,
        header_bytes + len(variable), len(records),
        target.record.point_format | (_COMPRESSED if target.compressed else 0), target.record.dtype.itemsize,
        summary.count if legacy else 0, *(by_return[:_LEGACY_RETURNS] if legacy else [0] * _LEGACY_RETURNS),
        *target.scale, *target.offset, *bounds,
    )  # fmt: skip
    if minor >= _LAS13:
        head += _WAVEFORM.pack(0)
    if minor >= _LAS14:
        head += _EXTENDED.pack(0, 0, summary.count, *by_return)
    return head + variable

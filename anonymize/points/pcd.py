"""PCD files, version 0.7 and before: ascii, binary and binary_compressed (pointclouds.org, "The PCD file format").

A file is held in memory, within ``PointProfile.max_points``. Binary values are little-endian. Of a compressed
field with several values, those of a point lie together, as PCL writes them; pypcd4 1.5 takes them apart
otherwise, which is why points are not decoded by it here.
"""

import io
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal, cast

import lzf  # type: ignore[import-not-found]
import numpy as np
from numpy.typing import NDArray

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.geo.ellipsoid import FloatArray
from anonymize.points.attributes import printable_name
from anonymize.profile import PointProfile

Encoding = Literal["ascii", "binary", "binary_compressed"]
Records = NDArray[np.void]

IDENTITY = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
_ENCODINGS = ("ascii", "binary", "binary_compressed")
_TYPES = {
    ("F", 4): "<f4", ("F", 8): "<f8", ("U", 1): "u1", ("U", 2): "<u2", ("U", 4): "<u4", ("U", 8): "<u8",
    ("I", 1): "i1", ("I", 2): "<i2", ("I", 4): "<i4", ("I", 8): "<i8",
}  # fmt: skip
_KEYS = ("VERSION", "FIELDS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "VIEWPOINT", "POINTS", "DATA")
_NEEDED = ("FIELDS", "SIZE", "TYPE", "WIDTH", "HEIGHT", "POINTS", "DATA")
_MOST_HEADER_BYTES = 65_536
_MOST_FIELDS = 256
_MOST_RECORD_BYTES = 65_536
_MOST_DIGITS = 32
_SIZES = struct.Struct("<2I")
_INTEGER = re.compile(r"\d{1,18}")
_COMMENT = "# .PCD v0.7 - Point Cloud Data file format"
_PLAIN_COMMENT = re.compile(r"#\s*\.PCD v\.?[\d.]+ - Point Cloud Data file format")


@dataclass(frozen=True, slots=True, kw_only=True)
class PcdField:
    """One field of a point: name, type (``F``, ``U``, ``I``), bytes of a value, and how many values."""

    name: str
    kind: str
    size: int
    count: int

    @property
    def dtype(self) -> np.dtype[np.void]:
        """The field as numpy sees it."""
        return np.dtype((_TYPES[self.kind, self.size], (self.count,) if self.count > 1 else ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class PcdHeader:
    """The header.

    Attributes:
        fields: In the order of their bytes; names may recur (``_`` is padding).
        points: Number of points, at least 1.
        height: Rows of an organised cloud, else 1.
        viewpoint: Translation in metres and rotation as a quaternion w, x, y, z.
        encoding: How points are stored.
        unlisted: Comments and entries that are no part of the format, as closed-vocabulary names.
    """

    fields: tuple[PcdField, ...]
    points: int
    height: int
    viewpoint: tuple[float, ...]
    encoding: Encoding
    unlisted: tuple[str, ...]

    @property
    def dtype(self) -> np.dtype[np.void]:
        """A point as a numpy structure with the fields ``"0"``, ``"1"`` and so on."""
        return np.dtype([(str(index), f.dtype) for index, f in enumerate(self.fields)])

    def index(self, name: str) -> int:
        """Which field is called ``name``."""
        return next(index for index, f in enumerate(self.fields) if f.name == name)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PcdCloud:
    """A cloud in memory.

    Attributes:
        header: The header of the file.
        records: Its points, of ``header.dtype``.
        trailing_bytes: Bytes behind the points.
    """

    header: PcdHeader
    records: Records
    trailing_bytes: int

    def coordinates(self) -> FloatArray:
        """One row of x, y, z per point; NaN where there was no return."""
        index = [str(self.header.index(name)) for name in ("x", "y", "z")]
        return np.stack([self.records[i].astype(np.float64) for i in index], axis=1)


def read_pcd(file: BinaryIO, *, profile: PointProfile) -> PcdCloud:
    """Read a cloud.

    Raises:
        MalformedItemError: Names the entry of the header or the point that is wrong.
        LimitExceededError: There are more points than the profile permits.
    """
    file.seek(0)
    header = _read_header(file, profile)
    size = header.dtype.itemsize
    expected = header.points * size
    if header.encoding == "ascii":
        return PcdCloud(header=header, records=_read_ascii(file, header), trailing_bytes=0)
    if header.encoding == "binary":
        content = file.read(expected)
        _check_length(len(content), expected, "points are truncated")
        records = np.frombuffer(content, header.dtype)
    else:
        records = _read_compressed(file, header, expected)
    return PcdCloud(header=header, records=records, trailing_bytes=_count_rest(file))


def write_pcd(fields: Sequence[PcdField], records: Records, *, compressed: bool) -> bytes:
    """Write an unorganised cloud with the identity as its viewpoint.

    Args:
        fields: The fields of ``records``, in order.
        records: At least one point.
        compressed: Whether to compress; points that do not get smaller are written as they are.
    """
    body = np.ascontiguousarray(records).tobytes()
    encoding = "binary"
    if compressed:
        planes = b"".join(np.ascontiguousarray(records[name]).tobytes() for name in records.dtype.names or ())
        packed = lzf.compress(planes)
        if packed is not None and len(packed) < len(planes):
            body, encoding = _SIZES.pack(len(packed), len(planes)) + packed, "binary_compressed"
    lines = [
        _COMMENT,
        "VERSION 0.7",
        "FIELDS " + " ".join(f.name for f in fields),
        "SIZE " + " ".join(str(f.size) for f in fields),
        "TYPE " + " ".join(f.kind for f in fields),
        "COUNT " + " ".join(str(f.count) for f in fields),
        f"WIDTH {len(records)}",
        "HEIGHT 1",
        "VIEWPOINT 0 0 0 1 0 0 0",
        f"POINTS {len(records)}",
        f"DATA {encoding}",
    ]
    return "\n".join([*lines, ""]).encode("ascii") + body


def _read_header(file: BinaryIO, profile: PointProfile) -> PcdHeader:
    entries: dict[str, list[str]] = {}
    unlisted: list[str] = []
    left = _MOST_HEADER_BYTES
    while "DATA" not in entries:
        raw = file.readline(left)
        left -= len(raw)
        if not raw.endswith(b"\n"):
            raise MalformedItemError(
                f"the header is truncated (got {_MOST_HEADER_BYTES - left} bytes without a line of DATA)"
            )
        line = raw.decode("ascii", "replace").strip()
        key, *values = line.split() or [""]
        if line.startswith("#"):
            unlisted += [] if _PLAIN_COMMENT.fullmatch(line) else ["comment"]
        elif key.upper() in entries:
            raise MalformedItemError(f"the header names an entry twice (got {key.upper()})")
        elif key.upper() in _KEYS:
            entries[key.upper()] = values
        elif line:
            unlisted.append("unknown entry")
    missing = [key for key in _NEEDED if not entries.get(key)]
    if missing:
        raise MalformedItemError(f"the header misses entries (got none of {missing})")
    return _parse(entries, tuple(unlisted), profile)


def _parse(entries: dict[str, list[str]], unlisted: tuple[str, ...], profile: PointProfile) -> PcdHeader:
    fields = _fields(entries)
    width, height, points = (_whole(entries, key) for key in ("WIDTH", "HEIGHT", "POINTS"))
    if points > profile.max_points:
        raise LimitExceededError(
            f"the cloud holds too many points (got {points}, expected at most {profile.max_points})"
        )
    if not points or width * height != points:
        raise MalformedItemError(f"POINTS is WIDTH times HEIGHT (got {points}, {width} and {height})")
    encoding = entries["DATA"][0].lower()
    if encoding not in _ENCODINGS or len(entries["DATA"]) != 1:
        raise MalformedItemError(f"DATA is unknown (got {encoding[:24]!r}, expected one of {_ENCODINGS})")
    return PcdHeader(
        fields=fields,
        points=points,
        height=height,
        viewpoint=_viewpoint(entries.get("VIEWPOINT")),
        encoding=cast(Encoding, encoding),
        unlisted=unlisted,
    )


def _fields(entries: dict[str, list[str]]) -> tuple[PcdField, ...]:
    names = [printable_name(n.encode("ascii", "replace")) for n in entries["FIELDS"]]
    counts = entries.get("COUNT") or ["1"] * len(names)
    columns = (names, entries["TYPE"], entries["SIZE"], counts)
    if len({len(c) for c in columns}) != 1 or len(names) > _MOST_FIELDS:
        raise MalformedItemError(
            f"FIELDS, TYPE, SIZE and COUNT have as many values, at most {_MOST_FIELDS} "
            f"(got {[len(c) for c in columns]})"
        )
    fields = []
    for name, kind, size, count in zip(*columns, strict=True):
        known = size.isdigit() and len(size) == 1 and (kind, int(size)) in _TYPES
        if not known or not _INTEGER.fullmatch(count) or not 0 < int(count) <= _MOST_RECORD_BYTES:
            raise MalformedItemError(
                f"a field's type is unknown (got TYPE {kind[:8]!r}, SIZE {size[:8]!r}, COUNT {count[:8]!r})"
            )
        fields.append(PcdField(name=name, kind=kind, size=int(size), count=int(count)))
    record = sum(f.size * f.count for f in fields)
    if record > _MOST_RECORD_BYTES:
        raise LimitExceededError(f"a point is too large (got {record}, expected {_MOST_RECORD_BYTES} bytes)")
    for axis in ("x", "y", "z"):
        found = [f for f in fields if f.name == axis]
        if len(found) != 1 or found[0].kind != "F" or found[0].count != 1:
            raise MalformedItemError(f"a point has one field {axis} of type F and count 1 (got {len(found)})")
    return tuple(fields)


def _whole(entries: dict[str, list[str]], key: str) -> int:
    value = entries[key][0]
    if len(entries[key]) != 1 or not _INTEGER.fullmatch(value):
        raise MalformedItemError(f"{key} is one whole number (got {value[:24]!r})")
    return int(value)


def _viewpoint(values: list[str] | None) -> tuple[float, ...]:
    if values is None:
        return IDENTITY
    try:
        pose = tuple(float(v) for v in values)
    except ValueError:
        pose = ()
    if len(pose) != len(IDENTITY) or not all(math.isfinite(v) for v in pose):
        raise MalformedItemError(f"VIEWPOINT is seven finite numbers (got {len(values)} values)")
    return pose


def _read_ascii(file: BinaryIO, header: PcdHeader) -> Records:
    columns = sum(f.count for f in header.fields)
    limit = header.points * columns * _MOST_DIGITS
    content = file.read(limit + 1)
    if len(content) > limit:
        raise LimitExceededError(f"rows are too long (got more than {limit} bytes of {header.points} points)")
    flat = [
        (f"{index}/{n}", _TYPES[f.kind, f.size])
        for index, f in enumerate(header.fields)
        for n in range(f.count)
    ]
    rows = sum(1 for line in content.splitlines() if line.strip())
    _check_length(rows, header.points, "points are truncated or beyond POINTS")
    try:
        read = np.loadtxt(io.StringIO(content.decode("ascii")), np.dtype(flat), comments=None, ndmin=1)
    except ValueError as error:
        raise MalformedItemError(f"a row is no point ({columns} numbers of the fields' types)") from error
    return read.view(header.dtype)


def _read_compressed(file: BinaryIO, header: PcdHeader, expected: int) -> Records:
    sizes = file.read(_SIZES.size)
    _check_length(len(sizes), _SIZES.size, "points are truncated")
    packed, unpacked = _SIZES.unpack(sizes)
    _check_length(unpacked, expected, "compressed points have another size")
    content = file.read(packed)
    _check_length(len(content), packed, "points are truncated")
    try:
        planes = lzf.decompress(content, unpacked) or b""
    except ValueError as error:
        raise MalformedItemError(f"compressed points are damaged ({error})") from error
    _check_length(len(planes), expected, "compressed points have another size")
    records = np.zeros(header.points, header.dtype)
    at = 0
    for index, field in enumerate(header.fields):
        records[str(index)] = np.frombuffer(planes, field.dtype, header.points, at)
        at += field.dtype.itemsize * header.points
    return records


def _count_rest(file: BinaryIO) -> int:
    here = file.tell()
    return file.seek(0, io.SEEK_END) - here


def _check_length(got: int, expected: int, what: str) -> None:
    if got != expected:
        raise MalformedItemError(f"{what} (got {got}, expected {expected})")

"""Point records of LAS (ASPRS LAS 1.4 R15, tables 7 to 17) without waveforms, and their extra bytes.

Records are numpy structures of exactly the bytes of the file: what is not named survives bit by bit, what is
not listed is zero.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import MalformedItemError
from anonymize.points.attributes import is_listed, printable_name

Records = NDArray[np.void]

_PLACE = [("X", "<i4"), ("Y", "<i4"), ("Z", "<i4"), ("intensity", "<u2")]
_LEGACY = [
    *_PLACE,
    ("returns", "u1"),
    ("classification", "u1"),
    ("scan_angle_rank", "i1"),
    ("user_data", "u1"),
    ("point_source_id", "<u2"),
]
_EXTENDED = [
    *_PLACE,
    ("returns", "u1"),
    ("flags", "u1"),
    ("classification", "u1"),
    ("user_data", "u1"),
    ("scan_angle", "<i2"),
    ("point_source_id", "<u2"),
    ("gps_time", "<f8"),
]
_TIME = [("gps_time", "<f8")]
_COLOUR = [("red", "<u2"), ("green", "<u2"), ("blue", "<u2")]
_FORMATS: dict[int, list[tuple[str, str]]] = {
    0: _LEGACY,
    1: [*_LEGACY, *_TIME],
    2: [*_LEGACY, *_COLOUR],
    3: [*_LEGACY, *_TIME, *_COLOUR],
    6: _EXTENDED,
    7: [*_EXTENDED, *_COLOUR],
    8: [*_EXTENDED, *_COLOUR, ("nir", "<u2")],
}
_WAVEFORM_FORMATS = frozenset({4, 5, 9, 10})
_FIRST_EXTENDED = 6

_ATTRIBUTES: dict[bool, dict[str, tuple[tuple[str, int], ...]]] = {
    False: {
        "return_number": (("returns", 0x07),),
        "number_of_returns": (("returns", 0x38),),
        "scan_direction_flag": (("returns", 0x40),),
        "edge_of_flight_line": (("returns", 0x80),),
        "classification": (("classification", 0xFF),),
    },
    True: {
        "return_number": (("returns", 0x0F),),
        "number_of_returns": (("returns", 0xF0),),
        "classification": (("classification", 0xFF), ("flags", 0x0F)),
        "scanner_channel": (("flags", 0x30),),
        "scan_direction_flag": (("flags", 0x40),),
        "edge_of_flight_line": (("flags", 0x80),),
    },
}
_BIT_FIELDS = frozenset({"returns", "flags", "classification"})

_EXTRA_BYTES = 192
_EXTRA = struct.Struct("<2xBB32s4x24s24x24x24s24s32x")
_SIZES = (1, 1, 2, 2, 4, 4, 8, 8, 4, 8)
_TYPES_PER_COUNT = 10
_MOST_TYPES = 30
_KEPT_OPTIONS = 0b11001


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraDimension:
    """A named part of the bytes behind the standard record (LAS 1.4 R15, Extra Bytes VLR).

    Attributes:
        name: Its name, printable.
        data_type: Type code, 0 to 30; 0 stands for ``options`` undocumented bytes.
        options: Which of no-data value, scale and offset apply.
        no_data, scale, offset: As stored, 24 bytes each.
        size: Bytes in the record.
    """

    name: str
    data_type: int
    options: int
    no_data: bytes
    scale: bytes
    offset: bytes
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LasRecord:
    """The layout of one point record.

    Attributes:
        point_format: 0 to 3 or 6 to 8.
        extra: Extra dimensions in the order of their bytes.
        unnamed_bytes: Bytes behind them that nothing describes.
    """

    point_format: int
    extra: tuple[ExtraDimension, ...] = ()
    unnamed_bytes: int = 0

    @property
    def extended(self) -> bool:
        """Whether the format is one of LAS 1.4 (6 and above)."""
        return self.point_format >= _FIRST_EXTENDED

    @property
    def dtype(self) -> np.dtype[np.void]:
        """The record as a numpy structure; extra dimensions are ``extra/<index>``."""
        fields: list[tuple[str, str]] = list(_FORMATS[self.point_format])
        fields += [(f"extra/{index}", f"V{e.size}") for index, e in enumerate(self.extra)]
        if self.unnamed_bytes:
            fields.append(("unnamed", f"V{self.unnamed_bytes}"))
        return np.dtype(fields)

    def return_number(self, records: Records) -> NDArray[np.uint8]:
        """The number of each point's return; 0 where it is unknown."""
        return np.asarray(records["returns"] & (0x0F if self.extended else 0x07), np.uint8)

    def attributes(self) -> tuple[str, ...]:
        """Names of everything that a record carries beside X, Y and Z."""
        bits = tuple(_ATTRIBUTES[self.extended])
        whole = tuple(n for n, _ in _FORMATS[self.point_format] if n not in {"X", "Y", "Z", *_BIT_FIELDS})
        unnamed = ("unnamed extra bytes",) if self.unnamed_bytes else ()
        return (*bits, *whole, *(e.name for e in self.extra), *unnamed)


def record_of(point_format: int, length: int, extra: Sequence[ExtraDimension]) -> LasRecord:
    """The layout of records of a point format and a length in bytes.

    Raises:
        MalformedItemError: The format is unknown or carries waveforms, or the length does not fit it.
    """
    if point_format in _WAVEFORM_FORMATS:
        raise MalformedItemError(
            f"points with waveforms are not released (got point format {point_format}, "
            f"expected one of {sorted(_FORMATS)})"
        )
    if point_format not in _FORMATS:
        raise MalformedItemError(
            f"point format is unknown (got {point_format}, expected one of {sorted(_FORMATS)})"
        )
    standard = LasRecord(point_format=point_format).dtype.itemsize
    unnamed = length - standard - sum(e.size for e in extra)
    if unnamed < 0:
        raise MalformedItemError(
            f"point records are too short for their format and extra bytes "
            f"(got {length} bytes, expected at least {length - unnamed})"
        )
    return LasRecord(point_format=point_format, extra=tuple(extra), unnamed_bytes=unnamed)


def read_extra_dimensions(data: bytes) -> tuple[ExtraDimension, ...]:
    """Read the payload of an Extra Bytes VLR.

    Raises:
        MalformedItemError: It is no whole number of entries, or a type is unknown.
    """
    if len(data) % _EXTRA_BYTES:
        raise MalformedItemError(
            f"an extra bytes record has entries of {_EXTRA_BYTES} bytes (got {len(data)} bytes)"
        )
    return tuple(
        _read_entry(data[start : start + _EXTRA_BYTES]) for start in range(0, len(data), _EXTRA_BYTES)
    )


def _read_entry(entry: bytes) -> ExtraDimension:
    data_type, options, name, no_data, scale, offset = _EXTRA.unpack(entry)
    if data_type > _MOST_TYPES:
        raise MalformedItemError(
            f"an extra dimension has an unknown type (got {data_type}, expected at most {_MOST_TYPES})"
        )
    count, kind = divmod(data_type - 1, _TYPES_PER_COUNT)
    return ExtraDimension(
        name=printable_name(name.split(b"\x00", 1)[0]),
        data_type=data_type,
        options=options,
        no_data=no_data,
        scale=scale,
        offset=offset,
        size=(count + 1) * _SIZES[kind] if data_type else options,
    )


def write_extra_dimensions(extra: Iterable[ExtraDimension]) -> bytes:
    """The payload of an Extra Bytes VLR, without least and greatest values and without descriptions."""
    return b"".join(_write_entry(e) for e in extra)


def _write_entry(e: ExtraDimension) -> bytes:
    used = e.options & _KEPT_OPTIONS if e.data_type else 0
    wide = 8 * ((e.data_type - 1) // _TYPES_PER_COUNT + 1)
    values = [
        value[:wide] if used & bit else b"" for value, bit in ((e.no_data, 1), (e.scale, 8), (e.offset, 16))
    ]
    return _EXTRA.pack(e.data_type, used if e.data_type else e.options, e.name.encode("ascii"), *values)


def kept_record(record: LasRecord, allowed: Sequence[str]) -> LasRecord:
    """The layout without the extra bytes that the profile does not keep."""
    return LasRecord(
        point_format=record.point_format, extra=tuple(e for e in record.extra if is_listed(e.name, allowed))
    )


def keep_listed(records: Records, record: LasRecord, allowed: Sequence[str]) -> Records:
    """Copy records with X, Y, Z and what the profile keeps; everything else that the format demands is 0.

    Returns:
        Records of the layout :func:`kept_record`.
    """
    out = np.zeros(len(records), kept_record(record, allowed).dtype)
    for name in ("X", "Y", "Z"):
        out[name] = records[name]
    for name, _ in _FORMATS[record.point_format]:
        if name not in _BIT_FIELDS and is_listed(name, allowed):
            out[name] = records[name]
    for name, parts in _ATTRIBUTES[record.extended].items():
        if is_listed(name, allowed):
            for part, mask in parts:
                out[part] |= records[part] & np.uint8(mask)
    kept = [index for index, e in enumerate(record.extra) if is_listed(e.name, allowed)]
    for place, index in enumerate(kept):
        out[f"extra/{place}"] = records[f"extra/{index}"]
    return out

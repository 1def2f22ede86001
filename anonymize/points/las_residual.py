"""Independent look at a LAS or LAZ file that left a pass: its bytes walked by the offsets of LAS 1.4 R15."""

import io
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal

import lazrs  # type: ignore[import-untyped]

from anonymize.errors import MalformedItemError
from anonymize.points.attributes import is_listed
from anonymize.points.registered import DEFINITIONS

Stage = Literal["CLEANSED", "LOCAL", "OFFSET", "APPROVED"]

_MOVED = frozenset({"OFFSET", "APPROVED"})
_HEADER_BYTES = {2: 227, 3: 235, 4: 375}
_BLANK = {"file_source_id": (4, 6), "guid": (8, 24), "system_identifier": (26, 58),
          "generating_software": (58, 90), "creation_date": (90, 94)}  # fmt: skip
_BLANK_SINCE = {"waveform": (3, (227, 235)), "evlrs": (4, (235, 247))}
_LEAST_MINOR, _LAS14 = 2, 4
_WKT_ONLY = {b"\x00\x00", b"\x10\x00"}
_VLR_BYTES = 54
_EXTRA_BYTES = 192
_EXTRA_BLANK = ((0, 2), (36, 40), (64, 112), (160, 192))
_EXTRA_VALUES = (40, 112, 136)
_FIRST_TUPLE = 11
_NAME = slice(4, 36)
_GEO_KEYS_BYTES = 24
_COMPRESSED = 0x80
_MINIMUM = {0: 20, 1: 28, 2: 26, 3: 34, 6: 30, 7: 36, 8: 38}


@dataclass(frozen=True, slots=True, kw_only=True)
class Residue:
    """Something that must not be there: what it is of, and its name."""

    metadata: bool
    name: str


def scan_structure(file: BinaryIO, stage: Stage, allowed: Sequence[str]) -> Iterator[Residue]:
    """Everything in the file that is not the points, as far as it is unlisted.

    1. Header fields that tell of the source are zero. 2. Records are those of the stage, without descriptions
    and in the form that tells nothing more. 3. There are no extended records and no waveforms. 4. Points follow
    the records, the file ends with them or, compressed, with their chunk table.

    Raises:
        MalformedItemError: The file is too short to be walked.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(_HEADER_BYTES[_LAS14])
    if len(head) < _HEADER_BYTES[_LEAST_MINOR] or head[:4] != b"LASF" or head[25] not in _HEADER_BYTES:
        raise MalformedItemError(f"no LAS of version 1.2 to 1.4 (got {len(head)} bytes)")
    minor = head[25]
    yield from _scan_header(head, minor)  # 1 and 3
    points_at, records = struct.unpack_from("<II", head, 96)
    point_format, length = struct.unpack_from("<BH", head, 104)
    number = point_format & ~_COMPRESSED
    if number not in _MINIMUM:
        raise MalformedItemError(f"point format is not released (got {number})")
    at = _HEADER_BYTES[minor]
    for _ in range(records):  # 2
        file.seek(at)
        raw = file.read(_VLR_BYTES)
        if len(raw) < _VLR_BYTES:
            raise MalformedItemError("a record is truncated (got the end of the file)")
        payload = file.read(struct.unpack_from("<H", raw, 20)[0])
        yield from _scan_record(raw, payload, stage, allowed, number, length)
        at += _VLR_BYTES + len(payload)
    if at != points_at:
        yield Residue(metadata=True, name="gap before points")
    count = struct.unpack_from(*(("<Q", head, 247) if minor == _LAS14 else ("<I", head, 107)))[0]
    if point_format & _COMPRESSED:  # 4
        ends = _ends_with_table(file, points_at, size)
    else:
        ends = points_at + count * length == size
    if not ends:
        yield Residue(metadata=True, name="trailing data")


def _scan_header(head: bytes, minor: int) -> Iterator[Residue]:
    blanks = _BLANK | {name: span for name, (since, span) in _BLANK_SINCE.items() if minor >= since}
    for name, (start, end) in blanks.items():
        if head[start:end].strip(b"\x00"):
            yield Residue(metadata=True, name=name)
    if head[6:8] not in _WKT_ONLY:
        yield Residue(metadata=True, name="global_encoding")
    if struct.unpack_from("<H", head, 94)[0] != _HEADER_BYTES[minor]:
        yield Residue(metadata=True, name="header_bytes")


def _scan_record(
    raw: bytes, payload: bytes, stage: Stage, allowed: Sequence[str], point_format: int, length: int
) -> Iterator[Residue]:
    user = raw[2:18].split(b"\x00", 1)[0].decode("ascii", "replace")
    (record_id,) = struct.unpack_from("<H", raw, 18)
    name = f"vlr/{user}/{record_id}"
    padded = raw[:2] + raw[2 + len(user) : 18] + raw[22:]
    if padded.strip(b"\x00"):
        yield Residue(metadata=True, name=f"{name}/description")
    match user, record_id:
        case "laszip encoded", 22204:
            fresh = lazrs.LazVlr.new_for_compression(point_format, length - _MINIMUM[point_format])
            known = payload == bytes(fresh.record_data())
        case "LASF_Spec", 4:
            yield from _scan_extra_bytes(payload, allowed)
            known = True
        case "LASF_Projection", 2112:
            known = stage == "CLEANSED" or (stage in _MOVED and payload in DEFINITIONS)
        case "LASF_Projection", 34735:
            known = stage != "LOCAL" and len(payload) == _GEO_KEYS_BYTES
        case _:
            known = False
    if not known:
        yield Residue(metadata=True, name=name)


def _scan_extra_bytes(payload: bytes, allowed: Sequence[str]) -> Iterator[Residue]:
    for start in range(0, len(payload), _EXTRA_BYTES):
        entry = payload[start : start + _EXTRA_BYTES]
        name, _, rest = entry[_NAME].partition(b"\x00")
        if not is_listed(name.decode("ascii", "replace"), allowed):
            yield Residue(metadata=False, name="unlisted extra dimension")
        blank = list(_EXTRA_BLANK)
        if entry[2] < _FIRST_TUPLE:
            blank += [(at + 8, at + 24) for at in _EXTRA_VALUES]
        if rest.strip(b"\x00") or any(entry[a:b].strip(b"\x00") for a, b in blank):
            yield Residue(metadata=True, name="extra bytes description")


def _ends_with_table(file: BinaryIO, points_at: int, size: int) -> bool:
    """Whether compressed chunks, their table and its offset fill the rest of the file without a gap."""
    file.seek(points_at)
    first = struct.unpack("<q", file.read(8))[0]
    file.seek(size - 8)
    table_at = struct.unpack("<q", file.read(8))[0]
    if first != -1 or not points_at + 8 <= table_at <= size - 16:
        return False
    file.seek(points_at)
    vlr = _laszip_vlr(file, points_at)
    file.seek(points_at)
    try:
        table = lazrs.read_chunk_table(file, vlr)
    except lazrs.LazrsError:
        return False
    again = io.BytesIO()
    lazrs.write_chunk_table(again, table, vlr)
    file.seek(table_at)
    filled = sum(int(chunk_bytes) for _, chunk_bytes in table) == table_at - points_at - 8
    return filled and file.read(size - table_at - 8) == again.getvalue()


def _laszip_vlr(file: BinaryIO, points_at: int) -> object:
    file.seek(0)
    head = file.read(points_at)
    at = head.rindex(b"laszip encoded")
    (length,) = struct.unpack_from("<H", head, at + 18)
    return lazrs.LazVlr(head[at + 52 : at + 52 + length])

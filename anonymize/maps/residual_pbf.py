"""Reading released OSM PBF from its wire format; shares only the frame of blobs with the reader.

Messages and fields are those of osmformat.proto and fileformat.proto (OSM wiki, PBF Format). A field that is
not needed to say where a map lies and what its attributes are is a fault: editor metadata, bounding boxes,
sources, replication state, locations on ways, strings that nothing uses.
"""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import MalformedItemError
from anonymize.finding import FindingKind
from anonymize.maps.pbf_blobs import read_blobs
from anonymize.maps.residual_read import MapReading

_RAW_MAX = 32 * 1024 * 1024
_VARINT, _BYTES = 0, 2
_HEADER_FIELDS = frozenset({4, 5, 16})
_FEATURES = frozenset({b"OsmSchema-V0.6", b"DenseNodes", b"Sort.Type_then_ID"})
_WRITER = b"libosmium/"
_GRANULARITY = {17: 100, 18: 1000, 19: 0, 20: 0}
_STRINGS, _GROUP, _DENSE, _WAY, _RELATION = 1, 2, 2, 3, 4
_DENSE_FIELDS, _WAY_FIELDS, _RELATION_FIELDS = {1, 8, 9, 10}, {1, 2, 3, 8}, {1, 2, 3, 8, 9, 10}
_UNITS = 1e7
_Field = tuple[int, int | bytes]


def read_released_pbf(file: BinaryIO) -> MapReading:
    """Read what ``write_osm_pbf`` wrote.

    Raises:
        MalformedItemError: The content is no PBF.
    """
    reading, state = MapReading(), _State()
    file.seek(0)
    try:
        for blob in read_blobs(file):
            body = _unpacked(blob.body, reading)
            if blob.header:
                _take_header(body, reading)
            else:
                _take_block(body, reading, state)
    except (IndexError, zlib.error) as error:
        raise MalformedItemError(f"a PBF message is malformed ({type(error).__name__})") from error
    return reading


class _State:
    """The last id of each type: ids go on without gaps."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}

    def follow(self, kind: int, ids: NDArray[np.int64]) -> bool:
        """Whether the ids continue those of their type, and no later type has begun."""
        first = self._last.get(kind, int(ids[0]) - 1)
        whole = np.concatenate([[first], ids])
        self._last[kind] = int(ids[-1])
        return bool((np.diff(whole) == 1).all()) and max(self._last) == kind


def _unpacked(blob: bytes, reading: MapReading) -> bytes:
    fields = dict(_fields(blob))
    if set(fields) == {1} and isinstance(fields[1], bytes):
        return fields[1]
    size, packed = fields.get(2), fields.get(3)
    if set(fields) != {2, 3} or not isinstance(size, int) or not isinstance(packed, bytes) or size > _RAW_MAX:
        raise MalformedItemError(
            f"a blob is packed in another way (got fields {sorted(fields)}, expected zlib)"
        )
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(packed, size)
    if len(content) != size or unpacker.unconsumed_tail or unpacker.unused_data:
        reading.fault("blob")
    return content


def _take_header(body: bytes, reading: MapReading) -> None:
    for number, value in _fields(body):
        if number not in _HEADER_FIELDS:
            reading.fault(f"header field {number}")
        elif number == 16:  # noqa: PLR2004 (writingprogram)
            if not isinstance(value, bytes) or not value.startswith(_WRITER):
                reading.fault("writing program", FindingKind.METADATA)
        elif value not in _FEATURES:
            reading.fault("header features")


def _take_block(body: bytes, reading: MapReading, state: _State) -> None:
    fields = list(_fields(body))
    strings = [v for n, v in fields if n == _STRINGS]
    table = [bytes(v) for _, v in _fields(strings[0]) if isinstance(v, bytes)] if _is_one(strings) else []
    used = np.zeros(len(table), dtype=bool)
    for number, value in fields:
        if number == _GROUP and isinstance(value, bytes):
            _take_group(value, table, used, reading, state)
        elif number != _STRINGS and _GRANULARITY.get(number) != value:
            reading.fault(f"block field {number}")
    if any(table[i] for i in np.flatnonzero(~used).tolist()):
        reading.fault("unused string")


def _take_group(
    group: bytes, table: list[bytes], used: NDArray[np.bool_], reading: MapReading, state: _State
) -> None:
    for number, value in _fields(group):
        if number not in {_DENSE, _WAY, _RELATION} or not isinstance(value, bytes):
            reading.fault(f"group field {number}")
            continue
        message = dict(_fields(value))
        known = {_DENSE: _DENSE_FIELDS, _WAY: _WAY_FIELDS, _RELATION: _RELATION_FIELDS}[number]
        if set(message) - known:
            reading.fault("editor metadata or unknown field", FindingKind.METADATA)
        if number == _DENSE:
            _take_dense(message, table, used, reading, state)
            continue
        reading.features += 1
        identity = message.get(1)
        if not isinstance(identity, int) or not state.follow(number, np.array([identity], dtype=np.int64)):
            reading.fault("ids")
        keys, values = _varints(message.get(2, b"")), _varints(message.get(3, b""))
        _take_pairs(keys, values, table, used, reading)
        if number == _RELATION:
            used[_varints(message.get(8, b""))] = True


def _take_dense(
    message: dict[int, int | bytes],
    table: list[bytes],
    used: NDArray[np.bool_],
    reading: MapReading,
    state: _State,
) -> None:
    ids, lat, lon = (np.cumsum(_zigzag(_varints(message.get(n, b"")))) for n in (1, 8, 9))
    if not len(ids) or len({len(ids), len(lat), len(lon)}) != 1 or not state.follow(0, ids):
        reading.fault("nodes")
        return
    reading.features += len(ids)
    reading.lat.extend((lat / _UNITS).tolist())
    reading.lon.extend((lon / _UNITS).tolist())
    indices = _varints(message.get(10, b""))
    # Zero ends the attributes of a node; keys and values alternate between zeros.
    pairs = indices[indices != 0]
    _take_pairs(pairs[0::2], pairs[1::2], table, used, reading)


def _take_pairs(
    keys: NDArray[np.int64],
    values: NDArray[np.int64],
    table: list[bytes],
    used: NDArray[np.bool_],
    reading: MapReading,
) -> None:
    if len(keys) != len(values):
        reading.fault("attributes")
        return
    used[keys] = True
    used[values] = True
    for key, value in zip(keys.tolist(), values.tolist(), strict=True):
        reading.pairs[table[key].decode("utf-8", "replace"), table[value].decode("utf-8", "replace")] += 1


def _is_one(strings: list[int | bytes]) -> bool:
    return len(strings) == 1 and isinstance(strings[0], bytes)


def _fields(message: int | bytes) -> Iterator[_Field]:
    """Numbers and values of the fields of a protobuf message; varints and byte strings only."""
    if isinstance(message, int):
        raise MalformedItemError("a PBF message is malformed (got a number, expected a message)")
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire, number = key & 7, key >> 3
        value, at = _varint(message, at)
        if wire == _VARINT:
            yield number, value
        elif wire == _BYTES and at + value <= len(message):
            yield number, message[at : at + value]
            at += value
        else:
            raise MalformedItemError(f"a PBF message is malformed (got wire type {wire} in field {number})")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:  # noqa: PLR2004 (bits)
        byte, at = message[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004
            return value, at
        shift += 7
    raise MalformedItemError("a PBF message is malformed (a number does not end)")


def _varints(packed: int | bytes) -> NDArray[np.int64]:
    if isinstance(packed, int):
        return np.array([packed], dtype=np.int64)
    content = np.frombuffer(packed, dtype=np.uint8)
    if not len(content):
        return np.zeros(0, dtype=np.int64)
    ends = np.flatnonzero(content < 0x80)  # noqa: PLR2004
    if not len(ends) or ends[-1] != len(content) - 1:
        raise MalformedItemError("a PBF message is malformed (a number does not end)")
    starts = np.concatenate([[0], ends[:-1] + 1])
    shifts = 7 * (
        np.arange(len(content)) - np.repeat(starts, np.diff(np.concatenate([starts, [len(content)]])))
    )
    parts = (content & 0x7F).astype(np.uint64) << shifts.astype(np.uint64)
    return np.add.reduceat(parts, starts).astype(np.int64)


def _zigzag(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return (values >> 1) ^ -(values & 1)

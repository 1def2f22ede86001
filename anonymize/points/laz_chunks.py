"""The chunks of a LAZ file, checked before they are decompressed.

The decoder allocates what the chunk table and the layers of a chunk claim, and ends the process when it cannot;
so both are held against the length of the file first (LASzip, chunk table and layered chunks).
"""

import os
import struct
from typing import BinaryIO

import lazrs  # type: ignore[import-untyped]

from anonymize.errors import MalformedItemError
from anonymize.points.decoder import decoding
from anonymize.points.las_layout import LasLayout

_OFFSET = struct.Struct("<q")
_TABLE_HEAD = struct.Struct("<II")
_AT_THE_END = -1
# Layers of a chunk: of a point 9, of its colour 1 or, with near infrared, 2, and one for each extra byte.
_LAYERS = {6: 9, 7: 10, 8: 11}


def check_chunks(file: BinaryIO, layout: LasLayout, standard_bytes: int) -> None:
    """Hold the chunk table, and the layers of every chunk, against the length of the file.

    Args:
        file: The file.
        layout: Its layout; its points are compressed.
        standard_bytes: Bytes of a record without extra bytes.

    Raises:
        MalformedItemError: The table is damaged, or claims more than the file holds.
    """
    size = file.seek(0, os.SEEK_END)
    table_at = _table_at(file, layout, size)
    file.seek(table_at)
    _, chunks = _TABLE_HEAD.unpack(_exactly(file, _TABLE_HEAD.size))
    length = layout.record.dtype.itemsize
    first = layout.points_at + _OFFSET.size
    if not 0 < chunks <= layout.count or chunks * length > table_at - first:
        raise MalformedItemError(f"the chunk table claims too many chunks (got {chunks})")
    file.seek(layout.points_at)
    with decoding():
        table = lazrs.read_chunk_table(file, lazrs.LazVlr(layout.laszip))
    layers = _LAYERS.get(layout.record.point_format, 0)
    extra = length - standard_bytes
    at = first
    for _, chunk_bytes in table:
        if not length <= chunk_bytes <= table_at - at:
            raise MalformedItemError(f"a chunk reaches past the points (got {chunk_bytes} bytes)")
        if layers:
            _check_layers(file, at + length, chunk_bytes - length, layers + extra)
        at += chunk_bytes


def _check_layers(file: BinaryIO, at: int, left: int, layers: int) -> None:
    file.seek(at)
    head = struct.Struct(f"<I{layers}I")
    _, *sizes = head.unpack(_exactly(file, head.size))
    if head.size + sum(sizes) > left:
        raise MalformedItemError(f"layers reach past their chunk (got {sum(sizes)}, expected {left} bytes)")


def _table_at(file: BinaryIO, layout: LasLayout, size: int) -> int:
    file.seek(layout.points_at)
    (table_at,) = _OFFSET.unpack(_exactly(file, _OFFSET.size))
    if table_at == _AT_THE_END:
        file.seek(size - _OFFSET.size)
        (table_at,) = _OFFSET.unpack(_exactly(file, _OFFSET.size))
    if not layout.points_at + _OFFSET.size <= table_at <= size - _TABLE_HEAD.size:
        raise MalformedItemError(
            "the chunk table lies outside the file (got another place, expected its end)"
        )
    return int(table_at)


def _exactly(file: BinaryIO, count: int) -> bytes:
    content = file.read(count)
    if len(content) != count:
        raise MalformedItemError(
            f"compressed points are truncated (got {len(content)}, expected {count} bytes)"
        )
    return content

"""Expansion of chunks that cannot outgrow what they claim."""

import bz2

import lz4.frame  # type: ignore[import-untyped]
import zstandard

from anonymize.errors import MalformedItemError


def expand(data: bytes, *, compression: str, size: int) -> bytes:
    """Expand the compressed records of a chunk; never holds more than one byte beyond ``size``.

    Args:
        data: The compressed bytes.
        compression: ``lz4`` (frame format), ``zstd``, ``bz2``, or empty for none.
        size: Bytes that the chunk claims to expand to; the caller has held it against its limit.

    Raises:
        MalformedItemError: The compression is unknown, the data are damaged or cut short, anything stands
            behind them, or they expand to another size than claimed.
    """
    if compression == "":
        expanded = data
    elif compression == "lz4":
        expanded = _lz4(data, size)
    elif compression == "zstd":
        expanded = _zstd(data, size)
    elif compression == "bz2":
        expanded = _bz2(data, size)
    else:
        raise MalformedItemError(
            f"a chunk is compressed in an unknown way (got {compression[:16]!a}, expected lz4, zstd, bz2 or none)"
        )
    if len(expanded) != size:
        more = "at least " if len(expanded) > size else ""
        raise MalformedItemError(
            f"a chunk does not expand to its size (got {more}{len(expanded)}, expected {size})"
        )
    return expanded


def _lz4(data: bytes, size: int) -> bytes:
    decompressor = lz4.frame.LZ4FrameDecompressor()
    try:
        expanded: bytes = decompressor.decompress(data, max_length=size + 1)
    except RuntimeError as error:
        raise MalformedItemError("an lz4 chunk is damaged") from error
    _require_end(at_end=decompressor.eof, behind=decompressor.unused_data, fits=len(expanded) <= size)
    return expanded


def _bz2(data: bytes, size: int) -> bytes:
    decompressor = bz2.BZ2Decompressor()
    try:
        expanded = decompressor.decompress(data, max_length=size + 1)
    except OSError as error:
        raise MalformedItemError("a bz2 chunk is damaged") from error
    _require_end(at_end=decompressor.eof, behind=decompressor.unused_data, fits=len(expanded) <= size)
    return expanded


def _zstd(data: bytes, size: int) -> bytes:
    try:
        # The library takes the size that the frame's header names, whatever the caller permits.
        claimed = zstandard.frame_content_size(data)
        if claimed > size:
            raise MalformedItemError(f"a chunk does not expand to its size (got {claimed}, expected {size})")
        return zstandard.ZstdDecompressor().decompress(
            data, max_output_size=size + 1, read_across_frames=False, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise MalformedItemError("a zstd chunk is damaged, or does not expand to its size") from error


def _require_end(*, at_end: bool, behind: bytes | None, fits: bool) -> None:
    if fits and not at_end:
        raise MalformedItemError("a chunk is cut short (got no end of its compressed data)")
    if behind:
        raise MalformedItemError(
            f"a chunk ends with its compressed data (got {len(behind)} bytes behind them)"
        )

"""A single gzip member (RFC 1952), expanded in memory under limits of size and ratio."""

import zlib

from anonymize.errors import LimitExceededError, MalformedItemError

MAGIC = b"\x1f\x8b\x08"

_STEP = 1 << 18
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_RATIO_FLOOR = 1 << 16


def expand(content: bytes, *, max_bytes: int, max_ratio: int) -> bytes:
    """Expand exactly one gzip member; the trailing CRC-32 and length are verified by zlib.

    Args:
        content: The whole compressed item.
        max_bytes: Greatest expanded size in bytes.
        max_ratio: Greatest expanded size per compressed byte; results of up to 64 KiB are exempt, since short
            repetitive text compresses by more than any honest large item.

    Raises:
        LimitExceededError: The expansion passes one of the limits; at most one step of 256 KiB beyond it was
            ever in memory.
        MalformedItemError: Not gzip, damaged, truncated, or followed by more bytes (a second member).
    """
    decoder = zlib.decompressobj(_GZIP_WINDOW)
    expanded = bytearray()
    pending = content
    while not decoder.eof:
        try:
            step = decoder.decompress(pending, _STEP)
        except zlib.error as error:
            raise MalformedItemError(
                f"gzip data is damaged (got {error}, expected one sound member)"
            ) from error
        expanded += step
        _check(len(expanded), len(content), max_bytes=max_bytes, max_ratio=max_ratio)
        pending = decoder.unconsumed_tail
        if not step and not pending and not decoder.eof:
            raise MalformedItemError(
                f"gzip data is truncated (got {len(content)} bytes, expected an end marker)"
            )
    if decoder.unused_data:
        raise MalformedItemError(
            f"gzip member is followed by other data (got {len(decoder.unused_data)} bytes more, expected 0)"
        )
    return bytes(expanded)


def _check(expanded: int, compressed: int, *, max_bytes: int, max_ratio: int) -> None:
    if expanded > max_bytes:
        raise LimitExceededError(
            f"gzip data expands too far (got more than {max_bytes} bytes, expected at most that)"
        )
    if expanded > _RATIO_FLOOR and expanded > max_ratio * compressed:
        ratio = expanded / compressed
        raise LimitExceededError(
            f"gzip data expands too far (got a ratio of at least {ratio:.0f}:1, "
            f"expected at most {max_ratio}:1)"
        )

"""Whether the entropy-coded data of a JPEG are whole; decoders paint over damage without a word (ITU-T T.81).

libjpeg only counts warnings, which Pillow does not pass on. A sequential scan is therefore measured here: the
lengths of its Huffman codes are followed, without decoding a coefficient, and every restart interval has to hold
exactly its number of MCUs and nothing but padding behind them. Damage that happens to leave the lengths right
makes another valid JPEG, which no decoder can tell. Progressive scans are decoded by FFmpeg, which stops at
invalid codes and at missing data.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import ceil

import av
import numpy as np
from numpy.typing import NDArray

from anonymize.errors import MalformedItemError
from anonymize.media.jpeg_markers import RESTARTS, SOS, JpegStructure, Segment

_SEQUENTIAL = (0xC0, 0xC1)
_DHT, _DRI = 0xC4, 0xDD
_BLOCK = 64
_END_OF_BLOCK = 128
_ZERO_RUN = 0xF0
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_CHUNK = 1 << 16
# The most bytes of one MCU: 10 blocks of 64 symbols of 16 bits of code and 15 of value.
_MCU_BYTES = 10 * _BLOCK * 31 // 8 + 1

_Lengths = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Component:
    """Sampling factors of a component of the frame."""

    across: int
    down: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """For each 16 bits that may come next: bits of code and value (0: no code), and coefficients passed.

    ``bits`` and ``passed`` are of one symbol, ``all_bits`` and ``all_passed`` of as many as the 16 bits hold
    whole, up to the end of a block.
    """

    bits: bytes
    passed: bytes
    all_bits: bytes
    all_passed: bytes


def require_whole(content: bytes, structure: JpegStructure) -> None:
    """Refuse a JPEG whose entropy-coded data are damaged, as far as that can be told.

    Args:
        content: The file.
        structure: Its segments (``walk_jpeg``).

    Raises:
        MalformedItemError: A code is invalid, data are missing or left over, or a restart marker is out of
            turn.
    """
    frame = next(s for s in structure.segments if 0xC0 <= s.marker <= 0xC2)  # noqa: PLR2004 - SOF0 to SOF2
    if frame.marker in _SEQUENTIAL:
        _measure(content, structure.segments, frame)
    else:
        _decode(content)


def _decode(content: bytes) -> None:
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.thread_count = 1
    decoder.options = {"err_detect": "explode"}
    try:
        frames = [*decoder.decode(av.Packet(content)), *decoder.decode(None)]
    except av.error.FFmpegError as error:
        raise MalformedItemError(f"JPEG data are damaged ({error.strerror})") from error
    if len(frames) != 1:
        raise MalformedItemError(f"JPEG data are damaged (got {len(frames)} frames, expected 1)")


def _measure(content: bytes, segments: Sequence[Segment], frame: Segment) -> None:
    height, width = (int.from_bytes(frame.payload[i : i + 2], "big") for i in (1, 3))
    parts = {frame.payload[i]: _Component(across=frame.payload[i + 1] >> 4, down=frame.payload[i + 1] & 15)
             for i in range(6, len(frame.payload) - 2, 3)}  # fmt: skip
    tables: dict[int, _Table] = {}
    interval = 0
    for segment, following in pairwise(segments):
        if segment.marker == _DHT:
            tables |= _tables(segment.payload)
        elif segment.marker == _DRI:
            interval = int.from_bytes(segment.payload[:2], "big")
        elif segment.marker == SOS:
            blocks, mcus = _scan_of(segment.payload, parts, tables, (width, height))
            start = segment.offset + 4 + len(segment.payload)
            _check_scan(content[start : following.offset], blocks, mcus, interval or mcus)


def _tables(payload: bytes) -> dict[int, _Table]:
    """The Huffman tables of a DHT segment by class and destination (the byte ``Tc Th``)."""
    tables = {}
    at = 0
    while at + 17 <= len(payload):
        which, counts = payload[at], payload[at + 1 : at + 17]
        symbols = payload[at + 17 : at + 17 + sum(counts)]
        at += 17 + sum(counts)
        if len(symbols) != sum(counts):
            raise MalformedItemError("JPEG has a truncated Huffman table")
        tables[which] = _table(counts, symbols, dc=which < 16)  # noqa: PLR2004 - class 0
    return tables


@lru_cache(maxsize=16)
def _table(counts: bytes, symbols: bytes, *, dc: bool) -> _Table:
    bits, passed = np.zeros(1 << 16, np.uint8), np.zeros(1 << 16, np.uint8)
    at = index = 0
    for length, count in enumerate(counts, start=1):
        span = 1 << (16 - length)
        for symbol in symbols[index : index + count]:
            if at + span > 1 << 16:
                raise MalformedItemError("JPEG has an impossible Huffman table")
            run, size = (0, symbol) if dc else (symbol >> 4, symbol & 15)
            bits[at : at + span] = length + min(size, 16)
            ends = not dc and size == 0 and symbol != _ZERO_RUN
            passed[at : at + span] = _END_OF_BLOCK if ends else run + 1
            at += span
        index += count
    all_bits, all_passed = _together(bits, passed)
    return _Table(
        bits=bits.tobytes(),
        passed=passed.tobytes(),
        all_bits=all_bits.tobytes(),
        all_passed=all_passed.tobytes(),
    )


def _together(bits: _Lengths, passed: _Lengths) -> tuple[_Lengths, _Lengths]:
    """Bits and coefficients of all symbols that lie whole within 16 bits, up to the end of a block."""
    window = np.arange(1 << 16, dtype=np.uint32)
    all_bits, all_passed = bits.astype(np.uint16), passed.astype(np.uint16)
    for _ in range(7):
        after = (window << all_bits) & 0xFFFF
        more, further = bits[after], passed[after]
        fits = (all_passed < _BLOCK) & (bits > 0) & (more > 0) & (all_bits + more <= 16)  # noqa: PLR2004
        fits &= (further >= _END_OF_BLOCK) | (all_passed + further < _BLOCK)
        all_bits += np.where(fits, more, 0).astype(np.uint16)
        all_passed += np.where(fits, further, 0).astype(np.uint16)
    return all_bits.astype(np.uint8), all_passed.astype(np.uint8)


def _scan_of(
    payload: bytes, parts: dict[int, _Component], tables: dict[int, _Table], size: tuple[int, int]
) -> tuple[list[tuple[_Table, _Table]], int]:
    """Tables (DC, AC) of each block of an MCU, in order, and the number of MCUs of a scan."""
    chosen = [(payload[1 + 2 * i], payload[2 + 2 * i]) for i in range(payload[0])] if payload else []
    known = all(name in parts and (t >> 4) in tables and 16 + (t & 15) in tables for name, t in chosen)
    if not chosen or not known or any(0 in (p.across, p.down) for p in parts.values()):
        raise MalformedItemError("JPEG scan names components or tables that are not there")
    most_across, most_down = max(p.across for p in parts.values()), max(p.down for p in parts.values())
    if len(chosen) == 1:
        name, t = chosen[0]
        across = ceil(ceil(size[0] * parts[name].across / most_across) / 8)
        down = ceil(ceil(size[1] * parts[name].down / most_down) / 8)
        return [(tables[t >> 4], tables[16 + (t & 15)])], across * down
    blocks = [
        (tables[t >> 4], tables[16 + (t & 15)])
        for name, t in chosen
        for _ in range(parts[name].across * parts[name].down)
    ]
    return blocks, ceil(size[0] / (8 * most_across)) * ceil(size[1] / (8 * most_down))


def _check_scan(data: bytes, blocks: list[tuple[_Table, _Table]], mcus: int, interval: int) -> None:
    """Hold every restart interval of a scan against its number of MCUs."""
    markers = [(m.start(), data[m.start() + 1] - RESTARTS[0]) for m in _RESTART.finditer(data)]
    if [turn for _, turn in markers] != [i % 8 for i in range(ceil(mcus / interval) - 1)]:
        expected = ceil(mcus / interval) - 1
        raise MalformedItemError(
            f"JPEG restart markers are out of turn (got {len(markers)}, expected {expected})"
        )
    starts = [0, *(at + 2 for at, _ in markers)]
    ends = [*(at for at, _ in markers), len(data)]
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        _follow(data[start:end].replace(b"\xff\x00", b"\xff"), blocks, min(interval, mcus - i * interval))


def _follow(data: bytes, blocks: list[tuple[_Table, _Table]], mcus: int) -> None:
    """Follow the codes of ``mcus`` MCUs, which must fill ``data`` up to its last byte."""
    at = 0
    while mcus:
        first = at >> 3
        if first > len(data):
            raise MalformedItemError("JPEG data are damaged (codes are missing)")
        windows = _windows(data[first : first + _CHUNK + _MCU_BYTES])
        position, passed = _chunk(windows, blocks, (at & 7, min(_CHUNK, len(data) - first) * 8), mcus)
        at, mcus = first * 8 + position, mcus - passed
    if not 0 <= len(data) * 8 - at < 8:  # noqa: PLR2004 - padding to a whole byte
        raise MalformedItemError(f"JPEG data are damaged (got {len(data)} bytes, codes for {ceil(at / 8)})")


def _windows(data: bytes) -> memoryview:
    """The 16 bits that begin at each bit; beyond the end they are ones."""
    padded = np.frombuffer(data + b"\xff" * (_MCU_BYTES + 2), dtype=np.uint8).astype(np.uint32)
    words = padded[:-2] << 16 | padded[1:-1] << 8 | padded[2:]
    windows = np.empty((len(words), 8), dtype=np.uint16)
    for i in range(8):
        windows[:, i] = words >> (8 - i) & 0xFFFF
    return windows.reshape(-1).data


def _chunk(
    windows: memoryview, blocks: list[tuple[_Table, _Table]], span: tuple[int, int], mcus: int
) -> tuple[int, int]:
    """Position behind, and number of, the MCUs that begin within ``span`` (bits), at most ``mcus``."""
    at, end = span
    done = 0
    while done < mcus and at < end:
        for dc, ac in blocks:
            step = dc.bits[windows[at]]
            at += step
            k = 1
            while k < _BLOCK and step:
                window = windows[at]
                step, ahead = ac.all_bits[window], k + ac.all_passed[window]
                if _BLOCK < ahead < _END_OF_BLOCK or ahead >= _END_OF_BLOCK + _BLOCK:
                    # Some of these symbols belong to the next block: one at a time.
                    step, ahead = ac.bits[window], k + ac.passed[window]
                k = ahead
                at += step
            if not step or _BLOCK < k < _END_OF_BLOCK:
                raise MalformedItemError("JPEG data are damaged (got a code that does not exist)")
        done += 1
    if done < mcus and not done:
        raise MalformedItemError("JPEG data are damaged (codes are missing)")
    return at, done

"""Released CAN logs (Vector ASC and BLF), decoded by a DBC of the reader's into signals."""

import io
import struct
from collections.abc import Iterable, Iterator
from typing import Final

import can
import numpy as np
from can.io.blf import BLFParseError
from cantools.database.errors import DecodeError

from pipeline.mining.errors import UnreadableItemError
from pipeline.mining.motion import completed
from pipeline.mining.sampling import Samples, sampled
from pipeline.mining.signal_file import CanSignals
from pipeline.mining.signals import Clip, SignalTable, join_tables

CanFrame = tuple[float, int, bool, bytes]
"""Time in seconds, identifier, whether it is an extended one, payload."""

_BROKEN: Final = (ValueError, IndexError, KeyError, struct.error, BLFParseError, OverflowError)


def read_can_log(
    content: bytes, kind: str, signals: CanSignals, *, release: str, item: str, stride_s: int | None
) -> SignalTable:
    """The signals of a log.

    Args:
        content: The log.
        kind: ``asc`` or ``blf``.
        signals: What to take of it.
        release: Id of the release.
        item: Name of the item.
        stride_s: Of a LOCAL release: seconds from the begin of one clip to that of the next, as the manifest says.

    Raises:
        UnreadableItemError: It is no such log, or a frame does not decode.
    """
    try:
        frames = list(_asc(content) if kind == "asc" else _blf(content))
    except _BROKEN as error:
        raise UnreadableItemError(f"{item!r} is no {kind} log: {type(error).__name__}: {error}") from error
    samples = can_samples(frames, signals, item=item)
    return _in_clips(samples, release=release, item=item, stride_s=stride_s)


def can_samples(frames: Iterable[CanFrame], signals: CanSignals, *, item: str) -> dict[str, Samples]:
    """The values of each column with their times, of the frames that carry them.

    Raises:
        UnreadableItemError: A frame does not decode by the DBC.
    """
    found: dict[str, Samples] = {}
    for time_s, identifier, extended, data in frames:
        known = signals.frames.get((identifier, extended))
        if known is None:
            continue
        message, columns = known
        try:
            values = message.decode(data, decode_choices=False, scaling=True)
        except (DecodeError, ValueError) as error:
            raise UnreadableItemError(
                f"{item!r}: a frame {message.name!r} at {time_s:.3f} s does not decode: {error}"
            ) from error
        for column in columns:
            value = values.get(column.signal) if isinstance(values, dict) else None
            if isinstance(value, int | float):
                known_value = float(value) not in column.absent
                scaled = value * column.factor + column.offset if known_value else float("nan")
                found.setdefault(column.column, Samples()).add(time_s, scaled)
    return found


def _in_clips(samples: dict[str, Samples], *, release: str, item: str, stride_s: int | None) -> SignalTable:
    moments = (
        np.array(sorted({int(t // stride_s) for s in samples.values() for t in s.t_s})) if stride_s else [0]
    )
    tables = []
    for number in moments:
        begin = int(number) * (stride_s or 0)
        end = begin + stride_s if stride_s else np.inf
        of = {name: s.between(begin, end) for name, s in samples.items()}
        clip = Clip(release=release, item=item, number=int(number))
        table = sampled(clip, of)
        tables.append(
            SignalTable(
                clips=table.clips, clip=table.clip, columns=completed(table.columns), untimed=table.untimed
            )
        )
    return join_tables(tables)


def _asc(content: bytes) -> Iterator[CanFrame]:
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors="strict")
    with can.ASCReader(text) as log:
        yield from _frames(log)


def _blf(content: bytes) -> Iterator[CanFrame]:
    with can.BLFReader(io.BytesIO(content)) as log:
        begin = log.start_timestamp
        for time_s, identifier, extended, data in _frames(log):
            yield time_s - begin, identifier, extended, data


def _frames(log: Iterable[can.Message]) -> Iterator[CanFrame]:
    for message in log:
        if not message.is_error_frame and not message.is_remote_frame:
            extended = bool(message.is_extended_id)
            yield message.timestamp, message.arbitration_id, extended, bytes(message.data or b"")

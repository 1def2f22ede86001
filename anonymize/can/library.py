"""python-can at the edge: its readers are given file objects only, and its messages become frames.

Importing ``can`` reads the entry points of installed packages; it opens no socket and reads no configuration,
which only ``can.Bus`` does. Nothing of it that takes a path is called.
"""

import struct
from collections.abc import Iterator
from typing import Any

from can import Message
from can.io.asc import ASCReader
from can.io.blf import BLFParseError, BLFReader

from anonymize.can.frame import CLASSIC_BYTES, FD_LENGTHS, MAX_EXTENDED_ID, MAX_STANDARD_ID, Frame
from anonymize.errors import MalformedItemError

_LARGEST_CHANNEL = 255
_LONGEST_NS = 10 * 366 * 86400 * 10**9


def asc_messages(lines: Any) -> Iterator[Message]:
    """Messages of an iterator of text lines that has a method ``close``."""
    return _messages(lambda: iter(ASCReader(lines)))


def blf_messages(file: Any) -> Iterator[Message]:
    """Messages of an object with the methods ``read`` and ``close``."""
    return _messages(lambda: iter(BLFReader(file)))


def _messages(start: Any) -> Iterator[Message]:
    # The library raises whatever its parsing meets; all of it means that the log is not what it says.
    try:
        yield from start()
    except (ValueError, IndexError, KeyError, struct.error, BLFParseError, OverflowError) as error:
        raise MalformedItemError(f"the CAN log cannot be read (got {type(error).__name__})") from error


def to_frame(message: Message, number: int, *, time_ns: int | None = None) -> Frame:
    """Convert a message.

    Args:
        message: Message of a reader.
        number: Its number in the log, from 0, for errors.
        time_ns: Its time where the caller knows it better than the library's float.

    Raises:
        MalformedItemError: Identifier, channel, length or time are impossible.
    """
    at = round(message.timestamp * 1e9) if time_ns is None else time_ns
    channel = message.channel if isinstance(message.channel, int) else -1
    if not 0 <= channel < _LARGEST_CHANNEL or not 0 <= at <= _LONGEST_NS:
        raise MalformedItemError(
            f"frame {number}: impossible channel or time (got channel {message.channel!r})"
        )
    if message.is_error_frame:
        return Frame(
            time_ns=at, channel=channel + 1, id=0, extended=False, data=b"", length=0,
            received=bool(message.is_rx), error=True,
        )  # fmt: skip
    _check_id(message, number)
    data = bytes(message.data or b"")
    # The library takes an empty FD frame for a remote one; CAN FD has none.
    remote = bool(message.is_remote_frame) and not message.is_fd
    length = message.dlc if remote or not message.is_fd else len(data)
    lengths = FD_LENGTHS if message.is_fd else range(CLASSIC_BYTES + 1)
    if length not in lengths or (not remote and len(data) != length):
        raise MalformedItemError(
            f"frame {number}: impossible length (got {len(data)} bytes, expected {message.dlc})"
        )
    return Frame(
        time_ns=at,
        channel=channel + 1,
        id=message.arbitration_id,
        extended=bool(message.is_extended_id),
        data=b"" if remote else data,
        length=length,
        received=bool(message.is_rx),
        remote=remote,
        fd=bool(message.is_fd),
        bitrate_switch=bool(message.bitrate_switch),
        error_state=bool(message.error_state_indicator),
    )


def _check_id(message: Message, number: int) -> None:
    largest = MAX_EXTENDED_ID if message.is_extended_id else MAX_STANDARD_ID
    if not 0 <= message.arbitration_id <= largest:
        raise MalformedItemError(
            f"frame {number}: impossible identifier (got {message.arbitration_id:#x}, expected ≤ {largest:#x})"
        )

"""Vector ASC logs: lines of text.

Lines are sorted here and frames parsed by python-can, one line for one message, so that nothing is skipped
in silence. Comments, events, statistics, symbolic lines of other buses and transport protocols are counted by
name and not carried.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from anonymize.can.frame import FD_LENGTHS, Frame
from anonymize.can.library import asc_messages, to_frame
from anonymize.errors import MalformedItemError

_LONGEST_LINE = 16 * 1024
_AT_ONCE = 256 * 1024
_BOM = b"\xef\xbb\xbf"
_FRAME = re.compile(
    r"(\d+)\.(\d+)\s+(?:\d+\s+(?:\S+\s+(?:Tx|Rx)|ErrorFrame)|CANFD\s)", re.ASCII | re.IGNORECASE
)
_EVENT = re.compile(r"(-?\d+)\.(\d+)\s+(?:CAN\s+)?(?:\d+\s+)?([A-Za-z][A-Za-z0-9]*)?", re.ASCII)
_DATE = re.compile(
    r"(?:date|begin\s+triggerblock)\s+\S+\s+(\S+?)\.?\s+(\d+)\s+(\d+):(\d+):(\d+)(?:\.(\d+))?(?:\s+(am|pm))?\s+(\d{4})",
    re.IGNORECASE,
)
_BASE = re.compile(r"base\s+(hex|dec)(?:\s+timestamps\s+(absolute|relative))?", re.IGNORECASE)
_OTHER = re.compile(
    r"//.*|(no\s+)?internal\s+events\s+logged.*|(begin|end)\s+triggerblock.*|previous\s+log\s+file.*",
    re.IGNORECASE,
)
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan",
            "feb",
            "mar mär mrz",
            "apr",
            "may mai",
            "jun",
            "jul",
            "aug",
            "sep",
            "oct okt",
            "nov",
            "dec dez",
        ),
        1,
    )
    for name in names.split()
}
_EVENTS = frozenset(
    {"start", "statistic", "status", "j1939tp", "sv", "log", "lin", "linmsg", "fr", "most", "eth", "afdx", "gps",
     "overloadframe", "trigger", "tfs", "tp", "ev"}
)  # fmt: skip
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOON = 12
_DAY_MS = 86_400_000
_NS_DIGITS = 9
_FD_FLAG, _BRS_FLAG, _ESI_FLAG = 1 << 12, 1 << 13, 1 << 14


class AscReader:
    """Frames of an ASC log, or of the part of one between two offsets.

    Attributes:
        start_ms: Milliseconds since 1970 of the log's start, as its date line states, taken as UTC; None where
            it states none or 1970-01-01. Known once the first frame was read.
        dropped: Names of lines that are no frames, with their number so far.
    """

    def __init__(self, file: BinaryIO, *, begin: int = 0, end: int | None = None) -> None:
        self.start_ms: int | None = None
        self.dropped: Counter[str] = Counter()
        self._file, self._at, self._end = file, begin, end
        self._number = 0
        self._base, self._relative = "hex", False
        self._last_ns = 0
        self._triggered = False
        self._fed: list[int] = []
        self._lines = self._sorted()

    def __iter__(self) -> Iterator[Frame]:
        """The frames in the order of the log.

        Raises:
            MalformedItemError: Names the line that is none of the format, or the frame that is impossible.
        """
        for count, message in enumerate(asc_messages(_Fed(self))):
            # 1. One line, one message. 2. The time is that of the line, exactly.
            if len(self._fed) != 1:
                raise MalformedItemError(f"line {self._number}: no frame (got a line that the library skips)")
            yield to_frame(message, count, time_ns=self._fed.pop())
        if self._fed:
            raise MalformedItemError(f"line {self._number}: no frame (got a line that the library skips)")

    def _sorted(self) -> Iterator[str]:
        header = False
        for raw in self._raw():
            line = raw.strip()
            match = _FRAME.match(line)
            if match is None:
                self._not_a_frame(line)
                continue
            if not header:
                header = True
                yield f"base {self._base}  timestamps absolute"
                yield "no internal events logged"
            self._fed.append(self._clock(match[1], match[2]))
            yield line

    def _raw(self) -> Iterator[str]:
        left = b""
        while content := self._read():
            *whole, left = (left + content).split(b"\n")
            for raw in whole:
                yield self._checked(raw)
            if len(left) > _LONGEST_LINE:
                self._checked(left)
        if left:
            yield self._checked(left)

    def _read(self) -> bytes:
        size = _AT_ONCE if self._end is None else min(_AT_ONCE, self._end - self._at)
        self._file.seek(self._at)
        content = self._file.read(size)
        self._at += len(content)
        return content

    def _checked(self, raw: bytes) -> str:
        self._number += 1
        if len(raw) > _LONGEST_LINE:
            raise MalformedItemError(
                f"line {self._number}: too long (expected at most {_LONGEST_LINE} bytes)"
            )
        return (raw.removeprefix(_BOM) if self._number == 1 else raw).decode("latin-1")

    def _not_a_frame(self, line: str) -> None:
        if not line:
            return
        if date := _DATE.match(line):
            self._date(date, trigger=line[:1].lower() == "b")
        elif base := _BASE.match(line):
            self._base, self._relative = base[1].lower(), (base[2] or "").lower() == "relative"
        elif event := _EVENT.match(line):
            self._clock(event[1], event[2])
            # Only names of the format: any other word is content.
            name = (event[3] or "").lower()
            self.dropped[name if name in _EVENTS else "event"] += 1
        elif _OTHER.match(line):
            self.dropped["comment"] += line.startswith("//")
        else:
            raise MalformedItemError(
                f"line {self._number}: no line of an ASC log (got {len(line)} characters)"
            )

    def _date(self, date: re.Match[str], *, trigger: bool) -> None:
        """Times count from the trigger block where there is one; a second one may not say otherwise."""
        moment = _moment(date, self._number)
        if trigger and self._triggered and moment != self.start_ms:
            raise MalformedItemError(f"line {self._number}: a second trigger block of another date")
        if trigger or self.start_ms is None:
            self.start_ms = moment
        self._triggered |= trigger

    def _clock(self, seconds: str, fraction: str) -> int:
        time_ns = int(seconds) * 10**9 + int(fraction[:_NS_DIGITS].ljust(_NS_DIGITS, "0"))
        self._last_ns = self._last_ns + time_ns if self._relative else time_ns
        return self._last_ns


class _Fed:
    """What python-can sees: text lines and a ``close`` that leaves the file open."""

    def __init__(self, reader: AscReader) -> None:
        self._next = reader._lines.__next__  # noqa: SLF001 - two halves of one reader

    def __iter__(self) -> "_Fed":
        return self

    def __next__(self) -> str:
        return self._next()

    def close(self) -> None:
        """Nothing."""


def _moment(match: re.Match[str], number: int) -> int | None:
    month = _MONTHS.get(match[1].lower()[:3], 0)
    hour = int(match[3]) % _NOON + (_NOON if match[7].lower() == "pm" else 0) if match[7] else int(match[3])
    try:
        moment = datetime(int(match[8]), month, int(match[2]), hour, int(match[4]), int(match[5]), tzinfo=UTC)
    except ValueError as error:
        raise MalformedItemError(f"line {number}: impossible date (got {match[0][:40]!r})") from error
    whole = (moment - _EPOCH) // timedelta(milliseconds=1)
    # The first day of 1970 is what is written where nothing is to be told.
    return whole + int((match[6] or "0")[:3].ljust(3, "0")) if whole >= _DAY_MS else None


def asc_header(start_ms: int | None) -> bytes:
    """The head of an ASC log; 1970-01-01 where the log tells no time."""
    moment = _EPOCH + timedelta(milliseconds=start_ms or 0)
    day = f"{_DAYS[moment.weekday()]} {_MONTH_NAMES[moment.month - 1]} {moment.day:02d}"
    date = f"{day} {moment:%H:%M:%S}.{moment.microsecond // 1000:03d} {moment.year}"
    return f"date {date}\nbase hex  timestamps absolute\nno internal events logged\n".encode()


def asc_lines(frames: Iterable[Frame]) -> Iterator[bytes]:
    """The line of each frame; times are rounded to microseconds."""
    for frame in frames:
        micro = (frame.time_ns + 500) // 1000
        head = f"{micro // 10**6}.{micro % 10**6:06d}"
        side = "Rx" if frame.received else "Tx"
        name = f"{frame.id:X}{'x' if frame.extended else ''}"
        data = frame.data.hex(" ").upper()
        if frame.error:
            line = f"{head} {frame.channel}  ErrorFrame"
        elif frame.fd:
            flags = _FD_FLAG | _BRS_FLAG * frame.bitrate_switch | _ESI_FLAG * frame.error_state
            line = (
                f"{head} CANFD {frame.channel:>3} {side:<4} {name:>8}  {'':>32} {frame.bitrate_switch:d} "
                f"{frame.error_state:d} {FD_LENGTHS.index(frame.length):x} {frame.length:>2} {data} "
                f"{0:>8} {0:>4} {flags:>8X} {0:>8} {0:>8} {0:>8} {0:>8} {0:>8}"
            )
        elif frame.remote:
            line = f"{head} {frame.channel}  {name:<15} {side:<4} r {frame.length:x}"
        else:
            line = f"{head} {frame.channel}  {name:<15} {side:<4} d {frame.length:x} {data}"
        yield line.rstrip().encode() + b"\n"

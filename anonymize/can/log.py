"""Reading and writing CAN logs of both formats, in one pass and with constant memory."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from anonymize.can.asc import AscReader, asc_header, asc_lines
from anonymize.can.blf import Container, containers, read_blf, read_container, walk_blf
from anonymize.can.blf_writing import BlfTotals, blf_containers, blf_header
from anonymize.can.frame import Frame, LogKind
from anonymize.errors import LimitExceededError, MalformedItemError

_OUT_BYTES = 128 * 1024
_BLOCK_BYTES = 256 * 1024
_HEAD = b"\nbase hex  timestamps absolute\nno internal events logged\n"
_HEAD_BYTES = 160


class CanLog:
    """A log that is read once.

    Attributes:
        start_ms: Milliseconds since 1970 of the log's start as the log states it, taken as UTC; None where it
            states none. Of an ASC log known once a frame was read.
        dropped: Names of what is no frame and is not carried, with their number; whole at the end.
    """

    def __init__(self, file: BinaryIO, kind: LogKind, *, max_frames: int) -> None:
        """Prepare reading; the structure of a BLF log is checked whole.

        Raises:
            MalformedItemError: The structure is damaged.
            LimitExceededError: There are too many frames.
        """
        self._max_frames = max_frames
        self._asc: AscReader | None = None
        if kind == "asc":
            self._asc = AscReader(file)
            self._frames = iter(self._asc)
            self._start_ms = None
            self.dropped: Counter[str] = self._asc.dropped
        else:
            walk = walk_blf(file, max_frames=max_frames)
            self._frames = read_blf(file, walk)
            self._start_ms = walk.start_ms
            self.dropped = walk.dropped

    @property
    def start_ms(self) -> int | None:
        """See the class."""
        return self._asc.start_ms if self._asc else self._start_ms

    def __iter__(self) -> Iterator[Frame]:
        """The frames in the order of the log.

        Raises:
            MalformedItemError: A line, object or frame is none of the format, or there is no frame.
            LimitExceededError: There are too many frames.
        """
        count = 0
        for frame in self._frames:
            count += 1
            if count > self._max_frames:
                raise LimitExceededError(
                    f"the log holds too many frames (expected at most {self._max_frames})"
                )
            yield frame
        if not count:
            raise MalformedItemError("the log holds no frames (got 0, expected at least 1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A part of a cleansed log that can be read by itself: two offsets, and its earliest and latest time."""

    begin: int
    end: int
    first_ns: int
    last_ns: int


def blocks(file: BinaryIO, kind: LogKind) -> Iterator[tuple[Block, list[Frame]]]:
    """The blocks of a log that :func:`write_can` wrote, with their frames; memory is bounded by one block.

    Raises:
        MalformedItemError: The log is none that this package wrote.
    """
    for begin, end in _bounds(file, kind):
        frames = list(_between(file, kind, begin, end))
        times = [frame.time_ns for frame in frames]
        if times:
            yield Block(begin=begin, end=end, first_ns=min(times), last_ns=max(times)), frames


def read_block(file: BinaryIO, kind: LogKind, block: Block) -> Iterator[Frame]:
    """The frames of one block."""
    return _between(file, kind, block.begin, block.end)


def start_of(file: BinaryIO, kind: LogKind, *, max_frames: int) -> int | None:
    """``CanLog.start_ms`` of a log; its first frame is read, and the structure of a BLF log checked."""
    log = CanLog(file, kind, max_frames=max_frames)
    next(iter(log), None)
    return log.start_ms


def _between(file: BinaryIO, kind: LogKind, begin: int, end: int) -> Iterator[Frame]:
    if kind == "asc":
        return iter(AscReader(file, begin=begin, end=end))
    return read_container(file, Container(begin=begin, end=end))


def _bounds(file: BinaryIO, kind: LogKind) -> Iterator[tuple[int, int]]:
    if kind == "blf":
        yield from ((c.begin, c.end) for c in containers(file))
        return
    size, begin = file.seek(0, 2), 0
    file.seek(0)
    if _HEAD not in file.read(_HEAD_BYTES):
        raise MalformedItemError("the log is none that was cleansed here (expected its head)")
    while begin < size:
        file.seek(min(begin + _BLOCK_BYTES, size))
        file.readline()
        yield begin, file.tell()
        begin = file.tell()


def measure(frames: Iterable[Frame], kind: LogKind) -> BlfTotals:
    """Go through frames and count what a BLF header states of them; for ASC only their number."""
    totals = BlfTotals()
    if kind == "asc":
        totals.objects = sum(1 for _ in frames)
        return totals
    for _ in blf_containers(frames, totals):
        pass
    return totals


def write_can(
    frames: Iterable[Frame], kind: LogKind, *, start_ms: int | None, totals: BlfTotals
) -> Iterator[bytes]:
    """Write a log in chunks; deterministic, naming no application, machine or operator.

    Args:
        frames: The frames.
        kind: The format.
        start_ms: Milliseconds since 1970 of time 0; None writes no date (ASC: 1970-01-01).
        totals: What :func:`measure` counted of the same frames; ASC does without.
    """
    if kind == "asc":
        yield asc_header(start_ms)
        yield from _gathered(asc_lines(frames))
        return
    yield blf_header(totals, start_ms)
    yield from blf_containers(frames, BlfTotals())


def _gathered(lines: Iterable[bytes]) -> Iterator[bytes]:
    buffer: list[bytes] = []
    size = 0
    for line in lines:
        buffer.append(line)
        size += len(line)
        if size >= _OUT_BYTES:
            yield b"".join(buffer)
            buffer, size = [], 0
    if buffer:
        yield b"".join(buffer)

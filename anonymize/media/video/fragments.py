"""Where the samples of a fragmented MP4 lie (ISO/IEC 14496-12, 8.8)."""

from collections.abc import Iterator
from dataclasses import dataclass

from anonymize.errors import MalformedItemError
from anonymize.media.video.container import VideoSource
from anonymize.media.video.structure import Box, boxes

_BASE_OFFSET, _DESCRIPTION, _DEFAULT_DURATION, _DEFAULT_SIZE = 0x1, 0x2, 0x8, 0x10
_BASE_IS_MOOF = 0x020000
_DATA_OFFSET, _FIRST_FLAGS, _DURATION, _SIZE, _FLAGS, _COMPOSITION = 0x1, 0x4, 0x100, 0x200, 0x400, 0x800


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Samples of one track that lie next to each other.

    Attributes:
        track: Number of the track.
        start: Offset in the file of the first sample's first byte.
        end: Offset behind the last sample.
    """

    track: int
    start: int
    end: int


def runs_of(source: VideoSource, moof: Box) -> Iterator[Run]:
    """The runs of a movie fragment, in the order in which it states them.

    Raises:
        MalformedItemError: Offsets do not count from the fragment's own beginning, or a box is cut short.
    """
    for traf in boxes(source, moof.body, moof.end):
        if traf.kind != b"traf":
            continue
        track, default = 0, 0
        for box in list(boxes(source, traf.body, traf.end)):
            if box.kind == b"tfhd":
                track, default = _header(_Words(source, box))
            if box.kind == b"trun":
                start, size = _run(_Words(source, box), default)
                yield Run(track=track, start=moof.start + start, end=moof.start + start + size)


def _header(words: "_Words") -> tuple[int, int]:
    flags = words.next() & 0xFFFFFF
    if flags & _BASE_OFFSET or not flags & _BASE_IS_MOOF:
        raise MalformedItemError(f"a fragment's offsets are not its own (got flags {flags:#x})")
    track = words.next()
    for flag in (_DESCRIPTION, _DEFAULT_DURATION):
        if flags & flag:
            words.next()
    return track, words.next() if flags & _DEFAULT_SIZE else 0


def _run(words: "_Words", default: int) -> tuple[int, int]:
    flags, count = words.next() & 0xFFFFFF, words.next()
    if not flags & _DATA_OFFSET:
        raise MalformedItemError(f"a run of samples states no offset (got flags {flags:#x})")
    start, size = words.next(), 0
    if flags & _FIRST_FLAGS:
        words.next()
    for _ in range(count):
        if flags & _DURATION:
            words.next()
        size += words.next() if flags & _SIZE else default
        for flag in (_FLAGS, _COMPOSITION):
            if flags & flag:
                words.next()
    return start, size


class _Words:
    """Numbers of four bytes in a box, one after the other."""

    def __init__(self, source: VideoSource, box: Box) -> None:
        source.seek(box.body)
        self._content, self._place = source.read(box.end - box.body), 0

    def next(self) -> int:
        word = self._content[self._place : self._place + 4]
        if len(word) < 4:  # noqa: PLR2004
            raise MalformedItemError("a box of a fragment is cut short")
        self._place += 4
        return int.from_bytes(word)

"""Where the samples of a fragmented MP4 lie and when they are decoded (ISO/IEC 14496-12, 8.8)."""

from collections.abc import Iterator
from dataclasses import dataclass

from anonymize.errors import MalformedItemError
from anonymize.media.video.container import VideoSource
from anonymize.media.video.structure import Box, boxes

_BASE_OFFSET, _DESCRIPTION, _DEFAULT_DURATION, _DEFAULT_SIZE = 0x1, 0x2, 0x8, 0x10
_DEFAULT_FLAGS = 0x20
_BASE_IS_MOOF = 0x020000
_NOT_SYNC = 0x010000
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When the samples of one track are decoded in one fragment.

    Attributes:
        track: Number of the track.
        offset: Offset in the file of the decode time of the first sample.
        width: Its bytes.
        begin: Its value, in ticks of the track.
        durations: Ticks of each sample.
        keyframe: The first sample needs no other.
    """

    track: int
    offset: int
    width: int
    begin: int
    durations: tuple[int, ...]
    keyframe: bool


def tracks_of(source: VideoSource, moov: Box) -> dict[int, tuple[bytes, int]]:
    """Handler (``vide``, ``soun``) and ticks a second of each track, by its number.

    Raises:
        MalformedItemError: A track states none of them, or no time base.
    """
    tracks = {}
    for trak in boxes(source, moov.body, moov.end):
        if trak.kind != b"trak":
            continue
        inner = {box.kind: box for box in boxes(source, trak.body, trak.end)}
        media = inner.get(b"mdia")
        inner |= {box.kind: box for box in boxes(source, media.body, media.end)} if media else {}
        if not inner.keys() >= {b"tkhd", b"mdhd", b"hdlr"}:
            raise MalformedItemError(f"a track lacks headers (got {sorted(inner)})")
        number = _after_dates(source, inner[b"tkhd"])
        scale = _after_dates(source, inner[b"mdhd"])
        source.seek(inner[b"hdlr"].body + 8)
        if not scale:
            raise MalformedItemError(f"track {number} states no time base (got 0)")
        tracks[number] = (source.read(4), scale)
    return tracks


def _after_dates(source: VideoSource, box: Box) -> int:
    """The number behind the two dates of a header."""
    source.seek(box.body)
    content = source.read(24)
    at = 20 if content[:1] == b"\x01" else 12
    if len(content) < at + 4:
        raise MalformedItemError(f"the header {box.kind!r} is cut short (got {len(content)} bytes)")
    return int.from_bytes(content[at : at + 4])


def timing_of(source: VideoSource, moof: Box) -> Iterator[Timing]:
    """When the samples of a movie fragment are decoded, track by track.

    Raises:
        MalformedItemError: A track states no decode time or not exactly one run, samples are shown in another
            order than decoded, or a box is cut short.
    """
    for traf in boxes(source, moof.body, moof.end):
        if traf.kind != b"traf":
            continue
        inner = {box.kind: box for box in boxes(source, traf.body, traf.end)}
        if sorted(b.kind for b in boxes(source, traf.body, traf.end)) != [b"tfdt", b"tfhd", b"trun"]:
            raise MalformedItemError(f"a fragment has other boxes (got {sorted(inner)})")
        track, duration, _, flags = _defaults(_Words(source, inner[b"tfhd"]))
        wide = bool(_Words(source, inner[b"tfdt"]).next() >> 24)
        offset, width = inner[b"tfdt"].body + 4, 8 if wide else 4
        source.seek(offset)
        begin = int.from_bytes(source.read(width))
        durations, first = _durations(_Words(source, inner[b"trun"]), duration, flags)
        yield Timing(
            track=track,
            offset=offset,
            width=width,
            begin=begin,
            durations=durations,
            keyframe=not first & _NOT_SYNC,
        )


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
    track, _, size, _ = _defaults(words)
    return track, size


def _defaults(words: "_Words") -> tuple[int, int, int, int]:
    """Track, and duration, size and flags of samples that state none."""
    flags = words.next() & 0xFFFFFF
    if flags & _BASE_OFFSET or not flags & _BASE_IS_MOOF:
        raise MalformedItemError(f"a fragment's offsets are not its own (got flags {flags:#x})")
    track = words.next()
    if flags & _DESCRIPTION:
        words.next()
    stated = (_DEFAULT_DURATION, _DEFAULT_SIZE, _DEFAULT_FLAGS)
    duration, size, sample_flags = (words.next() if flags & flag else 0 for flag in stated)
    return track, duration, size, sample_flags


def _durations(words: "_Words", default: int, sample_flags: int) -> tuple[tuple[int, ...], int]:
    """Durations of samples, and the flags of the first."""
    flags, count = words.next() & 0xFFFFFF, words.next()
    if flags & _COMPOSITION:
        raise MalformedItemError("samples of a fragment are shown in another order than decoded")
    if flags & _DATA_OFFSET:
        words.next()
    first = words.next() if flags & _FIRST_FLAGS else sample_flags
    durations = []
    for index in range(count):
        durations.append(words.next() if flags & _DURATION else default)
        if flags & _SIZE:
            words.next()
        if flags & _FLAGS:
            own = words.next()
            first = own if index == 0 else first
    return tuple(durations), first


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

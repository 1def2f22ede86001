"""Whole fragments taken out of a treated video (ISO/IEC 14496-12, 8.8): nothing is encoded anew."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from anonymize.errors import MalformedItemError, OutsideReleaseError
from anonymize.finding import FieldPath, Finding, FindingKind
from anonymize.media.video.allow_list import READER, forbidden
from anonymize.media.video.container import VideoSource, decoding_errors, open_video
from anonymize.media.video.fragments import timing_of, tracks_of
from anonymize.media.video.structure import Box, boxes, size_of
from anonymize.residual import ResidualReport

_SCANNER = "pyav-times"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """A fragment of a treated video: frames that need no others.

    Attributes:
        moof: Its header.
        mdat: Its samples.
        ticks: When each frame is shown, in order.
        scale: Ticks in a second.
        decode_times: Offset in the file, width in bytes, value and ticks a second of each track's decode time.
    """

    moof: Box
    mdat: Box
    ticks: Sequence[int] = field(repr=False)
    scale: int
    decode_times: tuple[tuple[int, int, int, int], ...] = field(repr=False)

    @property
    def times_s(self) -> list[float]:
        """When each frame is shown, in seconds."""
        return [tick / self.scale for tick in self.ticks]


def fragments_of(file: VideoSource) -> tuple[Fragment, ...]:
    """The fragments of a treated video, in order.

    Raises:
        MalformedItemError: The file is not what ``encode_segments`` writes: pairs of ``moof`` and ``mdat``, each
            with frames in the order of their times that begin with a keyframe.
    """
    found = list(boxes(file, 0, size_of(file)))
    kinds = [box.kind for box in found]
    count = (len(kinds) - 2) // 2
    if kinds != [b"ftyp", b"moov", *[b"moof", b"mdat"] * count] or not count:
        raise MalformedItemError(
            f"no treated video (got {len(kinds)} boxes, expected ftyp, moov and fragments)"
        )
    tracks = tracks_of(file, found[1])
    return tuple(_fragment(file, found[i], found[i + 1], tracks) for i in range(2, len(found), 2))


def _fragment(file: VideoSource, moof: Box, mdat: Box, tracks: dict[int, tuple[bytes, int]]) -> Fragment:
    ticks, scale, stamps = array("q"), 0, []
    for timing in timing_of(file, moof):
        if timing.track not in tracks:
            raise MalformedItemError(f"a fragment is of an unknown track (got {timing.track})")
        kind, ticks_a_second = tracks[timing.track]
        stamps.append((timing.offset, timing.width, timing.begin, ticks_a_second))
        if kind == b"vide":
            if not timing.keyframe or not timing.durations:
                raise MalformedItemError("a fragment of a treated video begins with a keyframe (got another)")
            scale, at = ticks_a_second, timing.begin
            for duration in timing.durations:
                ticks.append(at)
                at += duration
    if not ticks:
        raise MalformedItemError("a fragment of a treated video has frames (got 0)")
    return Fragment(moof=moof, mdat=mdat, ticks=ticks, scale=scale, decode_times=tuple(stamps))


def cut_fragments(file: VideoSource, keep: Callable[[float, float], bool]) -> Iterator[bytes]:
    """The treated video with some fragments only; its first frame is shown at 0, all steps between frames stay.

    Fragments are numbered anew. Samples are copied as they are.

    Args:
        file: A treated video; read while the result is.
        keep: Whether a fragment stays, by the times of its first and its last frame in seconds; both included.

    Raises:
        MalformedItemError: The file is no treated video.
        OutsideReleaseError: No fragment stays.
    """
    fragments = fragments_of(file)
    kept = [f for f in fragments if keep(f.times_s[0], f.times_s[-1])]
    if not kept:
        raise OutsideReleaseError("no fragment of the video lies within the release (got 0)")
    return _written(file, fragments[0].moof.start, kept)


def _written(file: VideoSource, init: int, kept: Sequence[Fragment]) -> Iterator[bytes]:
    yield _content(file, 0, init)
    origin = Fraction(kept[0].ticks[0], kept[0].scale)
    for number, fragment in enumerate(kept, start=1):
        yield _header(file, fragment, number, origin)
        for at in range(fragment.mdat.start, fragment.mdat.end, _CHUNK):
            yield _content(file, at, min(at + _CHUNK, fragment.mdat.end))


def _header(file: VideoSource, fragment: Fragment, number: int, origin: Fraction) -> bytes:
    moof = fragment.moof
    content = bytearray(_content(file, moof.start, moof.end))
    for box in boxes(file, moof.body, moof.end):
        if box.kind == b"mfhd":
            at = box.body + 4 - moof.start
            content[at : at + 4] = number.to_bytes(4)
    for offset, width, begin, scale in fragment.decode_times:
        # Sound is counted in samples, which seldom begin with a frame.
        shifted = begin - int(origin * scale)
        if shifted < 0:
            raise MalformedItemError("a track of a fragment begins before its frames")
        at = offset - moof.start
        content[at : at + width] = shifted.to_bytes(width)
    return bytes(content)


def _content(file: VideoSource, start: int, end: int) -> bytes:
    file.seek(start)
    content = file.read(end - start)
    if len(content) != end - start:
        raise MalformedItemError(f"a treated video is cut short (got {len(content)} bytes of {end - start})")
    return content


def kept_times(kept: Sequence[Fragment]) -> list[Fraction]:
    """When each frame of some fragments is shown once they are cut out."""
    origin = Fraction(kept[0].ticks[0], kept[0].scale)
    return [Fraction(tick, f.scale) - origin for f in kept for tick in f.ticks]


def scan_cut(file: VideoSource, times: Sequence[Fraction], *, sound: bool = False) -> ResidualReport:
    """Look at what fragments were cut to: nothing but frames is there, all can be decoded and are shown on time.

    Args:
        file: The result.
        times: When each frame is to be shown, in seconds (``kept_times``).
        sound: The profile keeps audio.

    Raises:
        MalformedItemError: A frame cannot be decoded.
    """
    residual = list(forbidden(file, sound=sound))
    shown: list[Fraction] = []
    with open_video(file) as (container, stream), decoding_errors("a frame cannot be decoded"):
        for frame in container.decode(stream):
            if frame.is_corrupt or frame.pts is None or frame.time_base is None:
                raise MalformedItemError(f"frame {len(shown)} is damaged or has no time")
            shown.append(frame.pts * frame.time_base)
    if shown != list(times):
        where = FieldPath(path="times")
        residual.append(Finding(kind=FindingKind.TIMESTAMP, where=where, confidence=1.0, detector=_SCANNER))
    return ResidualReport(scanners=(READER, _SCANNER), residual=tuple(residual), facts={"frames": len(shown)})

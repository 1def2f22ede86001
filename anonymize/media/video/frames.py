"""Upright frames, decoded in presentation order, each checked against the timeline."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from anonymize.errors import MalformedItemError
from anonymize.media.detection import Image
from anonymize.media.video.container import (
    PIXEL_FORMATS,
    VideoSource,
    decoding_errors,
    open_video,
    require_supported,
)
from anonymize.media.video.timeline import Timeline
from anonymize.profile import Profile

Plane = NDArray[np.uint8]
_LIMITED_RANGE, _FULL_RANGE = 1, 2
_HD_LINES = 576
# Real files state times that contradict the order of decoding; the times decide (ISO/IEC 14496-12, 8.6.1.3).
_LONGEST_DISORDER = 16
_BT709, _BT601 = 1, 6
# Matrix coefficients of ISO/IEC 23091-2 and swscale's numbers of them.
_SWSCALE_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour:
    """How samples are to be read, in the code points of ISO/IEC 23091-2 and FFmpeg's range.

    Attributes:
        full_range: Luma from 0 to 255, not 16 to 235.
        matrix: Matrix coefficients as tagged.
        primaries: Colour primaries as tagged.
        transfer: Transfer characteristics as tagged.
        working_matrix: The matrix used for conversion: as tagged, else by size.
    """

    full_range: bool
    matrix: int
    primaries: int
    transfer: int
    working_matrix: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UprightFrame:
    """One frame as it is to be seen, in 4:2:0.

    Attributes:
        index: Place in presentation order, from 0.
        luma: H × W.
        chroma: Two planes of ⌈H / 2⌉ × ⌈W / 2⌉.
        colour: How the samples are to be read.
    """

    index: int
    luma: Plane
    chroma: tuple[Plane, Plane]
    colour: Colour

    def rgb(self) -> Image:
        """The frame as H × W × 3, RGB."""
        return to_rgb(self.luma, self.chroma, self.colour)


def read_frames(
    source: VideoSource, timeline: Timeline, *, profile: Profile, start: int = 0, end: int | None = None
) -> Iterator[UprightFrame]:
    """Decode frames ``start`` to ``end - 1``, all of them, in presentation order.

    Nothing is concealed: a frame that is missing, damaged, or shown at another time than the container said
    ends the iteration with an error.

    Args:
        source: The video.
        timeline: Its timeline.
        profile: Limits.
        start: First frame.
        end: One behind the last frame; None for all.

    Raises:
        MalformedItemError: A frame is damaged, missing, interlaced, or differs from the first in size, pixel
            format or rotation.
        LimitExceededError: The frame's size lies outside the profile's limits.
    """
    end = timeline.frames if end is None else end
    if start >= end:
        return
    with open_video(source) as (container, stream):
        require_supported(stream, profile=profile)
        expected = start
        first: VideoFrame | None = None
        waiting: dict[int, VideoFrame] = {}
        for index, frame in _decoded(container, stream, timeline, start):
            if index < start:
                continue
            waiting[index] = frame
            if index < expected or len(waiting) > _LONGEST_DISORDER:
                raise MalformedItemError(
                    f"a frame is missing or out of place (got {index}, expected {expected})"
                )
            while (ready := waiting.pop(expected, None)) is not None:
                first = first or ready
                _require_same(ready, first, expected)
                yield upright(ready, expected)
                expected += 1
                if expected == end:
                    return
    raise MalformedItemError(f"the video ends early (got {expected} frames, expected {end})")


def _decoded(
    container: InputContainer, stream: VideoStream, timeline: Timeline, start: int
) -> Iterator[tuple[int, VideoFrame]]:
    """Index and frame, from a frame at or before ``start`` on."""
    places = {tick: i for i, tick in enumerate(timeline.ticks)} if not timeline.raw else {}
    counted = 0
    with decoding_errors("a frame cannot be decoded"):
        for frame in _from_keyframe(container, stream, timeline, start):
            if frame.is_corrupt:
                raise MalformedItemError(f"a frame is damaged (got time {frame.pts})")
            if timeline.raw:
                index = counted
            elif frame.pts is None or frame.pts not in places:
                raise MalformedItemError(
                    f"a frame has a time that the container does not state (got {frame.pts})"
                )
            else:
                index = places[frame.pts]
            counted += 1
            yield index, frame


def _from_keyframe(
    container: InputContainer, stream: VideoStream, timeline: Timeline, start: int
) -> Iterator[VideoFrame]:
    """Frames from the last keyframe at or before ``start``; bare streams cannot seek and begin at the start."""
    if start == 0 or timeline.raw:
        yield from container.decode(stream)
        return
    target = timeline.ticks[start]
    offset = target
    while offset > timeline.ticks[0]:
        container.seek(offset, stream=stream, backward=True)
        frames = container.decode(stream)
        first = next(frames, None)
        if first is not None and first.pts is not None and first.pts <= target:
            yield first
            yield from frames
            return
        # Containers seek by decoding time, which may lead to a keyframe that is shown after the target.
        offset -= max(1, round(2 / timeline.time_base))
    container.seek(timeline.ticks[0], stream=stream, backward=True)
    yield from container.decode(stream)


def _require_same(frame: VideoFrame, first: VideoFrame, index: int) -> None:
    kind = (frame.width, frame.height, frame.format.name, frame.rotation)
    expected = (first.width, first.height, first.format.name, first.rotation)
    if kind != expected:
        raise MalformedItemError(f"frame {index} differs from the first (got {kind}, expected {expected})")
    if frame.interlaced_frame:
        raise MalformedItemError(f"interlaced video is not supported (got frame {index})")


def side_data_of(frame: VideoFrame) -> tuple[SideData, ...]:
    """What a decoded frame carries beside its samples."""
    # The library's annotations take the container for a typed dictionary.
    return tuple(cast("Iterable[SideData]", frame.side_data))


def rotation_of(frame: VideoFrame) -> int:
    """Degrees counter-clockwise by which the frame has to be turned to be upright: 0, 90, 180 or 270.

    Raises:
        MalformedItemError: The display matrix mirrors, or turns by something else than quarter turns.
    """
    matrices = [bytes(data) for data in side_data_of(frame) if data.type is Type.DISPLAYMATRIX]
    if not matrices:
        return 0
    a, b, _, c, d = struct.unpack("<5i", matrices[0][:20])
    if a * d - b * c <= 0:
        raise MalformedItemError(f"the display matrix mirrors or is empty (got {(a, b, c, d)})")
    quarters = {(True, False): 0, (False, True): 1}
    if (bool(a), bool(b)) not in quarters or abs(a or b) != abs(d or c):
        raise MalformedItemError(f"rotation is not a multiple of 90 degrees (got {frame.rotation})")
    return frame.rotation % 360


def colour_of(frame: VideoFrame) -> Colour:
    """How a frame's samples are to be read."""
    matrix = int(frame.colorspace)
    working = matrix
    if matrix not in _SWSCALE_MATRICES:
        working = _BT709 if frame.height > _HD_LINES else _BT601
    return Colour(
        full_range=frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj"),
        matrix=matrix,
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        working_matrix=working,
    )


def upright(frame: VideoFrame, index: int) -> UprightFrame:
    """The frame turned as its display matrix says, in 4:2:0 of the same range and matrix."""
    if frame.format.name not in PIXEL_FORMATS:
        raise MalformedItemError(f"unsupported pixel format (got {frame.format.name!r})")
    colour = colour_of(frame)
    luma, u, v = planes_420(frame)
    turns = rotation_of(frame) // 90
    if turns:
        luma, u, v = (np.ascontiguousarray(np.rot90(p, turns)) for p in (luma, u, v))
    return UprightFrame(index=index, luma=luma, chroma=(u, v), colour=colour)


def planes_420(frame: VideoFrame) -> tuple[Plane, Plane, Plane]:
    """Luma and chroma of a decoded frame, subsampled to 4:2:0, range and matrix as they are."""
    if frame.format.name not in {"yuv420p", "yuvj420p"}:
        whole = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
        kept = _FULL_RANGE if whole else _LIMITED_RANGE
        frame = frame.reformat(format="yuv420p", src_color_range=kept, dst_color_range=kept)
    luma, u, v = (
        np.frombuffer(memoryview(p), np.uint8).reshape(-1, p.line_size)[: p.height, : p.width].copy()
        for p in frame.planes
    )
    return luma, u, v


def even(plane: Plane, height: int, width: int) -> Plane:
    """The plane with its last row and column repeated up to the size."""
    missing = (height - plane.shape[0], width - plane.shape[1])
    return plane if missing == (0, 0) else np.pad(plane, ((0, missing[0]), (0, missing[1])), mode="edge")


def to_video_frame(luma: Plane, chroma: tuple[Plane, Plane]) -> VideoFrame:
    """A frame of even width and height; odd sizes are padded by repeating the last row and column."""
    height, width = luma.shape[0] + luma.shape[0] % 2, luma.shape[1] + luma.shape[1] % 2
    flat = [even(luma, height, width).reshape(-1), *(c.reshape(-1) for c in chroma)]
    return VideoFrame.from_ndarray(np.concatenate(flat).reshape(height * 3 // 2, width), format="yuv420p")


def to_rgb(luma: Plane, chroma: tuple[Plane, Plane], colour: Colour) -> Image:
    """H × W × 3, RGB, of a 4:2:0 frame."""
    converted = to_video_frame(luma, chroma).reformat(
        format="rgb24",
        src_colorspace=_SWSCALE_MATRICES[colour.working_matrix],
        dst_colorspace=_SWSCALE_MATRICES[colour.working_matrix],
        src_color_range=_FULL_RANGE if colour.full_range else _LIMITED_RANGE,
        dst_color_range=_FULL_RANGE,
    )
    rgb = converted.to_ndarray()[: luma.shape[0], : luma.shape[1]]
    return np.ascontiguousarray(rgb, dtype=np.uint8)


def from_rgb(image: Image, colour: Colour) -> tuple[Plane, tuple[Plane, Plane]]:
    """Luma and chroma in 4:2:0 of an H × W × 3 RGB image, of the range and matrix of ``colour``."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    converted = VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24").reformat(
        format="yuv420p",
        src_colorspace=_SWSCALE_MATRICES[colour.working_matrix],
        dst_colorspace=_SWSCALE_MATRICES[colour.working_matrix],
        src_color_range=_FULL_RANGE,
        dst_color_range=_FULL_RANGE if colour.full_range else _LIMITED_RANGE,
    )
    luma, u, v = (
        np.frombuffer(memoryview(p), np.uint8).reshape(-1, p.line_size)[: p.height, : p.width]
        for p in converted.planes
    )
    return luma[:height, :width], (u, v)

"""The second pass: frames masked and encoded anew, each segment by an encoder of its own."""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from anonymize.errors import MalformedItemError, ProfileError
from anonymize.media.masks import mask
from anonymize.media.video.ahead import work_ahead
from anonymize.media.video.audio import Sound, open_sound
from anonymize.media.video.container import (
    SharedSource,
    VideoSource,
    decoding_errors,
    frame_rate,
    open_video,
)
from anonymize.media.video.frames import Colour, Plane, UprightFrame, from_rgb, read_frames, to_video_frame
from anonymize.media.video.plan import MaskPlan
from anonymize.media.video.structure import boxes
from anonymize.media.video.timeline import Timeline
from anonymize.profile import ImageProfile, Profile, VideoProfile

_DEPTH = 4
# Fixed, so that a segment made again after a crash is the same bytes on whatever number of cores.
_THREADS = 4
_ENCODERS = {"h264": "libx264", "hevc": "libx265"}
# Supplemental enhancement information: x264 and x265 write their version and options there.
_SEI_FILTERS = {"h264": "filter_units=remove_types=6", "hevc": "filter_units=remove_types=39-40"}
_MUXER = {
    "movflags": "empty_moov+default_base_moof+frag_custom+frag_discont+skip_sidx+skip_trailer",
    "fflags": "+bitexact",
    "use_editlist": "0",
    "avoid_negative_ts": "disabled",
    "write_tmcd": "0",
}
_INIT = (b"ftyp", b"moov")
_MEDIA = (b"moof", b"mdat")
# The muxer adds an empty "udta".
_MOVIE = (b"mvhd", b"trak", b"mvex")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSegment:
    """A part of the treated video.

    Attributes:
        index: Of the segment.
        leads: Whether it is the first of the file.
        init: ``ftyp`` and ``moov``, the same of every segment.
        media: One fragment, ``moof`` and ``mdat``, which begins with a frame that needs no other.
        masked_frames: How many of its frames were masked.
        masked_pixels: How many pixels were masked, over all frames.
    """

    index: int
    leads: bool
    init: bytes
    media: bytes
    masked_frames: int
    masked_pixels: int

    @property
    def content(self) -> bytes:
        """What goes into the file: the first segment brings ``init``."""
        return self.init + self.media if self.leads else self.media


@dataclass(frozen=True, slots=True, kw_only=True)
class _Masked:
    index: int
    luma: Plane
    chroma: tuple[Plane, Plane]
    colour: Colour
    pixels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """What all segments have in common."""

    leading: int
    profile: VideoProfile
    rate: Fraction
    aspect: Fraction
    sound: Sound | None


def encode_segments(
    source: VideoSource,
    plan: MaskPlan,
    timeline: Timeline,
    *,
    profile: Profile,
    segments: Sequence[int] | None = None,
) -> Iterator[EncodedSegment]:
    """Mask and encode segments; contents of all that leave, in order, are one fragmented MP4.

    Times of frames are those of the source exactly, from its first frame on, whether that leaves or not. Frames
    are upright, nothing but frames is written: no side data, SEI, metadata or edit list, and no audio unless the
    profile keeps it. Odd sizes grow by one repeated row or column.
    The same input gives the same bytes.

    Args:
        source: The original; used by another thread while the iterator is open.
        plan: What to mask.
        timeline: Of the source.
        profile: Masks, codec and quality.
        segments: Which, in increasing order; None for all that leave.

    Raises:
        MalformedItemError: A frame is damaged or missing (see ``read_frames``), or the audio cannot be kept.
        LimitExceededError: The frame's size lies outside the profile's limits.
        ModelError: A replacement is missing or fails.
        ProfileError: The profile asks for what cannot be written.
    """
    kept_segments = timeline.kept
    wanted = kept_segments if segments is None else segments
    with open_video(source) as (_, stream):
        rate = frame_rate(stream)
        aspect = stream.sample_aspect_ratio or Fraction(1)
    shared = SharedSource(source)
    kept = profile.videos.audio == "keep"
    for run in _runs(wanted):
        span = range(timeline.segment(run[0]).start, timeline.segment(run[-1]).stop)
        frames = read_frames(shared.view(), timeline, profile=profile, start=span.start, end=span.stop)
        masked = work_ahead(_mask_all(frames, plan, profile.images), depth=_DEPTH)
        with open_sound(shared.view(), timeline) if kept else nullcontext() as sound:
            form = _Form(
                leading=kept_segments[0], profile=profile.videos, rate=rate, aspect=aspect, sound=sound
            )
            for index in run:
                yield _encode(masked, index, timeline, form)


def _runs(segments: Sequence[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for segment in segments:
        if runs and segment == runs[-1][-1] + 1:
            runs[-1].append(segment)
        else:
            runs.append([segment])
    return runs


def _mask_all(frames: Iterator[UprightFrame], plan: MaskPlan, profile: ImageProfile) -> Iterator[_Masked]:
    for frame in frames:
        yield mask_frame(frame, plan, profile)


def mask_frame(frame: UprightFrame, plan: MaskPlan, profile: ImageProfile) -> _Masked:
    """The frame with the plan's boxes masked; samples that no mask touches are the source's own.

    A chroma sample is replaced where a mask touches any of the pixels that it colours.
    """
    findings = plan.findings(frame.index)
    if frame.luma.shape != (plan.height, plan.width):
        raise MalformedItemError(
            f"frame {frame.index} has another size than was looked at (got {frame.luma.shape})"
        )
    if not findings:
        return _Masked(index=frame.index, luma=frame.luma, chroma=frame.chroma, colour=frame.colour, pixels=0)
    result = mask(frame.rgb(), findings, profile=profile)
    luma, chroma = from_rgb(result.image, frame.colour)
    covered = result.mask
    even = np.pad(covered, ((0, covered.shape[0] % 2), (0, covered.shape[1] % 2)), mode="edge")
    touched = even[0::2, 0::2] | even[1::2, 0::2] | even[0::2, 1::2] | even[1::2, 1::2]
    u, v = (np.where(touched, new, old) for new, old in zip(chroma, frame.chroma, strict=True))
    return _Masked(
        index=frame.index,
        luma=np.where(covered, luma, frame.luma),
        chroma=(u, v),
        colour=frame.colour,
        pixels=int(covered.sum()),
    )


def _encode(frames: Iterator[_Masked], index: int, timeline: Timeline, form: _Form) -> EncodedSegment:
    out, places = io.BytesIO(), timeline.segment(index)
    options = {**_MUXER, "fragment_index": str(index + 1)}
    stream: VideoStream | None = None
    masked_frames = masked_pixels = 0
    with (
        decoding_errors("a segment cannot be encoded"),
        av.open(out, "w", format="mp4", options=options) as muxer,
    ):
        for frame in (next(frames) for _ in places):
            if frame.index not in places:
                raise MalformedItemError(f"a frame is out of place (got {frame.index}, expected {places})")
            picture = to_video_frame(frame.luma, frame.chroma)
            if stream is None:
                stream = _stream(muxer, picture, frame.colour, timeline, form)
                heard = form.sound and muxer.add_stream_from_template(form.sound.stream)
                muxer.start_encoding()
                strip = BitStreamFilterContext(_SEI_FILTERS[form.profile.codec], stream)
            _tag(picture, frame, timeline)
            _write(muxer, stream, strip, picture)
            masked_frames += frame.pixels > 0
            masked_pixels += frame.pixels
        if stream is None:
            raise MalformedItemError(f"segment {index} has no frames")
        _write(muxer, stream, strip, None)
        if form.sound and heard:
            for packet in form.sound.between(*_samples(places, timeline, form.sound.rate)):
                packet.stream = heard
                muxer.mux(packet)
    init, media = _split(out)
    return EncodedSegment(index=index, leads=index == form.leading, init=init, media=media,
                          masked_frames=masked_frames, masked_pixels=masked_pixels)  # fmt: skip


def _samples(places: range, timeline: Timeline, rate: int) -> tuple[int, int]:
    """The samples of sound that are heard while these frames are shown."""
    last = places[-1]
    begin = (timeline.ticks[places[0]] - timeline.ticks[0]) * timeline.time_base
    end = (timeline.ticks[last] - timeline.ticks[0] + timeline.duration_ticks(last)) * timeline.time_base
    return math.ceil(begin * rate), math.ceil(end * rate)


def _tag(picture: VideoFrame, frame: _Masked, timeline: Timeline) -> None:
    picture.pts = timeline.ticks[frame.index] - timeline.ticks[0]
    picture.time_base = timeline.time_base
    picture.duration = timeline.duration_ticks(frame.index)
    picture.color_range = 2 if frame.colour.full_range else 1
    picture.colorspace = frame.colour.matrix


def _write(
    muxer: OutputContainer,
    stream: VideoStream,
    strip: BitStreamFilterContext,
    picture: VideoFrame | None,
) -> None:
    packets = [p for encoded in stream.encode(picture) for p in strip.filter(encoded)]
    for packet in packets:
        packet.stream = stream
        muxer.mux(packet)


def _stream(
    muxer: OutputContainer,
    picture: VideoFrame,
    colour: Colour,
    timeline: Timeline,
    form: _Form,
) -> VideoStream:
    profile = form.profile
    stream = muxer.add_stream(_ENCODERS[profile.codec], rate=form.rate, options=_encoder_options(profile))
    if not isinstance(stream, VideoStream):
        raise ProfileError(f"no such video encoder (got {profile.codec!r})")
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = picture.width, picture.height, "yuv420p"
    context.time_base = stream.time_base = timeline.time_base
    context.sample_aspect_ratio = form.aspect
    context.color_range = 2 if colour.full_range else 1
    context.colorspace, context.color_primaries = colour.matrix, colour.primaries
    context.color_trc = colour.transfer
    context.thread_count = _THREADS
    if profile.codec == "hevc":
        context.codec_tag = "hvc1"
    return stream


def _encoder_options(profile: VideoProfile) -> dict[str, str]:
    # One keyframe a segment, no frame shown in another order than written.
    options = {
        "preset": "veryfast",
        "crf": str(profile.crf),
        "bf": "0",
        "g": "1000000000",
        "flags": "+bitexact",
    }
    if profile.max_bitrate_kbps is not None:
        options |= {"maxrate": f"{profile.max_bitrate_kbps}k", "bufsize": f"{profile.max_bitrate_kbps}k"}
    if profile.codec == "h264":
        return options | {"x264-params": "scenecut=0:rc-lookahead=20"}
    return options | {"x265-params": "scenecut=0:info=0:log-level=none:open-gop=0:rc-lookahead=20"}


def _split(out: io.BytesIO) -> tuple[bytes, bytes]:
    content = out.getvalue()
    found = list(boxes(out, 0, len(content)))
    kinds = tuple(b.kind for b in found)
    if kinds != (*_INIT, *_MEDIA):
        raise MalformedItemError(f"the muxer wrote other boxes (got {kinds}, expected {(*_INIT, *_MEDIA)})")
    cut = found[2].start
    inside = [content[b.start : b.end] for b in boxes(out, found[1].body, found[1].end) if b.kind in _MOVIE]
    movie = b"".join(inside)
    return content[: found[0].end] + (8 + len(movie)).to_bytes(4) + b"moov" + movie, content[cut:]

"""What a video file says about itself: size, codec, times, position, other streams, metadata."""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from anonymize.errors import MalformedItemError
from anonymize.media.video.container import (
    VideoSource,
    codec_name,
    decoding_errors,
    open_video,
    require_supported,
)
from anonymize.media.video.frames import rotation_of, side_data_of
from anonymize.media.video.gpmf import GpmfTrack, read_gpmf
from anonymize.media.video.structure import boxes, size_of
from anonymize.media.video.timeline import Timeline, read_timeline
from anonymize.profile import Profile

_POSITION_KEYS = ("location", "location-eng", "com.apple.quicktime.location.ISO6709", "LOCATION")
_TIME_KEYS = ("com.apple.quicktime.creationdate", "creation_time", "CREATION_TIME", "DATE_UTC")
_ISO_6709 = re.compile(r"^([+-]\d{2}(?:\.\d+)?)([+-]\d{3}(?:\.\d+)?)")
# Keys that FFmpeg makes of the container's structure itself.
_STRUCTURAL = frozenset({"major_brand", "minor_version", "compatible_brands", "language"})
_QUARTER = 90
_HIDDEN_BOXES = {b"udta": "udta", b"meta": "meta", b"uuid": "uuid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    """Facts of a video file.

    Attributes:
        container: FFmpeg's name of the format.
        codec: FFmpeg's name of the video codec.
        width: Pixels, upright.
        height: Pixels, upright.
        rotation_deg: Degrees counter-clockwise by which stored frames are turned to be upright.
        pixel_format: FFmpeg's name of the stored samples.
        bit_depth: Bits per sample.
        frames: Number of frames that are shown.
        duration_s: Seconds from the first frame to the end of the last.
        variable_frame_rate: Whether the steps between frames differ.
        audio_streams: Number of audio streams.
        other_streams: Descriptions of all streams but the video and audio (``data:bin_data``), sorted.
        metadata_fields: Names of everything in the file beside samples, never values, sorted.
        latitude: Degrees north (WGS 84) as the container's metadata state, else of the first fix of GPMF
            telemetry (``read_gpmf`` gives them all); None where neither is there.
        longitude: Degrees east.
        captured_at: Time of capture as the container's metadata state, else of that first fix.
    """

    container: str
    codec: str
    width: int
    height: int
    rotation_deg: int
    pixel_format: str
    bit_depth: int
    frames: int
    duration_s: float
    variable_frame_rate: bool
    audio_streams: int
    other_streams: tuple[str, ...]
    metadata_fields: tuple[str, ...]
    latitude: float | None
    longitude: float | None
    captured_at: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form without position and time, which belong to the original only."""
        kept = asdict(self)
        for name in ("latitude", "longitude", "captured_at"):
            del kept[name]
        kept |= {"other_streams": list(self.other_streams), "metadata_fields": list(self.metadata_fields)}
        return kept


def inspect_video(source: VideoSource, *, profile: Profile) -> VideoFacts:
    """Read a video's facts; all packets are read, one frame is decoded.

    Args:
        source: The file; it is left open, at any position.
        profile: Limits.

    Raises:
        MalformedItemError: The file is not whole, encrypted, of an unsupported format, codec, pixel format or
            bit depth, is HDR or interlaced, has no frames or more or less than one video stream, is mirrored
            or turned by something else than quarter turns, or states an impossible position, or its telemetry
            is damaged.
        LimitExceededError: The frame's size or the number of frames or fixes lies outside the profile's limits.
    """
    return facts_of(source, read_timeline(source, profile=profile), profile=profile)


def facts_of(source: VideoSource, timeline: Timeline, *, profile: Profile) -> VideoFacts:
    """``inspect_video`` where the timeline is known already."""
    hidden = _hidden_boxes(source)
    telemetry = read_gpmf(source, max_points=profile.tracks.max_points)
    with open_video(source) as (container, stream):
        require_supported(stream, profile=profile)
        with decoding_errors("the first frame cannot be decoded"):
            frame = next(container.decode(stream), None)
        if frame is None:
            raise MalformedItemError("the video has no frames (got 0)")
        if frame.interlaced_frame:
            raise MalformedItemError("interlaced video is not supported")
        rotation = rotation_of(frame)
        width, height = (frame.width, frame.height)[:: -1 if rotation % 180 == _QUARTER else 1]
        position = _position(container) or _first_fix(telemetry)
        return VideoFacts(
            container=container.format.name.split(",")[0],
            codec=codec_name(stream),
            width=width,
            height=height,
            rotation_deg=rotation,
            pixel_format=frame.format.name,
            bit_depth=max(c.bits for c in frame.format.components),
            frames=timeline.frames,
            duration_s=timeline.duration_s,
            variable_frame_rate=timeline.variable,
            audio_streams=len(container.streams.audio),
            other_streams=_others(container, stream),
            metadata_fields=tuple(sorted(_fields(container, frame) | hidden)),
            latitude=position[0] if position else None,
            longitude=position[1] if position else None,
            captured_at=_captured_at(container) or _first_time(telemetry),
        )


def _others(container: InputContainer, video: VideoStream) -> tuple[str, ...]:
    return tuple(
        sorted(
            f"{s.type}:{s.name or 'unknown'}"
            for s in container.streams
            if s.index != video.index and s.type != "audio"
        )
    )


def _fields(container: InputContainer, frame: VideoFrame) -> set[str]:
    fields = {f"container:{key}" for key in container.metadata if key not in _STRUCTURAL}
    for stream in container.streams:
        fields |= {f"stream.{stream.type}:{key}" for key in stream.metadata if key not in _STRUCTURAL}
    fields |= {f"frame:{data.type.name.lower()}" for data in side_data_of(frame)}
    if container.chapters():
        fields.add("chapters")
    return fields


def _hidden_boxes(source: VideoSource) -> set[str]:
    end = size_of(source)
    source.seek(4)
    if source.read(4) != b"ftyp":
        return set()
    found = set()
    for box in boxes(source, 0, end):
        found |= {f"box:{_HIDDEN_BOXES[box.kind]}"} if box.kind in _HIDDEN_BOXES else set()
        if box.kind == b"moov":
            inner = {inside.kind for inside in boxes(source, box.body, box.end)}
            found |= {f"box:moov/{_HIDDEN_BOXES[kind]}" for kind in inner if kind in _HIDDEN_BOXES}
    return found


def _position(container: InputContainer) -> tuple[float, float] | None:
    for key in _POSITION_KEYS:
        if (text := container.metadata.get(key)) is None:
            continue
        match = _ISO_6709.match(text)
        if match is None:
            raise MalformedItemError(f"the position in {key!r} is not in the form of ISO 6709")
        latitude, longitude = float(match[1]), float(match[2])
        if abs(latitude) > _QUARTER or abs(longitude) > 2 * _QUARTER:
            raise MalformedItemError(f"the position in {key!r} is impossible")
        return latitude, longitude
    return None


def _first_fix(telemetry: GpmfTrack | None) -> tuple[float, float] | None:
    return (float(telemetry.track.lat[0]), float(telemetry.track.lon[0])) if telemetry else None


def _first_time(telemetry: GpmfTrack | None) -> datetime | None:
    span = telemetry.track.time_span() if telemetry else None
    return datetime.fromtimestamp(span[0], tz=UTC) if span else None


def _captured_at(container: InputContainer) -> datetime | None:
    for key in _TIME_KEYS:
        if (text := container.metadata.get(key)) is None:
            continue
        try:
            time = datetime.fromisoformat(text)
        except ValueError as error:
            raise MalformedItemError(f"the time in {key!r} is not in the form of ISO 8601") from error
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    return None

"""Opening videos of the few formats and codecs that are accepted, from a seekable file object."""

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Protocol

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.profile import Profile

FORMATS = ("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "h264", "hevc")
CODECS = ("h264", "hevc", "mjpeg", "av1")
RAW_FORMATS = frozenset({"h264", "hevc"})
PIXEL_FORMATS = frozenset(
    {"yuv420p", "yuvj420p", "nv12", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "gray"}
)
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
_PROBE_BYTES = 4 << 20
# Without "explode" FFmpeg conceals damage; with concealment off ("ec=0") it no longer flags what it did decode.
_DECODER_OPTIONS = {"err_detect": "explode"}
_OPEN_OPTIONS = {
    "format_whitelist": ",".join(FORMATS),
    "probesize": str(_PROBE_BYTES),
    "err_detect": "explode+crccheck",
}


class VideoSource(Protocol):
    """A seekable binary file object; position and contents belong to the caller between calls."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes, empty at the end."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move, as ``io.IOBase.seek``."""

    def tell(self) -> int:
        """The position."""


class _Unclosed:
    """What PyAV sees of a source: no name, no ``close`` and no way to write."""

    def __init__(self, source: VideoSource) -> None:
        self.read, self.seek, self.tell = source.read, source.seek, source.tell


class SharedSource:
    """One source read by several readers at once, each at a position of its own."""

    def __init__(self, source: VideoSource) -> None:
        self._source, self._lock = source, threading.Lock()
        self._size = source.seek(0, 2)

    def view(self) -> VideoSource:
        """Another reader, at the beginning."""
        return _View(self)

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``offset`` on; all that follow where it is negative."""
        with self._lock:
            self._source.seek(offset)
            return self._source.read(size)

    @property
    def size(self) -> int:
        """Bytes of the source."""
        return self._size


class _View:
    def __init__(self, shared: SharedSource) -> None:
        self._shared, self._position = shared, 0

    def read(self, size: int = -1, /) -> bytes:
        content = self._shared.read_at(self._position, size)
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._position = offset + (0, self._position, self._shared.size)[whence]
        return self._position

    def tell(self) -> int:
        return self._position


@contextmanager
def decoding_errors(what: str) -> Iterator[None]:
    """Turn the library's errors into one that stops the item.

    Raises:
        MalformedItemError: Anything in FFmpeg failed.
    """
    try:
        yield
    except (av.error.FFmpegError, ValueError, struct.error) as error:
        raise MalformedItemError(f"{what} (got {type(error).__name__}: {error})") from error


@contextmanager
def open_video(source: VideoSource) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video with exactly one video stream of an accepted codec, from its beginning.

    External references of the container are not followed; only the source is read.

    Args:
        source: The file; it is left open.

    Raises:
        MalformedItemError: The file is not whole (an MP4 without ``moov``), of another format or codec,
            encrypted, or has no or several video streams.
    """
    source.seek(0)
    with decoding_errors("the video cannot be opened"):
        container = av.open(_Unclosed(source), "r", options=dict(_OPEN_OPTIONS))
    with container:
        stream = _only_video(container)
        stream.codec_context.options = dict(_DECODER_OPTIONS)
        stream.thread_type = "AUTO"
        yield container, stream


def _only_video(container: InputContainer) -> VideoStream:
    pictures = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if len(pictures) != 1:
        raise MalformedItemError(f"a video has one video stream (got {len(pictures)})")
    stream = pictures[0]
    codec = _codec_name(stream)
    if codec not in CODECS:
        raise MalformedItemError(f"unsupported video codec (got {codec!r}, expected {', '.join(CODECS)})")
    tag = stream.codec_context.codec_tag
    if tag in {"encv", "drmi"}:
        raise MalformedItemError(f"the video is encrypted (got {tag!r})")
    return stream


def _codec_name(stream: VideoStream) -> str:
    # Streams of codecs that the library was built without have no context at all.
    context = stream.codec_context
    return "unknown" if context is None else str(context.codec.canonical_name)


def codec_name(stream: VideoStream) -> str:
    """FFmpeg's name of the stream's codec, whichever decoder runs it."""
    return _codec_name(stream)


def is_raw(container: InputContainer) -> bool:
    """Whether the file is a bare elementary stream, which knows no times."""
    return container.format.name in RAW_FORMATS


def frame_rate(stream: VideoStream) -> Fraction:
    """Average frames per second; for a bare stream what its parameter sets say, 25 where they say nothing."""
    return stream.average_rate or stream.guessed_rate or Fraction(25)


def require_supported(stream: VideoStream, *, profile: Profile) -> None:
    """Refuse what cannot be masked and written again faithfully.

    Raises:
        MalformedItemError: Pixel format, bit depth or transfer function are not supported.
        LimitExceededError: The frame's size lies outside the profile's limits.
    """
    context, limits = stream.codec_context, profile.images
    if context.color_trc in _HDR_TRANSFERS:
        raise MalformedItemError(f"HDR video is not supported (got {_HDR_TRANSFERS[context.color_trc]})")
    if context.pix_fmt not in PIXEL_FORMATS:
        raise MalformedItemError(
            f"unsupported pixel format or bit depth (got {context.pix_fmt!r}, expected 8 bits of "
            f"{', '.join(sorted(PIXEL_FORMATS))})"
        )
    width, height = context.width, context.height
    if not limits.min_side_px <= min(width, height) <= max(width, height) <= limits.max_side_px:
        raise LimitExceededError(
            f"frame size outside the limits (got {width}x{height}, expected sides of {limits.min_side_px} to "
            f"{limits.max_side_px} pixels)"
        )
    if width * height > limits.max_pixels:
        raise LimitExceededError(f"too many pixels (got {width * height}, expected ≤ {limits.max_pixels})")

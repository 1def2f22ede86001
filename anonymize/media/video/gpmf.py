"""The way of a camera from GPMF telemetry: the ``gpmd`` track of MP4 and MOV, and GPMF in ``moov/udta``.

Reading only: no telemetry survives cleansing. GPS9 (time, precision and lock of each fix) is taken where
there is any, else GPS5, whose times are interpolated between the times (GPSU) of the samples. Fixes without
a lock are left out.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from av.container import InputContainer
from av.stream import Discard, Stream

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.formats.track import Track, check_positions, number_segments
from anonymize.geo.crs import WGS84
from anonymize.geo.ellipsoid import FloatArray
from anonymize.media.video.container import VideoSource, decoding_errors, open_video
from anonymize.media.video.klv import Element, elements
from anonymize.media.video.structure import Box, boxes, size_of

__all__ = ["GpmfTrack", "read_gpmf", "read_gpmf_track"]

MAX_POINTS = 10_000_000
_TOP_LEVEL = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_GPS5_VALUES, _GPS9_TYPE, _GPS9_VALUES = 5, "lllllllSS", 9
_GPS9 = np.dtype([("l", ">i4", 7), ("S", ">u2", 2)])
_DAYS_FROM = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_DAY_S = 86400.0
_LONGEST_STEP_S = 5.0
_LARGEST_UDTA = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GpmfTrack:
    """The way of a camera, in two clocks.

    Attributes:
        track: The fixes in the order of the file; times are those of the receiver, POSIX seconds UTC.
        media_s: Seconds of each fix from the first frame of the video; NaN for fixes in ``moov/udta``.
        unlocked: Number of fixes without a lock, which were left out.
    """

    track: Track
    media_s: FloatArray = field(repr=False)
    unlocked: int


@dataclass(slots=True)
class _Payload:
    """Fixes of one sample: rows of latitude, longitude, altitude, speed and, with GPS9, time."""

    media_s: float
    duration_s: float
    utc_s: float = math.nan
    rows: list[FloatArray] = field(default_factory=list)
    unlocked: int = 0
    precise: bool = False


def read_gpmf_track(file: VideoSource, *, max_points: int = MAX_POINTS) -> Track | None:
    """The track of :func:`read_gpmf`."""
    found = read_gpmf(file, max_points=max_points)
    return found.track if found else None


def read_gpmf(file: VideoSource, *, max_points: int = MAX_POINTS) -> GpmfTrack | None:
    """Read the way of a camera from a video's telemetry.

    Args:
        file: A seekable video of a supported format; it is left open, at any position.
        max_points: Largest number of fixes that is read.

    Returns:
        None where the file has no telemetry, or no fix with a lock.

    Raises:
        MalformedItemError: A box or an element is cut short or impossible, a sample is missing, a stream of
            positions has no scale or another form than GPS5 or GPS9, a time or position is impossible.
        LimitExceededError: There are too many fixes.
    """
    track_id, loose = _find(file)
    payloads: list[_Payload] = []
    if loose:
        payloads += _read(loose, math.nan, math.nan)
    count = 0
    if track_id is not None:
        for content, media_s, duration_s in _samples(file, track_id):
            new = _read(content, media_s, duration_s)
            payloads += new
            count += sum(len(p.rows) for p in new)
            if count > max_points:
                raise LimitExceededError(
                    f"the telemetry holds too many fixes (expected at most {max_points})"
                )
    precise = any(p.precise and p.rows for p in payloads)
    return _joined([p for p in payloads if p.precise == precise])


def _find(file: VideoSource) -> tuple[int | None, bytes]:
    """The number of the track whose samples are ``gpmd``, and GPMF in ``moov/udta``."""
    end = size_of(file)
    file.seek(4)
    if file.read(4) not in _TOP_LEVEL:
        return None, b""
    tracks: list[int] = []
    loose = b""
    for box in _inside(file, boxes(file, 0, end), b"moov"):
        if box.kind == b"trak" and b"gpmd" in _sample_entries(file, box):
            tracks += _track_ids(file, box)
        elif box.kind == b"udta":
            for inner in boxes(file, box.body, box.end):
                if inner.kind == b"GPMF":
                    if inner.end - inner.body > _LARGEST_UDTA:
                        raise MalformedItemError(
                            f"GPMF in udta is too large (got {inner.end - inner.body} bytes, "
                            f"expected at most {_LARGEST_UDTA})"
                        )
                    file.seek(inner.body)
                    loose += file.read(inner.end - inner.body)
    if len(tracks) > 1:
        raise MalformedItemError(f"a video has at most one track of telemetry (got {len(tracks)})")
    return (tracks[0] if tracks else None), loose


def _inside(file: VideoSource, outer: Iterator[Box], *path: bytes) -> Iterator[Box]:
    found = list(outer)
    for kind in path:
        found = [inner for box in found if box.kind == kind for inner in boxes(file, box.body, box.end)]
    return iter(found)


def _sample_entries(file: VideoSource, track: Box) -> list[bytes]:
    inner = boxes(file, track.body, track.end)
    tables = _inside(file, inner, b"mdia", b"minf", b"stbl")
    # A version, flags and a count stand before the entries (ISO/IEC 14496-12, 8.5.2).
    return [
        entry.kind for box in tables if box.kind == b"stsd" for entry in boxes(file, box.body + 8, box.end)
    ]


def _track_ids(file: VideoSource, track: Box) -> Iterator[int]:
    for box in boxes(file, track.body, track.end):
        if box.kind == b"tkhd":
            file.seek(box.body)
            head = file.read(24)
            at = 20 if head[:1] == b"\x01" else 12
            yield int.from_bytes(head[at : at + 4])


def _samples(file: VideoSource, track_id: int) -> Iterator[tuple[bytes, float, float]]:
    with open_video(file) as (container, video):
        stream = _telemetry(container, track_id)
        base = float(stream.time_base or 0)
        start = float((video.start_time or 0) * video.time_base) if video.time_base else 0.0
        seen = 0
        with decoding_errors("the telemetry cannot be read"):
            for packet in container.demux(stream):
                if packet.size == 0:
                    continue
                if packet.is_corrupt or packet.pts is None:
                    raise MalformedItemError(f"sample {seen} of the telemetry is damaged or has no time")
                seen += 1
                yield bytes(packet), packet.pts * base - start, (packet.duration or 0) * base
        if stream.frames and seen != stream.frames:
            raise MalformedItemError(
                f"samples of the telemetry are missing (got {seen}, expected {stream.frames})"
            )


def _telemetry(container: InputContainer, track_id: int) -> Stream:
    found: Stream | None = None
    for stream in container.streams:
        if stream.id == track_id:
            found = stream
        else:
            # Packets that nobody asks for are not read at all.
            stream.discard = Discard.all
    if found is None:
        raise MalformedItemError(f"the track of telemetry cannot be read (got none of number {track_id})")
    return found


def _read(content: bytes, media_s: float, duration_s: float) -> list[_Payload]:
    """The fixes of one sample, by stream."""
    found = []
    for element in elements(content):
        if element.nests:
            for stream in elements(element.content, depth=1):
                if stream.nests:
                    payload = _stream(list(elements(stream.content, depth=2)), media_s, duration_s)
                    found += [payload] if payload else []
    return found


def _stream(inner: Sequence[Element], media_s: float, duration_s: float) -> _Payload | None:
    by_key = {element.key: element for element in inner}
    positions = [e for e in inner if e.key in {"GPS5", "GPS9"}]
    for element in inner:
        if element.nests:
            # Deeper elements carry nothing that is read, but must be whole.
            list(elements(element.content, depth=3))
    if not positions:
        return None
    payload = _Payload(media_s=media_s, duration_s=duration_s, precise=positions[0].key == "GPS9")
    if "GPSU" in by_key:
        payload.utc_s = _utc(by_key["GPSU"].content)
    for element in positions:
        rows = _gps9(element, by_key) if element.key == "GPS9" else _gps5(element, by_key)
        locked = rows[:, -1] > 0.0
        payload.unlocked += int((~locked).sum())
        payload.rows += [
            row if lock else np.full_like(row, np.nan) for row, lock in zip(rows, locked, strict=True)
        ]
    return payload


def _gps5(element: Element, by_key: dict[str, Element]) -> FloatArray:
    """Latitude, longitude, altitude, speed over ground, no time, and the lock of all."""
    if element.type != "l" or element.size != 4 * _GPS5_VALUES:
        raise MalformedItemError(
            f"GPS5 has another form (got type {element.type!r} of {element.size} bytes, expected 'l' of 20)"
        )
    values = element.numbers().reshape(-1, _GPS5_VALUES) / _scale(by_key, _GPS5_VALUES)
    # A camera that does not state a lock is taken at its word: its positions are positions.
    lock = by_key["GPSF"].numbers() if "GPSF" in by_key else np.ones(1)
    if len(lock) != 1:
        raise MalformedItemError(f"GPSF is one number (got {len(lock)})")
    rest = np.broadcast_to([np.nan, float(lock[0])], (len(values), 2))
    return np.hstack([values[:, :4], rest])


def _gps9(element: Element, by_key: dict[str, Element]) -> FloatArray:
    """Latitude, longitude, altitude, speed over ground, POSIX seconds, and the lock of each."""
    form = by_key["TYPE"].content.rstrip(b"\x00").decode("latin-1") if "TYPE" in by_key else ""
    if element.type != "?" or form != _GPS9_TYPE or element.size != _GPS9.itemsize:
        raise MalformedItemError(
            f"GPS9 has another form (got {form[:16]!r} of {element.size} bytes, expected {_GPS9_TYPE!r})"
        )
    raw = np.frombuffer(element.content, dtype=_GPS9)
    values = np.hstack([raw["l"], raw["S"]]).astype(np.float64) / _scale(by_key, _GPS9_VALUES)
    time_s = _DAYS_FROM + values[:, 5] * _DAY_S + values[:, 6]
    return np.column_stack([values[:, :4], time_s, values[:, 8]])


def _scale(by_key: dict[str, Element], count: int) -> FloatArray:
    scale = by_key["SCAL"].numbers() if "SCAL" in by_key else np.zeros(0)
    if len(scale) not in {1, count} or not np.all(np.isfinite(scale) & (scale != 0.0)):
        raise MalformedItemError(f"positions have no scale (got {len(scale)} values, expected {count} but 0)")
    return scale


def _utc(content: bytes) -> float:
    text = content.decode("latin-1")
    try:
        return datetime.strptime(f"20{text} +0000", "%Y%m%d%H%M%S.%f %z").timestamp()
    except ValueError as error:
        raise MalformedItemError(f"GPSU is no time (got {text[:16]!r}, expected yymmddhhmmss.sss)") from error


def _joined(payloads: Sequence[_Payload]) -> GpmfTrack | None:
    unlocked = sum(p.unlocked for p in payloads)
    filled = [p for p in payloads if p.rows]
    if sum(len(p.rows) for p in filled) == unlocked:
        return None
    rows = np.array(list(itertools.chain.from_iterable(p.rows for p in filled)))
    time_s, media_s = rows[:, 4], _media_times(filled)
    if not filled[0].precise:
        time_s = _times(filled)
    kept = np.flatnonzero(np.isfinite(rows[:, 0]))
    lat, lon = rows[kept, 0], rows[kept, 1]
    check_positions(lat, lon, "telemetry fix {}".format)
    gaps = np.r_[False, np.diff(kept) > 1]
    return GpmfTrack(
        track=Track(
            lat=lat,
            lon=lon,
            time_s=time_s[kept],
            elevation_m=rows[kept, 2],
            speed_mps=rows[kept, 3],
            segment=number_segments(gaps, time_s[kept]),
            crs=WGS84,
            dropped=(f"GPS without a lock ({unlocked})",) if unlocked else (),
        ),
        media_s=media_s[kept],
        unlocked=unlocked,
    )


def _media_times(payloads: Sequence[_Payload]) -> FloatArray:
    return np.concatenate([p.media_s + p.duration_s * np.arange(len(p.rows)) / len(p.rows) for p in payloads])


def _times(payloads: Sequence[_Payload]) -> FloatArray:
    """Each sample's time to the next one's, where that is at most five seconds later; else for its duration."""
    times = []
    for payload, following in itertools.zip_longest(payloads, payloads[1:]):
        step = (following.utc_s - payload.utc_s) if following else math.nan
        if not 0.0 < step <= _LONGEST_STEP_S:
            step = payload.duration_s if math.isfinite(payload.duration_s) else 0.0
        times.append(payload.utc_s + step * np.arange(len(payload.rows)) / len(payload.rows))
    return np.concatenate(times)

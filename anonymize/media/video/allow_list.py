"""What may be in a treated video: boxes, NAL units and times, each by an allow-list; the rest is a finding."""

import io
from collections.abc import Iterator, Sequence

from anonymize.errors import MalformedItemError
from anonymize.finding import FieldPath, Finding, FindingKind
from anonymize.media.video.container import VideoSource
from anonymize.media.video.fragments import Run, runs_of
from anonymize.media.video.structure import Box, boxes, size_of

READER = "mp4-boxes"
_STBL = "moov/trak/mdia/minf/stbl"
_HOLDERS = {
    "": 0, "moov": 0, "moov/trak": 0, "moov/trak/mdia": 0, "moov/trak/mdia/minf": 0,
    "moov/trak/mdia/minf/dinf": 0, _STBL: 0, "moov/mvex": 0, "moof": 0, "moof/traf": 0,
    "moov/trak/mdia/minf/dinf/dref": 8, f"{_STBL}/stsd": 8, f"{_STBL}/stsd/avc1": 78, f"{_STBL}/stsd/hvc1": 78,
}  # fmt: skip
_LEAVES = frozenset(
    {"ftyp", "mdat", "moov/mvhd", "moov/trak/tkhd", "moov/trak/mdia/mdhd", "moov/trak/mdia/hdlr",
     "moov/trak/mdia/minf/vmhd", "moov/trak/mdia/minf/dinf/dref/url ", f"{_STBL}/stts", f"{_STBL}/stsc",
     f"{_STBL}/stsz", f"{_STBL}/stco", "moov/mvex/trex", "moof/mfhd", "moof/traf/tfhd", "moof/traf/tfdt",
     "moof/traf/trun"}
    | {f"{_STBL}/stsd/avc1/{box}" for box in ("avcC", "colr", "pasp", "btrt")}
    | {f"{_STBL}/stsd/hvc1/{box}" for box in ("hvcC", "colr", "pasp", "btrt")}
)  # fmt: skip
_TIMED = frozenset({"moov/mvhd", "moov/trak/tkhd", "moov/trak/mdia/mdhd"})
# What a track with sound has beside: MPEG-4 audio (AAC, MP3) or Opus, and how far decoding rolls in.
_SOUND_HOLDERS = {f"{_STBL}/stsd/mp4a": 28, f"{_STBL}/stsd/Opus": 28}
_SOUND_LEAVES = frozenset(
    {"moov/trak/mdia/minf/smhd", f"{_STBL}/sgpd", f"{_STBL}/sbgp", f"{_STBL}/stsd/mp4a/esds",
     f"{_STBL}/stsd/mp4a/btrt", f"{_STBL}/stsd/Opus/dOps", f"{_STBL}/stsd/Opus/btrt"}
)  # fmt: skip
_PICTURES, _SOUND = b"vide", b"soun"
_HANDLERS = {
    _PICTURES: _PICTURES + bytes(12) + b"VideoHandler\0",
    _SOUND: _SOUND + bytes(12) + b"SoundHandler\0",
}
_H264_PICTURES, _HEVC_PICTURES = frozenset({1, 5}), frozenset(range(32))
_SEI_IN_HVCC = frozenset({39, 40})


def forbidden(source: VideoSource, *, sound: bool = False) -> tuple[Finding, ...]:
    """Everything in a fragmented MP4 that is not coded pictures, or needed to decode and time them.

    1. Only boxes of the list. 2. No dates in headers, no names but the muxer's constants, no SEI among the
    parameter sets. 3. One track of pictures and, where the profile keeps it, at most one of sound. 4. Every
    byte of ``mdat`` is a sample of these tracks, and those of pictures are slices. What sound's packets hold
    is not looked into.

    Args:
        source: The file.
        sound: The profile keeps audio.

    Raises:
        MalformedItemError: A box or NAL unit is cut short.
    """
    holders = _HOLDERS | _SOUND_HOLDERS if sound else _HOLDERS
    leaves = _LEAVES | _SOUND_LEAVES if sound else _LEAVES
    found: list[str] = []
    tracks: dict[int, bytes] = {}
    runs: list[Run] = []
    hevc = False
    for path, box in _walk(source, holders, "", 0, size_of(source)):
        if path not in leaves and path not in holders:  # 1
            found.append(f"box:{path}")
        found += _named(source, path, box)  # 2
        hevc |= path.endswith("/hvc1")
        if path == "moov/trak/tkhd":  # 3
            tracks[int.from_bytes(_body(source, box, 12 if _version(source, box) == 0 else 20, 4))] = b""
        if path.endswith("/hdlr") and tracks:
            tracks[next(reversed(tracks))] = _body(source, box, 8, 4)
        if path == "moof":
            try:
                runs = list(runs_of(source, box))
            except MalformedItemError:
                found.append("runs:moof")
        if path == "mdat":  # 4
            found += _unlisted(source, box, runs, tracks, hevc=hevc)
    permitted = ([_PICTURES], [_PICTURES, _SOUND]) if sound else ([_PICTURES],)
    if list(tracks.values()) not in permitted:
        found.append("tracks")
    return tuple(
        Finding(kind=FindingKind.METADATA, where=FieldPath(path=p), confidence=1.0, detector=READER)
        for p in dict.fromkeys(found)
    )


def _named(source: VideoSource, path: str, box: Box) -> Iterator[str]:
    """Dates, names and SEI in a header."""
    if path in _TIMED and any(_body(source, box, 4, 8 if _version(source, box) == 0 else 16)):
        yield f"date:{path}"
    if path.endswith("/hdlr") and _body(source, box, 8, box.end - box.body) not in _HANDLERS.values():
        yield f"name:{path}"
    if path.endswith(("/avc1", "/hvc1")) and any(_body(source, box, 42, 32)):
        yield f"name:{path}"
    if path.endswith("/hvcC") and _hvcc_types(_body(source, box, 0, box.end - box.body)) & _SEI_IN_HVCC:
        yield f"sei:{path}"


def _unlisted(
    source: VideoSource, mdat: Box, runs: Sequence[Run], tracks: dict[int, bytes], *, hevc: bool
) -> Iterator[str]:
    """What lies in ``mdat`` beside samples, and in samples of pictures beside slices."""
    place = mdat.body
    for run in sorted(runs, key=lambda r: r.start):
        if run.start != place or run.end > mdat.end or tracks.get(run.track, b"") == b"":
            yield "mdat:unlisted"
            return
        if tracks[run.track] == _PICTURES:
            yield from (f"nal:{kind}" for kind in _nal_types(source, run, hevc=hevc))
        place = run.end
    if place != mdat.end:
        yield "mdat:unlisted"


def _walk(
    source: VideoSource, holders: dict[str, int], path: str, start: int, end: int
) -> Iterator[tuple[str, Box]]:
    for box in boxes(source, start, end):
        inner = f"{path}/{box.kind.decode('latin-1')}".lstrip("/")
        yield inner, box
        if inner in holders:
            yield from _walk(source, holders, inner, box.body + holders[inner], box.end)


def _body(source: VideoSource, box: Box, offset: int, size: int) -> bytes:
    source.seek(box.body + offset)
    return source.read(min(size, box.end - box.body - offset))


def _version(source: VideoSource, box: Box) -> int:
    return _body(source, box, 0, 1)[0]


def _nal_types(source: VideoSource, run: Run, *, hevc: bool) -> list[int]:
    """Types of NAL units that are not slices of pictures; lengths take four bytes."""
    found, offset = set(), run.start
    while offset < run.end:
        source.seek(offset)
        head = source.read(5)
        length = int.from_bytes(head[:4])
        if len(head) < 5 or not 0 < length <= run.end - offset - 4:  # noqa: PLR2004
            raise MalformedItemError(
                f"a NAL unit is cut short (got {run.end - offset} bytes, expected {length})"
            )
        kind = head[4] >> 1 & 0x3F if hevc else head[4] & 0x1F
        if kind not in (_HEVC_PICTURES if hevc else _H264_PICTURES):
            found.add(kind)
        offset += 4 + length
    return sorted(found)


def _hvcc_types(record: bytes) -> frozenset[int]:
    # ISO/IEC 14496-15, 8.3.3.1: 22 bytes, then arrays of units of one type.
    reader, kinds = io.BytesIO(record), set()
    reader.seek(22)
    for _ in range(reader.read(1)[0]):
        kinds.add(reader.read(1)[0] & 0x3F)
        for _ in range(int.from_bytes(reader.read(2))):
            reader.seek(int.from_bytes(reader.read(2)), io.SEEK_CUR)
    return frozenset(kinds)

"""What may be in a treated video: boxes, NAL units and times, each by an allow-list; the rest is a finding."""

import io
from collections.abc import Iterator

from anonymize.errors import MalformedItemError
from anonymize.finding import FieldPath, Finding, FindingKind
from anonymize.media.video.container import VideoSource
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
_HANDLER = b"vide" + bytes(12) + b"VideoHandler\0"
_H264_PICTURES, _HEVC_PICTURES = frozenset({1, 5}), frozenset(range(32))
_SEI_IN_HVCC = frozenset({39, 40})


def forbidden(source: VideoSource) -> tuple[Finding, ...]:
    """Everything in a fragmented MP4 that is not coded pictures, or needed to decode and time them.

    1. Only boxes of the list, and one track. 2. No dates in headers, no names but the muxer's constants.
    3. Only slices of pictures in ``mdat``, no SEI among the parameter sets.

    Raises:
        MalformedItemError: A box or NAL unit is cut short.
    """
    found: list[str] = []
    tracks, hevc = 0, False
    for path, box in _walk(source, "", 0, size_of(source)):
        if path not in _LEAVES and path not in _HOLDERS:  # 1
            found.append(f"box:{path}")
        tracks += path == "moov/trak"
        hevc |= path.endswith("/hvc1")
        if path in _TIMED and any(_body(source, box, 4, 8 if _version(source, box) == 0 else 16)):  # 2
            found.append(f"date:{path}")
        if path.endswith("/hdlr") and _body(source, box, 8, box.end - box.body) != _HANDLER:
            found.append(f"name:{path}")
        if path.endswith(("/avc1", "/hvc1")) and any(_body(source, box, 42, 32)):
            found.append(f"name:{path}")
        if path.endswith("/hvcC") and _hvcc_types(_body(source, box, 0, box.end - box.body)) & _SEI_IN_HVCC:
            found.append(f"sei:{path}")
        if path == "mdat":  # 3
            found += [f"nal:{kind}" for kind in _nal_types(source, box, hevc=hevc)]
    if tracks != 1:
        found.append("tracks")
    return tuple(
        Finding(kind=FindingKind.METADATA, where=FieldPath(path=p), confidence=1.0, detector=READER)
        for p in dict.fromkeys(found)
    )


def _walk(source: VideoSource, path: str, start: int, end: int) -> Iterator[tuple[str, Box]]:
    for box in boxes(source, start, end):
        inner = f"{path}/{box.kind.decode('latin-1')}".lstrip("/")
        yield inner, box
        if inner in _HOLDERS:
            yield from _walk(source, inner, box.body + _HOLDERS[inner], box.end)


def _body(source: VideoSource, box: Box, offset: int, size: int) -> bytes:
    source.seek(box.body + offset)
    return source.read(min(size, box.end - box.body - offset))


def _version(source: VideoSource, box: Box) -> int:
    return _body(source, box, 0, 1)[0]


def _nal_types(source: VideoSource, box: Box, *, hevc: bool) -> list[int]:
    """Types of NAL units that are not slices of pictures; lengths take four bytes."""
    found, offset = set(), box.body
    while offset < box.end:
        source.seek(offset)
        head = source.read(5)
        length = int.from_bytes(head[:4])
        if len(head) < 5 or not 0 < length <= box.end - offset - 4:  # noqa: PLR2004
            raise MalformedItemError(
                f"a NAL unit is cut short (got {box.end - offset} bytes, expected {length})"
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

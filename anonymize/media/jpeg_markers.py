"""JPEG as its bytes: markers, segments and what follows the image (ITU-T T.81 Annex B)."""

from dataclasses import dataclass

from anonymize.errors import MalformedItemError

SOI, EOI, SOS, COM, APP0 = 0xD8, 0xD9, 0xDA, 0xFE, 0xE0
RESTARTS = range(0xD0, 0xD8)
_TEM = 0x01
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAMES = (_BASELINE, _EXTENDED, _PROGRESSIVE)
_OTHER_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
_FRAME_BYTES = 6
_TABLES = frozenset({0xDB, 0xC4, 0xDD})
_KNOWN = {
    b"Exif\x00": "exif",
    b"http://ns.adobe.com/xap/1.0/\x00": "xmp",
    b"http://ns.adobe.com/xmp/ext": "xmp_extended",
    b"ICC_PROFILE\x00": "icc_profile",
    b"MPF\x00": "mpf",
    b"Photoshop 3.0\x00": "photoshop",
    b"Adobe": "adobe",
    b"JFXX\x00": "jfxx_thumbnail",
    b"JFIF\x00": "jfif",
    b"FPXR\x00": "flashpix",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One marker with its payload (without the length field; empty for SOI and EOI)."""

    marker: int
    offset: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JpegStructure:
    """The segments of the first image of a file and the number of bytes that follow its EOI."""

    segments: tuple[Segment, ...]
    trailing: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Header of a frame: bits per sample, width and height in pixels, number of components."""

    precision: int
    width: int
    height: int
    components: int


def walk_jpeg(content: bytes) -> JpegStructure:
    """Read all segments up to EOI.

    Raises:
        MalformedItemError: The file does not begin with SOI, a segment is truncated, bytes lie between
            segments or EOI is missing.
    """
    if content[:2] != b"\xff\xd8":
        raise MalformedItemError(f"not a JPEG: no SOI marker (got {content[:2].hex()!r}, expected 'ffd8')")
    segments = [Segment(marker=SOI, offset=0, payload=b"")]
    at = 2
    while True:
        marker, start = _marker(content, at)
        if marker == EOI:
            segments.append(Segment(marker=EOI, offset=at, payload=b""))
            return JpegStructure(segments=tuple(segments), trailing=content[start:])
        if marker in RESTARTS or marker in (_TEM, SOI):
            raise MalformedItemError(f"JPEG marker out of place (got ff{marker:02x} at byte {at})")
        length = int.from_bytes(content[start : start + 2], "big")
        if length < 2 or start + length > len(content):  # noqa: PLR2004 - the length counts itself
            raise MalformedItemError(
                f"JPEG is truncated (segment ff{marker:02x} at byte {at} of {len(content)})"
            )
        segments.append(Segment(marker=marker, offset=at, payload=content[start + 2 : start + length]))
        at = start + length
        if marker == SOS:
            at = _skip_scan(content, at)


def _marker(content: bytes, at: int) -> tuple[int, int]:
    """The marker at ``at``, behind any fill bytes, and the offset behind it."""
    if at >= len(content):
        raise MalformedItemError(f"JPEG is truncated (no EOI in {len(content)} bytes)")
    if content[at] != 0xFF:  # noqa: PLR2004
        raise MalformedItemError(
            f"JPEG has stray bytes between segments (got {content[at]:02x} at byte {at})"
        )
    end = at
    while end < len(content) and content[end] == 0xFF:  # noqa: PLR2004
        end += 1
    if end >= len(content):
        raise MalformedItemError(f"JPEG is truncated (no EOI in {len(content)} bytes)")
    return content[end], end + 1


def _skip_scan(content: bytes, at: int) -> int:
    """Offset of the first marker behind entropy-coded data."""
    while True:
        at = content.find(b"\xff", at)
        if at < 0 or at + 1 >= len(content):
            raise MalformedItemError(f"JPEG is truncated (no EOI in {len(content)} bytes)")
        following = content[at + 1]
        if following != 0 and following not in RESTARTS:
            return at
        at += 2


def frame_of(structure: JpegStructure) -> Frame:
    """The one frame header.

    Raises:
        MalformedItemError: There is no frame or more than one, its coding is not Huffman baseline or
            progressive, or its header is truncated.
    """
    other = [s.marker for s in structure.segments if s.marker in _OTHER_FRAMES]
    if other:
        raise MalformedItemError(
            f"JPEG coding is not supported (got SOF ff{other[0]:02x}, expected ffc0 to ffc2)"
        )
    frames = [s for s in structure.segments if s.marker in _FRAMES]
    if len(frames) != 1 or len(frames[0].payload) < _FRAME_BYTES:
        raise MalformedItemError(f"JPEG has no single frame header (got {len(frames)})")
    head = frames[0].payload
    return Frame(
        precision=head[0],
        height=int.from_bytes(head[1:3], "big"),
        width=int.from_bytes(head[3:5], "big"),
        components=head[5],
    )


def carries_only_pixels(segment: Segment) -> bool:
    """Whether a segment is on the allow-list: what decoding needs, and a JFIF header without thumbnail."""
    if segment.marker in (SOI, EOI, SOS) or segment.marker in _TABLES or segment.marker in _FRAMES:
        return True
    return segment.marker == APP0 and is_plain_jfif(segment.payload)


def is_plain_jfif(payload: bytes) -> bool:
    """Whether an APP0 payload is a JFIF header of exactly 14 bytes, without thumbnail."""
    return len(payload) == 14 and payload.startswith(b"JFIF\x00") and payload[12:14] == b"\x00\x00"  # noqa: PLR2004


def field_name(segment: Segment) -> str:
    """A name from a closed vocabulary for a segment that carries more than pixels."""
    for prefix, name in _KNOWN.items():
        if segment.payload.startswith(prefix):
            return name
    if segment.marker == COM:
        return "comment"
    if APP0 <= segment.marker <= APP0 + 15:
        return f"app{segment.marker - APP0}"
    return f"marker_{segment.marker:02x}"

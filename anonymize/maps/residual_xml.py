"""Reading released OSM XML by a grammar of its lines; shares nothing with the reader and the writer."""

import re
from collections.abc import Iterator
from typing import BinaryIO

from anonymize.maps.residual_read import MapReading

_BLOCK_BYTES = 1 << 20
_LINE_MAX = 1 << 20
_HEAD = (b"<?xml version='1.0' encoding='UTF-8'?>", b'<osm version="0.6">')
_TEXT = rb"(?:[^<>&\"\x00-\x1f]|&(?:amp|lt|gt|quot|#10|#13|#9);)*"
_E7 = rb"(-?\d{1,3}\.\d{7})"
_NODE = re.compile(rb' <node id="(\d+)" lat="' + _E7 + rb'" lon="' + _E7 + rb'"(/?)>')
_OTHER = re.compile(rb' <(way|relation) id="(\d+)"(/?)>')
_TAG = re.compile(rb'  <tag k="(' + _TEXT + rb')" v="(' + _TEXT + rb')"/>')
_REF = re.compile(rb'  <nd ref="(\d+)"/>')
_MEMBER = re.compile(rb'  <member type="(?:node|way|relation)" ref="(\d+)" role="' + _TEXT + rb'"/>')
_END = re.compile(rb" </(node|way|relation)>")
_ORDER = (b"node", b"way", b"relation")
_ENTITIES = {b"&lt;": b"<", b"&gt;": b">", b"&quot;": b'"', b"&#10;": b"\n", b"&#13;": b"\r", b"&#9;": b"\t"}


def read_released_xml(file: BinaryIO) -> MapReading:
    """Read what ``write_osm_xml`` wrote; any other line is a fault."""
    reading, state = MapReading(), _State()
    lines = _lines(file)
    if (next(lines, b""), next(lines, b"")) != _HEAD:
        reading.fault("head")
        return reading
    ended = False
    for line in lines:
        if ended or line == b"</osm>":
            if ended:
                reading.fault("after the end")
            ended = True
        elif not _take(line, reading, state):
            reading.fault("line")
    if not ended or state.open:
        reading.fault("end")
    reading.features = state.count
    return reading


class _State:
    """Where the reader is: the open element, and the last number of each type."""

    def __init__(self) -> None:
        self.open = b""
        self.count = 0
        self._kind, self._last = 0, -1

    def enter(self, name: bytes, number: int, *, closed: bool) -> bool:
        """Begin a feature; whether types and numbers go on in order."""
        kind = _ORDER.index(name)
        follows = not self.open and (
            number == self._last + 1 if kind == self._kind and self.count else kind >= self._kind
        )
        self._kind, self._last, self.open = kind, number, b"" if closed else name
        self.count += 1
        return follows


def _take(line: bytes, reading: MapReading, state: _State) -> bool:
    if match := _NODE.fullmatch(line):
        reading.lat.append(float(match[2]))
        reading.lon.append(float(match[3]))
        return state.enter(b"node", int(match[1]), closed=bool(match[4]))
    if match := _OTHER.fullmatch(line):
        return state.enter(match[1], int(match[2]), closed=bool(match[3]))
    if match := _TAG.fullmatch(line):
        reading.pairs[_plain(match[1]), _plain(match[2])] += 1
        return bool(state.open)
    if match := _END.fullmatch(line):
        closes, state.open = state.open == match[1], b""
        return closes
    within = {b"way": _REF, b"relation": _MEMBER}.get(state.open)
    return within is not None and within.fullmatch(line) is not None


def _plain(text: bytes) -> str:
    for entity, character in _ENTITIES.items():
        text = text.replace(entity, character)
    return text.replace(b"&amp;", b"&").decode("utf-8", "replace")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    rest = b""
    while block := file.read(_BLOCK_BYTES):
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
        if len(rest) > _LINE_MAX:
            break
    if rest:
        yield rest

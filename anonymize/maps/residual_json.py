"""Reading released GeoJSON by a grammar of its lines; shares nothing with the reader and the writer."""

import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from anonymize.finding import FindingKind
from anonymize.maps.residual_read import MapReading
from anonymize.maps.rules import is_identity_key

_BLOCK_BYTES = 1 << 20
_HEAD = b'{"type":"FeatureCollection","features":['
_FOOT = b"]}"
_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_POSITION = re.compile(rf"\[({_NUMBER}),({_NUMBER})(,{_NUMBER})?\]")
_STRING = r'"(?:[^"\\]|\\.)*+"'
_FEATURE_HEAD = re.compile(r'\{"type":"Feature",(?:"id":\d+,)?"geometry":')
# A geometry once its positions are written as #.
_FLAT = (
    r'\{"type":"(?:Point","coordinates":#|(?:MultiPoint|LineString)","coordinates":L'
    r'|(?:MultiLineString|Polygon)","coordinates":M|MultiPolygon","coordinates":N)\}'
)
_LISTS = (
    ("L", re.compile(r"\[#(?:,#)*\]")),
    ("M", re.compile(r"\[L(?:,L)*\]")),
    ("N", re.compile(r"\[M(?:,M)*\]")),
)
_GEOMETRY = re.compile(_FLAT)
_COLLECTION = re.compile(r'\{"type":"GeometryCollection","geometries":\[(?:G(?:,G)*)?\]\}')
_MEMBER = re.compile(rf"(?P<key>{_STRING}):(?P<value>{_STRING}|{_NUMBER}|true|false|null|[\[{{])")
_SCALAR = re.compile(rf"{_STRING}|{_NUMBER}|true|false")
_PACKED = re.compile(r'"((?:[^"\\]|\\.)*+)"\s*(?:=>|:)\s*(?:"((?:[^"\\]|\\.)*+)"|([^,}\s]+))')
_OUTSIDE = re.compile(rf"{_STRING}|{_NUMBER}|true|false|null|[\[\]{{}},:]")
_DEPTH = 8


def read_released_json(file: BinaryIO) -> MapReading:
    """Read what ``write_features`` wrote; any other line is a fault."""
    reading = MapReading()
    lines = list_lines(file)
    if next(lines, b"") != _HEAD:
        reading.fault("head")
        return reading
    ended = False
    for line in lines:
        if ended:
            reading.fault("after the end")
        elif line == _FOOT:
            ended = True
        elif line:
            _take(line, reading)
    if not ended:
        reading.fault("end")
    return reading


def list_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file from its beginning."""
    file.seek(0)
    rest = b""
    while block := file.read(_BLOCK_BYTES):
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _take(line: bytes, reading: MapReading) -> None:
    reading.features += 1
    text = line.decode("utf-8", "replace").removesuffix(",")
    split = text.find(',"properties":{')
    head = _FEATURE_HEAD.match(text)
    if head is None or split < 0 or not text.endswith("}}"):
        reading.fault("feature")
        return
    _take_geometry(text[head.end() : split], reading)
    _take_properties(text[split + len(',"properties":') : -1], reading)


def _take_geometry(text: str, reading: MapReading) -> None:
    if text == "null":
        return
    for lon, lat, height in _POSITION.findall(text):
        reading.lat.append(float(lat))
        reading.lon.append(float(lon))
        if height:
            reading.fault("coordinates", FindingKind.ELEVATION)
    frame = _POSITION.sub("#", text)
    for letter, pattern in _LISTS:
        frame = pattern.sub(letter, frame)
    frame = _GEOMETRY.sub("G", frame)
    for _ in range(_DEPTH):
        frame = _COLLECTION.sub("G", frame)
    if frame != "G":
        reading.fault("geometry")


def _take_properties(text: str, reading: MapReading) -> None:
    if _OUTSIDE.sub("", text):
        reading.fault("properties")
        return
    for member in _MEMBER.finditer(text):
        key, value = str(json.loads(member["key"])), member["value"]
        if is_identity_key(key) and not value.isdigit():
            reading.fault("identity", FindingKind.METADATA)
        for scalar in [value] if value not in "[{" else _scalars(text, member.start("value")):
            _take_value(key, scalar, reading)
        if value in "[{":
            reading.pairs[key, ""] += 1


def _take_value(key: str, scalar: str, reading: MapReading) -> None:
    plain = str(json.loads(scalar)) if scalar.startswith('"') else "" if scalar == "null" else scalar
    reading.pairs[key, plain] += 1
    if scalar.startswith('"'):
        for packed_key, quoted, bare in _PACKED.findall(plain):
            reading.pairs[packed_key, quoted or bare] += 1


def _scalars(text: str, start: int) -> list[str]:
    """Members of a list of scalars that begins at ``start``; of any other structure none."""
    if text[start] != "[":
        return []
    found = re.compile(rf"\[(?:(?:{_STRING}|{_NUMBER}|true|false|null)(?:,|(?=\])))*\]").match(text, start)
    return _SCALAR.findall(found[0]) if found else []

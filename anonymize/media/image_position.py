"""Where an image says it was taken: EXIF GPS and XMP, in degrees (WGS 84). Messages carry no coordinate."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from PIL import ExifTags

from anonymize.errors import MalformedItemError
from anonymize.media.jpeg_markers import JpegStructure
from anonymize.media.png_chunks import PngStructure

Position = tuple[float, float]

MAX_DISAGREEMENT_DEG = 0.001
"""Greatest difference in degrees (about 110 m) at which EXIF and XMP are taken to mean one place."""

_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
_EXTENDED = b"http://ns.adobe.com/xmp/extension/\x00"
_GUID_BYTES = 32
_PNG_KEYWORD = b"XML:com.adobe.xmp\x00"
_LATITUDES = frozenset({"GPSLatitude", "GpsLatitude"})
_LONGITUDES = frozenset({"GPSLongitude", "GpsLongitude", "GpsLongtitude"})
_XMP_ANGLE = re.compile(r"(\d{1,3}),(\d{1,2}(?:\.\d+)?)(?:,(\d{1,2}(?:\.\d+)?))?([NSEW])")
_DECIMAL = re.compile(r"[+-]?\d{1,3}(?:\.\d+)?")


def position_of(gps: Mapping[int, Any], packets: Sequence[bytes]) -> Position | None:
    """Latitude and longitude; None where neither EXIF nor XMP have any.

    Args:
        gps: GPS directory of EXIF.
        packets: XMP packets of the file.

    Raises:
        MalformedItemError: A position is incomplete, unreadable or impossible, an XMP packet is no XML, or
            EXIF and XMP name different places.
    """
    exif, xmp = exif_position(gps), xmp_position(packets)
    if exif and xmp and max(abs(a - b) for a, b in zip(exif, xmp, strict=True)) > MAX_DISAGREEMENT_DEG:
        raise MalformedItemError(
            f"EXIF and XMP name different places (expected at most {MAX_DISAGREEMENT_DEG} degrees apart)"
        )
    return exif or xmp


def exif_position(gps: Mapping[int, Any]) -> Position | None:
    """Position in the GPS directory; None where it has neither latitude nor longitude.

    Raises:
        MalformedItemError: The position is incomplete, unreadable or impossible.
    """
    tags = ExifTags.GPS
    parts = [tags.GPSLatitude, tags.GPSLatitudeRef, tags.GPSLongitude, tags.GPSLongitudeRef]
    present = [p in gps for p in parts]
    if not any(present):
        return None
    if not all(present):
        raise MalformedItemError(
            f"EXIF GPS position is incomplete (got {[p.name for p in parts if p in gps]})"
        )
    latitude = _angle(gps[tags.GPSLatitude], gps[tags.GPSLatitudeRef], "NS", 90.0)
    longitude = _angle(gps[tags.GPSLongitude], gps[tags.GPSLongitudeRef], "EW", 180.0)
    return latitude, longitude


def _angle(value: Any, reference: Any, signs: str, limit: float) -> float:
    """Degrees of a degree-minute-second triple."""
    try:
        degrees, minutes, seconds = (float(v) for v in value)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise MalformedItemError(f"EXIF GPS value is no triple of numbers (axis {signs})") from error
    if not all(math.isfinite(v) and v >= 0 for v in (degrees, minutes, seconds)):
        raise MalformedItemError(f"EXIF GPS value is not finite or negative (axis {signs})")
    angle = degrees + minutes / 60 + seconds / 3600
    if minutes >= 60 or seconds > 60 or angle > limit:  # noqa: PLR2004 - sexagesimal
        raise MalformedItemError(
            f"EXIF GPS value is out of range (axis {signs}, expected at most {limit:g} degrees)"
        )
    letter = str(reference).strip("\x00 ").upper()
    if letter not in tuple(signs):
        raise MalformedItemError(
            f"EXIF GPS reference is unknown (axis {signs}, expected one of {tuple(signs)})"
        )
    return -angle if letter == signs[1] else angle


def xmp_position(packets: Sequence[bytes]) -> Position | None:
    """Position in XMP (``exif:GPSLatitude``, and what drones write); None where no packet has one.

    Raises:
        MalformedItemError: A packet is no XML, or a position is incomplete, unreadable or impossible.
    """
    latitudes: list[float] = []
    longitudes: list[float] = []
    for packet in packets:
        for name, value in _properties(packet):
            if name in _LATITUDES:
                latitudes.append(_xmp_angle(value, "NS", 90.0))
            elif name in _LONGITUDES:
                longitudes.append(_xmp_angle(value, "EW", 180.0))
    if not latitudes and not longitudes:
        return None
    if not latitudes or not longitudes:
        raise MalformedItemError("XMP position is incomplete (expected latitude and longitude)")
    if max(latitudes) - min(latitudes) > MAX_DISAGREEMENT_DEG or (
        max(longitudes) - min(longitudes) > MAX_DISAGREEMENT_DEG
    ):
        raise MalformedItemError("XMP names different places (expected one)")
    return latitudes[0], longitudes[0]


def _properties(packet: bytes) -> list[tuple[str, str]]:
    """Local names and values of all attributes and elements of an XMP packet."""
    body = packet.strip(b"\x00 \t\r\n")
    if not body:
        return []
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise MalformedItemError(f"XMP cannot be read ({type(error).__name__})") from error
    found = []
    for element in root.iter():
        named = [(element.tag, element.text or ""), *element.attrib.items()]
        found += [(str(name).rpartition("}")[2], value.strip()) for name, value in named if value.strip()]
    return found


def _xmp_angle(value: str, signs: str, limit: float) -> float:
    """Degrees of ``DDD,MM.mmk``, ``DDD,MM,SSk`` (XMP part 2, GPSCoordinate) or of a decimal number."""
    sexagesimal = _XMP_ANGLE.fullmatch(value)
    if sexagesimal and sexagesimal[4] in signs:
        degrees, minutes, seconds = (float(v or 0) for v in sexagesimal.groups()[:3])
        angle = degrees + minutes / 60 + seconds / 3600
        angle = -angle if sexagesimal[4] == signs[1] else angle
    elif _DECIMAL.fullmatch(value):
        minutes = seconds = 0.0
        angle = float(value)
    else:
        raise MalformedItemError(f"XMP position cannot be read (axis {signs}, got {len(value)} characters)")
    if minutes >= 60 or seconds >= 60 or abs(angle) > limit:  # noqa: PLR2004 - sexagesimal
        raise MalformedItemError(f"XMP position is out of range (axis {signs}, expected at most {limit:g})")
    return angle


def jpeg_packets(structure: JpegStructure) -> list[bytes]:
    """The XMP packets of a JPEG: the main one, and extended ones put together (XMP part 3, 1.1.3.1)."""
    payloads = [s.payload for s in structure.segments]
    parts: dict[bytes, list[tuple[int, bytes]]] = {}
    for payload in payloads:
        if payload.startswith(_EXTENDED):
            rest = payload[len(_EXTENDED) :]
            offset = int.from_bytes(rest[_GUID_BYTES + 4 : _GUID_BYTES + 8], "big")
            parts.setdefault(rest[:_GUID_BYTES], []).append((offset, rest[_GUID_BYTES + 8 :]))
    extended = [b"".join(data for _, data in sorted(pieces)) for pieces in parts.values()]
    return [*(p.removeprefix(_XMP) for p in payloads if p.startswith(_XMP)), *extended]


def png_packets(structure: PngStructure) -> list[bytes]:
    """The XMP packets of a PNG (iTXt, uncompressed as XMP part 3 demands).

    Raises:
        MalformedItemError: A packet is compressed or has no text.
    """
    packets = []
    for chunk in structure.chunks:
        if chunk.kind == "iTXt" and chunk.data.startswith(_PNG_KEYWORD):
            fields = chunk.data[len(_PNG_KEYWORD) + 2 :].split(b"\x00", 2)
            if chunk.data[len(_PNG_KEYWORD) : len(_PNG_KEYWORD) + 1] != b"\x00" or len(fields) != 3:  # noqa: PLR2004
                raise MalformedItemError(
                    "XMP in PNG is compressed or malformed (expected an uncompressed iTXt)"
                )
            packets.append(fields[2])
    return packets

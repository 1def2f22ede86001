"""GPX 1.0 and 1.1 tracks.

Read with defusedxml rather than gpxpy: gpxpy turns a timestamp it cannot parse into None without a word,
registers the document's namespace prefixes for the whole process and builds the whole tree. gpxpy is the
oracle of the tests. Only track points are carried; names, creators, waypoints, routes and extensions are
listed in ``Track.dropped``.
"""

import math
from xml.parsers.expat import ExpatError

import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, XMLParser

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.formats.track import (
    Track,
    check_count,
    format_times,
    list_dropped,
    number_segments,
    parse_numbers,
    parse_times,
    require_degrees_crs,
    to_positions,
)
from anonymize.geo.crs import WGS84
from anonymize.profile import TrackProfile

_NAMESPACES = ("", "http://www.topografix.com/GPX/1/0", "http://www.topografix.com/GPX/1/1")
_CARRIED = {"gpx", "trk", "trkseg", "trkpt"}
_VALUES = {"time", "ele", "speed"}
_MAX_DEPTH = 32
_TRACK_POINT = ["gpx", "trk", "trkseg", "trkpt"]


class _TrackPoints:
    """Collects track points while the document streams by; holds no tree."""

    def __init__(self, max_points: int) -> None:
        self.values: dict[str, list[str]] = {"lat": [], "lon": [], "time": [], "ele": [], "speed": []}
        self.starts: list[bool] = []
        self.dropped: set[str] = set()
        self._max_points = max_points
        self._path: list[str] = []
        self._begins = True
        self._text: list[str] | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        namespace, _, name = tag.rpartition("}")
        if not self._path and (name != "gpx" or namespace.lstrip("{") not in _NAMESPACES):
            raise MalformedItemError(f"the root element is no GPX (got {tag[:80]!r}, expected 'gpx')")
        self._path.append(name)
        if len(self._path) > _MAX_DEPTH:
            raise LimitExceededError(f"GPX elements nest too deeply (got more than {_MAX_DEPTH})")
        if name == "trkseg":
            self._begins = True
        if self._path == _TRACK_POINT:
            self._begin_point(attributes)
        elif (self._path[:-1] == _TRACK_POINT and name in _VALUES) or (
            self._path[:4] == _TRACK_POINT and name == "speed"
        ):
            self._text = []
        elif name not in _CARRIED or len(self._path) > len(_TRACK_POINT):
            self.dropped.add(name)
        if name == "gpx" and "creator" in attributes:
            self.dropped.add("creator")

    def data(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def end(self, _tag: str) -> None:
        name = self._path.pop()
        if self._text is not None:
            self.values[name][-1] = "".join(self._text).strip()
            self._text = None

    def close(self) -> "_TrackPoints":
        return self

    def _begin_point(self, attributes: dict[str, str]) -> None:
        check_count(len(self.starts) + 1, self._max_points)
        for name in ("lat", "lon"):
            if not attributes.get(name, "").strip():
                raise MalformedItemError(f"trkpt {len(self.starts)}: no attribute {name!r}")
            self.values[name].append(attributes[name])
        for name in _VALUES:
            self.values[name].append("")
        self.starts.append(self._begins)
        self._begins = False


def read_gpx(content: bytes, *, profile: TrackProfile, crs: str | None = WGS84) -> Track:
    """Read the track points of a GPX document.

    Args:
        content: The document.
        profile: Limits.
        crs: The geographic reference system that the operator declared; WGS-84 by the format's specification,
            but what is made in China is often in GCJ-02.

    Raises:
        MalformedItemError: The document is truncated, no GPX, has a DTD, no track points or impossible
            values, or a fix lies at 0, 0.
        LimitExceededError: There are too many points, or elements nest too deeply.
        UnknownCrsError: ``crs`` is unknown or not geographic.
    """
    known = require_degrees_crs(crs, "GPX")
    found = _parse(content, profile.max_points)
    check_count(len(found.starts), profile.max_points)
    place = "trkpt {}".format
    lat = parse_numbers(found.values["lat"], "latitude", place)
    lon = parse_numbers(found.values["lon"], "longitude", place)
    elevation = parse_numbers(found.values["ele"], "elevation", place)
    lat, lon, elevation = to_positions(lat, lon, elevation, crs=known, place=place)
    time_s = parse_times(found.values["time"], place)
    return Track(
        lat=lat,
        lon=lon,
        time_s=time_s,
        elevation_m=elevation,
        speed_mps=parse_numbers(found.values["speed"], "speed", place),
        segment=number_segments(np.array(found.starts, dtype=bool), time_s),
        crs=known,
        dropped=list_dropped(found.dropped),
    )


def _parse(content: bytes, max_points: int) -> _TrackPoints:
    target = _TrackPoints(max_points)
    parser = XMLParser(target=target, forbid_dtd=True)
    try:
        parser.feed(content)
        parser.close()
    except DefusedXmlException as error:
        raise MalformedItemError(
            f"GPX declares a document type or entities (got {type(error).__name__})"
        ) from error
    except (ParseError, ExpatError, ValueError, LookupError) as error:
        raise MalformedItemError(f"GPX is no well-formed XML ({error})") from error
    return target


def write_gpx(track: Track) -> bytes:
    """Write GPX 1.1 with nothing but positions, and times and elevations where present; deterministic.

    The mandatory ``creator`` is empty; speeds have no element in GPX 1.1 and are left out.
    """
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<gpx xmlns="{_NAMESPACES[2]}" version="1.1" creator=""><trk>',
    ]
    times, elevations = format_times(track.time_s), track.elevation_m.tolist()
    lat, lon = track.lat.tolist(), track.lon.tolist()
    for part in track.segments():
        lines.append("<trkseg>")
        for i in range(part.start, part.stop):
            inner = "" if math.isnan(elevations[i]) else f"<ele>{elevations[i]:.2f}</ele>"
            inner += f"<time>{times[i]}</time>" if times[i] else ""
            lines.append(f'<trkpt lat="{lat[i]:.8f}" lon="{lon[i]:.8f}">{inner}</trkpt>')
        lines.append("</trkseg>")
    lines.append("</trk></gpx>\n")
    return "\n".join(lines).encode()

"""Tracks as GeoJSON (RFC 7946): LineString, MultiLineString and Point features."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from anonymize.errors import MalformedItemError, UnknownCrsError
from anonymize.formats.track import (
    Track,
    check_count,
    format_times,
    list_dropped,
    number_segments,
    parse_numbers,
    parse_times,
    to_positions,
)
from anonymize.geo.crs import CrsKind, kind_of, require_crs
from anonymize.profile import TrackProfile

_AXES: dict[CrsKind, tuple[str, str, str]] = {
    "geographic": ("longitude", "latitude", "elevation"),
    "projected": ("easting", "northing", "elevation"),
    "geocentric": ("X", "Y", "Z"),
}
_LINE_TIMES = ("coordTimes", "times")
_POINT_TIMES = ("time", "timestamp", "datetime")
_SEGMENT = "segment"
_LEAST, _MOST = 2, 3


@dataclass(slots=True)
class _Fixes:
    max_points: int
    axes: tuple[str, str, str]
    cells: dict[str, list[str]] = field(
        default_factory=lambda: {n: [] for n in ("x", "y", "z", "time", "speed")}
    )
    starts: list[bool] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)
    last_point: tuple[str] | None = None

    def add(self, position: Any, *, starts: bool, where: str, time: Any = None, speed: Any = None) -> None:
        if not isinstance(position, list) or len(position) < _LEAST:
            raise MalformedItemError(
                f"{where}: no position (got {str(position)[:40]!r}, expected [lon, lat])"
            )
        check_count(len(self.starts) + 1, self.max_points)
        if len(position) > _MOST:
            self.dropped.add("coordinates[3:]")
        values = (*position[:_MOST], None)[:_MOST]
        for name, axis, value in zip("xyz", self.axes, values, strict=True):
            if value is None and name != "z":
                raise MalformedItemError(f"{where}: no {axis} (got null)")
            self.cells[name].append(_cell(value, axis, where))
        for name, value in (("time", time), ("speed", speed)):
            self.cells[name].append(_cell(value, name, where))
        self.starts.append(starts)


def read_geojson_track(content: bytes, *, profile: TrackProfile, crs: str | None) -> Track:
    """Read a track from a feature collection, a feature or a geometry.

    Times come from ``coordTimes`` or ``times`` of a line and ``time`` of a point, speeds from ``speed`` of a
    point. Every line is a segment; consecutive points form one unless their ``segment`` property changes.
    Positions are longitude, latitude and elevation, or easting, northing and elevation, or geocentric X, Y and
    Z, as ``crs`` is. A legacy ``crs`` member (GeoJSON 2008), wherever it stands, must agree with ``crs``.

    Raises:
        MalformedItemError: No GeoJSON, a geometry that is no track, impossible values or 0, 0, times that do
            not match.
        LimitExceededError: There are too many fixes.
        UnknownCrsError: ``crs`` is missing or unknown, or a ``crs`` member names another system.
    """
    known = require_crs(crs)
    document = load_geojson(content)
    _check_member(document, known)
    axes = _AXES[kind_of(known)]
    fixes = _Fixes(profile.max_points, axes)
    for number, feature in enumerate(_features(document, known)):
        _collect(feature, fixes, f"feature {number}")
    check_count(len(fixes.starts), profile.max_points)
    place = "position {}".format
    x, y, z = (parse_numbers(fixes.cells[n], axis, place) for n, axis in zip("xyz", axes, strict=True))
    first, second = (y, x) if kind_of(known) == "geographic" else (x, y)
    lat, lon, elevation = to_positions(first, second, z, crs=known, place=place)
    time_s = parse_times(fixes.cells["time"], place)
    return Track(
        lat=lat,
        lon=lon,
        time_s=time_s,
        elevation_m=elevation,
        speed_mps=parse_numbers(fixes.cells["speed"], "speed", place),
        segment=number_segments(np.array(fixes.starts, dtype=bool), time_s),
        crs=known,
        dropped=list_dropped(fixes.dropped),
    )


def load_geojson(content: bytes) -> Mapping[str, Any]:
    """Parse a JSON object, refusing NaN and infinities.

    Raises:
        MalformedItemError: The content is no UTF-8, no JSON or no object.
    """
    try:
        document = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise MalformedItemError(f"no JSON ({str(error)[:120]})") from error
    if not isinstance(document, dict):
        raise MalformedItemError(f"no GeoJSON object (got {type(document).__name__})")
    return document


def write_geojson_track(track: Track) -> bytes:
    """Write one feature per segment; deterministic. Speeds are written for points only."""
    times = format_times(track.time_s)
    features = [_feature(track, part, times) for part in track.segments()]
    return (
        json.dumps({"type": "FeatureCollection", "features": features}, separators=(",", ":")) + "\n"
    ).encode()


def _feature(track: Track, part: slice, times: list[str]) -> dict[str, Any]:
    positions = [
        [round(x, 8), round(y, 8)] if math.isnan(z) else [round(x, 8), round(y, 8), round(z, 2)]
        for x, y, z in zip(
            track.lon[part].tolist(), track.lat[part].tolist(), track.elevation_m[part].tolist(), strict=True
        )
    ]
    stamps = [t or None for t in times[part]]
    if len(positions) == 1:
        properties: dict[str, Any] = {_SEGMENT: int(track.segment[part.start]), "time": stamps[0]}
        geometry: dict[str, Any] = {"type": "Point", "coordinates": positions[0]}
    else:
        properties = {"coordTimes": stamps} if any(stamps) else {}
        geometry = {"type": "LineString", "coordinates": positions}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def _features(document: Mapping[str, Any], crs: str) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    kind = document.get("type")
    if kind == "FeatureCollection":
        members = document.get("features")
        if not isinstance(members, list):
            raise MalformedItemError(
                f"a FeatureCollection has a list of features (got {type(members).__name__})"
            )
    else:
        members = [document]
    for number, member in enumerate(members):
        if not isinstance(member, dict):
            raise MalformedItemError(f"feature {number}: no object (got {type(member).__name__})")
        _check_member(member, crs)
        bare = member.get("type") != "Feature"
        properties = {} if bare else member.get("properties") or {}
        if not isinstance(properties, dict):
            raise MalformedItemError(
                f"feature {number}: properties are no object (got {type(properties).__name__})"
            )
        geometry = member if bare else member.get("geometry")
        if isinstance(geometry, dict):
            _check_member(geometry, crs)
        yield geometry, properties


def _collect(feature: tuple[Any, Mapping[str, Any]], fixes: _Fixes, where: str) -> None:
    geometry, properties = feature
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    coordinates = geometry.get("coordinates") if isinstance(geometry, dict) else None
    if kind == "Point":
        time = next((properties[n] for n in _POINT_TIMES if n in properties), None)
        segment = (str(properties.get(_SEGMENT)),)
        fixes.add(
            coordinates,
            starts=segment != fixes.last_point,
            where=where,
            time=time,
            speed=properties.get("speed"),
        )
        fixes.last_point = segment
        fixes.dropped |= set(properties) - {*_POINT_TIMES, _SEGMENT, "speed"}
        return
    fixes.last_point = None
    fixes.dropped |= set(properties) - set(_LINE_TIMES)
    times = next((properties[n] for n in _LINE_TIMES if n in properties), None)
    if kind == "LineString":
        _add_line(coordinates, times, fixes, where)
    elif kind == "MultiLineString" and isinstance(coordinates, list):
        if times is not None and (not isinstance(times, list) or len(times) != len(coordinates)):
            raise MalformedItemError(
                f"{where}: times do not match the lines (expected {len(coordinates)} lists)"
            )
        for number, line in enumerate(coordinates):
            _add_line(line, times[number] if times else None, fixes, f"{where} line {number}")
    else:
        raise MalformedItemError(
            f"{where}: geometry is no track (got {str(kind)[:40]!r}, expected LineString or Point)"
        )


def _add_line(line: Any, times: Any, fixes: _Fixes, where: str) -> None:
    if not isinstance(line, list) or len(line) < _LEAST:
        raise MalformedItemError(f"{where}: a line has at least two positions (got {str(line)[:40]!r})")
    if times is not None and (not isinstance(times, list) or len(times) != len(line)):
        got = len(times) if isinstance(times, list) else type(times).__name__
        raise MalformedItemError(
            f"{where}: times do not match the positions (got {got}, expected {len(line)})"
        )
    for index, position in enumerate(line):
        fixes.add(
            position,
            starts=index == 0,
            where=f"{where} position {index}",
            time=times[index] if times else None,
        )


def _cell(value: Any, name: str, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise MalformedItemError(f"{where}: {name} is no value (got {type(value).__name__})")
    if isinstance(value, str) and name != "time":
        raise MalformedItemError(f"{where}: {name} is no number (got {value[:40]!r})")
    return value if isinstance(value, str) else repr(float(value)) if isinstance(value, float) else str(value)


def _check_member(document: Mapping[str, Any], known: str) -> None:
    if "crs" not in document:
        return
    member = document["crs"]
    properties = member.get("properties") if isinstance(member, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    named = require_crs(name if isinstance(name, str) else None)
    if named != known:
        raise UnknownCrsError(
            f"the crs member names another system than was declared (got {named!r}, expected {known!r})"
        )


def _refuse_constant(name: str) -> float:
    raise MalformedItemError(f"GeoJSON holds no such number (got {name})")

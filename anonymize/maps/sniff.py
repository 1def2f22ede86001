"""Which kind of vector map some content is.

A GeoJSON document is a *track* where it could be one drive and nothing else, and a *map* otherwise: it is a
mistake that costs little to cleanse a track as a map (every feature that meets a zone goes), and one that
costs much to read a map as a track (its attributes would go without a rule, or stay where tracks keep them).
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

__all__ = ["MapKind", "is_opendrive_root", "is_osm_pbf", "is_osm_root", "is_vector_map"]

_BLOB_HEADER_MAX = 64 * 1024
_LENGTH_BYTES = 4
_HEADER_TYPE = b"\x0a\x09OSMHeader"
_AREAS = frozenset({"Polygon", "MultiPolygon"})
_LINES = frozenset({"LineString", "MultiLineString"})
_TRACK_LINES = 16
_TRACK_PROPERTY = re.compile(
    r"(?:coord)?times?(?:tamps?)?|(?:date)?_?time(?:_?(?:ns|us|ms|s|utc))?|datetime|date|timestamp(?:_?(?:ns|us|ms|s))?"
    r"|t|ts|utc|seq|sequence|index|segment|track_?(?:id|no|num)?|track_(?:fid|seg_id|seg_point_id)"
    r"|speed(?:_?(?:mps|kmh|kph|ms))?|velocity|heading|course|bearing|yaw|cog|sog|track_angle"
    r"|ele|elev|elevation|alt|altitude|height|hdop|vdop|pdop|acc(?:uracy)?|sat(?:ellites)?|fix|quality|provider"
    r"|name|desc|description|cmt|src|type|creator|activity|vehicle(?:_?id)?|device(?:_?id)?|vin|plate|driver|links?"
    r"|gpxtpx:.*|_gpxtype|stroke(?:-.*)?|fill(?:-.*)?|marker-.*|id|时间|速度|航向|方向|高程|海拔|名称",
    re.IGNORECASE,
)


class MapKind(StrEnum):
    """Kinds of vector map."""

    GEOJSON = "geojson"
    OSM_XML = "osm_xml"
    OSM_PBF = "osm_pbf"
    OPENDRIVE = "opendrive"


def is_vector_map(document: Any) -> bool:
    """Whether a GeoJSON document (RFC 7946) is a map and no track.

    It is a map where any of these holds, and else a track if it has points or lines at all:

    1. A geometry is an area.
    2. A feature has a property that no track carries (times, speeds, courses, accuracies, elevations, names of
       tracks, vehicles and devices, styles).
    3. It has more than 16 lines, or both points and lines, and no line has times: a drive is one or the other,
       in few pieces.
    """
    features = list(_features(document))
    types = {t for geometry, _ in features for t in _types(geometry)}
    if types & _AREAS:
        return True
    if any(not _TRACK_PROPERTY.fullmatch(name) for _, properties in features for name in properties):
        return True
    lines = [p for geometry, p in features if set(_types(geometry)) & _LINES]
    if any({"times", "coordTimes"} & set(p) for p in lines):
        return False
    return len(lines) > _TRACK_LINES or bool(lines and types - _LINES)


def is_osm_root(name: str) -> bool:
    """Whether the root element's local name is that of OSM XML."""
    return name == "osm"


def is_opendrive_root(name: str) -> bool:
    """Whether the root element's local name is that of ASAM OpenDRIVE."""
    return name == "OpenDRIVE"


def is_osm_pbf(head: bytes) -> bool:
    """Whether content begins with the header blob of an OSM PBF file.

    Args:
        head: The first 64 bytes or more.
    """
    size = int.from_bytes(head[:_LENGTH_BYTES], "big")
    return len(_HEADER_TYPE) < size <= _BLOB_HEADER_MAX and head[_LENGTH_BYTES:].startswith(_HEADER_TYPE)


def _features(document: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    if not isinstance(document, dict):
        return
    if document.get("type") == "FeatureCollection":
        members = document.get("features")
        for member in members if isinstance(members, list) else ():
            yield from _features(member)
    elif document.get("type") == "Feature":
        properties = document.get("properties")
        yield document.get("geometry"), properties if isinstance(properties, dict) else {}
    else:
        yield document, {}


def _types(geometry: Any) -> Iterator[str]:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind == "GeometryCollection" and isinstance(geometry.get("geometries"), list):
        for member in geometry["geometries"]:
            yield from _types(member)
    elif isinstance(kind, str):
        yield kind

"""Global positions: sensor_msgs/NavSatFix, gps_common/GPSFix, geographic_msgs, foxglove.LocationFix(es)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from anonymize.containers.tree import Fields, Stamp

_NO_FIX = 0
_RELEASED = frozenset(
    {
        "sensor_msgs/NavSatFix",
        "geographic_msgs/GeoPoint",
        "geographic_msgs/GeoPointStamped",
        "foxglove.LocationFix",
        "foxglove.LocationFixes",
    }
)
_LEAST_DEG = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One global position: degrees, EPSG:4326; NaN where the height or the speed is unknown.

    Attributes:
        stamp_ns: The time in the message; 0 where it names none.
        lat: Latitude in degrees.
        lon: Longitude in degrees.
        height_m: Height in metres.
        speed_mps: Speed in metres per second.
    """

    stamp_ns: int
    lat: float
    lon: float
    height_m: float
    speed_mps: float


def released_fix(name: str) -> bool:
    """Whether fixes of a type can leave displaced; others tell more of the place than their coordinates.

    GPSFix lists the satellites in view, and receivers' own messages carry times of week and raw ranges.
    """
    return name in _RELEASED


def fixes_of(fields: Fields) -> Iterator[Fix]:
    """The valid fixes of a message.

    A fix is left out when its status says that there is none (``STATUS_NO_FIX``), when a coordinate is not
    finite, and at exactly 0, 0, which receivers write before their first fix.

    """
    status = fields.get("status")
    if isinstance(status, dict) and int(status.get("status", _NO_FIX)) < _NO_FIX:
        return
    for stamp, node in _nodes(fields, 0):
        lat, lon = float(node["latitude"]), float(node["longitude"])
        if not (math.isfinite(lat) and math.isfinite(lon)) or abs(lat) + abs(lon) < _LEAST_DEG:
            continue
        yield Fix(
            stamp_ns=stamp,
            lat=lat,
            lon=lon,
            height_m=_number(node.get("altitude")),
            speed_mps=_number(node.get("speed")),
        )


def change_fixes(
    fields: Fields, change: Callable[[float, float], tuple[float, float]], *, keep_elevation: bool
) -> Fields | None:
    """Move every fix of a message; None when one of them is no position and so cannot be moved.

    Heights become 0 unless they are to be kept: JSON knows no NaN, which NavSatFix has for an unknown height.
    """
    made = _changed(fields, change, keep_elevation=keep_elevation)
    return made if isinstance(made, dict) else None


def _changed(
    node: Any, change: Callable[[float, float], tuple[float, float]], *, keep_elevation: bool
) -> Any:
    if isinstance(node, list) and node and isinstance(node[0], dict | list):
        items = [_changed(v, change, keep_elevation=keep_elevation) for v in node]
        return None if any(v is None for v in items) else items
    if not isinstance(node, dict):
        return node
    made = dict(node)
    if _is_fix(node):
        lat, lon = float(node["latitude"]), float(node["longitude"])
        if not (math.isfinite(lat) and math.isfinite(lon)):
            return None
        made["latitude"], made["longitude"] = change(lat, lon)
        if not keep_elevation and "altitude" in node:
            made["altitude"] = 0.0
    for key, value in node.items():
        if isinstance(value, dict | list):
            made[key] = _changed(value, change, keep_elevation=keep_elevation)
            if made[key] is None:
                return None
    return made


def _nodes(node: Any, stamp: int) -> Iterator[tuple[int, Fields]]:
    if isinstance(node, list):
        for value in node:
            if isinstance(value, dict | list):
                yield from _nodes(value, stamp)
    elif isinstance(node, dict):
        own = stamp_of_message(node) or stamp
        if _is_fix(node):
            yield own, node
        for value in node.values():
            if isinstance(value, dict | list):
                yield from _nodes(value, own)


def stamp_of_message(fields: Fields) -> int:
    """The time that a message names for itself in nanoseconds; 0 where it names none."""
    header = fields.get("header")
    stamp = header.get("stamp") if isinstance(header, dict) else fields.get("timestamp", fields.get("stamp"))
    return stamp.ns if isinstance(stamp, Stamp) else 0


def _is_fix(node: Fields) -> bool:
    return isinstance(node.get("latitude"), int | float) and isinstance(node.get("longitude"), int | float)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan

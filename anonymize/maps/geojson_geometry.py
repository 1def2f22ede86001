"""Geometries of GeoJSON features (RFC 7946 §3.1): strict reading, and the same shape with other positions."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from anonymize.errors import MalformedItemError
from anonymize.geo.ellipsoid import FloatArray

__all__ = ["GEOMETRY_TYPES", "positions_of", "shape_of", "with_positions"]

# How deep the positions of each type lie.
_DEPTHS = {
    "Point": 0,
    "MultiPoint": 1,
    "LineString": 1,
    "MultiLineString": 2,
    "Polygon": 2,
    "MultiPolygon": 3,
}
_COLLECTION = "GeometryCollection"
GEOMETRY_TYPES = frozenset({*_DEPTHS, _COLLECTION})
_LEAST_LINE, _LEAST_RING = 2, 4
_LATITUDE, _LONGITUDE = 90.0, 180.0
_PLANAR, _SPATIAL = 2, 3


def positions_of(geometry: Any, where: str) -> Iterator[list[float]]:
    """The positions of a geometry in their order, checked one by one.

    Raises:
        MalformedItemError: An unknown type, a position that is none, not finite or out of range, a line or a
            ring that is too short, a ring that is not closed.
    """
    if geometry is None:
        return
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind == _COLLECTION:
        members = geometry.get("geometries")
        if not isinstance(members, list):
            raise MalformedItemError(f"{where}: a collection has a list of geometries")
        for member in members:
            yield from positions_of({} if member is None else member, where)
        return
    if kind not in _DEPTHS:
        raise MalformedItemError(
            f"{where}: unknown geometry (got {str(kind)[:40]!r}, expected one of {sorted(GEOMETRY_TYPES)})"
        )
    coordinates = geometry.get("coordinates")
    _check_lengths(kind, coordinates, where)
    yield from _walk(coordinates, _DEPTHS[kind], where)


def shape_of(geometry: dict[str, Any], where: str) -> BaseGeometry:
    """The geometry in two dimensions; lines and rings are straight in longitude and latitude.

    Raises:
        MalformedItemError: An area is invalid: it crosses itself, or its parts overlap.
    """
    made = shape(with_positions(geometry, lambda p: p[:_PLANAR]))
    if not shapely.is_valid(made):
        reason = str(shapely.is_valid_reason(made)).partition("[")[0]
        raise MalformedItemError(f"{where}: geometry is invalid ({reason})")
    return made


def with_positions(geometry: Any, move: Callable[[list[float]], list[float]]) -> Any:
    """The same geometry, foreign members left out, with every position through ``move`` in order."""
    if geometry is None:
        return None
    if geometry["type"] == _COLLECTION:
        members = [with_positions(m, move) for m in geometry["geometries"]]
        return {"type": _COLLECTION, "geometries": members}
    moved = _moved(geometry["coordinates"], _DEPTHS[geometry["type"]], move)
    return {"type": geometry["type"], "coordinates": moved}


def as_arrays(positions: list[list[float]]) -> tuple[FloatArray, FloatArray]:
    """Latitudes and longitudes."""
    table = np.array([p[:_PLANAR] for p in positions], dtype=np.float64).reshape(-1, 2)
    return table[:, 1], table[:, 0]


def spans_half_turn(positions: list[list[float]]) -> bool:
    """Whether neighbouring positions are half a turn apart: the line crosses the antimeridian unsplit."""
    return any(abs(a[0] - b[0]) >= _LONGITUDE for a, b in itertools.pairwise(positions))


def _walk(node: Any, depth: int, where: str) -> Iterator[list[float]]:
    if not isinstance(node, list):
        raise MalformedItemError(f"{where}: no list of positions (got {type(node).__name__})")
    if depth:
        for member in node:
            yield from _walk(member, depth - 1, where)
        return
    if len(node) < _PLANAR or any(type(n) not in (int, float) for n in node):
        raise MalformedItemError(f"{where}: no position (expected [longitude, latitude])")
    for value, name, limit in ((node[0], "longitude", _LONGITUDE), (node[1], "latitude", _LATITUDE)):
        if not abs(value) <= limit:
            raise MalformedItemError(f"{where}: {name} is out of range (expected -{limit:g} to {limit:g})")
    yield node


def _check_lengths(kind: str, coordinates: Any, where: str) -> None:
    lists = [coordinates]
    for _ in range(_DEPTHS[kind] - 1):
        lists = [inner for outer in lists if isinstance(outer, list) for inner in outer]
    line, ring = kind.endswith("LineString"), kind.endswith("Polygon")
    for part in lists if line or ring else ():
        least = _LEAST_RING if ring else _LEAST_LINE
        if not isinstance(part, list) or len(part) < least:
            raise MalformedItemError(f"{where}: too few positions (expected at least {least})")
        if ring and part[0] != part[-1]:
            raise MalformedItemError(
                f"{where}: a ring is not closed (expected its first position as its last)"
            )


def _moved(node: Any, depth: int, move: Callable[[list[float]], list[float]]) -> Any:
    return [_moved(member, depth - 1, move) for member in node] if depth else move(node)


def kept_dimensions(*, keep_elevation: bool) -> Callable[[list[float]], list[float]]:
    """What remains of a position: longitude and latitude, and the elevation where the profile keeps it."""
    size = _SPATIAL if keep_elevation else _PLANAR
    return lambda position: position[:size]

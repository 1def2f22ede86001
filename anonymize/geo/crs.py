"""Coordinate reference systems and geodesics; the only module that imports pyproj.

A position is latitude and longitude in degrees, EPSG:4326. Coordinates come in, and go out, in any system that
PROJ relates to WGS-84 to within 5 m, in GCJ-02 and BD-09 (``anonymize.geo.china``), and in local frames given
by their origin (``anonymize.geo.enu_frame``). A system is declared, never guessed (COMPLIANCE rule 2), and
none lowers a level, GCJ-02 and BD-09 least of all (rule 9).

Coordinates are given as latitude and longitude in geographic systems, easting and northing in projected ones,
X, Y and Z in geocentric ones, whatever order of axes the registry has. Heights are not transformed between
vertical datums: they stay in their own, in metres.
"""

import functools
import warnings
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import ProjError
from pyproj.transformer import TransformerGroup

from anonymize.errors import MalformedItemError, UnknownCrsError
from anonymize.geo.china import China, from_china, to_china
from anonymize.geo.coordinate_checks import (
    Bounds,
    coordinate_arrays,
    require_area,
    require_degrees,
    require_finite,
    require_height,
)
from anonymize.geo.crs_names import BD09, CGCS2000, GCJ02, WGS84, canonical_name, is_understood, shown_name
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.enu_frame import EnuFrame

WGS84_3D, CGCS2000_3D = "EPSG:4979", "EPSG:4480"
__all__ = [
    "CGCS2000",
    "WGS84",
    "Crs",
    "CrsKind",
    "from_wgs84",
    "geodesic_m",
    "kind_of",
    "metric_transformer",
    "require_crs",
    "steps_m",
    "to_wgs84",
]

CrsKind = Literal["geographic", "projected", "geocentric", "local"]

_GEOD = Geod(ellps="WGS84")
# CGCS2000 is ITRF97 at epoch 2000.0: within a metre of WGS-84 wherever China's plate has moved since. The
# EPSG registry has no transformation between them.
_COINCIDENT_DATUMS = {"China 2000", "China_2000", "D_China_2000"}
_CHINA: dict[str, China] = {GCJ02: China.GCJ02, BD09: China.BD09}
_IN_DEGREES = {WGS84, *_CHINA}
_WORST_ACCURACY_M = 5.0
_LIKELY = 70
_UNWRAPPED_M = 1.0
_MARGIN_DEG = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _System:
    kind: CrsKind
    shown: str
    transformer: Transformer
    bounds: Bounds | None
    height_unit_m: float


Crs = str | EnuFrame


def require_crs(crs: str | None) -> str:
    """Return the name of a system when positions in it can be brought to WGS-84.

    Codes (``EPSG:32650``, ``EPSG:32650+5773``, ``urn:ogc:def:crs:EPSG::4326``), WKT, PROJJSON and PROJ strings
    are understood, and ``GCJ-02``, ``GCJ02``, ``BD-09``, ``BD09``. Aliases are brought to one name.

    Raises:
        UnknownCrsError: It is missing, none that PROJ knows, or not known to within 5 m (COMPLIANCE rule 2).
    """
    if not isinstance(crs, str) or not crs.strip():
        raise UnknownCrsError(
            f"coordinate reference system is missing (got {crs!r}, expected a code like 'EPSG:4326')"
        )
    name = canonical_name(crs)
    if name not in _IN_DEGREES:
        _system(name)
    return name


def kind_of(crs: Crs) -> CrsKind:
    """What the coordinates of a system are.

    Raises:
        UnknownCrsError: See :func:`require_crs`.
    """
    if isinstance(crs, EnuFrame):
        return "local"
    name = require_crs(crs)
    return "geographic" if name in _IN_DEGREES else _system(name).kind


@overload
def to_wgs84(
    first: ArrayLike, second: ArrayLike, crs: Crs, z: None = None
) -> tuple[FloatArray, FloatArray]: ...
@overload
def to_wgs84(
    first: ArrayLike, second: ArrayLike, crs: Crs, z: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]: ...
def to_wgs84(
    first: ArrayLike, second: ArrayLike, crs: Crs, z: ArrayLike | None = None
) -> tuple[FloatArray, ...]:
    """Bring coordinates to latitude and longitude in degrees, EPSG:4326, and, where z is given, height.

    Args:
        first: Latitude in degrees, easting, geocentric X, or east of a local frame.
        second: Longitude in degrees, northing, geocentric Y, or north.
        crs: Their system.
        z: Height in the unit of the system (metres where it has none), geocentric Z, or up; NaN where absent.

    Raises:
        UnknownCrsError: See :func:`require_crs`.
        MalformedItemError: A coordinate is not finite or lies outside the system's area of use; geocentric
            coordinates lack Z.
    """
    x, y, height = coordinate_arrays(first, second, z)
    if isinstance(crs, EnuFrame):
        require_finite("a local frame", x, y, *([] if height is None else [height]))
        found = crs.to_wgs84(x, y, height)
        return found if height is not None else found[:2]
    name = require_crs(crs)
    if name in _IN_DEGREES:
        require_degrees(name, x, y)
        lat, lon = (x, y) if name == WGS84 else from_china(x, y, _CHINA[name])
        return (lat, lon) if height is None else (lat, lon, height)
    return _forward(_system(name), x, y, height)


@overload
def from_wgs84(
    lat: ArrayLike, lon: ArrayLike, crs: Crs, height_m: None = None
) -> tuple[FloatArray, FloatArray]: ...
@overload
def from_wgs84(
    lat: ArrayLike, lon: ArrayLike, crs: Crs, height_m: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]: ...
def from_wgs84(
    lat: ArrayLike, lon: ArrayLike, crs: Crs, height_m: ArrayLike | None = None
) -> tuple[FloatArray, ...]:
    """Bring positions in degrees, EPSG:4326, to the coordinates of a system, as :func:`to_wgs84` takes them.

    Raises:
        UnknownCrsError: See :func:`require_crs`.
        MalformedItemError: A coordinate is not finite or out of range, or lies outside the system's area of
            use; geocentric coordinates need heights.
    """
    phi, lam, height = coordinate_arrays(lat, lon, height_m)
    require_degrees(WGS84, phi, lam)
    if isinstance(crs, EnuFrame):
        found = crs.from_wgs84(phi, lam, height)
        return found if height is not None else found[:2]
    name = require_crs(crs)
    if name in _IN_DEGREES:
        first, second = (phi, lam) if name == WGS84 else to_china(phi, lam, _CHINA[name])
        return (first, second) if height is None else (first, second, height)
    return _backward(_system(name), phi, lam, height)


def geodesic_m(
    lat0: ArrayLike, lon0: ArrayLike, lat1: ArrayLike, lon1: ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Length in metres and azimuth in degrees clockwise from north, at the first point, of each geodesic."""
    azimuth, _, length = _GEOD.inv(
        np.asarray(lon0, np.float64),
        np.asarray(lat0, np.float64),
        np.asarray(lon1, np.float64),
        np.asarray(lat1, np.float64),
    )
    return np.asarray(length, np.float64), np.asarray(azimuth, np.float64) % 360.0


def steps_m(lat: FloatArray, lon: FloatArray) -> FloatArray:
    """Geodesic length in metres from each point to its successor (one fewer than there are points)."""
    return geodesic_m(lat[:-1], lon[:-1], lat[1:], lon[1:])[0]


@functools.lru_cache(maxsize=64)
def metric_transformer(lat0: float, lon0: float) -> Transformer:
    """From longitude and latitude to metres in the azimuthal equidistant projection about a point."""
    plane = f"+proj=aeqd +lat_0={lat0!r} +lon_0={lon0!r} +datum=WGS84 +units=m +no_defs"
    return Transformer.from_crs("OGC:CRS84", plane, always_xy=True)


@functools.lru_cache(maxsize=64)
def _system(crs: str) -> _System:
    shown = shown_name(crs)
    if not is_understood(crs):
        raise UnknownCrsError(
            f"coordinate reference system is unknown (got {shown}, expected a code like 'EPSG:4326')"
        )
    try:
        whole = CRS.from_user_input(crs)
        flat = whole.sub_crs_list[0] if whole.is_compound else whole
        if flat.is_bound and flat.source_crs is not None:
            flat = flat.source_crs
        return _System(
            kind=_kind(flat, shown),
            shown=shown,
            transformer=_transformer(flat, shown),
            bounds=_bounds(flat),
            height_unit_m=_height_unit(whole),
        )
    except ProjError as error:
        raise UnknownCrsError(
            f"coordinate reference system is unknown (got {shown}, expected one that PROJ knows)"
        ) from error


def _kind(flat: CRS, shown: str) -> CrsKind:
    if flat.is_geocentric:
        return "geocentric"
    if flat.is_geographic:
        return "geographic"
    if flat.is_projected:
        return "projected"
    raise UnknownCrsError(
        f"coordinate reference system holds no positions (got {shown}, expected a geographic, projected or "
        "geocentric one)"
    )


def _bounds(flat: CRS) -> Bounds | None:
    """The area of use; definitions without one are looked up in the registry."""
    if flat.area_of_use is None:
        code = flat.to_epsg(min_confidence=_LIKELY)
        flat = CRS.from_epsg(code) if code else flat
    area = flat.area_of_use
    return (area.west, area.south, area.east, area.north) if area else None


def _height_unit(whole: CRS) -> float:
    axes = whole.axis_info
    vertical = [a for a in axes if a.direction.lower() == "up"]
    return float(vertical[0].unit_conversion_factor) if vertical else 1.0


def _transformer(flat: CRS, shown: str) -> Transformer:
    """The most accurate transformation to WGS-84 that is known and needs no grid that is not installed."""
    base = flat.geodetic_crs
    if base is not None and base.datum is not None and base.datum.name in _COINCIDENT_DATUMS:
        source, target = (flat, CGCS2000_3D) if flat.is_geocentric else (flat.to_2d(), base.to_2d())
        return Transformer.from_crs(source, target, always_xy=True)
    source = flat if flat.is_geocentric else flat.to_2d()
    with warnings.catch_warnings():
        # pyproj warns that better operations need grids; the limit of accuracy below says whether this matters.
        warnings.simplefilter("ignore", UserWarning)
        group = TransformerGroup(
            source, WGS84_3D if flat.is_geocentric else WGS84, always_xy=True, allow_ballpark=False
        )
    known = [t for t in group.transformers if 0.0 <= t.accuracy <= _WORST_ACCURACY_M and _covers(t, flat)]
    if not known:
        raise UnknownCrsError(
            f"coordinate reference system is not related to WGS-84 to within {_WORST_ACCURACY_M:g} m "
            f"(got {shown}, expected one that is)"
        )
    # Members of a group are bound to their thread; a transformer from a pipeline is not.
    return Transformer.from_pipeline(min(known, key=lambda t: t.accuracy).definition)


def _covers(transformer: Transformer, flat: CRS) -> bool:
    """Whether an operation is meant for the whole area of a system."""
    theirs, ours = transformer.area_of_use, flat.area_of_use
    if theirs is None or ours is None:
        return True
    west, south, east, north = ours.bounds
    margin = _MARGIN_DEG
    across = theirs.west > theirs.east or (theirs.west <= west + margin and theirs.east >= east - margin)
    return across and theirs.south <= south + margin and theirs.north >= north - margin


def _forward(system: _System, x: FloatArray, y: FloatArray, z: FloatArray | None) -> tuple[FloatArray, ...]:
    shown, transform = system.shown, system.transformer.transform
    if system.kind != "geocentric":
        require_finite(shown, x, y)
        # PROJ has longitude first, as its transformers here are made.
        lon, lat = (
            np.asarray(v, np.float64)
            for v in (transform(y, x) if system.kind == "geographic" else transform(x, y))
        )
        require_area(shown, system.bounds, lat, lon)
        if system.kind == "projected" and x.size:
            _require_unwrapped(system, x, y, lat, lon)
        return (lat, lon) if z is None else (lat, lon, z * system.height_unit_m)
    if z is None:
        raise MalformedItemError(f"coordinates in {shown} need Z (got none)")
    require_finite(shown, x, y, z)
    lon, lat, height = (np.asarray(v, np.float64) for v in transform(x, y, z))
    require_height(shown, height)
    require_area(shown, system.bounds, lat, lon)
    return lat, lon, height


def _require_unwrapped(
    system: _System, x: FloatArray, y: FloatArray, lat: FloatArray, lon: FloatArray
) -> None:
    """Refuse values beyond the plane, which some inverse projections wrap around the Earth.

    The outermost coordinates tell: they come back as they were only where they lie within.
    """
    ends = np.array([x.argmin(), x.argmax(), y.argmin(), y.argmax()])
    back = system.transformer.transform(lon.flat[ends], lat.flat[ends], direction="INVERSE")
    off = np.hypot(np.asarray(back[0]) - x.flat[ends], np.asarray(back[1]) - y.flat[ends])
    if not off.max() <= _UNWRAPPED_M:
        raise MalformedItemError(
            f"position {int(ends[int(off.argmax())])}: outside the area of {system.shown} "
            "(got one beyond the plane, expected one within)"
        )


def _backward(
    system: _System, lat: FloatArray, lon: FloatArray, height: FloatArray | None
) -> tuple[FloatArray, ...]:
    shown, transform = system.shown, system.transformer.transform
    require_area(shown, system.bounds, lat, lon)
    if system.kind != "geocentric":
        x, y = (np.asarray(v, np.float64) for v in transform(lon, lat, direction="INVERSE"))
        require_finite(shown, x, y)
        first, second = (y, x) if system.kind == "geographic" else (x, y)
        return (first, second) if height is None else (first, second, height / system.height_unit_m)
    if height is None:
        raise MalformedItemError(f"coordinates in {shown} need heights (got none)")
    require_finite(shown, height)
    return tuple(np.asarray(v, np.float64) for v in transform(lon, lat, height, direction="INVERSE"))

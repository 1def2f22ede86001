"""Coordinate reference systems and geodesics; the only module that imports pyproj.

Only geographic systems whose relation to WGS-84 is known and public are accepted. GCJ-02 and BD-09 are map
conventions without a registered definition: coordinates in them are refused, never guessed (COMPLIANCE rules
2 and 9).
"""

import functools

import numpy as np
from numpy.typing import ArrayLike
from pyproj import Geod, Transformer

from anonymize.errors import UnknownCrsError
from anonymize.geo.ellipsoid import FloatArray

WGS84 = "EPSG:4326"
CGCS2000 = "EPSG:4490"
_SUPPORTED = (WGS84, CGCS2000)
_GEOD = Geod(ellps="WGS84")


def require_crs(crs: str | None) -> str:
    """Return ``crs`` when it is supported.

    Raises:
        UnknownCrsError: It is missing or another one (COMPLIANCE rule 2).
    """
    if crs not in _SUPPORTED:
        raise UnknownCrsError(
            f"coordinate reference system is unknown (got {crs!r}, expected one of {_SUPPORTED})"
        )
    return crs


def to_wgs84(lat: FloatArray, lon: FloatArray, crs: str) -> tuple[FloatArray, FloatArray]:
    """Transform geographic coordinates in degrees from ``crs`` to EPSG:4326."""
    if require_crs(crs) == WGS84:
        return lat, lon
    x, y = _transformer(crs, WGS84).transform(lon, lat)
    return np.asarray(y, dtype=np.float64), np.asarray(x, dtype=np.float64)


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


@functools.lru_cache(maxsize=8)
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)

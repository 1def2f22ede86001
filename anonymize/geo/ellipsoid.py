"""Local metric frames on the WGS-84 ellipsoid, vectorised; heights are taken as zero."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

_A = 6378137.0
_HALF_TURN = 180.0
_E2 = 6.69437999014e-3
MEAN_RADIUS_M = 6371008.8


def wrap_degrees(lon: ArrayLike) -> FloatArray:
    """Bring longitudes or differences of longitudes into [-180, 180)."""
    degrees = np.asarray(lon, dtype=np.float64)
    if np.all((degrees >= -_HALF_TURN) & (degrees < _HALF_TURN)):
        return degrees
    return (degrees + _HALF_TURN) % (2.0 * _HALF_TURN) - _HALF_TURN


def to_enu(lat: ArrayLike, lon: ArrayLike, lat0: ArrayLike, lon0: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """East and north in metres in the tangent frame at ``lat0``, ``lon0`` (one, or one per point)."""
    x, y, z = _ecef(lat, lon)
    x0, y0, z0 = _ecef(lat0, lon0)
    phi, lam = np.radians(lat0), np.radians(lon0)
    dx, dy, dz = x - x0, y - y0, z - z0
    east = -np.sin(lam) * dx + np.cos(lam) * dy
    north = -np.sin(phi) * (np.cos(lam) * dx + np.sin(lam) * dy) + np.cos(phi) * dz
    return east, north


def from_enu(east: ArrayLike, north: ArrayLike, lat0: float, lon0: float) -> tuple[FloatArray, FloatArray]:
    """Latitude and longitude in degrees of points within a few kilometres of ``lat0``, ``lon0``.

    Exact to second order: better than 1 cm within 1 km below 80 degrees of latitude.
    """
    e, n = np.asarray(east, dtype=np.float64), np.asarray(north, dtype=np.float64)
    phi = np.radians(lat0)
    meridian, vertical = radii_m(lat0)
    lat = phi + n / meridian - e * e * np.tan(phi) / (2.0 * meridian * vertical)
    lon = lon0 + np.degrees(e / (vertical * np.cos((phi + lat) / 2.0)) * (1.0 + _shear(n, phi, vertical)))
    return np.degrees(lat), wrap_degrees(lon)


def radii_m(lat: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Radii of curvature in metres along the meridian and in the prime vertical at ``lat`` degrees."""
    w2 = 1.0 - _E2 * np.sin(np.radians(lat)) ** 2
    vertical = _A / np.sqrt(w2)
    return np.asarray(vertical * (1.0 - _E2) / w2), np.asarray(vertical)


def _shear(north: FloatArray, phi: float, vertical: FloatArray) -> FloatArray:
    return np.asarray(north * np.tan(phi) / (2.0 * vertical))


def _ecef(lat: ArrayLike, lon: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    phi, lam = np.radians(lat), np.radians(lon)
    sin_phi = np.sin(phi)
    vertical = _A / np.sqrt(1.0 - _E2 * sin_phi**2)
    return (
        np.asarray(vertical * np.cos(phi) * np.cos(lam)),
        np.asarray(vertical * np.cos(phi) * np.sin(lam)),
        np.asarray(vertical * (1.0 - _E2) * sin_phi),
    )

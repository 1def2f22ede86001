"""Local metric frames on the WGS-84 ellipsoid, vectorised; heights are taken as zero where none is given."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

_A = 6378137.0
_HALF_TURN = 180.0
_E2 = 6.69437999014e-3
_B = _A * (1.0 - _E2) ** 0.5
MEAN_RADIUS_M = 6371008.8


def wrap_degrees(lon: ArrayLike) -> FloatArray:
    """Bring longitudes or differences of longitudes into [-180, 180)."""
    degrees = np.asarray(lon, dtype=np.float64)
    if np.all((degrees >= -_HALF_TURN) & (degrees < _HALF_TURN)):
        return degrees
    return (degrees + _HALF_TURN) % (2.0 * _HALF_TURN) - _HALF_TURN


def to_enu(lat: ArrayLike, lon: ArrayLike, lat0: ArrayLike, lon0: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """East and north in metres in the tangent frame at ``lat0``, ``lon0`` (one, or one per point)."""
    x, y, z = ecef(lat, lon)
    x0, y0, z0 = ecef(lat0, lon0)
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


def ecef(
    lat: ArrayLike, lon: ArrayLike, height_m: ArrayLike = 0.0
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Geocentric coordinates in metres (EPSG:4978) of positions with ellipsoidal heights."""
    phi, lam = np.radians(lat), np.radians(lon)
    sin_phi, height = np.sin(phi), np.asarray(height_m, dtype=np.float64)
    vertical = _A / np.sqrt(1.0 - _E2 * sin_phi**2)
    return (
        np.asarray((vertical + height) * np.cos(phi) * np.cos(lam)),
        np.asarray((vertical + height) * np.cos(phi) * np.sin(lam)),
        np.asarray((vertical * (1.0 - _E2) + height) * sin_phi),
    )


def geodetic(x: ArrayLike, y: ArrayLike, z: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Latitude and longitude in degrees and ellipsoidal height in metres of geocentric coordinates.

    Bowring's iteration, twice: better than 1 µm below 100 km of height.
    """
    x, y, z = (np.asarray(v, dtype=np.float64) for v in (x, y, z))
    across = np.hypot(x, y)
    reduced = np.arctan2(z * _A, across * _B)
    for _ in range(2):
        phi = np.arctan2(
            z + _E2 / (1.0 - _E2) * _B * np.sin(reduced) ** 3, across - _E2 * _A * np.cos(reduced) ** 3
        )
        reduced = np.arctan2(_B * np.sin(phi), _A * np.cos(phi))
    # The height along the normal; unlike p / cos(phi) - N it keeps its accuracy near the poles.
    height = (across - _A * np.cos(reduced)) * np.cos(phi) + (z - _B * np.sin(reduced)) * np.sin(phi)
    return np.degrees(phi), np.degrees(np.arctan2(y, x)), np.asarray(height)


def enu_axes(lat: ArrayLike, lon: ArrayLike) -> FloatArray:
    """Rotations, shape (…, 3, 3), whose rows are east, north and up at a position in geocentric axes."""
    phi, lam = np.radians(lat), np.radians(lon)
    sin_phi, cos_phi, sin_lam, cos_lam = np.sin(phi), np.cos(phi), np.sin(lam), np.cos(lam)
    rows = [
        [-sin_lam, cos_lam, np.zeros_like(lam)],
        [-sin_phi * cos_lam, -sin_phi * sin_lam, cos_phi],
        [cos_phi * cos_lam, cos_phi * sin_lam, sin_phi],
    ]
    return np.stack([np.stack(np.broadcast_arrays(*row), axis=-1) for row in rows], axis=-2)


def _shear(north: FloatArray, phi: float, vertical: FloatArray) -> FloatArray:
    return np.asarray(north * np.tan(phi) / (2.0 * vertical))

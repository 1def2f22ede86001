"""The published formulas by which software writes a WGS-84 position in other numbers, vectorised.

For the search of outputs only. They are written here once more, apart from ``anonymize.geo.crs``, so that an
error of the transformation that a release went through is not repeated by the search that checks it.
"""

import numpy as np
from numpy.typing import ArrayLike

from anonymize.geo.ellipsoid import FloatArray

_A, _F = 6378137.0, 1.0 / 298.257223563
_E2 = _F * (2.0 - _F)
_N = _F / (2.0 - _F)
# Krueger's series to n^4. WGS-84 and CGCS2000 (GRS80) differ by less than a tenth of a millimetre.
_RECTIFYING_M = _A / (1.0 + _N) * (1.0 + _N**2 / 4.0 + _N**4 / 64.0)
_ALPHA = (
    _N / 2.0 - 2.0 * _N**2 / 3.0 + 5.0 * _N**3 / 16.0 + 41.0 * _N**4 / 180.0,
    13.0 * _N**2 / 48.0 - 3.0 * _N**3 / 5.0 + 557.0 * _N**4 / 1440.0,
    61.0 * _N**3 / 240.0 - 103.0 * _N**4 / 140.0,
    49561.0 * _N**4 / 161280.0,
)
_GCJ_A, _GCJ_E2 = 6378245.0, 0.00669342162296594323
_GCJ_SOUTH, _GCJ_NORTH, _GCJ_WEST, _GCJ_EAST = 0.8293, 55.8271, 72.004, 137.8347


def transverse_mercator(
    lat: FloatArray, lon: FloatArray, central: FloatArray, *, scale: float
) -> tuple[FloatArray, FloatArray]:
    """Easting and northing in metres before any false offset, on the WGS-84 ellipsoid.

    Krueger (1912) as in Karney, "Transverse Mercator with an accuracy of a few nanometers" (2011), equations 7
    to 11 and 35: better than 0.1 mm within 10 degrees of the central meridian.
    """
    e = np.sqrt(_E2)
    phi, lam = np.radians(lat), np.radians((lon - central + 180.0) % 360.0 - 180.0)
    tau = np.tan(phi)
    sigma = np.sinh(e * np.arctanh(e * np.sin(phi)))
    tau = tau * np.sqrt(1.0 + sigma**2) - sigma * np.sqrt(1.0 + tau**2)
    xi0 = np.arctan2(tau, np.cos(lam))
    eta0 = np.arcsinh(np.sin(lam) / np.hypot(tau, np.cos(lam)))
    xi, eta = xi0.copy(), eta0.copy()
    for order, alpha in enumerate(_ALPHA, start=1):
        xi += alpha * np.sin(2 * order * xi0) * np.cosh(2 * order * eta0)
        eta += alpha * np.cos(2 * order * xi0) * np.sinh(2 * order * eta0)
    return scale * _RECTIFYING_M * eta, scale * _RECTIFYING_M * xi


def web_mercator(lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
    """EPSG:3857, metres."""
    clipped = np.clip(lat, -85.06, 85.06)
    return np.radians(lon) * _A, np.arcsinh(np.tan(np.radians(clipped))) * _A


def from_web_mercator(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Latitude and longitude in degrees of EPSG:3857 metres."""
    return np.degrees(np.arctan(np.sinh(y / _A))), np.degrees(x / _A)


def ecef(lat: ArrayLike, lon: ArrayLike) -> FloatArray:
    """Earth-centred coordinates (EPSG:4978) at height 0, metres, shape (N, 3)."""
    phi, lam = np.radians(lat), np.radians(lon)
    vertical = _A / np.sqrt(1.0 - _E2 * np.sin(phi) ** 2)
    return np.stack(
        (
            vertical * np.cos(phi) * np.cos(lam),
            vertical * np.cos(phi) * np.sin(lam),
            vertical * (1.0 - _E2) * np.sin(phi),
        ),
        axis=-1,
    )


def geodetic(x: FloatArray, y: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Latitude and longitude in degrees and height in metres; Bowring (1976), under 1 mm near the ground."""
    p, b = np.hypot(x, y), _A * (1.0 - _F)
    theta = np.arctan2(z * _A, p * b)
    lat = np.arctan2(z + _E2 / (1.0 - _E2) * b * np.sin(theta) ** 3, p - _E2 * _A * np.cos(theta) ** 3)
    sine, cosine = np.sin(lat), np.cos(lat)
    height = p * cosine + z * sine - _A * np.sqrt(1.0 - _E2 * sine**2)
    return np.degrees(lat), np.degrees(np.arctan2(y, x)), height


def gcj02(lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The map convention of mainland China; the position itself outside the rectangle for which it is defined."""
    x, y = lon - 105.0, lat - 35.0
    root = np.sqrt(np.abs(x))
    wave = (20.0 * np.sin(6.0 * np.pi * x) + 20.0 * np.sin(2.0 * np.pi * x)) * 2.0 / 3.0
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root + wave
    north += (20.0 * np.sin(np.pi * y) + 40.0 * np.sin(np.pi * y / 3.0)) * 2.0 / 3.0
    north += (160.0 * np.sin(np.pi * y / 12.0) + 320.0 * np.sin(np.pi * y / 30.0)) * 2.0 / 3.0
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root + wave
    east += (20.0 * np.sin(np.pi * x) + 40.0 * np.sin(np.pi * x / 3.0)) * 2.0 / 3.0
    east += (150.0 * np.sin(np.pi * x / 12.0) + 300.0 * np.sin(np.pi * x / 30.0)) * 2.0 / 3.0
    phi = np.radians(lat)
    magic = 1.0 - _GCJ_E2 * np.sin(phi) ** 2
    d_lat = np.degrees(north / (_GCJ_A * (1.0 - _GCJ_E2) / magic**1.5))
    d_lon = np.degrees(east / (_GCJ_A / np.sqrt(magic) * np.maximum(np.cos(phi), 1e-9)))
    within = (lat >= _GCJ_SOUTH) & (lat <= _GCJ_NORTH) & (lon >= _GCJ_WEST) & (lon <= _GCJ_EAST)
    return np.where(within, lat + d_lat, lat), np.where(within, lon + d_lon, lon)


def bd09(lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Baidu's map convention on top of GCJ-02 coordinates."""
    turn = np.pi * 3000.0 / 180.0
    radius = np.hypot(lon, lat) + 0.00002 * np.sin(lat * turn)
    angle = np.arctan2(lat, lon) + 0.000003 * np.cos(lon * turn)
    return radius * np.sin(angle) + 0.006, radius * np.cos(angle) + 0.0065

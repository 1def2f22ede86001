"""GCJ-02 and BD-09, the displaced coordinates of Chinese consumer maps, in and out; vectorised.

Both follow from public formulas with public constants and are inverted to less than a millimetre below. They
are map conventions and no protection: coordinates in them keep the level of true ones (COMPLIANCE rule 9).
The formulas are the published ones; no authority has confirmed them, and data of some providers differ from
them by a metre or two. Outside a box about China both are the identity.
"""

from collections.abc import Callable
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import MalformedItemError
from anonymize.geo.ellipsoid import FloatArray

_WEST, _EAST, _SOUTH, _NORTH = 72.004, 137.8347, 0.8293, 55.8271
_A = 6378245.0
_E2 = 0.00669342162296594323
_LON0, _LAT0 = 105.0, 35.0
_BD_SHIFT = (0.006, 0.0065)
_BD_TURN = np.pi * 3000.0 / 180.0
_STEPS = 60
_CLOSE_DEG = 1.0
_SETTLED_DEG = 1e-10

Formula = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]


class China(Enum):
    """The two conventions."""

    GCJ02 = "GCJ-02"
    BD09 = "BD-09"


def from_china(lat: FloatArray, lon: FloatArray, system: China) -> tuple[FloatArray, FloatArray]:
    """True positions in degrees, EPSG:4326, of coordinates in GCJ-02 or BD-09; better than 1 mm.

    Raises:
        MalformedItemError: A coordinate lies at the border of the box, where the inverse is not unique.
    """
    close = _within(lat, lon, _CLOSE_DEG)
    given_lat, given_lon = lat[close], lon[close]
    true_lat, true_lon = given_lat, given_lon
    for _ in range(_STEPS):
        back_lat, back_lon = _formula(system)(true_lat, true_lon)
        north, east = given_lat - back_lat, given_lon - back_lon
        true_lat, true_lon = true_lat + north, true_lon + east
        if np.hypot(north, east).max(initial=0.0) < _SETTLED_DEG:
            break
    else:
        raise MalformedItemError(
            f"a coordinate in {system.value} has no true position (the inverse does not settle)"
        )
    inside = _within(true_lat, true_lon)
    unclear = np.flatnonzero(inside != _within(given_lat, given_lon))
    if len(unclear):
        raise MalformedItemError(
            f"position {int(np.flatnonzero(close)[unclear[0]])}: its true position is not unique "
            f"(got one at the border of the area in which {system.value} differs from WGS-84)"
        )
    return _replaced(
        lat, lon, close, np.where(inside, true_lat, given_lat), np.where(inside, true_lon, given_lon)
    )


def to_china(lat: FloatArray, lon: FloatArray, system: China) -> tuple[FloatArray, FloatArray]:
    """Coordinates in GCJ-02 or BD-09 of true positions in degrees, EPSG:4326. This lowers no level."""
    inside = _within(lat, lon)
    return _replaced(lat, lon, inside, *_formula(system)(lat[inside], lon[inside]))


def _within(lat: FloatArray, lon: FloatArray, margin_deg: float = 0.0) -> NDArray[np.bool_]:
    across = (lon >= _WEST - margin_deg) & (lon <= _EAST + margin_deg)
    return np.asarray(across & (lat >= _SOUTH - margin_deg) & (lat <= _NORTH + margin_deg))


def _replaced(
    lat: FloatArray, lon: FloatArray, where: NDArray[np.bool_], new_lat: FloatArray, new_lon: FloatArray
) -> tuple[FloatArray, FloatArray]:
    made_lat, made_lon = lat.copy(), lon.copy()
    made_lat[where], made_lon[where] = new_lat, new_lon
    return made_lat, made_lon


def _formula(system: China) -> Formula:
    return _gcj02 if system is China.GCJ02 else _bd09


def _gcj02(lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A sum of sinusoids and a quadratic in metres, as arcs of the Krasovsky ellipsoid."""
    x, y = lon - _LON0, lat - _LAT0
    root, product = np.sqrt(np.abs(x)), x * y
    both = 20.0 * np.sin(6.0 * np.pi * x) + 20.0 * np.sin(2.0 * np.pi * x)
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * product + 0.2 * root
    north += (both + 20.0 * np.sin(np.pi * y) + 40.0 * np.sin(np.pi / 3.0 * y)) * 2.0 / 3.0
    north += (160.0 * np.sin(np.pi / 12.0 * y) + 320.0 * np.sin(np.pi / 30.0 * y)) * 2.0 / 3.0
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * product + 0.1 * root
    east += (both + 20.0 * np.sin(np.pi * x) + 40.0 * np.sin(np.pi / 3.0 * x)) * 2.0 / 3.0
    east += (150.0 * np.sin(np.pi / 12.0 * x) + 300.0 * np.sin(np.pi / 30.0 * x)) * 2.0 / 3.0
    phi = np.radians(lat)
    w2 = 1.0 - _E2 * np.sin(phi) ** 2
    meridian = _A * (1.0 - _E2) / (w2 * np.sqrt(w2))
    parallel = _A / np.sqrt(w2) * np.cos(phi)
    return lat + np.degrees(north / meridian), lon + np.degrees(east / parallel)


def _bd09(lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
    """GCJ-02 with a ripple in polar coordinates of the degrees, and a constant."""
    y, x = _gcj02(lat, lon)
    radius = np.hypot(x, y) + 0.00002 * np.sin(y * _BD_TURN)
    angle = np.arctan2(y, x) + 0.000003 * np.cos(x * _BD_TURN)
    return radius * np.sin(angle) + _BD_SHIFT[0], radius * np.cos(angle) + _BD_SHIFT[1]

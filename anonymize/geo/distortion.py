"""What a displacement does to lengths and directions at a place, from its gradient there."""

from collections.abc import Callable

import numpy as np

from anonymize.geo.ellipsoid import FloatArray, radii_m

# Far below the finest lattice, far above the rounding of the field.
_STEP_M = 10.0
_AT_ONCE = 65_536

Move = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]


def jacobians(move: Move, lat: FloatArray, lon: FloatArray) -> FloatArray:
    """The displacement to first order: matrices (n, 2, 2) from east, north before to east, north after.

    Metres on the ellipsoid at both places; central differences over 10 m, in parts of bounded memory.

    Args:
        move: Degrees by which latitudes and longitudes move.
        lat: Latitudes in degrees, EPSG:4326.
        lon: Longitudes in degrees.
    """
    made = np.empty((len(lat), 2, 2))
    for start in range(0, len(lat), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        made[part] = _jacobians(move, lat[part], lon[part])
    return made


def strains(jacobian: FloatArray) -> FloatArray:
    """The greatest relative change of a length in any direction: |singular value - 1| at its greatest."""
    mean, half = _singular(jacobian)
    return np.maximum(np.abs(mean + half - 1.0), np.abs(mean - half - 1.0))


def turns_rad(jacobian: FloatArray) -> FloatArray:
    """The angle to the left of the rotation nearest to the displacement (its polar decomposition)."""
    return np.arctan2(jacobian[:, 1, 0] - jacobian[:, 0, 1], jacobian[:, 0, 0] + jacobian[:, 1, 1])


def heading_errors_deg(jacobian: FloatArray) -> FloatArray:
    """The greatest change of any direction: the rotation, and what the strain adds to it."""
    mean, half = _singular(jacobian)
    return np.asarray(np.degrees(np.abs(turns_rad(jacobian)) + np.arcsin(np.minimum(half / mean, 1.0))))


def _singular(jacobian: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and half the difference of the two singular values of each matrix."""
    a, b, c, d = jacobian[:, 0, 0], jacobian[:, 0, 1], jacobian[:, 1, 0], jacobian[:, 1, 1]
    return np.hypot(a + d, c - b) / 2.0, np.hypot(a - d, b + c) / 2.0


def _jacobians(move: Move, lat: FloatArray, lon: FloatArray) -> FloatArray:
    before = _metres_per_degree(lat)
    step_lat, step_lon = _STEP_M / before[1], _STEP_M / before[0]
    after = _metres_per_degree(lat + move(lat, lon)[0])
    made = np.empty((len(lat), 2, 2))
    for column, (d_lat, d_lon) in enumerate(((0.0 * step_lat, step_lon), (step_lat, 0.0 * step_lon))):
        ahead, behind = move(lat + d_lat, lon + d_lon), move(lat - d_lat, lon - d_lon)
        made[:, 0, column] = (2.0 * d_lon + ahead[1] - behind[1]) * after[0] / (2.0 * _STEP_M)
        made[:, 1, column] = (2.0 * d_lat + ahead[0] - behind[0]) * after[1] / (2.0 * _STEP_M)
    return made


def _metres_per_degree(lat: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Along the parallel and along the meridian."""
    meridian, vertical = radii_m(lat)
    return np.radians(vertical * np.cos(np.radians(lat))), np.radians(meridian)

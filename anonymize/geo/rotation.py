"""Rotations as matrices and as quaternions x, y, z, w, vectorised."""

import numpy as np
from numpy.typing import ArrayLike

from anonymize.geo.ellipsoid import FloatArray


def about_up(angle_rad: ArrayLike) -> FloatArray:
    """Rotations, shape (…, 3, 3), to the left about the third axis."""
    angle = np.asarray(angle_rad, dtype=np.float64)
    cosine, sine = np.cos(angle), np.sin(angle)
    none, one = np.zeros_like(angle), np.ones_like(angle)
    rows = [[cosine, -sine, none], [sine, cosine, none], [none, none, one]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def up_quaternion(angle_rad: ArrayLike) -> FloatArray:
    """The rotation of :func:`about_up` as quaternions, shape (…, 4)."""
    half = np.asarray(angle_rad, dtype=np.float64) / 2.0
    none = np.zeros_like(half)
    return np.stack([none, none, np.sin(half), np.cos(half)], axis=-1)


def multiply_quaternions(after: ArrayLike, before: ArrayLike) -> FloatArray:
    """The rotation ``before`` followed by ``after``; both of shape (…, 4)."""
    x1, y1, z1, w1 = np.moveaxis(np.asarray(after, dtype=np.float64), -1, 0)
    x2, y2, z2, w2 = np.moveaxis(np.asarray(before, dtype=np.float64), -1, 0)
    return np.stack(
        [
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
        ],
        axis=-1,
    )

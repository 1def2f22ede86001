"""The keyed displacement of one release: one function of position, for everything in it.

Positions in any reference system are brought to WGS-84, moved and brought back; rigid bodies are moved with
their orientation turned as the field turns directions there; what a body carries is moved point by point.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from anonymize.errors import LimitExceededError
from anonymize.formats.track import check_positions
from anonymize.geo.ellipsoid import MEAN_RADIUS_M, FloatArray, wrap_degrees
from anonymize.geo.lattice import DisplacementField
from anonymize.geo.prf import require_key, subkey, uniform
from anonymize.profile import TrackProfile

_DEGREES_PER_METRE = math.degrees(1.0 / MEAN_RADIUS_M)
_INVERSE_STEPS = 16
_INVERSE_DEG = 2e-9


class KeyedOffset:
    """The displacement of one release."""

    def __init__(self, key: bytes, profile: TrackProfile) -> None:
        """Derive the field from ``key`` (32 bytes) and the octaves and constant of ``profile``.

        Raises:
            ProfileError: The key has another length, or the profile has no octave.
        """
        self._field = DisplacementField(subkey(require_key(key), "lattice"), profile.offset_octaves)
        turn, share = uniform(key, "constant", 2).tolist()
        low, high = profile.offset_constant_m
        length = low + (high - low) * share
        self._east, self._north = length * math.sin(2 * math.pi * turn), length * math.cos(2 * math.pi * turn)

    def __repr__(self) -> str:
        return "KeyedOffset(<secret>)"

    def displace(self, lat: ArrayLike, lon: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Move positions in degrees, EPSG:4326.

        Raises:
            MalformedItemError: A coordinate is not finite or out of range.
            LimitExceededError: A position is within 5 degrees of a pole.
        """
        y, x = (np.ascontiguousarray(np.atleast_1d(v), dtype=np.float64) for v in (lat, lon))
        check_positions(y, x)
        d_lat, d_lon = self._degrees(y, x)
        return y + d_lat, wrap_degrees(x + d_lon)

    def invert(self, lat: ArrayLike, lon: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """The positions whose displaced ones are given, to better than 1 mm.

        Raises:
            MalformedItemError: A coordinate is not finite or out of range.
            LimitExceededError: A position is near a pole, or the iteration does not settle.
        """
        y, x = (np.ascontiguousarray(np.atleast_1d(v), dtype=np.float64) for v in (lat, lon))
        check_positions(y, x)
        guess_y, guess_x = y, x
        for _ in range(_INVERSE_STEPS):
            d_lat, d_lon = self._degrees(guess_y, guess_x)
            next_y, next_x = y - d_lat, wrap_degrees(x - d_lon)
            across = wrap_degrees(next_x - guess_x) * np.cos(np.radians(y))
            moved = float(np.hypot(next_y - guess_y, across).max(initial=0.0))
            guess_y, guess_x = next_y, next_x
            if moved < _INVERSE_DEG:
                return guess_y, guess_x
        raise LimitExceededError(f"the offset has no inverse here (still moving by {moved!r} degrees)")

    def _degrees(self, lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
        east, north, cosine = self._field.at(lat, lon)
        east += self._east
        east /= cosine
        east *= _DEGREES_PER_METRE
        north += self._north
        north *= _DEGREES_PER_METRE
        return north, east

"""The keyed displacement of one release: one function of position, for everything in it.

Positions in any reference system are brought to WGS-84, moved and brought back; rigid bodies are moved with
their orientation turned as the field turns directions there; what a body carries is moved point by point.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from anonymize.errors import LimitExceededError
from anonymize.formats.track import check_positions
from anonymize.geo.crs import Crs, from_wgs84, kind_of, to_wgs84
from anonymize.geo.distortion import jacobians, turns_rad
from anonymize.geo.ellipsoid import MEAN_RADIUS_M, FloatArray, wrap_degrees
from anonymize.geo.enu_frame import EnuFrame
from anonymize.geo.lattice import DisplacementField
from anonymize.geo.prf import require_key, subkey, uniform
from anonymize.geo.rotation import about_up
from anonymize.profile import TrackProfile

_DEGREES_PER_METRE = math.degrees(1.0 / MEAN_RADIUS_M)
_INVERSE_STEPS = 16
_INVERSE_DEG = 2e-9

_Move = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]


class KeyedOffset:
    """The displacement of one release."""

    def __init__(self, key: bytes, profile: TrackProfile) -> None:
        """Derive the field from ``key`` (32 bytes) and the octaves and constant of ``profile``.

        Raises:
            ProfileError: The key has another length, or the profile has no octave.
        """
        self._field = DisplacementField(subkey(require_key(key), "lattice"), profile.offset_octaves)
        turn, share = uniform(key, "constant", 2).tolist()
        self._keep_elevation = profile.keep_elevation
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
        y, x = _positions(lat, lon)
        d_lat, d_lon = self._degrees(y, x)
        return y + d_lat, wrap_degrees(x + d_lon)

    def invert(self, lat: ArrayLike, lon: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """The positions whose displaced ones are given, to better than 1 mm.

        Raises:
            MalformedItemError: A coordinate is not finite or out of range.
            LimitExceededError: A position is near a pole, or the iteration does not settle.
        """
        y, x = _positions(lat, lon)
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

    def displace_in(
        self, x: ArrayLike, y: ArrayLike, z: ArrayLike | None, crs: Crs
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Move coordinates of any system (``anonymize.geo.crs.to_wgs84``) and give them in the same system.

        The ground point moves as :meth:`displace` moves it. Heights above the ellipsoid stay as they are where
        the profile keeps elevations; where it does not, z is dropped, and geocentric positions come down to
        the ellipsoid. In a local frame the origin stays; it is a true position and must not be released.

        Raises:
            UnknownCrsError: The system is missing or unknown.
            MalformedItemError: A coordinate is not finite or outside the system's area, before or after.
            LimitExceededError: A position is within 5 degrees of a pole.
        """
        return self._moved_in(x, y, z, crs, self.displace)

    def invert_in(
        self, x: ArrayLike, y: ArrayLike, z: ArrayLike | None, crs: Crs
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """What :meth:`displace_in` was given, to better than 1 mm; heights that were dropped stay so.

        Raises:
            UnknownCrsError: The system is missing or unknown.
            MalformedItemError: A coordinate is not finite or outside the system's area, before or after.
            LimitExceededError: A position is near a pole, or the iteration does not settle.
        """
        return self._moved_in(x, y, z, crs, self.invert)

    def jacobians(self, lat: ArrayLike, lon: ArrayLike) -> FloatArray:
        """The displacement to first order at positions in degrees: see ``anonymize.geo.distortion``.

        Raises:
            MalformedItemError: A coordinate is not finite or out of range.
            LimitExceededError: A position is within 5 degrees of a pole.
        """
        return jacobians(self._degrees, *_positions(lat, lon))

    def displace_poses(
        self, lat: ArrayLike, lon: ArrayLike, rotation: ArrayLike
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Move rigid bodies: positions as :meth:`displace` does, orientations turned about up.

        The angle is that of the rotation nearest to the displacement's gradient, so that what lies around a
        body keeps its place in it up to the strain; :meth:`displace_carried` takes care of the rest.

        Args:
            lat: Latitudes in degrees, EPSG:4326.
            lon: Longitudes in degrees.
            rotation: Rotations (n, 3, 3) from each body into east, north, up at its position.

        Returns:
            Latitudes, longitudes, and rotations into east, north, up at the displaced positions.

        Raises:
            MalformedItemError: A coordinate is not finite or out of range.
            LimitExceededError: A position is within 5 degrees of a pole.
        """
        turned = about_up(turns_rad(self.jacobians(lat, lon))) @ np.asarray(rotation, dtype=np.float64)
        return *self.displace(lat, lon), turned

    def displace_carried(
        self, points: ArrayLike, *, lat: float, lon: float, height_m: float, rotation: ArrayLike
    ) -> FloatArray:
        """Move what one body carries or sees (a sweep), so that it meets the displaced ground.

        Placed by the body's displaced pose, each point lies where :meth:`displace` moves the ground point that
        it was, at its own height. A sweep released without this is off by the strain times the range.

        Args:
            points: Points (n, 3) in the body's axes in metres.
            lat: Latitude of the body in degrees, EPSG:4326.
            lon: Longitude in degrees.
            height_m: Height of the body above the ellipsoid.
            rotation: Rotation (3, 3) from the body into east, north, up.

        Raises:
            MalformedItemError: A coordinate is not finite or out of range.
            LimitExceededError: A position is within 5 degrees of a pole.
        """
        own = np.asarray(rotation, dtype=np.float64)
        east, north, up = (np.asarray(points, dtype=np.float64) @ own.T).T
        phi, lam, height = to_wgs84(east, north, EnuFrame(lat0=lat, lon0=lon, height0_m=height_m), up)
        at_lat, at_lon, turned = self.displace_poses(lat, lon, own[None])
        there = EnuFrame(lat0=float(at_lat[0]), lon0=float(at_lon[0]), height0_m=height_m)
        moved = from_wgs84(*self.displace(phi, lam), there, height)
        return np.asarray(np.stack(moved, axis=-1) @ turned[0])

    def _moved_in(
        self, x: ArrayLike, y: ArrayLike, z: ArrayLike | None, crs: Crs, move: _Move
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        x, y = np.atleast_1d(x), np.atleast_1d(y)
        if z is None:
            return *from_wgs84(*move(*to_wgs84(x, y, crs)), crs), None
        lat, lon, height = to_wgs84(x, y, crs, np.atleast_1d(z))
        lat, lon = move(lat, lon)
        if self._keep_elevation:
            return from_wgs84(lat, lon, crs, height)
        if kind_of(crs) == "geocentric":
            return from_wgs84(lat, lon, crs, np.zeros_like(height))
        return *from_wgs84(lat, lon, crs), None

    def _degrees(self, lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
        east, north, cosine = self._field.at(lat, lon)
        east += self._east
        east /= cosine
        east *= _DEGREES_PER_METRE
        north += self._north
        north *= _DEGREES_PER_METRE
        return north, east


def _positions(lat: ArrayLike, lon: ArrayLike) -> tuple[FloatArray, FloatArray]:
    y, x = (np.ascontiguousarray(np.atleast_1d(v), dtype=np.float64) for v in (lat, lon))
    check_positions(y, x)
    return y, x

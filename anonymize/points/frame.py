"""The local frame of a released cloud: east, north and up about a place, turned and moved by keyed amounts."""

import math
from dataclasses import dataclass, field

import numpy as np

from anonymize.geo.ellipsoid import FloatArray, to_enu
from anonymize.geo.prf import subkey, uniform
from anonymize.profile import TrackProfile

_FARTHEST_ORIGIN_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFrame:
    """A metric frame without a place (DESIGN.md §4, LOCAL).

    Attributes:
        lat: Latitude of the place about which it lies in degrees, EPSG:4326. A true position.
        lon: Its longitude.
        turn: By how much the axes are turned anticlockwise from east and north, in turns.
        x_m: East of that place at which the frame has its origin, before turning.
        y_m: North of it, likewise.
    """

    lat: float = field(repr=False)
    lon: float = field(repr=False)
    turn: float = field(repr=False)
    x_m: float = field(repr=False)
    y_m: float = field(repr=False)

    @classmethod
    def keyed(
        cls, lat: float, lon: float, *, key: bytes, context: bytes, profile: TrackProfile
    ) -> "LocalFrame":
        """A frame about a place, its origin at most half a clip away, as those of tracks are.

        Raises:
            ProfileError: The key has not 32 bytes.
        """
        turn, bearing, share = uniform(subkey(key, "cloud frame", context), "frame", 3).tolist()
        away = profile.local_clip_m * _FARTHEST_ORIGIN_SHARE * math.sqrt(share)
        return cls(
            lat=lat,
            lon=lon,
            turn=turn,
            x_m=away * math.cos(2.0 * math.pi * bearing),
            y_m=away * math.sin(2.0 * math.pi * bearing),
        )

    def place(self, lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """X and y in metres in the frame, and the distance in metres from the place it lies about."""
        east, north = to_enu(lat, lon, self.lat, self.lon)
        placed = (east - self.x_m + 1j * (north - self.y_m)) * np.exp(2j * math.pi * self.turn)
        return placed.real.copy(), placed.imag.copy(), np.hypot(east, north)

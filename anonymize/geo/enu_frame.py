"""Local east-north-up frames given by their origin, exact at any distance."""

from dataclasses import dataclass, field

import numpy as np

from anonymize.errors import MalformedItemError
from anonymize.geo.ellipsoid import FloatArray, ecef, enu_axes, geodetic

_HEIGHT_STEPS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class EnuFrame:
    """East, north and up in metres from an origin.

    Attributes:
        lat0: Latitude of the origin in degrees, EPSG:4326. A true position: it is never shown.
        lon0: Longitude of the origin in degrees.
        height0_m: Ellipsoidal height of the origin in metres.
    """

    lat0: float = field(repr=False)
    lon0: float = field(repr=False)
    height0_m: float = field(repr=False, default=0.0)

    def __post_init__(self) -> None:
        known = np.isfinite([self.lat0, self.lon0, self.height0_m]).all()
        if not (known and abs(self.lat0) <= 90.0 and abs(self.lon0) <= 180.0):  # noqa: PLR2004
            raise MalformedItemError("the origin of a local frame is no position (got one out of range)")

    def from_wgs84(
        self, lat: FloatArray, lon: FloatArray, height_m: FloatArray | None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """East, north and up; positions without heights are taken at the origin's height."""
        at = np.stack(ecef(lat, lon, self.height0_m if height_m is None else height_m), axis=-1)
        east, north, up = np.moveaxis((at - self._origin()) @ enu_axes(self.lat0, self.lon0).T, -1, 0)
        return east, north, up

    def to_wgs84(
        self, east: FloatArray, north: FloatArray, up: FloatArray | None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Latitude, longitude and ellipsoidal height; without ``up`` points lie at the origin's height."""
        if up is not None:
            return self._geodetic(east, north, up)
        above = np.zeros_like(east)
        for _ in range(_HEIGHT_STEPS):
            height = self._geodetic(east, north, above)[2]
            above = above + self.height0_m - height
        return self._geodetic(east, north, above)

    def _geodetic(
        self, east: FloatArray, north: FloatArray, up: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        at = np.stack(np.broadcast_arrays(east, north, up), axis=-1) @ enu_axes(self.lat0, self.lon0)
        x, y, z = np.moveaxis(at + self._origin(), -1, 0)
        return geodetic(x, y, z)

    def _origin(self) -> FloatArray:
        return np.stack(ecef(self.lat0, self.lon0, self.height0_m), axis=-1)

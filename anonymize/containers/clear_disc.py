"""Whether places in a frame of the map are clear of zones, asked exactly only where zones may be near."""

import math
from typing import NamedTuple

import numpy as np
import shapely

from anonymize.containers.alignment import Alignment
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.zones import ZoneSet

_LEAST_METRES_PER_DEGREE = 110_500.0
_WIDEST_M = 20_000.0
_WIDEST_DEG = 0.2
_MOST_NORTHERN_DEG = 85.0
_FARTHEST_M = 100_000.0
_SCALE = 0.98
_ROUNDING_M = 1.0
_TURN_DEG = 360.0
_POLE_DEG = 90.0
_NO_BOX = (0.0, 0.0, 0.0, 0.0)


class _Disc(NamedTuple):
    x_m: float
    y_m: float
    radius_m: float


class ClearPlaces:
    """Answers as the exact test of the zones does, place by place.

    After an exact test that found no zone, a disc around the place in which there is none is kept for the frame;
    places in it need no test. This never skips a place that the exact test would find:

    - The exact test finds a place only within the bounding box (degrees) of a zone's polygon under the same extra
      margin. The disc keeps out of all these boxes: within r metres of a place at latitude p, latitudes differ by
      at most r / 110,500 degrees and longitudes by at most that over the cosine of the latitude farthest from the
      equator (a degree of latitude has 110,574 m or more). A box is missed if either is less than the gap to it.
    - The frame is a polynomial of the ground (:mod:`anonymize.containers.alignment`): scale within 0.3 % of 1, and
      the slope changes by at most 2 * 2e-8 for each metre, 0.6 % over 150 km. A tangent plane differs from the
      ground by less than 0.1 % over 150 km. Discs are made within 100 km of both centres and are no wider than
      20 km, so that what lies within 0.98 r in the frame lies within r on the ground.
    - One metre is taken off for rounding, and no discs are made beyond 85 degrees of latitude.
    """

    def __init__(self, zones: ZoneSet) -> None:
        """Take the zones; bounding boxes are made on first use for each extra margin."""
        self._zones = zones
        self._discs: dict[str, _Disc] = {}
        self._boxes: dict[float, FloatArray] = {}

    def clear(self, frame: str, alignment: Alignment, x_m: float, y_m: float) -> bool:
        """Whether the exact test finds no zone at a place of the frame.

        Args:
            frame: Name of the frame; it always comes with the same alignment.
            alignment: Where the frame lies; its residual is an extra margin.
            x_m: x in metres, finite.
            y_m: y in metres, finite.

        Raises:
            MalformedItemError: The place is none on the ground.
        """
        disc = self._discs.get(frame)
        if disc is not None and math.hypot(x_m - disc.x_m, y_m - disc.y_m) < disc.radius_m:
            return True
        lat, lon = alignment.to_wgs84(np.array([x_m]), np.array([y_m]))
        if self._zones.test(lat, lon, extra_margin_m=alignment.residual_m).inside.any():
            return False
        radius = 0.0
        if alignment.within(x_m, y_m, _FARTHEST_M):
            reach = self._reach_m(float(lat[0]), float(lon[0]), alignment.residual_m)
            radius = _SCALE * reach - _ROUNDING_M
        if radius > 0.0:
            self._discs[frame] = _Disc(x_m, y_m, radius)
        return True

    def _reach_m(self, lat: float, lon: float, extra_margin_m: float) -> float:
        """A distance within which no bounding box of a zone is met; 0 where none can be told."""
        if abs(lat) > _MOST_NORTHERN_DEG:
            return 0.0
        if extra_margin_m not in self._boxes:
            shapes = np.array(self._zones.shapes(extra_margin_m=extra_margin_m), dtype=object)
            self._boxes[extra_margin_m] = shapely.bounds(shapes)
        west, south, east, north = self._boxes[extra_margin_m].T
        y = np.maximum(south - lat, lat - north)
        beside = np.minimum(_gap(west, lon), _gap(east, lon))
        x = np.where((west <= lon) & (lon <= east), 0.0, beside)
        shrink = math.cos(math.radians(abs(lat) + _WIDEST_DEG))
        away = np.maximum(y, x * shrink) * _LEAST_METRES_PER_DEGREE
        return float(np.clip(away.min(initial=_WIDEST_M), 0.0, _WIDEST_M))


class ClearFixes:
    """Answers as the exact test of the zones does, position by position.

    After an exact test that found no zone, a box about the position is kept into which no zone's bounding box
    reaches: the exact test finds positions in bounding boxes only.
    """

    def __init__(self, zones: ZoneSet) -> None:
        """Take the zones."""
        self._zones = zones
        self._bounds: FloatArray | None = None
        self._box = _NO_BOX

    def clear(self, lat: float, lon: float) -> bool:
        """Whether the exact test finds no zone at a position in degrees.

        Raises:
            MalformedItemError: The position is none on the ground.
        """
        south, north, west, east = self._box
        if south < lat < north and west < lon < east:
            return True
        if self._zones.test(lat, lon).inside.any():
            return False
        if self._bounds is None:
            self._bounds = shapely.bounds(np.array(self._zones.shapes(), dtype=object)).reshape(-1, 4)
        west_of, south_of, east_of, north_of = self._bounds.T
        gaps = np.maximum(
            np.maximum(south_of - lat, lat - north_of), np.maximum(west_of - lon, lon - east_of)
        )
        reach = _SCALE * float(gaps.min(initial=_WIDEST_DEG))
        if reach > 0.0:
            self._box = (
                max(lat - reach, -_POLE_DEG),
                min(lat + reach, _POLE_DEG),
                max(lon - reach, -_TURN_DEG / 2),
                min(lon + reach, _TURN_DEG / 2),
            )
        return True


def _gap(border: FloatArray, lon: float) -> FloatArray:
    """Degrees between a longitude and borders, the shorter way round."""
    gap = np.abs(border - lon)
    return np.asarray(np.minimum(gap, _TURN_DEG - gap))

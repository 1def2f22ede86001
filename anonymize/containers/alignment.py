"""Where the frames of a recording lie on the ground, found by laying its poses on its fixes.

A frame of the map (``map``, ``utm``, ``odom``) is a metric plane: a shift and a turn of the ground, and for
grids such as UTM a scale near 1 and a slow turn of the grid north. Both are one complex polynomial from east
and north at a place near the drive to the frame's x and y. It is fitted by least squares to the places of the
vehicle at times at which both are known, and refused unless it leaves small residuals.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from anonymize.formats.track import Track
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.enu_frame import EnuFrame

_LEAST_SAMPLES = 10
_LEAST_SPREAD_M = 20.0
_LEAST_CURVED_M = 1000.0
_MOST_SCALE = 0.003
_MOST_CURVE = 2e-8
_MEDIAN_M = 2.0
_WORST_M = 10.0
_WORST_SHARE = 0.95
_ROUNDS = 3
_OUTLIER = 4.0
_LEAST_OUTLIER_M = 0.05
_LONGEST_GAP_S = 3.0
_NEWTON = 3

ComplexArray = NDArray[np.complex128]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Places of one body in one frame.

    Attributes:
        time_s: POSIX seconds, ascending.
        x_m: x in metres.
        y_m: y in metres.
    """

    time_s: FloatArray
    x_m: FloatArray
    y_m: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alignment:
    """The relation of a frame to the ground.

    Attributes:
        ground: East and north at a place near the drive. Secret.
        centre: East and north about which the polynomial stands. Secret.
        terms: Its coefficients, constant first. Secret.
        residual_m: Median distance of the samples after the fit.
    """

    ground: EnuFrame = field(repr=False)
    centre: complex = field(repr=False)
    terms: tuple[complex, ...] = field(repr=False)
    residual_m: float

    def to_wgs84(self, x_m: FloatArray, y_m: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Latitude and longitude in degrees of places in the frame."""
        target = np.asarray(x_m, np.float64) + 1j * np.asarray(y_m, np.float64)
        at = (target - self.terms[0]) / self.terms[1]
        for _ in range(_NEWTON if len(self.terms) > 2 else 0):  # noqa: PLR2004 - a straight fit is inverted exactly
            at = at - (self._at(at) - target) / self._slope(at)
        ground = at + self.centre
        lat, lon, _ = self.ground.to_wgs84(ground.real, ground.imag, None)
        return lat, lon

    def within(self, x_m: float, y_m: float, reach_m: float) -> bool:
        """Whether a place in the frame is at most about ``reach_m`` from both centres of the fit."""
        at = abs((complex(x_m, y_m) - self.terms[0]) / self.terms[1])
        return bool(at + abs(self.centre) <= reach_m)

    def from_wgs84(self, lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
        """X and y in the frame in metres of positions in degrees."""
        east, north, _ = self.ground.from_wgs84(np.asarray(lat), np.asarray(lon), None)
        made = self._at(east + 1j * north - self.centre)
        return made.real, made.imag

    def _at(self, place: ComplexArray) -> ComplexArray:
        return np.asarray(np.polynomial.polynomial.polyval(place, np.array(self.terms)))

    def _slope(self, place: ComplexArray) -> ComplexArray:
        slope = np.polynomial.polynomial.polyder(np.array(self.terms))
        return np.asarray(np.polynomial.polynomial.polyval(place, slope))


def align(samples: Samples, track: Track) -> Alignment | None:
    """Lay the places of a body in a frame on the track of the vehicle.

    1. Places and fixes of the same times are paired, at the times of whichever are fewer.
    2. A polynomial is fitted, three times, each time without what lies far off.
    3. It must be a metric one: scale within 0.3 %, hardly curved.
    4. Half of all pairs must lie within 2 m, 95 % within 10 m.

    Returns:
        None where they do not fit, or where there is too little to tell: fewer than 10 pairs, or less than 20 m
        about their centre.
    """
    pairs = _pairs(samples, track)  # 1
    if pairs is None:
        return None
    lat, lon, target = pairs
    ground = EnuFrame(lat0=float(np.median(lat)), lon0=float(np.median(lon)))
    east, north, _ = ground.from_wgs84(lat, lon, None)
    place = east + 1j * north
    spread = float(np.abs(place - place.mean()).max())
    if len(place) < _LEAST_SAMPLES or spread < _LEAST_SPREAD_M:
        return None
    centre = complex(place.mean())
    for degree in (2, 1) if spread >= _LEAST_CURVED_M else (1,):
        terms, off = _fitted(place - centre, target, degree)  # 2
        metric = abs(abs(terms[1]) - 1.0) <= _MOST_SCALE  # 3
        curved = degree > 1 and abs(terms[2]) > _MOST_CURVE
        if metric and not curved:
            if np.median(off) > _MEDIAN_M or np.quantile(off, _WORST_SHARE) > _WORST_M:  # 4
                return None
            return Alignment(
                ground=ground, centre=centre, terms=tuple(terms), residual_m=float(np.median(off))
            )
    return None


class Way:
    """A track prepared for questions where it was at a time."""

    def __init__(self, track: Track) -> None:
        """Sort its fixes by time, once."""
        timed = np.flatnonzero(np.isfinite(track.time_s))
        order = timed[np.argsort(track.time_s[timed], kind="stable")]
        self._track, self._order, self._times = track, order, track.time_s[order]

    def at(self, time_s: FloatArray, *, max_gap_s: float) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        """Latitude and longitude at many times, and where they are known.

        Unknown before the first and after the last fix, across longer gaps, and wherever the fixes on both sides
        are not neighbours in one segment of the track.
        """
        track, order, times = self._track, self._order, self._times
        if len(order) < 2:  # noqa: PLR2004 - between two fixes
            none = np.full(len(time_s), np.nan)
            return none, none, np.zeros(len(time_s), bool)
        after = np.clip(np.searchsorted(times, time_s), 1, len(order) - 1)
        a, b = order[after - 1], order[after]
        pause = times[after] - times[after - 1]
        known = (time_s >= times[0]) & (time_s <= times[-1]) & (pause <= max_gap_s)
        known &= (b - a == 1) & (track.segment[a] == track.segment[b])
        share = np.where(pause > 0, (time_s - times[after - 1]) / np.where(pause > 0, pause, 1.0), 0.0)
        lat = track.lat[a] + share * (track.lat[b] - track.lat[a])
        step = (track.lon[b] - track.lon[a] + 180.0) % 360.0 - 180.0
        lon = (track.lon[a] + share * step + 180.0) % 360.0 - 180.0
        return lat, lon, known


def _pairs(samples: Samples, track: Track) -> tuple[FloatArray, FloatArray, ComplexArray] | None:
    if len(samples.time_s) < _LEAST_SAMPLES:
        return None
    begin, end = samples.time_s[0], samples.time_s[-1]
    fixes = np.flatnonzero((track.time_s >= begin) & (track.time_s <= end))
    if len(fixes) < len(samples.time_s):
        times = track.time_s[fixes]
        after = np.clip(np.searchsorted(samples.time_s, times), 1, len(samples.time_s) - 1)
        near = samples.time_s[after] - samples.time_s[after - 1] <= _LONGEST_GAP_S
        x = np.interp(times, samples.time_s, samples.x_m)
        y = np.interp(times, samples.time_s, samples.y_m)
        return track.lat[fixes][near], track.lon[fixes][near], (x + 1j * y)[near]
    lat, lon, known = Way(track).at(samples.time_s, max_gap_s=_LONGEST_GAP_S)
    return lat[known], lon[known], (samples.x_m + 1j * samples.y_m)[known]


def _fitted(place: ComplexArray, target: ComplexArray, degree: int) -> tuple[ComplexArray, FloatArray]:
    powers = np.stack([place**n for n in range(degree + 1)], axis=1)
    scale = np.abs(powers).max(axis=0)
    off, terms = np.zeros(len(place)), np.zeros(degree + 1, np.complex128)
    for _ in range(_ROUNDS):
        near = off <= max(_OUTLIER * float(np.median(off)), _LEAST_OUTLIER_M)
        terms = np.linalg.lstsq(powers[near] / scale, target[near], rcond=None)[0] / scale
        off = np.abs(powers @ terms - target)
    return terms, off

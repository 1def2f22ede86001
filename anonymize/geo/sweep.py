"""The ground that something moving may have reached between two places, held against the restricted zones.

Between two neighbours on a way, a sector of a circle moves from the first place to the second. The area tested
is the convex hull of both, widened; it is never smaller than what was swept.
"""

import numpy as np
import shapely
from numpy.typing import NDArray

from anonymize.geo.crs import steps_m
from anonymize.geo.ellipsoid import FloatArray, to_enu
from anonymize.geo.reach import FARTHEST_DEG, FARTHEST_M, Areas, on_ground, sector_points, widened
from anonymize.geo.zones import ZoneHits, ZoneSet

IntArray = NDArray[np.intp]

_AT_ONCE = 10_000
_REFLEX_DEG = 90.0
_HALF_TURN_DEG = 180.0
_LEAST_BUCKET_M = 100.0
_LOST_M = 100_000.0


def ends_of_steps(places: int) -> tuple[IntArray, IntArray]:
    """Indices of the first and last place of each step of a way; a single place is a step of its own."""
    if places == 1:
        return np.zeros(1, dtype=np.intp), np.zeros(1, dtype=np.intp)
    return np.arange(places - 1), np.arange(1, places)


def lengths_m(lat: FloatArray, lon: FloatArray) -> FloatArray:
    """Geodesic length of each step in metres; 0 for a single place."""
    return steps_m(lat, lon) if len(lat) > 1 else np.zeros(1)


def sweep_hits(
    lat: FloatArray,
    lon: FloatArray,
    *,
    towards_deg: FloatArray,
    half_angle_deg: FloatArray,
    radius_m: float,
    slack_m: FloatArray,
    zones: ZoneSet,
) -> ZoneHits:
    """Which zones each step of a way may have reached.

    1. A step that no zone is near hits nothing.
    2. A step whose reach is known no better than 100 km hits every kind of zone.
    3. An area of up to 3 km below 80 degrees of latitude is tested as it is.
    4. Any other is tested as discs about both places that together hold it.

    Args:
        lat: Latitudes in degrees, EPSG:4326, checked.
        lon: Longitudes in degrees.
        towards_deg: Middle of the sector of each step in degrees clockwise from north.
        half_angle_deg: Half of its opening in degrees; 180 or more is a disc.
        radius_m: Radius of the sector in metres.
        slack_m: How far each step's area is widened, in metres.
        zones: The restricted zones.

    Raises:
        ZoneFileError: In step 4, where a zone so widened comes near a pole or crosses the antimeridian.
    """
    first, last = ends_of_steps(len(lat))
    length = lengths_m(lat, lon)
    reach = radius_m + slack_m + length
    zone, bits = np.full(len(first), -1, np.int32), np.zeros(len(first), np.uint16)
    lost = reach > _LOST_M
    near = ~lost & zones.near(lat[first], lon[first], np.where(lost, 0.0, reach))  # step 1
    if not zones.empty:  # step 2
        zone[lost] = 0
        bits[lost] = np.bitwise_or.reduce([zones.kind_bit(index) for index in range(len(zones.zones))])
    polar = np.maximum(np.abs(lat[first]), np.abs(lat[last])) > FARTHEST_DEG
    far = polar | (reach > FARTHEST_M)
    drawn = np.flatnonzero(near & ~far)
    for start in range(0, len(drawn), _AT_ONCE):  # step 3
        at = drawn[start : start + _AT_ONCE]
        a, b = first[at], last[at]
        ends = np.stack(to_enu(lat[b], lon[b], lat[a], lon[a]), axis=1)
        sectors = sector_points(towards_deg[at], half_angle_deg[at], radius_m)
        areas = widened(_swept(sectors, ends, half_angle_deg[at]), slack_m[at])
        found = zones.test_areas(on_ground(areas, lat[a], lon[a]))
        zone[at], bits[at] = found.zone, found.kind_bits
    coarse = np.flatnonzero(near & far)
    radius = _bucket(radius_m + slack_m[coarse] + length[coarse] / 2.0)
    for size in np.unique(radius):  # step 4
        at = coarse[radius == size]
        for end in (first[at], last[at]):
            found = zones.test(lat[end], lon[end], extra_margin_m=float(size))
            zone[at], bits[at] = most_severe(zone[at], found.zone), bits[at] | found.kind_bits
    return ZoneHits(inside=zone >= 0, zone=zone, kind_bits=bits)


def at_places(steps: ZoneHits, places: int) -> ZoneHits:
    """Hits of places from hits of the steps between them: those of both steps that end there."""
    if places == 1:
        return steps
    none, clear = np.array([-1], np.int32), np.zeros(1, np.uint16)
    zone = most_severe(np.r_[none, steps.zone], np.r_[steps.zone, none])
    bits = np.r_[clear, steps.kind_bits] | np.r_[steps.kind_bits, clear]
    return ZoneHits(inside=zone >= 0, zone=zone, kind_bits=bits)


def most_severe(a: NDArray[np.int32], b: NDArray[np.int32]) -> NDArray[np.int32]:
    """The lesser index of two, where -1 is none."""
    return np.where((a < 0) | (b < 0), np.maximum(a, b), np.minimum(a, b))


def _swept(sectors: FloatArray, ends: FloatArray, half_angle_deg: FloatArray) -> Areas:
    both = np.concatenate([sectors, sectors + ends[:, None]], axis=1)
    swept = np.asarray(shapely.convex_hull(shapely.linestrings(both)), dtype=np.object_)
    still = ~ends.any(axis=1)
    reflex = np.flatnonzero(still & (half_angle_deg > _REFLEX_DEG) & (half_angle_deg < _HALF_TURN_DEG))
    swept[reflex] = shapely.polygons(sectors[reflex])
    return swept


def _bucket(reach_m: FloatArray) -> FloatArray:
    """Rounded up to a power of two of 100 m: every other size would cost a layer of zones of its own."""
    doublings = np.ceil(np.log2(np.maximum(reach_m, _LEAST_BUCKET_M) / _LEAST_BUCKET_M))
    return np.asarray(_LEAST_BUCKET_M * 2.0**doublings, dtype=np.float64)

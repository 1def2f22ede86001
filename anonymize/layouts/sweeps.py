"""nuScenes LiDAR sweeps (``.pcd.bin``): little-endian float32 x, y, z in metres, intensity and ring.

The sensor's axes are x to the right, y forward, z up. Ring tells them from KITTI's sweeps of four numbers a point.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.geo.cut import CutPoints, cut_points
from anonymize.geo.headings import Heading
from anonymize.geo.zones import ZoneSet
from anonymize.profile import PointProfile

POINT_BYTES = 20

_FIELDS = 5
_RECORD = np.dtype("<f4")
_RINGS = 128
_FARTHEST_M = 1e4
_MAX_INTENSITY = 255.0
_RIGHT_DEG = 90.0


def is_nuscenes_sweep(content: bytes) -> bool:
    """Whether every five numbers are a point: finite, within 10 km, intensity to 255, and a whole ring below 128.

    Sweeps of zeros alone are none: nothing tells them from KITTI's.
    """
    if not content or len(content) % POINT_BYTES:
        return False
    points = np.frombuffer(content, dtype=_RECORD).reshape(-1, _FIELDS)
    return bool(_sound(points).all() and points.any())


def read_sweep(content: bytes, *, profile: PointProfile) -> NDArray[np.float32]:
    """Read a sweep: a row of x, y, z, intensity and ring per point.

    Raises:
        LimitExceededError: There are more points than the profile permits.
        MalformedItemError: The content is empty or truncated, or a point is impossible.
    """
    if not content or len(content) % POINT_BYTES:
        raise MalformedItemError(
            f"a sweep is a whole number of {POINT_BYTES}-byte points, at least one (got {len(content)} bytes)"
        )
    if len(content) // POINT_BYTES > profile.max_points:
        raise LimitExceededError(
            f"the sweep holds too many points "
            f"(got {len(content) // POINT_BYTES}, expected at most {profile.max_points})"
        )
    points = np.frombuffer(content, dtype=_RECORD).reshape(-1, _FIELDS)
    bad = np.flatnonzero(~_sound(points))
    if len(bad):
        raise MalformedItemError(
            f"point {int(bad[0])}: impossible value (expected metres, an intensity and a ring below {_RINGS})"
        )
    return points.astype(np.float32)


def write_sweep(points: NDArray[np.float32]) -> bytes:
    """The inverse of :func:`read_sweep`; an empty sweep gives no bytes."""
    return np.ascontiguousarray(points, dtype=_RECORD).tobytes()


def cleanse_sweep(
    points: NDArray[np.float32],
    *,
    zones: ZoneSet,
    lat: float,
    lon: float,
    heading: Heading | None,
    profile: PointProfile,
) -> CutPoints:
    """First pass: points in zones or out of range go. See ``anonymize.geo.cut.cut_points``.

    Args:
        points: Rows of :func:`read_sweep`.
        zones: The restricted zones.
        lat: Latitude of the sensor in degrees, EPSG:4326.
        lon: Longitude in degrees.
        heading: Of the vehicle, and so of the y axis; None where unknown.
        profile: Limits and the allow-list: ``intensity`` and ``ring`` are 0 where it does not have them.

    Raises:
        MalformedItemError: The position is not finite or out of range, or the heading is none.
    """
    x_axis = None if heading is None else heading.turned(_RIGHT_DEG)
    cut = cut_points(points, zones=zones, lat=lat, lon=lon, heading=x_axis, profile=profile)
    kept = cut.points.copy()
    for column, name in ((3, "intensity"), (4, "ring")):
        if name not in profile.keep_attributes:
            kept[:, column] = 0.0
    return replace(cut, points=kept)


def _sound(points: NDArray[np.float32]) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        within = (np.abs(points[:, :3]) <= _FARTHEST_M).all(axis=1)
        ring = points[:, 4]
        whole = (ring >= 0.0) & (ring < _RINGS) & (ring == np.floor(ring))
        return np.asarray(within & whole & (points[:, 3] >= 0.0) & (points[:, 3] <= _MAX_INTENSITY))

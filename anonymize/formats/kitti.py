"""LiDAR sweeps as KITTI stores them: little-endian float32 x, y, z in metres and intensity, sensor frame."""

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.profile import PointProfile

_RECORD = np.dtype("<f4")
_FIELDS = 4
_BYTES = _FIELDS * _RECORD.itemsize
_FARTHEST_M = 1e4


def read_points(content: bytes, *, profile: PointProfile) -> NDArray[np.float32]:
    """Read a sweep.

    Returns:
        One row per point: x forward, y left, z up in metres, and intensity.

    Raises:
        MalformedItemError: The content is empty or truncated, or a point is not finite or farther than 10 km.
        LimitExceededError: There are more points than the profile permits.
    """
    if not content or len(content) % _BYTES:
        raise MalformedItemError(
            f"a sweep is a whole number of {_BYTES}-byte points, at least one (got {len(content)} bytes)"
        )
    if len(content) // _BYTES > profile.max_points:
        raise LimitExceededError(
            f"the sweep holds too many points "
            f"(got {len(content) // _BYTES}, expected at most {profile.max_points})"
        )
    points = np.frombuffer(content, dtype=_RECORD).reshape(-1, _FIELDS)
    bad = ~np.isfinite(points[:, 3]) | ~(np.abs(points[:, :3]) <= _FARTHEST_M).all(axis=1)
    if bad.any():
        first = int(np.argmax(bad))
        raise MalformedItemError(
            f"point {first}: impossible value "
            f"(got {points[first].tolist()!r}, expected finite, within {_FARTHEST_M:g} m)"
        )
    return points.astype(np.float32)


def write_points(points: NDArray[np.float32]) -> bytes:
    """The inverse of :func:`read_points`; an empty sweep gives no bytes."""
    return np.ascontiguousarray(points, dtype=_RECORD).tobytes()

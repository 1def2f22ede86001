"""The local frame of a released cloud that belongs to no clip of a track."""

import math

import numpy as np

from anonymize.geo.clips import ClipFrame
from anonymize.geo.prf import require_key, subkey, uniform
from anonymize.profile import TrackProfile

_FARTHEST_ORIGIN_SHARE = 0.5


def cloud_frame(lat: float, lon: float, *, key: bytes, context: bytes, profile: TrackProfile) -> ClipFrame:
    """A frame about a place with a keyed direction, its origin at most half a clip away (DESIGN.md §4, LOCAL).

    Args:
        lat: Latitude of the place in degrees, EPSG:4326.
        lon: Its longitude.
        key: The release's key, 32 bytes.
        context: Names the cloud within the release.
        profile: ``local_clip_m``.

    Raises:
        ProfileError: The key has another length.
    """
    turn, bearing, share = uniform(subkey(require_key(key), "cloud frame", context), "frame", 3).tolist()
    away = profile.local_clip_m * _FARTHEST_ORIGIN_SHARE * math.sqrt(share)
    return ClipFrame(
        number=0,
        begin_s=math.nan,
        end_s=math.nan,
        fixes=np.zeros(0, np.intp),
        lat0=lat,
        lon0=lon,
        height0_m=0.0,
        east_m=away * math.cos(2.0 * math.pi * bearing),
        north_m=away * math.sin(2.0 * math.pi * bearing),
        turn_rad=2.0 * math.pi * turn,
        keep_elevation=False,
    )

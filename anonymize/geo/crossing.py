"""Whether a displaced way comes near the true one: cheap to ask, before anything is displaced for a release."""

from collections.abc import Sequence

import numpy as np

from anonymize.formats.track import Track
from anonymize.geo.crs import steps_m
from anonymize.geo.displacement import KeyedOffset
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.position_index import PositionIndex

_NEAR_M = 50.0
"""The search of what leaves takes 15 m; the rest is for steps of this look, and for what lies beside the way."""
_STEP_M = 10.0


def comes_near_truth(tracks: Sequence[Track], offset: KeyedOffset) -> bool:
    """Whether some place of the displaced tracks lies within 50 m of one of the true tracks.

    The true tracks count as WGS-84, as GCJ-02 and as BD-09, as in ``anonymize.geo.released_scan``. Where the
    answer is no, no place on the displaced way is a finding of that search; else the search has to say.

    Args:
        tracks: True tracks in degrees, EPSG:4326; a gap counts as driven straight.
        offset: The displacement.

    Raises:
        MalformedItemError: A coordinate is not finite or out of range.
        LimitExceededError: A position is within 5 degrees of a pole.
    """
    ways = [_in_steps(track) for track in tracks if len(track)]
    if not ways:
        return False
    lat, lon = (np.concatenate(axis) for axis in zip(*ways, strict=True))
    index = PositionIndex(lat, lon, tolerance_m=_NEAR_M)
    return bool(index.globe.near(*offset.displace(lat, lon)).any())


def _in_steps(track: Track) -> tuple[FloatArray, FloatArray]:
    along = np.r_[0.0, np.cumsum(steps_m(track.lat, track.lon))]
    at = np.r_[np.arange(0.0, along[-1], _STEP_M), along[-1]]
    axes = (track.lat, np.unwrap(track.lon, period=360.0))
    lat, lon = (np.asarray(np.interp(at, along, axis), dtype=np.float64) for axis in axes)
    return lat, lon

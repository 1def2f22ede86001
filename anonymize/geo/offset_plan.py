"""The plan of an OFFSET release of one recording: which times are kept, how all times move, and the offset.

A plan is made on the recording's track and applied to all its channels, so that fixes, poses, images and CAN
frames of one moment are trimmed, displaced and shifted alike.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anonymize.errors import LimitExceededError
from anonymize.formats.track import Track
from anonymize.geo.crs import steps_m
from anonymize.geo.displacement import KeyedOffset
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.prf import subkey, uniform
from anonymize.geo.time_spans import IntArray, TimeSpans, time_range
from anonymize.profile import TrackProfile

_TRIP_PAUSE_S = 300.0
_TRIP_JUMP_M = 2000.0
_DAY_S = 86400.0
_SHIFT_DAYS = (31, 730)
_SHIFT_SECONDS = 900.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OffsetPlan:
    """What is kept of one recording, and how it is moved.

    Attributes:
        offset: The displacement, the same for all recordings of the release.
        shift_s: Seconds that are added to every time of the recording. Secret.
        kept: Indices of the track's fixes in each span, in order.
        spans: The kept spans of time, in POSIX seconds of the track.
    """

    offset: KeyedOffset
    shift_s: float = field(repr=False)
    kept: tuple[NDArray[np.intp], ...] = field(repr=False)
    spans: TimeSpans = field(repr=False)

    def span_of(self, time_s: ArrayLike) -> IntArray:
        """The number of the kept span that holds each POSIX time; -1 where it is trimmed or none holds it.

        Both ends of a span belong to it. Times at which the track's clock ran twice are in none.
        """
        return self.spans.of(time_s)

    def times(self, time_s: ArrayLike) -> FloatArray:
        """The times as they are released."""
        return np.asarray(time_s, dtype=np.float64) + self.shift_s


def plan_offset(track: Track, *, key: bytes, context: bytes, profile: TrackProfile) -> OffsetPlan:
    """Plan the trims, the shift of time and the displacement of a recording on its track.

    1. Trips end with segments, and where the recording paused for five minutes, jumped by 2 km or ran back
    in time.
    2. A keyed length within ``profile.trim_m`` goes at both ends of every trip; shorter trips go entirely.
    3. Every time moves by the recording's keyed number of days and seconds.

    Args:
        track: The cleansed track.
        key: The release's key, 32 bytes.
        context: Names the recording within the release.
        profile: Parameters and limits.

    Raises:
        LimitExceededError: Nothing is left after trimming.
        ProfileError: The key has another length.
    """
    steps = steps_m(track.lat, track.lon)
    trips = list(_trips(track, steps))
    low, high = profile.trim_m
    trims = (low + (high - low) * uniform(subkey(key, "recording", context), "trim", 2 * len(trips))).reshape(
        -1, 2
    )
    kept = []
    for trip, (start_m, end_m) in zip(trips, trims, strict=True):
        along = np.r_[0.0, np.cumsum(steps[trip.start : trip.stop - 1])]
        inner = np.flatnonzero((along >= start_m) & (along <= along[-1] - end_m)) + trip.start
        if len(inner):
            kept.append(inner)
    if not kept:
        raise LimitExceededError(
            f"no fix is left after trimming (got {track.path_length_m():.0f} m in {len(trips)} trips, "
            f"expected more than {2 * low:.0f} m in one)"
        )
    spans = np.array([time_range(track, inner) for inner in kept])
    busy = np.array([time_range(track, trip) for trip in trips])
    return OffsetPlan(
        offset=KeyedOffset(key, profile),
        shift_s=time_shift_s(key=key, context=context),
        kept=tuple(kept),
        spans=TimeSpans(
            begin_s=spans[:, 0], end_s=spans[:, 1], busy_begin_s=busy[:, 0], busy_end_s=busy[:, 1]
        ),
    )


def time_shift_s(*, key: bytes, context: bytes) -> float:
    """The shift of all times of one recording: 31 to 730 days either way, give or take 15 minutes."""
    sign, days, seconds = uniform(subkey(key, "recording", context), "time", 3).tolist()
    low, high = _SHIFT_DAYS
    whole: float = math.floor(low + days * (high - low + 1)) * _DAY_S
    return math.copysign(whole, float(sign) - 0.5) + math.floor((2.0 * float(seconds) - 1.0) * _SHIFT_SECONDS)


def _trips(track: Track, steps: FloatArray) -> Iterator[slice]:
    pause = np.nan_to_num(np.diff(track.time_s))
    breaks = (pause > _TRIP_PAUSE_S) | (pause < 0.0) | (steps > _TRIP_JUMP_M) | (np.diff(track.segment) != 0)
    bounds = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(track)]
    return (slice(a, b) for a, b in itertools.pairwise(bounds))

"""Who follows whom in tracks: stretches in which one vehicle drives behind another in its lane."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from scipy.signal import savgol_filter  # type: ignore[import-untyped]

from pipeline.simulation.backend import Floats
from pipeline.simulation.tracks import STEP_S, Clip, Seen, Track, clips, seen_from

LEAST_SECONDS: Final = 8.0
FARTHEST_M: Final = 120.0
_HALF_LANE_M: Final = 1.75
_SLOWEST_MPS: Final = 2.0
_SMOOTHED: Final = 11


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stretch:
    """One vehicle behind the same other, every ``STEP_S``.

    Attributes:
        leader: Name of the leader's track.
        gap: Distance from bumper to bumper, m.
        speed: The follower's speed along its path, m/s.
        lead: The leader's way along that path, m, smoothed over a second; only differences mean something.
    """

    leader: str
    gap: Floats
    speed: Floats
    lead: Floats

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.gap) * STEP_S


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Follower:
    """A vehicle and the stretches in which it follows.

    Attributes:
        clip: Name of the clip.
        track: Name of its track.
        automated: Whether it is the automated vehicle.
        stretches: Where it follows, in order.
    """

    clip: str
    track: str
    automated: bool
    stretches: tuple[Stretch, ...]

    @property
    def seconds(self) -> float:
        """How long it follows, all together."""
        return sum(each.seconds for each in self.stretches)


def followers(table: pl.DataFrame, ego: str) -> Iterator[Follower]:
    """Vehicles that follow another for ``LEAST_SECONDS`` or longer, moving, in the order of clips.

    The leader is the nearest vehicle ahead within half a lane of the follower's path.

    Raises:
        TracksError: The table is no table of tracks.
    """
    for clip in clips(table, ego):
        found: dict[str, list[Stretch]] = {}
        for track in (*clip.ego, *clip.others):
            found.setdefault(track.name, []).extend(_stretches(track, clip))
        for name, stretches in found.items():
            if stretches:
                yield Follower(clip=clip.name, track=name, automated=name == ego, stretches=tuple(stretches))


def _stretches(follower: Track, clip: Clip) -> Iterator[Stretch]:
    ahead: list[tuple[Track, Seen, int]] = [
        (other, seen, max(follower.first, other.first) - follower.first)
        for other in (*clip.ego, *clip.others)
        if other.name != follower.name and (seen := seen_from(follower, other)) is not None
    ]
    if not ahead:
        return
    gaps = np.full((len(ahead), len(follower.x)), np.inf)
    for row, (_, seen, begin) in zip(gaps, ahead, strict=True):
        gap = seen.along - seen.own - seen.ahead_length
        in_lane = (np.abs(seen.across) < _HALF_LANE_M) & (gap > 0.0) & (gap <= FARTHEST_M)
        row[begin : begin + len(gap)] = np.where(in_lane, gap, np.inf)
    leader = np.where(np.isfinite(gaps.min(axis=0)), gaps.argmin(axis=0), -1)
    for part in np.split(np.arange(len(leader)), np.flatnonzero(np.diff(leader)) + 1):
        number = int(leader[part[0]])
        if number < 0 or len(part) * STEP_S < LEAST_SECONDS:
            continue
        other, seen, begin = ahead[number]
        here = slice(int(part[0]) - begin, int(part[-1]) + 1 - begin)
        speed = np.maximum(0.0, _smoothed(seen.own[here], 1))
        if speed.mean() > _SLOWEST_MPS:
            gap = seen.along[here] - seen.own[here] - seen.ahead_length
            yield Stretch(leader=other.name, gap=gap, speed=speed, lead=_smoothed(seen.along[here]))


def _smoothed(way: Floats, derivative: int = 0) -> Floats:
    """A parabola through a second about each step (Savitzky and Golay), or its slope per second."""
    return np.asarray(savgol_filter(way, _SMOOTHED, 2, deriv=derivative, delta=STEP_S))

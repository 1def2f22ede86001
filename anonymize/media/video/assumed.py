"""Where an object may be in frames in which it was not seen: in the gaps of its track and around its ends."""

import bisect
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from statistics import median

from anonymize.finding import PixelBox
from anonymize.media.video.detection import box_row
from anonymize.media.video.tracks import Sighting, Track
from anonymize.profile import Profile

# Growth of an assumed box on each side, as a share of its size per second from the nearest sighting.
GROWTH_PER_S = 0.5
# Velocities are taken over this time next to a track's end.
_VELOCITY_S = 0.5
_LEAST_FOR_VELOCITY = 3


class Origin(StrEnum):
    """Why a box is masked."""

    DETECTED = "detected"
    FILLED = "filled"
    MARGIN = "margin"
    RESIDUAL = "residual"


def assumed_boxes(
    track: Track, times: Sequence[float], profile: Profile, size: tuple[int, int]
) -> list[tuple[int, PixelBox, Origin]]:
    """Boxes of a track where it was not seen: in its gaps, and around its ends."""
    assumed = []
    if len(track.sightings) == 1 and track.sightings[0].confidence < profile.images.residual_threshold:
        only = track.sightings[0]
        assumed = [
            (f, list(map(float, box_row(only.box))), abs(times[f] - times[only.frame]), Origin.MARGIN)
            for f in (only.frame - 1, only.frame + 1)
            if 0 <= f < len(times) and abs(times[f] - times[only.frame]) <= profile.videos.margin_s
        ]
        return _inside(assumed, size)
    for a, b in pairwise(track.sightings):
        if times[b.frame] - times[a.frame] > profile.videos.max_gap_s + _step_before(times, b.frame):
            assumed += _margin(track.sightings, a, times, profile, forward=True)
            assumed += _margin(track.sightings, b, times, profile, forward=False)
            continue
        for frame in range(a.frame + 1, b.frame):
            share = (times[frame] - times[a.frame]) / (times[b.frame] - times[a.frame])
            corners = [
                (1 - share) * p + share * q for p, q in zip(box_row(a.box), box_row(b.box), strict=True)
            ]
            away = min(times[frame] - times[a.frame], times[b.frame] - times[frame])
            assumed.append((frame, corners, away, Origin.FILLED))
    assumed += _margin(track.sightings, track.sightings[0], times, profile, forward=False)
    assumed += _margin(track.sightings, track.sightings[-1], times, profile, forward=True)
    return _inside(assumed, size)


def _inside(
    assumed: Sequence[tuple[int, Sequence[float], float, Origin]], size: tuple[int, int]
) -> list[tuple[int, PixelBox, Origin]]:
    grown = ((f, _grown(corners, away, size), origin) for f, corners, away, origin in assumed)
    return [(f, box, origin) for f, box, origin in grown if box is not None]


def _step_before(times: Sequence[float], frame: int) -> float:
    return times[frame] - times[frame - 1]


def _margin(
    sightings: Sequence[Sighting],
    end: Sighting,
    times: Sequence[float],
    profile: Profile,
    *,
    forward: bool,
) -> list[tuple[int, list[float], float, Origin]]:
    """Where the object may be, next to one of its sightings: still there, or gone on as it moved."""
    margin = profile.videos.margin_s
    vx, vy = _velocity(sightings, end, times, before=forward)
    here = times[end.frame]
    if forward:
        frames = range(end.frame + 1, bisect.bisect_right(times, here + margin))
    else:
        frames = range(bisect.bisect_left(times, here - margin), end.frame)
    boxes = []
    for frame in frames:
        dt = times[frame] - here
        x0, y0, x1, y1 = box_row(end.box)
        corners = [
            min(x0, x0 + vx * dt), min(y0, y0 + vy * dt), max(x1, x1 + vx * dt), max(y1, y1 + vy * dt)
        ]  # fmt: skip
        boxes.append((frame, corners, abs(dt), Origin.MARGIN))
    return boxes


def _velocity(
    sightings: Sequence[Sighting], end: Sighting, times: Sequence[float], *, before: bool
) -> tuple[float, float]:
    """Pixels per second of the centre: the median over the sightings within half a second.

    Two sightings make no velocity: were they of two objects, the mask would be thrown across the frame.
    """
    here = times[end.frame]
    near = [
        s
        for s in sightings
        if abs(times[s.frame] - here) <= _VELOCITY_S
        and (s.frame <= end.frame if before else s.frame >= end.frame)
    ]
    if len(near) < _LEAST_FOR_VELOCITY:
        return 0.0, 0.0
    steps = [
        (
            (q.box.x0 + q.box.x1 - p.box.x0 - p.box.x1) / 2 / (times[q.frame] - times[p.frame]),
            (q.box.y0 + q.box.y1 - p.box.y0 - p.box.y1) / 2 / (times[q.frame] - times[p.frame]),
        )
        for p, q in pairwise(near)
    ]
    return median(x for x, _ in steps), median(y for _, y in steps)


def _grown(corners: Sequence[float], away: float, size: tuple[int, int]) -> PixelBox | None:
    """The box, grown and rounded outwards and clipped to the frame; None where it has left the frame."""
    x0, y0, x1, y1 = corners
    dx, dy = (x1 - x0) * GROWTH_PER_S * away, (y1 - y0) * GROWTH_PER_S * away
    left, top = max(0, int(x0 - dx)), max(0, int(y0 - dy))
    right, bottom = min(size[0], -int(-(x1 + dx) // 1)), min(size[1], -int(-(y1 + dy) // 1))
    if right <= left or bottom <= top:
        return None
    return PixelBox(x0=left, y0=top, x1=right, y1=bottom)

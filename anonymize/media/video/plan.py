"""Which boxes are masked in which frame: what was seen, and what tracking in both directions adds."""

import bisect
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from statistics import median
from typing import Any

from anonymize.errors import MalformedItemError
from anonymize.finding import Finding, FindingKind, FrameBox, PixelBox
from anonymize.media.video.detection import SegmentFindings, box_of_row, box_row
from anonymize.media.video.timeline import Timeline
from anonymize.media.video.tracks import Sighting, Track, follow, sightings_by_kind
from anonymize.profile import Profile

# Growth of an assumed box on each side, as a share of its size per second from the nearest sighting.
GROWTH_PER_S = 0.5
# Velocities are taken over this time next to a track's end.
_VELOCITY_S = 0.5
_LEAST_FOR_VELOCITY = 3
_TRACKER = "bytetrack"


class Origin(StrEnum):
    """Why a box is masked."""

    DETECTED = "detected"
    FILLED = "filled"
    MARGIN = "margin"
    RESIDUAL = "residual"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBox:
    """One box that is masked in one frame."""

    kind: FindingKind
    box: PixelBox
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackSummary:
    """An object, compactly: where it was first seen, from which frame to which, and how often."""

    kind: FindingKind
    first: FrameBox
    last_frame: int
    sightings: int
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskPlan:
    """What is masked in every frame of a video.

    Attributes:
        frames: Number of frames.
        width: Of the upright frames, in pixels.
        height: Of the upright frames, in pixels.
        boxes: By frame; frames without masks are not keys.
        tracks: Objects as followed forward.
        sightings: All findings, and those of residual scans.
    """

    frames: int
    width: int
    height: int
    boxes: Mapping[int, tuple[PlannedBox, ...]] = field(repr=False)
    tracks: tuple[TrackSummary, ...] = field(repr=False)
    sightings: tuple[Finding, ...] = field(repr=False)

    def findings(self, frame: int) -> tuple[Finding, ...]:
        """The boxes of a frame as findings, which ``anonymize.media.masks`` takes."""
        return tuple(
            Finding(kind=b.kind, where=b.box, confidence=1.0, detector=f"{_TRACKER}:{b.origin}")
            for b in self.boxes.get(frame, ())
        )

    def count(self, origin: Origin) -> int:
        """Number of boxes of one origin."""
        return sum(b.origin is origin for boxes in self.boxes.values() for b in boxes)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form of the boxes by frame, for training losses and for evidence."""
        rows = {
            str(frame): [[b.kind.value, *box_row(b.box), b.origin.value] for b in self.boxes[frame]]
            for frame in sorted(self.boxes)
        }
        return {"frames": self.frames, "size": [self.width, self.height], "boxes": rows}

    def digest(self) -> str:
        """SHA-256 of ``as_dict``."""
        return hashlib.sha256(json.dumps(self.as_dict(), separators=(",", ":")).encode()).hexdigest()

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "MaskPlan":
        """Read ``as_dict``; tracks and sightings are not in it and are empty.

        Raises:
            MalformedItemError: The document is of another form.
        """
        try:
            boxes = {
                int(frame): tuple(
                    PlannedBox(kind=FindingKind(kind), box=box_of_row(row), origin=Origin(origin))
                    for kind, *row, origin in rows
                )
                for frame, rows in document["boxes"].items()
            }
            return cls(frames=document["frames"], width=document["size"][0], height=document["size"][1],
                       boxes=boxes, tracks=(), sightings=())  # fmt: skip
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise MalformedItemError(f"a mask plan cannot be read: {error}") from error


def plan_masks(segments: Sequence[SegmentFindings], timeline: Timeline, *, profile: Profile) -> MaskPlan:
    """Mask every sighting, the gaps of its track, and a margin before its first and after its last.

    Tracks are followed forward and backward and both are masked, so that an object is lost only where both
    directions lose it. A gap of at most ``profile.videos.max_gap_s`` between two sightings of a track is
    bridged linearly; boxes that were not seen grow with the time to the nearest sighting.

    What was seen once only, in one direction's track, and more weakly than the residual scan objects to
    (``profile.images.residual_threshold``), gets a margin of one frame: most of these are not objects, and one
    that is would have to stay as faint for both looks, which see every frame, for as long as the margin lasts.

    Args:
        segments: Findings of all segments, in order.
        timeline: Of the video.
        profile: Gap and margin.

    Raises:
        MalformedItemError: The segments are not all of the video's.
        ModelError: The tracker fails.
    """
    looked = [(s.index, s.first_frame, s.frames) for s in segments]
    expected = [(i, p.start, len(p)) for i in range(timeline.segments) for p in [timeline.segment(i)]]
    if looked != expected:
        raise MalformedItemError(
            f"findings are not of all segments (got {len(looked)}, expected {len(expected)})"
        )
    if len({(s.width, s.height) for s in segments}) != 1:
        raise MalformedItemError("segments differ in the size of their frames")
    seen = tuple(f for s in segments for f in s.findings)
    return _plan(seen, (), None, timeline, (segments[0].width, segments[0].height), profile)


def extend_plan(
    plan: MaskPlan, found: Sequence[Finding], timeline: Timeline, *, profile: Profile
) -> tuple[MaskPlan, frozenset[int]]:
    """Add what a residual scan found, tracked with everything else; no box of the plan is ever dropped.

    Args:
        plan: With its sightings.
        found: Residual findings in their ``FrameBox``.
        timeline: Of the video.
        profile: Gap and margin.

    Returns:
        The plan, and the segments in which it masks more than before.

    Raises:
        ModelError: The tracker fails.
    """
    extended = _plan(plan.sightings, found, plan, timeline, (plan.width, plan.height), profile)
    changed = {f for f, boxes in extended.boxes.items() if boxes != plan.boxes.get(f, ())}
    return extended, frozenset(timeline.segment_of(f) for f in changed)


def _plan(
    seen: Sequence[Finding],
    residual: Sequence[Finding],
    before: MaskPlan | None,
    timeline: Timeline,
    size: tuple[int, int],
    profile: Profile,
) -> MaskPlan:
    times = [timeline.time_s(f) for f in range(timeline.frames)]
    boxes: dict[int, dict[tuple[FindingKind, PixelBox], Origin]] = {}
    for frame, planned in (before.boxes if before else {}).items():
        boxes[frame] = {(p.kind, p.box): p.origin for p in planned}
    for findings, origin in ((seen, Origin.DETECTED), (residual, Origin.RESIDUAL)):
        for f in findings:
            if isinstance(f.where, FrameBox):
                boxes.setdefault(f.where.frame, {}).setdefault((f.kind, f.where.box), origin)
    summaries: list[TrackSummary] = []
    for kind, sightings in sorted(sightings_by_kind((*seen, *residual)).items()):
        gap = profile.videos.max_gap_s
        forward = follow(sightings, times, kind=kind, max_gap_s=gap)
        backward = follow(sightings, times, kind=kind, max_gap_s=gap, backward=True)
        summaries += [_summary(t) for t in forward]
        for track in (*forward, *backward):
            for frame, box, origin in _assumed(track, times, profile, size):
                boxes.setdefault(frame, {}).setdefault((kind, box), origin)
    return MaskPlan(
        frames=timeline.frames,
        width=size[0],
        height=size[1],
        boxes={f: tuple(PlannedBox(kind=k, box=b, origin=o) for (k, b), o in boxes[f].items())
               for f in sorted(boxes)},
        tracks=tuple(summaries),
        sightings=(*seen, *residual),
    )  # fmt: skip


def _summary(track: Track) -> TrackSummary:
    first, last = track.sightings[0], track.sightings[-1]
    return TrackSummary(
        kind=track.kind,
        first=FrameBox(frame=first.frame, box=first.box),
        last_frame=last.frame,
        sightings=len(track.sightings),
        confidence=max(s.confidence for s in track.sightings),
    )


def _assumed(
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

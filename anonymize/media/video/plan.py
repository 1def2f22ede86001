"""Which boxes are masked in which frame: what was seen, and what tracking in both directions adds."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from anonymize.errors import MalformedItemError
from anonymize.finding import Finding, FindingKind, FrameBox, PixelBox
from anonymize.media.video.assumed import Origin, assumed_boxes
from anonymize.media.video.detection import SegmentFindings, box_of_row, box_row
from anonymize.media.video.timeline import Timeline
from anonymize.media.video.tracks import Track, follow, sightings_by_kind
from anonymize.profile import Profile

_TRACKER = "bytetrack"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBox:
    """One box that is masked in one frame."""

    kind: FindingKind
    box: PixelBox
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackSummary:
    """An object, compactly: what it is and where it was seen, in order, at least once."""

    kind: FindingKind
    seen: tuple[FrameBox, ...] = field(repr=False)
    confidence: float

    @property
    def first(self) -> FrameBox:
        """Where it was first seen."""
        return self.seen[0]

    @property
    def last_frame(self) -> int:
        """The last frame in which it was seen."""
        return self.seen[-1].frame


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

    def only(self, frames: Sequence[int]) -> "MaskPlan":
        """The plan of a video of some of the frames, in their order; what only others show is gone."""
        number = {frame: place for place, frame in enumerate(frames)}
        tracks = (replace(track, seen=_renumbered(track.seen, number)) for track in self.tracks)
        return replace(
            self,
            frames=len(frames),
            boxes={number[f]: boxes for f, boxes in self.boxes.items() if f in number},
            tracks=tuple(track for track in tracks if track.seen),
            sightings=tuple(
                replace(f, where=place)
                for f in self.sightings
                if isinstance(f.where, FrameBox)
                for place in _renumbered([f.where], number)
            ),
        )

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


def released_masks(plan: MaskPlan, timeline: Timeline) -> MaskPlan:
    """The plan of the treated video: frames are numbered as they leave, cut ones and what only they show are gone.

    Args:
        plan: Of the original.
        timeline: Of the original, with what is cut.
    """
    if not timeline.cut:
        return plan
    return plan.only(timeline.kept_frames)


def _renumbered(places: Sequence[FrameBox], number: Mapping[int, int]) -> tuple[FrameBox, ...]:
    return tuple(replace(p, frame=number[p.frame]) for p in places if p.frame in number)


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
            for frame, box, origin in assumed_boxes(track, times, profile, size):
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
    return TrackSummary(
        kind=track.kind,
        seen=tuple(FrameBox(frame=s.frame, box=s.box) for s in track.sightings),
        confidence=max(s.confidence for s in track.sightings),
    )

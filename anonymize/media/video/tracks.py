"""Sightings followed through time, forward and backward."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from anonymize.errors import ModelError
from anonymize.finding import Finding, FindingKind, FrameBox, PixelBox

if TYPE_CHECKING:
    from trackers import ByteTrackTracker

# Boxes are widened on each side by this share before they are associated: small objects that move fast
# do not overlap themselves in the next frame.
_ASSOCIATION_SHARE = 0.5
_LEAST_OVERLAP = 0.1
_NOMINAL_RATE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """An object seen in one frame."""

    frame: int
    box: PixelBox
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """Sightings of what is taken to be one object.

    Attributes:
        kind: Of the object.
        sightings: In order of frames, at least one.
    """

    kind: FindingKind
    sightings: tuple[Sighting, ...]


def sightings_by_kind(findings: Iterable[Finding]) -> dict[FindingKind, dict[int, list[Sighting]]]:
    """Sightings of findings, by kind and frame; findings of one box and kind in a frame are one."""
    grouped: dict[FindingKind, dict[int, list[Sighting]]] = {}
    for finding in findings:
        if not isinstance(finding.where, FrameBox):
            raise TypeError(f"a finding in a video has a frame (got {finding.where!r})")
        frame, box = finding.where.frame, finding.where.box
        inside = grouped.setdefault(finding.kind, {}).setdefault(frame, [])
        if all(s.box != box for s in inside):
            inside.append(Sighting(frame=frame, box=box, confidence=finding.confidence))
    return grouped


def follow(
    sightings: Mapping[int, Sequence[Sighting]],
    times: Sequence[float],
    *,
    kind: FindingKind,
    max_gap_s: float,
    backward: bool = False,
) -> tuple[Track, ...]:
    """Associate sightings of one kind by ByteTrack; every sighting is in exactly one track.

    Args:
        sightings: By frame.
        times: Seconds of each frame, strictly increasing.
        kind: Of the objects.
        max_gap_s: How long a track may be lost.
        backward: Follow from the last frame to the first; the tracks' sightings are in order of frames anyway.

    Raises:
        ModelError: The tracker gives an answer that does not match what it was asked.
    """
    # Imports OpenCV, which the rest of the package does not need.
    from trackers import ByteTrackTracker  # noqa: PLC0415

    tracker = ByteTrackTracker(
        lost_track_buffer=max(1, math.ceil(max_gap_s * _NOMINAL_RATE)),
        frame_rate=_NOMINAL_RATE,
        track_activation_threshold=0.0,
        minimum_consecutive_frames=1,
        minimum_iou_threshold=_LEAST_OVERLAP,
        high_conf_det_threshold=0.0,
    )
    members: dict[int, list[Sighting]] = {}
    used: list[int] = [f for f in sightings if sightings[f]]
    if not used:
        return ()
    first, last = min(used), max(used)
    steps = range(last, first - 1, -1) if backward else range(first, last + 1)
    for frame in steps:
        seen = sightings.get(frame, ())
        if not seen and not tracker.tracks:
            continue
        # The clock begins at one: the tracker takes time zero for none.
        time = 1.0 + (times[last] - times[frame] if backward else times[frame] - times[first])
        for number, sighting in _step(tracker, seen, time, len(members)):
            members.setdefault(number, []).append(sighting)
    return tuple(
        Track(kind=kind, sightings=tuple(sorted(m, key=lambda s: s.frame))) for m in members.values()
    )


def _step(
    tracker: "ByteTrackTracker", seen: Sequence[Sighting], time: float, begun: int
) -> Iterator[tuple[int, Sighting]]:
    """One frame through the tracker: each sighting and the number of its track."""
    import supervision  # noqa: PLC0415 - as above

    detections = supervision.Detections(
        xyxy=np.array([_widened(s.box) for s in seen], dtype=np.float32).reshape(-1, 4),
        confidence=np.array([s.confidence for s in seen], dtype=np.float32),
        class_id=np.arange(len(seen)),
    )
    answer = tracker.update(detections, timestamp=time)
    # The tracker numbers a track at its second sighting and forgets those that miss one before; numbered at
    # birth, a track lives for as long as it may be lost.
    given = [] if answer.tracker_id is None else [int(n) for n in answer.tracker_id]
    places = [] if answer.class_id is None else [int(n) for n in answer.class_id]
    born = [t for t in tracker.tracks if t.tracker_id == -1]
    unnumbered = [i for i, number in enumerate(given) if number == -1]
    if len(born) != len(unnumbered) or len(answer) != len(seen):
        raise ModelError(
            f"the tracker lost sightings (got {len(answer)} of {len(seen)}, {len(born)} new tracks)"
        )
    for number, (place, track) in enumerate(zip(unnumbered, born, strict=True), start=begun):
        track.tracker_id = given[place] = number
    for number, place in zip(given, places, strict=True):
        yield number, seen[place]


def _widened(box: PixelBox) -> tuple[float, float, float, float]:
    dx, dy = (box.x1 - box.x0) * _ASSOCIATION_SHARE, (box.y1 - box.y0) * _ASSOCIATION_SHARE
    return box.x0 - dx, box.y0 - dy, box.x1 + dx, box.y1 + dy

"""The first pass: detectors look at every frame, segment by segment."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from anonymize.errors import MalformedItemError, ModelError
from anonymize.finding import Finding, FindingKind, FrameBox, PixelBox
from anonymize.media.detection import Detector, Image, Look
from anonymize.media.image_residual import require_detectors
from anonymize.media.masks import masked_kinds, treatment_of
from anonymize.media.video.ahead import work_ahead
from anonymize.media.video.container import VideoSource
from anonymize.media.video.frames import UprightFrame, read_frames
from anonymize.media.video.timeline import Timeline
from anonymize.profile import Profile

BATCH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFindings:
    """What was found in the frames of one segment.

    Attributes:
        index: Of the segment, from 0.
        first_frame: Index of its first frame.
        frames: How many frames were looked at: all of the segment's.
        width: Of the upright frames, in pixels.
        height: Of the upright frames, in pixels.
        findings: Each in its ``FrameBox``, of kinds and confidences that the profile masks.
    """

    index: int
    first_frame: int
    frames: int
    width: int
    height: int
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form, which ``from_dict`` reads."""
        rows = [
            [f.kind.value, f.where.frame, *box_row(f.where.box), f.confidence, f.detector, f.label]
            for f in self.findings
            if isinstance(f.where, FrameBox)
        ]
        return {
            "index": self.index,
            "first_frame": self.first_frame,
            "frames": self.frames,
            "size": [self.width, self.height],
            "findings": rows,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "SegmentFindings":
        """Read ``as_dict``.

        Raises:
            MalformedItemError: The document is of another form.
        """
        try:
            findings = tuple(
                Finding(kind=FindingKind(kind), where=FrameBox(frame=frame, box=box_of_row(row)),
                        confidence=confidence, detector=detector, label=label)
                for kind, frame, *row, confidence, detector, label in document["findings"]
            )  # fmt: skip
            return cls(
                index=document["index"],
                first_frame=document["first_frame"],
                frames=document["frames"],
                width=document["size"][0],
                height=document["size"][1],
                findings=findings,
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise MalformedItemError(f"saved findings of a segment cannot be read: {error}") from error


def box_row(box: PixelBox) -> list[int]:
    """x0, y0, x1, y1."""
    return [box.x0, box.y0, box.x1, box.y1]


def box_of_row(row: Sequence[int]) -> PixelBox:
    """The box of x0, y0, x1, y1."""
    x0, y0, x1, y1 = row
    return PixelBox(x0=x0, y0=y0, x1=x1, y1=y1)


def detect_segments(
    source: VideoSource,
    timeline: Timeline,
    *,
    detectors: Sequence[Detector],
    profile: Profile,
    start: int = 0,
) -> Iterator[SegmentFindings]:
    """Look at every frame from segment ``start`` on; no frame is skipped.

    Args:
        source: The video; used by another thread while the iterator is open.
        timeline: Its timeline.
        detectors: Detectors that together look for all kinds that the profile masks; all of them run.
        profile: Thresholds and limits.
        start: First segment to look at.

    Raises:
        ModelError: A kind has no detector, or a detector fails.
        MalformedItemError: A frame is damaged or missing (see ``read_frames``).
        LimitExceededError: The frame's size lies outside the profile's limits.
    """
    require_detectors(detectors, profile.images)
    if start >= timeline.segments:
        return
    frames = work_ahead(
        _with_rgb(read_frames(source, timeline, profile=profile, start=timeline.starts[start])),
        depth=2 * BATCH,
    )
    thresholds = {k: treatment_of(k, profile.images).threshold for k in masked_kinds(profile.images)}
    for segment in range(start, timeline.segments):
        places = timeline.segment(segment)
        found: list[Finding] = []
        size, looked = (0, 0), 0
        within = islice(frames, len(places))
        while batch := list(islice(within, BATCH)):
            images = [image for _, image in batch]
            for (index, image), findings in zip(batch, look(images, detectors, thresholds), strict=True):
                size = (image.shape[1], image.shape[0])
                found += [in_frame(f, index) for f in findings]
            looked += len(batch)
        if looked != len(places):
            raise MalformedItemError(f"segment {segment} lacks frames (got {looked}, expected {len(places)})")
        yield SegmentFindings(
            index=segment, first_frame=places.start, frames=looked, width=size[0], height=size[1],
            findings=tuple(found),
        )  # fmt: skip


def _with_rgb(frames: Iterator[UprightFrame]) -> Iterator[tuple[int, Image]]:
    for frame in frames:
        yield frame.index, frame.rgb()


def look(
    images: Sequence[Image],
    detectors: Sequence[Detector],
    thresholds: Mapping[FindingKind, float],
    look: Look = Look.MASKING,
) -> list[list[Finding]]:
    """What all detectors find in each image, each kind from its own threshold on.

    Raises:
        ModelError: A detector fails, or answers for another number of images.
    """
    found: list[list[Finding]] = [[] for _ in images]
    for detector in detectors:
        wanted = [thresholds[kind] for kind in detector.kinds if kind in thresholds]
        if not wanted:
            continue
        try:
            answers = detector.detect_batch(images, threshold=min(wanted), look=look)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"detector {detector.name} failed: {type(error).__name__}: {error}") from error
        if len(answers) != len(images):
            raise ModelError(f"{detector.name} answered for {len(answers)} images (expected {len(images)})")
        for into, answer in zip(found, answers, strict=True):
            into += [f for f in answer if f.kind in thresholds and f.confidence >= thresholds[f.kind]]
    return found


def in_frame(finding: Finding, frame: int) -> Finding:
    """The finding, placed in a frame.

    Raises:
        ModelError: It has no pixel box.
    """
    if not isinstance(finding.where, PixelBox):
        raise ModelError(f"a detector gave a finding without a pixel box (got {finding.where!r})")
    return replace(finding, where=FrameBox(frame=frame, box=finding.where))

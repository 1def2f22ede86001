"""The second look at a treated video: its structure by an allow-list, its times, and every frame of it."""

import io
from collections.abc import Iterator, Sequence
from itertools import islice

from anonymize.errors import ModelError
from anonymize.finding import FieldPath, Finding, FindingKind, FrameBox, PixelBox
from anonymize.media.detection import Detector, Image, Look, identity
from anonymize.media.image_residual import require_detectors, residual_thresholds
from anonymize.media.masks import coverage, covered_share
from anonymize.media.video.ahead import work_ahead
from anonymize.media.video.allow_list import READER, forbidden
from anonymize.media.video.container import VideoSource
from anonymize.media.video.detection import BATCH, in_frame, look
from anonymize.media.video.encoding import EncodedSegment
from anonymize.media.video.frames import read_frames
from anonymize.media.video.plan import MaskPlan, released_masks
from anonymize.media.video.timeline import Timeline, read_timeline
from anonymize.profile import Profile
from anonymize.residual import ResidualReport


def scan_video(
    source: VideoSource,
    plan: MaskPlan,
    timeline: Timeline,
    *,
    detectors: Sequence[Detector],
    profile: Profile,
) -> ResidualReport:
    """Look for what must not be in a treated video.

    1. Every box and NAL unit is on the allow-list. 2. The frames and their times are those of the original
    that are not cut.
    3. In no frame do the detectors, looking again (``Look.RESIDUAL``), find anything outside the masks.

    Args:
        source: The treated video.
        plan: What was masked, in frames of the original.
        timeline: Of the original, with what is cut.
        detectors: Detectors that together look for all kinds that the profile masks.
        profile: Thresholds, and the enlargement of masks.

    Raises:
        ModelError: A kind has no detector, or a detector fails.
        MalformedItemError: The treated video cannot be decoded.
        LimitExceededError: Its size lies outside the profile's limits.
    """
    require_detectors(detectors, profile.images)
    structural = forbidden(source, sound=profile.videos.audio == "keep")  # 1
    span = timeline.kept_frames
    residual = (*structural, *_scan(source, span, plan, timeline, detectors=detectors, profile=profile))
    return report(residual, released_masks(plan, timeline), detectors)


def report(residual: Sequence[Finding], plan: MaskPlan, detectors: Sequence[Detector]) -> ResidualReport:
    """The report of a scan of all frames; the plan is that of the treated video."""
    return ResidualReport(
        scanners=(READER, *(f"{identity(d)}+{Look.RESIDUAL}" for d in detectors)),
        residual=tuple(residual),
        facts={"frames": plan.frames, "masks": sum(map(len, plan.boxes.values()))},
    )


def scan_segment(
    encoded: EncodedSegment,
    plan: MaskPlan,
    timeline: Timeline,
    *,
    detectors: Sequence[Detector],
    profile: Profile,
) -> tuple[Finding, ...]:
    """``scan_video`` of one segment: what it still shows or holds.

    Raises:
        ModelError: A detector fails.
        MalformedItemError: The segment cannot be decoded.
        LimitExceededError: Its size lies outside the profile's limits.
    """
    content = io.BytesIO(encoded.init + encoded.media)
    span = timeline.segment(encoded.index)
    structural = forbidden(content, sound=profile.videos.audio == "keep")
    return (*structural, *_scan(content, span, plan, timeline, detectors=detectors, profile=profile))


def _scan(
    source: VideoSource,
    span: Sequence[int],
    plan: MaskPlan,
    timeline: Timeline,
    *,
    detectors: Sequence[Detector],
    profile: Profile,
) -> Iterator[Finding]:
    treated = read_timeline(source, profile=profile)
    origin = timeline.ticks[0]
    expected = [(timeline.ticks[f] - origin) * timeline.time_base for f in span]
    if [t * treated.time_base for t in treated.ticks] != expected:  # 2
        yield Finding(
            kind=FindingKind.TIMESTAMP, where=FieldPath(path="times"), confidence=1.0, detector=READER
        )
        return
    thresholds = residual_thresholds(profile.images)
    frames = work_ahead(_images(source, treated, plan, profile), depth=2 * BATCH)
    looked = 0
    while batch := list(islice(frames, BATCH)):
        answers = look(batch, detectors, thresholds, Look.RESIDUAL)  # 3
        for image, found in zip(batch, answers, strict=True):
            yield from _uncovered(image, found, span[looked], plan, profile)
            looked += 1


def _images(source: VideoSource, treated: Timeline, plan: MaskPlan, profile: Profile) -> Iterator[Image]:
    for frame in read_frames(source, treated, profile=profile):
        # Odd sizes were padded by one row or column.
        yield frame.rgb()[: plan.height, : plan.width]


def _uncovered(
    image: Image, found: Sequence[Finding], frame: int, plan: MaskPlan, profile: Profile
) -> Iterator[Finding]:
    if not found:
        return
    size = (image.shape[1], image.shape[0])
    covered = coverage(plan.findings(frame), size=size, profile=profile.images)
    for finding in found:
        if not isinstance(finding.where, PixelBox):
            raise ModelError(f"a detector gave a finding without a pixel box (got {finding.where!r})")
        if covered_share(finding, covered, profile=profile.images) < profile.images.residual_coverage:
            yield in_frame(finding, frame)


def visible(residual: Sequence[Finding]) -> tuple[Finding, ...]:
    """Those residual findings that a further mask can remove."""
    return tuple(f for f in residual if isinstance(f.where, FrameBox))

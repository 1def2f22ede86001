"""A whole video: looked at, masked, encoded and looked at again, resumable at every segment."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import av
from pydantic import TypeAdapter

from anonymize.errors import MalformedItemError, ResidualError
from anonymize.finding import Finding, Treatment
from anonymize.media.detection import Detector, detector_set_digest, identity
from anonymize.media.image_residual import require_detectors
from anonymize.media.masks import masked_kinds
from anonymize.media.video.ahead import work_ahead
from anonymize.media.video.assumed import Origin
from anonymize.media.video.checkpoint import Checkpoint
from anonymize.media.video.container import VideoSource
from anonymize.media.video.detection import SegmentFindings, detect_segments
from anonymize.media.video.encoding import EncodedSegment, encode_segments
from anonymize.media.video.evidence import (
    audio_kept,
    cut_findings,
    cut_treatments,
    object_findings,
    structural_findings,
    treatments_of,
)
from anonymize.media.video.facts import VideoFacts, facts_of
from anonymize.media.video.plan import MaskPlan, extend_plan, plan_masks, released_masks
from anonymize.media.video.residual import report, scan_segment, visible
from anonymize.media.video.timeline import Timeline, read_timeline
from anonymize.profile import Profile
from anonymize.residual import ResidualReport

_VERSION = "3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a video is: ``done`` of ``total`` segments in one stage of one pass."""

    stage: str
    passes: int
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TreatedVideo:
    """The outcome of cleansing a video; its bytes are in the checkpoint until ``contents`` has given them out.

    Attributes:
        media_type: IANA media type of the content.
        findings: One for each object, placed at its first sighting, and one for each structural finding.
        treatments: Everything that was done; counts of masks are boxes over all frames.
        facts: JSON-ready measures for policy and evidence.
        plan: Which boxes were masked in which frame of the original.
        timeline: Times of all frames of the original, and which of them were cut.
        scan: The residual scan of exactly this content: structure, times, and every frame.
        sha256: Of the content.
        size: Of the content, in bytes.
        parts: Names of the saved segments, in order; none where everything was cut.
    """

    media_type: str
    findings: tuple[Finding, ...]
    treatments: tuple[Treatment, ...]
    facts: Mapping[str, Any]
    plan: MaskPlan = field(repr=False)
    timeline: Timeline = field(repr=False)
    scan: ResidualReport
    sha256: str
    size: int
    parts: tuple[str, ...] = field(repr=False)

    @property
    def dropped(self) -> bool:
        """Whether nothing is left."""
        return not self.parts

    @property
    def masks(self) -> MaskPlan:
        """Which boxes were masked in which frame of the treated video."""
        return released_masks(self.plan, self.timeline)

    def contents(self, checkpoint: Checkpoint) -> Iterator[bytes]:
        """The file, one segment at a time.

        Raises:
            MalformedItemError: The checkpoint no longer holds what was scanned.
        """
        digest = hashlib.sha256()
        for index, part in enumerate(self.parts):
            content = _segment(checkpoint, part, self.timeline.kept[index], leads=index == 0).content
            digest.update(content)
            if index + 1 == len(self.parts) and digest.hexdigest() != self.sha256:
                raise MalformedItemError(
                    f"the segments changed since they were scanned (got {digest.hexdigest()})"
                )
            yield content


def cleanse_video(
    source: VideoSource,
    *,
    detectors: Sequence[Detector],
    profile: Profile,
    checkpoint: Checkpoint,
    progress: Callable[[Progress], None] = lambda _: None,
    cut: Sequence[tuple[float, float]] = (),
) -> TreatedVideo:
    """Mask what the profile names in every frame and write the frames anew, without anything else.

    1. Every required kind has a detector; the file is whole and within the limits. 2. Progress of another
    profile, detector set, source or version is forgotten. 3. All detectors look at every frame. 4. Tracks in
    both directions fill gaps and margins. 5. Segments are masked and encoded. 6. Each is read back, its boxes
    and times are checked, and every frame is looked at again (``Look.RESIDUAL``); what is still there is
    tracked and masked too, from the original, at most ``profile.images.max_passes`` times.

    Frames whose time lies in ``cut`` are looked at, for the sake of tracks, but neither encoded nor released. The
    others keep their times: a gap remains. Places in findings are frames of the treated video, and of the
    original for what was cut; counts are of what leaves.

    Args:
        source: The original; used by other threads during the call.
        detectors: Detectors that together look for all kinds that the profile masks; all of them must run.
        profile: Limits, thresholds and treatments.
        checkpoint: Keeps findings and segments; work goes on at the first segment that it lacks.
        progress: Called after each segment.
        cut: Closed spans in seconds from the first frame, ends may be infinite.

    Raises:
        ModelError: A detector or the replacement is missing or fails.
        MalformedItemError: The file is malformed, damaged or of an unsupported kind.
        LimitExceededError: Its size or length lies outside the profile's limits.
        ProfileError: The profile asks for what cannot be done.
        ResidualError: The last pass still leaves something visible, or the output holds more than frames.
    """
    require_detectors(detectors, profile.images)  # 1
    timeline = read_timeline(source, profile=profile).without(cut)
    facts = facts_of(source, timeline, profile=profile)
    if not timeline.kept:
        return _nothing_left(timeline, facts)
    _begin(checkpoint, detectors, profile, timeline, source, cut)  # 2
    work = _Work(source, timeline, detectors, profile, checkpoint, progress)
    plan = plan_masks(work.findings(), timeline, profile=profile)  # 3, 4
    for passes in range(1, profile.images.max_passes + 1):
        residual = work.scanned(plan, passes)  # 5, 6
        if structural := [f for f in residual if f not in visible(residual)]:
            raise ResidualError(f"the treated video holds more than frames (got {structural[0].where})")
        if not residual:
            return _treated(work, plan, facts, passes)
        plan, _ = extend_plan(plan, visible(residual), timeline, profile=profile)
    raise ResidualError(
        f"masking left something visible (got {len(residual)} detections after {profile.images.max_passes} passes)"
    )


@dataclass(frozen=True, slots=True)
class _Work:
    source: VideoSource
    timeline: Timeline
    detectors: Sequence[Detector]
    profile: Profile
    checkpoint: Checkpoint
    progress: Callable[[Progress], None]

    def findings(self) -> list[SegmentFindings]:
        total = self.timeline.segments
        done: list[SegmentFindings] = []
        while len(done) < total and (saved := self.checkpoint.load(f"findings/{len(done)}")) is not None:
            done.append(SegmentFindings.from_dict(json.loads(saved)))
        for found in detect_segments(
            self.source, self.timeline, detectors=self.detectors, profile=self.profile, start=len(done)
        ):
            self.checkpoint.save(f"findings/{found.index}", json.dumps(found.as_dict()).encode())
            done.append(found)
            self.progress(Progress(stage="detect", passes=1, done=len(done), total=total))
        return done

    def scanned(self, plan: MaskPlan, passes: int) -> list[Finding]:
        """Encode and scan the segments that were not yet, under this plan; what all of them still show."""
        kept, keys = self.timeline.kept, part_names(plan, self.timeline)
        missing = [i for i in kept if self.checkpoint.load(f"residual/{keys[i]}") is None]
        encoded = work_ahead(
            encode_segments(self.source, plan, self.timeline, profile=self.profile, segments=missing), depth=1
        )
        for done, segment in enumerate(encoded, start=len(kept) - len(missing) + 1):
            left = scan_segment(segment, plan, self.timeline, detectors=self.detectors, profile=self.profile)
            span = self.timeline.segment(segment.index)
            record = SegmentFindings(index=segment.index, first_frame=span.start, frames=len(span),
                                     width=plan.width, height=plan.height, findings=visible(left))  # fmt: skip
            if len(visible(left)) != len(left):
                return list(left)
            key = keys[segment.index]
            self.checkpoint.save(f"segments/{key}", _packed(segment))
            self.checkpoint.save(f"residual/{key}", json.dumps(record.as_dict()).encode())
            self.progress(Progress(stage="mask", passes=passes, done=done, total=len(kept)))
        residual: list[Finding] = []
        for key in keys.values():
            if (saved := self.checkpoint.load(f"residual/{key}")) is None:
                raise MalformedItemError(f"the checkpoint lost what was saved (got nothing for {key!r})")
            residual += SegmentFindings.from_dict(json.loads(saved)).findings
        return residual


def part_names(plan: MaskPlan, timeline: Timeline) -> dict[int, str]:
    """A name for each segment that leaves, in order; it changes with what is masked in the segment."""
    names = {}
    for index in timeline.kept:
        rows = [
            [f, b.kind.value, b.box.x0, b.box.y0, b.box.x1, b.box.y1]
            for f in timeline.segment(index)
            for b in plan.boxes.get(f, ())
        ]
        names[index] = f"{index}/{hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:32]}"
    return names


def _begin(
    checkpoint: Checkpoint,
    detectors: Sequence[Detector],
    profile: Profile,
    timeline: Timeline,
    source: VideoSource,
    cut: Sequence[tuple[float, float]],
) -> None:
    identity_of_run = json.dumps(
        {
            "version": _VERSION,
            "profile": hashlib.sha256(TypeAdapter(Profile).dump_json(profile)).hexdigest(),
            "detectors": detector_set_digest(detectors),
            "runtimes": sorted(d.runtime for d in detectors),
            "timeline": timeline.digest(),
            "cut": [[repr(float(end)) for end in span] for span in cut],
            "bytes": source.seek(0, 2),
            "libraries": str(sorted(av.library_versions.items())),
        },
        sort_keys=True,
    ).encode()
    if checkpoint.load("run") != identity_of_run:
        checkpoint.clear()
        checkpoint.save("run", identity_of_run)


def _packed(segment: EncodedSegment) -> bytes:
    head = json.dumps([len(segment.init), segment.masked_frames, segment.masked_pixels]).encode()
    return head + b"\n" + segment.init + segment.media


def _segment(checkpoint: Checkpoint, name: str, index: int, *, leads: bool) -> EncodedSegment:
    saved = checkpoint.load(f"segments/{name}")
    if saved is None:
        raise MalformedItemError(f"the checkpoint lost a segment (got nothing for {name!r})")
    head, _, content = saved.partition(b"\n")
    init, frames, pixels = json.loads(head)
    return EncodedSegment(index=index, leads=leads, init=content[:init], media=content[init:],
                          masked_frames=frames, masked_pixels=pixels)  # fmt: skip


def _treated(work: _Work, plan: MaskPlan, facts: VideoFacts, passes: int) -> TreatedVideo:
    names = part_names(plan, work.timeline)
    digest, size, frames, pixels = hashlib.sha256(), 0, 0, 0
    init: bytes | None = None
    for index, name in names.items():
        segment = _segment(work.checkpoint, name, index, leads=init is None)
        init = segment.init if init is None else init
        if segment.init != init:
            raise MalformedItemError(f"segment {index} was encoded with other parameter sets than the first")
        digest.update(segment.content)
        size, frames, pixels = (size + len(segment.content), frames + segment.masked_frames,
                                pixels + segment.masked_pixels)  # fmt: skip
    masks = released_masks(plan, work.timeline)
    counts = {
        k.value: sum(t.kind is k for t in masks.tracks) for k in sorted(masked_kinds(work.profile.images))
    }
    return TreatedVideo(
        media_type="video/mp4",
        findings=(*object_findings(masks), *structural_findings(facts), *cut_findings(work.timeline)),
        treatments=treatments_of(masks, facts, work.timeline, work.profile),
        facts={
            **facts.as_dict(),
            "padded": bool(facts.width % 2 or facts.height % 2),
            "masked_frames": frames,
            "masked_share": round(pixels / (facts.width * facts.height * masks.frames), 6),
            "cut_frames": facts.frames - masks.frames,
            "objects": counts,
            "boxes": {origin.value: masks.count(origin) for origin in Origin},
            "detections": len(masks.sightings),
            "plan": masks.digest(),
            "audio_kept": audio_kept(facts, work.profile),
            "passes": passes,
            "detectors": [identity(d) for d in work.detectors],
        },
        plan=plan,
        timeline=work.timeline,
        scan=report((), masks, work.detectors),
        sha256=digest.hexdigest(),
        size=size,
        parts=tuple(names.values()),
    )


def _nothing_left(timeline: Timeline, facts: VideoFacts) -> TreatedVideo:
    nothing = MaskPlan(frames=0, width=facts.width, height=facts.height, boxes={}, tracks=(), sightings=())
    return TreatedVideo(
        media_type="application/octet-stream",
        findings=cut_findings(timeline),
        treatments=cut_treatments(timeline),
        facts={**facts.as_dict(), "cut_frames": facts.frames},
        plan=nothing,
        timeline=timeline,
        scan=ResidualReport(scanners=("nothing-left",), residual=()),
        sha256=hashlib.sha256().hexdigest(),
        size=0,
        parts=(),
    )

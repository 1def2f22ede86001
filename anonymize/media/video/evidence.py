"""What is told of a treated video: objects, what the file held, what was cut, and what was done."""

from collections import Counter

from anonymize.finding import FieldPath, Finding, FindingKind, IndexSpan, Treatment, TreatmentKind
from anonymize.media.mask_evidence import mask_treatments
from anonymize.media.video.facts import VideoFacts
from anonymize.media.video.plan import MaskPlan
from anonymize.media.video.timeline import Timeline
from anonymize.profile import Profile

_READER = "video-facts"
_WAY = "way"


def object_findings(plan: MaskPlan) -> tuple[Finding, ...]:
    """One finding for each object, at its first sighting."""
    return tuple(
        Finding(kind=t.kind, where=t.first, confidence=t.confidence, detector="bytetrack",
                label=f"frames {t.first.frame}-{t.last_frame}, {len(t.seen)} sightings")
        for t in plan.tracks
    )  # fmt: skip


def structural_findings(facts: VideoFacts) -> tuple[Finding, ...]:
    """Everything in the file beside frames."""
    named = [(FindingKind.METADATA, name) for name in facts.metadata_fields]
    named += [(FindingKind.EMBEDDED_STREAM, f"{name}/{i}") for i, name in enumerate(facts.other_streams)]
    named += [(FindingKind.AUDIO, f"audio/{i}") for i in range(facts.audio_streams)]
    return tuple(
        Finding(kind=kind, where=FieldPath(path=path), confidence=1.0, detector=_READER)
        for kind, path in named
    )


def audio_kept(facts: VideoFacts, profile: Profile) -> int:
    """How many audio streams are kept."""
    return min(1, facts.audio_streams) if profile.videos.audio == "keep" else 0


def treatments_of(
    plan: MaskPlan, facts: VideoFacts, timeline: Timeline, profile: Profile
) -> tuple[Treatment, ...]:
    """Everything that was done; the plan is that of the treated video."""
    counts = Counter(b.kind for boxes in plan.boxes.values() for b in boxes)
    treatments = mask_treatments(counts, profile.images)
    removed = (
        (TreatmentKind.STRIP_METADATA, FindingKind.METADATA, len(facts.metadata_fields)),
        (TreatmentKind.DROP_STREAM, FindingKind.EMBEDDED_STREAM, len(facts.other_streams)),
        (TreatmentKind.DROP_AUDIO, FindingKind.AUDIO, facts.audio_streams - audio_kept(facts, profile)),
    )
    treatments += [Treatment(kind=kind, of=of, count=count) for kind, of, count in removed if count]
    treatments.append(
        Treatment(kind=TreatmentKind.REENCODE, of=FindingKind.METADATA, count=1,
                  parameters={"codec": profile.videos.codec, "crf": profile.videos.crf})
    )  # fmt: skip
    return (*treatments, *cut_treatments(timeline))


def cut_findings(timeline: Timeline, *, label: str = "", detector: str = _WAY) -> tuple[Finding, ...]:
    """One finding for each run of frames of the original that were cut; none says where they were taken."""
    return tuple(
        Finding(kind=FindingKind.RESTRICTED_ZONE, where=run, confidence=1.0, detector=detector, label=label)
        for run in _cut_runs(timeline)
    )


def cut_treatments(timeline: Timeline) -> tuple[Treatment, ...]:
    """How many frames were cut; none where nothing was."""
    count = sum(run.end - run.start for run in _cut_runs(timeline))
    cut = Treatment(kind=TreatmentKind.CUT, of=FindingKind.RESTRICTED_ZONE, count=count)
    return (cut,) if count else ()


def _cut_runs(timeline: Timeline) -> tuple[IndexSpan, ...]:
    runs: list[IndexSpan] = []
    for span in (timeline.segment(index) for index in sorted(timeline.cut)):
        if runs and runs[-1].end == span.start:
            runs[-1] = IndexSpan(start=runs[-1].start, end=span.stop)
        else:
            runs.append(IndexSpan(start=span.start, end=span.stop))
    return tuple(runs)

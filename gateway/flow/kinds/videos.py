"""Videos: read where they lie, masked frame by frame, tested second by second along their way."""

from dataclasses import replace
from typing import Any, BinaryIO, ClassVar

import rfc8785

from anonymize.finding import Finding, FindingKind, Treated, Treatment
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.zone_file import KINDS
from anonymize.geo.zones import ZoneSet
from anonymize.media.detection import detector_set_digest
from anonymize.media.video.cleansing import TreatedVideo, cleanse_video
from anonymize.media.video.evidence import cut_findings
from anonymize.media.video.facts import inspect_video
from anonymize.media.video.fragment_cut import cut_fragments, fragments_of, kept_times, scan_cut
from anonymize.media.video.gpmf import read_gpmf, read_gpmf_track
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import (
    Cleansing,
    Examination,
    Outcome,
    Progress,
    Settled,
    Unlinked,
    Unlinking,
    kinds_of,
    passed_on,
    ready,
    zone_tags,
)
from gateway.flow.kinds.sight import zone_facts
from gateway.flow.kinds.stated_places import is_ambiguous, require_unambiguous
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.recording import Classified, Cleansed, DataClass, Level
from gateway.people.zones import InstalledZones
from gateway.videos.checkpoint import SealedCheckpoint, basis_of
from gateway.videos.clips import fragments_within, masks_within
from gateway.videos.way import WayCheck, check_way


class VideoHandler:
    """Everything that ``anonymize.media.video`` reads; it leaves as MP4."""

    states_tracks: ClassVar[bool] = True

    def examine(
        self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str, zones: ZoneSet | None
    ) -> Examination:
        """See ``ItemHandler``."""
        video = inspect_video(original, profile=gate.profile.profile)
        if video.latitude is not None or (is_ambiguous(crs) and self.tracks(gate, kind, original, crs=crs)):
            require_unambiguous(crs, "a place that a video states")
        # Exterior video with faces or plates is important data at any volume (COMPLIANCE.md C1), as for images.
        return Examination(
            data_class=DataClass.EXT_VIDEO,
            level=Level.S3_IMPORTANT,
            tags=zone_tags(video.latitude, video.longitude, zones),
            facts={
                **video.as_dict(),
                "latitude": video.latitude,
                "longitude": video.longitude,
                "captured_at": video.captured_at.timestamp() if video.captured_at else None,
            },
        )

    def tracks(self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str) -> tuple[Track, ...]:
        """See ``ItemHandler``; the way of telemetry, with the times of its receiver where it states them."""
        del kind, crs
        track = read_gpmf_track(original, max_points=gate.profile.profile.tracks.max_points)
        return () if track is None else (track,)

    def treat(
        self,
        gate: Gate,
        item: Classified,
        original: BinaryIO,
        surroundings: Surroundings,
        progress: Progress,
    ) -> Cleansing:
        """See ``ItemHandler``."""
        profile = gate.profile.profile
        telemetry = read_gpmf(original, max_points=profile.tracks.max_points)
        captured = surroundings.captured.get(item.quarantined.item)
        camera = surroundings.cameras.get(item.quarantined.item)
        way = check_way(item.facts, captured, telemetry, surroundings, profile.images, camera)
        cut = [(span.begin_s, span.end_s) for span in way.spans]
        detectors = gate.instruments.detectors
        detectors_digest = detector_set_digest(detectors)
        checkpoint = SealedCheckpoint(
            gate, item.quarantined, basis_of(gate, item.quarantined, detectors=detectors_digest, cut=cut)
        )
        video = cleanse_video(
            original,
            detectors=detectors,
            profile=profile,
            checkpoint=checkpoint,
            progress=lambda at: progress(f"{at.stage} video", at.done, at.total),
            cut=cut,
        )
        findings, treatments = _zone_evidence(video, way, surroundings.zones)
        outcome = Outcome(
            treated=Treated(
                content=b"",
                media_type=video.media_type,
                findings=findings,
                treatments=treatments,
                dropped=video.dropped,
                facts={**video.facts, **_zone_facts(way, surroundings.zones)},
                mask=b"" if video.dropped else rfc8785.dumps(video.masks.as_dict()),
            ),
            residual=video.scan,
            zone_check=way.zone_check,
            position_handling="stripped",
            level=item.level if video.dropped else Level.S1_PROCESSED,
            detectors="" if video.dropped else detectors_digest,
            detector_kinds=() if video.dropped else kinds_of(detectors),
        )
        if video.dropped:
            return ready(outcome)
        return Cleansing(chunks=video.contents(checkpoint), settle=lambda _: outcome)

    def unlink(self, gate: Gate, cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking) -> Unlinked:
        """See ``ItemHandler``; of a video taken at a known time, what lies within one clip or kept span."""
        captured, plan = unlinking.captured, None if unlinking.captured is None else unlinking.plan()
        if captured is None or plan is None:
            return passed_on(cleansed, treated, unlinking, extension="mp4")
        fragments = fragments_of(treated)
        kept = fragments_within(fragments, plan, captured)
        ends = {(f.times_s[0], f.times_s[-1]) for f in kept}
        times, sound = kept_times(kept), gate.profile.profile.videos.audio == "keep"
        # A video says nothing of its time itself: its first frame is shown at 0 and placed in the clip.
        begins = replace(unlinking, captured=captured + kept[0].times_s[0])
        return replace(
            passed_on(cleansed, treated, begins, extension="mp4"),
            chunks=cut_fragments(treated, lambda begin_s, end_s: (begin_s, end_s) in ends),
            settle=lambda file: Settled(
                residual=scan_cut(file, times, sound=sound),
                facts={"frames": len(times), "fragments_cut": len(fragments) - len(kept)},
            ),
            mask=masks_within(fragments, kept),
        )


def _zone_facts(way: WayCheck, zones: InstalledZones | None) -> dict[str, Any]:
    return {} if zones is None else zone_facts(way.sight, "sector" if way.heading_known else "disc")


def _zone_evidence(
    video: TreatedVideo, way: WayCheck, zones: InstalledZones | None
) -> tuple[tuple[Finding, ...], tuple[Treatment, ...]]:
    """Findings and treatments of a video, those of its cut frames with the kinds of zones and the zone file."""
    if zones is None or not way.spans:
        return video.findings, video.treatments
    findings = [f for f in video.findings if f.kind is not FindingKind.RESTRICTED_ZONE]
    whole = replace(video.timeline, cut=frozenset())
    for kind in (k for k in KINDS if any(k in span.kinds for span in way.spans)):
        cut = whole.without([(s.begin_s, s.end_s) for s in way.spans if kind in s.kinds])
        findings += cut_findings(cut, label=kind.value, detector=zones.zones.detector)
    file: dict[str, str | int | float | bool] = {
        "zone_file": zones.zones.digest,
        "zone_file_version": zones.zones.version,
    }
    treatments = (
        replace(t, parameters={**t.parameters, **file}) if t.of is FindingKind.RESTRICTED_ZONE else t
        for t in video.treatments
    )
    return tuple(findings), tuple(treatments)

"""Videos: read where they lie, masked frame by frame, tested second by second along their way."""

import math
from typing import BinaryIO, ClassVar

import numpy as np
import rfc8785

from anonymize.finding import Finding, Treated
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.cut import way_in_zones
from anonymize.geo.zones import ZoneSet
from anonymize.media.detection import detector_set_digest
from anonymize.media.video.cleansing import cleanse_video
from anonymize.media.video.facts import inspect_video
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import (
    Cleansing,
    Examination,
    Outcome,
    Progress,
    Unlinked,
    Unlinking,
    cut_whole,
    kinds_of,
    passed_on,
    zone_tags,
)
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.recording import Classified, Cleansed, DataClass, Level
from gateway.videos.checkpoint import SealedCheckpoint, basis_of


class VideoHandler:
    """Everything that ``anonymize.media.video`` reads; it leaves as MP4."""

    states_tracks: ClassVar[bool] = False

    def examine(
        self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str, zones: ZoneSet | None
    ) -> Examination:
        """See ``ItemHandler``."""
        del kind, crs
        video = inspect_video(original, profile=gate.profile.profile)
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
        """See ``ItemHandler``."""
        del gate, kind, original, crs
        return ()

    def treat(
        self,
        gate: Gate,
        item: Classified,
        original: BinaryIO,
        surroundings: Surroundings,
        progress: Progress,
    ) -> Cleansing:
        """See ``ItemHandler``."""
        zone_check, hits = _way_check(gate, item, surroundings)
        if hits:
            return cut_whole(item, hits, zone_check)
        detectors = gate.instruments.detectors
        detectors_digest = detector_set_digest(detectors)
        checkpoint = SealedCheckpoint(
            gate, item.quarantined, basis_of(gate, item.quarantined, detectors=detectors_digest)
        )
        video = cleanse_video(
            original,
            detectors=detectors,
            profile=gate.profile.profile,
            checkpoint=checkpoint,
            progress=lambda at: progress(f"{at.stage} video", at.done, at.total),
        )
        outcome = Outcome(
            treated=Treated(
                content=b"",
                media_type=video.media_type,
                findings=video.findings,
                treatments=video.treatments,
                facts=video.facts,
                mask=rfc8785.dumps(video.plan.as_dict()),
            ),
            residual=video.scan,
            zone_check=zone_check,
            position_handling="stripped",
            level=Level.S1_PROCESSED,
            detectors=detectors_digest,
            detector_kinds=kinds_of(detectors),
        )
        return Cleansing(chunks=video.contents(checkpoint), settle=lambda _: outcome)

    def unlink(self, gate: Gate, cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking) -> Unlinked:
        """See ``ItemHandler``."""
        del gate
        return passed_on(cleansed, treated, unlinking, extension="mp4")


def _way_check(gate: Gate, item: Classified, surroundings: Surroundings) -> tuple[str, tuple[Finding, ...]]:
    """Where a video was taken, second by second, against the zones: how it was checked, and what it met.

    Every position that is known is tested. Where one is missing, only an attestation lets the video pass.

    Raises:
        HeldError: Neither positions nor an attestation show that all of it lies outside the zones.
    """
    profile, facts = gate.profile.profile.images, item.facts
    moments = (surroundings.captured.get(item.quarantined.item), facts.get("captured_at"))
    began = next((float(m) for m in moments if m is not None), None)
    seconds = np.linspace(0.0, facts["duration_s"], math.ceil(facts["duration_s"]) + 1)
    places = [None if began is None else surroundings.position_at(began + float(s)) for s in seconds]
    known = [(p[0], p[1]) for p in places if p is not None]
    if facts.get("latitude") is not None:
        known.append((float(facts["latitude"]), float(facts["longitude"])))
    hits: tuple[Finding, ...] = ()
    if known and surroundings.zones is not None:
        radius = profile.pose_error_m + profile.view_distance_m
        lat, lon = np.array(known, dtype=np.float64).T
        hits = way_in_zones(lat, lon, surroundings.zones.zones, radius_m=radius)
    if hits and surroundings.zones is not None:
        return "tested", hits
    return surroundings.zone_check(None if None in places else known), ()

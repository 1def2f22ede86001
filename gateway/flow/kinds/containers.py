"""Containers of message streams: each channel by its own rule, all cut and moved together; out comes MCAP."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, BinaryIO, ClassVar

from anonymize.containers.can_residual import scan_can_frames
from anonymize.containers.cleanse import cleanse_container
from anonymize.containers.container_pass import ContainerPass, PassOutcome
from anonymize.containers.expanded import expanded
from anonymize.containers.open import open_container
from anonymize.containers.positions import tracks_of
from anonymize.containers.residual import scan_messages
from anonymize.containers.rules import treatments_of
from anonymize.containers.stream import Container, ContainerKind
from anonymize.containers.structure import scan_structure
from anonymize.containers.unlink import CLIP_TOPIC, unlink_container
from anonymize.errors import MalformedItemError, ResidualError, UnknownCrsError
from anonymize.finding import FindingKind, Treated, TreatmentKind
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.approved_witness import WitnessedDisplacement
from anonymize.geo.crs_names import BD09, GCJ02, canonical_name
from anonymize.geo.cut import cut_track
from anonymize.geo.displacement import KeyedOffset
from anonymize.geo.zones import ZoneSet
from anonymize.media.detection import Detector, detector_set_digest
from anonymize.media.image_decoding import ImageKind
from anonymize.media.images import cleanse_image, scan_image
from anonymize.profile import ImageProfile, Profile
from anonymize.residual import ResidualReport, joined
from anonymize.text.redact import redact
from gateway.flow.gate import Gate
from gateway.flow.kinds.approving import displacement_of, mode_of, settled
from gateway.flow.kinds.container_places import Shown, lowered, scanned_places, shown_of
from gateway.flow.kinds.handling import (
    Cleansing,
    Examination,
    Outcome,
    Progress,
    Settled,
    Unlinked,
    Unlinking,
    kinds_of,
)
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.recording import Classified, Cleansed, DataClass, Level
from gateway.vehicles.dbc import InstalledDbc, dbc_in_force, require_dbc

_MEDIA_TYPE = "application/x-mcap"
_KINDS = {
    ItemKind.MCAP: ContainerKind.MCAP,
    ItemKind.ROS1_BAG: ContainerKind.ROS1_BAG,
    ItemKind.ROS2_DB3: ContainerKind.ROS2_DB3,
}
_PLACES = frozenset({"position", "pose", "transform", "motion", "can"})
_MASKS = frozenset(
    {TreatmentKind.MASK_MEAN, TreatmentKind.MASK_SOLID, TreatmentKind.MASK_PIXELATE, TreatmentKind.MASK_BLUR,
     TreatmentKind.MASK_REPLACE}
)  # fmt: skip


class ContainerHandler:
    """MCAP, ROS 1 bags and ROS 2 databases."""

    states_tracks: ClassVar[bool] = True

    def examine(
        self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str, zones: ZoneSet | None
    ) -> Examination:
        """See ``ItemHandler``."""
        profile = gate.profile.profile
        container = open_container(original, _KINDS[kind], profile=profile.containers)
        tracks = tracks_of(container, profile=profile)
        if tracks and canonical_name(crs) in {GCJ02, BD09}:
            raise UnknownCrsError(
                f"fixes of containers are WGS-84 by definition (got a manifest of {crs!r}, expected no other)"
            )
        tags = {"TRACK"} if tracks else set[str]()
        for track in tracks if zones is not None else ():
            tags |= set(zones.test(track.lat, track.lon).kinds()) if zones is not None else set()
        used = _treatments(container, profile)
        # Speeds and rates of turn on a bus rebuild the way.
        tags |= {"TRACK"} if "can" in used else set()
        summary = container.summary
        return Examination(
            data_class=_class_of(used),
            level=Level.S3_SENSITIVE_GEO,
            tags=tuple(sorted(tags)),
            facts={
                "crs": "EPSG:4326" if tracks else "LOCAL",
                "channels": len(summary.channels),
                "messages": sum(summary.counts.values()),
                "treatments": dict(sorted(Counter(used).items())),
                "fixes": sum(len(track) for track in tracks),
            },
        )

    def tracks(self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str) -> tuple[Track, ...]:
        """See ``ItemHandler``."""
        del crs
        profile = gate.profile.profile
        return tracks_of(open_container(original, _KINDS[kind], profile=profile.containers), profile=profile)

    def treat(
        self,
        gate: Gate,
        item: Classified,
        original: BinaryIO,
        surroundings: Surroundings,
        progress: Progress,
    ) -> Cleansing:
        """See ``ItemHandler``."""
        del progress
        profile = gate.profile.profile
        reference = surroundings.reference
        zone_check = surroundings.zone_check(reference)
        if reference is not None:
            surroundings.require_zones()
        zones = surroundings.zones.zones if surroundings.zones else None
        container = open_container(original, _KINDS[item.kind], profile=profile.containers)
        used = _treatments(container, profile)
        detectors = gate.instruments.detectors if "image" in used else ()
        dbc = dbc_in_force(gate) if "can" in used else None
        run = cleanse_container(
            container,
            zones=zones,
            reference=reference,
            profile=profile,
            images=_images(detectors, profile.images),
            text=lambda text: redact(text, gate.instruments.analyzer).text,
            dbc=None if dbc is None else dbc.content,
            attested=surroundings.attested,
        )

        def settle(sealed: BinaryIO) -> Outcome:
            outcome = run.outcome()
            return Outcome(
                treated=_treated(outcome, dbc),
                residual=_cleansed_residual(sealed, outcome, zones, profile, dbc, reference),
                zone_check=zone_check,
                position_handling="raw" if _PLACES & set(used) else "stripped",
                level=Level.S3_SENSITIVE_GEO,
                detectors=detector_set_digest(detectors) if detectors else "",
                detector_kinds=kinds_of(detectors),
                tags=outcome.tags,
                counts=_masked(outcome),
            )

        return Cleansing(chunks=run.chunks(), settle=settle)

    def unlink(self, gate: Gate, cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking) -> Unlinked:
        """See ``ItemHandler``."""
        profile, reference = gate.profile.profile, unlinking.reference
        if reference is None:
            raise MalformedItemError(
                "a container is released along a track with times (got a recording without)"
            )
        mode, displacement = mode_of(unlinking), displacement_of(gate, unlinking)
        local = mode == "LOCAL"
        # The DBC that the frames were treated with, also when another is in force by now.
        digest = cleansed.payload["facts"].get("dbc")
        dbc = None if digest is None else require_dbc(gate, str(digest))
        shown = shown_of(unlinking, reference, displacement, profile)
        run = unlink_container(
            open_container(treated, ContainerKind.MCAP, profile=profile.containers),
            mode=mode,
            key=unlinking.key,
            context=unlinking.context,
            reference=reference,
            profile=profile,
            can=dbc is not None,
            displacement=displacement if isinstance(displacement, WitnessedDisplacement) else None,
        )
        data_class = cleansed.classified.data_class
        return Unlinked(
            chunks=run.chunks(),
            extension="mcap",
            media_type=_MEDIA_TYPE,
            data_class=DataClass.TRAJ_REL if local and data_class is DataClass.TRAJ_ABS else data_class,
            position_handling=mode.lower(),
            absolute_time="stripped" if local else "shifted",
            settle=_settling(run, treated, unlinking, reference, displacement, shown, profile, dbc),
            searched="identifiers",
            expanded=expanded,
        )


def _settling(
    run: ContainerPass,
    treated: BinaryIO,
    unlinking: Unlinking,
    reference: Track,
    displacement: KeyedOffset | None,
    shown: Shown | None,
    profile: Profile,
    dbc: InstalledDbc | None,
) -> Callable[[BinaryIO], Settled]:
    def settle(sealed: BinaryIO) -> Settled:
        outcome = run.outcome()
        left = _topics(outcome)
        if not left:
            raise MalformedItemError("no message of the container lies in the release (expected some)")
        mode = mode_of(unlinking)
        local = {CLIP_TOPIC} if mode == "LOCAL" else set[str]()
        structure = scan_structure(sealed, channels=left | local)
        sealed.seek(0)
        again = open_container(sealed, ContainerKind.MCAP, profile=profile.containers)
        messages = scan_messages(
            again,
            mode=mode,
            reference=reference,
            profile=profile,
            shown=shown.track if shown else None,
            can=dbc is not None,
        )
        frames = _scanned_frames(again, profile, dbc, reference)
        places = scanned_places(again, treated, unlinking, reference, profile)
        facts = dict(outcome.facts) | _of(dbc) | (dict(shown.facts) if shown else {})
        made = settled(displacement, joined(structure, messages, frames, *places), facts)
        return replace(made, level=lowered(unlinking, outcome, again.summary, profile.containers))

    return settle


def _treatments(container: Container, profile: Profile) -> list[str]:
    """The treatment of each channel that has messages."""
    found = treatments_of(container.summary, profile.containers)
    return [treat for channel, treat in found.items() if container.summary.counts.get(channel, 0)]


def _class_of(used: list[str]) -> DataClass:
    """The most telling class among the channels."""
    if "image" in used:
        return DataClass.EXT_VIDEO
    if "points" in used:
        return DataClass.POINT_CLOUD
    return DataClass.TRAJ_ABS


def _images(detectors: tuple[Detector, ...], profile: ImageProfile) -> Callable[[bytes, ImageKind], Treated]:
    """The treatment of image files, which the second look must find clean."""

    def treat(content: bytes, kind: ImageKind) -> Treated:
        treated = cleanse_image(content, kind, detectors=detectors, profile=profile)
        report = scan_image(
            treated.content, kind, detectors=detectors, profile=profile, masked=treated.findings
        )
        if not report.clean:
            found = sorted({f.kind.value for f in report.residual})
            raise ResidualError(f"the residual scan still finds {', '.join(found)}")
        return treated

    return treat


def _topics(outcome: PassOutcome) -> set[str]:
    """Topics of which messages went out."""
    return {topic for topic, counts in outcome.facts["messages"].items() if counts["out"]}


def _of(dbc: InstalledDbc | None) -> dict[str, Any]:
    """Which DBC frames were treated with, for the evidence; empty without one."""
    return {} if dbc is None else {"dbc": dbc.digest, "dbc_version": dbc.version}


def _scanned_frames(
    container: Container, profile: Profile, dbc: InstalledDbc | None, reference: Track | None
) -> ResidualReport:
    return scan_can_frames(
        container, dbc=None if dbc is None else dbc.content, profile=profile, track=reference
    )


def _treated(outcome: PassOutcome, dbc: InstalledDbc | None) -> Treated:
    return Treated(
        content=b"",
        media_type=_MEDIA_TYPE,
        findings=outcome.findings,
        treatments=outcome.treatments,
        facts={**outcome.facts, **_of(dbc)},
        dropped=not _topics(outcome),
    )


def _masked(outcome: PassOutcome) -> dict[str, int]:
    """How often something was masked: findings of a container are gathered by topic, subjects are counted."""
    counts: Counter[str] = Counter()
    for treatment in outcome.treatments:
        if treatment.kind in _MASKS:
            counts[treatment.of.value] += treatment.count
    return dict(counts)


def _cleansed_residual(
    sealed: BinaryIO,
    outcome: PassOutcome,
    zones: ZoneSet | None,
    profile: Profile,
    dbc: InstalledDbc | None,
    reference: Track | None,
) -> ResidualReport:
    """The structure by a reader of its own, the tracks that are left against the zones, and frames of CAN."""
    if not _topics(outcome):
        return ResidualReport(scanners=("nothing-left",), residual=())
    structure = scan_structure(sealed, channels=_topics(outcome))
    sealed.seek(0)
    again = open_container(sealed, ContainerKind.MCAP, profile=profile.containers)
    left = [
        finding
        for track in (tracks_of(again, profile=profile) if zones is not None else ())
        for finding in (cut_track(track, zones, profile=profile.tracks).findings if zones is not None else ())
        if finding.kind is FindingKind.RESTRICTED_ZONE
    ]
    zone_test = ResidualReport(scanners=("re-read-and-zone-test",), residual=tuple(left))
    return joined(structure, zone_test, _scanned_frames(again, profile, dbc, reference))

"""Point clouds: sweeps in the frame of their sensor, and clouds that lie on the ground."""

import os
from typing import Any, BinaryIO, ClassVar

from anonymize.errors import MalformedItemError, ThinnedError
from anonymize.finding import Treated
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.clips import ClipPlan
from anonymize.geo.zones import ZoneSet
from anonymize.points.cleanse import cleanse_cloud
from anonymize.points.cloud import CloudTreated, Place
from anonymize.points.kinds import MEDIA_TYPES, CloudKind
from anonymize.points.residual import CloudCheck, scan_cloud
from anonymize.points.thinning import keep_sweep
from anonymize.points.unlink import CloudRelease, unlink_cloud
from gateway.flow.gate import Gate
from gateway.flow.kinds.approving import displacement_of, mode_of, settled
from gateway.flow.kinds.handling import (
    Cleansing,
    Examination,
    Outcome,
    Progress,
    Settled,
    Unlinked,
    Unlinking,
    cut_whole,
    passed_on,
    placed,
)
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.recording import Classified, Cleansed, DataClass, Level

_KINDS = {
    ItemKind.KITTI_POINTS: CloudKind.KITTI,
    ItemKind.PCD: CloudKind.PCD,
    ItemKind.LAS: CloudKind.LAS,
    ItemKind.LAZ: CloudKind.LAZ,
    ItemKind.COPC: CloudKind.COPC,
}
_EXTENSIONS = {CloudKind.KITTI: "bin", CloudKind.PCD: "pcd", CloudKind.LAS: "las", CloudKind.LAZ: "laz"}
_GEOREFERENCED = "georeferenced"


class CloudHandler:
    """KITTI sweeps, PCD, LAS, LAZ and COPC."""

    states_tracks: ClassVar[bool] = False

    def examine(
        self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str, zones: ZoneSet | None
    ) -> Examination:
        """See ``ItemHandler``."""
        # The first pass reads everything that classification wants to know; what it would write is not taken.
        found = _first_pass(gate, _KINDS[kind], original, zones=zones, place=None, crs=crs)
        tags: tuple[str, ...] = ()
        if zones is not None and found.facts["situation"] == _GEOREFERENCED:
            tags = tuple(sorted({f.label for f in found.findings if f.label in zones_kinds(zones)}))
        return Examination(
            data_class=DataClass.POINT_CLOUD,
            level=Level.S3_SENSITIVE_GEO,
            tags=tags,
            facts={"points": found.facts["points_in"], "crs": found.facts["crs"], "declared_crs": crs},
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
        del progress
        zones = surroundings.zones.zones if surroundings.zones else None
        place = _place_of(gate, item, surroundings)
        declared = str(item.facts["declared_crs"])
        treated = _first_pass(gate, _KINDS[item.kind], original, zones=zones, place=place, crs=declared)
        georeferenced = treated.facts["situation"] == _GEOREFERENCED
        if georeferenced:
            surroundings.require_zones()
        zone_check = "tested" if georeferenced else surroundings.zone_check(place)
        if treated.dropped:
            return cut_whole(item, treated.findings, zone_check)

        def settle(sealed: BinaryIO) -> Outcome:
            check = CloudCheck(
                stage="CLEANSED", georeferenced=georeferenced, crs=declared, zones=zones, place=place
            )
            return Outcome(
                treated=Treated(
                    content=b"",
                    media_type=MEDIA_TYPES[treated.kind],
                    findings=treated.findings,
                    treatments=treated.treatments,
                    facts={**treated.facts, "stored": treated.kind.value, "declared_crs": declared},
                ),
                residual=scan_cloud(
                    sealed,
                    treated.kind,
                    check=check,
                    profile=gate.profile.profile.points,
                    tracks=gate.profile.profile.tracks,
                ),
                zone_check=zone_check,
                position_handling="raw" if georeferenced else "none",
                level=Level.S3_SENSITIVE_GEO,
            )

        return Cleansing(chunks=treated.chunks, settle=settle)

    def unlink(self, gate: Gate, cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking) -> Unlinked:
        """See ``ItemHandler``."""
        facts = cleansed.payload["facts"]
        kind = CloudKind(facts["stored"])
        require_kept(gate, unlinking)
        if facts["situation"] != _GEOREFERENCED:
            return passed_on(cleansed, treated, unlinking, extension=_EXTENSIONS[kind])
        mode, displacement = mode_of(unlinking), displacement_of(gate, unlinking)
        profile, declared = gate.profile.profile, str(facts["declared_crs"])
        where = placed(unlinking)
        plan = unlinking.plan() if "clip" in where else None
        moved = unlink_cloud(
            treated,
            kind,
            release=CloudRelease(
                mode=mode,
                key=unlinking.key,
                context=unlinking.item,
                offset=displacement,
                frame=plan.clips[where["clip"]["number"]] if isinstance(plan, ClipPlan) else None,
            ),
            crs=declared,
            profile=profile.points,
            tracks=profile.tracks,
        )
        if moved.dropped:
            raise MalformedItemError("no point of the cloud lies within the clip (expected some)")
        local = mode == "LOCAL"

        def settle(sealed: BinaryIO) -> Settled:
            check = CloudCheck(
                stage=mode,
                georeferenced=True,
                crs=str(moved.facts["crs"]),
                original=treated,
                original_crs=declared,
                processor=unlinking.processor,
            )
            residual = scan_cloud(
                sealed, moved.kind, check=check, profile=profile.points, tracks=profile.tracks
            )
            return settled(displacement, residual, moved.facts)

        return Unlinked(
            chunks=moved.chunks,
            extension=_EXTENSIONS[moved.kind],
            media_type=MEDIA_TYPES[moved.kind],
            data_class=DataClass.POINT_CLOUD,
            position_handling=mode.lower(),
            absolute_time="stripped" if local else "shifted",
            settle=settle,
            placed=where,
            searched="everything" if local else "identifiers",
            level=Level.S1_PROCESSED if mode == "APPROVED" else None,
        )


def _place_of(gate: Gate, item: Classified, surroundings: Surroundings) -> Place | None:
    """Where the sensor was, and the heading of its x axis: ahead in KITTI's sweeps; no other format says."""
    place, trust = surroundings.place_of(item), gate.profile.profile.images.sectors
    if place is None:
        return None
    heading = None
    if trust is not None and item.kind is ItemKind.KITTI_POINTS:
        heading = surroundings.heading_of(item, least_speed_mps=trust.least_speed_mps)
    if trust is not None and heading is not None:
        heading = heading.turned(0.0, error_deg=trust.least_heading_error_deg)
    return place[0], place[1], heading


def _first_pass(
    gate: Gate,
    kind: CloudKind,
    original: BinaryIO,
    *,
    zones: ZoneSet | None,
    place: Place | None,
    crs: str,
) -> CloudTreated:
    original.seek(0, os.SEEK_SET)
    return cleanse_cloud(
        original, kind, zones=zones, place=place, crs=crs, profile=gate.profile.profile.points
    )


def zones_kinds(zones: ZoneSet) -> frozenset[str]:
    """Kinds of the zones of a file."""
    return frozenset(zone.kind.value for zone in zones.zones)


def require_kept(gate: Gate, unlinking: Unlinking) -> None:
    """Thin the sweeps of a sensor (点云抽帧); of fewer than the profile's step one is kept.

    Raises:
        ThinnedError: The release holds other sweeps of the sensor.
    """
    profile, series = gate.profile.profile.points, unlinking.series
    few = series.count < profile.keep_every
    kept: Any = (
        series.index == 0
        if few
        else keep_sweep(series.index, key=unlinking.key, sensor=series.sensor, profile=profile)
    )
    if not kept:
        raise ThinnedError(f"one sweep of {profile.keep_every} is released (this is none of them)")

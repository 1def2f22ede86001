"""LiDAR sweeps in the frame of their sensor."""

from typing import Any, BinaryIO, ClassVar

from anonymize.finding import Finding, FindingKind, Treated
from anonymize.formats.identify import ItemKind
from anonymize.formats.kitti import read_points, write_points
from anonymize.formats.track import Track
from anonymize.geo.cut import cut_points
from anonymize.geo.zones import ZoneSet
from anonymize.residual import ResidualReport
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import (
    Cleansing,
    Examination,
    Outcome,
    Progress,
    Unlinked,
    Unlinking,
    cut_whole,
    passed_on,
    ready,
)
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.recording import Classified, Cleansed, DataClass, Level


class SweepHandler:
    """KITTI sweeps."""

    states_tracks: ClassVar[bool] = False

    def examine(
        self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str, zones: ZoneSet | None
    ) -> Examination:
        """See ``ItemHandler``."""
        del kind, crs, zones
        count = len(read_points(original.read(), profile=gate.profile.profile.points))
        return Examination(
            data_class=DataClass.POINT_CLOUD,
            level=Level.S3_SENSITIVE_GEO,
            tags=(),
            facts={"points": count, "crs": "LOCAL"},
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
        profile = gate.profile.profile.points
        points = read_points(original.read(), profile=profile)
        place = surroundings.place_of(item)
        zone_check = surroundings.zone_check(place)
        kept = points
        findings: tuple[Finding, ...] = ()
        treatments: tuple[Any, ...] = ()
        left: tuple[Finding, ...] = ()
        if place is not None and surroundings.zones is not None:
            latitude, longitude, course = place
            zones = surroundings.zones.zones
            cut = cut_points(
                points, zones=zones, lat=latitude, lon=longitude, course_deg=course, profile=profile
            )
            if cut.dropped_all:
                return cut_whole(item, tuple(cut.findings), zone_check)
            kept, findings, treatments = cut.points, tuple(cut.findings), tuple(cut.treatments)
            again = cut_points(
                kept, zones=zones, lat=latitude, lon=longitude, course_deg=course, profile=profile
            )
            left = tuple(f for f in again.findings if f.kind is FindingKind.RESTRICTED_ZONE)
        treated = Treated(
            content=write_points(kept),
            media_type="application/octet-stream",
            findings=findings,
            treatments=treatments,
            facts={"points_in": len(points), "points_out": len(kept)},
        )
        return ready(
            Outcome(
                treated=treated,
                residual=ResidualReport(scanners=("re-read-and-zone-test",), residual=left),
                zone_check=zone_check,
                position_handling="none",
                level=Level.S3_SENSITIVE_GEO,
            )
        )

    def unlink(self, gate: Gate, cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking) -> Unlinked:
        """See ``ItemHandler``."""
        del gate, unlinking
        return passed_on(cleansed, treated, extension="bin", absolute_time="stripped")

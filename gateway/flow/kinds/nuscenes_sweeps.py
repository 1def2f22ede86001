"""nuScenes LiDAR sweeps: cut where the poses of their recording put them, thinned and placed like other sweeps."""

from typing import BinaryIO, ClassVar

from anonymize.errors import CompanionError
from anonymize.finding import Treated
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.zones import ZoneSet
from anonymize.layouts.sweeps import cleanse_sweep, read_sweep, write_sweep
from anonymize.layouts.sweeps_residual import scan_sweep
from gateway.errors import HeldError
from gateway.flow.gate import Gate
from gateway.flow.kinds.clouds import require_kept
from gateway.flow.kinds.handling import (
    Cleansing,
    Examination,
    Outcome,
    Progress,
    Unlinked,
    Unlinking,
    cut_whole,
    passed_on,
)
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.recording import Classified, Cleansed, DataClass, Level

_MEDIA_TYPE = "application/octet-stream"
_EXTENSION = "pcd.bin"


class NuscenesSweepHandler:
    """Sweeps of five float32 a point, in the frame of their sensor."""

    states_tracks: ClassVar[bool] = False

    def examine(
        self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str, zones: ZoneSet | None
    ) -> Examination:
        """See ``ItemHandler``."""
        del kind, crs, zones
        points = read_sweep(original.read(), profile=gate.profile.profile.points)
        return Examination(
            data_class=DataClass.POINT_CLOUD,
            level=Level.S3_SENSITIVE_GEO,
            tags=(),
            facts={"points": len(points), "crs": "LOCAL"},
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
        """See ``ItemHandler``; no attestation stands for a place.

        Raises:
            CompanionError: ``ego_pose`` or the log is missing, held or there twice.
            HeldError: Nothing says when it was taken, no pose is near that time, or no zone file is installed.
            UnknownCrsError: The log states another location than the manifest, or several.
        """
        del progress
        zones, profile = surroundings.require_zones().zones, gate.profile.profile.points
        surroundings.nuscenes.require(None)
        place = surroundings.place_of(item)
        if place is None:
            raise HeldError(
                "zones_unchecked",
                "a sweep of nuScenes is cut where poses put it (got no time, or no pose near it)",
            )
        lat, lon, _ = place
        heading = surroundings.pose_heading_of(item)
        cut = cleanse_sweep(
            read_sweep(original.read(), profile=profile),
            zones=zones,
            lat=lat,
            lon=lon,
            heading=heading,
            profile=profile,
        )
        if not len(cut.points):
            return cut_whole(item, tuple(cut.findings), "tested")

        def settle(sealed: BinaryIO) -> Outcome:
            return Outcome(
                treated=Treated(
                    content=b"",
                    media_type=_MEDIA_TYPE,
                    findings=tuple(cut.findings),
                    treatments=tuple(cut.treatments),
                    facts={"points_in": item.facts["points"], "points_out": len(cut.points)},
                ),
                residual=scan_sweep(
                    sealed.read(), zones=zones, lat=lat, lon=lon, heading=heading, profile=profile
                ),
                zone_check="tested",
                position_handling="none",
                level=Level.S3_SENSITIVE_GEO,
            )

        return Cleansing(chunks=[write_sweep(cut.points)], settle=settle)

    def unlink(self, gate: Gate, cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking) -> Unlinked:
        """See ``ItemHandler``.

        Raises:
            CompanionError: What placed it in the first pass is not there any more.
            ThinnedError: The release holds other sweeps of the sensor.
        """
        require_kept(gate, unlinking)
        unlinking.nuscenes.require(None)
        if unlinking.captured is None or unlinking.plan() is None:
            raise CompanionError("nothing places the sweep (got no time or no track, expected both)")
        return passed_on(cleansed, treated, unlinking, extension=_EXTENSION)

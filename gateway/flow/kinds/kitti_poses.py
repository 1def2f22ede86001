"""KITTI's poses: a path without a place, which the recording's track gives it."""

from dataclasses import replace
from typing import BinaryIO, ClassVar

import numpy as np

from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.clips import ClipPlan
from anonymize.geo.cut import zone_findings
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.geo.zones import ZoneSet
from anonymize.layouts.kitti_residual import scan_poses
from anonymize.layouts.poses import (
    MEDIA_TYPE,
    PlacedPoses,
    cleanse_poses,
    local_poses,
    offset_poses,
    place_poses,
    read_poses,
    read_stored_poses,
)
from anonymize.residual import ResidualReport
from gateway.flow.gate import Gate
from gateway.flow.kinds.displaced import settled
from gateway.flow.kinds.handling import (
    Cleansing,
    Examination,
    Outcome,
    Progress,
    Unlinked,
    Unlinking,
    cut_whole,
    ready,
)
from gateway.flow.kinds.kitti_times import plan_of, sibling_of, timed_track
from gateway.flow.kinds.line_times import times_of_lines
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.kinds.tracks import require_clean
from gateway.flow.recording import Classified, Cleansed, DataClass, Level, ReleaseMode

_SCANNER = "re-read-and-zone-test"


class PosesHandler:
    """``poses/*.txt``: a path without a place, which the recording's track gives it."""

    states_tracks: ClassVar[bool] = False

    def examine(
        self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str, zones: ZoneSet | None
    ) -> Examination:
        """See ``ItemHandler``."""
        del kind, crs, zones
        poses = read_poses(original.read(), profile=gate.profile.profile.tracks)
        steps = np.diff(poses[:, [0, 2], 3], axis=0)
        return Examination(
            data_class=DataClass.POSE_IMU,
            level=Level.S3_SENSITIVE_GEO,
            tags=("TRACK",),
            facts={
                "crs": "LOCAL",
                "poses": len(poses),
                "path_length_m": float(np.hypot(*steps.T).sum()),
            },
        )

    def tracks(self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str) -> tuple[Track, ...]:
        """See ``ItemHandler``; poses say where the vehicle was by the track of their recording alone."""
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
        """See ``ItemHandler``.

        Raises:
            HeldError: No zone file is installed, no track has times, or no one file of times has their lines.
            MalformedItemError: The poses do not follow the track.
        """
        del progress
        zones, track = surroundings.require_zones().zones, timed_track(surroundings)
        profile = gate.profile.profile.tracks
        poses = read_poses(original.read(), profile=profile)
        times = times_of_lines(
            sibling_of(surroundings, item), len(poses), surroundings.siblings, profile=profile
        )
        treated = cleanse_poses(place_poses(poses, time_s=times, track=track), zones=zones, profile=profile)
        if treated.dropped:
            return cut_whole(item, treated.findings, "tested")
        again = read_stored_poses(treated.content, profile=profile)
        report = ResidualReport(
            scanners=(_SCANNER,), residual=tuple(zone_findings(zones.test(again.lat, again.lon), zones))
        )
        return ready(
            Outcome(
                treated=replace(treated, facts={**treated.facts, "lines_in": len(poses)}),
                residual=report,
                zone_check="tested",
                position_handling="raw",
                level=Level.S3_SENSITIVE_GEO,
            )
        )

    def unlink(self, gate: Gate, cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking) -> Unlinked:
        """See ``ItemHandler``."""
        del cleansed
        profile, plan = gate.profile.profile.tracks, plan_of(unlinking)
        poses = read_stored_poses(treated.read(), profile=profile)
        moved = (
            local_poses(poses, plan, profile=profile)
            if isinstance(plan, ClipPlan)
            else offset_poses(poses, plan, profile=profile)
        )
        source = moved.source
        report = require_clean(
            scan_poses(
                moved.content,
                lat=source.lat,
                lon=source.lon,
                time_s=source.time_s,
                plan=plan,
                profile=profile,
            ),
            "file of poses",
        )
        known = settled(gate, unlinking, report, source=_way(source, plan), evidence=moved.evidence)
        approved = unlinking.mode is ReleaseMode.APPROVED
        return Unlinked(
            chunks=[moved.content],
            extension="csv",
            media_type=MEDIA_TYPE,
            data_class=DataClass.POSE_IMU,
            position_handling=unlinking.mode.value.lower(),
            # Times run from the begin of each clip or span: the file holds no date.
            absolute_time="stripped",
            settle=lambda _: known,
            level=Level.S1_PROCESSED if approved else None,
            searched="identifiers" if approved else "everything",
        )


def _way(poses: PlacedPoses, plan: ClipPlan | OffsetPlan) -> Track:
    """The true path behind released poses; its segments are the plan's spans."""
    unknown = np.full(len(poses), np.nan)
    number = plan.clip_of(poses.time_s) if isinstance(plan, ClipPlan) else plan.span_of(poses.time_s)
    return Track(
        lat=poses.lat,
        lon=poses.lon,
        time_s=poses.time_s,
        elevation_m=unknown,
        speed_mps=unknown,
        segment=number.astype(np.int32),
        crs="EPSG:4326",
    )

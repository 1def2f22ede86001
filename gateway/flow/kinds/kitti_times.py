"""KITTI's files of times: they state no place, but when the recording was where its track says."""

from typing import BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import MalformedItemError
from anonymize.finding import Finding, FindingKind, IndexSpan, Treated, Treatment, TreatmentKind
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.clips import ClipPlan
from anonymize.geo.cut import zone_findings
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.geo.zone_spans import ZoneSpan
from anonymize.geo.zones import ZoneSet
from anonymize.layouts import timestamps
from anonymize.layouts.kitti_residual import scan_times
from anonymize.layouts.poses import on_track
from anonymize.residual import ResidualReport
from gateway.errors import HeldError
from gateway.flow.gate import Gate
from gateway.flow.kinds.can_way import require_same_clock, spans_to_cut, zone_kinds
from gateway.flow.kinds.handling import (
    Cleansing,
    Examination,
    Outcome,
    Progress,
    Settled,
    Unlinked,
    Unlinking,
    cut_whole,
    ready,
)
from gateway.flow.kinds.line_times import line_times
from gateway.flow.kinds.siblings import Sibling
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.kinds.tracks import require_clean
from gateway.flow.recording import Classified, Cleansed, DataClass, Level

BoolArray = NDArray[np.bool_]

_SCANNER = "re-read-and-zone-test"


class TimesHandler:
    """``timestamps*.txt`` and ``times.txt``: no place, but when the recording was where its track says."""

    states_tracks: ClassVar[bool] = False

    def examine(
        self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str, zones: ZoneSet | None
    ) -> Examination:
        """See ``ItemHandler``."""
        del crs, zones
        content, profile = original.read(), gate.profile.profile.tracks
        if kind is ItemKind.KITTI_TIMES:
            times = timestamps.read_times(content, begin_s=0.0, profile=profile)
        else:
            times = timestamps.read_timestamps(content, profile=profile)
            timestamps.states_zone(content)
        return Examination(
            # Their pattern joins two releases of a trip as its poses do.
            data_class=DataClass.POSE_IMU,
            level=Level.S3_SENSITIVE_GEO,
            tags=(),
            facts={"lines": len(times), "duration_s": round(float(times.max() - times.min()), 3)},
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
        """See ``ItemHandler``.

        Raises:
            HeldError: Nothing says when the lines were, or where: no captured_at, no timed track, no zone file.
        """
        del progress
        profile, track = gate.profile.profile, timed_track(surroundings)
        times = line_times(
            sibling_of(surroundings, item), original.read(), surroundings.siblings, profile=profile.tracks
        )
        require_same_clock((float(times.min()), float(times.max())), track, what="times file")
        zone_check = surroundings.zone_check(track)
        near = zone_check == "tested"
        cuts = spans_to_cut(track, surroundings, profile.images.pose_error_m) if near else ()
        gone = _within(times, cuts)
        hits = _hits(times, gone, cuts)
        left = times[~gone]
        if not len(left):
            return cut_whole(item, hits, zone_check)
        treated = Treated(
            content=timestamps.write_stored_times(left),
            media_type=timestamps.MEDIA_TYPE_STORED,
            findings=hits,
            treatments=_cut(int(gone.sum()), surroundings),
            facts={"lines_in": len(times), "lines_out": len(left)},
        )
        again = timestamps.read_stored_times(treated.content, profile=profile.tracks)
        return ready(
            Outcome(
                treated=treated,
                residual=_left_in_zones(again, track, surroundings),
                zone_check=zone_check,
                position_handling="none",
                level=Level.S3_SENSITIVE_GEO,
            )
        )

    def unlink(self, gate: Gate, cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking) -> Unlinked:
        """See ``ItemHandler``."""
        del cleansed
        profile, plan = gate.profile.profile.tracks, plan_of(unlinking)
        times = timestamps.read_stored_times(treated.read(), profile=profile)
        local = isinstance(plan, ClipPlan)
        moved = (
            timestamps.local_times(times, plan)
            if isinstance(plan, ClipPlan)
            else timestamps.offset_times(times, plan)
        )
        report = require_clean(
            scan_times(moved.content, time_s=moved.source_s, plan=plan, profile=profile), "file of times"
        )
        return Unlinked(
            chunks=[moved.content],
            extension="csv" if local else "txt",
            media_type=timestamps.MEDIA_TYPE_LOCAL if local else timestamps.MEDIA_TYPE_OFFSET,
            data_class=DataClass.POSE_IMU,
            position_handling="none",
            absolute_time="stripped" if local else "shifted",
            settle=lambda _: Settled(residual=report),
        )


def timed_track(surroundings: Surroundings) -> Track:
    """The track that times and poses are released along.

    Raises:
        HeldError: The recording has none with times.
    """
    track = surroundings.reference
    if track is None:
        raise HeldError(
            "track_missing",
            "times and poses are released along a track with times (got a recording without one)",
        )
    return track


def sibling_of(surroundings: Surroundings, item: Classified) -> Sibling:
    """An item among those of its recording.

    Raises:
        HeldError: It is not there.
    """
    found = surroundings.siblings.get(item.quarantined.item)
    if found is None:
        raise HeldError("time_unknown", "the item is not among those of its recording (expected it there)")
    return found


def plan_of(unlinking: Unlinking) -> ClipPlan | OffsetPlan:
    """The plan of the recording's track.

    Raises:
        MalformedItemError: There is no such track.
        LimitExceededError: Nothing of it is left.
    """
    plan = unlinking.plan()
    if plan is None:
        raise MalformedItemError("nothing places times or poses (got no timed track, expected one)")
    return plan


def _within(times: FloatArray, cuts: tuple[ZoneSpan, ...]) -> BoolArray:
    gone = np.zeros(len(times), dtype=bool)
    for cut in cuts:
        gone |= (times >= cut.begin_s) & (times <= cut.end_s)
    return gone


def _hits(times: FloatArray, gone: BoolArray, cuts: tuple[ZoneSpan, ...]) -> tuple[Finding, ...]:
    """One finding per kind of zone that was met; one without a kind for lines beyond the track's ends alone."""
    lines = np.flatnonzero(gone)
    if not len(lines):
        return ()
    met = [cut for cut in cuts if _within(times, (cut,)).any()]
    labels = zone_kinds((float(times.min()), float(times.max())), met) or [""]
    span = IndexSpan(start=int(lines[0]), end=int(lines[-1]) + 1)
    return tuple(
        Finding(
            kind=FindingKind.RESTRICTED_ZONE, where=span, confidence=1.0, detector="zone-times", label=label
        )
        for label in labels
    )


def _cut(count: int, surroundings: Surroundings) -> tuple[Treatment, ...]:
    if not count or surroundings.zones is None:
        return ()
    zones = surroundings.zones.zones
    return (
        Treatment(
            kind=TreatmentKind.CUT,
            of=FindingKind.RESTRICTED_ZONE,
            count=count,
            parameters={"zone_file": zones.digest, "zone_file_version": zones.version},
        ),
    )


def _left_in_zones(times: FloatArray, track: Track, surroundings: Surroundings) -> ResidualReport:
    """Whether the track was in a zone at a time that is left, by its places and not by its spans."""
    if surroundings.zones is None:
        return ResidualReport(scanners=("no-zones",), residual=())
    zones = surroundings.zones.zones
    lat, lon = on_track(track, times)
    known = np.isfinite(lat)
    residual = tuple(zone_findings(zones.test(lat[known], lon[known]), zones)) if known.any() else ()
    return ResidualReport(scanners=(_SCANNER,), residual=residual, facts={"placed": int(known.sum())})

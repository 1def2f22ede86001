"""CAN logs: treated by the DBC in force, cut in zones, released within the clips or spans of the track."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, ClassVar

from anonymize.can.cleanse import CanTreated, cleanse_can
from anonymize.can.frame import LogKind
from anonymize.can.log import CanLog, start_of
from anonymize.can.residual import ExpectedTimes, scan_can
from anonymize.can.unlink import clip_stride_s, unlink_can
from anonymize.errors import MalformedItemError, OutsideReleaseError
from anonymize.finding import Finding, FindingKind, Treated, Treatment, TreatmentKind
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.clips import ClipPlan
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.geo.zone_spans import ZoneSpan
from anonymize.geo.zones import ZoneSet
from anonymize.residual import ResidualReport
from gateway.errors import HeldError
from gateway.flow.gate import Gate
from gateway.flow.kinds.approving import mode_of
from gateway.flow.kinds.can_way import hold_against, require_same_clock, spans_to_cut, zone_kinds
from gateway.flow.kinds.handling import (
    Cleansing,
    Examination,
    Outcome,
    Progress,
    Settled,
    Unlinked,
    Unlinking,
    ready,
)
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.recording import Classified, Cleansed, DataClass, Level
from gateway.vehicles.dbc import InstalledDbc, dbc_in_force, require_dbc

_KINDS: Mapping[ItemKind, LogKind] = {ItemKind.CAN_ASC: "asc", ItemKind.CAN_BLF: "blf"}
_NS = 1e-9
_OFF_THE_WAY = ""


class CanHandler:
    """Vector ASC and BLF."""

    states_tracks: ClassVar[bool] = False

    def examine(
        self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str, zones: ZoneSet | None
    ) -> Examination:
        """See ``ItemHandler``."""
        del crs, zones
        original.seek(0)
        log = CanLog(original, _KINDS[kind], max_frames=gate.profile.profile.can.max_frames)
        frames, first_ns, last_ns = 0, math.inf, -math.inf
        for frame in log:
            frames += 1
            first_ns, last_ns = min(first_ns, frame.time_ns), max(last_ns, frame.time_ns)
        return Examination(
            data_class=DataClass.POSE_IMU,
            level=Level.S3_SENSITIVE_GEO,
            # Speeds and rates of turn rebuild the way, whatever else is there.
            tags=("TRACK",),
            facts={
                "crs": "LOCAL",
                "frames": frames,
                "duration_s": round((last_ns - first_ns) * _NS, 3),
                "dated": log.start_ms is not None,
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
        del progress
        dbc, kind, profile = _dbc_in_force(gate), _KINDS[item.kind], gate.profile.profile
        reference = surroundings.reference
        cuts = () if reference is None else spans_to_cut(reference, surroundings, profile.images.pose_error_m)
        zone_check = surroundings.zone_check(reference)
        original.seek(0)
        treated = cleanse_can(
            original,
            kind,
            dbc=dbc.content,
            spans_to_cut=[(cut.begin_s, cut.end_s) for cut in cuts],
            profile=profile.can,
            start_s=surroundings.captured.get(item.quarantined.item),
        )
        if reference is not None:
            require_same_clock(treated.time_span_s, reference)
        outcome = Outcome(
            treated=_evidence(treated, cuts, dbc),
            residual=ResidualReport(scanners=("nothing-left",), residual=()),
            zone_check=zone_check,
            position_handling="raw" if treated.facts["signals"]["motion"] else "stripped",
            level=Level.S3_SENSITIVE_GEO,
            tags=treated.tags,
        )
        if treated.dropped:
            return ready(outcome)

        def settle(sealed: BinaryIO) -> Outcome:
            report = scan_can(
                sealed,
                kind,
                dbc=dbc.content,
                profile=profile.can,
                times=ExpectedTimes(mode="CLEANSED"),
                track=reference,
            )
            # A log whose grammar is broken has no times to be believed; its report denies it already.
            return replace(
                outcome, residual=hold_against(report, sealed, kind, cuts) if report.clean else report
            )

        return Cleansing(chunks=treated.chunks, settle=settle)

    def unlink(self, gate: Gate, cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking) -> Unlinked:
        """See ``ItemHandler``."""
        kind, profile = _KINDS[cleansed.classified.kind], gate.profile.profile.can
        local = mode_of(unlinking) == "LOCAL"
        # The DBC that the log was treated with, also when another is in force by now.
        dbc = require_dbc(gate, str(cleansed.payload["facts"]["dbc"]))
        plan = unlinking.plan()
        if plan is None:
            raise MalformedItemError("a log is released along a track with times (got a recording without)")
        moved = unlink_can(treated, kind, plan=plan, profile=profile)
        if moved.dropped:
            raise OutsideReleaseError("no frame of the log lies in a clip or kept span of the release")
        times = _expected_times(plan, treated, kind, max_frames=profile.max_frames)

        def settle(sealed: BinaryIO) -> Settled:
            report = scan_can(
                sealed, kind, dbc=dbc.content, profile=profile, times=times, track=unlinking.reference
            )
            return Settled(residual=report, facts={**moved.facts, "dbc": dbc.digest})

        return Unlinked(
            chunks=moved.chunks,
            extension=kind,
            media_type=moved.media_type,
            data_class=DataClass.POSE_IMU,
            # Otherwise nothing in a log is displaced, nor does a processor see it: it states no position any more,
            # and its motion keeps its level.
            position_handling="local" if local else "stripped",
            absolute_time="stripped" if local else "shifted",
            settle=settle,
            placed={"clip_stride_s": times.stride_s} if local else {},
        )


def _dbc_in_force(gate: Gate) -> InstalledDbc:
    """The DBC in force.

    Raises:
        HeldError: None is installed.
        EvidenceError: The registry does not verify.
    """
    dbc = dbc_in_force(gate)
    if dbc is None:
        raise HeldError(
            "dbc_missing",
            "nothing says what the frames of a CAN log mean (got no DBC, expected an installed one)",
        )
    return dbc


def _evidence(treated: CanTreated, cuts: Sequence[ZoneSpan], dbc: InstalledDbc) -> Treated:
    """Findings that name the zones that were met, and the treatment of elevations, which policy asks for."""
    findings = tuple(_named(treated.findings, zone_kinds(treated.time_span_s, cuts)))
    elevations = sum(finding.kind is FindingKind.ELEVATION for finding in findings)
    zeroed = Treatment(
        kind=TreatmentKind.REDACT,
        of=FindingKind.ELEVATION,
        count=elevations,
        parameters={"raw_value": 0},
    )
    return Treated(
        content=b"",
        media_type=treated.media_type,
        findings=findings,
        treatments=(*treated.treatments, *([zeroed] if elevations else [])),
        facts={**treated.facts, "dbc": dbc.digest, "dbc_version": dbc.version},
        dropped=treated.dropped,
    )


def _named(findings: Sequence[Finding], kinds: Sequence[str]) -> Iterator[Finding]:
    for finding in findings:
        if finding.kind is FindingKind.RESTRICTED_ZONE:
            yield from (replace(finding, label=label) for label in kinds or [_OFF_THE_WAY])
        else:
            yield finding


def _expected_times(
    plan: ClipPlan | OffsetPlan, treated: BinaryIO, kind: LogKind, *, max_frames: int
) -> ExpectedTimes:
    """Which times the released log may show."""
    if isinstance(plan, ClipPlan):
        lengths = tuple(clip.end_s - clip.begin_s for clip in plan.clips)
        return ExpectedTimes(mode="LOCAL", stride_s=clip_stride_s(plan), clip_lengths_s=lengths)
    start_ms: Any = start_of(treated, kind, max_frames=max_frames)
    return ExpectedTimes(mode="OFFSET", true_start_s=start_ms / 1000.0)

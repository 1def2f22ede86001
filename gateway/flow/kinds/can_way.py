"""Where a CAN log was taken, by its own clock and the recording's track, and which of its frames zones take."""

import bisect
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from anonymize.can.frame import LogKind
from anonymize.can.released import date_of, seen_in
from anonymize.errors import MalformedItemError
from anonymize.finding import FieldPath, Finding, FindingKind
from anonymize.formats.track import Track
from anonymize.geo.zone_spans import ZoneSpan, zone_spans
from anonymize.residual import ResidualReport
from gateway.flow.kinds.surroundings import Surroundings

_LEAST_SHARE = 0.5
# Logs are written in whole microseconds, and POSIX seconds in a float are hardly more precise.
_ROUNDING_S = 1e-5
_SCANNER = "re-read-and-zone-times"


def spans_to_cut(track: Track, surroundings: Surroundings, pose_error_m: float) -> tuple[ZoneSpan, ...]:
    """Spans of POSIX seconds whose frames go: the vehicle was, or may have been, in a zone.

    Before the first and after the last fix nothing is known: frames go there too, unless somebody attested that
    the recording is clear where its position is unknown.

    Raises:
        HeldError: No zone file is installed.
    """
    zones = surroundings.require_zones().zones
    timed = np.isfinite(track.time_s)
    times = track.time_s[timed]
    near = zone_spans(
        times, track.lat[timed], track.lon[timed], zones, pose_error_m, pose_error_m=pose_error_m
    )
    if surroundings.attested:
        return near
    begin, end = float(times.min()), float(times.max())
    before = ZoneSpan(begin_s=-math.inf, end_s=math.nextafter(begin, -math.inf), kinds=())
    after = ZoneSpan(begin_s=math.nextafter(end, math.inf), end_s=math.inf, kinds=())
    return (before, *near, after)


def require_same_clock(span: tuple[float, float] | None, track: Track, *, what: str = "log") -> None:
    """Hold a log's times against the track's; a log an hour off would be cut in the wrong place.

    Args:
        span: The log's first and last time in POSIX seconds; None where it tells no date.
        track: The recording's track.
        what: How errors name the log.

    Raises:
        MalformedItemError: The log tells no date, or less than half of it lies in the time of the track.
    """
    if span is None:
        raise MalformedItemError(f"the {what} tells no date (expected one, or captured_at in the manifest)")
    begin, end = span
    times = track.time_s[np.isfinite(track.time_s)]
    first, last = float(times.min()), float(times.max())
    shared, length = min(end, last) - max(begin, first), end - begin
    if shared < 0.0 or shared < _LEAST_SHARE * length:
        share = max(shared, 0.0) / length if length > 0.0 else 0.0
        raise MalformedItemError(
            f"the {what}'s clock is not that of the track (got {share:.0%} of the {what} within the track's time, "
            f"expected at least {_LEAST_SHARE:.0%}; logs tell local time: state captured_at in the manifest)"
        )


def zone_kinds(span: tuple[float, float] | None, cuts: Sequence[ZoneSpan]) -> list[str]:
    """Kinds of the zones that a log of this span of time may have met, sorted."""
    if span is None:
        return []
    first, last = span
    return sorted(
        {kind.value for cut in cuts if cut.begin_s <= last and cut.end_s >= first for kind in cut.kinds}
    )


def hold_against(
    report: ResidualReport, sealed: BinaryIO, kind: LogKind, cuts: Sequence[ZoneSpan]
) -> ResidualReport:
    """The report, and whether a frame that is left lies in a span that was to be cut, by another reader."""
    start_s = date_of(sealed, kind)
    spans = sorted((span.begin_s, span.end_s) for span in cuts)
    left = 0
    for seen in seen_in(sealed, kind) if spans else ():
        time_s = math.nan if start_s is None else start_s + seen.time_s
        at = bisect.bisect_right(spans, (time_s, math.inf)) - 1
        inside = at >= 0 and spans[at][0] + _ROUNDING_S < time_s < spans[at][1] - _ROUNDING_S
        left += inside or start_s is None
    found = Finding(
        kind=FindingKind.RESTRICTED_ZONE,
        where=FieldPath(path="frames"),
        confidence=1.0,
        detector=_SCANNER,
        label="left",
    )
    return replace(
        report,
        scanners=(*report.scanners, _SCANNER),
        residual=(*report.residual, *([found] if left else [])),
    )

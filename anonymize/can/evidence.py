"""What a pass over a CAN log counts, and the evidence made of it."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from anonymize.can.rules import Fate, SignalPlan
from anonymize.finding import FieldPath, Finding, FindingKind, Treatment, TreatmentKind

_READER = "can"
_NS = 10**9
_KINDS = {
    Fate.DIAGNOSTICS: FindingKind.DEVICE_ID,
    Fate.TRANSPORT: FindingKind.UNLISTED_FIELD,
    Fate.VIN: FindingKind.VIN,
    Fate.COMPONENT: FindingKind.DEVICE_ID,
    Fate.DRIVER: FindingKind.DEVICE_ID,
    Fate.POSITION: FindingKind.POSITION,
    Fate.DATE: FindingKind.TIMESTAMP,
    Fate.DISTANCE: FindingKind.POSITION,
    Fate.UNKNOWN: FindingKind.UNLISTED_FIELD,
    Fate.NOTHING_KEPT: FindingKind.UNLISTED_FIELD,
}
_SIGNAL_KINDS = (
    (re.compile(r"(^|_)vin|chassis"), FindingKind.VIN),
    # Before positions: heights of a receiver carry its name, as GPS_Altitude.
    (re.compile(r"altitude|elevation"), FindingKind.ELEVATION),
    (re.compile(r"lat(itude)?(_|$)|latitude|lon(g|gitude)?(_|$)|longitude|gps|gnss|heading|odo|mileage|distance"),
     FindingKind.POSITION),
    (re.compile(r"date|utc|year|month|clock"), FindingKind.TIMESTAMP),
    (re.compile(r"serial|driver"), FindingKind.DEVICE_ID),
)  # fmt: skip


@dataclass(slots=True)
class Tally:
    """Counts; bounded, whatever the log.

    Attributes:
        fates: Frames outside of zones by what became of them.
        counts: ``frames``, ``cut``, ``errors``, ``fd``, ``backwards``.
        unknown: Identifiers that the DBC does not describe; the first 10,000.
        no_frames: Names of what is no frame.
        first_ns: Least time of a frame.
        last_ns: Greatest time of a frame.
    """

    fates: Counter[Fate] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    unknown: set[int] = field(default_factory=set)
    no_frames: Counter[str] = field(default_factory=Counter)
    first_ns: int = 1 << 63
    last_ns: int = 0


def _kind_of(signal: str) -> FindingKind:
    return next((k for p, k in _SIGNAL_KINDS if p.search(signal.lower())), FindingKind.UNLISTED_FIELD)


def findings_of(tally: Tally, plans: Sequence[SignalPlan]) -> tuple[Finding, ...]:
    """One finding per signal and per reason, however many frames it occurred in."""
    found = [
        _finding(_kind_of(p.signal), f"{p.message}.{p.signal}", "signal") for p in plans if p.treat == "drop"
    ]
    found += [
        _finding(FindingKind.POSITION, f"{p.message}.{p.signal}", "motion")
        for p in plans
        if p.treat == "motion"
    ]
    found += [_finding(kind, "frames", fate.value) for fate, kind in _KINDS.items() if tally.fates[fate]]
    found += [_finding(FindingKind.METADATA, name, "no frame") for name in sorted(+tally.no_frames)[:64]]
    if tally.counts["cut"]:
        found.append(_finding(FindingKind.RESTRICTED_ZONE, "frames", "cut"))
    return tuple(found)


def _finding(kind: FindingKind, path: str, label: str) -> Finding:
    return Finding(kind=kind, where=FieldPath(path=path), confidence=1.0, detector=_READER, label=label)


def treatments_of(tally: Tally) -> tuple[Treatment, ...]:
    """What was done, with the number of frames."""
    drops: Counter[FindingKind] = Counter()
    for fate, kind in _KINDS.items():
        drops[kind] += tally.fates[fate]
    drops[FindingKind.METADATA] += tally.no_frames.total()
    done = [
        Treatment(kind=TreatmentKind.DROP, of=kind, count=count) for kind, count in sorted((+drops).items())
    ]
    if tally.fates[Fate.REDACTED]:
        done.append(
            Treatment(
                kind=TreatmentKind.REDACT,
                of=FindingKind.UNLISTED_FIELD,
                count=tally.fates[Fate.REDACTED],
                parameters={"raw_value": 0},
            )
        )
    if tally.counts["cut"]:
        done.append(
            Treatment(kind=TreatmentKind.CUT, of=FindingKind.RESTRICTED_ZONE, count=tally.counts["cut"])
        )
    return tuple(done)


def tells_a_track(tally: Tally, plans: Sequence[SignalPlan]) -> bool:
    """Whether positions, heights or motion were met."""
    telling = {FindingKind.POSITION, FindingKind.ELEVATION}
    moving = any(p.treat == "motion" or _kind_of(p.signal) in telling for p in plans)
    return moving or bool(tally.fates[Fate.POSITION] or tally.fates[Fate.DISTANCE])


def facts_of(tally: Tally, plans: Sequence[SignalPlan]) -> dict[str, Any]:
    """JSON-ready measures; no time, which belongs to the original only."""
    return {
        "frames": tally.counts["frames"],
        "left": tally.fates[Fate.KEPT] + tally.fates[Fate.REDACTED],
        "fates": {fate.value: count for fate, count in sorted(tally.fates.items())},
        "cut": tally.counts["cut"],
        "error_frames": tally.counts["errors"],
        "fd_frames": tally.counts["fd"],
        "backwards": tally.counts["backwards"],
        "no_frames": dict(sorted((+tally.no_frames).items())[:64]),
        "unknown_ids": len(tally.unknown),
        "signals": {t: sum(1 for p in plans if p.treat == t) for t in ("keep", "drop", "motion")},
        "duration_s": round(max(tally.last_ns - tally.first_ns, 0) / _NS, 3),
    }

"""First pass over a CAN log: frames in restricted zones go, and of the others what the profile does not keep.

The result keeps its times and its motion signals: it is sealed, never released as it is. A release takes only
frames within its clips or spans (``anonymize.can.unlink``).
"""

import bisect
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from anonymize.can.database import CanDatabase, load_database
from anonymize.can.frame import Frame, LogKind
from anonymize.can.log import CanLog, measure, write_can
from anonymize.can.rules import Fate, FrameRules, SignalPlan
from anonymize.errors import MalformedItemError, UnknownFormatError
from anonymize.finding import FieldPath, Finding, FindingKind, Treatment, TreatmentKind
from anonymize.profile import CanProfile

MEDIA_TYPES: Mapping[LogKind, str] = {"asc": "text/x-vector-asc", "blf": "application/x-vector-blf"}
_READER = "can"
_NS = 10**9
_NS_PER_MS = 10**6
_EARLIEST_MS, _LATEST_MS = 31_536_000_000, 7_258_118_400_000
_MOST_IDS = 10_000
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
    (re.compile(r"lat(itude)?(_|$)|latitude|lon(g|gitude)?(_|$)|longitude|gps|gnss|heading|odo|mileage|distance"),
     FindingKind.POSITION),
    (re.compile(r"altitude|elevation"), FindingKind.ELEVATION),
    (re.compile(r"date|utc|year|month|clock"), FindingKind.TIMESTAMP),
    (re.compile(r"serial|driver"), FindingKind.DEVICE_ID),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CanTreated:
    """The outcome of the first pass.

    Attributes:
        chunks: The cleansed log, read from the source and treated while it is taken; once.
        media_type: Media type of the log.
        findings: One per signal and per reason, however many frames it occurred in.
        treatments: What was done, with the number of frames.
        tags: ``TRACK`` where positions or motion were met.
        facts: JSON-ready measures.
        time_span_s: POSIX seconds of the first and last frame of the original; None where the log tells no date.
        dropped: Nothing is left; there are no chunks.
    """

    chunks: Iterator[bytes]
    media_type: str
    findings: tuple[Finding, ...]
    treatments: tuple[Treatment, ...]
    tags: tuple[str, ...]
    facts: Mapping[str, Any]
    time_span_s: tuple[float, float] | None = field(repr=False)
    dropped: bool


def cleanse_can(
    file: BinaryIO,
    kind: LogKind,
    *,
    dbc: bytes,
    spans_to_cut: Sequence[tuple[float, float]],
    profile: CanProfile,
    start_s: float | None = None,
) -> CanTreated:
    """Treat a log frame by frame (``anonymize.can.rules``).

    The log is gone through here once, for the evidence, and again while the chunks are taken. Frames in which
    nothing changes keep their identifier, payload and flags bit by bit; times stay.

    Args:
        file: A seekable log; it must stay open and unchanged until the chunks are taken.
        kind: Its format.
        dbc: The DBC that describes its frames.
        spans_to_cut: Closed spans of POSIX seconds in which every frame goes (``spans_in_zones``).
        profile: Limits and treatments.
        start_s: POSIX seconds of the log's time 0. Without it the date in the log counts, taken as UTC, though
            loggers write local time: hold ``time_span_s`` against the track.

    Raises:
        MalformedItemError: The log is damaged, or there are spans to cut and nothing tells its date.
        UnknownFormatError: The profile quarantines frames that the DBC does not describe, and there are some.
        LimitExceededError: There are more frames than the profile permits, or a part is too large.
        ProfileError: The DBC cannot be read.
    """
    run = _Run(
        file=file,
        kind=kind,
        database=load_database(dbc),
        profile=profile,
        spans=_merged(spans_to_cut),
        start_s=start_s,
    )
    totals = measure(run.frames(), kind)
    if profile.unknown_frame == "quarantine" and run.unknown:
        raise UnknownFormatError(
            f"the DBC does not describe some frames (got {', '.join(f'{i:#x}' for i in sorted(run.unknown)[:8])})"
        )
    left = run.fates[Fate.KEPT] + run.fates[Fate.REDACTED]
    plans = run.rules.plans()
    # The second going through must not count again.
    again = _Run(
        file=file, kind=kind, database=run.database, profile=profile, spans=run.spans, start_s=start_s
    )
    return CanTreated(
        chunks=write_can(again.frames(), kind, start_ms=run.start_ms, totals=totals) if left else iter(()),
        media_type=MEDIA_TYPES[kind],
        findings=_findings(run, plans),
        treatments=_treatments(run),
        tags=("TRACK",) if _tells_a_track(run, plans) else (),
        facts=_facts(run, plans),
        time_span_s=run.time_span_s,
        dropped=not left,
    )


@dataclass(slots=True, kw_only=True)
class _Run:
    """One going through a log, and what it counts."""

    file: BinaryIO
    kind: LogKind
    database: CanDatabase
    profile: CanProfile
    spans: tuple[list[float], list[float]]
    start_s: float | None
    fates: Counter[Fate] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    unknown: set[int] = field(default_factory=set)
    first_ns: int = 1 << 63
    last_ns: int = 0
    start_ms: int | None = None
    rules: FrameRules = field(init=False)
    log: CanLog = field(init=False)

    def __post_init__(self) -> None:
        self.rules = FrameRules(self.database, self.profile)
        self.log = CanLog(self.file, self.kind, max_frames=self.profile.max_frames)

    @property
    def time_span_s(self) -> tuple[float, float] | None:
        if self.start_ms is None:
            return None
        start = self.start_ms / 1000.0
        return start + self.first_ns / _NS, start + self.last_ns / _NS

    def frames(self) -> Iterator[Frame]:
        """The frames that are left, in the order of the log."""
        shift_ns, before = 0, -1
        for number, frame in enumerate(self.log):
            if not number:
                shift_ns = self._begin()
            at = frame.time_ns + shift_ns
            self._count(frame, at, before)
            before = at
            # The rules see every frame, also those that are cut: they follow read-outs over several.
            fate, kept = self.rules.treat(frame)
            if self._is_cut(at):
                self.counts["cut"] += 1
                continue
            self.fates[fate] += 1
            if fate is Fate.UNKNOWN and len(self.unknown) < _MOST_IDS:
                self.unknown.add(frame.id)
            if kept is not None:
                yield kept._replace(time_ns=at) if shift_ns else kept

    def _begin(self) -> int:
        """Know the date; nanoseconds by which times move so that the log starts at a whole millisecond."""
        shift_ns = 0
        if self.start_s is None:
            self.start_ms = self.log.start_ms
        elif math.isfinite(self.start_s):
            self.start_ms, shift_ns = divmod(round(self.start_s * _NS), _NS_PER_MS)
        else:
            raise MalformedItemError(f"the start of a log is a time (got {self.start_s!r})")
        if self.start_ms is None and self.spans[0]:
            raise MalformedItemError("the log tells no date (expected one, or the time at which it starts)")
        if self.start_ms is not None and not _EARLIEST_MS <= self.start_ms <= _LATEST_MS:
            raise MalformedItemError("the log starts at an impossible time (expected 1971 to 2200)")
        return shift_ns

    def _count(self, frame: Frame, at: int, before: int) -> None:
        self.counts["frames"] += 1
        self.counts["backwards"] += at < before
        self.counts["errors"] += frame.error
        self.counts["fd"] += frame.fd
        self.first_ns, self.last_ns = min(self.first_ns, at), max(self.last_ns, at)

    def _is_cut(self, at: int) -> bool:
        begins, ends = self.spans
        if not begins or self.start_ms is None:
            return False
        time_s = self.start_ms / 1000.0 + at / _NS
        index = bisect.bisect_right(begins, time_s) - 1
        return index >= 0 and time_s <= ends[index]


def _merged(spans: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    begins: list[float] = []
    ends: list[float] = []
    for begin, end in sorted(spans):
        if not begin <= end:
            raise MalformedItemError(f"a span to cut ends before it begins (got {end - begin:g} s)")
        if ends and begin <= ends[-1]:
            ends[-1] = max(ends[-1], end)
        else:
            begins.append(begin)
            ends.append(end)
    return begins, ends


def _kind_of(signal: str) -> FindingKind:
    return next((k for p, k in _SIGNAL_KINDS if p.search(signal.lower())), FindingKind.UNLISTED_FIELD)


def _findings(run: _Run, plans: Sequence[SignalPlan]) -> tuple[Finding, ...]:
    found = [
        _finding(_kind_of(p.signal), f"{p.message}.{p.signal}", "signal") for p in plans if p.treat == "drop"
    ]
    found += [
        _finding(FindingKind.POSITION, f"{p.message}.{p.signal}", "motion")
        for p in plans
        if p.treat == "motion"
    ]
    found += [_finding(kind, "frames", fate.value) for fate, kind in _KINDS.items() if run.fates[fate]]
    found += [_finding(FindingKind.METADATA, name, "no frame") for name in sorted(+run.log.dropped)[:64]]
    if run.counts["cut"]:
        found.append(_finding(FindingKind.RESTRICTED_ZONE, "frames", "cut"))
    return tuple(found)


def _finding(kind: FindingKind, path: str, label: str) -> Finding:
    return Finding(kind=kind, where=FieldPath(path=path), confidence=1.0, detector=_READER, label=label)


def _treatments(run: _Run) -> tuple[Treatment, ...]:
    drops: Counter[FindingKind] = Counter()
    for fate, kind in _KINDS.items():
        drops[kind] += run.fates[fate]
    drops[FindingKind.METADATA] += run.log.dropped.total()
    done = [
        Treatment(kind=TreatmentKind.DROP, of=kind, count=count) for kind, count in sorted((+drops).items())
    ]
    if run.fates[Fate.REDACTED]:
        done.append(
            Treatment(
                kind=TreatmentKind.REDACT,
                of=FindingKind.UNLISTED_FIELD,
                count=run.fates[Fate.REDACTED],
                parameters={"raw_value": 0},
            )
        )
    if run.counts["cut"]:
        done.append(
            Treatment(kind=TreatmentKind.CUT, of=FindingKind.RESTRICTED_ZONE, count=run.counts["cut"])
        )
    return tuple(done)


def _tells_a_track(run: _Run, plans: Sequence[SignalPlan]) -> bool:
    moving = any(p.treat == "motion" or _kind_of(p.signal) is FindingKind.POSITION for p in plans)
    return moving or bool(run.fates[Fate.POSITION] or run.fates[Fate.DISTANCE])


def _facts(run: _Run, plans: Sequence[SignalPlan]) -> dict[str, Any]:
    return {
        "frames": run.counts["frames"],
        "left": run.fates[Fate.KEPT] + run.fates[Fate.REDACTED],
        "fates": {fate.value: count for fate, count in sorted(run.fates.items())},
        "cut": run.counts["cut"],
        "error_frames": run.counts["errors"],
        "fd_frames": run.counts["fd"],
        "backwards": run.counts["backwards"],
        "no_frames": dict(sorted((+run.log.dropped).items())[:64]),
        "unknown_ids": len(run.unknown),
        "signals": {t: sum(1 for p in plans if p.treat == t) for t in ("keep", "drop", "motion")},
        "duration_s": round(max(run.last_ns - run.first_ns, 0) / _NS, 3),
        "dated": run.start_ms is not None,
    }

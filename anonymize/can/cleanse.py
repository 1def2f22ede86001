"""First pass over a CAN log: frames in restricted zones go, and of the others what the profile does not keep.

The result keeps its times and its motion signals: it is sealed, never released as it is. A release takes only
frames within its clips or spans (``anonymize.can.unlink``).
"""

import bisect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from anonymize.can.database import CanDatabase, load_database
from anonymize.can.evidence import Tally, facts_of, findings_of, tells_a_track, treatments_of
from anonymize.can.frame import Frame, LogKind
from anonymize.can.log import CanLog, measure, write_can
from anonymize.can.rules import Fate, FrameRules
from anonymize.errors import MalformedItemError, UnknownFormatError
from anonymize.finding import Finding, Treatment
from anonymize.profile import CanProfile

MEDIA_TYPES: Mapping[LogKind, str] = {"asc": "text/plain", "blf": "application/octet-stream"}
_NS = 10**9
_NS_PER_MS = 10**6
_EARLIEST_MS, _LATEST_MS = 31_536_000_000, 7_258_118_400_000
_MOST_IDS = 10_000


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
    if profile.unknown_frame == "quarantine" and run.tally.unknown:
        some = ", ".join(f"{identifier:#x}" for identifier in sorted(run.tally.unknown)[:8])
        raise UnknownFormatError(f"the DBC does not describe some frames (got {some})")
    left = run.tally.fates[Fate.KEPT] + run.tally.fates[Fate.REDACTED]
    plans = run.rules.plans()
    # The second going through must not count again.
    again = _Run(
        file=file, kind=kind, database=run.database, profile=profile, spans=run.spans, start_s=start_s
    )
    return CanTreated(
        chunks=write_can(again.frames(), kind, start_ms=run.start_ms, totals=totals) if left else iter(()),
        media_type=MEDIA_TYPES[kind],
        findings=findings_of(run.tally, plans),
        treatments=treatments_of(run.tally),
        tags=("TRACK",) if tells_a_track(run.tally, plans) else (),
        facts=facts_of(run.tally, plans) | {"dated": run.start_ms is not None},
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
    tally: Tally = field(default_factory=Tally)
    start_ms: int | None = None
    rules: FrameRules = field(init=False)
    log: CanLog = field(init=False)

    def __post_init__(self) -> None:
        self.rules = FrameRules(self.database, self.profile)
        self.log = CanLog(self.file, self.kind, max_frames=self.profile.max_frames)
        self.tally.no_frames = self.log.dropped

    @property
    def time_span_s(self) -> tuple[float, float] | None:
        if self.start_ms is None:
            return None
        start = self.start_ms / 1000.0
        return start + self.tally.first_ns / _NS, start + self.tally.last_ns / _NS

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
                self.tally.counts["cut"] += 1
                continue
            self.tally.fates[fate] += 1
            if fate is Fate.UNKNOWN and len(self.tally.unknown) < _MOST_IDS:
                self.tally.unknown.add(frame.id)
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
        self.tally.counts["frames"] += 1
        self.tally.counts["backwards"] += at < before
        self.tally.counts["errors"] += frame.error
        self.tally.counts["fd"] += frame.fd
        self.tally.first_ns, self.tally.last_ns = min(self.tally.first_ns, at), max(self.tally.last_ns, at)

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

"""Second pass over a CAN log: only frames within a release's clips or spans, in the release's time.

LOCAL: clip k of the plan runs from k · stride seconds on, in the order of the clips' numbers, and each clip's
own time begins at its multiple of the stride; nothing lies between. The stride is a whole number of hundreds of
seconds and at least ten seconds longer than the longest clip. The log tells no date.

OFFSET and APPROVED: frames within the kept spans, moved by the recording's shift; the log starts at a whole
second.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from anonymize.can.cleanse import MEDIA_TYPES
from anonymize.can.frame import Frame, LogKind
from anonymize.can.log import Block, blocks, measure, read_block, start_of, write_can
from anonymize.errors import MalformedItemError
from anonymize.finding import FindingKind, Treatment, TreatmentKind
from anonymize.geo.approved_displacement import is_approved
from anonymize.geo.clips import ClipFrame, ClipPlan
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.geo.time_spans import IntArray
from anonymize.profile import CanProfile

_STRIDE_STEP_S = 100
_LEAST_GAP_S = 10.0
_NS = 10**9
_NS_PER_MS = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class CanReleased:
    """The outcome of the second pass.

    Attributes:
        chunks: The released log, made while it is taken; once.
        media_type: Media type of the log.
        treatments: What was done.
        facts: JSON-ready measures; of a LOCAL release ``clip_stride_s``.
        dropped: No frame lies in the release; there are no chunks.
    """

    chunks: Iterator[bytes]
    media_type: str
    treatments: tuple[Treatment, ...]
    facts: Mapping[str, Any]
    dropped: bool


def unlink_can(
    file: BinaryIO, kind: LogKind, *, plan: ClipPlan | OffsetPlan, profile: CanProfile
) -> CanReleased:
    """Bring a cleansed log into a release.

    Memory is bounded by one block of the log and an index of its blocks. Within a clip frames keep the order of
    the log.

    Args:
        file: A seekable log that :func:`cleanse_can` wrote; it stays open until the chunks are taken.
        kind: Its format.
        plan: The release's plan of this recording.
        profile: Limits.

    Raises:
        MalformedItemError: The log is none that :func:`cleanse_can` wrote, or tells no date.
        LimitExceededError: There are more frames than the profile permits.
    """
    start_ms = start_of(file, kind, max_frames=profile.max_frames)
    if start_ms is None:
        raise MalformedItemError(
            "the log tells no date, so that nothing says which frames lie in the release"
        )
    start_ns = start_ms * _NS_PER_MS
    if isinstance(plan, ClipPlan):
        return _local(file, kind, plan, start_ns)
    return _offset(file, kind, plan, start_ns)


def clip_stride_s(plan: ClipPlan) -> int:
    """Seconds from the begin of one clip to that of the next in a LOCAL release."""
    longest = max((c.end_s - c.begin_s for c in plan.clips if math.isfinite(c.begin_s)), default=0.0)
    return math.ceil((longest + _LEAST_GAP_S) / _STRIDE_STEP_S) * _STRIDE_STEP_S


def _local(file: BinaryIO, kind: LogKind, plan: ClipPlan, start_ns: int) -> CanReleased:
    index = [block for block, _ in blocks(file, kind)]
    stride_s = clip_stride_s(plan)

    def frames() -> Iterator[Frame]:
        for clip in plan.clips:
            if math.isfinite(clip.begin_s):
                yield from _of_clip(file, kind, plan, clip, index, start_ns, stride_s)

    totals = measure(frames(), kind)
    facts = {"mode": "LOCAL", "frames": totals.objects, "clips": len(plan.clips), "clip_stride_s": stride_s}
    treatments = (
        Treatment(kind=TreatmentKind.CUT, of=FindingKind.POSITION, count=totals.objects),
        Treatment(
            kind=TreatmentKind.TIME_SHIFT,
            of=FindingKind.TIMESTAMP,
            count=totals.objects,
            parameters={"clip_stride_s": stride_s},
        ),
    )
    chunks = write_can(frames(), kind, start_ms=None, totals=totals) if totals.objects else iter(())
    return CanReleased(
        chunks=chunks,
        media_type=MEDIA_TYPES[kind],
        treatments=treatments,
        facts=facts,
        dropped=not totals.objects,
    )


def _of_clip(
    file: BinaryIO,
    kind: LogKind,
    plan: ClipPlan,
    clip: ClipFrame,
    index: list[Block],
    start_ns: int,
    stride_s: int,
) -> Iterator[Frame]:
    begin_ns, end_ns = round(clip.begin_s * _NS) - start_ns, round(clip.end_s * _NS) - start_ns
    for block in index:
        # A microsecond more: POSIX seconds in a float are no more precise than that.
        if block.last_ns < begin_ns - 1000 or block.first_ns > end_ns + 1000:
            continue
        found = list(read_block(file, kind, block))
        for frame, number in zip(found, plan.clip_of(_posix(found, start_ns)).tolist(), strict=True):
            if number == clip.number:
                since = min(max(frame.time_ns - begin_ns, 0), end_ns - begin_ns)
                yield frame._replace(time_ns=clip.number * stride_s * _NS + since)


def _offset(file: BinaryIO, kind: LogKind, plan: OffsetPlan, start_ns: int) -> CanReleased:
    mode = "APPROVED" if is_approved(plan) else "OFFSET"
    first_ns = min(
        (frame.time_ns for frame in _within(file, kind, plan, start_ns)),
        default=None,
    )
    if first_ns is None:
        return CanReleased(
            chunks=iter(()), media_type=MEDIA_TYPES[kind], treatments=(), facts={"mode": mode, "frames": 0},
            dropped=True,
        )  # fmt: skip
    shift_ns = round(plan.shift_s * _NS)
    new_start_ns = (start_ns + first_ns + shift_ns) // _NS * _NS
    back_ns = new_start_ns - start_ns - shift_ns

    def frames() -> Iterator[Frame]:
        for frame in _within(file, kind, plan, start_ns):
            yield frame._replace(time_ns=frame.time_ns - back_ns)

    totals = measure(frames(), kind)
    return CanReleased(
        chunks=write_can(frames(), kind, start_ms=new_start_ns // _NS_PER_MS, totals=totals),
        media_type=MEDIA_TYPES[kind],
        treatments=(
            Treatment(kind=TreatmentKind.CUT, of=FindingKind.POSITION, count=totals.objects),
            Treatment(kind=TreatmentKind.TIME_SHIFT, of=FindingKind.TIMESTAMP, count=totals.objects),
        ),
        facts={"mode": mode, "frames": totals.objects},
        dropped=False,
    )


def _within(file: BinaryIO, kind: LogKind, plan: OffsetPlan, start_ns: int) -> Iterator[Frame]:
    for _, frames in blocks(file, kind):
        spans: IntArray = plan.span_of(_posix(frames, start_ns))
        yield from (frame for frame, span in zip(frames, spans.tolist(), strict=True) if span >= 0)


def _posix(frames: list[Frame], start_ns: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    times = np.fromiter((frame.time_ns for frame in frames), np.int64, len(frames))
    return (times + start_ns) / 1e9

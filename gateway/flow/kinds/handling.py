"""The shape of a handler, and the values that it takes and gives at each stage."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO, ClassVar, Literal, Protocol

import numpy as np

from anonymize.errors import OutsideReleaseError
from anonymize.finding import Finding, FindingKind, Treated, Treatment, TreatmentKind
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.approved import ApprovedTrack
from anonymize.geo.approved_displacement import ApprovedDisplacement
from anonymize.geo.clips import ClipPlan
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.geo.zones import ZoneSet
from anonymize.media.detection import Detector
from anonymize.residual import ResidualReport
from gateway.flow.gate import Gate
from gateway.flow.kinds.nuscenes_folder import NO_FOLDER, NuscenesFolder
from gateway.flow.kinds.siblings import Siblings
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.recording import Classified, Cleansed, DataClass, Level, ReleaseMode

IMAGE_KINDS = frozenset({ItemKind.JPEG, ItemKind.PNG, ItemKind.HEIC})
FLEET_PLACES = frozenset({"DEPOT", "HOME"})
"""Zones of the fleet itself: cut like others, but no tag, since it would tell where trips begin."""

PICTURE_KINDS = IMAGE_KINDS | {ItemKind.VIDEO}

Progress = Callable[[str, int, int], None]


def ignore_progress(step: str, done: int, total: int) -> None:
    """For callers that do not watch."""
    del step, done, total


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What classification concluded, before it is attested."""

    data_class: DataClass
    level: Level
    tags: tuple[str, ...]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A treated item with its residual scan and how zones and positions were handled.

    Attributes:
        treated: The treated item.
        residual: What a second look found.
        zone_check: ``tested`` or ``attested``.
        position_handling: What became of positions.
        level: Level of the treated item.
        detectors: Digest of the set of detectors that looked at its pixels; empty where it has none.
        detector_kinds: What those detectors look for, sorted.
        tags: Tags beyond those that follow from the findings.
        counts: How many of a kind there are, where one finding stands for several.
    """

    treated: Treated
    residual: ResidualReport
    zone_check: str
    position_handling: str
    level: Level
    detectors: str = ""
    detector_kinds: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleansing:
    """The first pass over one item: its treated bytes, and what is known once they lie sealed.

    Attributes:
        chunks: The treated bytes, to be read once; None where nothing is left.
        settle: Called with the sealed result after ``chunks`` were read to their end.
    """

    chunks: Iterable[bytes] | None
    settle: Callable[[BinaryIO], Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is known of an unlinked item once it lies sealed.

    Attributes:
        residual: The residual scan; None where the first pass's holds.
        facts: Measures, for policy and dossier.
        kept: What only the operator keeps, sealed with the release and shown to nobody else.
        level: The level that a recognised processor lowered the item to, where only the whole pass tells.
    """

    residual: ResidualReport | None
    facts: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)
    level: Level | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlinked:
    """One item after the second pass.

    Attributes:
        chunks: Its bytes, to be read once.
        extension: Of the file name.
        media_type: IANA media type.
        data_class: Its class after the pass.
        position_handling: What became of positions.
        absolute_time: What became of times.
        settle: Called with the sealed result after ``chunks`` were read to their end: the residual scan, None
            where the first pass's holds, and measures.
        placed: Where in the release's own time the item lies (``placed``); what its recipient is told beside it.
        mask: What makes the released mask file of the treated item's; None where it stays as it is.
        searched: What the release's own search looks for in the bytes: true positions and identifiers, or
            identifiers only, where displaced places of the item's own lie on roads that were driven.
        expanded: Called with the sealed result: what that search reads, where the bytes themselves are
            compressed and would show it other words than they hold; None for the bytes themselves.
        level: The level that a recognised processor lowered the item to; None where its level stays.
    """

    chunks: Iterable[bytes]
    extension: str
    media_type: str
    data_class: DataClass
    position_handling: str
    absolute_time: str
    settle: Callable[[BinaryIO], Settled]
    placed: Mapping[str, Any] = field(default_factory=dict)
    mask: Callable[[bytes], bytes] | None = None
    searched: Literal["everything", "identifiers"] = "everything"
    expanded: Callable[[BinaryIO], Iterable[bytes]] | None = None
    level: Level | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """An item's place among the items that one sensor took.

    Attributes:
        sensor: Names recording and sensor within the release.
        index: Its number in the order of the manifest, from 0.
        count: How many there are.
    """

    sensor: bytes
    index: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlinking:
    """What the second pass over every item of one recording works with (law 7).

    Attributes:
        mode: How positions leave.
        key: Secret of the release.
        context: Names the recording within the release: all of its items are moved alike.
        item: Names the item within the release.
        reference: The recording's cleansed track that places items in time and space; None where it has none.
        plan: The clips or kept spans of that track, the same for all items; None where there is no such track.
        captured: POSIX seconds at which the item was taken, from the signed manifest, else from a table of the
            recording; None where unknown.
        series: Its place among the items of its sensor.
        crs: Reference system that the manifest declares.
        approved: What is kept of that track as the recognised processor places it, checked; None in other modes.
        processor: The recognised processor of an ``APPROVED`` release; None in other modes.
        siblings: The recording's cleansed items, as the first pass left them.
        nuscenes: Its cleansed tables, where it is one of nuScenes.
        released: Names of the items that are in the release so far, by item; kinds that name others come last.
    """

    mode: ReleaseMode
    key: bytes
    context: bytes
    item: bytes
    reference: Track | None
    plan: Callable[[], ClipPlan | OffsetPlan | None]
    captured: float | None
    series: Series
    crs: str
    approved: Callable[[], ApprovedTrack | None]
    processor: ApprovedDisplacement | None
    siblings: Siblings
    nuscenes: NuscenesFolder = NO_FOLDER
    released: Mapping[str, str] = field(default_factory=dict, repr=False)


def placed(unlinking: Unlinking) -> dict[str, Any]:
    """Where in the release an item lies that was taken at one moment; empty where nothing says.

    Raises:
        OutsideReleaseError: The release leaves out what was taken at that time.
        LimitExceededError: Nothing of the recording's track is left.
    """
    plan = None if unlinking.captured is None else unlinking.plan()
    if unlinking.captured is None or plan is None:
        return {}
    moment = np.array([unlinking.captured])
    number = int((plan.clip_of if isinstance(plan, ClipPlan) else plan.span_of)(moment)[0])
    if number < 0:
        raise OutsideReleaseError("the item was taken between the clips or in a trimmed end of the trip")
    if isinstance(plan, ClipPlan):
        return {"clip": {"number": number, "t_s": round(float(plan.clips[number].times(moment)[0]), 3)}}
    shifted = datetime.fromtimestamp(float(plan.times(moment)[0]), UTC)
    return {"captured_at": shifted.isoformat(timespec="milliseconds").replace("+00:00", "Z")}


class ItemHandler(Protocol):
    """What the gate does with the items of one family of kinds; originals are read where they lie.

    Attributes:
        states_tracks: Whether items of the family may state where the recording was.
    """

    states_tracks: ClassVar[bool]

    def examine(
        self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str, zones: ZoneSet | None
    ) -> Examination:
        """Class, level, tags and facts of an item.

        Raises:
            AnonymizeError: It is malformed, over a limit or in an unknown reference system.
        """

    def tracks(self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str) -> tuple[Track, ...]:
        """The true tracks that an item states, for the other items of its recording; empty where it has none."""

    def treat(
        self,
        gate: Gate,
        item: Classified,
        original: BinaryIO,
        surroundings: Surroundings,
        progress: Progress,
    ) -> Cleansing:
        """The first pass (DESIGN.md §4, Two passes).

        Raises:
            AnonymizeError: Undecodable content or a missing model; also while ``chunks`` are read.
            HeldError: The item cannot be shown to lie outside the restricted zones.
        """

    def unlink(self, gate: Gate, cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking) -> Unlinked:
        """The second pass, with secrets of one release.

        Raises:
            AnonymizeError: The item cannot be unlinked; it is left out of the release.
        """


def ready(outcome: Outcome) -> Cleansing:
    """A pass whose outcome is known before its bytes are sealed."""
    chunks = None if outcome.treated.dropped else [outcome.treated.content]
    return Cleansing(chunks=chunks, settle=lambda _: outcome)


def cut_whole(
    item: Classified,
    hits: tuple[Finding, ...],
    zone_check: str,
    *,
    facts: Mapping[str, Any] | None = None,
) -> Cleansing:
    """An item of which nothing is left."""
    treated = Treated(
        content=b"",
        media_type="application/octet-stream",
        findings=hits,
        treatments=(Treatment(kind=TreatmentKind.DROP, of=FindingKind.RESTRICTED_ZONE, count=len(hits)),),
        facts=facts or {},
        dropped=True,
    )
    return ready(
        Outcome(
            treated=treated,
            residual=ResidualReport(scanners=("nothing-left",), residual=()),
            zone_check=zone_check,
            position_handling="stripped",
            level=item.level,
        )
    )


def kinds_of(detectors: Sequence[Detector]) -> tuple[str, ...]:
    """Everything that some detectors look for, sorted."""
    return tuple(sorted({kind.value for detector in detectors for kind in detector.kinds}))


def has_pixels(item: Cleansed) -> bool:
    """Whether an item shows pictures: by its kind, or because detectors had to look at what it holds."""
    return item.classified.kind in PICTURE_KINDS or bool(item.payload["detectors"])


def zone_tags(latitude: float | None, longitude: float | None, zones: ZoneSet | None) -> tuple[str, ...]:
    """Kinds of the zones that hold a place."""
    if latitude is None or longitude is None or zones is None:
        return ()
    return tuple(sorted(zones.test(np.array([latitude]), np.array([longitude])).kinds()))


def chunks_of(file: BinaryIO, size: int = 1 << 20) -> Iterable[bytes]:
    """The bytes of a file from its beginning, in pieces."""
    file.seek(0)
    while piece := file.read(size):
        yield piece


def passed_on(cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking, *, extension: str) -> Unlinked:
    """An item that the first pass left nothing to unlink in; its time places it in the release.

    Raises:
        OutsideReleaseError: The release leaves out what was taken at that time.
    """
    where = placed(unlinking)
    return Unlinked(
        chunks=chunks_of(treated),
        extension=extension,
        media_type=cleansed.media_type,
        data_class=cleansed.classified.data_class,
        position_handling=str(cleansed.payload["position_handling"]),
        absolute_time="shifted" if "captured_at" in where else "stripped",
        settle=lambda _: Settled(residual=None),
        placed=where,
    )

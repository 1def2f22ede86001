"""Unlink: what the second pass over the items of a recording works with, under secrets of one release (law 7)."""

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import sqlalchemy as sa

from anonymize.errors import LimitExceededError
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.approved import ApprovedTrack, approve_track
from anonymize.geo.approved_displacement import ApprovedDisplacement, plan_approved
from anonymize.geo.clips import ClipPlan, plan_clips
from anonymize.geo.displacement import KeyedOffset
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.offset_plan import OffsetPlan, plan_offset
from anonymize.geo.released_scan import ReleasedScan
from anonymize.geo.secrecy_processor import installed_processor
from anonymize.profile import TrackProfile
from gateway.database import ReadSession
from gateway.flow.cleanse import load_cleansed, open_treated
from gateway.flow.gate import Gate
from gateway.flow.intake import load_manifest
from gateway.flow.kinds.handling import Series, Unlinked, Unlinking
from gateway.flow.kinds.layouts import joined_fixes
from gateway.flow.kinds.nuscenes_folder import NuscenesFolder
from gateway.flow.kinds.siblings import ALONE, Sibling, Siblings
from gateway.flow.kinds.table import handler_of, kind_when_treated
from gateway.flow.recording import Cleansed, ItemState, RecordingId, ReleaseMode
from gateway.flow.records import ItemRow
from gateway.vehicles.manifest import Manifest

WGS84 = "EPSG:4326"
_SEARCHABLE = 6
"""Shorter names occur by chance in large files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """How positions leave in one release, and its secret."""

    mode: ReleaseMode
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """The processor of an APPROVED release, attested when it began.

    Attributes:
        displacement: What it does to positions.
        approve: Has it process a track under a shift of time, and checks it (``approve_track``).
    """

    displacement: ApprovedDisplacement
    approve: Callable[..., ApprovedTrack]


class Trip:
    """What the items of one recording share in one release.

    Attributes:
        recording: The recording.
        tracks: Its true tracks, as far as they were cleansed.
        reference: The longest of them that states times; None where there is none.
    """

    def __init__(
        self,
        recording: RecordingId,
        manifest: Manifest,
        items: Mapping[str, int],
        tracks: Sequence[Track],
        *,
        terms: Secrets,
        profile: TrackProfile,
        processor: Recognised | None = None,
        siblings: Siblings = ALONE,
    ) -> None:
        """Take what the recording states.

        Args:
            recording: The recording.
            manifest: Its signed manifest.
            items: Place in the manifest of each item, by id.
            tracks: Its cleansed tracks.
            terms: Mode and secret of the release.
            profile: Limits of the modes.
            processor: The recognised processor, for APPROVED.
            siblings: Its cleansed items.
        """
        self.recording = recording
        self._nuscenes = NuscenesFolder(siblings, crs=manifest.crs, profile=profile)
        stated = self._nuscenes.track
        self.tracks = (*tracks, *([] if stated is None else [stated]))
        timed = [t for t in self.tracks if np.isfinite(t.time_s).any()]
        self.reference = max(timed, key=lambda t: t.path_length_m(), default=None)
        self._manifest, self._items, self._terms, self._profile = manifest, items, terms, profile
        self._processor, self._siblings = processor, siblings

    @cached_property
    def plan(self) -> ClipPlan | OffsetPlan | None:
        """The clips or kept spans of the reference track.

        Raises:
            LimitExceededError: Nothing of the track is left.
        """
        if self.reference is None:
            return None
        key, context = self._terms.key, self.recording.encode()
        if self._terms.mode is ReleaseMode.LOCAL:
            return plan_clips(self.reference, key=key, context=context, profile=self._profile)
        if self._processor is None:
            return plan_offset(self.reference, key=key, context=context, profile=self._profile)
        return plan_approved(
            self.reference,
            key=key,
            context=context,
            profile=self._profile,
            displacement=self._processor.displacement,
        )

    def longest_clip_m(self) -> float:
        """Path length in metres of the longest clip that the recording is cut into; 0 where it is cut into none.

        Every item is placed in these clips by its time, so that none shows more of the way.
        """
        try:
            plan = self.plan if self._terms.mode is ReleaseMode.LOCAL else None
        except LimitExceededError:
            return 0.0
        if not isinstance(plan, ClipPlan) or self.reference is None:
            return 0.0
        same = (np.zeros(len(clip.fixes), np.int32) for clip in plan.clips)
        taken = [self.reference.take(c.fixes, numbers) for c, numbers in zip(plan.clips, same, strict=True)]
        return max((track.path_length_m() for track in taken), default=0.0)

    @cached_property
    def approved(self) -> ApprovedTrack | None:
        """What is kept of the reference track as the processor places it; None in other modes.

        Items of a few positions each pass no check of a way by themselves: their recording's passes it for them.

        Raises:
            LimitExceededError: Nothing of the track is left.
            ProcessorError: The processor fails a check.
        """
        plan = self.plan
        if self.reference is None or self._processor is None or not isinstance(plan, OffsetPlan):
            return None
        numbers = [np.full(len(inner), span, np.int32) for span, inner in enumerate(plan.kept)]
        source = self.reference.take(np.concatenate(plan.kept), np.concatenate(numbers))
        return self._processor.approve(source, shift_s=plan.shift_s)

    def search(self, unlinked: Unlinked) -> ReleasedScan:
        """The search that every output of the recording must pass, whatever its kind (COMPLIANCE rule 10).

        It looks for the true fixes in any notation, and for the vehicle's id and the names of the files. What an
        OFFSET release rightly shows is known.
        """
        return self._everything if unlinked.searched == "everything" else self._identifiers

    @cached_property
    def _everything(self) -> ReleasedScan:
        lat, lon = (np.concatenate([[], *(getattr(t, axis) for t in self.tracks)]) for axis in ("lat", "lon"))
        offset = KeyedOffset(self._terms.key, self._profile)
        shown = offset.displace(lat, lon) if self._terms.mode is ReleaseMode.OFFSET and len(lat) else None
        return self._scan(lat, lon, shown)

    @cached_property
    def _identifiers(self) -> ReleasedScan:
        return self._scan(np.zeros(0), np.zeros(0), None)

    def _scan(
        self, lat: FloatArray, lon: FloatArray, shown: tuple[FloatArray, FloatArray] | None
    ) -> ReleasedScan:
        names = {item.name.rpartition("/")[2] for item in self._manifest.items}
        return ReleasedScan(
            lat=lat,
            lon=lon,
            device_ids=[self._manifest.vehicle] if len(self._manifest.vehicle) >= _SEARCHABLE else [],
            planted=sorted(name for name in names if len(name) >= _SEARCHABLE),
            shown=shown,
        )

    @cached_property
    def _alike(self) -> dict[str, dict[int, int]]:
        """Positions of what one sensor took, by folder, each with its place among them."""
        found: defaultdict[str, dict[int, int]] = defaultdict(dict)
        for position, each in enumerate(self._manifest.items):
            alike = found[_folder(each.name)]
            alike[position] = len(alike)
        return dict(found)

    def unlinking(self, item: str, released: Mapping[str, str]) -> Unlinking:
        """What the pass over one item works with; ``released`` are names in the release so far, by item.

        Every item of a recording is moved alike: two copies of one drive under two shifts would undo each other.
        """
        position = self._items[item]
        announced = self._manifest.items[position]
        folder = _folder(announced.name)
        alike = self._alike[folder]
        return Unlinking(
            mode=self._terms.mode,
            key=self._terms.key,
            context=self.recording.encode(),
            item=item.encode(),
            reference=self.reference,
            plan=lambda: self.plan,
            captured=(
                announced.captured_at.timestamp()
                if announced.captured_at
                else self._nuscenes.captured.get(item)
            ),
            series=Series(
                sensor=f"{self.recording}/{folder}".encode(), index=alike[position], count=len(alike)
            ),
            crs=self._manifest.crs,
            approved=lambda: self.approved,
            processor=None if self._processor is None else self._processor.displacement,
            siblings=self._siblings,
            nuscenes=self._nuscenes,
            released=released,
        )


def released_stem(key: bytes, item: str) -> str:
    """Stem of an item's name in a release: a keyed one, so that two releases share no name (law 7)."""
    return hmac.new(key, f"name/{item}".encode(), hashlib.sha256).hexdigest()[:24]


def _folder(name: str) -> str:
    """Folder and extension of an item's name: what one sensor took."""
    folder, _, file = name.rpartition("/")
    return f"{folder}/*.{file.rpartition('.')[2]}"


def trip_of(gate: Gate, session: ReadSession, recording: RecordingId, terms: Secrets) -> Trip:
    """Gather a recording's cleansed tracks and what its signed manifest says of the items.

    Raises:
        EvidenceError: Evidence does not verify.
    """
    statement = sa.select(ItemRow).where(ItemRow.recording_id == recording).order_by(ItemRow.position)
    tracks: list[Track] = []
    fixes: defaultdict[str, list[Track]] = defaultdict(list)
    items: dict[str, int] = {}
    siblings: list[Sibling] = []
    manifest = load_manifest(gate, session, recording)
    for row in session.scalars(statement):
        items[row.id] = row.position
        if row.state == ItemState.CLEANSED:
            cleansed = load_cleansed(gate, session, row.id)
            announced = manifest.items[row.position]
            siblings.append(
                Sibling(
                    item=row.id,
                    name=announced.name,
                    kind=cleansed.classified.kind,
                    captured=announced.captured_at.timestamp() if announced.captured_at else None,
                    open=partial(open_treated, gate, cleansed),
                    facts={**cleansed.classified.facts, **cleansed.payload["facts"]},
                    released=released_stem(terms.key, row.id),
                )
            )
            stated = treated_tracks(gate, cleansed)
            if cleansed.classified.kind is ItemKind.KITTI_OXTS:
                fixes[siblings[-1].folder] += stated
            else:
                tracks += stated
    # Two receivers are two tracks, as two files of tracks are: joined, they would jump between their antennas.
    for folder in fixes.values():
        tracks += joined_fixes(folder)
    profile = gate.profile.profile.tracks
    processor = _processor(gate) if terms.mode is ReleaseMode.APPROVED else None
    return Trip(
        recording,
        manifest,
        items,
        tracks,
        terms=terms,
        profile=profile,
        processor=processor,
        siblings=Siblings(items=tuple(siblings)),
    )


def _processor(gate: Gate) -> Recognised:
    """The installed processor, attested now.

    Raises:
        ProcessorError: None or several are installed, or its attestation is not in force.
    """
    processor, now = installed_processor(), gate.clock()
    certificate = gate.settings.processor_certificate_sha256
    return Recognised(
        displacement=ApprovedDisplacement(
            processor, gate.profile.profile.tracks, now=now, certificate_sha256=certificate
        ),
        approve=partial(approve_track, processor=processor, now=now, certificate_sha256=certificate),
    )


def treated_tracks(gate: Gate, cleansed: Cleansed) -> tuple[Track, ...]:
    """The true tracks that a treated item still states."""
    kind: ItemKind = kind_when_treated(cleansed.classified.kind)
    handler = handler_of(kind)
    # A treated video holds no telemetry any more.
    if not handler.states_tracks or kind is ItemKind.VIDEO:
        return ()
    return handler.tracks(gate, kind, open_treated(gate, cleansed), crs=WGS84)

"""Unlink: what the second pass over the items of a recording works with, under secrets of one release (law 7)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from gateway.database import ReadSession
from gateway.flow.cleanse import load_cleansed, open_treated
from gateway.flow.gate import Gate
from gateway.flow.intake import load_manifest
from gateway.flow.kinds.handling import Unlinking
from gateway.flow.kinds.table import handler_of, kind_when_treated
from gateway.flow.recording import Cleansed, ItemState, RecordingId, ReleaseMode
from gateway.flow.records import ItemRow

WGS84 = "EPSG:4326"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """What the items of one recording share in every release.

    Attributes:
        recording: The recording.
        tracks: Its true tracks, as far as they were cleansed.
        reference: The longest of them that states times; None where there is none.
        captured: POSIX seconds at which items were taken, by item id, from the signed manifest.
    """

    recording: RecordingId
    tracks: tuple[Track, ...]
    reference: Track | None
    captured: Mapping[str, float]

    def unlinking(self, cleansed: Cleansed, *, mode: ReleaseMode, key: bytes) -> Unlinking:
        """What the pass over one item works with.

        Every item of a recording is moved alike: two copies of one drive under two shifts would undo each other.
        """
        return Unlinking(
            mode=mode,
            key=key,
            context=self.recording.encode(),
            reference=self.reference,
            captured=self.captured.get(cleansed.classified.quarantined.item),
        )


def trip_of(gate: Gate, session: ReadSession, recording: RecordingId) -> Trip:
    """Gather a recording's reference track and capture times from its cleansed items and signed manifest.

    Raises:
        EvidenceError: Evidence does not verify.
    """
    manifest = load_manifest(gate, session, recording)
    statement = sa.select(ItemRow).where(ItemRow.recording_id == recording).order_by(ItemRow.position)
    tracks: list[Track] = []
    captured: dict[str, float] = {}
    for row in session.scalars(statement):
        moment = manifest.items[row.position].captured_at
        if moment is not None:
            captured[row.id] = moment.timestamp()
        if row.state == ItemState.CLEANSED:
            tracks += treated_tracks(gate, load_cleansed(gate, session, row.id))
    timed = [t for t in tracks if np.isfinite(t.time_s).any()]
    reference = max(timed, key=lambda t: t.path_length_m(), default=None)
    return Trip(recording=recording, tracks=tuple(tracks), reference=reference, captured=captured)


def treated_tracks(gate: Gate, cleansed: Cleansed) -> tuple[Track, ...]:
    """The true tracks that a treated item still states."""
    kind: ItemKind = kind_when_treated(cleansed.classified.kind)
    handler = handler_of(kind)
    if not handler.states_tracks:
        return ()
    return handler.tracks(gate, kind, open_treated(gate, cleansed), crs=WGS84)

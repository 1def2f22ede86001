"""What releases show of drives, rebuilt for the attacks on them.

Each drive is rebuilt from its cleansed track by the functions and the secret that moved every channel of the
release, files and containers alike; the truth, by which attacks are judged, stands beside it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from anonymize.errors import LimitExceededError
from anonymize.formats.track import Track
from anonymize.geo.attacks.cross_release import Drive, drive_of
from anonymize.geo.attacks.figures import Clip, Mode, split
from anonymize.geo.attacks.road_network import ComplexArray, RoadNetwork
from anonymize.geo.clips import plan_clips
from anonymize.geo.ellipsoid import FloatArray, to_enu
from anonymize.geo.local import to_clips, to_local
from anonymize.geo.offset import offset_track
from anonymize.profile import TrackProfile
from gateway.database import ReadSession
from gateway.flow.gate import Gate
from gateway.flow.recording import RecordingId, RecordingState, ReleaseMode, ReleaseState
from gateway.flow.records import RecordingRow, ReleaseRecordingRow, ReleaseRow
from gateway.flow.request import unlink_context
from gateway.flow.unlink import Secrets, trip_of
from gateway.vault.values import open_value

Progress = Callable[[str, int, int], None]

ATTACKED_MODES: dict[str, Mode] = {"LOCAL": "LOCAL", "OFFSET": "OFFSET"}
"""Modes whose releases can be rebuilt: that of a recognised processor cannot."""

PIECES_M = (300.0, 2000.0)
"""Lengths of road in metres that an OFFSET track is tried by: that of a LOCAL clip, and a short drive."""

_MOST_RELEASES = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """A clip, or a stretch of a displaced track.

    Attributes:
        shown: LOCAL: metres in the clip's own frame. OFFSET: latitudes and longitudes in degrees.
        lat: True latitudes in degrees, EPSG:4326.
        lon: True longitudes.
    """

    shown: ComplexArray | tuple[FloatArray, FloatArray]
    lat: FloatArray
    lon: FloatArray


def secret_of(gate: Gate, session: ReadSession, release: str) -> bytes:
    """The unlinking secret of a release."""
    row = session.get_one(ReleaseRow, release)
    return open_value(
        gate.keystore, kek_id=row.kek_id, context=unlink_context(release), sealed=row.unlink_sealed
    )


def track_of(gate: Gate, session: ReadSession, recording: RecordingId, mode: ReleaseMode) -> Track | None:
    """The track that places the channels of a recording, or the longest without times."""
    trip = trip_of(gate, session, recording, Secrets(mode=mode, key=b""))
    return trip.reference or max(trip.tracks, key=lambda t: t.path_length_m(), default=None)


def pieces_of(track: Track, recording: str, mode: Mode, key: bytes, profile: TrackProfile) -> list[Piece]:
    """What a release under ``key`` shows of a drive; empty where nothing of it is long enough."""
    context = recording.encode()
    try:
        if mode == "OFFSET":
            moved = offset_track(track, key=key, context=context, profile=profile)
            shown, true = moved.track, moved.source
            return [
                Piece(shown=(shown.lat[part], shown.lon[part]), lat=true.lat[part], lon=true.lon[part])
                for part in shown.segments()
            ]
        plan = plan_clips(track, key=key, context=context, profile=profile)
        if np.isfinite(track.time_s).any():
            local = to_clips(track, plan)
            number = plan.clip_of(track.time_s)
            fixes = {clip.number: np.flatnonzero(number == clip.number) for clip in plan.clips}
        else:
            local = to_local(track, key=key, context=context, profile=profile)
            fixes = {clip.number: clip.fixes for clip in plan.clips}
    except LimitExceededError:
        return []
    return [
        Piece(shown=c.x_m + 1j * c.y_m, lat=track.lat[fixes[c.number]], lon=track.lon[fixes[c.number]])
        for c in local.clips
    ]


def clips_of(network: RoadNetwork, piece: Piece) -> Iterator[Clip]:
    """A LOCAL clip as it is; an OFFSET track in pieces of each of ``PIECES_M``."""
    truth = network.to_frame(piece.lat, piece.lon)
    if isinstance(piece.shown, tuple):
        whole = Clip(shown=network.to_frame(*piece.shown), truth=truth)
        for length in PIECES_M:
            yield from split(whole, length)
    else:
        yield Clip(shown=piece.shown, truth=truth)


def steps_of(pieces: Sequence[Piece]) -> Drive:
    """What joins compare."""
    return drive_of(_metres(piece) for piece in pieces)


def _metres(piece: Piece) -> ComplexArray:
    if not isinstance(piece.shown, tuple):
        return piece.shown
    lat, lon = piece.shown
    east, north = to_enu(lat, lon, lat[:1], lon[:1])
    return np.asarray(east + 1j * north)


def held_by_others(gate: Gate, own: str, progress: Progress) -> tuple[list[tuple[str, Drive]], int]:
    """What the other releases of the gate show, the newest first, and how many releases are left out."""
    with gate.database.read() as session:
        statement = (
            sa.select(ReleaseRow.id, ReleaseRow.mode)
            .where(
                ReleaseRow.id != own,
                ReleaseRow.state != ReleaseState.REQUESTED,
                ReleaseRow.mode.in_(list(ATTACKED_MODES)),
            )
            .order_by(ReleaseRow.created_at.desc())
        )
        others = [(row.id, row.mode) for row in session.execute(statement)]
    held: list[tuple[str, Drive]] = []
    left_out = max(len(others) - _MOST_RELEASES, 0)
    for number, (release, mode) in enumerate(others[:_MOST_RELEASES], start=1):
        with gate.database.read() as session:
            shown, erased = _shown_by(gate, session, release, ReleaseMode(mode))
        held += shown
        left_out += erased
        progress("reading other releases", number, min(len(others), _MOST_RELEASES))
    return held, left_out


def _shown_by(
    gate: Gate, session: ReadSession, release: str, mode: ReleaseMode
) -> tuple[list[tuple[str, Drive]], bool]:
    key = secret_of(gate, session, release)
    statement = (
        sa.select(RecordingRow.id, RecordingRow.state)
        .join(ReleaseRecordingRow, ReleaseRecordingRow.recording_id == RecordingRow.id)
        .where(ReleaseRecordingRow.release_id == release)
    )
    shown, erased = [], False
    for recording, state in session.execute(statement):
        if state == RecordingState.ERASED:
            erased = True
            continue
        track = track_of(gate, session, RecordingId(recording), mode)
        if track is not None:
            pieces = pieces_of(track, recording, ATTACKED_MODES[mode.value], key, gate.profile.profile.tracks)
            shown.append((recording, steps_of(pieces)))
    return shown, erased

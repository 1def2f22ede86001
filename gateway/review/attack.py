"""Attack a release: what its positions still give away, measured on its own drives and kept as its evidence."""

import secrets
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

from anonymize.errors import AnonymizeError
from anonymize.geo.attacks.cross_release import Drive
from anonymize.geo.attacks.figures import JoinFigure, Mode, join_figures, matching_figures, thinned
from anonymize.geo.attacks.known_points import KnownPointFigure, known_point_attack
from anonymize.geo.attacks.report import AttackReport
from anonymize.geo.attacks.road_network import RoadNetwork, read_road_network
from anonymize.profile import TrackProfile
from audit.events import EventType
from gateway.errors import InvalidRequestError, NotFoundError
from gateway.flow import evidence
from gateway.flow.acts import intended
from gateway.flow.build import load_built
from gateway.flow.gate import Gate
from gateway.flow.permitted import permit_on_release
from gateway.flow.recording import Built, RecordingId, Stage
from gateway.flow.records import ReleaseRow
from gateway.people.registry import Actor
from gateway.review.shown_drives import (
    ATTACKED_MODES,
    Piece,
    Progress,
    clips_of,
    held_by_others,
    pieces_of,
    secret_of,
    steps_of,
    track_of,
)

"""Who may attack a release."""

_MOST_CLIPS = 200
_SHOWN = ("local", "offset")
_SEED = 4


def attack_release(
    gate: Gate,
    release: str,
    *,
    actor: Actor,
    extract: BinaryIO,
    known: Sequence[int],
    progress: Progress,
) -> dict[str, Any]:
    """Attack a release by known points, map matching and joins, and keep the figures as its evidence.

    1. The person may attack. 2. The intent is durable. 3. The release was built, and its evidence verifies.
    4. Its drives are rebuilt and attacked. 5. The report is sealed under the release's key and its digest attested
    by the ledger. Earlier reports stay beside it.

    Args:
        gate: The gate.
        release: Id of the release.
        actor: Who attacks.
        extract: OSM PBF or XML of the region.
        known: Numbers of true positions that the attacker of an OFFSET knows.
        progress: Told what is being done, and how many of how many are done.

    Returns:
        The report, as ``anonymize.geo.attacks.report.AttackReport.as_dict`` gives it.

    Raises:
        ForbiddenError: The person holds none of the roles.
        NotFoundError: There is no such release.
        StageOrderError: It was not built.
        EvidenceError: What it rests on does not verify.
        InvalidRequestError: It shows no drive, or its mode is not attacked here.
        AnonymizeError: The extract is none.
    """
    permit_on_release(gate, actor, "release.attack", release)
    with gate.database.read() as session:
        row = session.get(ReleaseRow, release)
        if row is None:
            raise NotFoundError(f"no such release (got {release!r})")
        kek = row.kek_id
    event = intended(
        EventType.REVIEW_ATTACK_RUN,
        actor=actor.id,
        object_id=release,
        release=release,
        digests=actor.digests,
    )
    with gate.ledger.intent(event) as intent:
        try:
            with gate.database.read() as session:
                built = load_built(gate, session, release)
            network = read_road_network(extract)
            report = _attacked(gate, built, network, known, progress).as_dict()
        except (AnonymizeError, InvalidRequestError) as error:
            intent.refuse(facts={"reason": error.reason})
            raise
        attested = evidence.attest(
            gate,
            intent,
            owner=release,
            stage=Stage.ATTACKED,
            kek_id=kek,
            previous=built.evidence.digest,
            payload=report,
            digests={"extract": network.digest, "release": built.digest},
            facts={"drives": report["drives"], "mode": report["mode"]},
        )
        with gate.database.transaction() as writing:
            writing.add(attested)
    return report


def _attacked(
    gate: Gate, built: Built, network: RoadNetwork, known: Sequence[int], progress: Progress
) -> AttackReport:
    mode = ATTACKED_MODES.get(built.terms.mode.value)
    if mode is None:
        raise InvalidRequestError(f"only LOCAL and OFFSET are attacked (got mode {built.terms.mode.value})")
    showing = {i.recording for i in built.items if i.payload["position_handling"] in _SHOWN}
    profile = gate.profile.profile.tracks
    with gate.database.read() as session:
        key = secret_of(gate, session, built.terms.release)
        tracks = {r: track_of(gate, session, r, built.terms.mode) for r in sorted(showing)}
    drives = {
        recording: pieces
        for recording, track in tracks.items()
        if track is not None and (pieces := pieces_of(track, recording, mode, key, profile))
    }
    if not drives:
        raise InvalidRequestError(f"the release shows no drive to attack (got {len(showing)} recordings)")
    clips = [clip for pieces in drives.values() for piece in pieces for clip in clips_of(network, piece)]
    matched = matching_figures(
        network,
        thinned(clips, _MOST_CLIPS),
        mode=mode,
        reach_m=_reach_m(profile),
        progress=lambda done, of: progress("map matching", done, of),
    )
    held, left_out = held_by_others(gate, built.terms.release, progress)
    own = [(r, steps_of(pieces)) for r, pieces in drives.items()]
    fresh = secrets.token_bytes(32)
    again = [
        (r, steps_of(p))
        for r, t in tracks.items()
        if t is not None and (p := pieces_of(t, r, mode, fresh, profile))
    ]
    strangers = [(r, drive) for r, drive in held if r not in tracks]
    return AttackReport(
        mode=mode,
        drives=len(drives),
        not_attacked=len(showing) - len(drives),
        fixes=sum(len(piece.lat) for pieces in drives.values() for piece in pieces),
        road_km=network.road_km,
        extract=network.digest,
        known_points=_known(drives, mode, known, profile),
        map_matching=matched,
        other_releases=_joined(own, held, "joining releases", progress) if held else None,
        released_again=_joined(own, again + strangers, "joining with a second release", progress),
        releases_left_out=left_out,
    )


def _joined(
    own: Sequence[tuple[str, Drive]], held: Sequence[tuple[str, Drive]], what: str, progress: Progress
) -> JoinFigure:
    return join_figures(own, held, progress=lambda done, of: progress(what, done, of))


def _known(
    drives: dict[RecordingId, list[Piece]], mode: Mode, known: Sequence[int], profile: TrackProfile
) -> tuple[KnownPointFigure, ...]:
    """All drives together: one field displaces the whole release."""
    if mode != "OFFSET":
        return ()
    pieces = [piece for each in drives.values() for piece in each]
    shown = [piece.shown for piece in pieces if isinstance(piece.shown, tuple)]
    return known_point_attack(
        (np.concatenate([p.lat for p in pieces]), np.concatenate([p.lon for p in pieces])),
        (np.concatenate([s[0] for s in shown]), np.concatenate([s[1] for s in shown])),
        octaves=profile.offset_octaves,
        counts=known,
        seed=_SEED,
    )


def _reach_m(profile: TrackProfile) -> float:
    """How far an offset can go: the profile is published."""
    return profile.offset_constant_m[1] + sum(amplitude for _, amplitude in profile.offset_octaves)

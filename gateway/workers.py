"""Workers carry recordings through classify and cleanse; any of them may die at any point and another goes on."""

import logging
import os
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import numpy as np
import sqlalchemy as sa

from anonymize.errors import AnonymizeError
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.zones import ZoneSet
from anonymize.layouts.nuscenes import FRAME_ERROR_M
from anonymize.text.planted_strings import PlantedStrings
from audit.errors import LedgerError
from audit.events import EventType
from gateway.errors import EvidenceError, HeldError
from gateway.flow.acts import recorded
from gateway.flow.attested import zone_attestation_of
from gateway.flow.classify import classify_item, load_classified, readable_original
from gateway.flow.cleanse import cleanse_item
from gateway.flow.gate import Gate
from gateway.flow.intake import load_manifest, load_quarantined
from gateway.flow.kinds.layouts import dated, joined_fixes
from gateway.flow.kinds.nuscenes_folder import NuscenesFolder
from gateway.flow.kinds.siblings import Sibling, Siblings
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.kinds.table import handler_of
from gateway.flow.recording import ItemState, RecordingState
from gateway.flow.records import ItemRow, RecordingRow
from gateway.flow.scope import judge_scope
from gateway.people.registry import GATE_ACTOR
from gateway.people.zones import zones_in_force
from gateway.vault.errors import StorageError, VaultError
from gateway.vault.values import seal_value
from gateway.vehicles.cameras import Camera
from gateway.vehicles.manifest import Manifest
from gateway.videos.checkpoint import discard_finished

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]


class LeaseLostError(Exception):
    """Another worker took the recording over, because this one was silent for too long."""


_WAITING = (ItemState.QUARANTINED, ItemState.CLASSIFIED)
_INFRASTRUCTURE = (LedgerError, StorageError, sa.exc.SQLAlchemyError, LeaseLostError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """Where a recording stands after a worker's visit: how many of its items are where.

    ``outside`` is the ledger's entry that holds the whole recording in quarantine, for no certificate covers it;
    None where none does.
    """

    recording: str
    outside: int | None
    cleansed: int
    cut: int
    held: int
    awaited: int


def hold_context(item: str) -> bytes:
    """Context of a sealed hold reason."""
    return f"hold:{item}".encode()


def hold(gate: Gate, item: ItemRow, kek_id: str, *, reason: str, detail: str) -> None:
    """Keep an item in quarantine; the detail may quote content and is therefore sealed."""
    sealed = seal_value(
        gate.keystore, kek_id=kek_id, context=hold_context(item.id), plaintext=detail.encode()
    )
    with recorded(
        gate,
        EventType.INTAKE_ITEM_HOLD,
        actor=GATE_ACTOR.id,
        object_id=item.id,
        item=item.id,
        recording=item.recording_id,
        facts={"reason": reason},
    ) as session:
        current = session.get_one(ItemRow, item.id, with_for_update=True)
        # Another worker may have carried the item on, or its term may have ended, while this one failed.
        if current.state == item.state:
            current.state = ItemState.HELD
            current.held_reason = reason
            current.held_sealed = sealed


@contextmanager
def _held_on_failure(gate: Gate, item: ItemRow, kek_id: str) -> Iterator[None]:
    try:
        yield
    except _INFRASTRUCTURE:
        raise
    except (AnonymizeError, HeldError) as error:
        hold(gate, item, kek_id, reason=error.reason, detail=str(error))
    except EvidenceError as error:
        hold(gate, item, kek_id, reason=error.reason, detail=str(error))
    except VaultError as error:
        hold(gate, item, kek_id, reason="seal_broken", detail=f"{type(error).__name__}: {error}")
    except Exception as error:  # an item that breaks a reader in a way nobody foresaw stops; the others go on
        log.exception("item %s stops in quarantine", item.id)
        hold(gate, item, kek_id, reason="internal_error", detail=f"{type(error).__name__}: {error}")


def claim(gate: Gate, recording: str, owner: str) -> bool:
    """Take or renew the lease on a recording; false while another worker holds it."""
    now = gate.clock()
    statement = (
        sa.update(RecordingRow)
        .where(
            RecordingRow.id == recording,
            sa.or_(
                RecordingRow.lease_owner.is_(None),
                RecordingRow.lease_owner == owner,
                RecordingRow.lease_until < now,
            ),
        )
        .values(lease_owner=owner, lease_until=now + timedelta(seconds=gate.settings.lease_s))
    )
    with gate.database.transaction() as session:
        result = session.execute(statement)
        return bool(getattr(result, "rowcount", 0))


def _release_lease(gate: Gate, recording: str, owner: str) -> None:
    with gate.database.transaction() as session:
        session.execute(
            sa.update(RecordingRow)
            .where(RecordingRow.id == recording, RecordingRow.lease_owner == owner)
            .values(lease_owner=None, lease_until=None)
        )


def worker_name() -> str:
    """A name that no other live worker has: the server's worker and its scheduler are threads of one process."""
    return f"{socket.gethostname()[:32]}:{os.getpid()}:{threading.get_native_id()}"[:64]


def advance(gate: Gate, recording: str, *, progress: Progress | None = None) -> Advance | None:
    """Carry every item of a recording as far as it goes; ``None`` while another worker holds the lease.

    Idempotent: a stage that was attested is not repeated, a stage that was not is done again. A recording that no
    certificate covers now stays where it is, none of it opened.

    Raises:
        LedgerError: The ledger is unavailable; nothing goes on without it.
        EvidenceError: A paper about certificates does not verify; nothing goes on.
        PolicyError: Policy gave no answer; nothing goes on.
        StorageError: The disk refused.
    """
    owner = worker_name()
    if not claim(gate, recording, owner):
        return None
    try:
        if _in_scope(gate, recording):
            _classify_all(gate, recording, owner, progress)
            _cleanse_all(gate, recording, owner, progress)
            discard_finished(gate, recording)
        return _settle(gate, recording)
    except LeaseLostError:
        return None
    finally:
        _release_lease(gate, recording, owner)


def _in_scope(gate: Gate, recording: str) -> bool:
    """Whether policy lets the recording go on now; the entry that holds it is noted in its row."""
    with gate.database.read() as session:
        row = session.get_one(RecordingRow, recording)
        waits = sa.and_(ItemRow.recording_id == recording, ItemRow.state.in_(_WAITING))
        if session.scalar(sa.select(sa.literal(1)).where(sa.exists().where(waits))) is None:
            return True
        manifest = load_manifest(gate, session, recording)
    held = judge_scope(gate, manifest, manifest_digest=row.manifest_digest, held=row.held_entry)
    if held != row.held_entry:
        with gate.database.transaction() as session:
            session.execute(
                sa.update(RecordingRow)
                .where(RecordingRow.id == recording, RecordingRow.state != RecordingState.ERASED)
                .values(held_entry=held)
            )
    return held is None


def _items(gate: Gate, recording: str, state: ItemState) -> list[ItemRow]:
    with gate.database.read() as session:
        statement = (
            sa.select(ItemRow)
            .where(ItemRow.recording_id == recording, ItemRow.state == state)
            .order_by(ItemRow.position)
        )
        return list(session.scalars(statement))


def _classify_all(gate: Gate, recording: str, owner: str, progress: Progress | None) -> None:
    pending = _items(gate, recording, ItemState.QUARANTINED)
    if not pending:
        return
    with gate.database.read() as session:
        row = session.get_one(RecordingRow, recording)
        zones = zones_in_force(gate, session)
        manifest = load_manifest(gate, session, recording)
    zone_set: ZoneSet | None = zones.zones if zones else None
    for done, item in enumerate(pending):
        claim(gate, recording, owner)
        with _held_on_failure(gate, item, row.kek_id):
            with gate.database.read() as session:
                quarantined = load_quarantined(gate, session, item.id)
            announced = manifest.items[item.position]
            classify_item(gate, quarantined, announced, crs=manifest.crs, zones=zone_set, actor=GATE_ACTOR.id)
        if progress:
            progress("classify", done + 1, len(pending))


def _cleanse_all(gate: Gate, recording: str, owner: str, progress: Progress | None) -> None:
    pending = _items(gate, recording, ItemState.CLASSIFIED)
    if not pending:
        return
    with gate.database.read() as session:
        row = session.get_one(RecordingRow, recording)
        manifest = load_manifest(gate, session, recording)
    if _items(gate, recording, ItemState.AWAITED):
        # A track that is still to come may show that a frame lies inside a restricted zone.
        return
    surroundings = surroundings_of(gate, row, manifest)
    for done, item in enumerate(pending):
        claim(gate, recording, owner)
        with _held_on_failure(gate, item, row.kek_id):
            with gate.database.read() as session:
                classified = load_classified(gate, session, item.id)
            cleanse_item(
                gate,
                classified,
                surroundings,
                actor=GATE_ACTOR.id,
                progress=_renewing(gate, recording, owner, progress),
            )
        if progress:
            progress("cleanse", done + 1, len(pending))


def _renewing(gate: Gate, recording: str, owner: str, progress: Progress | None) -> Progress:
    """Renews the lease with each piece of long work, and passes the news on.

    Raises (the returned function):
        LeaseLostError: Another worker holds the lease.
    """

    def done(step: str, number: int, total: int) -> None:
        if not claim(gate, recording, owner):
            raise LeaseLostError(f"another worker took over recording {recording}")
        if progress:
            progress(step, number, total)

    return done


def surroundings_of(gate: Gate, row: RecordingRow, manifest: Manifest) -> Surroundings:
    """Gather what the items of a recording say about one another: tracks, capture times, names."""
    tracks: list[Track] = []
    fixes: defaultdict[str, list[Track]] = defaultdict(list)
    points: list[tuple[float, float]] = []
    captured: dict[str, float] = {}
    siblings: list[Sibling] = []
    cameras: dict[str, Camera] = {}
    by_name = manifest.camera_of()
    with gate.database.read() as session:
        zones = zones_in_force(gate, session)
        items = list(
            session.scalars(
                sa.select(ItemRow).where(ItemRow.recording_id == row.id).order_by(ItemRow.position)
            )
        )
        known = (ItemState.CLASSIFIED, ItemState.CLEANSED, ItemState.CUT)
        for item in items:
            moment = manifest.items[item.position].captured_at
            if moment is not None:
                captured[item.id] = moment.timestamp()
            camera = by_name.get(manifest.items[item.position].name)
            if camera is not None:
                cameras[item.id] = camera
            if item.state not in known or item.original_seal is None:
                continue
            classified = load_classified(gate, session, item.id)
            facts = classified.facts
            handler = handler_of(classified.kind)
            opened = partial(readable_original, gate, classified.quarantined, encoding=classified.encoding)
            siblings.append(
                Sibling(
                    item=item.id,
                    name=manifest.items[item.position].name,
                    kind=classified.kind,
                    captured=captured.get(item.id),
                    open=opened,
                    facts=facts,
                )
            )
            if handler.states_tracks:
                original = opened()
                stated = handler.tracks(gate, classified.kind, original, crs=manifest.crs)
                if classified.kind is ItemKind.KITTI_OXTS:
                    fixes[siblings[-1].folder] += dated(stated, captured.get(item.id))
                else:
                    tracks += stated
            if facts.get("latitude") is not None:
                points.append((float(facts["latitude"]), float(facts["longitude"])))
    for folder in fixes.values():
        tracks += joined_fixes(folder)
    known_items = Siblings(items=tuple(siblings))
    nuscenes = NuscenesFolder(known_items, crs=manifest.crs, profile=gate.profile.profile.tracks)
    if nuscenes.there and zones is not None:
        zones = replace(zones, zones=zones.zones.widened(FRAME_ERROR_M))
    tracks += [] if nuscenes.track is None else [nuscenes.track]
    single = np.array(points, dtype=np.float64).reshape(-1, 2).T
    positions = np.concatenate([single, *(np.stack([t.lat, t.lon]) for t in tracks)], axis=1)
    return Surroundings(
        zones=zones,
        tracks=tuple(tracks),
        positions=positions,
        captured={**nuscenes.captured, **captured},
        attested=zone_attestation_of(gate, row) is not None,
        planted=PlantedStrings([*(item.name.rsplit("/", 1)[-1] for item in manifest.items), row.source_id]),
        siblings=known_items,
        nuscenes=nuscenes,
        cameras=cameras,
    )


def _settle(gate: Gate, recording: str) -> Advance:
    with gate.database.transaction() as session:
        rows = session.execute(
            sa.select(ItemRow.state, sa.func.count())
            .where(ItemRow.recording_id == recording)
            .group_by(ItemRow.state)
        )
        counts: dict[str, int] = {state: count for state, count in rows}  # noqa: C416 (rows are no pairs to mypy)
        row = session.get_one(RecordingRow, recording)
        outside = row.held_entry
        if not counts.get(ItemState.AWAITED) and row.state != RecordingState.ERASED:
            if counts.get(ItemState.QUARANTINED):
                row.state = RecordingState.QUARANTINED
            elif counts.get(ItemState.CLASSIFIED):
                row.state = RecordingState.CLASSIFIED
            else:
                row.state = RecordingState.CLEANSED
    return Advance(
        recording=recording,
        outside=outside,
        cleansed=counts.get(ItemState.CLEANSED, 0),
        cut=counts.get(ItemState.CUT, 0),
        held=counts.get(ItemState.HELD, 0),
        awaited=counts.get(ItemState.AWAITED, 0),
    )


def stalled(gate: Gate) -> list[str]:
    """Recordings with work left that no live worker holds."""
    now = gate.clock()
    unfinished = (RecordingState.QUARANTINED, RecordingState.CLASSIFIED)
    with gate.database.read() as session:
        statement = (
            sa.select(RecordingRow.id)
            .where(
                RecordingRow.state.in_(unfinished),
                sa.or_(RecordingRow.lease_owner.is_(None), RecordingRow.lease_until < now),
            )
            .order_by(RecordingRow.received_at)
        )
        return list(session.scalars(statement))

"""Erase: destroy a recording's key (law 9), expire raw originals (rule 21)."""

from collections.abc import Sequence

import sqlalchemy as sa

from audit.events import EventType
from gateway.errors import NotFoundError
from gateway.flow.acts import intended
from gateway.flow.asked import is_asked_about
from gateway.flow.deciding import decide
from gateway.flow.gate import Gate
from gateway.flow.recording import ItemState, RecordingState, ReleaseState
from gateway.flow.records import (
    CleansingCheckpointRow,
    ItemRow,
    RecordingRow,
    RejectedUploadRow,
    ReleaseItemRow,
    ReleaseRecordingRow,
    ReleaseRow,
)
from gateway.flow.retention import Seals, destroy_key, destroy_question
from gateway.people.permission import permit
from gateway.people.registry import GATE_ACTOR, Actor
from policies.question import Question

_UNTREATED = (ItemState.AWAITED, ItemState.QUARANTINED, ItemState.CLASSIFIED, ItemState.HELD)


def erase_recording(gate: Gate, recording: str, *, actor: Actor) -> None:
    """Destroy the recording's key: originals, treated files and released copies become unreadable.

    Releases that draw on it are revoked. The ledger keeps its proofs. Of a recording that policy refused there is
    only what was asked about it, which the key seals, too.

    Raises:
        NotFoundError: There is no such recording.
        ActDeniedError: Policy refuses.
    """
    permit(gate, actor, "recording.erase", on=recording)
    with gate.database.read() as session:
        row = session.get(RecordingRow, recording)
        refused_one = row is None and is_asked_about(session, recording)
    if row is None and not refused_one:
        raise NotFoundError(f"no such recording (got {recording!r})")
    kek = f"rec-{recording}" if row is None else row.kek_id
    event = intended(
        EventType.ERASE_RECORDING_ERASE,
        actor=actor.id,
        object_id=recording,
        recording=recording,
        digests=actor.digests,
    )
    with gate.ledger.intent(event) as intent:
        destroyed = destroy_key(gate, kek, actor=actor)
        if row is not None:
            # The rows forget a blob only once it is gone: a repeated erasure finds what a killed one left.
            _delete(gate, _every_seal(gate, recording))
            _mark_erased(gate, recording)
        intent.complete(digests={"fingerprint": destroyed.fingerprint}, facts={"kek": kek})


def _delete(gate: Gate, seals: Sequence[str]) -> None:
    for seal in seals:
        gate.vault.delete(gate.vault.verified(seal).blob_id, missing_ok=True)


def _every_seal(gate: Gate, recording: str) -> list[str]:
    items = sa.select(ItemRow.id).where(ItemRow.recording_id == recording)
    statements = (
        sa.select(ItemRow.original_seal).where(ItemRow.recording_id == recording),
        sa.select(ItemRow.treated_seal).where(ItemRow.recording_id == recording),
        sa.select(ItemRow.mask_seal).where(ItemRow.recording_id == recording),
        sa.select(CleansingCheckpointRow.seal).where(CleansingCheckpointRow.item_id.in_(items)),
        sa.select(ReleaseItemRow.seal).where(ReleaseItemRow.item_id.in_(items)),
        sa.select(ReleaseItemRow.mask_seal).where(ReleaseItemRow.item_id.in_(items)),
        sa.select(RejectedUploadRow.seal).where(RejectedUploadRow.item_id.in_(items)),
    )
    with gate.database.read() as session:
        return [seal for statement in statements for seal in session.scalars(statement) if seal is not None]


def _mark_erased(gate: Gate, recording: str) -> None:
    now = gate.clock()
    drawing = sa.select(ReleaseRecordingRow.release_id).where(ReleaseRecordingRow.recording_id == recording)
    items = sa.select(ItemRow.id).where(ItemRow.recording_id == recording)
    with gate.database.transaction() as session:
        current = session.get_one(RecordingRow, recording, with_for_update=True)
        current.state = RecordingState.ERASED
        current.erased_at = current.erased_at or now
        current.held_entry = None
        session.execute(
            sa.update(ItemRow)
            .where(ItemRow.recording_id == recording)
            .values(
                state=ItemState.ERASED,
                original_seal=None,
                treated_seal=None,
                mask_seal=None,
                held_sealed=None,
            )
        )
        session.execute(sa.delete(CleansingCheckpointRow).where(CleansingCheckpointRow.item_id.in_(items)))
        session.execute(
            sa.update(ReleaseItemRow)
            .where(ReleaseItemRow.item_id.in_(items))
            .values(seal=None, mask_seal=None)
        )
        session.execute(
            sa.update(ReleaseRow)
            .where(ReleaseRow.id.in_(drawing), ReleaseRow.state == ReleaseState.RELEASED)
            .values(state=ReleaseState.REVOKED, revoked_at=now)
        )


def expire_raw(gate: Gate) -> int:
    """Delete originals whose term after they left the vehicle is over (COMPLIANCE.md C8, rule 21).

    Policy judges each: the term is its number, and an attestation of a compliance officer keeps originals until
    its date. That one is not due is no refused attempt, and no entry. Returns how many originals were deleted.
    Treated files and evidence stay.
    """
    with gate.database.read() as session:
        statement = sa.select(RecordingRow).where(
            RecordingRow.raw_expired_at.is_(None), RecordingRow.erased_at.is_(None)
        )
        held = list(session.scalars(statement))
    deleted = 0
    for row in held:
        question = destroy_question(
            gate,
            actor=GATE_ACTOR,
            of=row.id,
            seals=Seals.ORIGINALS,
            received_at=row.received_at,
            attested_until=row.retain_until,
        )
        if not gate.engine.decide(Question.of(question)).allowed:
            continue
        decide(
            gate,
            EventType.JUDGE_DESTROY_DECIDE,
            question,
            actor=GATE_ACTOR,
            object_id=row.id,
            recording=row.id,
        )
        event = intended(EventType.ERASE_RAW_EXPIRE, actor=GATE_ACTOR.id, object_id=row.id, recording=row.id)
        with gate.ledger.intent(event) as intent:
            seals = _originals(gate, row.id)
            _delete(gate, seals)
            _forget_originals(gate, row.id, deleted=seals)
            intent.complete(facts={"originals": len(seals)})
        deleted += len(seals)
    return deleted


def _originals(gate: Gate, recording: str) -> list[str]:
    """Seals of originals, of what was begun with them, and of whatever arrived that was not as announced."""
    items = sa.select(ItemRow.id).where(ItemRow.recording_id == recording)
    statements = (
        sa.select(ItemRow.original_seal).where(ItemRow.recording_id == recording),
        sa.select(CleansingCheckpointRow.seal).where(CleansingCheckpointRow.item_id.in_(items)),
        sa.select(RejectedUploadRow.seal).where(RejectedUploadRow.item_id.in_(items)),
    )
    with gate.database.read() as session:
        return [seal for statement in statements for seal in session.scalars(statement) if seal is not None]


def _forget_originals(gate: Gate, recording: str, *, deleted: Sequence[str]) -> None:
    with gate.database.transaction() as session:
        row = session.get_one(RecordingRow, recording, with_for_update=True)
        items = list(session.scalars(sa.select(ItemRow).where(ItemRow.recording_id == recording)))
        if any(item.original_seal and item.original_seal not in deleted for item in items):
            # An original arrived in this very moment; the next run takes it along.
            return
        for item in items:
            item.original_seal = None
            if item.state in _UNTREATED:
                item.state = ItemState.ERASED
        session.execute(
            sa.delete(CleansingCheckpointRow).where(
                CleansingCheckpointRow.item_id.in_([item.id for item in items])
            )
        )
        row.held_entry = None
        row.raw_expired_at = gate.clock()

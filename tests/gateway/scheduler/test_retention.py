"""Retention (rule 21): raw originals end with their term, what was treated and attested does not."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from gateway.errors import DeniedError, DigestMismatchError, EvidenceError
from gateway.flow.classify import readable_original
from gateway.flow.cleanse import load_cleansed
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce, load_quarantined, receive_item
from gateway.flow.law import raw_retention_days
from gateway.flow.records import GrantRow, ItemRow, RecordingRow, RejectedUploadRow
from gateway.flow.serve import read_item, read_manifest
from gateway.scheduler import run_job
from gateway.vault.errors import BlobMissingError
from gateway.workers import advance, stalled
from simulators import (
    PURPOSE,
    House,
    candidate,
    cleanse,
    deliver,
    grant,
    manifest_of,
    publish,
    vehicle_actor,
)

Later = Callable[..., Gate]


def seals_of(gate: Gate, recording: str) -> list[str | None]:
    with gate.database.read() as session:
        statement = (
            sa.select(ItemRow.original_seal)
            .where(ItemRow.recording_id == recording)
            .order_by(ItemRow.position)
        )
        return list(session.scalars(statement))


def states_of(gate: Gate, recording: str) -> list[str]:
    with gate.database.read() as session:
        statement = (
            sa.select(ItemRow.state).where(ItemRow.recording_id == recording).order_by(ItemRow.position)
        )
        return list(session.scalars(statement))


def first_item(gate: Gate, recording: str) -> str:
    with gate.database.read() as session:
        found = session.scalar(
            sa.select(ItemRow.id).where(ItemRow.recording_id == recording, ItemRow.position == 0)
        )
    assert found is not None
    return found


def test_originals_end_with_their_term_and_not_before(
    shared_gate: Gate, files: dict[str, bytes], later: Later
):
    """The term is the number in the signed policy data."""
    days = raw_retention_days(shared_gate)
    assert days == 14
    recording = cleanse(shared_gate, files)
    seals = seals_of(shared_gate, recording)
    run_job(later(shared_gate, days=days - 1), "retention")
    assert seals_of(shared_gate, recording) == seals
    result = run_job(later(shared_gate, days=days, minutes=1), "retention")
    assert result["originals"] >= len(files)
    assert seals_of(shared_gate, recording) == [None] * len(files)
    for seal in seals:
        assert seal is not None
        with pytest.raises(BlobMissingError):
            shared_gate.vault.scrub(seal)
    assert run_job(later(shared_gate, days=days, minutes=2), "retention")["originals"] == 0


def test_a_treated_item_outlives_its_original(
    shared_gate: Gate, shared_house: House, files: dict[str, bytes], later: Later
):
    """Law 6: later stages rest on the evidence of the original, which stays; its bytes are gone."""
    recording = cleanse(shared_gate, files)
    now = later(shared_gate, days=15)
    run_job(now, "retention")
    item = first_item(now, recording)
    with now.database.read() as session:
        cleansed = load_cleansed(now, session, item)
    with pytest.raises(EvidenceError, match="no longer held"):
        readable_original(now, cleansed.classified.quarantined, encoding=None).read()
    made = candidate(now, shared_house, recording)
    publish(now, shared_house, made)
    grant(now, shared_house, made)
    engineer = shared_house.people["engineer"].actor
    read_manifest(now, made, actor=engineer, purpose=PURPOSE)


def test_an_original_that_vanished_without_an_expiry_breaks_the_evidence(
    shared_gate: Gate, files: dict[str, bytes]
):
    """Law 6: only the recorded end of the term explains a missing original."""
    recording = cleanse(shared_gate, files)
    item = first_item(shared_gate, recording)
    with shared_gate.database.transaction() as session:
        session.execute(sa.update(ItemRow).where(ItemRow.id == item).values(original_seal=None))
    with shared_gate.database.read() as session, pytest.raises(EvidenceError, match="no longer held"):
        load_quarantined(shared_gate, session, item)


def test_an_original_exchanged_for_another_breaks_the_evidence(shared_gate: Gate, files: dict[str, bytes]):
    recording = cleanse(shared_gate, files)
    item = first_item(shared_gate, recording)
    other = seals_of(shared_gate, recording)[1]
    with shared_gate.database.transaction() as session:
        session.execute(sa.update(ItemRow).where(ItemRow.id == item).values(original_seal=other))
    with shared_gate.database.read() as session, pytest.raises(EvidenceError, match="another sealed"):
        load_quarantined(shared_gate, session, item)


def test_attested_originals_are_kept_until_their_date(
    shared_gate: Gate, files: dict[str, bytes], later: Later
):
    recording = cleanse(shared_gate, files)
    with shared_gate.database.transaction() as session:
        row = session.get_one(RecordingRow, recording)
        row.retain_until = shared_gate.clock() + timedelta(days=40)
    run_job(later(shared_gate, days=39), "retention")
    assert None not in seals_of(shared_gate, recording)
    run_job(later(shared_gate, days=41), "retention")
    assert seals_of(shared_gate, recording) == [None] * len(files)


def test_untreated_items_end_with_their_originals(shared_gate: Gate, files: dict[str, bytes], later: Later):
    """An item that was never cleansed cannot be any more; it does not keep workers busy either."""
    recording = deliver(shared_gate, files)
    now = later(shared_gate, days=15)
    run_job(now, "retention")
    assert states_of(now, recording) == ["erased"] * len(files)
    outcome = advance(now, recording)
    assert outcome is not None
    assert (outcome.cleansed, outcome.held) == (0, 0)
    assert recording not in stalled(now)


def test_rejected_uploads_end_as_originals_do(shared_gate: Gate, files: dict[str, bytes], later: Later):
    """Bytes that were not as announced are as raw as those that were."""
    manifest = manifest_of({"late.csv": files["drive.csv"]})
    announce(
        shared_gate,
        Delivery(manifest=manifest, source="vehicle", manifest_signed=True),
        actor=vehicle_actor(),
    )
    with pytest.raises(DigestMismatchError):
        receive_item(shared_gate, manifest.recording, 0, [b"something else"], actor=vehicle_actor())
    with shared_gate.database.read() as session:
        seal = session.scalars(
            sa.select(RejectedUploadRow.seal).where(
                RejectedUploadRow.item_id.in_(
                    sa.select(ItemRow.id).where(ItemRow.recording_id == manifest.recording)
                )
            )
        ).one()
    shared_gate.vault.scrub(seal)
    run_job(later(shared_gate, days=15), "retention")
    with pytest.raises(BlobMissingError):
        shared_gate.vault.scrub(seal)


def test_grants_end_with_their_release(
    shared_gate: Gate, shared_house: House, files: dict[str, bytes], later: Later
):
    made = candidate(shared_gate, shared_house, cleanse(shared_gate, files), days=30)
    publish(shared_gate, shared_house, made)
    given = grant(shared_gate, shared_house, made, days=29)
    engineer = shared_house.people["engineer"].actor
    before, after = later(shared_gate, days=28), later(shared_gate, days=31)
    run_job(before, "retention")
    statement = read_manifest(before, made, actor=engineer, purpose=PURPOSE)
    assert statement
    assert run_job(after, "retention")["grants"] >= 1
    with shared_gate.database.read() as session:
        assert session.get_one(GrantRow, given).revoked_at is not None
        name = session.scalar(sa.text("SELECT name FROM release_item WHERE release_id = :r"), {"r": made})
    assert isinstance(name, str)
    with pytest.raises(DeniedError):
        read_item(after, made, name, actor=engineer, purpose=PURPOSE, wanted=None)
    assert run_job(after, "retention")["grants"] == 0

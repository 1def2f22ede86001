"""Intake keys end with their grace: destroyed by a job, recorded and certified; what is in grace is taken."""

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from audit.verify_destruction import verify_destruction
from gateway.app import release_public_jwk
from gateway.destruction import certificate_path
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce, receive_item
from gateway.intake_rotation import rotate_intake
from gateway.scheduler import run_job
from gateway.vault.intake_generations import (
    accepted_keys,
    current_key,
    destroy_ended_key,
    destroyed_keys,
    generations,
)
from gateway.vehicles.errors import SealedDeliveryError
from gateway.vehicles.manifest import read_manifest
from gateway.vehicles.outbox import MANIFEST_NAME, Outbox, open_manifest
from sealed_deliveries import sealed_by_vehicle
from simulators import House, vehicle_actor

GRACE = timedelta(days=10)
FILES = {"notes.txt": "天气晴，城市道路。\n".encode()}


def later(gate: Gate, **delta: float) -> Gate:
    return dataclasses.replace(gate, clock=lambda: gate.clock() + timedelta(**delta))


def opened(gate: Gate, house: House, box: Outbox) -> Delivery:
    statement = open_manifest(
        (box.folder / MANIFEST_NAME).read_bytes(),
        *accepted_keys(gate.keystore, gate.clock()),
        destroyed=destroyed_keys(gate.keystore),
    )
    manifest = read_manifest(statement, house.vehicle_key)
    return Delivery(manifest=manifest, source="vehicle", manifest_signed=True, manifest_sealed=True)


def entries(gate: Gate, key: str) -> list[Outcome]:
    wanted = EntryFilter(object=key, types=(EventType.VAULT_KEY_DESTROY,))
    with gate.ledger.snapshot() as snapshot:
        found = sorted(find_all(snapshot, wanted), key=lambda entry: entry.index)
    return [entry.event.outcome for entry in found]


@pytest.fixture
def boxes(sqlite_gate: Gate, sqlite_house: House, tmp_path: Path) -> list[Outbox]:
    """Two recordings that are sealed to the first intake key, which then was rotated away with a grace."""
    first, key = current_key(sqlite_gate.keystore).public, sqlite_house.vehicle_key
    made = [sealed_by_vehicle(tmp_path / name, FILES, key, first, captured={}) for name in ("a", "b")]
    rotate_intake(sqlite_gate, grace=GRACE, actor=sqlite_house.people["admin"].actor)
    return made


def test_a_key_is_taken_in_its_grace_and_destroyed_with_proof_afterwards(
    sqlite_gate: Gate, sqlite_house: House, boxes: list[Outbox]
):
    gate, house, (box, late) = sqlite_gate, sqlite_house, boxes
    within = later(gate, days=9)
    assert run_job(within, "retention")["intake_keys"] == 0
    delivery = opened(within, house, box)
    recording = announce(within, delivery, actor=vehicle_actor())
    receive_item(within, recording, 0, [box.path(0).read_bytes()], actor=vehicle_actor())
    # Opened in the grace, announced after it: what a clear manifest names is known by its thumbprint.
    held = opened(within, house, late)

    after = later(gate, days=11)
    assert [run_job(after, "retention")["intake_keys"] for _ in range(2)] == [1, 0]
    assert entries(gate, "intake-1") == [Outcome.INTENT, Outcome.COMPLETED]
    certificate = certificate_path(gate, "intake-1").read_text("ascii")
    verified = verify_destruction(certificate, release_public_jwk(gate, certificate), gate.ledger.signer.vkey)
    assert verified.says["of"] == {"id": "1", "kind": "intake"}
    assert "接收密钥 intake-1" in verified.says["text"]["zh"]
    assert "Intake key intake-1" in verified.says["text"]["en"]

    (kid,) = destroyed_keys(gate.keystore)
    with pytest.raises(SealedDeliveryError, match=f"{kid}, destroyed after its grace"):
        opened(after, house, late)
    with pytest.raises(SealedDeliveryError, match=f"destroyed after its grace.*{kid}.*seal it anew"):
        announce(after, held, actor=vehicle_actor())
    wanted = EntryFilter(object=late.recording, outcome=Outcome.REFUSED)
    with gate.ledger.snapshot() as snapshot:
        (refusal,) = [e for e in find_all(snapshot, wanted) if "reason" in e.event.facts]
    assert refusal.event.facts["reason"] == "sealed_delivery_invalid"
    assert gate.ledger.verify().open_intents == 0


@pytest.mark.usefixtures("boxes")
def test_what_a_crash_left_is_finished_by_the_next_run(sqlite_gate: Gate):
    gate = sqlite_gate
    after = later(gate, days=11)
    destroy_ended_key(gate.keystore, generations(gate.keystore)[0], after.clock())
    assert entries(gate, "intake-1") == []
    assert run_job(after, "retention")["intake_keys"] == 1
    assert entries(gate, "intake-1") == [Outcome.INTENT, Outcome.COMPLETED]
    certificate_path(gate, "intake-1").unlink()
    assert run_job(after, "retention")["intake_keys"] == 1
    assert certificate_path(gate, "intake-1").exists()
    current = current_key(gate.keystore)
    assert current.open(current.public.seal(b"x", b"i"), b"i") == b"x"

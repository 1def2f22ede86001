"""A vehicle seals, a proxy sees ciphertext, and the gate refuses what is not what was signed."""

import base64
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from audit.events import EventType, Outcome
from gateway.flow.records import ItemRow, RecordingRow, RejectedUploadRow
from gateway.vault.errors import StatementError
from gateway.vault.intake_key import IntakeKey, IntakePublicKey
from gateway.vault.jws import generate_person_key
from gateway.vault.keys import Keystore
from gateway.vault.root import INSECURE_TEST_ARGON2
from gateway.vault.store import Context
from gateway.vehicles.agent import VehicleAgent
from gateway.vehicles.errors import DeliveryError
from gateway.vehicles.manifest import read_manifest, sign_manifest
from gateway.vehicles.outbox import open_manifest
from sealed_deliveries import intake_key_of, sealed_by_vehicle, written
from simulators import SMALL_CAPTURED, SMALL_DRIVE, VEHICLE, House, manifest_of

PATH = "/vehicles/v1/recordings"
FILES = {"meta.json": b'{"weather": "rain"}', "lidar/CANARY-NAME.bin": os.urandom(8000) * 30}


def agent_of(served) -> VehicleAgent:
    return VehicleAgent(served.url, VEHICLE, served.house.vehicle_key, attempts=1)


def sealed(served, place: Path, files=FILES, **more):
    gate = intake_key_of(served.gate)
    return sealed_by_vehicle(place, files, served.house.vehicle_key, gate, captured={}, **more)


def announced(served, outbox):
    body = {"sealed_manifest": base64.b64encode(outbox.sealed_manifest()).decode()}
    return served.call(VEHICLE, "POST", PATH, document=body)


def put(served, recording: str, position: int, content: bytes):
    return served.call(VEHICLE, "PUT", f"{PATH}/{recording}/items/{position}", body=content)


def rows(served, recording: str) -> list[ItemRow]:
    with served.gate.database.read() as session:
        found = session.scalars(
            sa.select(ItemRow).where(ItemRow.recording_id == recording).order_by(ItemRow.position)
        )
        return list(found)


def manifest_in(served, outbox):
    return read_manifest(
        open_manifest(outbox.sealed_manifest(), IntakeKey(served.gate.keystore)), served.house.vehicle_key
    )


def test_a_sealed_drive_passes_the_gate(served, tmp_path: Path):
    sources = written(tmp_path / "vehicle", SMALL_DRIVE)
    plain = manifest_of(SMALL_DRIVE, captured=SMALL_CAPTURED)
    with agent_of(served) as agent:
        agent.seal(plain, sources, tmp_path / "outbox", intake_key_of(served.gate))
        done = agent.deliver_sealed(tmp_path / "outbox")
    assert done.recording == plain.recording
    assert done.sent == ("0", "1", "2", "3")
    with agent_of(served) as restarted:
        again = restarted.deliver_sealed(tmp_path / "outbox")
    assert (again.sent, again.skipped) == ((), ("0", "1", "2", "3"))
    for row, (_, content) in zip(rows(served, done.recording), SMALL_DRIVE.items(), strict=True):
        context = Context(owner=done.recording, object=row.id, role="original")
        assert served.gate.vault.read_all(row.original_seal, context) == content
    deadline = time.monotonic() + 120
    while {row.state for row in rows(served, done.recording)} & {"quarantined", "classified"}:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert {row.state for row in rows(served, done.recording)} == {"cleansed"}


def test_a_proxy_sees_no_name_no_content_and_no_digest_of_it(served, tmp_path: Path):
    outbox = sealed(served, tmp_path)
    answer = announced(served, outbox)
    assert answer.status_code == 201, answer.text
    seen = base64.b64encode(outbox.sealed_manifest()) + answer.content
    for position in (0, 1):
        content = outbox.path(position).read_bytes()
        seen += content + put(served, outbox.recording, position, content).content
    seen += served.call(VEHICLE, "GET", f"{PATH}/{outbox.recording}").content
    for name, content in FILES.items():
        assert name.encode() not in seen
        assert content[:16] not in seen
    for item in manifest_in(served, outbox).items:
        assert item.sha256.encode() not in seen
        assert bytes.fromhex(item.sha256) not in seen


def test_a_changed_item_is_refused_in_the_ledger_and_nothing_of_it_is_kept(
    served, tmp_path: Path, is_problem
):
    outbox = sealed(served, tmp_path)
    assert announced(served, outbox).status_code == 201
    content = bytearray(outbox.path(1).read_bytes())
    content[100_000] ^= 1
    objects = served.gate.settings.home / "objects"
    before = sorted(objects.iterdir())
    # The vehicle's own request says another digest than its manifest.
    is_problem(put(served, outbox.recording, 1, bytes(content)), 422, "digest_mismatch")
    for chunk in (bytes(content), outbox.path(1).read_bytes()[:-1], outbox.path(0).read_bytes()):
        headers = {"Content-Digest": f"sha-256=:{digest_header(outbox.items[1].sha256)}:"}
        answer = served.call(
            VEHICLE, "PUT", f"{PATH}/{outbox.recording}/items/1", body=chunk, headers=headers
        )
        document = is_problem(answer, 422, "sealed_delivery_invalid")
        assert "CANARY-NAME" not in json.dumps(document)
    item = rows(served, outbox.recording)[1]
    assert item.state == "awaited"
    assert sorted(objects.iterdir()) == before
    with served.gate.database.read() as session:
        assert (
            session.scalar(sa.select(RejectedUploadRow).where(RejectedUploadRow.item_id == item.id)) is None
        )
    outcomes = [e.event.outcome for e in served.entries(type=EventType.INTAKE_ITEM_RECEIVE, item=item.id)]
    assert outcomes == [Outcome.INTENT, Outcome.REFUSED] * 3
    assert put(served, outbox.recording, 1, outbox.path(1).read_bytes()).status_code == 201


def digest_header(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode()


def test_plain_bytes_for_a_sealed_item_are_refused(served, tmp_path: Path, is_problem):
    outbox = sealed(served, tmp_path)
    assert announced(served, outbox).status_code == 201
    is_problem(put(served, outbox.recording, 0, FILES["meta.json"]), 422, "digest_mismatch")


def test_what_is_sealed_to_another_gate_is_refused(served, tmp_path: Path, is_problem):
    other = Keystore.create(tmp_path / "k", "words", argon2=INSECURE_TEST_ARGON2)
    outbox = sealed_by_vehicle(tmp_path, FILES, served.house.vehicle_key, IntakeKey(other).public)
    is_problem(announced(served, outbox), 422, "sealed_delivery_invalid")
    with served.gate.database.read() as session:
        assert session.get(RecordingRow, outbox.recording) is None
    statement = open_manifest(outbox.sealed_manifest(), IntakeKey(other))
    answer = served.call(VEHICLE, "POST", PATH, document={"manifest": statement})
    is_problem(answer, 422, "sealed_delivery_invalid")
    refusals = served.entries(type=EventType.INTAKE_RECORDING_RECEIVE, object=outbox.recording)
    assert [entry.event.outcome for entry in refusals] == [Outcome.REFUSED]


def test_a_secret_of_another_recording_is_refused(served, tmp_path: Path, is_problem):
    """Whoever recorded the first delivery cannot pass it off as a second one, not even with the vehicle's key."""
    outbox = sealed(served, tmp_path)
    replayed = replace(manifest_in(served, outbox), recording="11111111-1111-4111-8111-111111111111")
    body = {"manifest": sign_manifest(replayed, served.house.vehicle_key)}
    is_problem(served.call(VEHICLE, "POST", PATH, document=body), 422, "sealed_delivery_invalid")


def test_a_recording_sealed_anew_is_another_manifest(served, tmp_path: Path, is_problem):
    recording = "22222222-2222-4222-8222-222222222222"
    assert announced(served, sealed(served, tmp_path / "a", recording=recording)).status_code == 201
    is_problem(announced(served, sealed(served, tmp_path / "b", recording=recording)), 409, "conflict")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"sealed_manifest": "not base64!"}, "invalid_request"),
        ({"sealed_manifest": ""}, "sealed_delivery_invalid"),
        ({"sealed_manifest": "AAAA" * 40}, "sealed_delivery_invalid"),
        ({"sealed_manifest": "AAAA", "manifest": "a.b.c"}, "invalid_request"),
        ({"sealed_manifest": 5}, "invalid_request"),
    ],
)
def test_an_announcement_that_is_none_is_refused(served, is_problem, body, reason):
    is_problem(served.call(VEHICLE, "POST", PATH, document=body), 422, reason)


def test_the_agent_does_not_send_what_changed_in_its_folder(served, tmp_path: Path):
    outbox = sealed(served, tmp_path)
    content = bytearray(outbox.path(0).read_bytes())
    content[-1] ^= 1
    outbox.path(0).write_bytes(content)
    with agent_of(served) as agent, pytest.raises(DeliveryError, match="source_changed"):
        agent.deliver_sealed(outbox.folder)


@pytest.fixture(scope="module")
def demanding(tmp_path_factory, serve_gate):
    """A gate that takes sealed recordings only."""
    changes = {"require_sealed_delivery": True}
    house = House(home=tmp_path_factory.mktemp("demanding") / "home", settings_changes=changes)
    with house.opened() as gate:
        house.furnish(gate)
        with serve_gate(gate, house) as running:
            yield running


def test_a_gate_that_demands_it_takes_nothing_unsealed(demanding, tmp_path: Path, is_problem):
    plain = manifest_of(FILES, captured={})
    body = {"manifest": sign_manifest(plain, demanding.house.vehicle_key)}
    is_problem(demanding.call(VEHICLE, "POST", PATH, document=body), 422, "sealed_delivery_invalid")
    outbox = sealed(demanding, tmp_path)
    # Items that are sealed under a manifest that is not.
    body = {"manifest": sign_manifest(manifest_in(demanding, outbox), demanding.house.vehicle_key)}
    is_problem(demanding.call(VEHICLE, "POST", PATH, document=body), 422, "sealed_delivery_invalid")
    with demanding.gate.database.read() as session:
        assert session.scalars(sa.select(RecordingRow)).all() == []
    with agent_of(demanding) as agent:
        assert agent.deliver_sealed(outbox.folder).sent == ("0", "1")


def test_the_public_key_that_is_handed_on_is_the_gates(served):
    key = intake_key_of(served.gate)
    assert isinstance(key, IntakePublicKey)
    assert IntakeKey(served.gate.keystore).open(key.seal(b"secret", b"info"), b"info") == b"secret"


def test_a_vehicle_fetches_the_key_to_seal_to_and_refuses_what_is_not_its_gates(served, tmp_path: Path):
    """Law 2: an intent precedes the answer; who pins another key, or knows a later generation, takes nothing."""
    release_key = served.gate.keystore.statement_key("release")
    start = served.gate.ledger.size
    with agent_of(served) as agent:
        told = agent.intake_key(release_key)
        assert told.key.kid == intake_key_of(served.gate).kid
        assert told.generation == 1
        assert [
            (e.event.type, e.event.outcome, e.event.actor, e.event.object)
            for e in served.gate.ledger.entries(start)
        ] == [
            (EventType.VAULT_KEY_PUBLISH, outcome, VEHICLE, "intake")
            for outcome in (Outcome.INTENT, Outcome.COMPLETED)
        ]
        manifest = manifest_of(FILES, captured={})
        agent.seal(manifest, written(tmp_path / "vehicle", FILES), tmp_path / "outbox", told.key)
        assert agent.deliver_sealed(tmp_path / "outbox").sent
        with pytest.raises(StatementError, match="earlier generation"):
            agent.intake_key(release_key, known=2)
        with pytest.raises(StatementError):
            agent.intake_key(generate_person_key())


def test_nobody_but_vehicles_is_told_the_intake_key(served, is_problem):
    path = "/vehicles/v1/intake-key"
    is_problem(served.call("engineer", "GET", path), 401, "signature_key_unknown")
    is_problem(httpx.get(served.url + path), 401, "signature_missing")

"""A disk with a recording that its vehicle sealed: its signature counts, and the disk holds ciphertext only."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

from gateway.commands.session import EXIT_REFUSED
from gateway.vault.intake_key import IntakeKey, IntakePublicKey
from gateway.vault.jws import generate_person_key, public_text
from gateway.vault.keys import Keystore
from gateway.vault.root import INSECURE_TEST_ARGON2
from gateway.vehicles.intake_publication import read_intake_publication
from gateway.vehicles.outbox import Outbox, seal_recording
from sealed_deliveries import written
from simulators import UNIT, manifest_of

TRUCK = "truck-07"
FILES = {
    "notes.txt": "天气晴，城市道路。\n".encode(),
    "PLAINTEXT-CANARY/meta.json": b'{"weather": "rain", "canary": "PLAINTEXT-CANARY"}',
}


@pytest.fixture(scope="module")
def truck(quick) -> OKPKey:
    """An enrolled vehicle's key."""
    key = generate_person_key()
    (quick.keys / "truck.jwk").write_text(public_text(key))
    quick.did("officer", "vehicle", "add", TRUCK, "--unit", UNIT, "--public-key", quick.keys / "truck.jwk")
    return key


@pytest.fixture(scope="module")
def intake_key(quick) -> IntakePublicKey:
    """As the operator hands it to whoever provisions vehicles."""
    answer = quick.run("intake-key", "--json")
    assert answer.code == 0, answer
    key = IntakePublicKey.parse(answer.document["intake_key"])
    assert answer.document["thumbprint"] == key.kid
    assert quick.run("intake-key").out.strip() == key.text()
    return key


def disk_of(place: Path, key: OKPKey, gate: IntakePublicKey, vehicle: str = TRUCK) -> Outbox:
    manifest = replace(manifest_of(FILES, captured={}), vehicle=vehicle)
    return seal_recording(manifest, written(place / "v", FILES), place / "disk", key=key, gate=gate)


def ingest(quick, disk: Path, *more: object):
    arguments = ["ingest-sealed", disk, "--carrier", "disk-9", *more]
    return quick.act("officer", *arguments, "--attest-outside-zones", "files without a position")


def test_a_disk_is_ingested_and_its_recording_is_the_vehicles(quick, truck, intake_key, tmp_path: Path):
    box = disk_of(tmp_path, truck, intake_key)
    assert all(b"PLAINTEXT-CANARY" not in path.read_bytes() for path in box.folder.iterdir())
    assert {path.name for path in box.folder.iterdir()} == {
        "000000.sealed",
        "000001.sealed",
        "manifest.sealed",
        "outbox.json",
    }
    answer = ingest(quick, box.folder)
    assert answer.code == 0, answer
    assert answer.document["recording"] == box.recording
    assert (answer.document["source"], answer.document["source_id"]) == ("carrier", TRUCK)
    assert {item["state"] for item in answer.document["items"]} == {"cleansed"}
    stored = b"".join(path.read_bytes() for path in quick.home.rglob("*") if path.is_file())
    assert b"PLAINTEXT-CANARY" not in stored
    again = ingest(quick, box.folder)
    assert (again.code, again.document) == (0, answer.document)


def test_a_disk_whose_item_was_changed_is_refused_and_taken_once_it_is_whole(
    quick, truck, intake_key, tmp_path: Path
):
    box = disk_of(tmp_path, truck, intake_key)
    shutil.copy(box.path(1), tmp_path / "whole")
    for damaged in (box.path(1).read_bytes()[:-1], box.path(0).read_bytes(), b""):
        box.path(1).write_bytes(damaged)
        answer = ingest(quick, box.folder)
        assert answer.code != 0
        assert answer.document["error"] == "sealed_delivery_invalid"
    shutil.copy(tmp_path / "whole", box.path(1))
    assert ingest(quick, box.folder).code == 0


def test_a_disk_of_a_vehicle_that_is_not_enrolled_is_refused(quick, truck, intake_key, tmp_path: Path):
    del truck
    stranger = generate_person_key()
    for name, vehicle in (("a", "truck-99"), ("b", TRUCK)):
        box = disk_of(tmp_path / name, stranger, intake_key, vehicle)
        answer = ingest(quick, box.folder)
        assert answer.code != 0
        expected = "unauthenticated" if vehicle == "truck-99" else "manifest_invalid"
        assert answer.document["error"] == expected


def test_a_disk_that_is_sealed_to_another_gate_is_refused(quick, truck, tmp_path: Path):
    other = Keystore.create(tmp_path / "k", "words", argon2=INSECURE_TEST_ARGON2)
    box = disk_of(tmp_path, truck, IntakeKey(other).public)
    answer = ingest(quick, box.folder)
    assert answer.code != 0
    assert answer.document["error"] == "sealed_delivery_invalid"


def test_only_a_compliance_officer_brings_a_disk(quick, truck, intake_key, tmp_path: Path):
    box = disk_of(tmp_path, truck, intake_key)
    answer = quick.act("first", "ingest-sealed", box.folder, "--carrier", "disk-9")
    assert answer.code != 0
    assert answer.document["error"] == "forbidden"


def test_a_disk_that_was_sealed_before_a_rotation_is_taken_in_its_grace_and_refused_after(
    quick, truck, intake_key, tmp_path: Path
):
    box, late = disk_of(tmp_path / "a", truck, intake_key), disk_of(tmp_path / "b", truck, intake_key)
    assert quick.act("officer", "key", "rotate-intake").code == EXIT_REFUSED
    made = quick.did("admin", "key", "rotate-intake", "--grace-days", "30")
    assert (made["generation"], made["thumbprint"] != intake_key.kid) == (2, True)
    entry = quick.entries()[-1].event
    assert (entry.type.value, entry.object, entry.outcome.value) == (
        "vault:key:rotate",
        "intake",
        "completed",
    )
    assert (entry.facts["key"], entry.facts["grace_s"]) == (made["thumbprint"], 30 * 86_400)
    release_key = quick.run("release", "key").out.strip()
    learnt = read_intake_publication(quick.run("intake-key", "--signed").out.strip(), release_key, known=1)
    assert (learnt.generation, learnt.key.kid) == (2, made["thumbprint"])
    assert ingest(quick, box.folder).code == 0
    assert ingest(quick, disk_of(tmp_path / "c", truck, learnt.key).folder).code == 0
    quick.did("admin", "key", "rotate-intake", "--grace-days", "0")
    assert ingest(quick, late.folder).code == 0, "the first key's grace was stated as 30 days"
    assert ingest(quick, disk_of(tmp_path / "d", truck, learnt.key).folder).code == EXIT_REFUSED

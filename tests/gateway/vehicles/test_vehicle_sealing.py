"""What a vehicle seals opens at its gate as the item that was announced, and as nothing else."""

import base64
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.vault.errors import KeyUnavailableError, SealBrokenError, StorageError
from gateway.vault.intake_key import IntakeKey, IntakePublicKey, item_dek
from gateway.vault.jws import generate_person_key
from gateway.vault.keys import Keystore
from gateway.vault.root import INSECURE_TEST_ARGON2
from gateway.vault.suites import SUITES
from gateway.vehicles.errors import DeliveryError, ManifestError, SealedDeliveryError
from gateway.vehicles.manifest import parse_manifest, read_manifest, sign_manifest
from gateway.vehicles.outbox import context_of, open_manifest, read_outbox, seal_recording
from gateway.vehicles.sealing import opened
from sealed_deliveries import written
from simulators import manifest_of

KEY = generate_person_key()
FILES = {
    "lidar/京A88F72.bin": os.urandom(200_000),
    "empty.txt": b"",
    "exact.bin": b"e" * 65_536,
    "meta.json": b'{"weather": "rain"}',
}


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Keystore:
    return Keystore.create(tmp_path_factory.mktemp("keys") / "k", "words", argon2=INSECURE_TEST_ARGON2)


@pytest.fixture(scope="module")
def gate(keystore: Keystore) -> IntakeKey:
    return IntakeKey(keystore)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> IntakeKey:
    other = Keystore.create(tmp_path_factory.mktemp("other") / "k", "words", argon2=INSECURE_TEST_ARGON2)
    return IntakeKey(other)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return written(tmp_path_factory.mktemp("vehicle"), FILES)


@pytest.fixture(scope="module")
def outbox(tmp_path_factory: pytest.TempPathFactory, sources, gate: IntakeKey):
    folder = tmp_path_factory.mktemp("disk") / "outbox"
    return seal_recording(manifest_of(FILES, captured={}), sources, folder, key=KEY, gate=gate.public)


@pytest.fixture(scope="module")
def manifest(outbox, gate: IntakeKey):
    return read_manifest(open_manifest(outbox.sealed_manifest(), gate), KEY)


def arriving(content: bytes, size: int = 10_000):
    return (content[at : at + size] for at in range(0, len(content), size))


def plaintext(manifest, position: int, content: bytes, key: IntakeKey, size: int = 10_000) -> bytes:
    return b"".join(opened(arriving(content, size), manifest.sealing, context_of(manifest, position), key))


@pytest.mark.parametrize("size", [1, 86, 65_552, 1_000_000])
def test_each_item_opens_however_it_arrives(outbox, manifest, gate: IntakeKey, size: int):
    for position, (name, content) in enumerate(FILES.items()):
        if size == 1 and len(content) > 100:
            continue
        assert manifest.items[position].name == name
        assert plaintext(manifest, position, outbox.path(position).read_bytes(), gate, size) == content


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_both_suites_open(tmp_path: Path, sources, gate: IntakeKey, suite):
    plain = manifest_of(FILES, captured={})
    box = seal_recording(plain, sources, tmp_path / "o", key=KEY, gate=gate.public, suite=suite)
    sealed = read_manifest(open_manifest(box.sealed_manifest(), gate), KEY)
    assert plaintext(sealed, 3, box.path(3).read_bytes(), gate) == FILES["meta.json"]


def test_the_folder_tells_nothing_and_opens_for_nobody_else(outbox, manifest, stranger: IntakeKey):
    everything = b"".join(path.read_bytes() for path in outbox.folder.iterdir())
    names = " ".join(path.name for path in outbox.folder.iterdir())
    for needle in (*FILES, manifest.vehicle, manifest.region, *(item.sha256 for item in manifest.items)):
        assert needle.encode() not in everything
        assert needle not in names
    assert FILES["lidar/京A88F72.bin"][:24] not in everything
    assert b"eeeeeeee" not in everything
    with pytest.raises(SealedDeliveryError, match="sealed manifest"):
        open_manifest(outbox.sealed_manifest(), stranger)
    with pytest.raises(SealedDeliveryError, match=f"expected {stranger.public.kid}"):
        plaintext(manifest, 0, outbox.path(0).read_bytes(), stranger)


def test_a_secret_that_only_claims_to_be_for_this_gate_does_not_open(outbox, manifest, stranger):
    lying = replace(manifest, sealing=replace(manifest.sealing, key=stranger.public.kid))
    with pytest.raises(SealedDeliveryError, match="secret of the recording"):
        plaintext(lying, 0, outbox.path(0).read_bytes(), stranger)


@pytest.mark.parametrize(
    "change",
    [
        {"vehicle": "vehicle-02"},
        {"recording": "00000000-0000-4000-8000-000000000000"},
    ],
)
def test_a_secret_replayed_under_another_vehicle_or_recording_does_not_open(outbox, manifest, gate, change):
    with pytest.raises(SealedDeliveryError, match="secret of the recording"):
        plaintext(replace(manifest, **change), 3, outbox.path(3).read_bytes(), gate)


def test_an_item_in_the_place_of_another_does_not_open(outbox, manifest, gate: IntakeKey):
    swapped = replace(
        manifest,
        sealing=replace(manifest.sealing, items=tuple(reversed(manifest.sealing.items))),
        items=tuple(reversed(manifest.items)),
    )
    with pytest.raises(SealedDeliveryError, match="commitment"):
        plaintext(swapped, 0, outbox.path(3).read_bytes(), gate)


@pytest.mark.parametrize("field", ["name", "size", "sha256"])
def test_an_item_announced_as_another_does_not_open(outbox, manifest, gate: IntakeKey, field: str):
    other = {"name": "other.json", "size": 20, "sha256": "0" * 64}[field]
    items = (*manifest.items[:3], replace(manifest.items[3], **{field: other}))
    with pytest.raises(SealedDeliveryError, match="commitment"):
        plaintext(replace(manifest, items=items), 3, outbox.path(3).read_bytes(), gate)


def test_every_byte_of_a_sealed_item_counts(outbox, manifest, gate: IntakeKey):
    content = outbox.path(3).read_bytes()
    for at in range(len(content)):
        changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        with pytest.raises(SealedDeliveryError):
            plaintext(manifest, 3, changed, gate)


@pytest.mark.parametrize("cut", [0, 50, 87, 65_000, 87 + 65_552, -1])
def test_a_truncated_item_is_refused(outbox, manifest, gate: IntakeKey, cut: int):
    with pytest.raises(SealedDeliveryError):
        plaintext(manifest, 0, outbox.path(0).read_bytes()[:cut], gate)


def test_bytes_behind_an_item_are_refused(outbox, manifest, gate: IntakeKey):
    for tail in (b"\x00", outbox.path(3).read_bytes()):
        with pytest.raises(SealedDeliveryError, match="behind"):
            plaintext(manifest, 3, outbox.path(3).read_bytes() + tail, gate)


def test_another_sealing_of_the_same_item_than_the_announced_one_is_refused(
    outbox, manifest, gate: IntakeKey
):
    items = (*manifest.sealing.items[:3], replace(manifest.sealing.items[3], sha256="0" * 64))
    changed = replace(manifest, sealing=replace(manifest.sealing, items=items))
    with pytest.raises(SealedDeliveryError, match="SHA-256"):
        plaintext(changed, 3, outbox.path(3).read_bytes(), gate)


def test_a_changed_manifest_does_not_open(outbox, gate: IntakeKey):
    sealed = outbox.sealed_manifest()
    for at in (0, 31, 32, len(sealed) // 2, len(sealed) - 1):
        with pytest.raises(SealedDeliveryError):
            open_manifest(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], gate)
    for cut in (b"", sealed[:47], sealed[:-1]):
        with pytest.raises(SealedDeliveryError):
            open_manifest(cut, gate)


def test_the_manifest_is_signed_beneath_its_seal(outbox, gate: IntakeKey):
    with pytest.raises(ManifestError):
        read_manifest(open_manifest(outbox.sealed_manifest(), gate), generate_person_key())


def test_sealing_survives_the_payload_and_a_manifest_without_it_is_as_before(manifest):
    assert parse_manifest(manifest.payload()) == manifest
    plain = replace(manifest, sealing=None)
    assert "sealing" not in plain.payload()
    assert sign_manifest(plain, KEY) != sign_manifest(manifest, KEY)


CHANGES = {
    "sealing": lambda s: s.pop("key"),
    "sealing.key": lambda s: s.update(key="short"),
    "sealing.secret": lambda s: s.update(secret="not base64!"),
    "sealing.secret ": lambda s: s.update(secret=base64.b64encode(b"x" * 79).decode()),
    "sealing.secret  ": lambda s: s.update(secret=None),
    "sealing.items": lambda s: s["items"].pop(),
    "sealing.items ": lambda s: s.update(items="text"),
    "sealing.items[1]": lambda s: s["items"][1].update(more=1),
    "sealing.items[1].length": lambda s: s["items"][1].update(length=True),
    "sealing.items[1].length ": lambda s: s["items"][1].update(length=0),
    "sealing.items[1].sha256": lambda s: s["items"][1].update(sha256="F" * 64),
}


@pytest.mark.parametrize("where", CHANGES)
def test_a_malformed_sealing_names_its_field(manifest, where: str):
    payload = json.loads(json.dumps(manifest.payload()))
    CHANGES[where](payload["sealing"])
    with pytest.raises(ManifestError) as refused:
        parse_manifest(payload)
    assert refused.value.field == where.strip()


def test_a_source_that_changed_is_not_sealed(tmp_path: Path, gate: IntakeKey):
    announced = manifest_of({"a.bin": b"first"}, captured={})
    for content in (b"other", b"first and more"):
        folder = tmp_path / f"o{len(content)}"
        with pytest.raises(DeliveryError, match="source_changed"):
            seal_recording(
                announced, written(tmp_path, {"a.bin": content}), folder, key=KEY, gate=gate.public
            )
        with pytest.raises(DeliveryError, match="outbox_incomplete"):
            read_outbox(folder)
        assert list(folder.iterdir()) == []


def test_a_folder_is_sealed_into_once(outbox, sources, gate: IntakeKey):
    with pytest.raises((FileExistsError, StorageError)):
        seal_recording(manifest_of(FILES), sources, outbox.folder, key=KEY, gate=gate.public)
    assert read_outbox(outbox.folder) == outbox


@pytest.mark.parametrize(
    "content", ["", "[]", '{"version": 2}', '{"version": 1, "recording": "r", "items": [1]}']
)
def test_a_malformed_outbox_is_named(tmp_path: Path, content: str):
    (tmp_path / "outbox.json").write_text(content)
    with pytest.raises(DeliveryError, match="outbox_malformed"):
        read_outbox(tmp_path)


def test_the_intake_key_stays_the_same_and_is_read_back(keystore: Keystore, gate: IntakeKey):
    again = IntakeKey(keystore).public
    assert again.text() == gate.public.text()
    assert IntakePublicKey.parse(again.text()).kid == gate.public.kid
    assert set(json.loads(again.text())) == {"crv", "kty", "x"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"crv": "Ed25519", "kty": "OKP", "x": "AAAA"}',
        '{"crv": "X25519", "kty": "OKP", "x": "AAAA"}',
        '{"crv": "X25519", "kty": "OKP", "x": 5}',
        '{"crv": "X25519", "d": "AAAA", "kty": "OKP", "x": "AAAA"}',
    ],
)
def test_a_text_that_is_no_intake_key_is_refused(text: str):
    with pytest.raises(KeyUnavailableError, match="intake key"):
        IntakePublicKey.parse(text)


def test_nothing_is_sealed_to_a_point_that_everybody_can_open():
    zero = IntakePublicKey.parse(json.dumps({"crv": "X25519", "kty": "OKP", "x": "A" * 43}))
    with pytest.raises(KeyUnavailableError):
        zero.seal(b"content", b"info")


def test_a_secret_of_another_length_is_refused():
    with pytest.raises(SealBrokenError, match="got 16, expected 32"):
        item_dek(b"x" * 16, b"context")

"""Law 9, erasable: destroying a recording's key makes every copy unreadable; the ledger keeps its proofs."""

import base64
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from joserfc.jwk import OKPKey

from audit.checkpoint import verify_checkpoint
from audit.export import export_ledger
from audit.merkle import leaf_hash, verify_consistency, verify_inclusion
from audit.verify import BadExportError, BadKeyError, verify_export
from audit.verify_destruction import verify_destruction
from conformance.conftest import Commons
from conformance.evidence_of_state import altered
from gateway.app import release_public_jwk
from gateway.destruction import DESTRUCTION_TYPE, certify_destruction
from gateway.errors import DeniedError, GatewayError, InvalidRequestError, NotFoundError
from gateway.flow.cleanse import load_cleansed
from gateway.flow.erase import erase_recording
from gateway.flow.intake import load_manifest
from gateway.flow.records import EvidenceRow, ItemRow, RecordingRow, ReleaseItemRow, ReleaseRecordingRow
from gateway.flow.serve import read_item, read_manifest
from gateway.vault.errors import KeyDestroyedError, VaultError
from gateway.vault.jws import generate_person_key, sign_statement
from gateway.vault.store import Context
from gateway.vault.values import open_value
from simulators import PURPOSE, candidate, grant

GONE = (GatewayError, VaultError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """A released recording before and after its erasure."""

    release: str
    recording: str
    kek: str
    items: tuple[str, ...]
    names: tuple[str, ...]
    seals: dict[tuple[str, str], str]
    before: str
    size: int
    copies: Path
    readable: int


def every_seal(commons: Commons, release: str, recording: str) -> dict[tuple[str, str], str]:
    """Every sealed file of a recording, by role and owner of its context."""
    with commons.gate.database.read() as session:
        items = session.scalars(sa.select(ItemRow).filter_by(recording_id=recording)).all()
        out = session.scalars(sa.select(ReleaseItemRow).filter_by(release_id=release)).all()
    seals = {("original", item.id): item.original_seal for item in items}
    seals |= {("treated", item.id): item.treated_seal for item in items}
    return seals | {("release", row.name): row.seal for row in out}


def context_of(seal_of: tuple[str, str], release: str, recording: str) -> Context:
    role, name = seal_of
    return Context(owner=release if role == "release" else recording, object=name, role=role)


def read_sealed(commons: Commons, erased: Erased, which: tuple[str, str]) -> bytes:
    context = context_of(which, erased.release, erased.recording)
    return commons.gate.vault.read_all(erased.seals[which], context)


@pytest.fixture(scope="module")
def erased(commons: Commons, tmp_path_factory: pytest.TempPathFactory) -> Erased:
    gate = commons.gate
    release = commons.released()
    with gate.database.read() as session:
        recording = session.scalar(sa.select(ReleaseRecordingRow.recording_id).filter_by(release_id=release))
        kek = session.get_one(RecordingRow, recording).kek_id
        items = tuple(session.scalars(sa.select(ItemRow.id).filter_by(recording_id=recording)))
        names = tuple(session.scalars(sa.select(ReleaseItemRow.name).filter_by(release_id=release)))
    seals = every_seal(commons, release, recording)
    readable = sum(
        bool(gate.vault.read_all(seal, context_of(which, release, recording)))
        for which, seal in seals.items()
    )
    copies = tmp_path_factory.mktemp("backup") / "objects"
    shutil.copytree(gate.settings.home / "objects", copies)
    before, size = gate.ledger.checkpoint(), gate.ledger.size
    erase_recording(gate, recording, actor=commons.actor("officer"))
    return Erased(
        release=release,
        recording=recording,
        kek=kek,
        items=items,
        names=names,
        seals=seals,
        before=before,
        size=size,
        copies=copies,
        readable=readable,
    )


def test_every_copy_was_readable_and_none_is(commons: Commons, erased: Erased):
    assert erased.readable == len(erased.seals) == 6
    for which in erased.seals:
        with pytest.raises(VaultError):
            read_sealed(commons, erased, which)


def test_a_backup_of_the_sealed_files_opens_no_more(commons: Commons, erased: Erased):
    """Files that somebody copied before the erasure are put back: the key is what is gone."""
    objects = commons.gate.settings.home / "objects"
    shutil.copytree(erased.copies, objects, dirs_exist_ok=True)
    for which in erased.seals:
        with pytest.raises(KeyDestroyedError):
            read_sealed(commons, erased, which)


def test_manifest_evidence_and_names_are_unreadable(commons: Commons, erased: Erased):
    gate = commons.gate
    with gate.database.read() as session:
        with pytest.raises(KeyDestroyedError):
            load_manifest(gate, session, erased.recording)
        rows = session.scalars(sa.select(EvidenceRow).where(EvidenceRow.owner_id.in_(erased.items))).all()
        assert len(rows) == 6
        for row in rows:
            assert row.kek_id == erased.kek
            with pytest.raises(KeyDestroyedError):
                open_value(gate.keystore, kek_id=row.kek_id, context=b"", sealed=row.sealed)
        for item in erased.items:
            with pytest.raises(GatewayError):
                load_cleansed(gate, session, item)


def test_released_copies_are_sealed_under_the_recordings_key(commons: Commons):
    release = commons.released()
    with commons.gate.database.read() as session:
        kek = session.scalar(
            sa.select(RecordingRow.kek_id)
            .join(ReleaseRecordingRow, ReleaseRecordingRow.recording_id == RecordingRow.id)
            .where(ReleaseRecordingRow.release_id == release)
        )
        seals = session.scalars(sa.select(ReleaseItemRow.seal).filter_by(release_id=release)).all()
    assert {commons.gate.vault.verified(seal).kek_id for seal in seals} == {kek}


def test_grants_on_its_releases_are_dead(commons: Commons, erased: Erased):
    reader = commons.actor("engineer")
    with pytest.raises(DeniedError):
        read_manifest(commons.gate, erased.release, actor=reader, purpose=PURPOSE)
    for name in erased.names:
        with pytest.raises(GONE):
            read_item(commons.gate, erased.release, name, actor=reader, purpose=PURPOSE, wanted=None)
    with pytest.raises(GatewayError):
        grant(commons.gate, commons.house, erased.release)


def test_putting_the_rows_back_brings_no_byte_back(commons: Commons, erased: Erased):
    """A database restored from before the erasure, and the sealed files with it."""
    gate = commons.gate
    shutil.copytree(erased.copies, gate.settings.home / "objects", dirs_exist_ok=True)
    name = erased.names[0]
    seal = erased.seals["release", name]

    def read() -> bytes:
        reader = commons.actor("engineer")
        reading = read_item(gate, erased.release, name, actor=reader, purpose=PURPOSE, wanted=None)
        return b"".join(reading.chunks)

    with (
        altered(gate, "release", "state", "released", id=erased.release),
        altered(gate, "release_item", "seal", seal, release_id=erased.release, name=name),
        pytest.raises(GONE),
    ):
        read()


def test_the_key_cannot_be_made_again(commons: Commons, erased: Erased):
    keystore = commons.gate.keystore
    for make in (keystore.new_kek, keystore.ensure_kek):
        with pytest.raises(KeyDestroyedError):
            make(erased.kek)
    assert keystore.is_destroyed(erased.kek)
    with pytest.raises(KeyDestroyedError):
        keystore.wrap_dek(erased.kek, b"\x00" * 32, b"")
    files = list((commons.gate.settings.home / "keystore" / "kek").glob(f"{erased.kek}*"))
    assert [path.suffix for path in files] == [".destroyed"]


def test_an_erased_recording_is_no_longer_offered(commons: Commons, erased: Erased):
    with pytest.raises(GatewayError):
        candidate(commons.gate, commons.house, erased.recording)


def test_erasing_again_changes_nothing(commons: Commons, erased: Erased):
    before = commons.gate.keystore.destruction(erased.kek)
    erase_recording(commons.gate, erased.recording, actor=commons.actor("officer"))
    assert commons.gate.keystore.destruction(erased.kek) == before


def test_the_ledger_still_verifies_and_its_proofs_hold(commons: Commons, erased: Erased):
    ledger = commons.gate.ledger
    assert ledger.verify().size >= erased.size
    old = verify_checkpoint(erased.before, ledger.signer.vkey)
    new = verify_checkpoint(ledger.checkpoint(), ledger.signer.vkey)
    proof = ledger.consistency_proof(old.size, new.size)
    verify_consistency(old.size, new.size, old.root, new.root, proof)
    told = [e for e in ledger.entries() if erased.recording in (e.event.recording, e.event.object)]
    assert len(told) > 10
    for entry in told:
        proof = ledger.inclusion_proof(entry.index, new.size)
        verify_inclusion(leaf_hash(entry.leaf), entry.index, new.size, proof, new.root)
    stream = io.BytesIO()
    export_ledger(ledger, stream)
    stream.seek(0)
    assert verify_export(stream, ledger.signer.vkey).count == new.size


def test_the_ledger_tells_of_the_destruction_by_fingerprint(commons: Commons, erased: Erased):
    entries = [
        e.event
        for e in commons.gate.ledger.entries()
        if e.event.type.value == "erase:recording:erase" and e.event.recording == erased.recording
    ]
    destruction = commons.gate.keystore.destruction(erased.kek)
    assert entries[0].outcome.value == "intent"
    assert entries[1].digests["fingerprint"] == destruction.fingerprint


def forged(certificate: str, key: OKPKey, **changed: object) -> str:
    """The certificate with other words, signed by a key."""
    said = json.loads(base64.urlsafe_b64decode(certificate.split(".")[1] + "==="))
    return sign_statement(key, DESTRUCTION_TYPE, "k", {**said, **changed})


def test_a_certificate_proves_the_destruction_offline(commons: Commons, erased: Erased):
    gate = commons.gate
    certificate = certify_destruction(gate, erased.recording)
    assert certify_destruction(gate, erased.recording) == certificate
    verified = verify_destruction(certificate, release_public_jwk(gate), gate.ledger.signer.vkey)
    said = verified.says
    assert (verified.origin, verified.ledger) == (gate.ledger.signer.origin, None)
    assert gate.ledger.entry(verified.index).event.type.value == "erase:recording:erase"
    destruction = gate.keystore.destruction(erased.kek)
    assert said["kek"]["fingerprint"] == destruction.fingerprint
    assert (said["recording"], said["kek"]["id"]) == (erased.recording, erased.kek)
    assert said["actor"] == commons.actor("officer").id
    assert erased.release in said["releases"]
    for language in ("zh", "en"):
        assert erased.recording in said["text"][language]
        assert erased.kek in said["text"][language]


def test_a_certificate_that_says_something_else_is_refused(commons: Commons, erased: Erased):
    """Even one that the gate's own key signed: the ledger's entry must bear it out."""
    gate, own = commons.gate, commons.gate.keystore.signing_key("release")
    certificate = certify_destruction(gate, erased.recording)
    release_key, vkey = release_public_jwk(gate), gate.ledger.signer.vkey
    said = verify_destruction(certificate, release_key, vkey).says
    ledger = said["ledger"]
    other = gate.ledger.entry(0)
    lies: list[dict[str, object]] = [
        {"recording": "another"},
        {"actor": "somebody"},
        {"kek": {**said["kek"], "fingerprint": "00" * 32}},
        {"kek": {**said["kek"], "id": "rec-another"}},
        {"kek": {"id": said["kek"]["id"]}},
        {"ledger": {**ledger, "index": ledger["index"] - 1}},
        {"ledger": {**ledger, "index": True}},
        {"ledger": {**ledger, "leaf": base64.b64encode(other.leaf).decode()}},
        {"ledger": {**ledger, "leaf": base64.b64encode(other.leaf).decode(), "index": 0}},
        {"ledger": {**ledger, "inclusion": ledger["inclusion"][:-1]}},
        {"ledger": {**ledger, "inclusion": [*ledger["inclusion"], ledger["inclusion"][0]]}},
        {"ledger": {**ledger, "inclusion": ["no base64"]}},
        {"ledger": {**ledger, "checkpoint": ledger["checkpoint"].replace("\n", "\n1", 1)}},
        {"ledger": {**ledger, "key": "another"}},
        {"ledger": {}},
        {"text": {"zh": said["text"]["zh"]}},
        {"releases": "all"},
        {"version": 3},
        {"version": True},
        {"more": 1},
    ]
    for lie in lies:
        with pytest.raises(BadExportError):
            verify_destruction(forged(certificate, own, **lie), release_key, vkey)
    assert verify_destruction(forged(certificate, own), release_key, vkey)
    foreign = sign_statement(own, "fleetgate-release+jwt", "k", said)
    for bad in (forged(certificate, generate_person_key()), foreign, certificate + "=", certificate[:-3], ""):
        with pytest.raises(BadExportError):
            verify_destruction(bad, release_key, vkey)
    for key in ("{}", "", "AA", json.dumps({"kty": "EC", "crv": "P-256"}), release_key[:-9]):
        with pytest.raises(BadKeyError):
            verify_destruction(certificate, key, vkey)


def test_a_recording_that_is_not_erased_gets_no_certificate(commons: Commons):
    recording = commons.cleansed()
    with pytest.raises(InvalidRequestError, match="is not erased"):
        certify_destruction(commons.gate, recording)
    with pytest.raises(NotFoundError):
        certify_destruction(commons.gate, "nothing")


@pytest.mark.parametrize("person", ["admin", "first", "engineer", "auditor"])
def test_only_a_compliance_officer_erases(commons: Commons, person: str):
    recording = commons.cleansed()
    with pytest.raises((InvalidRequestError, GatewayError)):
        erase_recording(commons.gate, recording, actor=commons.actor(person))
    assert commons.gate.keystore.has_kek(f"rec-{recording}")

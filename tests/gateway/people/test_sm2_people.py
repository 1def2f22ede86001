"""People with SM2 keys: what they sign counts as an Ed25519 signature does, in the commercial suite only."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from audit.verify_dossier import verify_dossier
from gateway.app import open_gate, release_public_jwk
from gateway.dossier.folder import write_dossier
from gateway.dossier.issue import dossier_of
from gateway.errors import ApprovalInvalidError, EvidenceError, InvalidRequestError, UnauthenticatedError
from gateway.flow.approve import approve, sign_approval
from gateway.flow.gate import Gate
from gateway.flow.judge import load_judged
from gateway.flow.records import ApprovalRow
from gateway.flow.release import load_approved, release
from gateway.people.policies import Period, install_bundle, propose_bundle
from gateway.people.policy_in_force import shipped_files
from gateway.people.records import CarrierRow, PersonRow
from gateway.people.registry import NewPerson, check_in_carrier, enrol_person, prove
from gateway.people.zones import zones_in_force
from gateway.vault.jws import public_text, read_unverified_algorithm
from gateway.vault.keys import Keystore
from gateway.vault.sm2 import Sm2PrivateKey
from gateway.vault.suites import AES256GCM, SM4GCM
from simulators import (
    PASSPHRASE,
    SMALL_DRIVE,
    House,
    candidate,
    cleanse,
    look,
    png,
    sign,
)

FILES = {**{name: SMALL_DRIVE[name] for name in ("drive.csv", "meta.json")}, "camera.png": png()}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(
        home=tmp_path_factory.mktemp("sm2") / "home",
        settings_changes={"suite": SM4GCM.name},
        person_key=Sm2PrivateKey.generate,
    )


@pytest.fixture(scope="module")
def gate(house: House) -> Iterator[Gate]:
    """Furnished by people with SM2 keys: the zone file is under an SM2 signature."""
    with house.opened() as gate:
        house.furnish(gate)
        yield gate


@pytest.fixture(scope="module")
def judged(gate: Gate, house: House) -> str:
    return candidate(gate, house, cleanse(gate, FILES))


def test_what_people_sign_by_sm2_is_verified_at_each_use(gate: Gate, house: House):
    with gate.database.read() as session:
        assert zones_in_force(gate, session) is not None
    officer = house.people["officer"]
    check_in_carrier(gate, "disk-1", actor=officer.actor, key=officer.key)
    with gate.database.read() as session:
        assert read_unverified_algorithm(session.get_one(CarrierRow, "disk-1").statement) == "SM2SM3"
    now = gate.clock()
    period = Period(not_before=now, not_after=now + timedelta(days=400))
    proposed = propose_bundle(
        gate, shipped_files(), period, accepted=False, actor=officer.actor, key=officer.key
    )
    admin = house.people["admin"]
    install_bundle(gate, proposed.draft.bundle.digest, actor=admin.actor, key=admin.key)
    with open_gate(
        house.settings(), keystore=house.keystore, clock=lambda: now + timedelta(days=390)
    ) as later:
        assert later.bundle.bundle.digest == proposed.draft.bundle.digest


def test_a_signature_of_another_key_or_a_changed_one_is_refused(gate: Gate, house: House, judged: str):
    first = house.people["first"]
    look(gate, house, judged, "first")
    with gate.database.read() as session:
        loaded = load_judged(gate, session, judged)
    foreign = sign_approval(loaded, "first", Sm2PrivateKey.generate(), gate.clock())
    own = sign_approval(loaded, "first", first.key, gate.clock())
    header, payload, signature = own.split(".")
    turned = f"{header}.{payload}.{signature[:-4]}{'AAAA' if signature[-4:] != 'AAAA' else 'BBBB'}"
    for statement in (foreign, turned):
        with pytest.raises(ApprovalInvalidError):
            approve(gate, judged, statement, actor=first.actor)
    with pytest.raises(UnauthenticatedError):
        prove(gate, "first", house.people["second"].key, "test")


def test_a_release_goes_out_under_sm2_approvals_and_its_dossier_verifies(
    gate: Gate, house: House, judged: str, tmp_path: Path
):
    sign(gate, house, judged, "first")
    sign(gate, house, judged, "second")
    first = house.people["first"].actor
    rows = _exchanged(gate, judged)
    with pytest.raises(EvidenceError, match="signature is not that of"):
        load_approved(gate, judged, actor=first)
    _restore(gate, judged, rows)
    release(gate, load_approved(gate, judged, actor=first), actor=first)
    issued = dossier_of(gate, judged, actor=house.people["auditor"].actor)
    folder = tmp_path / "dossier"
    write_dossier(issued, folder)
    found = verify_dossier(folder, release_public_jwk(gate), gate.ledger.signer.vkey)
    assert found.approvals == 2


def _exchanged(gate: Gate, release_id: str) -> dict[str, str]:
    """Each operator's row with the other's signature; returns what was there."""
    with gate.database.transaction() as session:
        rows = {
            row.approver: row
            for row in session.scalars(sa.select(ApprovalRow).where(ApprovalRow.release_id == release_id))
        }
        kept = {name: row.jws for name, row in rows.items()}
        rows["first"].jws, rows["second"].jws = kept["second"], kept["first"]
    return kept


def _restore(gate: Gate, release_id: str, kept: dict[str, str]) -> None:
    with gate.database.transaction() as session:
        for name, statement in kept.items():
            session.get_one(ApprovalRow, (release_id, name)).jws = statement


def test_no_other_suite_takes_a_persons_sm2_key(tmp_path: Path):
    house = House(home=tmp_path / "home", settings_changes={"suite": SM4GCM.name})
    key = Sm2PrivateKey.generate()
    newcomer = NewPerson(
        id="newcomer", roles=("auditor",), nationality="CN", entity_country="CN", public_jwk=public_text(key)
    )
    with house.opened() as gate:
        house.furnish(gate)
        enrol_person(gate, newcomer, by="admin")
        assert prove(gate, "newcomer", key, "test").id == "newcomer"
    house.settings_changes["suite"] = AES256GCM.name
    house.keystore = Keystore.open(
        house.home / "keystore", PASSPHRASE, allow_insecure_test_cost=True, suite=AES256GCM
    )
    with house.opened() as gate:
        with pytest.raises(UnauthenticatedError, match="takes no SM2 keys"):
            prove(gate, "newcomer", key, "test")
        other = replace(newcomer, id="other", public_jwk=public_text(Sm2PrivateKey.generate()))
        with pytest.raises(InvalidRequestError, match="takes no SM2 keys"):
            enrol_person(gate, other, by="admin")
        with gate.database.read() as session:
            assert session.get(PersonRow, "other") is None

"""The registry of DBC files: signed by an officer, in the ledger, verified at each use."""

from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from anonymize.errors import ProfileError
from audit.events import EventType, Outcome
from gateway.errors import ConflictError, EvidenceError, ForbiddenError, GatewayError, InvalidRequestError
from gateway.people.records import PersonRow
from gateway.vault.errors import VaultError
from gateway.vault.jws import generate_person_key, public_text
from gateway.vehicles.dbc import dbc_in_force, install_dbc, installed_dbcs, require_dbc
from gateway.vehicles.records import DbcRow

OLD = b"""VERSION ""
BU_: ECU
BO_ 256 Chassis: 8 ECU
 SG_ Vehicle_Speed : 0|16@1+ (0.01,0) [0|655] "km/h" ECU
"""
NEW = OLD.replace(b"Vehicle_Speed", b"Wheel_Speed")


@pytest.fixture
def install(sqlite_gate, sqlite_house):
    officer = sqlite_house.people["officer"]

    def run(content=OLD, name="car", version=1, **more):
        asked = {"actor": officer.actor, "key": officer.key} | more
        return install_dbc(sqlite_gate, content, name=name, version=version, **asked)

    return run


def acts(gate):
    events = [gate.ledger.entry(i).event for i in range(gate.ledger.size)]
    return [(e.object, e.outcome, e.digests) for e in events if e.type is EventType.DBC_FILE_INSTALL]


@contextmanager
def changed(gate, number, **values):
    """A row with other values, and as it was afterwards."""
    with gate.database.read() as session:
        row = session.get_one(DbcRow, number)
        before = {name: getattr(row, name) for name in values}
    key = values.get("version", number)
    with gate.database.transaction() as session:
        session.execute(sa.update(DbcRow).where(DbcRow.version == number).values(**values))
    try:
        yield
    finally:
        with gate.database.transaction() as session:
            session.execute(sa.update(DbcRow).where(DbcRow.version == key).values(**before))


def test_the_highest_version_is_in_force_and_earlier_ones_stay_readable(sqlite_gate, install):
    assert dbc_in_force(sqlite_gate) is None
    old = install()
    assert dbc_in_force(sqlite_gate) == old
    new = install(NEW, version=2)
    assert dbc_in_force(sqlite_gate) == new
    assert (new.content, new.installed_by) == (NEW, "officer")
    assert require_dbc(sqlite_gate, old.digest).content == OLD
    assert install(OLD, version=5).version == 5
    assert [dbc.version for dbc in installed_dbcs(sqlite_gate)] == [5, 2, 1]
    assert dbc_in_force(sqlite_gate).digest == old.digest
    with pytest.raises(EvidenceError, match="no DBC of this digest"):
        require_dbc(sqlite_gate, "0" * 64)


def test_on_both_databases(gate, house):
    officer = house.people["officer"]
    dbc = install_dbc(gate, OLD, name="car", version=1, actor=officer.actor, key=officer.key)
    assert installed_dbcs(gate) == (dbc,)


def test_the_act_is_in_the_ledger_with_the_digest(sqlite_gate, install):
    dbc = install()
    assert [(o, outcome) for o, outcome, _ in acts(sqlite_gate)] == [
        ("car@1", Outcome.INTENT),
        ("car@1", Outcome.COMPLETED),
    ]
    assert acts(sqlite_gate)[0][2]["dbc"] == dbc.digest


def test_installing_again_changes_nothing_and_no_version_comes_twice(sqlite_gate, install):
    first = install(version=3)
    assert install(version=3) == first
    for content, name, version in ((NEW, "car", 3), (OLD, "other", 3), (NEW, "car", 2)):
        with pytest.raises(ConflictError, match="version 3 is installed"):
            install(content, name, version)
    assert installed_dbcs(sqlite_gate) == (first,)


def test_what_is_no_dbc_and_impossible_names_and_versions_are_refused(sqlite_gate, install):
    for content, name, version, error in (
        (b"no DBC", "car", 1, ProfileError),
        (b'VERSION ""\n', "car", 1, ProfileError),
        (OLD, "two words", 1, InvalidRequestError),
        (OLD, "", 1, InvalidRequestError),
        (OLD, "car", 0, InvalidRequestError),
    ):
        with pytest.raises(error):
            install(content, name, version)
    assert installed_dbcs(sqlite_gate) == ()
    assert acts(sqlite_gate) == []


def test_only_a_compliance_officer_installs(sqlite_gate, sqlite_house, install):
    first = sqlite_house.people["first"]
    with pytest.raises(ForbiddenError):
        install(actor=first.actor, key=first.key)
    assert acts(sqlite_gate) == []


def test_rows_are_believed_only_as_far_as_they_are_signed(sqlite_gate, install):
    """Law 6: whoever can write to the database neither installs, changes nor renames a DBC."""
    install()
    newest = install(NEW, version=2)
    with sqlite_gate.database.read() as session:
        old, new = session.get_one(DbcRow, 1), session.get_one(DbcRow, 2)
    for values in (
        {"version": 3},
        {"name": "other"},
        {"digest": old.digest},
        {"sealed": old.sealed},
        {"sealed": new.sealed[:-1] + bytes([new.sealed[-1] ^ 1])},
        {"digest": old.digest, "sealed": old.sealed},
        {"digest": old.digest, "sealed": old.sealed, "statement": old.statement},
        {"statement": new.statement[:-8] + "AAAAAAAA"},
        {"installed_by": "first"},
    ):
        with changed(sqlite_gate, 2, **values), pytest.raises((EvidenceError, VaultError)):
            dbc_in_force(sqlite_gate)
    assert dbc_in_force(sqlite_gate) == newest


def test_another_key_of_the_officer_verifies_nothing(sqlite_gate, install):
    install()
    with sqlite_gate.database.transaction() as session:
        session.get_one(PersonRow, "officer").public_jwk = public_text(generate_person_key())
    with pytest.raises(EvidenceError, match="does not verify"):
        dbc_in_force(sqlite_gate)


@pytest.mark.parametrize("version", [1, 2])
def test_a_row_that_was_deleted_is_missed(sqlite_gate, install, version):
    """Law 6: nobody brings an earlier DBC back into force by deleting the row of a later one."""
    install()
    install(NEW, version=2)
    with sqlite_gate.database.transaction() as session:
        session.execute(sa.delete(DbcRow).where(DbcRow.version == version))
    for ask in (dbc_in_force, installed_dbcs):
        with pytest.raises(
            EvidenceError, match=rf"missing from the registry \(got none of \['car@{version}'\]"
        ):
            ask(sqlite_gate)


def test_a_file_whose_key_is_gone_is_no_dbc(sqlite_gate, install):
    install()
    sqlite_gate.keystore.destroy_kek(sqlite_gate.gate_kek)
    with pytest.raises((GatewayError, VaultError)):
        dbc_in_force(sqlite_gate)


def test_real_files_are_installed_byte_by_byte(sqlite_gate, install, shared_data):
    files = sorted((shared_data / "formats" / "dbc").glob("*.dbc"))
    for version, file in enumerate(files, start=1):
        assert install(file.read_bytes(), file.stem, version).content == file.read_bytes()
    assert [dbc.name for dbc in installed_dbcs(sqlite_gate)] == [file.stem for file in reversed(files)]

"""The gate signs what puts a policy bundle into force by the key of its suite, and reads what it signed before."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from gateway.app import open_gate
from gateway.database import Database, create_engine
from gateway.people.policy_statement import sign_policy, verify_policy
from gateway.people.records import PolicyStatementRow
from gateway.vault.jws import read_unverified_algorithm, sign_statement, thumbprint
from gateway.vault.keys import Keystore
from gateway.vault.sm2 import Sm2PrivateKey
from gateway.vault.suites import suite_by_name
from policies.bundle import STATEMENT_TYPE, Bundle, shipped_bundle, statement_of
from policies.errors import BundleError
from simulators import PASSPHRASE, House

SM = "sm4gcm-sm3-sm2"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
BEGIN, END = NOW - timedelta(days=1), NOW + timedelta(days=1)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return shipped_bundle()


@pytest.fixture
def sm_house(tmp_path) -> House:
    return House(home=tmp_path / "home", settings_changes={"suite": SM})


def test_a_gate_of_the_commercial_suite_puts_its_bundle_into_force_by_sm2(sm_house: House):
    database = Database(create_engine(sm_house.settings().state_url))
    with database.read() as session:
        statement = session.scalars(sa.select(PolicyStatementRow.statement)).one()
    database.dispose()
    assert read_unverified_algorithm(statement) == "SM2SM3"
    with sm_house.opened() as gate:
        assert gate.bundle.signer == thumbprint(sm_house.keystore.statement_key("policy"))


def test_what_sm2_signed_is_about_one_bundle_one_period_and_by_one_key(sm_house: House, bundle: Bundle):
    keystore = sm_house.keystore
    statement = sign_policy(keystore, bundle, not_before=BEGIN, not_after=END)
    assert verify_policy(keystore, bundle, statement, NOW).not_after == END
    with pytest.raises(BundleError, match="not in force"):
        verify_policy(keystore, bundle, statement, END)
    with pytest.raises(BundleError, match="period"):
        sign_policy(keystore, bundle, not_before=END, not_after=BEGIN)
    said = statement_of(bundle, signer="s", not_before=BEGIN, not_after=END)
    own = keystore.statement_key("policy")
    lies = {
        "another key": sign_statement(Sm2PrivateKey.generate(), STATEMENT_TYPE, "k", said),
        "another kind": sign_statement(own, "fleetgate-release+json", "k", said),
        "another bundle": sign_statement(own, STATEMENT_TYPE, "k", {**said, "bundle": "0" * 64}),
        "one field more": sign_statement(own, STATEMENT_TYPE, "k", {**said, "also": "this"}),
        "altered": statement[:-8] + ("A" if statement[-8] != "A" else "B") + statement[-7:],
    }
    for lie in lies.values():
        with pytest.raises(BundleError):
            verify_policy(keystore, bundle, lie, NOW)


def test_a_statement_from_before_the_change_of_suite_stays_good(sqlite_house: House):
    path = sqlite_house.home / "keystore"
    keystore = Keystore.open(path, PASSPHRASE, allow_insecure_test_cost=True, suite=suite_by_name(SM))
    settings = sqlite_house.settings().model_copy(update={"suite": SM})
    with open_gate(settings, keystore=keystore) as gate:
        assert gate.bundle.signer == thumbprint(sqlite_house.keystore.signing_key("policy"))


def test_a_gate_that_never_signed_by_sm2_takes_no_such_statement(sqlite_house: House, bundle: Bundle):
    said = statement_of(bundle, signer="s", not_before=BEGIN, not_after=END)
    statement = sign_statement(Sm2PrivateKey.generate(), STATEMENT_TYPE, "k", said)
    with pytest.raises(BundleError, match="no SM2 key"):
        verify_policy(sqlite_house.keystore, bundle, statement, NOW)

"""Approvals by WebAuthn: what a security key may say, once, in time, and what of it is verified again (law 6)."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import rfc8785

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from audit.verify_assertion import challenge_of
from audit.verify_dossier import verify_dossier
from gateway.app import release_public_jwk
from gateway.dossier.folder import write_dossier
from gateway.dossier.issue import dossier_of
from gateway.errors import (
    ActDeniedError,
    ApprovalInvalidError,
    DeniedError,
    EvidenceError,
    EvidenceUnseenError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    SecurityKeysOffError,
)
from gateway.flow.approve import approve
from gateway.flow.asserted import approve_by_assertion, begin_approval
from gateway.flow.gate import Gate
from gateway.flow.law import challenge_seconds
from gateway.flow.records import ApprovalRow
from gateway.flow.release import load_approved, release
from gateway.people.records import CredentialRow
from gateway.people.security_keys import begin_registration, register_security_key, revoke_security_key
from security_keys import ORIGIN, PRESENT, RP_ID, SecurityKey, decoded
from simulators import PURPOSE, RECIPIENT, House, candidate, cleanse, look

PLACE = {"webauthn_rp_id": RP_ID, "webauthn_origins": (ORIGIN,)}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(home=tmp_path_factory.mktemp("keys") / "home", settings_changes=dict(PLACE))


@pytest.fixture(scope="module")
def gate(house: House) -> Iterator[Gate]:
    with house.opened() as gate:
        house.furnish(gate)
        yield gate


@pytest.fixture(scope="module")
def waiting(gate: Gate, house: House) -> str:
    """A candidate that everybody looked at and nobody approves."""
    made = candidate(gate, house, cleanse(gate, {"notes.txt": "等待批准\n".encode()}))
    look(gate, house, made, "first")
    return made


@pytest.fixture
def judged(gate: Gate, house: House) -> str:
    drive = {"notes.txt": f"第{gate.ledger.size}次采集：天气晴，城市道路。\n".encode()}
    made = candidate(gate, house, cleanse(gate, drive))
    for person in ("first", "second"):
        look(gate, house, made, person)
    return made


def registered(gate: Gate, house: House, person: str, **made: object) -> SecurityKey:
    key = SecurityKey(**made)  # type: ignore[arg-type]
    who = house.people[person]
    options = begin_registration(gate, actor=who.actor)["options"]
    register_security_key(gate, key.create(options), key.registration(person, who.key), actor=who.actor)
    return key


def answer(gate: Gate, house: House, release_id: str, person: str, key: SecurityKey) -> None:
    actor = house.people[person].actor
    options = begin_approval(gate, release_id, actor=actor)["options"]
    approve_by_assertion(gate, release_id, key.get(options), actor=actor)


def outcomes(gate: Gate, object_id: str, kind: EventType) -> list[Outcome]:
    with gate.ledger.snapshot() as snapshot:
        found = find_all(snapshot, EntryFilter(object=object_id, types=(kind,)))
        return [entry.event.outcome for entry in found]


def stored(gate: Gate, release_id: str, person: str) -> str:
    with gate.database.read() as session:
        return session.get_one(ApprovalRow, (release_id, person)).jws


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_the_challenge_binds_digest_decision_and_statement(
    gate: Gate, house: House, judged: str, algorithm: str
):
    key = registered(gate, house, "first", algorithm=algorithm)
    actor = house.people["first"].actor
    begun = begin_approval(gate, judged, actor=actor)
    assert begun["options"]["userVerification"] == "required"
    assert begun["options"]["rpId"] == RP_ID
    assert decoded(begun["options"]["challenge"]) == challenge_of(begun["approval"])
    said = json.loads(begun["approval"])
    assert said["act"] == "release.approve"
    assert said["approval"] | {"approver": "first", "release": judged} == said["approval"]
    assert (said["approval"]["purpose"], said["approval"]["recipient"]) == (PURPOSE, RECIPIENT)
    approve_by_assertion(gate, judged, key.get(begun["options"]), actor=actor)
    assert json.loads(stored(gate, judged, "first"))["approval"] == begun["approval"]
    assert Outcome.COMPLETED in outcomes(gate, judged, EventType.APPROVE_RELEASE_SIGN)


def test_two_assertions_let_a_release_out_and_its_dossier_verifies(
    gate: Gate, house: House, judged: str, tmp_path: Path
):
    keys = {person: registered(gate, house, person) for person in ("first", "second")}
    for person, key in keys.items():
        answer(gate, house, judged, person, key)
    first = house.people["first"].actor
    release(gate, load_approved(gate, judged, actor=first), actor=first)
    issued = dossier_of(gate, judged, actor=house.people["auditor"].actor)
    folder = tmp_path / "dossier"
    write_dossier(issued, folder)
    told = release_public_jwk(gate), gate.ledger.signer.vkey
    assert verify_dossier(folder, *told).approvals == 2
    twin = json.loads((folder / "dossier.json").read_text())
    assert {each["form"] for each in twin["approvals"]} == {"webauthn"}


def test_nothing_of_a_stored_assertion_can_be_changed(gate: Gate, house: House, judged: str):
    """Law 6: each time the approvals are loaded, every member is verified again."""
    key = registered(gate, house, "first")
    other = registered(gate, house, "second")
    answer(gate, house, judged, "first", key)
    answer(gate, house, judged, "second", other)
    first = house.people["first"].actor
    kept = stored(gate, judged, "first")
    document = json.loads(kept)
    said = json.loads(document["approval"])
    said["approval"]["digest"] = "0" * 64
    foreign = SecurityKey()
    theirs = house.people["second"]
    changed = {
        "text": {**document, "approval": rfc8785.dumps(said).decode()},
        "signature": {**document, "signature": json.loads(stored(gate, judged, "second"))["signature"]},
        "data": {
            **document,
            "authenticator_data": json.loads(stored(gate, judged, "second"))["authenticator_data"][:-4]
            + "AAAB",
        },
        "registration of another": {**document, "registration": foreign.registration("second", theirs.key)},
        "registration under a name": {**document, "registration": foreign.registration("first", theirs.key)},
        "form": {**document, "form": "fleetgate-approval-assertion/2"},
        "member": {**document, "more": "x"},
    }
    for what, each in changed.items():
        _store(gate, judged, rfc8785.dumps(each).decode())
        with pytest.raises(EvidenceError):
            load_approved(gate, judged, actor=first)
        assert what
    _store(gate, judged, json.dumps(document, indent=1))
    with pytest.raises(EvidenceError, match="RFC 8785"):
        load_approved(gate, judged, actor=first)
    _store(gate, judged, kept)
    assert len(load_approved(gate, judged, actor=first).approvals) == 2


def _store(gate: Gate, release_id: str, text: str) -> None:
    with gate.database.transaction() as session:
        session.get_one(ApprovalRow, (release_id, "first")).jws = text


def test_a_challenge_is_answered_once_in_time_by_its_person_for_its_release(
    gate: Gate, house: House, judged: str
):
    key = registered(gate, house, "first")
    second = registered(gate, house, "second")
    actor, other = house.people["first"].actor, house.people["second"].actor
    options = begin_approval(gate, judged, actor=actor)["options"]
    with pytest.raises(InvalidRequestError, match="no such challenge"):
        approve_by_assertion(gate, judged, second.get(options), actor=other)
    with pytest.raises(InvalidRequestError, match="no such challenge"):
        approve_by_assertion(gate, "0" * 32, key.get(options), actor=actor)
    used = key.get(options)
    approve_by_assertion(gate, judged, used, actor=actor)
    for repeated in (used, key.get(options)):
        with pytest.raises(InvalidRequestError, match="no such challenge"):
            approve_by_assertion(gate, judged, repeated, actor=actor)
    withdrawn = begin_approval(gate, judged, actor=actor)["options"]
    begin_approval(gate, judged, actor=actor)
    with pytest.raises(InvalidRequestError, match="no such challenge"):
        approve_by_assertion(gate, judged, key.get(withdrawn), actor=actor)
    late = begin_approval(gate, judged, actor=actor)
    ends = datetime.fromisoformat(late["expires_at"])
    assert timedelta(0) < ends - gate.clock() <= timedelta(seconds=challenge_seconds(gate))
    after = replace(gate, clock=lambda: ends)
    with pytest.raises(InvalidRequestError, match="is over"):
        approve_by_assertion(after, judged, key.get(late["options"]), actor=actor)
    assert Outcome.FAILED in outcomes(gate, judged, EventType.PEOPLE_CHALLENGE_SPEND)


BENT = {
    "another origin": {"origin": "https://console.gate.example.evil.example"},
    "an origin without TLS": {"origin": "http://console.gate.example"},
    "another RP id": {"rp_id": "evil.example"},
    "a user who was not verified": {"flags": PRESENT},
    "nobody present": {"flags": 0x04},
    "another private key": {"private": SecurityKey().private},
}


@pytest.mark.parametrize("what", BENT)
def test_an_assertion_is_refused_from_elsewhere_or_without_its_user(
    gate: Gate, house: House, waiting: str, what: str
):
    key = registered(gate, house, "first")
    for name, value in BENT[what].items():
        setattr(key, name, value)
    with pytest.raises(ApprovalInvalidError):
        answer(gate, house, waiting, "first", key)
    assert outcomes(gate, waiting, EventType.APPROVE_RELEASE_SIGN)[0] is Outcome.REFUSED
    with gate.database.read() as session:
        assert session.get(ApprovalRow, (waiting, "first")) is None


@pytest.mark.parametrize("what", BENT)
def test_a_registration_is_refused_from_elsewhere_or_without_its_user(gate: Gate, house: House, what: str):
    if what == "another private key":
        return
    with pytest.raises(InvalidRequestError):
        registered(gate, house, "first", **BENT[what])


def test_a_counter_that_does_not_grow_is_refused(gate: Gate, house: House, judged: str):
    """WebAuthn 6.1.1: a copy of the authenticator is behind the one that was used."""
    key = registered(gate, house, "first", sign_count=7)
    copy = SecurityKey(private=key.private, credential=key.credential, sign_count=6)
    with pytest.raises(ApprovalInvalidError, match="count"):
        answer(gate, house, judged, "first", copy)
    answer(gate, house, judged, "first", key)
    with pytest.raises(ApprovalInvalidError, match="count"):
        answer(gate, house, judged, "first", copy)
    with gate.database.read() as session:
        assert session.get_one(CredentialRow, key.id).sign_count == 8


def test_an_authenticator_without_a_counter_is_taken(gate: Gate, house: House, judged: str):
    key = registered(gate, house, "first", counts=False)
    answer(gate, house, judged, "first", key)
    answer(gate, house, judged, "first", key)


def test_an_assertion_is_no_statement(gate: Gate, house: House, judged: str):
    """What answers no challenge of this gate counts nowhere, whoever signed it."""
    key = registered(gate, house, "first")
    actor = house.people["first"].actor
    answer(gate, house, judged, "first", key)
    with pytest.raises(ApprovalInvalidError, match="only as the answer"):
        approve(gate, judged, stored(gate, judged, "first"), actor=actor)


def test_who_did_not_look_or_submitted_it_cannot_approve(gate: Gate, house: House):
    drive = {"notes.txt": f"未看{gate.ledger.size}\n".encode()}
    made = candidate(gate, house, cleanse(gate, drive))
    key = registered(gate, house, "first")
    with pytest.raises(EvidenceUnseenError):
        answer(gate, house, made, "first", key)
    own = registered(gate, house, "submitter")
    with pytest.raises(ActDeniedError, match="duties_separated"):
        answer(gate, house, made, "submitter", own)


def test_the_enrolled_key_says_which_security_key_it_is(gate: Gate, house: House):
    who = house.people["first"]
    wrong = {
        "another's key": lambda key: key.registration("first", house.people["second"].key),
        "another person": lambda key: key.registration("second", who.key),
        "another credential": lambda key: SecurityKey(private=key.private).registration("first", who.key),
        "another public key": lambda key: SecurityKey(credential=key.credential).registration(
            "first", who.key
        ),
        "another RP id": lambda key: key.registration("first", who.key, rp_id="evil.example"),
        "another act": lambda key: key.registration("first", who.key, act="zones.install"),
    }
    for what, statement in wrong.items():
        key = SecurityKey()
        options = begin_registration(gate, actor=who.actor)["options"]
        with pytest.raises(InvalidRequestError):
            register_security_key(gate, key.create(options), statement(key), actor=who.actor)
        with gate.database.read() as session:
            assert session.get(CredentialRow, key.id) is None, what
    key = registered(gate, house, "first")
    options = begin_registration(gate, actor=who.actor)["options"]
    assert key.id in {each["id"] for each in options["excludeCredentials"]}
    with pytest.raises(InvalidRequestError, match="no such challenge"):
        register_security_key(
            gate, key.create({"challenge": "AAAA"}), key.registration("first", who.key), actor=who.actor
        )


def test_a_security_key_on_record_is_the_one_that_the_ledger_attests(gate: Gate, house: House, judged: str):
    key, other = registered(gate, house, "first"), SecurityKey()
    who = house.people["first"]
    with gate.database.transaction() as session:
        row = session.get_one(CredentialRow, key.id)
        row.cose_key, kept = other.cose(), row.cose_key
    swapped = SecurityKey(private=other.private, credential=key.credential)
    with pytest.raises(ApprovalInvalidError, match="security key"):
        answer(gate, house, judged, "first", swapped)
    with gate.database.transaction() as session:
        row = session.get_one(CredentialRow, key.id)
        row.statement, statement = swapped.registration("first", who.key), row.statement
    with pytest.raises(ApprovalInvalidError, match="does not attest"):
        answer(gate, house, judged, "first", swapped)
    with gate.database.transaction() as session:
        row = session.get_one(CredentialRow, key.id)
        row.cose_key, row.statement = kept, statement
    answer(gate, house, judged, "first", key)


def test_a_revoked_security_key_approves_nothing_more(gate: Gate, house: House, judged: str):
    keys = {person: registered(gate, house, person) for person in ("first", "second")}
    for person, key in keys.items():
        answer(gate, house, judged, person, key)
    with pytest.raises(ForbiddenError):
        revoke_security_key(gate, keys["first"].id, actor=house.people["second"].actor)
    with pytest.raises(NotFoundError):
        revoke_security_key(gate, "nothing", actor=house.people["officer"].actor)
    revoke_security_key(gate, keys["first"].id, actor=house.people["officer"].actor)
    revoke_security_key(gate, keys["second"].id, actor=house.people["second"].actor)
    first = house.people["first"].actor
    with pytest.raises(DeniedError):
        load_approved(gate, judged, actor=first)
    with pytest.raises((ApprovalInvalidError, NotFoundError)):
        answer(gate, house, judged, "first", keys["first"])
    with gate.database.transaction() as session:
        session.get_one(CredentialRow, keys["first"].id).revoked_at = None
    with pytest.raises(ApprovalInvalidError, match="does not attest"):
        answer(gate, house, judged, "first", keys["first"])
    fresh = registered(gate, house, "first")
    answer(gate, house, judged, "first", fresh)
    assert json.loads(stored(gate, judged, "first"))["registration"] == fresh.registration(
        "first", house.people["first"].key
    )


def test_without_a_place_in_the_settings_no_security_key_is_taken(house: House, gate: Gate, judged: str):
    key = registered(gate, house, "first")
    options = begin_approval(gate, judged, actor=house.people["first"].actor)["options"]
    off = replace(gate, settings=gate.settings.model_copy(update={"webauthn_rp_id": None}))
    actor = house.people["first"].actor
    with pytest.raises(SecurityKeysOffError):
        begin_registration(off, actor=actor)
    with pytest.raises(SecurityKeysOffError):
        begin_approval(off, judged, actor=actor)
    with pytest.raises(SecurityKeysOffError):
        approve_by_assertion(off, judged, key.get(options), actor=actor)
    for settings in (
        {"webauthn_rp_id": RP_ID},
        {"webauthn_origins": (ORIGIN,)},
        {**PLACE, "webauthn_origins": ("http://gate.example",)},
        {**PLACE, "webauthn_origins": ("https://other.example",)},
    ):
        with pytest.raises(ValueError, match=r"webauthn|origin"):
            House(home=house.home.parent / "none", settings_changes=settings)

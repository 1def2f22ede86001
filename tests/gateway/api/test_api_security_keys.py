"""Security keys over the real server: registered, used once per challenge, revoked; refusals are told and kept."""

from collections.abc import Iterator

import pytest

from audit.events import EventType, Outcome
from security_keys import ORIGIN, RP_ID, SecurityKey
from simulators import House, candidate, cleanse, look

PREFIX = "/operators/v1"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, serve_gate) -> Iterator:
    house = House(
        home=tmp_path_factory.mktemp("security-keys") / "home",
        settings_changes={"webauthn_rp_id": RP_ID, "webauthn_origins": (ORIGIN,)},
    )
    with house.opened() as gate:
        house.furnish(gate)
        with serve_gate(gate, house) as running:
            yield running


def post(served, who, path, document=None):
    return served.call(who, "POST", PREFIX + path, document=document)


def registered(served, who) -> SecurityKey:
    key = SecurityKey()
    begun = post(served, who, "/security-keys/challenges")
    assert begun.status_code == 201, begun.text
    document = {
        "response": key.create(begun.json()["options"]),
        "statement": key.registration(who, served.key(who)),
    }
    answer = post(served, who, "/security-keys", document)
    assert (answer.status_code, answer.json()) == (201, {"credential": key.id, "person": who})
    return key


def test_a_release_is_approved_by_two_security_keys_and_published(keyed, is_problem):
    gate, house = keyed.gate, keyed.house
    release = candidate(gate, house, cleanse(gate, {"notes.txt": "电话13800138000。\n".encode()}))
    for who in ("first", "second"):
        key = registered(keyed, who)
        begun = post(keyed, who, f"/releases/{release}/approvals/challenges").json()
        early = {"response": key.get(begun["options"])}
        is_problem(
            post(keyed, who, f"/releases/{release}/approvals/assertions", early), 422, "evidence_unseen"
        )
        look(gate, house, release, who)
        begun = post(keyed, who, f"/releases/{release}/approvals/challenges").json()
        document = {"response": key.get(begun["options"])}
        answer = post(keyed, who, f"/releases/{release}/approvals/assertions", document)
        assert (answer.status_code, answer.json()) == (201, {"release": release, "approver": who})
        again = post(keyed, who, f"/releases/{release}/approvals/assertions", document)
        is_problem(again, 422, "invalid_request")
    assert post(keyed, "first", f"/releases/{release}/publication").status_code == 201
    completed = keyed.entries(object=release, type=EventType.APPROVE_RELEASE_SIGN, outcome=Outcome.COMPLETED)
    assert len(completed) == 2


def test_bad_requests_are_told_and_kept(keyed, is_problem):
    before = len(keyed.entries(outcome=Outcome.REFUSED))
    for body in ({}, {"response": [], "statement": "x"}, {"response": {}, "statement": "x", "more": 1}):
        is_problem(post(keyed, "first", "/security-keys", body), 422, "invalid_request")
    is_problem(
        post(keyed, "first", "/security-keys", {"response": {}, "statement": "x"}), 422, "statement_invalid"
    )
    is_problem(post(keyed, "engineer", "/security-keys/challenges"), 403, "forbidden")
    is_problem(post(keyed, "officer", "/releases/nothing/approvals/challenges"), 403, "forbidden")
    is_problem(post(keyed, "first", "/releases/nothing/approvals/challenges"), 404, "not_found")
    assertion = {"response": SecurityKey().get({"challenge": "AAAA"})}
    is_problem(
        post(keyed, "first", "/releases/nothing/approvals/assertions", assertion), 422, "invalid_request"
    )
    is_problem(post(keyed, "first", "/security-keys/nothing/revocation"), 404, "not_found")
    assert len(keyed.entries(outcome=Outcome.REFUSED)) >= before + 8


def test_a_security_key_is_revoked_by_its_holder_or_an_officer(keyed, is_problem):
    key = registered(keyed, "submitter")
    is_problem(post(keyed, "first", f"/security-keys/{key.id}/revocation"), 403, "forbidden")
    answer = post(keyed, "officer", f"/security-keys/{key.id}/revocation")
    assert (answer.status_code, answer.json()) == (201, {"credential": key.id, "revoked": True})


def test_a_gate_without_settings_for_them_takes_none(served, is_problem):
    is_problem(post(served, "first", "/security-keys/challenges"), 409, "security_keys_off")
    is_problem(
        post(served, "first", f"/releases/{served.release}/approvals/challenges"), 409, "security_keys_off"
    )

"""Idempotency keys, rate limits and the trace of every refused attempt, on the real server."""

import dataclasses
from datetime import timedelta

import httpx
import pytest

from audit.events import EventType, Outcome
from gateway.api.idempotency import KEPT
from gateway.api.records import KeyedRequestRow
from gateway.api.signing import SignatureAuth
from simulators import PURPOSE, RECIPIENT, cleanse

RELEASES = "/operators/v1/releases"


def note(drive: str) -> dict[str, bytes]:
    return {"notes.txt": f"{drive}：多云，环路。\n".encode()}


def wanted(recording, **changes):
    terms = {
        "recordings": [recording],
        "purpose": PURPOSE,
        "recipient": RECIPIENT,
        "mode": "LOCAL",
        "expires_at": "2027-06-01T00:00:00Z",
    }
    return {**terms, **changes}


def post(served, document, key, who="submitter", path=RELEASES):
    return served.call(who, "POST", path, document=document, headers={"Idempotency-Key": key})


def requests_of(served):
    return len(
        served.entries(type=EventType.RELEASE_RELEASE_REQUEST, outcome=Outcome.COMPLETED, actor="submitter")
    )


@pytest.fixture(scope="module")
def recording(served):
    return cleanse(served.gate, note("幂等"))


def test_a_request_that_is_sent_again_has_one_effect_and_one_answer(served, recording):
    before = requests_of(served)
    first = post(served, wanted(recording), "key-1")
    again = post(served, wanted(recording), "key-1")
    assert first.status_code == again.status_code == 201, first.text
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert requests_of(served) == before + 1
    assert served.entries(type=EventType.AUTH_REQUEST_REPEAT, actor="submitter")


def test_answers_are_sealed_at_rest(served, recording):
    """Law 3."""
    answer = post(served, wanted(recording), "key-sealed")
    with served.gate.database.read() as session:
        row = session.get_one(KeyedRequestRow, ("submitter", "key-sealed"))
    assert answer.json()["release"].encode() not in row.answer_sealed


def test_another_request_under_the_same_key_is_refused(served, recording, is_problem):
    assert post(served, wanted(recording), "key-2").status_code == 201
    other = wanted(recording, mode="OFFSET")
    problem = is_problem(post(served, other, "key-2"), 422, "idempotency_key_reused")
    assert "'key-2'" in problem["detail"]


def test_keys_belong_to_their_callers(served, recording):
    mine, theirs = (
        post(served, wanted(recording), "key-3", who).json()["release"] for who in ("submitter", "first")
    )
    assert mine != theirs


def test_a_refusal_after_the_intent_is_what_repetitions_are_told(served, recording, is_problem):
    bad = wanted(recording, purpose="unheard-of")
    for _ in range(2):
        is_problem(post(served, bad, "key-4"), 404, "not_found")
    with served.gate.database.read() as session:
        row = session.get(KeyedRequestRow, ("submitter", "key-4"))
    # The request had begun when the purpose was looked up: its refusal is what repetitions are told.
    assert row is not None
    assert row.status == 404


def test_a_key_is_free_again_where_nothing_had_begun(served, recording, is_problem):
    is_problem(post(served, wanted(recording, mode="SIDEWAYS"), "key-7"), 422, "invalid_request")
    assert post(served, wanted(recording), "key-7").status_code == 201


@pytest.mark.parametrize("key", ["", "two words", "k" * 129])
def test_a_key_that_is_none_is_refused(served, recording, key, is_problem):
    is_problem(post(served, wanted(recording), key), 422, "invalid_request")


def test_a_key_that_the_signature_does_not_cover_is_refused(served, is_problem):
    class Uncovered(httpx.Auth):
        def __init__(self, inner):
            self.inner = inner

        def auth_flow(self, request):
            flow = self.inner.auth_flow(request)
            signed = next(flow)
            signed.headers["Idempotency-Key"] = "slipped-in"
            yield signed

    auth = Uncovered(SignatureAuth(keyid="submitter", key=served.key("submitter")))
    with httpx.Client(base_url=served.url, auth=auth) as client:
        is_problem(client.post("/operators/v1/grants/none/revocation"), 401, "signature_coverage")


def test_a_request_whose_outcome_is_unknown_is_not_carried_out_again(served, recording, is_problem):
    document = wanted(recording)
    assert post(served, document, "key-5").status_code == 201
    with served.gate.database.transaction() as session:
        row = session.get_one(KeyedRequestRow, ("submitter", "key-5"))
        row.status = row.answer_sealed = None  # as a process leaves it that died in the middle
    before = requests_of(served)
    is_problem(post(served, document, "key-5"), 409, "idempotency_unknown")
    assert requests_of(served) == before


def test_keys_are_forgotten_in_the_end(served, recording):
    first = post(served, wanted(recording), "key-6").json()["release"]
    with served.gate.database.transaction() as session:
        row = session.get_one(KeyedRequestRow, ("submitter", "key-6"))
        row.claimed_at = row.claimed_at - KEPT - timedelta(minutes=1)
    assert post(served, wanted(recording), "key-6").json()["release"] != first


BAD = {
    "no JSON": b"{",
    "no object": b"[]",
    "a field too many": b'{"recordings": [], "surprise": 1}',
    "wrong types": b'{"recordings": 7}',
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_body_is_refused_with_an_entry(served, name, is_problem):
    before = len(served.entries(type=EventType.AUTH_REQUEST_REFUSE, actor="submitter"))
    is_problem(served.call("submitter", "POST", RELEASES, body=BAD[name]), 422, "invalid_request")
    entries = served.entries(type=EventType.AUTH_REQUEST_REFUSE, actor="submitter")
    assert len(entries) == before + 1
    assert entries[-1].event.facts["reason"] == "invalid_request"


def test_a_bad_query_is_refused_with_an_entry(served, is_problem):
    before = len(served.entries(type=EventType.AUTH_REQUEST_REFUSE))
    is_problem(served.call("auditor", "GET", "/auditors/v1/ledger/entries?limit=0"), 422, "invalid_request")
    assert len(served.entries(type=EventType.AUTH_REQUEST_REFUSE)) == before + 1


@pytest.fixture(scope="module")
def narrow(served, serve_gate):
    settings = served.gate.settings.model_copy(update={"requests_per_minute": 3, "refusals_per_minute": 2})
    with serve_gate(dataclasses.replace(served.gate, settings=settings), served.house) as running:
        yield running


def test_a_caller_that_asks_too_often_waits_and_others_do_not(narrow, is_problem):
    path = "/auditors/v1/ledger/checkpoint"
    answers = [narrow.call("auditor", "GET", path) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    is_problem(answers[-1], 429, "rate_limited")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 61
    assert answers[-1].headers["ratelimit-policy"] == '"caller";q=3;w=60'
    assert narrow.call("submitter", "GET", f"{RELEASES}/none").status_code == 404


def test_refusals_of_one_address_stop_filling_the_ledger_and_never_hold_up_verified_callers(narrow):
    before = len(narrow.entries(type=EventType.AUTH_REQUEST_REFUSE, actor="unknown"))
    answers = [httpx.get(f"{narrow.url}/auditors/v1/ledger/checkpoint") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [401, 401, 429, 429, 429]
    assert len(narrow.entries(type=EventType.AUTH_REQUEST_REFUSE, actor="unknown")) == before + 2
    assert narrow.call("second", "GET", f"{RELEASES}/none").status_code == 404

"""Operators over HTTP: the whole path, who may walk it, and what a bad request is told."""

from datetime import timedelta

import pytest

from audit.events import EventType, Outcome
from gateway.flow.approve import sign_approval
from gateway.flow.judge import load_judged
from simulators import PURPOSE, RECIPIENT, VEHICLE, cleanse, look

PREFIX = "/operators/v1"


def note(drive: str) -> dict[str, bytes]:
    """The notes of one drive; no two drives share a file, which would make them one trip (law 7)."""
    return {"notes.txt": f"{drive}：天气晴，城市道路。电话13800138000。\n".encode()}


def post(served, who, path, document):
    return served.call(who, "POST", PREFIX + path, document=document)


def wanted(served, recording, **changes):
    terms = {
        "recordings": [recording],
        "purpose": PURPOSE,
        "recipient": RECIPIENT,
        "mode": "LOCAL",
        "expires_at": (served.gate.clock() + timedelta(days=30)).isoformat(),
    }
    return {**terms, **changes}


def statement_of(served, release, person, signer=None):
    look(served.gate, served.house, release, person)
    with served.gate.database.read() as session:
        judged = load_judged(served.gate, session, release)
    key = served.house.people[signer or person].key
    return sign_approval(judged, person, key, served.gate.clock())


@pytest.fixture(scope="session")
def candidate(served):
    """A judged candidate of a drive of its own, requested over HTTP."""
    recording = cleanse(served.gate, note("候选"))
    answer = post(served, "submitter", "/releases", wanted(served, recording))
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_request_answers_with_what_approvers_will_see(served, candidate):
    shown = served.call("first", "GET", f"{PREFIX}/releases/{candidate['release']}").json()
    assert shown == candidate
    assert (shown["state"], shown["submitter"]) == ("judged", "submitter")
    assert shown["findings"] == {"phone": 1}
    assert shown["decision"]["allowed"] is True
    assert len(shown["decision"]["passed"]) >= 20


def test_path_from_request_to_grant(served):
    recording = cleanse(served.gate, note("全程"))
    release = post(served, "submitter", "/releases", wanted(served, recording)).json()["release"]
    for person in ("first", "second"):
        statement = statement_of(served, release, person)
        answer = post(served, person, f"/releases/{release}/approvals", {"statement": statement})
        assert (answer.status_code, answer.json()["approver"]) == (201, person)
    published = served.call("first", "POST", f"{PREFIX}/releases/{release}/publication")
    assert published.status_code == 201
    assert published.json()["manifest"].count(".") == 2
    until = (served.gate.clock() + timedelta(days=7)).isoformat()
    terms = {"release": release, "principal": "engineer", "not_after": until}
    granted = post(served, "first", "/grants", terms)
    assert granted.status_code == 201
    assert served.read(f"/{release}/manifest").status_code == 200
    revoked = served.call("first", "POST", f"{PREFIX}/grants/{granted.json()['grant']}/revocation")
    assert revoked.json()["revoked"] is True
    assert served.read(f"/{release}/manifest").status_code == 403
    gone = served.call("first", "POST", f"{PREFIX}/releases/{release}/revocation")
    assert (gone.status_code, gone.json()["revoked"]) == (201, True)


def test_publication_without_two_approvals_is_denied_by_rule(served, candidate, is_problem):
    """Law 8."""
    answer = served.call("first", "POST", f"{PREFIX}/releases/{candidate['release']}/publication")
    document = is_problem(answer, 403, "denied")
    assert "enough_approvers" in [v["rule"] for v in document["violations"]]


APPROVALS = {
    "another person's key": ("first", "first", "second", "approval_invalid"),
    "in another's name": ("first", "second", "first", "approval_invalid"),
}


@pytest.mark.parametrize("name", APPROVALS)
def test_approval_that_does_not_count_is_refused_and_recorded(served, candidate, is_problem, name):
    """Law 8: each signs with their own key."""
    caller, named, signer, reason = APPROVALS[name]
    release = candidate["release"]
    statement = statement_of(served, release, named, signer)
    is_problem(post(served, caller, f"/releases/{release}/approvals", {"statement": statement}), 422, reason)
    last = served.entries(type=EventType.APPROVE_RELEASE_SIGN, object=release)[-1].event
    assert (last.outcome, last.facts["reason"]) == (Outcome.REFUSED, reason)


def test_the_submitter_does_not_approve(served, candidate, is_problem):
    """Law 8, by rule and clause."""
    release = candidate["release"]
    statement = statement_of(served, release, "submitter", None)
    answer = post(served, "submitter", f"/releases/{release}/approvals", {"statement": statement})
    document = is_problem(answer, 403, "forbidden")
    assert [v["rule"] for v in document["violations"]] == ["duties_separated"]
    last = served.entries(type=EventType.JUDGE_ACT_DECIDE, object=release)[-1].event
    assert (last.outcome, last.rule) == (Outcome.REFUSED, "duties_separated")


def test_nonsense_for_an_approval_is_the_caller_s_fault(served, candidate, is_problem):
    path = f"/releases/{candidate['release']}/approvals"
    is_problem(post(served, "first", path, {"statement": "a.b.c"}), 422, "approval_invalid")


DOORS = {
    "request": ("POST", "/releases", {}),
    "look": ("GET", "/releases/{release}", None),
    "approve": ("POST", "/releases/{release}/approvals", {"statement": "a.b.c"}),
    "publish": ("POST", "/releases/{release}/publication", None),
    "revoke": ("POST", "/releases/{release}/revocation", None),
    "grant": ("POST", "/grants", {}),
    "revoke a grant": ("POST", "/grants/x/revocation", None),
}


@pytest.mark.parametrize("name", DOORS)
def test_only_operators_pass_and_others_leave_a_trace(served, candidate, is_problem, name):
    method, path, document = DOORS[name]
    url = PREFIX + path.format(release=candidate["release"])
    # Whom the table of permissions lets look over HTTP is whom it lets look by the command line.
    for person in ("engineer", "admin") if name == "look" else ("engineer", "auditor", "admin"):
        is_problem(served.call(person, method, url, document=document), 403, "forbidden")
        last = served.entries(type=EventType.JUDGE_ACT_DECIDE)[-1].event
        assert (last.actor, last.outcome, last.rule) == (person, Outcome.REFUSED, "role_permitted")
    is_problem(served.call(VEHICLE, method, url, document=document), 401, "signature_key_unknown")


BODIES = {
    "purpose missing": ({"purpose": None}, "purpose"),
    "mode unknown": ({"mode": "RAW"}, "mode"),
    "expiry without zone": ({"expires_at": "2030-01-01T00:00:00"}, "expires_at"),
    "recordings no list": ({"recordings": "all"}, "recordings"),
    "recordings empty": ({"recordings": []}, "recording"),
    "recording twice": ({"recordings": ["a", "a"]}, "recording"),
    "field unknown": ({"skip_checks": True}, "skip_checks"),
    "expiry past": ({"expires_at": "2020-01-01T00:00:00Z"}, "2020-01-01"),
    "destination unknown": ({"destination_zone": "moon"}, "moon"),
}


@pytest.mark.parametrize("name", BODIES)
def test_bad_request_names_the_field(served, is_problem, name):
    changes, said = BODIES[name]
    document = is_problem(
        post(served, "submitter", "/releases", wanted(served, "x", **changes)), 422, "invalid_request"
    )
    assert said in document["detail"]


REFERENCES = {
    "recording": ({}, 404, "not_found"),
    "purpose": ({"purpose": "curiosity"}, 404, "not_found"),
    "recipient": ({"recipient": "nobody"}, 404, "not_found"),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_unknown_reference_is_not_found(served, is_problem, name):
    changes, status, reason = REFERENCES[name]
    document = is_problem(
        post(served, "submitter", "/releases", wanted(served, "unknown-one", **changes)), status, reason
    )
    assert next(iter(changes.values()), "unknown-one") in document["detail"]


def test_unknown_release_and_grant(served, is_problem):
    is_problem(served.call("first", "GET", f"{PREFIX}/releases/none"), 404, "not_found")
    is_problem(served.call("first", "POST", f"{PREFIX}/releases/none/publication"), 409, "stage_order")
    is_problem(served.call("first", "POST", f"{PREFIX}/grants/none/revocation"), 404, "not_found")


GRANTS = {
    "principal of nobody": ({"principal": "ghost"}, 404, "not_found"),
    "principal of another recipient": ({"principal": "auditor"}, 422, "invalid_request"),
    "outlives the release": ({"not_after": "2090-01-01T00:00:00Z"}, 422, "invalid_request"),
    "no time": ({"not_after": "soon"}, 422, "invalid_request"),
}


@pytest.mark.parametrize("name", GRANTS)
def test_grant_that_cannot_be(served, is_problem, name):
    changes, status, reason = GRANTS[name]
    until = (served.gate.clock() + timedelta(days=1)).isoformat()
    terms = {"release": served.release, "principal": "engineer", "not_after": until, **changes}
    is_problem(post(served, "first", "/grants", terms), status, reason)

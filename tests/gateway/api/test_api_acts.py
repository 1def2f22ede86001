"""Every route of operators and auditors asks policy before it does or tells anything."""

from fastapi.routing import iter_route_contexts

from audit.events import EventType, Outcome
from gateway.server import create_app

KNOWN = {
    "release_id": "f" * 32,
    "number": "1",
    "grant": "g",
    "access": "a" * 32,
    "item": "i",
    "credential": "c",
}
WITH_BODY = (
    "releases",
    "approvals",
    "assertions",
    "rejection",
    "grants",
    "records",
    "security-keys",
    "break-glass",
    "review",
)


def _routes(app):
    for route in iter_route_contexts(app.routes):
        if route.path.startswith(("/operators/", "/auditors/")):
            for method in sorted(route.methods - {"HEAD"}):
                yield method, route.path


def test_an_engineer_is_refused_by_policy_at_every_route_of_operators_and_auditors(served, is_problem):
    walked = list(_routes(create_app(served.gate)))
    assert len(walked) >= 19
    for method, route in walked:
        path = route
        for name, value in KNOWN.items():
            path = path.replace(f"{{{name}}}", value)
        assert "{" not in path, f"the test knows no value for {route}"
        has_body = method == "POST" and route.rpartition("/")[2] in WITH_BODY
        before = served.gate.ledger.size
        answer = served.call("engineer", method, path, document={} if has_body else None)
        document = is_problem(answer, 403, "forbidden")
        assert "role_permitted" in [violation["rule"] for violation in document["violations"]], route
        entries = [entry.event for entry in served.gate.ledger.entries(before)]
        assert [(e.type, e.outcome, e.actor) for e in entries] == [
            (EventType.JUDGE_ACT_DECIDE, Outcome.REFUSED, "engineer")
        ], route


def test_who_may_act_is_told_of_a_malformed_body(served, is_problem):
    is_problem(served.call("first", "POST", "/operators/v1/grants", document={}), 422, "invalid_request")
    last = served.gate.ledger.entry(served.gate.ledger.size - 1).event
    assert (last.type, last.actor, last.facts["reason"]) == (
        EventType.AUTH_REQUEST_REFUSE,
        "first",
        "invalid_request",
    )

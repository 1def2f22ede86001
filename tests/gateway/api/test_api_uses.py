"""Reports of use over HTTP: by the client, under limits, once per idempotency key."""

import pytest

from audit.events import EventType, Outcome
from gateway.api.uses import MAX_BODY_BYTES
from pipeline.artefacts import UseKind
from pipeline.client import GatewayClient
from pipeline.errors import RefusedError, UnreachableError
from simulators import PURPOSE

USES = "/downstream/v1/uses"


def client_of(served, url=None, person="engineer"):
    return GatewayClient(
        url or served.url,
        key=served.key(person),
        principal=person,
        purpose=PURPOSE,
        release_key=served.gate.keystore.signing_key("release").as_dict(private=False),
    )


def post(served, document=None, who="engineer", body=None, **headers):
    return served.call(who, "POST", USES, document=document, body=body, headers=headers, purpose=PURPOSE)


def test_the_client_reports_and_gets_the_id(served):
    with client_of(served) as client:
        use = client.report_use(UseKind.TEXT, [served.release], {"text": "夜间"})
    found = served.entries(type=EventType.USE_RELEASE_REPORT, object=use)
    assert [e.event.outcome for e in found] == [Outcome.INTENT, Outcome.COMPLETED]


def test_without_a_grant_or_a_gate_the_client_fails(served):
    with client_of(served, person="stranger") as client, pytest.raises(RefusedError) as refused:
        client.report_use(UseKind.TEXT, [served.release], {"text": "夜间"})
    assert refused.value.reason == "no_grant"
    with client_of(served, url="http://127.0.0.1:9") as client, pytest.raises(UnreachableError):
        client.report_use(UseKind.TEXT, [served.release], {"text": "夜间"})


def test_the_same_key_again_is_one_use(served):
    document = {"kind": "tags", "releases": [served.release], "query": {"by": ["weather"]}}
    first, second = (post(served, document, **{"Idempotency-Key": "use-1"}) for _ in range(2))
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(served.entries(type=EventType.USE_RELEASE_REPORT, object=first.json()["use"])) == 2


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "gossip", "releases": ["a"]},
        {"kind": "text", "releases": []},
        {"kind": "text", "releases": ["a b"]},
        {"kind": "text", "releases": ["a"], "query": "night"},
        {"kind": "text", "releases": ["a"], "more": 1},
    ],
)
def test_a_malformed_report_is_named(served, is_problem, document):
    is_problem(post(served, document), 422, "invalid_request")


def test_a_long_report_is_refused(served, is_problem):
    is_problem(post(served, body=b"x" * (MAX_BODY_BYTES + 1)), 422, "invalid_request")

"""The OpenAPI description: valid, complete, true. Schemathesis puts it against the real server."""

import re
from collections.abc import Iterator
from hashlib import sha256

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.api.signatures import content_digest
from gateway.api.signing import SignatureAuth
from gateway.server import create_app
from simulators import SMALL_DRIVE, VEHICLE, House, grant, released

EXAMPLES = 8
CALLERS = {
    "/vehicles": VEHICLE,
    "/operators": "submitter",
    "/auditors": "auditor",
    "/downstream": "engineer",
    "/healthz": "engineer",
}
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def document(served):
    return httpx.get(f"{served.url}/openapi.json").json()


def operations(document) -> Iterator[tuple[str, dict]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_it_is_valid_openapi(document):
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_every_operation_is_told_in_both_languages_with_answers_and_problems(document):
    for name, operation in operations(document):
        assert operation["operationId"], name
        assert operation["summary"], name
        assert any("一" <= character <= "鿿" for character in operation["description"]), name
        statuses = operation["responses"]
        assert any(status.startswith("2") for status in statuses), name
        assert "503" in statuses, name
        if operation.get("security") != []:
            assert {"401", "403", "422", "429"} <= statuses.keys(), name
        for status, answer in statuses.items():
            if status[0] in "45":
                media = answer["content"]["application/problem+json"]
                assert media["schema"] == {"$ref": "#/components/schemas/Problem"}, (name, status)


def test_every_example_fits_its_schema(document):
    checked = 0
    for name, operation in operations(document):
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for holder in (*bodies, *operation["responses"].values()):
            for media, content in holder.get("content", {}).items():
                assert "json" not in media or "example" in content or media == "application/jsonl", name
                if "example" in content:
                    schema = {**content["schema"], "components": document["components"]}
                    Draft202012Validator(schema).validate(content["example"])
                    checked += 1
    assert checked > len(document["paths"])


def test_a_route_without_a_description_stops_the_description(served):
    app = create_app(served.gate)

    @app.get("/undescribed")
    def _undescribed() -> dict[str, str]:
        return {}

    with pytest.raises(Exception, match="/undescribed"):
        app.openapi()


class Signed(requests.auth.AuthBase):
    """Signs what schemathesis sends, as it is sent."""

    def __init__(self, auth: SignatureAuth) -> None:
        self._auth = auth

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body.encode() if isinstance(request.body, str) else request.body
        request.headers.pop("Content-Digest", None)
        if body:
            request.headers["Content-Digest"] = content_digest(sha256(body).digest())
        return next(self._auth.auth_flow(request))


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory, serve_gate):
    """A server of its own: random requests may revoke what they find."""
    house = House(home=tmp_path_factory.mktemp("fuzzed") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        release = released(gate, house, SMALL_DRIVE)
        grant(gate, house, release)
        with serve_gate(gate, house, release) as running:
            yield running


@pytest.fixture(scope="module")
def schema(fuzzed):
    load_all_checks()
    document = httpx.get(f"{fuzzed.url}/openapi.json").json()
    # Each request is signed as it is sent: a case must not count on its signature being left out.
    del document["security"], document["components"]["securitySchemes"]
    return schemathesis.openapi.from_dict(document)


def known_operations() -> list[str]:
    from gateway.api.description import _texts  # noqa: PLC0415

    return sorted(_texts()["operations"])


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "unfit"])
@pytest.mark.parametrize("name", known_operations())
def test_the_server_keeps_to_its_description(fuzzed, schema, name, mode):
    method, _, path = name.partition(" ")
    operation = schema[path][method]
    who = next(caller for prefix, caller in CALLERS.items() if path.startswith(prefix))
    auth = Signed(SignatureAuth(keyid=who, key=fuzzed.key(who)))
    checks = [*CHECKS, *([negative_data_rejection] if mode is GenerationMode.NEGATIVE else [])]
    taken = operation.definition.raw.get("parameters", ())
    choosy = any(p.get("in") != "path" or p["schema"].get("type") != "string" for p in taken)
    if mode is GenerationMode.NEGATIVE and not (choosy or operation.body):
        pytest.skip("a route that takes nothing, or any string, cannot be asked amiss")
    cases = operation.as_strategy(generation_mode=mode)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, real=st.booleans())
    def ask(case, real):
        if real and mode is GenerationMode.POSITIVE:
            for parameter in ("release", "release_id"):
                if parameter in (case.path_parameters or {}):
                    case.path_parameters[parameter] = fuzzed.release
        response = case.call(base_url=fuzzed.url, auth=auth)
        case.validate_response(response, checks=checks)

    ask()


NUMBERED = {"position": "0", "number": "1"}


@pytest.mark.parametrize("name", [name for name in known_operations() if "/healthz" not in name])
def test_no_route_answers_the_unsigned(fuzzed, name):
    method, _, path = name.partition(" ")
    target = re.sub(r"\{(\w+)\}", lambda part: NUMBERED.get(part[1], "a"), path)
    answer = httpx.request(method, fuzzed.url + target, content=b"{}" if method != "GET" else None)
    assert answer.status_code == 401, answer.text

"""Errors on the wire (RFC 9457) and what every answer carries."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from audit.errors import LedgerUnavailableError
from gateway import errors
from gateway.api import problems
from gateway.vault.errors import SealBrokenError, StorageError


def test_health_tells_size_and_engine_to_anybody(served):
    answer = httpx.get(f"{served.url}/healthz")
    assert answer.status_code == 200
    document = answer.json()
    assert document["status"] == "ok"
    assert document["ledger_size"] > 0
    assert document["alarms"] == []
    assert set(document) == {"status", "ledger_size", "policy_engine", "alarms"}


def test_unknown_route_and_method(served, is_problem):
    is_problem(httpx.get(f"{served.url}/nothing/here"), 404, "not_found")
    answer = httpx.post(f"{served.url}/healthz")
    is_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize("path", ["/healthz", "/none", "/auditors/v1/ledger/entries", "/openapi.json"])
def test_every_answer_carries_the_security_headers(served, path):
    headers = httpx.get(served.url + path).headers
    for name, value in problems.SECURITY_HEADERS.items():
        assert headers[name] == value
    assert "server" not in headers


def answer_to(error: Exception) -> httpx.Response:
    """What a caller is told when a route raises this."""
    app = FastAPI()
    problems.install(app)
    app.add_middleware(problems.SecurityHeaders)

    @app.get("/")
    def _raise() -> None:
        raise error

    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gate.test") as client:
            return await client.get("/")

    return asyncio.run(call())


SILENT = {
    "ledger": (LedgerUnavailableError("disk /secret/path"), 503, "ledger_unavailable"),
    "disk": (StorageError("read file", "/secret/path", OSError(5, "secret")), 503, "storage_unavailable"),
    "seal": (SealBrokenError("/secret/path"), 500, "seal_broken"),
    "evidence": (errors.EvidenceError("/secret/path"), 500, "evidence_broken"),
    "anything": (RuntimeError("/secret/path"), 500, "internal_error"),
    "wrong key": (KeyError("/secret/path"), 500, "internal_error"),
}


@pytest.mark.parametrize("name", SILENT)
def test_what_went_wrong_inside_is_not_told(is_problem, name):
    error, status, reason = SILENT[name]
    answer = answer_to(error)
    is_problem(answer, status, reason)
    assert "secret" not in answer.text
    assert type(error).__name__ not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_error_class_of_the_gate_has_a_status():
    def descendants(kind: type[Exception]) -> Iterator[type[Exception]]:
        for child in kind.__subclasses__():
            yield child
            yield from descendants(child)

    kinds = [kind for kind, _, _ in problems._STATUS]
    for kind in descendants(errors.GatewayError):
        assert any(issubclass(kind, known) for known in kinds), kind

"""The real server on a loopback port, and clients that sign as people and vehicles do."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from gateway.api.signatures import content_digest
from gateway.api.signing import SignatureAuth
from gateway.flow.gate import Gate
from gateway.server import create_app
from gateway.vault.jws import PrivateKey
from simulators import PURPOSE, SMALL_DRIVE, VEHICLE, House, grant, released


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running server with everybody who may call it."""

    gate: Gate
    house: House
    url: str
    release: str = ""

    def key(self, who: str) -> PrivateKey:
        return self.house.vehicle_key if who == VEHICLE else self.house.people[who].key

    def call(
        self,
        who: str,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        document: Any = None,
        headers: dict[str, str] | None = None,
        purpose: str | None = None,
    ) -> httpx.Response:
        """One signed request, its body's digest signed with it."""
        content = json.dumps(document).encode() if document is not None else body
        sent = dict(headers or {})
        if content is not None:
            sent.setdefault("Content-Digest", content_digest(sha256(content).digest()))
        if purpose is not None:
            sent["Fleetgate-Purpose"] = purpose
        auth = SignatureAuth(keyid=who, key=self.key(who))
        with httpx.Client(base_url=self.url, auth=auth, timeout=120) as client:
            return client.request(method, path, content=content, headers=sent)

    def read(self, path: str, who: str = "engineer", **headers: str) -> httpx.Response:
        """What the engineer gets of the release for its purpose."""
        return self.call(who, "GET", f"/downstream/v1/releases{path}", headers=headers, purpose=PURPOSE)

    def entries(self, **criteria: Any) -> list[Any]:
        """Ledger entries whose event has these values."""
        return [
            entry
            for entry in self.gate.ledger.entries()
            if all(getattr(entry.event, name) == value for name, value in criteria.items())
        ]


@contextmanager
def serve(gate: Gate, house: House, release: str = "") -> Iterator[Served]:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(gate), log_level="critical", access_log=False, server_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    try:
        yield Served(
            gate=gate, house=house, url=f"http://127.0.0.1:{listener.getsockname()[1]}", release=release
        )
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A furnished gate on SQLite that serves one release of a drive without images; tests only add to it."""
    house = House(home=tmp_path_factory.mktemp("api") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        release = released(gate, house, SMALL_DRIVE)
        grant(gate, house, release)
        with serve(gate, house, release) as running:
            yield running


@pytest.fixture(scope="session")
def serve_gate() -> Callable[..., Any]:
    return serve


def is_problem(response: httpx.Response, status: int, reason: str) -> dict[str, Any]:
    """An RFC 9457 document with this status and reason that tells nothing of the inside."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    document: dict[str, Any] = response.json()
    assert (response.status_code, document["reason"]) == (status, reason), document
    assert document["status"] == status
    assert document["type"] == f"urn:fleetgate:problem:{reason}"
    assert document["title"]
    assert document["detail"]
    assert "Traceback" not in response.text
    assert str(Path(__file__).parents[3]) not in response.text
    return document


@pytest.fixture(scope="session", name="is_problem")
def _is_problem() -> Callable[..., dict[str, Any]]:
    return is_problem

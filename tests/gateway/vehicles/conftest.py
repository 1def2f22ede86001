"""A gateway peer for vehicles: a real server that verifies every signature and digest as the gate does."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from threading import Thread
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from joserfc.jwk import OKPKey

from gateway.api.refusals import SignatureRefusedError
from gateway.api.signatures import VerifiedRequest, check_content, signed_url, verify_request
from gateway.vehicles.manifest import Manifest, read_manifest
from memory_nonces import MemoryNonces


class VehiclePeer:
    """Keeps what vehicles deliver in memory and can be told to answer otherwise for a while."""

    def __init__(self, keys: dict[str, OKPKey]) -> None:
        self.keys = keys
        self.nonces = MemoryNonces()
        self.manifests: dict[str, Manifest] = {}
        self.received: dict[str, dict[int, bytes]] = {}
        self.requests: list[str] = []
        self.answers: list[tuple[int, str]] = []
        self.edit_receipt: Callable[[dict[str, Any]], dict[str, Any]] = lambda receipt: receipt
        self.app = self._app()

    def verify(self, request: Request, *required: str) -> VerifiedRequest:
        return verify_request(
            method=request.method,
            url=signed_url(request.scope),
            headers=request.headers.items(),
            resolve_key=self.keys.get,
            now=datetime.now(tz=UTC),
            nonces=self.nonces,
            required=required,
        )

    def receipt(self, recording: str) -> dict[str, Any]:
        received = self.received[recording]
        return self.edit_receipt(
            {
                "recording": recording,
                "items": [
                    {
                        "name": item.name,
                        "index": i,
                        "state": "quarantined" if i in received else "awaited",
                        "href": f"/vehicles/v1/recordings/{recording}/items/{i}",
                    }
                    for i, item in enumerate(self.manifests[recording].items)
                ],
            }
        )

    def _app(self) -> FastAPI:
        app = FastAPI()
        app.exception_handler(SignatureRefusedError)(self._refuse)
        app.middleware("http")(self._told)
        app.post("/vehicles/v1/recordings")(self._announce)
        app.get("/vehicles/v1/recordings/{recording}")(self._status)
        app.put("/vehicles/v1/recordings/{recording}/items/{index}")(self._put)
        return app

    async def _told(self, request: Request, call_next: Callable[[Request], Any]) -> Response:
        self.requests.append(f"{request.method} {request.url.path}")
        if self.answers:
            status, reason = self.answers.pop(0)
            if status:
                return problem(status, reason)
        return await call_next(request)

    async def _refuse(self, _request: Request, error: SignatureRefusedError) -> Response:
        return problem(401, error.reason)

    async def _announce(self, request: Request) -> Response:
        verified = self.verify(request, "content-digest")
        body = await request.body()
        check_content(verified, sha256(body).digest())
        statement = (await request.json())["manifest"]
        manifest = read_manifest(statement, self.keys[verified.keyid])
        new = manifest.recording not in self.manifests
        if not new and self.manifests[manifest.recording] != manifest:
            return problem(409, "conflict")
        self.manifests[manifest.recording] = manifest
        self.received.setdefault(manifest.recording, {})
        return JSONResponse(self.receipt(manifest.recording), status_code=201 if new else 200)

    async def _status(self, request: Request, recording: str) -> Response:
        self.verify(request)
        return JSONResponse(self.receipt(recording))

    async def _put(self, request: Request, recording: str, index: int) -> Response:
        verified = self.verify(request, "content-digest")
        body = await request.body()
        check_content(verified, sha256(body).digest())
        if sha256(body).hexdigest() != self.manifests[recording].items[index].sha256:
            return problem(422, "digest_mismatch")
        self.received[recording][index] = body
        return Response(status_code=201)


def problem(status: int, reason: str) -> JSONResponse:
    return JSONResponse(
        {
            "type": "about:blank",
            "title": reason,
            "status": status,
            "detail": f"told: {reason}",
            "reason": reason,
        },
        status_code=status,
        media_type="application/problem+json",
    )


def free_socket() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    return listener


@contextmanager
def serving(app: Any, listener: socket.socket) -> Iterator[str]:
    """Serve on the socket until the block ends, then close it."""
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=2)
    )
    listener.listen()
    thread = Thread(target=asyncio.run, args=(server.serve(sockets=[listener]),))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


class Relay:
    """One server for all tests; each test puts its own application behind it."""

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def relay() -> Iterator[tuple[Relay, str]]:
    relay = Relay()
    with serving(relay, free_socket()) as url:
        yield relay, url


@pytest.fixture(scope="session")
def vehicle_key() -> OKPKey:
    return OKPKey.generate_key("Ed25519")


@pytest.fixture
def peer(vehicle_key: OKPKey) -> VehiclePeer:
    return VehiclePeer({"vehicle-7": vehicle_key})


@pytest.fixture
def base_url(relay: tuple[Relay, str], peer: VehiclePeer) -> str:
    relay[0].app = peer.app
    return relay[1]


@pytest.fixture
def late_server(peer: VehiclePeer) -> Iterator[tuple[str, socket.socket, Callable[[], None]]]:
    """An address that nobody serves until the returned function is called."""
    listener = free_socket()
    stack: list[Any] = []

    def start() -> None:
        if not stack:
            context = serving(peer.app, listener)
            context.__enter__()
            stack.append(context)

    yield f"http://127.0.0.1:{listener.getsockname()[1]}", listener, start
    for context in stack:
        context.__exit__(None, None, None)
    listener.close()

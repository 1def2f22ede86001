"""A gateway peer for readers: a real server that verifies signatures and serves a signed release."""

import asyncio
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from threading import Thread
from typing import Any

import pytest
import rfc8785
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from joserfc import jws
from joserfc.jwk import OKPKey

from gateway.api.refusals import SignatureRefusedError
from gateway.api.signatures import signed_url, verify_request
from memory_nonces import MemoryNonces

RELEASE = "rel-4c1f"
PURPOSE = "perception-training"
CONTENTS = {
    "image/000001.jpg": bytes(range(256)) * 3000,
    "image/000002.jpg": b"second",
    "轨迹 1.csv": "时间,东\n0,1\n".encode(),
    "empty.txt": b"",
}


def sign_release(key: OKPKey, payload: dict[str, Any], typ: str = "fleetgate-release+jwt") -> str:
    header = {"alg": "Ed25519", "kid": "release", "typ": typ}
    return jws.serialize_compact(header, rfc8785.dumps(payload), key, algorithms=["Ed25519"])


def release_payload(contents: dict[str, bytes], **changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "release": RELEASE,
        "digest": "cd" * 32,
        "purpose": PURPOSE,
        "recipient": "lab-1",
        "mode": "LOCAL",
        "profile": {"name": "cn-2026", "digest": "ef" * 32},
        "policy": {"bundle_digest": "01" * 32},
        "expires_at": "2027-01-01T00:00:00Z",
        "items": [
            {
                "name": name,
                "media_type": "image/jpeg",
                "class": "EXT_IMAGE",
                "level": "S1_PROCESSED",
                "size": len(content),
                "sha256": sha256(content).hexdigest(),
            }
            for name, content in contents.items()
        ],
        "approvals": ["a.b.c", "d.e.f"],
        **changes,
    }


class ReleasePeer:
    """Serves one release to one principal for one purpose; ``answer`` may replace what an item answers."""

    def __init__(self, release_key: OKPKey, principal_key: OKPKey) -> None:
        self.contents = dict(CONTENTS)
        self.statement = sign_release(release_key, release_payload(CONTENTS))
        self.keys = {"engineer-1": principal_key}
        self.nonces = MemoryNonces()
        self.requests: list[str] = []
        self.answer: Callable[[str], Response | None] = lambda _name: None
        self.app = self._app()

    def _app(self) -> FastAPI:
        app = FastAPI()
        app.exception_handler(SignatureRefusedError)(self._refuse)
        app.get("/downstream/v1/releases")(self._list)
        app.get("/downstream/v1/releases/{release}/manifest")(self._manifest)
        app.get("/downstream/v1/releases/{release}/items/{name:path}")(self._item)
        return app

    async def _refuse(self, _request: Request, error: SignatureRefusedError) -> Response:
        return problem(401, error.reason)

    def _check(self, request: Request) -> Response | None:
        self.requests.append(request.url.path)
        verified = verify_request(
            method=request.method,
            url=signed_url(request.scope),
            headers=request.headers.items(),
            resolve_key=self.keys.get,
            now=datetime.now(tz=UTC),
            nonces=self.nonces,
            required=("fleetgate-purpose",),
        )
        if verified.purpose != PURPOSE:
            violation = {
                "rule": "purpose_of_grant",
                "clause": "COMPLIANCE 3.5",
                "text_zh": "用途与授权不符",
                "text_en": "the purpose is not the grant's",
            }
            return problem(403, "denied", violations=[violation])
        return None

    async def _list(self, request: Request) -> Response:
        entry = {
            "release": RELEASE,
            "purpose": PURPOSE,
            "expires_at": "2027-01-01T00:00:00Z",
            "mode": "LOCAL",
        }
        return self._check(request) or JSONResponse({"releases": [entry]})

    async def _manifest(self, request: Request, release: str) -> Response:
        if release != RELEASE:
            return self._check(request) or problem(404, "not_found")
        return self._check(request) or Response(self.statement, media_type="application/jose")

    async def _item(self, request: Request, name: str) -> Response:
        refused = self._check(request) or self.answer(name)
        if refused is not None:
            return refused
        content = self.contents[name]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
        if not wanted:
            return Response(content)
        first, last = int(wanted[1]), int(wanted[2])
        headers = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        return Response(content[first : last + 1], status_code=206, headers=headers)


def problem(status: int, reason: str, **more: Any) -> JSONResponse:
    body = {
        "type": "about:blank",
        "title": reason,
        "status": status,
        "detail": "as told",
        "reason": reason,
        **more,
    }
    return JSONResponse(body, status_code=status, media_type="application/problem+json")


@contextmanager
def serving(app: Any) -> Iterator[str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
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
    with serving(relay) as url:
        yield relay, url


@pytest.fixture(scope="session")
def release_key() -> OKPKey:
    return OKPKey.generate_key("Ed25519")


@pytest.fixture(scope="session")
def principal_key() -> OKPKey:
    return OKPKey.generate_key("Ed25519")


@pytest.fixture
def peer(release_key: OKPKey, principal_key: OKPKey) -> ReleasePeer:
    return ReleasePeer(release_key, principal_key)


@pytest.fixture
def base_url(relay: tuple[Relay, str], peer: ReleasePeer) -> str:
    relay[0].app = peer.app
    return relay[1]


@pytest.fixture
def publish(peer: ReleasePeer, release_key: OKPKey) -> Callable[..., None]:
    """Replace the manifest by one whose payload has other fields, signed by the release key."""

    def sign_again(contents: dict[str, bytes] | None = None, **changes: Any) -> None:
        if contents is not None:
            peer.contents = contents
        peer.statement = sign_release(release_key, release_payload(peer.contents, **changes))

    return sign_again

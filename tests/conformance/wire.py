"""The real server on loopback, and a line to it that keeps every byte which comes back."""

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self

import httpx
import uvicorn
from joserfc.jwk import OKPKey

from gateway.api.signing import SignatureAuth
from gateway.flow.gate import Gate
from gateway.server import create_app

START_S = 120.0


def listener() -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", 0))
    return bound


@contextmanager
def serving(gate: Gate) -> Iterator[str]:
    """The server over an open gate, in a thread; yields its origin."""
    bound = listener()
    config = uvicorn.Config(create_app(gate), log_level="critical", access_log=False, server_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_S
    try:
        while not server.started:
            assert thread.is_alive(), "the server stopped while starting"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


@contextmanager
def caller(
    origin: str, keyid: str | None = None, key: OKPKey | None = None, purpose: str | None = None
) -> Iterator[httpx.Client]:
    """A client that signs as somebody; without a key it signs nothing."""
    auth = SignatureAuth(keyid=keyid, key=key) if keyid is not None and key is not None else None
    headers: Mapping[str, str] = {"Fleetgate-Purpose": purpose} if purpose else {}
    with httpx.Client(base_url=origin, auth=auth, headers=headers, timeout=60.0) as client:
        yield client


class Tap:
    """A line to an upstream port that keeps every byte which the upstream sends."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._bound = listener()
        self._lock = threading.Lock()
        self._received: list[bytearray] = []
        self._threads: list[threading.Thread] = []
        self._closing = False

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._bound.getsockname()[1]}"

    def received(self) -> list[bytes]:
        """What came back so far, one entry per connection."""
        with self._lock:
            return [bytes(each) for each in self._received]

    def __enter__(self) -> Self:
        self._bound.listen()
        self._start(self._accept)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._closing = True
        with socket.create_connection(self._bound.getsockname()):
            pass
        for thread in self._threads:
            thread.join()
        self._bound.close()

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        while True:
            near, _ = self._bound.accept()
            if self._closing:
                near.close()
                return
            far = socket.create_connection(("127.0.0.1", self._upstream))
            kept = bytearray()
            with self._lock:
                self._received.append(kept)
            self._start(self._pump, near, far, None)
            self._start(self._pump, far, near, kept)

    def _pump(self, source: socket.socket, target: socket.socket, kept: bytearray | None) -> None:
        try:
            while chunk := source.recv(65536):
                if kept is not None:
                    with self._lock:
                        kept += chunk
                target.sendall(chunk)
        except OSError:
            pass  # the other direction closed the connection: nothing more comes
        finally:
            for each in (source, target):
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
            if kept is not None:
                source.close()
                target.close()

"""Witnesses that really listen on loopback, and ledgers that ask them."""

import socket
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import uvicorn

from audit.checkpoint import CheckpointSigner
from audit.cosignature import Cosigner
from audit.cosigning import Cosigning, WitnessAddress
from audit.ledger import Ledger
from audit.witness import Witness
from audit.witness_server import create_witness_app


class Listening:
    """A witness behind its HTTP service; ``open`` and ``close`` start and end it, its file stays."""

    def __init__(self, path: Path, number: int, *logs: CheckpointSigner) -> None:
        self.path, self.number = path, number
        self.logs = {log.origin: [log.vkey] for log in logs}
        self.reachable = True
        self.open()

    def open(self) -> None:
        cosigner = Cosigner(bytes([self.number] * 32), f"witness.test/w{self.number}")
        self.witness = Witness(self.path, cosigner, self.logs)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(create_witness_app(self.witness), log_level="critical", lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]}, daemon=True)
        self.thread.start()
        self.client = httpx.Client(base_url=self.url)

    def restart(self) -> None:
        self.close()
        self.open()

    def close(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self.thread.join(timeout=10)
        self.witness.close()

    @property
    def address(self) -> WitnessAddress:
        return WitnessAddress(url=self.url, vkey=self.witness.vkey)


class Cut(httpx.HTTPTransport):
    """The network, without the witnesses that cannot be reached."""

    def __init__(self, witnesses: Sequence[Listening]) -> None:
        super().__init__()
        self.witnesses = witnesses

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for each in self.witnesses:
            if str(request.url).startswith(f"{each.url}/") and not each.reachable:
                raise httpx.ConnectError("connection refused", request=request)
        return super().handle_request(request)


def cosigning(
    ledger: Ledger,
    witnesses: Sequence[Listening],
    *,
    quorum: int | None = None,
    grace: timedelta = timedelta(days=1),
    clock: Callable[[], datetime] | None = None,
) -> Cosigning:
    changes = {} if clock is None else {"clock": clock}
    return Cosigning(
        ledger,
        [each.address for each in witnesses],
        quorum=quorum or len(witnesses),
        grace=grace,
        http=lambda: httpx.Client(transport=Cut(witnesses), timeout=10),
        **changes,
    )

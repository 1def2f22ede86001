"""A gate served by real processes, which tests stop, kill and start again."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from audit.events import EventType
from audit.leaf import Entry
from audit.local_socket import connect
from gateway.api import signing
from gateway.api.signatures import content_digest
from gateway.flow.gate import Gate
from gateway.ledger import sequencer_socket
from simulators import PASSPHRASE, VEHICLE, House

ROOT = Path(__file__).parents[1]
PATIENCE_S = 120.0
SIGNATURES_LAST_S = 900


@dataclass
class Service:
    """``fleetgate serve --workers 2`` over a furnished house; whoever needs it running asks for it."""

    house: House
    log: Path
    settings: dict[str, str]
    process: "subprocess.Popen[bytes] | None" = None
    port: int = field(default=0)

    def run(self) -> None:
        """Start it unless it runs, and wait until both workers answer."""
        if self.process is not None:
            return
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        with self.house.opened() as gate:
            before = len(workers_of(gate))
        command = [sys.executable, "-c", "import gateway.cli; gateway.cli.main()", "serve", "--workers", "2"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 (our own command)
                [*command, "--port", str(self.port)], env=self.environment(), stdout=log, stderr=log
            )
        with self.house.opened() as gate:
            self.wait(lambda: len(workers_of(gate)) >= before + 2)
        self.wait(self.answers)

    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("FLEETGATE_")},
            "PYTHONPATH": str(ROOT),
            "FLEETGATE_HOME": str(self.house.home),
            "FLEETGATE_PASSPHRASE": PASSPHRASE,
            "FLEETGATE_DISK_RESERVE_BYTES": "0",
            "FLEETGATE_SIGNATURE_MAX_AGE_S": str(SIGNATURES_LAST_S),
            **self.settings,
        }

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=PATIENCE_S).status_code == 200
        except httpx.TransportError:
            return False

    def wait(self, condition: Callable[[], bool], *, running: bool = True) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            told = f"it did not happen:\n{self.log.read_text(errors='replace')[-6000:]}"
            assert time.monotonic() < deadline, told
            assert not running or (self.process is not None and self.process.poll() is None), told
            time.sleep(0.05)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sequencer(self) -> int:
        """Process id of the sequencer: whoever listens on its socket."""
        with connect(sequencer_socket(self.house.settings()), PATIENCE_S) as connection:
            packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", packed)[0])

    def end(self, expected: int) -> None:
        """Ask it to end and see how it does."""
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(PATIENCE_S)
        finally:
            process.kill()
        assert code == expected, self.log.read_text(errors="replace")[-6000:]

    @contextmanager
    def clients(self) -> Iterator[tuple[httpx.Client, httpx.Client]]:
        """A connection to each of the two workers: one is made while the other worker stands still."""
        with self.house.opened() as gate:
            one, other = live_workers(gate)
        with httpx.Client(base_url=self.url, timeout=PATIENCE_S) as first:
            with stopped(other):
                assert first.get("/healthz").status_code == 200
            with httpx.Client(base_url=self.url, timeout=PATIENCE_S) as second:
                with stopped(one):
                    assert second.get("/healthz").status_code == 200
                yield first, second

    def signed(
        self, who: str, method: str, path: str, *, body: bytes | None = None, **headers: str
    ) -> httpx.Request:
        """A signed request, which may be sent any number of times to any worker."""
        if body is not None:
            headers["Content-Digest"] = content_digest(sha256(body).digest())
        request = httpx.Request(method, self.url + path, content=body, headers=headers)
        key = self.house.vehicle_key if who == VEHICLE else self.house.people[who].key
        return next(signing.SignatureAuth(keyid=who, key=key).auth_flow(request))

    def call(self, who: str, method: str, path: str, *, document: Any = None) -> httpx.Response:
        body = None if document is None else json.dumps(document).encode()
        with httpx.Client(timeout=PATIENCE_S) as client:
            return client.send(self.signed(who, method, path, body=body))


@contextmanager
def stopped(process: int) -> Iterator[None]:
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def entries(gate: Gate, event_type: EventType) -> list[Entry]:
    return [entry for entry in gate.ledger.entries() if entry.event.type is event_type]


def workers_of(gate: Gate) -> list[int]:
    """Process ids of all workers that ever began to answer, in that order."""
    return [int(e.event.facts["process"]) for e in entries(gate, EventType.SYSTEM_GATEWAY_START)]


def live_workers(gate: Gate) -> list[int]:
    return [process for process in workers_of(gate) if Path(f"/proc/{process}").exists()][-2:]

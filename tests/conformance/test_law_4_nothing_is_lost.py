"""Law 4, nothing is lost: an acknowledged upload, ledger entry and original in quarantine survive ``kill -9``."""

import hashlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import sqlalchemy as sa

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from conformance.drives import sweep, track
from conformance.wire import listener
from gateway.api.signatures import content_digest
from gateway.flow.classify import readable_original
from gateway.flow.gate import Gate
from gateway.flow.intake import load_manifest, load_quarantined
from gateway.flow.recording import ItemState
from gateway.flow.records import ItemRow
from gateway.vault.root import Argon2Cost
from gateway.vehicles.agent import Collection, VehicleAgent
from gateway.vehicles.errors import DeliveryError
from gateway.workers import advance
from simulators import PASSPHRASE, REGION, START, VEHICLE, House

SMALLEST_REAL_COST = Argon2Cost(memory_kib=19_456, iterations=2, lanes=1)
"""The server opens its keystore as in production, so that test costs are refused."""

START_S = 120.0


@contextmanager
def server(home: Path) -> Iterator[SimpleNamespace]:
    """``fleetgate serve`` as a process of its own; killed, not asked, when the context ends."""
    bound = listener()
    port = bound.getsockname()[1]
    bound.close()
    environment = {
        **os.environ,
        "FLEETGATE_HOME": str(home),
        "FLEETGATE_PASSPHRASE": PASSPHRASE,
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "gateway.cli", "serve", "--port", str(port)]
    with (home.parent / "server.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603 (our own command)
    origin = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_S
        while True:
            assert process.poll() is None, (home.parent / "server.log").read_text()
            assert time.monotonic() < deadline, "the server did not start"
            try:
                if httpx.get(f"{origin}/healthz", timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield SimpleNamespace(origin=origin, process=process, kill=lambda: kill(process))
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A furnished home on SQLite with a real keystore; nobody has it open."""
    made = House(home=tmp_path_factory.mktemp("kill") / "home", argon2=SMALLEST_REAL_COST)
    with made.opened() as gate:
        made.furnish(gate)
    return made


def acknowledged(gate: Gate, recording: str) -> dict[str, bytes]:
    """The originals that the gate holds, by announced name, through their evidence."""
    with gate.database.read() as session:
        manifest = load_manifest(gate, session, recording)
        rows = session.scalars(
            sa.select(ItemRow).where(ItemRow.recording_id == recording, ItemRow.state != ItemState.AWAITED)
        ).all()
        held = {manifest.items[row.position].name: load_quarantined(gate, session, row.id) for row in rows}
    return {name: readable_original(gate, each, encoding=None).read() for name, each in held.items()}


def test_what_the_server_acknowledged_survives_kill_nine(house: House, tmp_path: Path):
    """The server is killed right after one acknowledgement and in the middle of the next upload."""
    files = {"drive.csv": track(40), "lidar/000000.bin": sweep(40), "lidar/000001.bin": sweep(41, 60_000)}
    sources = {}
    for name, content in files.items():
        sources[name] = tmp_path / name.replace("/", "-")
        sources[name].write_bytes(content)
    collection = Collection(
        recording=str(uuid.uuid4()), started_at=START, ended_at=START, region=REGION, crs="EPSG:4326"
    )
    with (
        server(house.home) as first,
        VehicleAgent(first.origin, VEHICLE, house.vehicle_key, attempts=1) as agent,
    ):
        manifest = agent.build_manifest(sources, collection)
        receipt = agent.announce(manifest)
        for item, place in list(zip(manifest.items, receipt.items, strict=True))[:2]:
            agent._send_item(item, place, sources[item.name])
        large = files["lidar/000001.bin"]

        def interrupted() -> Iterator[bytes]:
            yield large[:200_000]
            first.kill()
            yield large[200_000:]

        with pytest.raises((httpx.TransportError, DeliveryError)):
            put(agent, receipt.items[2], large, interrupted())
    with house.opened() as gate:
        kept = acknowledged(gate, manifest.recording)
        assert kept == {name: files[name] for name in ("drive.csv", "lidar/000000.bin")}
        assert gate.ledger.verify().size > 0
        with gate.ledger.snapshot() as snapshot:
            entries = find_all(
                snapshot,
                EntryFilter(
                    recording=manifest.recording,
                    types=(EventType.INTAKE_ITEM_RECEIVE,),
                    outcome=Outcome.COMPLETED,
                ),
            )
            assert len(list(entries)) == 2
    leftovers = b"".join(p.read_bytes() for p in house.home.rglob("*") if p.is_file())
    assert large[:64] not in leftovers, "the interrupted upload lies in the clear"
    with (
        server(house.home) as second,
        VehicleAgent(second.origin, VEHICLE, house.vehicle_key, attempts=1) as agent,
    ):
        delivered = agent.deliver(manifest, sources)
        assert delivered.skipped == ("drive.csv", "lidar/000000.bin")
        assert delivered.sent == ("lidar/000001.bin",)
        second.kill()
    with house.opened() as gate:
        assert acknowledged(gate, manifest.recording) == files
        outcome = advance(gate, manifest.recording) or finished_by_lease(gate, manifest.recording)
        assert (outcome.cleansed + outcome.held, outcome.awaited) == (3, 0)
        assert gate.ledger.verify().size > 0


def finished_by_lease(gate: Gate, recording: str):
    """The killed worker's lease is still running: it ends by itself, here at once."""
    with gate.database.transaction() as session:
        session.execute(
            sa.text("UPDATE recording SET lease_until = received_at WHERE id = :id"), {"id": recording}
        )
    outcome = advance(gate, recording)
    assert outcome is not None
    return outcome


def put(agent: VehicleAgent, place, content: bytes, body: Iterator[bytes]) -> httpx.Response:
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(len(content)),
        "Content-Digest": content_digest(hashlib.sha256(content).digest()),
    }
    request = agent._client.build_request("PUT", agent._url(place.href), content=body, headers=headers)
    return agent._client.send(request, auth=agent._auth)

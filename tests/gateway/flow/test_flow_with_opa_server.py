"""The same flow judged by a real OPA server: golden vectors at start-up, then every decision."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.app import open_gate
from gateway.errors import DeniedError
from gateway.flow.judge import load_judged
from gateway.settings import Settings
from policies.bundle import shipped_bundle, write_bundle
from policies.errors import PolicyError
from policies.opa_server import opa_command
from simulators import PASSPHRASE, SMALL_DRIVE, House, candidate, cleanse, released


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def opa_url(opa_binary: Path, tmp_path: Path) -> Iterator[str]:
    directory = tmp_path / "bundle"
    write_bundle(shipped_bundle(), directory)
    address = f"127.0.0.1:{_free_port()}"
    server = subprocess.Popen(  # noqa: S603 (the OPA binary of the fixture)
        opa_command(directory, address, opa_binary), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                if httpx.get(f"http://{address}/health", timeout=1).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert server.poll() is None, "OPA stopped"
            assert time.monotonic() < deadline, "OPA did not start"
            time.sleep(0.05)
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait(timeout=10)


def _settings(house: House, url: str) -> Settings:
    return Settings(home=house.home, passphrase=PASSPHRASE, opa_url=url)  # type: ignore[arg-type]


def test_an_opa_server_judges_the_whole_flow(sqlite_house: House, opa_url: str):
    with open_gate(_settings(sqlite_house, opa_url), keystore=sqlite_house.keystore) as gate:
        sqlite_house.furnish(gate)
        release = released(gate, sqlite_house, SMALL_DRIVE)
        with gate.database.read() as session:
            decision = load_judged(gate, session, release).decision
        assert decision["engine"].startswith("opa")
        with pytest.raises(DeniedError) as denied:
            candidate(gate, sqlite_house, cleanse(gate, SMALL_DRIVE))
        assert [v.rule for v in denied.value.decision.violations] == ["trip_once"]


def test_a_gate_does_not_start_without_its_policy_server(sqlite_house: House):
    """Law 5: no policy, no gate."""
    unreachable = f"http://127.0.0.1:{_free_port()}"
    with (
        pytest.raises(PolicyError),
        open_gate(_settings(sqlite_house, unreachable), keystore=sqlite_house.keystore),
    ):
        pytest.fail("the gate opened without policy")

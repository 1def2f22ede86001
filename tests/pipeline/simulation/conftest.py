"""A real gate that serves real releases of generated drives with other vehicles in them."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from gateway.flow.gate import Gate
from gateway.flow.recording import ReleaseMode
from gateway.server import create_app
from gateway.vehicles.dbc import install_dbc
from nuscenes_folder import CRS
from pipeline.client import GatewayClient
from simulators import PURPOSE, START, House, released
from traffic_drives import DBC, DRIVER, SIGNALS, annotated_drive, following_drive, radar_log, track_csv


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A running gate with releases in which vehicles cut in."""

    gate: Gate
    house: House
    url: str
    annotated: str
    radar: str

    def client(self) -> GatewayClient:
        return GatewayClient(
            self.url,
            key=self.house.people["engineer"].key,
            principal="engineer",
            purpose=PURPOSE,
            release_key=self.gate.keystore.signing_key("release").as_dict(private=False),
        )

    def options(self, folder: Path) -> list[str]:
        key = self.house.people["engineer"].key
        (folder / "key.pem").write_bytes(key.as_pem(private=True, password="correct horse"))
        (folder / "passphrase").write_text("correct horse\n")
        public = self.gate.keystore.signing_key("release").as_dict(private=False)
        (folder / "release.jwk").write_text(json.dumps(public))
        return [
            "--url", self.url, "--key", str(folder / "key.pem"),
            "--passphrase-file", str(folder / "passphrase"), "--principal", "engineer",
            "--purpose", PURPOSE, "--release-key", str(folder / "release.jwk"),
        ]  # fmt: skip

    def another(self, seed: int, mode: ReleaseMode = ReleaseMode.LOCAL) -> str:
        """One more release of an annotated drive."""
        return released(
            self.gate, self.house, annotated_drive(seed=seed)[0].files(), crs=CRS, captured={}, mode=mode
        )

    def signals(self, folder: Path) -> list[str]:
        (folder / "signals.yaml").write_bytes(SIGNALS)
        (folder / "bus.dbc").write_bytes(DBC)
        return ["--signals", str(folder / "signals.yaml"), "--dbc", str(folder / "bus.dbc")]


@contextmanager
def serving(gate: Gate) -> Iterator[str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(gate), log_level="critical", access_log=False, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


@pytest.fixture(scope="session")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traffic]:
    """Tests may add releases; they leave these two as they are."""
    house = House(home=tmp_path_factory.mktemp("traffic") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        officer = house.people["officer"]
        install_dbc(gate, DBC, name="test", version=1, actor=officer.actor, key=officer.key)
        annotated = released(gate, house, annotated_drive()[0].files(), crs=CRS, captured={})
        files = {"drive.csv": track_csv(), "bus.blf": radar_log()[0]}
        radar = released(gate, house, files, captured={"bus.blf": START})
        with serving(gate) as url:
            yield Traffic(gate=gate, house=house, url=url, annotated=annotated, radar=radar)


@pytest.fixture(scope="session")
def following(traffic: Traffic) -> str:
    """A release of a drive behind another vehicle, by ``DRIVER``."""
    return released(traffic.gate, traffic.house, following_drive(DRIVER), captured={"bus.blf": START})

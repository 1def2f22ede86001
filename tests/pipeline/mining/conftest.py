"""A real gate that serves a real release of made drives: tracks, CAN logs, a recording, pictures."""

import io
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import can
import numpy as np
import pytest
import uvicorn
from PIL import Image

from anonymize.containers.mcap_writer import write_mcap
from gateway.flow.gate import Gate
from gateway.flow.recording import ReleaseMode
from gateway.server import create_app
from gateway.vehicles.dbc import install_dbc
from mining_drives import scene
from pipeline.client import GatewayClient
from pipeline.mining.signal_file import CanSignals, read_signal_file
from recorded_drive import drive
from simulators import ORIGIN, PURPOSE, START, House, released

DBC = b"""VERSION ""
BU_: ECU
BO_ 256 Chassis: 8 ECU
 SG_ Vehicle_Speed : 0|16@1+ (0.01,0) [0|655] "km/h" ECU
 SG_ Autopilot_State : 16|8@1+ (1,0) [0|1] "" ECU
BO_ 512 Ahead: 8 ECU
 SG_ Radar_Gap : 0|16@1+ (0.01,0) [0|655] "m" ECU
 SG_ Radar_Closing : 16|16@1- (0.01,0) [-300|300] "m/s" ECU
 SG_ Radar_Track_Status : 32|8@1+ (1,0) [0|255] "" ECU
"""
SIGNALS = b"""\
format: fleetgate-signals
version: 1
can:
  speed_mps: {message: Chassis, signal: Vehicle_Speed, factor: 0.2777777777777778}
  engaged: {message: Chassis, signal: Autopilot_State}
  gap_m: {message: Ahead, signal: Radar_Gap, absent: [655.35]}
  closing_mps: {message: Ahead, signal: Radar_Closing}
  lead_id: {message: Ahead, signal: Radar_Track_Status}
"""
HZ = 10
SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running gate with releases."""

    gate: Gate
    house: House
    url: str
    local: str
    offset: str
    container: str
    pictures: str

    def client(self, person: str = "engineer") -> GatewayClient:
        return GatewayClient(
            self.url,
            key=self.house.people[person].key,
            principal=person,
            purpose=PURPOSE,
            release_key=self.gate.keystore.signing_key("release").as_dict(private=False),
        )


def speeds() -> np.ndarray:
    """12 m/s, and every 15 s a second of braking at 6 m/s², recovered over the next five."""
    t = np.arange(SECONDS * HZ) / HZ
    phase = t % 15.0
    return np.select([phase < 1.0, phase < 6.0], [12.0 - 6.0 * phase, 6.0 + 1.2 * (phase - 1.0)], 12.0)


def csv_drive() -> bytes:
    """The drive straight east of ``ORIGIN``, ten fixes a second."""
    way = np.cumsum(speeds()) / HZ
    lon = ORIGIN[1] + way / (111_320 * math.cos(math.radians(ORIGIN[0])))
    rows = ["time,lat,lon,speed"]
    for i, (degrees, speed) in enumerate(zip(lon.tolist(), speeds().tolist(), strict=True)):
        moment = (START + timedelta(seconds=i / HZ)).isoformat(timespec="milliseconds")
        rows.append(f"{moment.replace('+00:00', 'Z')},{ORIGIN[0]:.8f},{degrees:.8f},{speed:.3f}")
    return ("\n".join(rows) + "\n").encode()


class KeptText(io.StringIO):
    """What python-can closes when it has written."""

    def close(self) -> None:
        """Stay open."""


class Kept(io.BytesIO):
    """The same for bytes."""

    def close(self) -> None:
        """Stay open."""


def can_messages() -> Iterator[can.Message]:
    """The bus of the same drive: somebody 30 m ahead comes within 8 m at 10 m/s every 20 s."""
    for i, speed in enumerate(speeds().tolist()):
        near = (i / HZ) % 20.0 < 1.0
        engaged = (i / HZ) % 50.0 < 25.0
        gap, closing = (8.0, 10.0) if near else (30.0, 0.0)
        chassis = round(speed * 3.6 * 100).to_bytes(2, "little") + bytes([engaged])
        ahead = round(gap * 100).to_bytes(2, "little") + round(closing * 100).to_bytes(2, "little")
        for identifier, data in ((0x100, chassis), (0x200, ahead + b"\x05")):
            yield can.Message(
                timestamp=START.timestamp() + i / HZ,
                arbitration_id=identifier,
                is_extended_id=False,
                data=data.ljust(8, b"\0"),
                channel=0,
            )


def can_log(kind: str) -> bytes:
    file = KeptText() if kind == "asc" else Kept()
    writer = can.ASCWriter(file) if kind == "asc" else can.BLFWriter(file)
    for message in can_messages():
        writer.on_message_received(message)
    writer.stop()
    content = file.getvalue()
    return content.encode() if isinstance(content, str) else content


def recording(seed: int, seconds: int) -> bytes:
    """An MCAP of fixes, odometry, transforms and an IMU, without its images."""
    made = drive(seconds=seconds, seed=seed)
    kept = [
        m
        for m in made.recorder.messages
        if "Image" not in m.channel.schema.name and "Cloud" not in m.channel.schema.name
    ]
    return b"".join(write_mcap(kept, profile="ros2", chunk_bytes=1 << 18))


def photographed() -> tuple[dict[str, bytes], dict[str, datetime]]:
    """A drive north that brakes hard at its fourth second, and pictures of its first clip with their times.

    Two show the same, one is dark.
    """
    speeds = np.full(SECONDS * HZ, 12.0)
    speeds[40:50] -= np.arange(10) * 0.6
    speeds[50:] = 6.6
    lat = ORIGIN[0] + 0.2 + np.cumsum(speeds) / HZ / 111_200
    rows = ["time,lat,lon,speed"]
    for i, (degrees, speed) in enumerate(zip(lat.tolist(), speeds.tolist(), strict=True)):
        moment = (START + timedelta(seconds=i / HZ)).isoformat(timespec="milliseconds")
        rows.append(f"{moment.replace('+00:00', 'Z')},{degrees:.8f},{ORIGIN[1] + 0.1:.8f},{speed:.3f}")
    first, other = scene(3).resize((320, 200)), scene(4).resize((320, 200))
    shots = {
        "cam/0.png": first,
        "cam/1.png": first.crop((8, 5, 312, 195)).resize((320, 200)),
        "cam/2.png": other,
        "cam/3.png": Image.fromarray((np.asarray(scene(5).resize((320, 200))) * 0.12).astype(np.uint8)),
    }
    files = {"drive.csv": ("\n".join(rows) + "\n").encode()}
    for name, picture in shots.items():
        out = io.BytesIO()
        picture.save(out, "PNG")
        files[name] = out.getvalue()
    times = (1.0, 2.0, 4.5, 10.0)
    return files, {n: START + timedelta(seconds=t) for n, t in zip(shots, times, strict=True)}


@contextmanager
def serving(gate: Gate) -> Iterator[str]:
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
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gate with releases of a drive (LOCAL) and of recordings (OFFSET, LOCAL); tests only add grants."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")  # python-can writes the local time of its machine into ASC logs
        time.tzset()
        house = House(home=tmp_path_factory.mktemp("mining") / "home")
        with house.opened() as gate:
            house.furnish(gate)
            officer = house.people["officer"]
            install_dbc(gate, DBC, name="test", version=1, actor=officer.actor, key=officer.key)
            files = {"drive.csv": csv_drive(), "bus.asc": can_log("asc"), "bus.blf": can_log("blf")}
            captured = {"bus.asc": START, "bus.blf": START}
            local = released(gate, house, files, captured=captured)
            # Long enough for the keyed trims of both its ends, 1500 m each at most.
            offset = released(
                gate, house, {"drive.mcap": recording(1, 700)}, captured={}, mode=ReleaseMode.OFFSET
            )
            container = released(gate, house, {"drive.mcap": recording(2, 300)}, captured={})
            shots, captured = photographed()
            pictures = released(gate, house, shots, captured=captured)
            with serving(gate) as url:
                yield Served(
                    gate=gate,
                    house=house,
                    url=url,
                    local=local,
                    offset=offset,
                    container=container,
                    pictures=pictures,
                )
    time.tzset()


@pytest.fixture
def new_release(served: Served) -> Callable[..., str]:
    """Make another release on the running gate."""
    return lambda files, **more: released(served.gate, served.house, files, **more)


@pytest.fixture(scope="session")
def can_signals() -> CanSignals:
    """What is taken of the bus of ``served``."""
    return read_signal_file(SIGNALS, DBC)


@pytest.fixture(scope="session")
def bus() -> tuple[bytes, bytes]:
    """The file of signals and the DBC of ``served``."""
    return SIGNALS, DBC


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection can be made, and no name looked up."""

    def refuse(*where: object, **_: object) -> None:
        raise AssertionError(f"a connection to {where}")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def options(served: Served, tmp_path: Path) -> dict[str, str]:
    key = served.house.people["engineer"].key
    (tmp_path / "key.pem").write_bytes(key.as_pem(private=True, password="correct horse"))
    (tmp_path / "passphrase").write_text("correct horse\n")
    public = served.gate.keystore.signing_key("release").as_dict(private=False)
    (tmp_path / "release.jwk").write_text(json.dumps(public))
    return {
        "--url": served.url,
        "--key": str(tmp_path / "key.pem"),
        "--passphrase-file": str(tmp_path / "passphrase"),
        "--principal": "engineer",
        "--purpose": PURPOSE,
        "--release-key": str(tmp_path / "release.jwk"),
    }

"""Logs that python-can writes itself, and a DBC of a car with everything that has to go."""

import io
from collections.abc import Callable, Iterable
from types import SimpleNamespace

import can
import numpy as np
import pytest

from anonymize.can.frame import Frame
from anonymize.can.log import CanLog, measure, write_can
from anonymize.formats.track import Track
from anonymize.geo.ellipsoid import wrap_degrees
from anonymize.profile import CanProfile, Profile, shipped_profile

T0 = 1_700_000_000.0
SPEED, PLACE, CABIN, VIN, CLIMATE, MIXED = 0x100, 0x101, 0x102, 0x103, 0x104, 0x105
DBC = b"""VERSION ""
NS_ :
BS_:
BU_: ECU
BO_ 256 Chassis: 8 ECU
 SG_ Vehicle_Speed : 7|16@0+ (0.01,0) [0|655] "km/h" ECU
 SG_ Brake_Pressure : 16|12@1+ (1,0) [0|0] "bar" ECU
 SG_ Odometer : 32|24@1+ (1,0) [0|0] "km" ECU
BO_ 257 Place: 8 ECU
 SG_ GPS_Latitude : 0|32@1- (1E-7,0) [0|0] "deg" ECU
 SG_ GPS_Longitude : 32|32@1- (1E-7,0) [0|0] "deg" ECU
BO_ 258 Cabin: 4 ECU
 SG_ Door_Open : 0|4@1+ (1,0) [0|0] "" ECU
 SG_ Wiper_Mode : 4|4@1+ (1,0) [0|0] "" ECU
BO_ 259 Identity: 8 ECU
 SG_ VIN_Index M : 0|8@1+ (1,0) [0|0] "" ECU
 SG_ VIN_Part0 m0 : 8|56@1+ (1,0) [0|0] "" ECU
 SG_ VIN_Part1 m1 : 8|56@1+ (1,0) [0|0] "" ECU
BO_ 260 Climate: 8 ECU
 SG_ Page M : 0|2@1+ (1,0) [0|0] "" ECU
 SG_ Cabin_Temperature m0 : 8|8@1+ (1,-40) [0|0] "C" ECU
 SG_ Ambient_Temperature m1 : 8|8@1+ (1,-40) [0|0] "C" ECU
 SG_ GPS_Altitude m1 : 16|16@1+ (1,0) [0|0] "m" ECU
BO_ 261 Long: 64 ECU
 SG_ Battery_Voltage : 0|16@1+ (1,0) [0|0] "V" ECU
 SG_ Heading : 496|16@1+ (1,0) [0|0] "deg" ECU
BO_ 2364540158 EEC1: 8 ECU
 SG_ Engine_Torque : 16|8@1+ (1,-125) [0|0] "%" ECU
 SG_ Engine_Speed : 24|16@1+ (0.125,0) [0|0] "rpm" ECU
BA_DEF_ BO_  "VFrameFormat" ENUM  "StandardCAN","ExtendedCAN","reserved","J1939PG";
BA_DEF_ "ProtocolType" STRING ;
BA_DEF_DEF_  "VFrameFormat" "StandardCAN";
BA_DEF_DEF_  "ProtocolType" "";
BA_ "ProtocolType" "J1939";
BA_ "VFrameFormat" BO_ 2364540158 3;
"""


class Kept(io.BytesIO):
    """What python-can closes when it has written."""

    def close(self) -> None:
        """Stay open."""


class KeptText(io.StringIO):
    """The same for text."""

    def close(self) -> None:
        """Stay open."""


def message(identifier: int, data: bytes = b"", time_s: float = T0, **more) -> can.Message:
    extended = more.pop("extended", identifier > 0x7FF)
    return can.Message(
        timestamp=time_s,
        arbitration_id=identifier,
        is_extended_id=extended,
        data=data,
        **{"channel": 0} | more,
    )


def log(kind: str, messages: Iterable[can.Message]) -> io.BytesIO:
    """A log that python-can writes."""
    if kind == "asc":
        text = KeptText()
        writer = can.ASCWriter(text)
        for item in messages:
            writer.on_message_received(item)
        writer.stop()
        return io.BytesIO(text.getvalue().encode())
    file = Kept()
    writer = can.BLFWriter(file)
    for item in messages:
        writer.on_message_received(item)
    writer.stop()
    return io.BytesIO(file.getvalue())


def read(content: bytes, kind: str) -> list[Frame]:
    return list(CanLog(io.BytesIO(content), kind, max_frames=10**6))


def written(frames: list[Frame], kind: str, start_ms: int | None = None) -> bytes:
    return b"".join(write_can(frames, kind, start_ms=start_ms, totals=measure(frames, kind)))


def by_library(content: bytes, kind: str) -> list[can.Message]:
    """The log as python-can reads it."""
    if kind == "asc":
        return list(can.ASCReader(KeptText(content.decode())))
    return list(can.BLFReader(Kept(content)))


def drive(fixes: int = 600, seed: int = 1) -> Track:
    """A winding drive of one fix a second from T0 on, 8 m apart."""
    rng = np.random.default_rng(seed)
    heading = np.cumsum(rng.normal(0.0, 0.05, fixes))
    lat = 39.9 + np.cumsum(8.0 * np.cos(heading)) / 111_200.0
    lon = wrap_degrees(116.3 + np.cumsum(8.0 * np.sin(heading)) / (111_200.0 * np.cos(np.radians(39.9))))
    return Track(
        lat=lat,
        lon=lon,
        time_s=T0 + np.arange(fixes, dtype=np.float64),
        elevation_m=np.full(fixes, np.nan),
        speed_mps=np.full(fixes, np.nan),
        segment=np.zeros(fixes, np.int32),
        crs="EPSG:4326",
    )


def car(track: Track, per_fix: int = 2) -> Iterable[can.Message]:
    """What the car of the DBC sends on a drive: speed, place, cabin and diagnostics."""
    for i in range(len(track)):
        at = T0 + i
        place = round(track.lat[i] * 1e7).to_bytes(4, "little", signed=True)
        place += round(track.lon[i] * 1e7).to_bytes(4, "little", signed=True)
        yield message(PLACE, place, at)
        for j in range(per_fix):
            speed = (2880 + i % 7).to_bytes(2, "big")
            yield message(
                SPEED, speed + bytes([j, 0]) + (80_000 + i).to_bytes(3, "little") + b"\0", at + j / per_fix
            )
        yield message(CABIN, bytes([0x21, 0, 0, 0]), at + 0.8)
        yield message(0x7E8, b"\x03\x41\x0d\x50", at + 0.9)


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    return SimpleNamespace(
        T0=T0, DBC=DBC, SPEED=SPEED, PLACE=PLACE, CABIN=CABIN, VIN=VIN, CLIMATE=CLIMATE, MIXED=MIXED,
        message=message, log=log, read=read, written=written, by_library=by_library, drive=drive, car=car,
    )  # fmt: skip


@pytest.fixture(scope="session")
def whole() -> Profile:
    return shipped_profile("cn-2026").profile


@pytest.fixture(scope="session")
def rules(whole: Profile) -> CanProfile:
    return whole.can


@pytest.fixture(params=["asc", "blf"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def track() -> Track:
    return drive()


@pytest.fixture(scope="session")
def cleansed(whole: Profile) -> Callable[..., bytes]:
    from anonymize.can.cleanse import cleanse_can  # noqa: PLC0415

    def run(source: io.BytesIO, kind: str, **more) -> bytes:
        treated = cleanse_can(
            source, kind, dbc=DBC, spans_to_cut=(), profile=whole.can, **{"start_s": T0} | more
        )
        return b"".join(treated.chunks)

    return run

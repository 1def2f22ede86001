"""CAN logs through the gate: held without a DBC; cut in zones; released without place, VIN or true time."""

import io
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import can
import cantools
import pytest
import sqlalchemy as sa

from anonymize.formats.identify import ItemKind
from anonymize.geo.secrecy_processor import installed_processor
from gateway.flow.build import load_built
from gateway.flow.cleanse import load_cleansed, open_treated
from gateway.flow.dossier import recording_summary
from gateway.flow.gate import Gate
from gateway.flow.recording import DataClass, ItemState, Level, ReleaseMode
from gateway.flow.records import ItemRow, ReleaseItemRow
from gateway.flow.serve import read_item
from gateway.people.zones import install_zones
from gateway.vehicles.dbc import install_dbc
from gateway.vehicles.records import DbcRow
from simulators import (
    PURPOSE,
    START,
    House,
    candidate,
    cleanse,
    csv_track,
    grant,
    publish,
    route,
    sweep,
    zone_file,
)
from unsafe_secrecy_processor import install as install_processor

DBC = b"""VERSION ""
BU_: ECU
BO_ 256 Chassis: 8 ECU
 SG_ Vehicle_Speed : 0|16@1+ (0.01,0) [0|655] "km/h" ECU
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
 SG_ VIN_Part2 m2 : 8|24@1+ (1,0) [0|0] "" ECU
BO_ 260 Climate: 4 ECU
 SG_ Cabin_Temperature : 0|8@1+ (1,-40) [0|0] "C" ECU
 SG_ GPS_Altitude : 8|16@1+ (1,0) [0|0] "m" ECU
"""
SPEED, PLACE, CABIN, IDENTITY, CLIMATE, ANSWER = 0x100, 0x101, 0x102, 0x103, 0x104, 0x7E8
KINDS = {"asc": ItemKind.CAN_ASC, "blf": ItemKind.CAN_BLF}
VIN = b"LSVNV2187E2100001"
SECONDS = 400
MIDDLE = 200
"""The second at which the route passes the zone that some tests install."""


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Python-can writes the local time of its machine into ASC logs."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gate, House]]:
    """A gate with a DBC and without zones, for tests that change nothing but add recordings."""
    house = House(home=tmp_path_factory.mktemp("can") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        install(gate, house)
        yield gate, house


def messages(begin: datetime = START, seconds: int = SECONDS) -> Iterator[can.Message]:
    """What a car sends on the simulated route: motion, place, cabin, climate, its VIN in two ways."""
    lats, lons = route(SECONDS)

    def message(second: int, offset: float, identifier: int, data: bytes) -> can.Message:
        return can.Message(
            timestamp=begin.timestamp() + second + offset,
            arbitration_id=identifier,
            is_extended_id=False,
            data=data,
            channel=0,
        )

    for i in range(seconds):
        place = round(lats[i % SECONDS] * 1e7).to_bytes(4, "little", signed=True)
        place += round(lons[i % SECONDS] * 1e7).to_bytes(4, "little", signed=True)
        yield message(i, 0.0, PLACE, place)
        speed = (
            (4320 + i % 7).to_bytes(2, "little") + b"\x05\x00" + (80_000 + i).to_bytes(3, "little") + b"\0"
        )
        yield message(i, 0.1, SPEED, speed)
        yield message(i, 0.2, IDENTITY, (bytes([i % 3]) + VIN[7 * (i % 3) :][:7]).ljust(8, b"\0"))
        yield message(i, 0.3, CLIMATE, bytes([62]) + (50 + i % 5).to_bytes(2, "little") + b"\0")
        yield message(i, 0.4, ANSWER, b"\x10\x14\x62\xf1\x90" + VIN[:3])
        yield message(i, 0.5, ANSWER, b"\x21" + VIN[3:10])
        yield message(i, 0.6, ANSWER, b"\x22" + VIN[10:])
        yield message(i, 0.8, CABIN, bytes([0x21, 0, 0, 0]))


class Kept(io.BytesIO):
    """What python-can closes when it has written."""

    def close(self) -> None:
        """Stay open."""


class KeptText(io.StringIO):
    """The same for text."""

    def close(self) -> None:
        """Stay open."""


def log(kind: str, **more) -> bytes:
    """A log that python-can writes."""
    file = KeptText() if kind == "asc" else Kept()
    writer = can.ASCWriter(file) if kind == "asc" else can.BLFWriter(file)
    for message in messages(**more):
        writer.on_message_received(message)
    writer.stop()
    content = file.getvalue()
    return content.encode() if isinstance(content, str) else content


def read(content: bytes, kind: str) -> list[can.Message]:
    """The log as python-can reads it."""
    if kind == "asc":
        return list(can.ASCReader(KeptText(content.decode()), relative_timestamp=False))
    return list(can.BLFReader(Kept(content)))


def install(gate: Gate, house: House, content: bytes = DBC, version: int = 1) -> str:
    officer = house.people["officer"]
    return install_dbc(
        gate, content, name="car", version=version, actor=officer.actor, key=officer.key
    ).digest


def restrict(gate: Gate, house: House, kind: str = "ENERGY") -> None:
    """A zone about where the route is at ``MIDDLE``."""
    lats, lons = route(SECONDS)
    officer = house.people["officer"]
    content = zone_file((kind, lats[MIDDLE], lons[MIDDLE], 100.0), version=2)
    install_zones(gate, content, actor=officer.actor, key=officer.key)


def fates(gate: Gate, recording: str) -> Mapping[str, tuple[str, str, str]]:
    """State, reason and detail of each log, by its name's ending."""
    return {
        item["name"].rpartition(".")[2]: (item["state"], item.get("reason", ""), item.get("detail", ""))
        for item in recording_summary(gate, recording)["items"]
        if item["name"].endswith((".asc", ".blf"))
    }


def drive(kinds: tuple[str, ...] = ("asc", "blf"), **more) -> dict[str, bytes]:
    return {"drive.csv": csv_track(SECONDS)} | {f"bus/can.{kind}": log(kind, **more) for kind in kinds}


def treated(gate: Gate, recording: str, kind: str):
    """A log after the first pass, and its evidence."""
    with gate.database.read() as session:
        rows = session.scalars(
            sa.select(ItemRow).where(ItemRow.recording_id == recording, ItemRow.state == ItemState.CLEANSED)
        )
        every = [load_cleansed(gate, session, row.id) for row in rows]
    (cleansed,) = [each for each in every if each.classified.kind is KINDS[kind]]
    return read(open_treated(gate, cleansed).read(), kind), cleansed


def left_out(gate: Gate, release: str) -> list[str]:
    with gate.database.read() as session:
        return sorted(load_built(gate, session, release).left_out.values())


def seconds_of(found: list[can.Message]) -> list[float]:
    return [message.timestamp - START.timestamp() for message in found]


def test_a_log_is_held_while_no_dbc_is_installed(sqlite_gate, sqlite_house):
    recording = cleanse(sqlite_gate, drive())
    for state, reason, detail in fates(sqlite_gate, recording).values():
        assert (state, reason) == (ItemState.HELD, "dbc_missing")
        assert "no DBC" in detail
    install(sqlite_gate, sqlite_house)
    again = fates(sqlite_gate, cleanse(sqlite_gate, drive()))
    assert [state for state, _, _ in again.values()] == [ItemState.CLEANSED] * 2


@pytest.mark.parametrize("mode", [ReleaseMode.LOCAL, ReleaseMode.OFFSET])
def test_a_log_is_released_without_place_vin_or_true_time(sqlite_gate, sqlite_house, mode):
    gate, house = sqlite_gate, sqlite_house
    digest = install(gate, house)
    release = candidate(gate, house, cleanse(gate, drive()), mode=mode)
    publish(gate, house, release)
    grant(gate, house, release)
    with gate.database.read() as session:
        built = load_built(gate, session, release)
    assert left_out(gate, release) == []
    logs = [item for item in built.items if item.data_class is DataClass.POSE_IMU]
    assert sorted(item.name[-3:] for item in logs) == ["asc", "blf"]
    decoder = cantools.database.load_string(DBC.decode(), "dbc")
    for item in logs:
        reading = read_item(
            gate, release, item.name, actor=house.people["engineer"].actor, purpose=PURPOSE, wanted=None
        )
        content = b"".join(reading.chunks)
        found = read(content, item.name[-3:])
        assert {m.arbitration_id for m in found} == {SPEED, CLIMATE, CABIN}
        for message in found:
            values = decoder.decode_message(message.arbitration_id, message.data)
            assert not values.get("Odometer")
            assert not values.get("GPS_Altitude")
            assert values.get("Brake_Pressure", 5) == 5
            assert values.get("Cabin_Temperature", 22) == 22
            assert 43.2 <= values.get("Vehicle_Speed", 43.2) < 43.3
        payloads = b"".join(bytes(m.data) for m in found)
        assert not any(VIN[i : i + 4] in payloads for i in range(len(VIN) - 3))
        assert VIN[:4] not in content
        assert not any(m.data in payloads for m in messages() if m.arbitration_id == PLACE)
        assert b"2026" not in content or mode is ReleaseMode.OFFSET
        assert item.payload["facts"]["dbc"] == digest
        assert_times(found, item, mode)


def assert_times(found, item, mode):
    """Clip after clip, or moved by the recording's shift; never where the truth is."""
    times = [m.timestamp for m in found]
    if mode is ReleaseMode.LOCAL:
        stride = item.payload["placed"]["clip_stride_s"]
        assert (item.payload["position_handling"], item.payload["absolute_time"]) == ("local", "stripped")
        # 300 m at 12 m/s.
        assert all(t % stride <= 26.0 for t in times)
        assert len({t // stride for t in times}) > 5
        return
    assert (item.payload["position_handling"], item.payload["absolute_time"]) == ("stripped", "shifted")
    apart = [abs(t - START.timestamp()) for t in (times[0], times[-1])]
    assert min(apart) > timedelta(days=29).total_seconds()
    assert 0 < times[-1] - times[0] < SECONDS


@pytest.mark.parametrize("kind", ["asc", "blf"])
def test_frames_in_a_zone_go_and_the_evidence_names_its_kind(sqlite_gate, sqlite_house, kind):
    gate, house = sqlite_gate, sqlite_house
    install(gate, house)
    restrict(gate, house)
    recording = cleanse(gate, drive((kind,)))
    found, cleansed = treated(gate, recording, kind)
    seconds = seconds_of(found)
    # The zone with its margin is 150 m to each side, at 12 m/s.
    assert not [s for s in seconds if abs(s - MIDDLE) < 150.0 / 12.0]
    assert [s for s in seconds if MIDDLE - 30 < s < MIDDLE - 20]
    assert [s for s in seconds if MIDDLE + 20 < s < MIDDLE + 30]
    payload = cleansed.payload
    assert payload["zone_check"] == "tested"
    assert "ENERGY" in payload["tags"]
    assert "cut" not in payload["tags"]
    assert "re-read-and-zone-times" in payload["residual"]["scanners"]
    assert payload["treated"]["restricted_zone"] > 150
    assert left_out(gate, candidate(gate, house, recording)) == []


def test_the_end_of_a_log_beyond_the_track_goes_unless_attested(world):
    """Where the vehicle was before the first and after the last fix, nothing says."""
    gate, _ = world
    files = {"drive.csv": csv_track(SECONDS), "can.asc": log("asc", seconds=SECONDS + 60)}
    found, cleansed = treated(gate, cleanse(gate, files), "asc")
    assert max(seconds_of(found)) <= SECONDS - 1
    assert cleansed.payload["treated"]["restricted_zone"] > 60
    found, _ = treated(gate, cleanse(gate, files, attestation="a closed test track"), "asc")
    assert max(seconds_of(found)) > SECONDS + 58


@pytest.mark.parametrize("kind", ["asc", "blf"])
def test_a_log_in_local_time_stops_until_the_manifest_tells_when_it_began(world, kind):
    gate, _ = world
    # What a logger in China writes, read as UTC.
    files = drive((kind,), begin=START + timedelta(hours=8))
    state, reason, detail = fates(gate, cleanse(gate, files))[kind]
    assert (state, reason) == (ItemState.HELD, "malformed")
    assert "the log's clock is not that of the track (got 0%" in detail
    assert not {"2026", str(int(START.timestamp()))[:5]} & set(detail.split())
    recording = cleanse(gate, files, captured={f"bus/can.{kind}": START})
    found, _ = treated(gate, recording, kind)
    assert seconds_of(found)[0] == pytest.approx(0.1, abs=1e-3)


def test_a_log_of_which_less_than_half_lies_in_the_time_of_the_track_stops(world):
    gate, _ = world
    begin = START + timedelta(seconds=SECONDS * 0.6)
    assert fates(gate, cleanse(gate, drive(("asc",), begin=begin)))["asc"][:2] == (
        ItemState.HELD,
        "malformed",
    )
    begin = START + timedelta(seconds=SECONDS * 0.4)
    assert fates(gate, cleanse(gate, drive(("asc",), begin=begin)))["asc"][0] == ItemState.CLEANSED


def test_without_a_track_a_log_needs_an_attestation_and_is_never_released(world):
    gate, house = world
    files = {"can.blf": log("blf"), "lidar/000000.bin": sweep()}
    recording = cleanse(gate, files)
    assert fates(gate, recording)["blf"][:2] == (ItemState.HELD, "zones_unchecked")
    recording = cleanse(gate, files, attestation="a closed test track")
    assert fates(gate, recording)["blf"][0] == ItemState.CLEANSED
    (reason,) = left_out(gate, candidate(gate, house, recording))
    assert reason == "malformed"


@pytest.mark.parametrize("how", ["changed", "deleted"])
def test_a_tampered_registry_stops_every_log(sqlite_gate, sqlite_house, how):
    gate, house = sqlite_gate, sqlite_house
    install(gate, house)
    with gate.database.transaction() as session:
        if how == "changed":
            session.execute(sa.update(DbcRow).values(name="other"))
        else:
            session.execute(sa.delete(DbcRow))
    assert fates(gate, cleanse(gate, drive(("asc",))))["asc"][:2] == (ItemState.HELD, "evidence_broken")


def test_a_log_is_released_and_checked_with_the_dbc_that_it_was_treated_with(sqlite_gate, sqlite_house):
    gate, house = sqlite_gate, sqlite_house
    digest = install(gate, house)
    recording = cleanse(gate, drive(("asc",)))
    # A later DBC that calls the bits of the speed an odometer would deny what was kept.
    install(gate, house, DBC.replace(b"Vehicle_Speed", b"Odometer_Low"), version=2)
    release = candidate(gate, house, recording)
    with gate.database.read() as session:
        built = load_built(gate, session, release)
        items = session.scalars(sa.select(ReleaseItemRow).where(ReleaseItemRow.release_id == release)).all()
    (item,) = [i for i in built.items if i.name.endswith("asc")]
    assert item.payload["facts"]["dbc"] == digest
    assert len(items) == 2


def test_damaged_logs_are_held_and_their_originals_kept(world):
    gate, _ = world
    files = {
        "drive.csv": csv_track(SECONDS),
        "can.blf": log("blf")[:-100],
        "can.asc": log("asc") + b"garbage\n",
    }
    recording = cleanse(gate, files)
    for state, reason, _ in fates(gate, recording).values():
        assert (state, reason) == (ItemState.HELD, "malformed")
    with gate.database.read() as session:
        rows = session.scalars(sa.select(ItemRow).where(ItemRow.recording_id == recording)).all()
    assert all(row.original_seal for row in rows)


def test_nothing_is_left_of_a_log_that_lies_in_a_zone(sqlite_gate, sqlite_house):
    gate, house = sqlite_gate, sqlite_house
    install(gate, house)
    restrict(gate, house, "MIL")
    begin = datetime.fromtimestamp(START.timestamp() + MIDDLE - 5, UTC)
    recording = cleanse(gate, drive(("asc",), begin=begin, seconds=10))
    assert fates(gate, recording)["asc"][0] == ItemState.CUT


def test_beside_a_processed_track_logs_leave_shifted_at_their_own_level(
    sqlite_gate, sqlite_house, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    gate, house = sqlite_gate, sqlite_house
    install(gate, house)
    install_processor(tmp_path, monkeypatch)
    recording = cleanse(gate, drive())
    release = candidate(gate, house, recording, mode=ReleaseMode.APPROVED)
    publish(gate, house, release)
    installed_processor.cache_clear()
    with gate.database.read() as session:
        built = load_built(gate, session, release)
    assert dict(built.left_out) == {}
    items = {item.name.rpartition(".")[2]: item for item in built.items}
    assert items["csv"].level is Level.S1_PROCESSED
    grant(gate, house, release)
    engineer = house.people["engineer"].actor
    for kind in ("asc", "blf"):
        assert items[kind].level is Level.S3_SENSITIVE_GEO
        assert items[kind].payload["position_handling"] == "stripped"
        assert items[kind].payload["facts"]["mode"] == "APPROVED"
        reading = read_item(gate, release, items[kind].name, actor=engineer, purpose=PURPOSE, wanted=None)
        found = read(b"".join(reading.chunks), kind)
        assert found
        assert PLACE not in {message.arbitration_id for message in found}
        assert abs(found[0].timestamp - START.timestamp()) > 30 * 86400

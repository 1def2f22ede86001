"""Frames of CAN in a container through the gate: by the DBC in force; without one the channel goes."""

import io

import cantools
import numpy as np
import pytest
import sqlalchemy as sa
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from anonymize.containers.mcap_writer import write_mcap
from anonymize.containers.open import open_container
from anonymize.containers.stream import ContainerKind
from anonymize.profile import shipped_profile
from gateway.flow.cleanse import load_cleansed
from gateway.flow.dossier import recording_summary, release_summary
from gateway.flow.gate import Gate
from gateway.flow.recording import ItemState, ReleaseMode
from gateway.flow.records import ItemRow
from gateway.flow.serve import read_item
from gateway.vehicles.dbc import install_dbc
from recorded_drive import BEGIN_S, Recorder, drive
from simulators import PURPOSE, House, candidate, cleanse, grant, publish

DBC = b"""VERSION ""
BU_: ECU
BO_ 256 Chassis: 8 ECU
 SG_ Vehicle_Speed : 0|16@1+ (0.01,0) [0|655] "km/h" ECU
 SG_ Odometer : 32|24@1+ (1,0) [0|0] "km" ECU
BO_ 257 Place: 8 ECU
 SG_ GPS_Latitude : 0|32@1- (1E-7,0) [0|0] "deg" ECU
 SG_ GPS_Longitude : 32|32@1- (1E-7,0) [0|0] "deg" ECU
BO_ 258 Cabin: 4 ECU
 SG_ Door_Open : 0|4@1+ (1,0) [0|0] "" ECU
 SG_ Wiper_Mode : 4|4@1+ (1,0) [0|0] "" ECU
"""
SPEED, PLACE, CABIN, ANSWER, UNKNOWN = 0x100, 0x101, 0x102, 0x7E8, 0x321
VIN = b"LSVNV2187E2100001"
SPEEDING = (4320).to_bytes(2, "little") + bytes(2) + (80_000).to_bytes(3, "little") + b"\0"


def recorded() -> tuple[bytes, bytes]:
    """A drive of fixes with what a car sends beside them, and the first place that it sends."""
    made = drive(seconds=700)
    recorder = Recorder()
    first = b""
    for i in range(0, len(made.track), 2):
        lat, lon, t = (float(a[i]) for a in (made.track.lat, made.track.lon, made.track.time_s))
        recorder.fix(t, lat, lon, 43.5)
        place = b"".join(round(v * 1e7).to_bytes(4, "little", signed=True) for v in (lat, lon))
        first = first or place
        recorder.frame(t + 0.1, SPEED, SPEEDING)
        recorder.frame(t + 0.2, PLACE, place)
        recorder.frame(t + 0.3, CABIN, b"\x21\0\0\0")
        recorder.frame(t + 0.4, UNKNOWN, place)
        recorder.frame(t + 0.5, ANSWER, b"\x10\x14\x62\xf1\x90" + VIN[:3])
    return b"".join(write_mcap(recorder.messages, profile="ros2", chunk_bytes=1 << 18)), first


def cleansed_facts(gate: Gate, recording: str) -> dict:
    with gate.database.read() as session:
        (row,) = session.scalars(sa.select(ItemRow).where(ItemRow.recording_id == recording))
        assert row.state == ItemState.CLEANSED, recording_summary(gate, recording)["items"]
        return load_cleansed(gate, session, row.id).payload


@pytest.mark.parametrize("mode", [ReleaseMode.LOCAL, ReleaseMode.OFFSET])
def test_frames_leave_without_place_vin_or_true_time(sqlite_gate: Gate, sqlite_house: House, mode) -> None:
    gate, house = sqlite_gate, sqlite_house
    officer = house.people["officer"]
    dbc = install_dbc(gate, DBC, name="car", version=1, actor=officer.actor, key=officer.key)
    content, first = recorded()
    recording = cleanse(gate, {"drive.mcap": content})
    payload = cleansed_facts(gate, recording)
    assert payload["facts"]["dbc"] == dbc.digest
    # Two each second, but for the last, whose frames come after the last fix.
    assert payload["facts"]["can"]["left"] == 2 * 699
    assert payload["position_handling"] == "raw"
    assert {"TRACK"} <= set(payload["tags"])
    # A later DBC that calls the bits of the speed an odometer would deny what was kept.
    later = DBC.replace(b"Vehicle_Speed", b"Odometer_Low")
    install_dbc(gate, later, name="car", version=2, actor=officer.actor, key=officer.key)
    release = candidate(gate, house, recording, mode=mode)
    publish(gate, house, release)
    grant(gate, house, release)
    (item,) = release_summary(gate, release)["items"]
    reading = read_item(
        gate, release, item["name"], actor=house.people["engineer"].actor, purpose=PURPOSE, wanted=None
    )
    content = b"".join(reading.chunks)
    out = open_container(
        io.BytesIO(content),
        ContainerKind.MCAP,
        profile=shipped_profile("cn-2026").profile.containers,
    )
    decoder = cantools.database.load_string(DBC.decode(), "dbc")
    store = get_typestore(Stores.EMPTY)
    found, payloads = [], b""
    for message in out.messages():
        assert abs(message.log_time_ns / 1e9 - BEGIN_S) > 29 * 86400
        if message.channel.topic == "/can0":
            if not found:
                definition = message.channel.schema.data.decode()
                store.register(get_types_from_msg(definition, "can_msgs/msg/Frame"))
            frame = store.deserialize_cdr(message.data, "can_msgs/msg/Frame")
            found.append(frame.id)
            data = np.asarray(frame.data).tobytes()
            payloads += data
            values = decoder.decode_message(frame.id, data[: frame.dlc])
            assert values.get("Vehicle_Speed", 43.2) == pytest.approx(43.2)
            assert not values.get("Odometer")
    assert set(found) == {SPEED, CABIN}
    assert len(found) > 300
    assert first not in content
    assert VIN[:3] not in payloads


def test_without_a_dbc_the_channel_goes_and_the_evidence_counts_it(
    sqlite_gate: Gate, sqlite_house: House
) -> None:
    del sqlite_house
    content, _ = recorded()
    payload = cleansed_facts(sqlite_gate, cleanse(sqlite_gate, {"drive.mcap": content}))
    assert payload["facts"]["left_out"] == {"/can0": {"no DBC": 3500}}
    assert "dbc" not in payload["facts"]
    assert {"kind": "drop_stream", "of": "embedded_stream", "count": 3500}.items() <= next(
        t for t in payload["treatments"] if t["of"] == "embedded_stream"
    ).items()

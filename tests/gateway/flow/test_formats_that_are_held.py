"""Formats that the gate knows and cannot treat: recognised, held with the reason, and kept sealed."""

import struct
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.flow.dossier import recording_summary
from gateway.flow.gate import Gate
from gateway.flow.recording import ItemState
from gateway.flow.records import ItemRow
from simulators import House, cleanse, csv_track

# The header section of a record: type 0, its size, version 1.0 and compression.
CYBER = (struct.pack("<qq", 0, 24) + b"\x08\x01\x10\x00\x18\x00").ljust(2064, b"\0") + bytes(4096)
OPENDRIVE = b"""<?xml version="1.0"?>
<OpenDRIVE><header revMajor="1" revMinor="6" name="town"/>
<road name="" length="10.0" id="1" junction="-1"><planView>
<geometry s="0" x="443000.0" y="4417000.0" hdg="0.3" length="10.0"><arc curvature="0.01"/></geometry>
</planView></road></OpenDRIVE>"""


def held(gate: Gate, name: str, content: bytes) -> tuple[str, str]:
    """Reason and detail of an item that was held; its original lies sealed."""
    recording = cleanse(gate, {name: content, "drive.csv": csv_track(60)})
    (item,) = [i for i in recording_summary(gate, recording)["items"] if i["name"] == name]
    assert item["state"] == ItemState.HELD
    with gate.database.read() as session:
        rows = session.scalars(sa.select(ItemRow).where(ItemRow.recording_id == recording)).all()
    assert len(rows) == 2
    assert all(row.original_seal for row in rows)
    return item["reason"], item["detail"]


@pytest.mark.parametrize("real", [False, True])
def test_an_apollo_record_is_held_with_the_reason(
    sqlite_gate: Gate, sqlite_house: House, request: pytest.FixtureRequest, *, real: bool
) -> None:
    del sqlite_house
    content = CYBER
    if real:
        samples: Path = request.getfixturevalue("shared_data")
        content = (samples / "formats" / "cyber" / "example.record.00000").read_bytes()
    reason, detail = held(sqlite_gate, "drive.record.00000", content)
    assert reason == "unknown_format"
    assert "Apollo cyber records cannot be read" in detail
    assert "expected MCAP or a ROS bag" in detail


def test_an_opendrive_map_is_held_with_the_reason(sqlite_gate: Gate, sqlite_house: House) -> None:
    del sqlite_house
    reason, detail = held(sqlite_gate, "town.xodr", OPENDRIVE)
    assert reason == "unknown_format"
    assert "OpenDRIVE maps cannot be treated" in detail
    assert "expected GeoJSON, OSM XML or OSM PBF" in detail

"""Bad tracks, clouds, maps and containers through the real intake: held, kept, and harmless to others.

Every bad item lies in one drive beside good ones. Law 5: each is held and the reason names what was found.
Law 4: each sealed original still opens to the delivered bytes.
"""

import functools
import io
import json
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

import laspy
import numpy as np
import pytest
from rosbags.rosbag1 import Writer as BagWriter
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Ros2Writer

from anonymize.containers.mcap_writer import write_mcap
from anonymize.formats.nmea import write_nmea
from anonymize.formats.track import Track
from gateway.flow.dossier import recording_summary
from gateway.flow.gate import Gate
from gateway.flow.records import ItemRow
from gateway.vault.store import Context
from recorded_drive import drive as recorded_drive
from simulators import SMALL_DRIVE, START, House, cleanse

MAGIC_BYTES, FOOTER_BYTES = 8, 37


@functools.cache
def mcap() -> bytes:
    made = recorded_drive(seconds=30)
    messages = [m for m in made.recorder.messages if "Image" not in m.channel.schema.name]
    return b"".join(write_mcap(messages, profile="ros2", chunk_bytes=1 << 14))


@functools.cache
def bag(folder: Path) -> bytes:
    made = recorded_drive(seconds=30, ros1=True)
    with BagWriter(folder / "made.bag") as writer:
        connections = {
            topic: writer.add_connection(
                topic,
                channel.schema.name.replace("/", "/msg/", 1),
                msgdef=channel.schema.data.decode(),
                md5sum="0" * 32,
            )
            for topic, channel in made.recorder.channels.items()
        }
        for message in made.recorder.messages:
            writer.write(connections[message.channel.topic], message.log_time_ns, message.data)
    return (folder / "made.bag").read_bytes()


@functools.cache
def db3(folder: Path) -> bytes:
    made = recorded_drive(seconds=30)
    with Ros2Writer(folder / "ros2", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connections = {
            topic: writer.add_connection(topic, channel.schema.name, typestore=made.recorder.store)
            for topic, channel in made.recorder.channels.items()
        }
        for message in made.recorder.messages:
            writer.write(connections[message.channel.topic], message.log_time_ns, message.data)
    return next((folder / "ros2").glob("*.db3")).read_bytes()


def without_table(content: bytes, table: str, folder: Path) -> bytes:
    path = folder / f"without-{table}.db3"
    path.write_bytes(content)
    connection = sqlite3.connect(path)
    connection.execute(f"DROP TABLE {table}")
    connection.commit()
    connection.close()
    return path.read_bytes()


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x40]) + content[at + 1 :]


def in_first_chunk(content: bytes) -> int:
    """Where the compressed records of the first chunk of an MCAP lie, a little behind their beginning."""
    at = MAGIC_BYTES
    while content[at] != 6:
        at += 9 + struct.unpack_from("<Q", content, at + 1)[0]
    return at + 9 + 200


def las(x: float, y: float) -> bytes:
    header = laspy.LasHeader(point_format=3, version="1.2")
    header.offsets, header.scales = [x, y, 0.0], [0.01, 0.01, 0.01]
    cloud = laspy.LasData(header)
    cloud.x, cloud.y, cloud.z = np.full(50, x), np.full(50, y), np.zeros(50)
    out = io.BytesIO()
    cloud.write(out)
    return out.getvalue()


PCD = b"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 8\nHEIGHT 1\nPOINTS 8\nDATA binary\n"


def area(*ring: tuple[float, float]) -> bytes:
    feature = {
        "type": "Feature",
        "properties": {"building": "yes"},
        "geometry": {"type": "Polygon", "coordinates": [[list(corner) for corner in ring]]},
    }
    return json.dumps({"type": "FeatureCollection", "features": [feature]}).encode()


def nmea() -> bytes:
    times = START.timestamp() + np.arange(20.0)
    none = np.full(20, np.nan)
    track = Track(
        lat=39.95 + np.arange(20) * 1e-5,
        lon=np.full(20, 116.3),
        time_s=times,
        elevation_m=none,
        speed_mps=none,
        segment=np.zeros(20, np.int32),
        crs="EPSG:4326",
    )
    return write_nmea(track)


def gpx(*points: tuple[float, float]) -> bytes:
    inner = "".join(f'<trkpt lat="{lat}" lon="{lon}"/>' for lat, lon in points)
    return f'<gpx version="1.1"><trk><trkseg>{inner}</trkseg></trk></gpx>'.encode()


def bad_items(folder: Path) -> dict[str, tuple[bytes, str, str]]:
    """Name of the item: content, reason code, what the detail must name."""
    m, b, d = mcap(), bag(folder), db3(folder)
    return {
        # Within the header, in the first chunk, in the middle, before the last byte.
        **{f"cut{n}.mcap": (m[:n], "malformed", "") for n in (9, 60, 5000, len(m) // 2, len(m) - 1)},
        "nofooter.mcap": (m[: -FOOTER_BYTES - MAGIC_BYTES] + m[-MAGIC_BYTES:], "malformed", ""),
        "crc.mcap": (flipped(m, in_first_chunk(m)), "malformed", ""),
        "behind.mcap": (m + b"39.95,116.30", "malformed", ""),
        **{f"cut{n}.bag": (b[:n], "malformed", "") for n in (40, 5000, len(b) // 2, len(b) - 1)},
        "noindex.bag": (
            b.replace(b"index_pos=" + b[b.index(b"index_pos=") + 10 :][:8], b"index_pos=" + bytes(8)),
            "malformed",
            "was not closed",
        ),
        **{f"cut{n}.db3": (d[:n], "malformed", "") for n in (200, len(d) // 2, len(d) - 4096)},
        "nomessages.db3": (without_table(d, "messages", folder), "unknown_format", "messages"),
        # The manifest declares degrees.
        "metres.las": (las(491451.5, 4416663.0), "malformed", "4416663"),
        "cut.las": (las(116.3, 39.95)[:-7], "malformed", ""),
        "cut.pcd": (PCD + bytes(90), "malformed", ""),
        "mixed.csv": (b"lat,lon,crs\n39.95,116.30,EPSG:4326\n39.95,116.31,GCJ-02\n", "unknown_crs", "GCJ-02"),
        "grid.csv": (b"t,easting,northing\n1,491451.5,4416663.0\n", "unknown_crs", "easting"),
        "xyz.csv": (b"x;y;z\n-2201743.3;4386553.1;4069326.2\n", "unknown_crs", "EPSG:4326"),
        "numbers.csv": (b"a,b,c\n1,491451.5,4416663.0\n", "unknown_format", "may hold a path"),
        "tum.txt": (b"# t tx ty tz qx qy qz qw\n1 491451.5 4416663.0 3 0 0 0 1\n", "unknown_format", "path"),
        "nofix.csv": (b"lat,lon\n39.95,116.30\n0,0\n", "malformed", "row 2: no fix"),
        "nofix.gpx": (gpx((39.95, 116.3), (0.0, 0.0)), "malformed", "trkpt 1: no fix"),
        "nofix.geojson": (
            b'{"type":"LineString","coordinates":[[0,0],[116.3,39.95]]}',
            "malformed",
            "position 0: no fix",
        ),
        "cut.nmea": (nmea()[:-30], "malformed", "line 40"),
        "checksum.nmea": (nmea().replace(b",A*", b",A*0", 1), "malformed", "line 1"),
        "datum.nmea": (b"$GPDTM,W72,,0.0,N,0.0,E,0.0,W84*66\r\n" + nmea(), "unknown_crs", "W72"),
        "bowtie.geojson": (
            area((116.30, 39.95), (116.31, 39.96), (116.31, 39.95), (116.30, 39.96), (116.30, 39.95)),
            "malformed",
            "feature 0",
        ),
        "open.geojson": (area((116.30, 39.95), (116.31, 39.95), (116.31, 39.96)), "malformed", "feature 0"),
        "cut.osm": (b'<osm version="0.6"><node id="1" lat="39.9" lon="116.3"/>', "malformed", ""),
        "far.osm": (b'<osm version="0.6"><node id="1" lat="91" lon="116.3"/></osm>', "malformed", ""),
    }


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gate, str, dict, dict]]:
    """The gate, the recording, what was bad in it, and how each of its items fared."""
    folder = tmp_path_factory.mktemp("positions")
    house = House(home=folder / "home")
    with house.opened() as gate:
        house.furnish(gate)
        bad = bad_items(folder)
        recording = cleanse(gate, {**SMALL_DRIVE, **{name: content for name, (content, _, _) in bad.items()}})
        items = {item["name"]: item for item in recording_summary(gate, recording)["items"]}
        yield gate, recording, bad, items


def test_each_is_held_with_a_reason_that_names_it(held):
    """Law 5."""
    _, _, bad, items = held
    wrong = [
        (name, items[name])
        for name, (_, reason, said) in bad.items()
        if (items[name]["state"], items[name].get("reason")) != ("held", reason)
        or said not in items[name]["detail"]
        or not items[name]["detail"]
    ]
    assert wrong == []


def test_each_is_kept_as_it_was_delivered(held):
    """Law 4."""
    gate, recording, bad, items = held
    for name, (content, _, _) in bad.items():
        with gate.database.read() as session:
            row = session.get_one(ItemRow, items[name]["item"])
        context = Context(owner=recording, object=row.id, role="original")
        assert gate.vault.read_all(row.original_seal, context) == content
        assert row.treated_seal is None


def test_the_other_items_of_the_drive_are_unaffected(held):
    _, _, _, items = held
    assert {items[name]["state"] for name in SMALL_DRIVE} == {"cleansed"}

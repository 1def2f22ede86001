"""A large item is handed to the server in few pieces, which together are the item."""

import hashlib
import itertools

from gateway.flow.gate import Gate
from gateway.flow.serve import read_item, read_manifest
from pipeline.manifest import read_release_manifest
from simulators import PURPOSE, SMALL_CAPTURED, House, csv_track, released, sweep

MIB = 1024 * 1024


def test_a_large_item_arrives_whole_in_pieces_of_about_a_mebibyte(sqlite_gate: Gate, sqlite_house: House):
    cloud = sweep(count=160_000)
    files = {"drive.csv": csv_track(), "lidar/000000.bin": cloud}
    made = released(sqlite_gate, sqlite_house, files, captured=SMALL_CAPTURED)
    engineer = sqlite_house.people["engineer"].actor
    manifest = read_release_manifest(
        read_manifest(sqlite_gate, made, actor=engineer, purpose=PURPOSE),
        sqlite_gate.keystore.signing_key("release"),
        release=made,
        purpose=PURPOSE,
    )
    item = max(manifest.items, key=lambda each: each.size)
    reading = read_item(sqlite_gate, made, item.name, actor=engineer, purpose=PURPOSE, wanted=None)
    pieces = list(reading.chunks)
    assert hashlib.sha256(b"".join(pieces)).hexdigest() == item.sha256
    assert all(len(piece) >= MIB for piece in itertools.islice(pieces, len(pieces) - 1))
    assert len(pieces) == -(-item.size // MIB)

    part = read_item(
        sqlite_gate, made, item.name, actor=engineer, purpose=PURPOSE, wanted=f"bytes=100-{MIB + 99}"
    )
    assert b"".join(part.chunks) == b"".join(pieces)[100 : MIB + 100]

"""One recording through every stage, on both databases."""

from gateway.flow.gate import Gate
from gateway.flow.recording import ReleaseMode
from gateway.flow.serve import read_item, read_manifest
from gateway.vault.jws import verify_statement
from simulators import PURPOSE, SMALL_DRIVE, House, released


def test_a_recording_becomes_a_readable_release(gate: Gate, house: House):
    release = released(gate, house, SMALL_DRIVE)
    engineer = house.people["engineer"].actor
    statement = read_manifest(gate, release, actor=engineer, purpose=PURPOSE)
    manifest = verify_statement(statement, "fleetgate-release+jwt", gate.keystore.signing_key("release"))
    assert sorted(item["class"] for item in manifest["items"]) == [
        "POINT_CLOUD",
        "TRAJ_REL",
        "VEH_ID",
        "VEH_ID",
    ]
    for item in manifest["items"]:
        reading = read_item(gate, release, item["name"], actor=engineer, purpose=PURPOSE, wanted=None)
        assert len(b"".join(reading.chunks)) == item["size"]
    assert gate.ledger.verify().open_intents == 0


def test_offset_mode_releases_absolute_but_moved_tracks(gate: Gate, house: House):
    release = released(gate, house, {"drive.csv": SMALL_DRIVE["drive.csv"]}, mode=ReleaseMode.OFFSET)
    engineer = house.people["engineer"].actor
    statement = read_manifest(gate, release, actor=engineer, purpose=PURPOSE)
    manifest = verify_statement(statement, "fleetgate-release+jwt", gate.keystore.signing_key("release"))
    assert [item["class"] for item in manifest["items"]] == ["TRAJ_ABS"]

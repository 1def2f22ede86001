"""Law 3, sealed at rest: plaintext exists in memory only; uploads, spools, temp files and database fields
included. What reaches the disk of a whole drive with images is searched in ``test_canaries_never_leave.py``."""

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from conformance.conftest import Commons
from conformance.drives import CAPTURED, fixes, sweep, track
from gateway.errors import DigestMismatchError
from gateway.flow.dossier import recording_summary
from gateway.flow.intake import Delivery, announce, receive_item
from gateway.flow.release import load_released
from gateway.flow.serve import read_item
from gateway.people.zones import install_zones
from gateway.workers import advance
from simulators import (
    PURPOSE,
    House,
    candidate,
    deliver,
    grant,
    manifest_of,
    publish,
    vehicle_actor,
    zone_file,
)

ZONE = ("MIL", 39.123456, 116.654321, 200.0)
SECRET_NAMES = ("LSVNV2187E2100001", "京A88F72", "ZHANG-SAN")
LARGE = sweep(7, 40_000)


def drive() -> dict[str, bytes]:
    return {
        f"{SECRET_NAMES[0]}/{SECRET_NAMES[1]}.csv": track(30),
        f"lidar/{SECRET_NAMES[2]}.bin": LARGE,
        "radar.raw": b"\x00\xfe\x01UNKNOWN-FORMAT-CANARY\x00\xff" * 200,
        "broken.gpx": b"<gpx><trk>MALFORMED-CANARY</trk>",
    }


def needles() -> list[bytes]:
    lat, lon = fixes(30)[17]
    found = [name.encode() for name in SECRET_NAMES]
    found += [track(30)[at : at + 40] for at in (40, 4000)]
    found += [LARGE[at : at + 24] for at in (0, 300_000, len(LARGE) - 24)]
    found += [b"UNKNOWN-FORMAT-CANARY", b"MALFORMED-CANARY", b"REJECTED-CANARY"]
    found += [f"{lat:.7f},{lon:.7f}".encode(), b"39.123456", b"116.654321"]
    return found


def leaks(*folders: Path) -> list[tuple[str, bytes]]:
    wanted = needles()
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                found += [(path.name, needle) for needle in wanted if needle in content]
            found += [(str(path), n) for n in wanted if n in path.name.encode()]
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A gate of its own whose temporary files lie where the test looks."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    house = House(home=tmp_path / "home")
    with house.opened() as gate:
        house.furnish(gate)
        officer = house.people["officer"]
        install_zones(gate, zone_file(ZONE, version=2), actor=officer.actor, key=officer.key)
        yield SimpleNamespace(house=house, gate=gate, temporary=temporary, home=tmp_path / "home")


def watched(chunks: list[bytes], place: SimpleNamespace, seen: list[list[tuple[str, bytes]]]):
    """Hand over an upload piece by piece and search the disk between the pieces."""
    for chunk in chunks:
        yield chunk
        seen.append(leaks(place.home, place.temporary))


def test_the_search_finds_what_is_not_sealed(place: SimpleNamespace):
    """The search itself works: a spool in the clear would be found."""
    (place.temporary / "spool").write_bytes(b"..." + LARGE[:4096])
    connection = sqlite3.connect(place.home / "gateway.db")
    connection.execute("CREATE TABLE careless (name TEXT)")
    connection.execute("INSERT INTO careless VALUES (?)", (SECRET_NAMES[1],))
    connection.commit()
    names = {name for name, _ in leaks(place.home, place.temporary)}
    assert "spool" in names
    assert any(name.startswith("gateway.db") for name in names)
    connection.close()


def test_an_upload_is_never_in_the_clear_while_it_arrives(place: SimpleNamespace):
    files = {f"lidar/{SECRET_NAMES[2]}.bin": LARGE}
    delivery = Delivery(manifest=manifest_of(files, captured={}), source="vehicle", manifest_signed=True)
    recording = announce(place.gate, delivery, actor=vehicle_actor())
    seen: list[list[tuple[str, bytes]]] = []
    pieces = [LARGE[at : at + 65_536] for at in range(0, len(LARGE), 65_536)]

    def broken() -> Iterator[bytes]:
        yield from watched(pieces[:4], place, seen)
        raise ConnectionResetError("the vehicle went away")

    with pytest.raises(ConnectionResetError):
        receive_item(place.gate, recording, 0, broken(), actor=vehicle_actor())
    receive_item(place.gate, recording, 0, watched(pieces, place, seen), actor=vehicle_actor())
    assert len(seen) == len(pieces) + 4
    assert seen == [[]] * len(seen)
    assert leaks(place.home, place.temporary) == []


def test_no_stage_leaves_plaintext_behind(place: SimpleNamespace):
    """Every stage, with held, malformed and rejected items; after each the whole disk is searched."""
    gate, house = place.gate, place.house

    def clean() -> None:
        assert leaks(place.home, place.temporary) == []

    clean()
    recording = deliver(
        gate, drive(), captured={f"lidar/{SECRET_NAMES[2]}.bin": CAPTURED["lidar/000000.bin"]}
    )
    clean()
    rejected = {"drive.csv": b"REJECTED-CANARY" * 3}
    delivery = Delivery(manifest=manifest_of(rejected), source="vehicle", manifest_signed=True)
    other = announce(gate, delivery, actor=vehicle_actor())
    with pytest.raises(DigestMismatchError):
        receive_item(gate, other, 0, [b"REJECTED-CANARY" * 4], actor=vehicle_actor())
    clean()
    advance(gate, recording)
    states = sorted(item["state"] for item in recording_summary(gate, recording)["items"])
    assert states == ["cleansed", "cleansed", "held", "held"]
    clean()
    release = candidate(gate, house, recording)
    clean()
    publish(gate, house, release)
    grant(gate, house, release)
    clean()
    with gate.database.read() as session:
        names = [i["name"] for i in load_released(gate, session, release).manifest["items"]]
    for name in names:
        reading = read_item(
            gate, release, name, actor=house.people["engineer"].actor, purpose=PURPOSE, wanted=None
        )
        for chunk in reading.chunks:
            assert chunk
            clean()
    clean()


def test_keys_and_passphrase_are_not_on_disk(own: Commons):
    keystore = own.gate.keystore
    recording = own.cleansed()
    kek = keystore._kek(f"rec-{recording}")
    secrets = [kek, keystore.roots.current, keystore.secret("digest"), keystore.seed("ledger")]
    secrets += [own.house.settings().keystore_passphrase().encode()]
    for path in own.gate.settings.home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in secrets:
                assert secret not in content
                assert secret.hex().encode() not in content

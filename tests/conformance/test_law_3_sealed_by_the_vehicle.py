"""Law 3 for what a vehicle sealed: it is opened in memory only, and no plaintext reaches a disk on the way."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.drives import sweep
from gateway.flow.intake import Delivery, announce, receive_item
from gateway.vault.intake_key import IntakeKey
from gateway.vehicles.errors import SealedDeliveryError
from gateway.vehicles.manifest import read_manifest
from gateway.vehicles.outbox import Outbox, open_manifest
from sealed_deliveries import intake_key_of, sealed_by_vehicle
from simulators import House, vehicle_actor

LARGE = sweep(7, 20_000)
FILES = {"ZHANG-SAN/lidar.bin": LARGE, "京A88F72.txt": b"NOTES-CANARY " * 9_000}
NEEDLES = [
    b"ZHANG-SAN",
    "京A88F72".encode(),
    b"NOTES-CANARY",
    *(LARGE[at : at + 24] for at in (0, 150_000, len(LARGE) - 24)),
]


def leaks(*folders: Path) -> list[tuple[str, bytes]]:
    found = []
    for path in (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()):
        content = path.read_bytes()
        found += [
            (path.name, needle) for needle in NEEDLES if needle in content or needle in path.name.encode()
        ]
    return found


def test_plaintext_is_on_no_disk_while_a_sealed_item_arrives_breaks_off_or_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    temporary, home = tmp_path / "tmp", tmp_path / "home"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    house = House(home=home)
    seen: list[list[tuple[str, bytes]]] = []

    def watched(content: bytes, until: int | None = None) -> Iterator[bytes]:
        for at in range(0, len(content), 65_536):
            if at == until:
                raise ConnectionResetError("the vehicle went away")
            yield content[at : at + 65_536]
            seen.append(leaks(home, temporary))

    def received(outbox: Outbox, position: int, content: Iterator[bytes]) -> None:
        receive_item(gate, outbox.recording, position, content, actor=vehicle_actor())

    with house.opened() as gate:
        house.furnish(gate)
        outbox = sealed_by_vehicle(tmp_path, FILES, house.vehicle_key, intake_key_of(gate), captured={})
        assert leaks(tmp_path / "vehicle")
        assert leaks(outbox.folder) == []
        statement = open_manifest(outbox.sealed_manifest(), IntakeKey(gate.keystore))
        manifest = read_manifest(statement, house.vehicle_key)
        delivery = Delivery(manifest=manifest, source="vehicle", manifest_signed=True, manifest_sealed=True)
        announce(gate, delivery, actor=vehicle_actor())
        content = outbox.path(0).read_bytes()
        with pytest.raises(ConnectionResetError):
            received(outbox, 0, watched(content, until=131_072))
        changed = content[:-1] + bytes([content[-1] ^ 1])
        with pytest.raises(SealedDeliveryError):
            received(outbox, 0, watched(changed))
        for position in (0, 1):
            received(outbox, position, watched(outbox.path(position).read_bytes()))
        assert leaks(home, temporary, outbox.folder) == []
    assert len(seen) > 10
    assert seen == [[]] * len(seen)


def test_the_search_finds_a_spool_in_the_clear(tmp_path: Path):
    (tmp_path / "spool").write_bytes(b"..." + LARGE[:4096])
    assert leaks(tmp_path)

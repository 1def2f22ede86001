"""From delivery to served release with every sealed file in a bucket: nothing of it lies in the gate's home."""

import hashlib
from pathlib import Path

import pytest

from gateway.flow.erase import erase_recording
from gateway.flow.release import load_released
from gateway.flow.serve import read_item
from gateway.vault.errors import StorageError
from s3_service import BUCKET, CREDENTIALS, answering, s3_service
from simulators import PURPOSE, SMALL_DRIVE, House, candidate, cleanse, deliver, grant, publish


def test_a_drive_passes_the_gate_over_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(f"AWS_{name.upper()}", value)
    with s3_service() as service:
        changes = {"objects_url": f"s3://{BUCKET}/gate", "objects_endpoint": service.url}
        house = House(home=tmp_path / "home", settings_changes=changes)
        with house.opened() as gate:
            house.furnish(gate)
            recording = cleanse(gate, SMALL_DRIVE)
            release = candidate(gate, house, recording)
            publish(gate, house, release)
            grant(gate, house, release)
            before = len(service.keys())
            with (
                service.troubled(answering("503 Slow Down"), lambda e: e["REQUEST_METHOD"] == "PUT"),
                pytest.raises(StorageError),
            ):
                deliver(gate, SMALL_DRIVE)
            assert len(service.keys()) == before
        assert before > 3 * len(SMALL_DRIVE)
        keys = service.keys()
        stored = b"".join(service.get(key) for key in keys)
        for content in SMALL_DRIVE.values():
            assert content[:16] not in stored
        assert not (tmp_path / "home" / "objects").exists()
        assert not list((tmp_path / "home").rglob("*.sealed"))
        with house.opened() as gate:
            with gate.database.read() as session:
                items = load_released(gate, session, release).manifest["items"]
            assert items
            for item in items:
                reading = read_item(
                    gate,
                    release,
                    item["name"],
                    actor=house.people["engineer"].actor,
                    purpose=PURPOSE,
                    wanted=None,
                )
                assert hashlib.sha256(b"".join(reading.chunks)).hexdigest() == item["sha256"]
            erase_recording(gate, recording, actor=house.people["officer"].actor)

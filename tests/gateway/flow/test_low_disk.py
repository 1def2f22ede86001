"""A disk that runs full: alarm once an hour, no intake and no build, and both go on once there is space."""

import asyncio
import dataclasses
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from audit.events import EventType
from audit.query import EntryFilter, find_page
from gateway.api import problems
from gateway.errors import DiskLowError
from gateway.flow.build import build_release
from gateway.flow.disk import disk_state
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce, receive_item
from gateway.scheduler import run_job
from gateway.server import create_app
from simulators import House, csv_track, deliver, manifest_of, vehicle_actor

MIB = 1024**2


def alarms(gate: Gate) -> list[dict[str, object]]:
    with gate.ledger.snapshot() as snapshot:
        page = find_page(snapshot, EntryFilter(types=(EventType.SYSTEM_DISK_ALARM,)))
    return [dict(entry.event.facts) for entry in page.entries]


def ask_health(gate: Gate) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(gate))
        async with httpx.AsyncClient(transport=transport, base_url="http://gate") as client:
            return await client.get("/healthz")

    return asyncio.run(asked())


@pytest.fixture
def files() -> dict[str, bytes]:
    return {"drive.csv": csv_track(17)}


def test_a_low_disk_stops_intake_and_builds_and_says_so(small_disk: Path, files: dict[str, bytes]):
    house = House(
        home=small_disk / "home",
        settings_changes={"disk_reserve_bytes": 2 * MIB, "disk_low_bytes": 8 * MIB},
    )
    reserve = house.home / "ledger.db.reserve"
    with house.opened() as gate:
        house.furnish(gate)
        assert reserve.stat().st_size == 2 * MIB
        announced = manifest_of(files)
        delivery = Delivery(manifest=announced, source="vehicle", manifest_signed=True)
        announce(gate, delivery, actor=vehicle_actor())
        assert alarms(gate) == []
        filler = small_disk / "filler"
        filler.write_bytes(bytes(disk_state(gate).free_bytes - 4 * MIB))
        other = dataclasses.replace(delivery, manifest=manifest_of({"other.csv": files["drive.csv"]}))
        for refusal in (
            lambda: announce(gate, other, actor=vehicle_actor()),
            lambda: receive_item(gate, announced.recording, 0, [files["drive.csv"]], actor=vehicle_actor()),
            lambda: build_release(gate, "any"),
        ):
            with pytest.raises(DiskLowError, match="disk low"):
                refusal()
        (alarm,) = alarms(gate)
        assert alarm["expected_bytes"] == 8 * MIB
        assert alarm["reserve_held"] is True
        later = dataclasses.replace(gate, clock=lambda: gate.clock() + timedelta(minutes=61))
        assert run_job(later, "disk")["low"] == 1
        assert len(alarms(gate)) == 2
        health = ask_health(gate)
        assert (health.status_code, health.json()["alarms"]) == (200, ["disk_low"])
        filler.unlink()
        assert run_job(gate, "disk")["low"] == 0
        assert ask_health(gate).json()["alarms"] == []
        receive_item(gate, announced.recording, 0, [files["drive.csv"]], actor=vehicle_actor())
        deliver(gate, {"more.csv": csv_track(18)})
        assert len(alarms(gate)) == 2


def test_a_caller_learns_the_reason_and_not_the_figures():
    answer = problems.describe(DiskLowError("disk low (got 5 free bytes, expected 9)"))
    assert answer.status_code == 503
    assert b"disk_low" in answer.body
    assert b"free bytes" not in answer.body


def test_the_threshold_is_above_the_reserve(tmp_path: Path):
    with pytest.raises(ValueError, match="disk_low_bytes"):
        House(home=tmp_path / "home", settings_changes={"disk_reserve_bytes": 9, "disk_low_bytes": 9})

"""``kill -9`` at every boundary between two durable effects, and resume (laws 1, 2, 4, 6 and 9)."""

import os
import secrets
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EVERY_POINT = os.environ.get("FLEETGATE_FAULTS") == "all"
ITEMS = 2
BLOB_FILES = 2
STEP = 24
"""Points that a worker gets through before it dies; the longest stage needs fewer."""
EVIDENCE = sorted(
    [f"item {stage}" for stage in ("received", "classified", "cleansed")] * ITEMS
    + ["release built", "release judged"]
)
INTERRUPTED = {
    "announce": {"intake:recording:receive"},
    "receive": {"intake:item:receive"},
    "advance": {"classify:item:classify", "cleanse:item:cleanse"},
    "request": {"release:release:request"},
    "build": {"release:release:build", "release:item:unlink"},
    "judge": {"judge:release:judge"},
    "approve": {"approve:release:sign"},
    "publish": {"release:release:publish"},
    "grant": {"grant:grant:issue"},
    "read": {"serve:manifest:read", "serve:item:read"},
    "erase": {"erase:recording:erase"},
    "retention": {"scheduler:job:run", "erase:raw:expire"},
}


def chosen(points: list[str]) -> list[int]:
    """Kill points, counted from 1: each way in which one operation follows another within a stage, once.

    Between the end of one operation and the start of the next nothing else becomes durable; the same pair for
    another item leaves the same kind of house behind. ``FLEETGATE_FAULTS=all`` takes every point.
    """
    if EVERY_POINT:
        return list(range(1, len(points) + 1))
    last = {
        (before, after): n for n, (before, after) in enumerate(zip(["", *points], points, strict=False), 1)
    }
    return sorted(n for (_, after), n in last.items() if after.endswith(" before"))


def ordered(ordeals: Any, house: str, work: str, **more: Any) -> list[dict[str, Any]]:
    """One report for each chosen kill point, after one run that counts the points."""
    order = {"do": "kill", "house": house, "work": work, **more}
    (counted,) = ordeals.run([{**order, "kill_at": None}])
    assert not counted["killed"]
    kills = chosen(counted["points"])
    reports = ordeals.run([{**order, "kill_at": n} for n in kills])
    assert [report["point"] for report in reports] == [counted["points"][n - 1] for n in kills]
    return reports


@pytest.fixture(scope="module")
def carried(ordeals: Any, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """A recording killed once on its way through the gate, at each point in turn."""
    ordeals.furnish("furnished", tmp_path_factory.mktemp("furnished") / "home")
    return ordered(ordeals, "furnished", "carry", recording=str(uuid.uuid4()), seed=0)


@pytest.fixture(scope="module")
def released_house(ordeals: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A house in which one recording has been released and read; returns the recording."""
    recording = str(uuid.uuid4())
    home = tmp_path_factory.mktemp("released") / "home"
    ordeals.furnish("released", home, carried=recording, seed=0)
    return recording


def test_every_stage_is_killed_somewhere(carried: list[dict[str, Any]]):
    stages = {report["point"].split()[0] for report in carried}
    assert stages == INTERRUPTED.keys() - {"erase", "retention"}


def test_what_was_acknowledged_is_there_after_the_kill(carried: list[dict[str, Any]]):
    """Law 4: the ledger verifies, and every acknowledged upload opens to the bytes that were delivered."""
    for report in carried:
        left = report["before"]
        assert set(left["acknowledged"]) <= set(left["intact"]), report["point"]
        held = [n for n, state in enumerate(left["items"]) if state != "awaited"]
        assert left["intact"] == held, report["point"]
        assert len(left["items"]) in (0, ITEMS), report["point"]


def test_only_what_was_interrupted_is_an_orphan(carried: list[dict[str, Any]]):
    """Law 2: the kill leaves the intents of its own stage open and no other; resuming leaves no more."""
    for report in carried:
        left, done = report["before"], report["after"]
        assert set(left["orphans"].values()) <= INTERRUPTED[report["point"].split()[0]], report["point"]
        assert left["open_intents"] == len(left["orphans"]), report["point"]
        assert done["orphans"] == left["orphans"], report["point"]
        assert done["open_intents"] == left["open_intents"], report["point"]
        assert left["unfounded"] == done["unfounded"] == [], report["point"]


def test_nothing_is_out_that_was_not_approved(carried: list[dict[str, Any]]):
    """Law 1: whatever a kill leaves released carries both approvals of its digest."""
    for report in carried:
        for facts in (report["before"], report["after"]):
            for release, state in facts["releases"].items():
                assert state != "released" or facts["approvals"][release] == 2, report["point"]


def test_resuming_completes_the_same_release(carried: list[dict[str, Any]]):
    """Laws 4 and 6: no item is lost, each stage is attested by one row, and the release can be read."""
    for report in carried:
        done = report["after"]
        assert done["recording"] == "cleansed", report["point"]
        assert done["items"] == ["cleansed"] * ITEMS, report["point"]
        assert done["intact"] == list(range(ITEMS)), report["point"]
        assert done["evidence"] == EVIDENCE, report["point"]
        assert done["built_once"], report["point"]
        assert list(done["releases"].values()) == ["released"], report["point"]
        assert list(report["read"].values()) == [True] * ITEMS, report["point"]


def test_an_erasure_that_was_killed_is_finished_by_repeating_it(ordeals: Any, released_house: str):
    """Law 9: once the key is gone it stays gone; the second attempt takes what the first left."""
    for report in ordered(ordeals, "released", "erase", recording=released_house, seed=0):
        done = report["after"]
        assert not report["opens"], report["point"]
        assert (done["recording"], done["items"]) == ("erased", ["erased"] * ITEMS), report["point"]
        assert list(done["releases"].values()) == ["revoked"], report["point"]
        assert done["intact"] == [], report["point"]
        assert report["blobs"] == 0, report["point"]
        assert set(done["orphans"].values()) <= INTERRUPTED["erase"], report["point"]


def test_a_retention_that_was_killed_is_finished_by_the_next(ordeals: Any, released_house: str):
    """Rule 21: no original outlives its term because a job died; what was released can still be read."""
    for report in ordered(ordeals, "released", "retention", recording=released_house, seed=0, days=15):
        done = report["after"]
        assert done["intact"] == [], report["point"]
        assert report["blobs"] == 2 * ITEMS * BLOB_FILES, report["point"]
        assert done["items"] == ["cleansed"] * ITEMS, report["point"]
        assert list(report["read"].values()) == [True] * ITEMS, report["point"]
        assert set(done["orphans"].values()) <= INTERRUPTED["retention"], report["point"]


def test_a_recording_killed_again_and_again_gets_there(
    ordeals: Any, tmp_path: Path, postgresql_server: Callable[[str], str]
):
    """Laws 2 and 4 on PostgreSQL: a worker that dies every few steps loses nothing and arrives."""
    url = postgresql_server(f"ordeal_{secrets.token_hex(8)}")
    ordeals.furnish("postgresql", tmp_path / "home", url)
    order = {"house": "postgresql", "work": "carry", "recording": str(uuid.uuid4()), "seed": 1}
    (report,) = ordeals.run([{"do": "die", **order, "step": STEP, "attempts": 40}])
    done = report["after"]
    assert len(report["points"]) > 1
    assert (done["recording"], done["items"]) == ("cleansed", ["cleansed"] * ITEMS)
    assert (done["evidence"], done["built_once"]) == (EVIDENCE, True)
    assert list(done["releases"].values()) == ["released"]
    assert list(done["approvals"].values()) == [2]
    assert list(report["read"].values()) == [True] * ITEMS

"""Progress on a video: sealed, bound to what it rests on, replaced whole, gone when it is not needed."""

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from gateway.flow.erase import erase_recording, expire_raw
from gateway.flow.intake import load_quarantined
from gateway.flow.recording import ItemState
from gateway.flow.records import CleansingCheckpointRow, ItemRow
from gateway.vault.errors import SealBrokenError, VaultError
from gateway.videos.checkpoint import SealedCheckpoint, basis_of, discard_finished
from simulators import House, deliver


@pytest.fixture
def world(sqlite_house: House) -> Iterator[SimpleNamespace]:
    with sqlite_house.opened() as gate:
        sqlite_house.furnish(gate)
        recording = deliver(gate, {"notes.txt": b"rain"})
        with gate.database.transaction() as session:
            item = session.scalar(sa.select(ItemRow).where(ItemRow.recording_id == recording))
            item.state = ItemState.CLASSIFIED
        with gate.database.read() as session:
            quarantined = load_quarantined(gate, session, item.id)
        yield SimpleNamespace(
            gate=gate,
            house=sqlite_house,
            recording=recording,
            item=quarantined,
            checkpoint=SealedCheckpoint(gate, quarantined, "a" * 64),
        )


def blobs(world: SimpleNamespace) -> int:
    return sum(1 for path in (world.gate.settings.home / "objects").iterdir() if path.suffix == ".sealed")


def test_what_was_saved_last_is_loaded_and_nothing_else_is_kept(world: SimpleNamespace):
    checkpoint = world.checkpoint
    assert checkpoint.load("found/0") is None
    checkpoint.save("found/0", b"first")
    checkpoint.save("found/1", b"other")
    checkpoint.save("found/0", b"second")
    assert (checkpoint.load("found/0"), checkpoint.load("found/1")) == (b"second", b"other")
    assert blobs(world) == 1 + 2
    checkpoint.clear()
    assert (checkpoint.load("found/0"), checkpoint.load("found/1")) == (None, None)
    assert blobs(world) == 1


def test_work_on_another_basis_counts_for_nothing(world: SimpleNamespace):
    world.checkpoint.save("encoded/0", b"treated under the old profile")
    other = SealedCheckpoint(world.gate, world.item, "b" * 64)
    assert other.load("encoded/0") is None
    other.save("encoded/0", b"treated anew")
    assert other.load("encoded/0") == b"treated anew"
    assert world.checkpoint.load("encoded/0") is None
    assert blobs(world) == 1 + 1


def test_the_basis_names_content_profile_and_detectors(world: SimpleNamespace):
    mine = basis_of(world.gate, world.item, detectors="c" * 64)
    assert mine == basis_of(world.gate, world.item, detectors="c" * 64)
    assert mine != basis_of(world.gate, world.item, detectors="d" * 64)
    assert len(mine) == 64


def test_nothing_of_it_lies_in_the_clear(world: SimpleNamespace):
    world.checkpoint.save("encoded/0", b"a frame of somebody's face")
    for path in world.gate.settings.home.rglob("*"):
        if path.is_file():
            assert b"somebody" not in path.read_bytes()


def test_one_piece_is_not_taken_for_another(world: SimpleNamespace):
    world.checkpoint.save("encoded/0", b"first")
    world.checkpoint.save("encoded/1", b"second")
    with world.gate.database.transaction() as session:
        rows = {row.name: row for row in session.scalars(sa.select(CleansingCheckpointRow))}
        rows["encoded/0"].seal = rows["encoded/1"].seal
    with pytest.raises(SealBrokenError):
        world.checkpoint.load("encoded/0")


@pytest.mark.parametrize("state", [ItemState.CLEANSED, ItemState.CUT, ItemState.HELD])
def test_it_goes_when_nobody_works_on_the_item(world: SimpleNamespace, state: ItemState):
    world.checkpoint.save("found/0", b"first")
    discard_finished(world.gate, world.recording)
    assert world.checkpoint.load("found/0") == b"first"
    with world.gate.database.transaction() as session:
        session.get_one(ItemRow, world.item.item).state = state
    discard_finished(world.gate, world.recording)
    assert world.checkpoint.load("found/0") is None
    assert blobs(world) == 1


def test_it_is_erased_with_its_recording(world: SimpleNamespace):
    world.checkpoint.save("found/0", b"first")
    erase_recording(world.gate, world.recording, actor=world.house.people["officer"].actor)
    assert blobs(world) == 0
    with pytest.raises(VaultError):
        world.checkpoint.save("found/1", b"more")


def test_it_does_not_outlive_its_original(world: SimpleNamespace):
    world.checkpoint.save("found/0", b"first")
    later = dataclasses.replace(world.gate, clock=lambda: world.gate.clock() + timedelta(days=14))
    assert expire_raw(later) == 2
    assert blobs(world) == 0
    assert world.checkpoint.load("found/0") is None

"""The reserve on a file system that is really full: the ledger goes on recording, and then refuses (laws 2, 4)."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from audit.errors import LedgerUnavailableError
from audit.events import Event
from audit.ledger import Ledger
from audit.reserve import SpaceReserve

SIZE = 4 * 1024**2


def fill(folder: Path) -> Path:
    """Write until nothing more fits."""
    path = folder / "filler"
    with path.open("ab", buffering=0) as stream:
        for block in (1024**2, 4096, 1):
            try:
                while True:
                    stream.write(bytes(block))
            except OSError:
                continue
    return path


def until_refused(ledger: Ledger, event: Event) -> list[str]:
    """Leaf hashes of what was acknowledged before the disk was full."""
    held = []
    for _ in range(10_000):
        try:
            held.append(ledger.append(event).leaf_hash)
        except LedgerUnavailableError as error:
            assert "full" in str(error)  # noqa: PT017 (what came before is needed)
            return held
    pytest.fail("the disk never was full")


def test_a_full_disk_takes_entries_from_the_reserve_and_loses_none(
    small_disk: Path, open_ledger: Callable[..., Ledger], make_event: Callable[..., Event]
) -> None:
    reserve = SpaceReserve(small_disk / "reserve", SIZE)
    assert reserve.hold()
    ledger = open_ledger(f"sqlite:///{small_disk / 'ledger.db'}", reserve=reserve)
    ledger.append(make_event())
    filler = fill(small_disk)
    held = [ledger.append(make_event(object=f"item-{n}")).leaf_hash for n in range(200)]
    assert not reserve.held
    assert not reserve.hold()
    fill(small_disk)
    held += until_refused(ledger, make_event())
    filler.unlink()
    assert reserve.hold()
    held.append(ledger.append(make_event()).leaf_hash)
    stored = [entry.leaf_hash.hex() for entry in ledger.entries()]
    assert [each for each in stored if each in set(held)] == held
    assert ledger.verify().size == ledger.size


def test_without_a_reserve_a_full_disk_refuses(
    small_disk: Path, open_ledger: Callable[..., Ledger], make_event: Callable[..., Event]
) -> None:
    ledger = open_ledger(f"sqlite:///{small_disk / 'ledger.db'}")
    ledger.append(make_event())
    fill(small_disk)
    until_refused(ledger, make_event())


def test_the_reserve_is_allocated_and_not_only_promised(small_disk: Path) -> None:
    before = os.statvfs(small_disk)
    assert SpaceReserve(small_disk / "reserve", SIZE).hold()
    after = os.statvfs(small_disk)
    assert (before.f_bavail - after.f_bavail) * before.f_frsize >= SIZE
    assert not SpaceReserve(small_disk / "greater", 2**30).hold()
    assert not (small_disk / "greater").exists()
    assert not SpaceReserve(small_disk / "none", 0).hold()
    assert not (small_disk / "none").exists()

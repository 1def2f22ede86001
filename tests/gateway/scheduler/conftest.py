"""A furnished gate per database, shared by a module, and the same gate at another time."""

import dataclasses
import itertools
import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from gateway.flow.gate import Gate
from simulators import House, csv_track, sweep

_seeds = itertools.count(1)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> House:
    url = None
    if request.param == "postgresql":
        schema: Callable[[str], str] = request.getfixturevalue("postgresql_server")
        url = schema(f"scheduler_{secrets.token_hex(8)}")
    folder = tmp_path_factory.mktemp("house")
    return House(home=folder / "home", database_url=url, settings_changes={"archive_dir": folder / "archive"})


@pytest.fixture(scope="module")
def shared_gate(shared_house: House) -> Iterator[Gate]:
    with shared_house.opened() as gate:
        shared_house.furnish(gate)
        yield gate


@pytest.fixture
def files() -> dict[str, bytes]:
    """A drive without text, which needs no analyzer, and that shares no file with any other."""
    seed = next(_seeds)
    return {"drive.csv": csv_track(400 + seed), "lidar/000000.bin": sweep(500 + seed)}


@pytest.fixture
def later() -> Callable[..., Gate]:
    """The same gate at a later time."""

    def moved(gate: Gate, **delta: float) -> Gate:
        return dataclasses.replace(gate, clock=lambda: gate.clock() + timedelta(**delta))

    return moved

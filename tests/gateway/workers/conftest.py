"""A furnished gate per database, shared by a module: each test brings a drive of its own."""

import dataclasses
import itertools
import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.flow.gate import Gate
from gateway.flow.records import EvidenceRow, ItemRow
from simulators import House, csv_track, sweep

_seeds = itertools.count(1)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> House:
    url = None
    if request.param == "postgresql":
        schema: Callable[[str], str] = request.getfixturevalue("postgresql_server")
        url = schema(f"workers_{secrets.token_hex(8)}")
    return House(home=tmp_path_factory.mktemp("house") / "home", database_url=url)


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


@pytest.fixture
def traces() -> Callable[[Gate], dict[str, object]]:
    """Whatever a second effect would add to: ledger, evidence and sealed files."""

    def found(gate: Gate) -> dict[str, object]:
        objects: Path = gate.settings.home / "objects"
        with gate.database.read() as session:
            evidence = session.scalars(sa.select(EvidenceRow.digest).order_by(EvidenceRow.id)).all()
            items = session.execute(sa.select(ItemRow.id, ItemRow.state).order_by(ItemRow.id)).all()
        return {
            "ledger": gate.ledger.size,
            "evidence": list(evidence),
            "items": [tuple(row) for row in items],
            "objects": sorted(path.name for path in objects.iterdir()),
        }

    return found

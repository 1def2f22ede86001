"""Gates that the law tests share: opening one loads the policy and its golden vectors, which takes seconds."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from conformance.drives import CAPTURED, trip
from gateway.flow.gate import Gate
from gateway.flow.recording import ReleaseMode
from simulators import House, candidate, cleanse, grant, publish

_seeds = count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Commons:
    """A furnished gate that several tests use; each makes recordings of its own."""

    house: House
    gate: Gate

    def actor(self, person: str):
        return self.house.people[person].actor

    def cleansed(self, files: dict[str, bytes] | None = None) -> str:
        """A cleansed recording of a trip that no other recording has."""
        return cleanse(self.gate, files or trip(next(_seeds)), captured=CAPTURED)

    def judged(self, mode: ReleaseMode = ReleaseMode.LOCAL) -> str:
        return candidate(self.gate, self.house, self.cleansed(), mode=mode)

    def released(self, mode: ReleaseMode = ReleaseMode.LOCAL) -> str:
        """A release of a trip of its own, granted to the engineer."""
        made = self.judged(mode)
        publish(self.gate, self.house, made)
        grant(self.gate, self.house, made)
        return made


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def commons(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commons]:
    """A furnished gate on each database. Tests leave its ledger and its rows as they found them."""
    url = None
    if request.param == "postgresql":
        schema: Callable[[str], str] = request.getfixturevalue("postgresql_server")
        url = schema(f"laws_{secrets.token_hex(8)}")
    house = House(home=tmp_path_factory.mktemp("commons") / "home", database_url=url)
    with house.opened() as gate:
        house.furnish(gate)
        yield Commons(house=house, gate=gate)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Commons]:
    """A furnished gate on SQLite that a test may break."""
    house = House(home=tmp_path / "home")
    with house.opened() as gate:
        house.furnish(gate)
        yield Commons(house=house, gate=gate)

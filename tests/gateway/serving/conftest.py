"""A served house on each of the databases."""

import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest

from gateway.vault.root import DEFAULT_ARGON2
from serving_processes import PATIENCE_S, Service
from simulators import House


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One house on SQLite and one on PostgreSQL; each test runs on both."""
    place = tmp_path_factory.mktemp("serving")
    url = None
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_server")(f"gate_{secrets.token_hex(8)}")
    house = House(home=place / "home", database_url=url, argon2=DEFAULT_ARGON2)
    with house.opened() as gate:
        house.furnish(gate)
    # Only what workers tell of is carried on within the length of a test.
    settings = {"FLEETGATE_SWEEP_INTERVAL_S": "3600", "FLEETGATE_CHECKPOINT_INTERVAL_S": "2"}
    service = Service(house=house, log=place / "log", settings=settings)
    if url is not None:
        service.settings["FLEETGATE_DATABASE_URL"] = url
    yield service
    if service.process is not None:
        service.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            service.process.wait(PATIENCE_S)
        service.process.kill()

"""Counts of requests are one for all processes, fade, and name nobody."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from gateway.api.rates import RateLimitedError, Rates
from gateway.api.records import RequestWindowRow
from gateway.api.windows import RequestWindows, forget_windows
from gateway.database import Database, create_engine
from simulators import House

START = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
SECRET = bytes(range(32))


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


class Processes:
    """Rates as two processes of one gate know them."""

    def __init__(self, house: House) -> None:
        self.clock = Clock()
        settings = house.settings().model_copy(update={"requests_per_minute": 4, "refusals_per_minute": 2})
        self.databases = [Database(create_engine(settings.state_url)) for _ in range(2)]
        self.rates = [
            Rates(settings, RequestWindows(database, SECRET, self.clock)) for database in self.databases
        ]

    def admitted(self, count: int, who: str = "engineer") -> int:
        """How many of so many requests of a caller, to one process and the other in turn, are admitted."""
        done = 0
        for number in range(count):
            try:
                self.rates[number % 2].admit(who)
            except RateLimitedError:
                continue
            done += 1
        return done


@pytest.fixture
def processes(house: House) -> Iterator[Processes]:
    processes = Processes(house)
    yield processes
    for database in processes.databases:
        database.dispose()


def test_a_caller_has_one_share_at_all_processes_together(processes: Processes):
    assert processes.admitted(7) == 4
    assert processes.admitted(7, "somebody-else") == 4


def test_what_was_refused_does_not_count_and_what_counted_fades(processes: Processes):
    assert processes.admitted(9) == 4
    processes.clock.now = START + timedelta(seconds=90)
    assert processes.admitted(9) == 2
    processes.clock.now = START + timedelta(seconds=240)
    assert processes.admitted(9) == 4


def test_a_limited_caller_learns_when_to_come_again(processes: Processes):
    processes.clock.now = datetime.now(UTC)
    processes.admitted(4)
    with pytest.raises(RateLimitedError) as caught:
        processes.rates[0].admit("engineer")
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 61
    assert caught.value.headers["RateLimit-Policy"] == '"caller";q=4;w=60'


def test_refusals_are_counted_by_address_and_the_state_does_not_tell_it(processes: Processes):
    address = "203.0.113.77"
    for rates in processes.rates:
        rates.refuse(address)
    with pytest.raises(RateLimitedError):
        processes.rates[0].refuse(address)
    with processes.databases[0].transaction() as session:
        rows = session.execute(sa.text("SELECT * FROM request_window")).all()
        assert len(rows) == 1
        assert address not in repr(rows)
        forget_windows(session, START + timedelta(seconds=121))
        assert session.scalar(sa.select(sa.func.count()).select_from(RequestWindowRow)) == 0

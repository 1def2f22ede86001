"""Spent nonces in the state: one winner among threads and processes, restarts, loss of power, expiry."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from gateway.api.nonces import forget_nonces
from gateway.api.records import NonceEpochRow, SpentNonceRow
from gateway.database import Database, create_engine
from nonce_claims import claims, spent, until
from simulators import House

# Later than the house is made: its epoch begins then.
NOW = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def database(house: House) -> Iterator[Database]:
    database = Database(create_engine(house.settings().state_url))
    yield database
    database.dispose()


@pytest.fixture
def sqlite_state(sqlite_house: House) -> Iterator[Database]:
    database = Database(create_engine(sqlite_house.settings().state_url))
    yield database
    database.dispose()


def test_one_of_many_threads_and_processes_spends_a_nonce(house: House):
    url = house.settings().state_url
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        told = [claim for each in pool.map(claims, [url] * 2, [NOW] * 2, [100] * 2) for claim in each]

    assert len(told) == 200
    assert told.count(True) == 50


def test_nonces_of_different_keys_are_different(database: Database):
    store = spent(database, NOW)

    assert store.claim(keyid="a", nonce="n", until=until(NOW))
    assert store.claim(keyid="b", nonce="n", until=until(NOW))


def test_a_restart_forgets_nothing(database: Database):
    assert spent(database, NOW).claim(keyid="a", nonce="n", until=until(NOW))

    later = spent(database, NOW + timedelta(seconds=30))

    assert not later.claim(keyid="a", nonce="n", until=until(NOW))
    assert later.claim(keyid="a", nonce="m", until=until(NOW))


def test_what_was_signed_before_a_loss_of_power_is_refused(sqlite_state: Database):
    """The nonce is not on record: the machine went down before the disk had it."""
    with sqlite_state.transaction() as session:
        session.merge(NonceEpochRow(id=1, boot="another boot", closed_until=NOW - timedelta(days=1)))
    # The machine that runs this test is up since then.
    booted = NOW - timedelta(seconds=_uptime_s())

    store = spent(sqlite_state, NOW)

    assert not store.claim(keyid="a", nonce="n", until=until(booted - timedelta(seconds=1)))
    assert not store.claim(keyid="a", nonce="n", until=until(booted + timedelta(seconds=4)))
    assert store.claim(keyid="a", nonce="n", until=until(booted + timedelta(seconds=9)))
    assert not spent(sqlite_state, NOW).claim(keyid="a", nonce="m", until=until(booted))


def test_what_was_signed_before_nonces_were_on_record_is_refused(sqlite_state: Database):
    """A gate of an earlier version kept them in the memory of a process that is gone."""
    with sqlite_state.transaction() as session:
        session.execute(sa.delete(NonceEpochRow))

    store = spent(sqlite_state, NOW)

    assert not store.claim(keyid="a", nonce="n", until=until(NOW))
    assert store.claim(keyid="a", nonce="n", until=until(NOW + timedelta(seconds=6)))


def test_a_nonce_is_forgotten_once_its_signature_is_too_old(database: Database):
    store = spent(database, NOW)
    assert store.claim(keyid="a", nonce="n", until=until(NOW))

    for moment, left in ((until(NOW), 1), (until(NOW) + timedelta(seconds=1), 0)):
        with database.transaction() as session:
            forget_nonces(session, moment)
            assert session.scalar(sa.select(sa.func.count()).select_from(SpentNonceRow)) == left


def _uptime_s() -> float:
    with open("/proc/uptime", encoding="ascii") as file:  # noqa: PTH123 (not a file of ours)
        return float(file.read().split()[0])

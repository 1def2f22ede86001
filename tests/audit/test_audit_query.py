"""Queries: every criterion, both orders, pages that neither skip nor repeat while entries arrive."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import inspect

from audit.events import Event, EventType, Outcome
from audit.ledger import Ledger
from audit.query import EntryFilter, find_all, find_page

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def ledger(database_url: str, open_ledger: Callable[..., Ledger], make_event: Callable[..., Event]) -> Ledger:
    moments = iter(START + timedelta(minutes=minute) for minute in range(100))
    ledger = open_ledger(database_url, clock=lambda: next(moments))
    for number in range(10):
        ledger.append(
            make_event(
                type=EventType.SERVE_ITEM_READ if number % 2 else EventType.GRANT_GRANT_ISSUE,
                outcome=Outcome.REFUSED if number == 7 else Outcome.COMPLETED,
                actor=f"actor-{number % 3}",
                object=f"object-{number}",
                recording=f"recording-{number // 5}",
                item=f"item-{number}",
                release="release-1" if number > 5 else None,
                grant="grant-1" if number == 4 else None,
                vehicle="vehicle-1" if number == 5 else None,
                recipient="lab-1" if number == 6 else None,
                purpose="training" if number < 2 else None,
                rule="r-23" if number == 7 else None,
            )
        )
    return ledger


CASES = {
    "all": (EntryFilter(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    "actor": (EntryFilter(actor="actor-1"), [1, 4, 7]),
    "object": (EntryFilter(object="object-3"), [3]),
    "recording": (EntryFilter(recording="recording-1"), [5, 6, 7, 8, 9]),
    "item": (EntryFilter(item="item-2"), [2]),
    "release": (EntryFilter(release="release-1"), [6, 7, 8, 9]),
    "grant": (EntryFilter(grant="grant-1"), [4]),
    "vehicle": (EntryFilter(vehicle="vehicle-1"), [5]),
    "recipient": (EntryFilter(recipient="lab-1"), [6]),
    "purpose": (EntryFilter(purpose="training"), [0, 1]),
    "rule": (EntryFilter(rule="r-23"), [7]),
    "type": (EntryFilter(types=(EventType.GRANT_GRANT_ISSUE,)), [0, 2, 4, 6, 8]),
    "types": (EntryFilter(types=(EventType.GRANT_GRANT_ISSUE, EventType.SERVE_ITEM_READ)), list(range(10))),
    "outcome": (EntryFilter(outcome=Outcome.REFUSED), [7]),
    "since": (EntryFilter(since=START + timedelta(minutes=7)), [7, 8, 9]),
    "until": (EntryFilter(until=START + timedelta(minutes=2)), [0, 1]),
    "hour": (EntryFilter(since=START + timedelta(minutes=2), until=START + timedelta(minutes=4)), [2, 3]),
    "after all": (EntryFilter(since=START + timedelta(days=1)), []),
    "both": (EntryFilter(actor="actor-1", release="release-1"), [7]),
    "none": (EntryFilter(actor="nobody"), []),
}


@pytest.mark.parametrize("newest_first", [True, False], ids=["newest", "oldest"])
def test_every_criterion_in_pages(ledger: Ledger, newest_first: bool) -> None:  # noqa: FBT001 - a case
    with ledger.snapshot() as snapshot:
        for name, (wanted, expected) in CASES.items():
            found: list[int] = []
            cursor: int | None = None
            while True:
                page = find_page(snapshot, wanted, limit=2, after=cursor, newest_first=newest_first)
                assert len(page.entries) <= 2
                found += [entry.index for entry in page.entries]
                if page.cursor is None:
                    break
                cursor = page.cursor
            assert found == (expected[::-1] if newest_first else expected), name
            assert [entry.index for entry in find_all(snapshot, wanted, below=9)] == [
                x for x in expected if x < 9
            ]


def test_pages_hold_while_entries_arrive(ledger: Ledger, make_event: Callable[..., Event]) -> None:
    with ledger.snapshot() as snapshot:
        first = find_page(snapshot, EntryFilter(), limit=4)
    ledger.append(make_event())
    with ledger.snapshot() as snapshot:
        second = find_page(snapshot, EntryFilter(), limit=4, after=first.cursor)
    assert [entry.index for entry in first.entries + second.entries] == [9, 8, 7, 6, 5, 4, 3, 2]


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_page_size_has_limits(ledger: Ledger, limit: int) -> None:
    with ledger.snapshot() as snapshot, pytest.raises(ValueError, match=f"got {limit}, expected 1 to 1000"):
        find_page(snapshot, EntryFilter(), limit=limit)


def test_a_moment_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="zone"):
        EntryFilter(since=datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


def test_criteria_are_stated_as_json() -> None:
    wanted = EntryFilter(actor="a", types=(EventType.SERVE_ITEM_READ,), outcome=Outcome.REFUSED, since=START)
    assert wanted.criteria() == {
        "actor": "a",
        "types": ["serve:item:read"],
        "outcome": "refused",
        "since": "2026-01-01T00:00:00.000000Z",
    }


def test_pages_of_several_types_neither_skip_nor_repeat(
    ledger: Ledger, make_event: Callable[..., Event]
) -> None:
    """Against a filter over all entries, in both orders, with another criterion beside."""
    kinds = (EventType.SERVE_ITEM_READ, EventType.SERVE_LIST_READ, EventType.ERASE_RAW_EXPIRE)
    for number in range(24):
        ledger.append(make_event(type=kinds[number % 3], actor=f"person-{number % 2}"))
    wanted = EntryFilter(types=kinds[:2], actor="person-1")
    expected = [
        e.index for e in ledger.entries() if e.event.type in kinds[:2] and e.event.actor == "person-1"
    ]
    for newest_first in (True, False):
        found: list[int] = []
        after: int | None = None
        while True:
            with ledger.snapshot() as snapshot:
                page = find_page(snapshot, wanted, limit=3, after=after, newest_first=newest_first)
            found += [entry.index for entry in page.entries]
            if page.cursor is None:
                break
            after = page.cursor
        assert found == (expected[::-1] if newest_first else expected)


def test_a_ledger_of_an_older_version_gets_the_indexes_that_it_lacks(
    database_url: str, open_ledger: Callable[..., Ledger], make_event: Callable[..., Event]
) -> None:
    ledger = open_ledger(database_url)
    ledger.append(make_event())
    names = {each["name"] for each in inspect(ledger.engine).get_indexes("ledger_entry")}
    assert "ledger_entry_type_outcome" in names
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX ledger_entry_type_outcome")
    again = open_ledger(database_url)
    assert {each["name"] for each in inspect(again.engine).get_indexes("ledger_entry")} == names
    assert again.size == 1

"""Open intents: a search that looks at what is new finds what a search of everything finds, and misses none."""

import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event as sa_event

from audit.events import Event, Outcome
from audit.ledger import Ledger
from audit.orphans import OpenIntents, find_orphans

LATER = datetime(2100, 1, 1, tzinfo=UTC)


def everything(ledger: Ledger, before: datetime = LATER) -> list[int]:
    with ledger.snapshot() as snapshot:
        return [entry.index for entry in find_orphans(snapshot, before=before)]


def kept(known: OpenIntents, ledger: Ledger, before: datetime = LATER) -> list[int]:
    with ledger.snapshot() as snapshot:
        return [entry.index for entry in known.orphans(snapshot, before=before)]


def test_what_is_kept_is_what_a_search_of_everything_finds(
    database_url: str, open_ledger: Callable[..., Ledger], make_event: Callable[..., Event]
) -> None:
    """Two processes append; a third that starts late looks, too; outcomes come late, twice, or never."""
    draw = random.Random(7)  # noqa: S311 (a history, no secret)
    first, second = open_ledger(database_url), open_ledger(database_url)
    known, late = OpenIntents(), OpenIntents()
    begun: list[int] = []
    for step in range(90):
        ledger = draw.choice((first, second))
        if not begun or draw.random() < 0.4:
            begun.append(ledger.append(make_event(outcome=Outcome.INTENT)).index)
        elif draw.random() < 0.2:
            ledger.append(make_event())
        else:
            at = draw.choice(begun)
            outcome = draw.choice((Outcome.COMPLETED, Outcome.REFUSED, Outcome.FAILED))
            ledger.append(make_event(outcome=outcome, intent=at))
        if draw.random() < 0.3:
            assert kept(known, first) == everything(first)
        if step > 60 and draw.random() < 0.3:
            assert kept(late, second) == everything(second)
    assert kept(known, first) == kept(late, second) == kept(OpenIntents(), first) == everything(first) != []


def test_intents_that_are_too_young_are_found_when_they_are_old(
    sqlite_ledger: Ledger, make_event: Callable[..., Event]
) -> None:
    times = [sqlite_ledger.append(make_event(outcome=Outcome.INTENT)).time for _ in range(3)]
    known = OpenIntents()
    assert kept(known, sqlite_ledger, times[0]) == []
    assert kept(known, sqlite_ledger, times[1]) == [0]
    assert kept(known, sqlite_ledger, times[2] + timedelta(microseconds=1)) == [0, 1, 2]


def test_a_ledger_that_was_put_back_is_searched_from_the_beginning(
    tmp_path: Path, open_ledger: Callable[..., Ledger], make_event: Callable[..., Event]
) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    for _ in range(3):
        ledger.append(make_event(outcome=Outcome.INTENT))
    ledger.close()
    for file in tmp_path.glob("ledger.db*"):
        shutil.copy(file, tmp_path / file.name.replace("ledger", "back"))
    again = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    for settled in range(3):
        again.append(make_event(outcome=Outcome.COMPLETED, intent=settled))
    known = OpenIntents()
    assert kept(known, again) == []
    assert kept(known, open_ledger(f"sqlite:///{tmp_path}/back.db")) == [0, 1, 2]


def test_a_second_search_reads_what_is_new_only(
    sqlite_ledger: Ledger, make_event: Callable[..., Event]
) -> None:
    for at in range(0, 40, 2):
        sqlite_ledger.append(make_event(outcome=Outcome.INTENT))
        sqlite_ledger.append(make_event(intent=at))
    ran: list[tuple[str, object]] = []

    @sa_event.listens_for(sqlite_ledger.engine, "before_cursor_execute")
    def note(_c: object, _k: object, statement: str, parameters: object, *_: object) -> None:
        ran.append((statement, parameters))

    assert sqlite_ledger.orphan_intents(timedelta(days=-1)) == []
    assert any("NOT (EXISTS" in statement for statement, _ in ran)
    ran.clear()
    index = sqlite_ledger.append(make_event(outcome=Outcome.INTENT)).index
    assert [entry.index for entry in sqlite_ledger.orphan_intents(timedelta(days=-1))] == [index]
    assert not any("EXISTS" in statement for statement, _ in ran)
    ranged = [parameters for statement, parameters in ran if "outcome = ?" in statement]
    assert ranged == [(40, 41, "intent")]


@pytest.mark.parametrize("opened", [True, False])
def test_a_scheduler_that_restarts_misses_none(
    tmp_path: Path, open_ledger: Callable[..., Ledger], make_event: Callable[..., Event], *, opened: bool
) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ledger.append(make_event(outcome=Outcome.INTENT))
    if opened:
        ledger.orphan_intents(timedelta(days=-1))
    ledger.close()
    again = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    assert [entry.index for entry in again.orphan_intents(timedelta(days=-1))] == [0]

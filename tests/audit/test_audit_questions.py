"""The regulators' questions, each over a ledger whose answer is known by hand, on both databases."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from audit.events import Event, EventType, Outcome
from audit.leaf import format_time
from audit.ledger import Ledger
from audit.questions import TITLES, Answer, Question, ask

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
TERM = timedelta(days=14)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told(
    database_url: str, open_ledger: Callable[..., Ledger], make_event: Callable[..., Event], clock: Clock
) -> Ledger:
    """Two recordings, one of them expired; two releases to one recipient; refusals; a deletion that broke off."""
    ledger = open_ledger(database_url, clock=clock)

    def say(kind: EventType, outcome: Outcome, **fields: object) -> int:
        clock.now += timedelta(minutes=1)
        return ledger.append(make_event(type=kind, outcome=outcome, **fields)).index

    for name in ("rec-1", "rec-2"):
        say(EventType.INTAKE_RECORDING_RECEIVE, Outcome.INTENT, actor="car", object=name, recording=name)
        say(EventType.INTAKE_RECORDING_RECEIVE, Outcome.COMPLETED, actor="car", object=name, recording=name)
        for _ in range(2):
            say(EventType.CLEANSE_ITEM_CLEANSE, Outcome.INTENT, actor="gate", object="i", recording=name)
            say(EventType.CLEANSE_ITEM_CLEANSE, Outcome.COMPLETED, actor="gate", object="i", recording=name)
    say(EventType.REVIEW_RECORDING_READ, Outcome.COMPLETED, actor="li", object="rec-1", recording="rec-1")
    for release, area, subjects in (("rel-1", 2_000_000, 5), ("rel-2", 3_500_000, 9)):
        say(
            EventType.RELEASE_RELEASE_PUBLISH,
            Outcome.COMPLETED,
            actor="li",
            object=release,
            release=release,
            recipient="team",
            facts={"recipient_area_m2": area, "recipient_subjects": subjects},
        )
    say(EventType.JUDGE_RELEASE_DECIDE, Outcome.REFUSED, actor="li", object="rel-3", rule="release/x")
    say(EventType.JUDGE_RELEASE_DECIDE, Outcome.REFUSED, actor="li", object="rel-4", rule="release/x")
    say(
        EventType.AUTH_REQUEST_REFUSE,
        Outcome.REFUSED,
        actor="unknown",
        object="grants",
        facts={"reason": "bad_signature"},
    )
    begun = say(EventType.ERASE_RAW_EXPIRE, Outcome.INTENT, actor="gate", object="rec-1", recording="rec-1")
    say(
        EventType.ERASE_RAW_EXPIRE,
        Outcome.COMPLETED,
        actor="gate",
        object="rec-1",
        recording="rec-1",
        intent=begun,
        facts={"originals": 2},
    )
    say(EventType.ERASE_RECORDING_ERASE, Outcome.INTENT, actor="chen", object="rec-2", recording="rec-2")
    return ledger


def answer(ledger: Ledger, question: Question, clock: Clock, **changes: object) -> Answer:
    with ledger.snapshot() as snapshot:
        return ask(snapshot, question, now=clock.now, raw_term=TERM, review_term=TERM, **changes)


def test_who_touched_raw_data(told: Ledger, clock: Clock) -> None:
    rows = {row["actor"]: row for row in answer(told, Question.RAW, clock).rows}
    assert set(rows) == {"gate", "li"}
    assert rows["gate"]["acts"] == {"cleanse:item:cleanse completed": 4}
    assert rows["gate"]["recordings"] == 2
    assert rows["li"]["acts"] == {"review:recording:read completed": 1}
    assert rows["gate"]["first"] < rows["gate"]["last"]


def test_what_recipients_hold(told: Ledger, clock: Clock) -> None:
    (row,) = answer(told, Question.RECIPIENTS, clock).rows
    assert (row["recipient"], row["releases"]) == ("team", ["rel-1", "rel-2"])
    assert (row["area_m2"], row["subjects"]) == (3_500_000, 9)


def test_a_release_without_its_area_is_a_finding(
    told: Ledger, make_event: Callable[..., Event], clock: Clock
) -> None:
    told.append(
        make_event(type=EventType.RELEASE_RELEASE_PUBLISH, object="rel-9", release="rel-9", recipient="other")
    )
    found = answer(told, Question.RECIPIENTS, clock).findings
    assert found == ("other: the entries of its releases state no area (expected recipient_area_m2)",)


def test_what_was_refused(told: Ledger, clock: Clock) -> None:
    rows = answer(told, Question.DENIALS, clock).rows
    assert [(row["why"], row["actor"], row["count"]) for row in rows] == [
        ("bad_signature", "unknown", 1),
        ("release/x", "li", 2),
    ]


def test_what_was_deleted_and_what_broke_off(told: Ledger, clock: Clock) -> None:
    found = answer(told, Question.DELETIONS, clock)
    assert [(row["object"], row["originals"]) for row in found.rows] == [("rec-1", 2)]
    assert len(found.findings) == 1
    assert "deletion of rec-2 has no outcome" in found.findings[0]


def test_what_outlived_its_term(told: Ledger, clock: Clock) -> None:
    assert answer(told, Question.RETENTION, clock).rows == ()
    clock.now += TERM
    found = answer(told, Question.RETENTION, clock)
    assert [row["recording"] for row in found.rows] == ["rec-2"]
    assert len(found.findings) == 1


def test_what_was_begun_and_never_settled(
    told: Ledger, make_event: Callable[..., Event], clock: Clock
) -> None:
    """The intents of the two recordings, and of the four items, were never settled by their index."""
    begun = [e.index for e in told.entries() if e.event.outcome is Outcome.INTENT]
    settled = {e.event.intent for e in told.entries()}
    (erasure,) = [e for e in told.entries() if e.event.object == "rec-2" and e.event.actor == "chen"]
    assert answer(told, Question.ORPHANS, clock).rows == ()
    clock.now += timedelta(days=1, seconds=1)
    found = answer(told, Question.ORPHANS, clock)
    assert [row["index"] for row in found.rows] == [index for index in begun if index not in settled]
    assert len(found.findings) == len(found.rows) == 7
    assert found.rows[-1] == {
        "index": erasure.index,
        "time": format_time(erasure.time),
        "type": "erase:recording:erase",
        "actor": "chen",
        "object": "rec-2",
        "age_h": 24,
    }
    assert "erase:recording:erase by chen on rec-2 has no outcome" in found.findings[-1]
    clock.now += timedelta(days=30)
    told.append(
        make_event(
            type=EventType.ERASE_RECORDING_ERASE,
            outcome=Outcome.FAILED,
            actor="chen",
            object="rec-2",
            intent=erasure.index,
        )
    )
    late = answer(told, Question.ORPHANS, clock, until=START + timedelta(hours=1))
    assert erasure.index not in {row["index"] for row in late.rows}
    assert len(late.rows) == 6
    assert answer(told, Question.ORPHANS, clock, since=START + timedelta(hours=1)).rows == ()


def test_a_span_bounds_the_answer(told: Ledger, clock: Clock) -> None:
    assert answer(told, Question.DENIALS, clock, until=START).rows == ()
    assert answer(told, Question.DENIALS, clock, since=START).rows != ()
    assert answer(told, Question.DENIALS, clock, since=clock.now + timedelta(hours=1)).rows == ()


def test_every_question_has_a_title_in_both_languages() -> None:
    assert set(TITLES) == set(Question)
    assert all(
        any("\u4e00" <= char <= "\u9fff" for char in zh) and en.isascii() for zh, en in TITLES.values()
    )

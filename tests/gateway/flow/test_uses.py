"""Uses of releases: in the ledger before anything is shown, with the query sealed, on both databases."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from audit.errors import LedgerUnavailableError
from audit.events import EventType, Outcome
from audit.questions import Question, ask
from gateway.errors import DeniedError, InvalidRequestError, NotFoundError
from gateway.flow.gate import Gate
from gateway.flow.release import revoke_release
from gateway.flow.serve import NoGrantError
from gateway.flow.use import MAX_QUERY_BYTES, MAX_RELEASES, UseKind, read_query, report_use
from gateway.people.permission import ActDeniedError
from simulators import PURPOSE, House, released

WORDS = "夜间下雨急刹车 near 王小明"


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory):
    house = House(home=tmp_path_factory.mktemp("uses") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        yield gate, house, released(gate, house, {"notes.txt": "城市道路。\n".encode()})


def entries(gate: Gate, use: str | None = None):
    found = [e for e in gate.ledger.entries() if e.event.type is EventType.USE_RELEASE_REPORT]
    return [e for e in found if use is None or e.event.object == use]


def test_a_use_is_in_the_ledger_with_its_words_sealed(house: House):
    with house.opened() as gate:
        house.furnish(gate)
        release = released(gate, house, {"notes.txt": "城市道路。\n".encode()})
        engineer = house.people["engineer"].actor
        told = report_use(gate, UseKind.TEXT, [release], {"text": WORDS}, actor=engineer, purpose=PURPOSE)
        again = report_use(gate, UseKind.TEXT, [release], {"text": WORDS}, actor=engineer, purpose=PURPOSE)
        other = report_use(gate, UseKind.IMAGE, [release], {"text": WORDS}, actor=engineer, purpose=PURPOSE)
        assert told["query"] == again["query"] != other["query"]
        intent, done = entries(gate, told["use"])
        assert (intent.event.outcome, done.event.outcome) == (Outcome.INTENT, Outcome.COMPLETED)
        assert (done.event.actor, done.event.release, done.event.purpose) == ("engineer", release, PURPOSE)
        assert (done.event.facts["kind"], done.event.digests["query"]) == ("text", told["query"])
        assert not any(
            "王小明".encode() in e.leaf or "夜间".encode() in e.leaf for e in gate.ledger.entries()
        )
        auditor = house.people["auditor"].actor
        found = read_query(gate, told["use"], actor=auditor)
        assert (found["query"], found["releases"], found["kind"]) == ({"text": WORDS}, [release], "text")
        with pytest.raises(ActDeniedError):
            read_query(gate, told["use"], actor=engineer)
        with pytest.raises(NotFoundError):
            read_query(gate, "f" * 32, actor=auditor)
        with gate.ledger.snapshot() as snapshot:
            term = timedelta(days=1)
            answer = ask(snapshot, Question.USES, now=gate.clock(), raw_term=term, review_term=term)
        assert [row["kind"] for row in answer.rows] == ["text", "text", "image"]
        assert {row["outcome"] for row in answer.rows} == {"completed"}
        assert gate.ledger.verify().open_intents == 0


def test_a_use_of_several_releases_is_refused_whole(sqlite):
    gate, house, release = sqlite
    second = released(gate, house, {"notes.txt": "第二次采集。\n".encode()})
    engineer = house.people["engineer"].actor
    both = report_use(gate, UseKind.TRAIN, [release, second], {}, actor=engineer, purpose=PURPOSE)
    assert {e.event.release for e in entries(gate, both["use"])} == {release, second}
    revoke_release(gate, second, actor=house.people["first"].actor)
    with pytest.raises(DeniedError):
        report_use(gate, UseKind.TRAIN, [release, second], {}, actor=engineer, purpose=PURPOSE)
    refused = entries(gate)[-2:]
    assert {e.event.outcome for e in refused} == {Outcome.REFUSED}
    with gate.ledger.snapshot() as snapshot:
        term = timedelta(days=1)
        row = ask(snapshot, Question.USES, now=gate.clock(), raw_term=term, review_term=term).rows[-1]
    assert (row["outcome"], row["kind"], sorted(row["releases"])) == (
        "refused",
        "train",
        sorted([release, second]),
    )


@pytest.mark.parametrize(
    ("person", "purpose", "error"),
    [("stranger", PURPOSE, NoGrantError), ("engineer", "marketing", DeniedError)],
)
def test_who_may_not_read_may_not_use(sqlite, person: str, purpose: str, error: type[Exception]):
    gate, house, release = sqlite
    with pytest.raises(error):
        report_use(
            gate, UseKind.TEXT, [release], {"text": "x"}, actor=house.people[person].actor, purpose=purpose
        )
    assert entries(gate)[-1].event.outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    ("releases", "query"),
    [
        ((), {}),
        (("a", "a"), {}),
        (tuple(map(str, range(MAX_RELEASES + 1))), {}),
        (("a",), {"text": "x" * MAX_QUERY_BYTES}),
        (("a",), {"text": "\ud800"}),
        (("a",), {"count": 2**60}),
    ],
)
def test_what_cannot_be_reported_is_refused_before_any_entry(sqlite, releases, query):
    gate, house, _ = sqlite
    before = gate.ledger.size
    with pytest.raises(InvalidRequestError):
        report_use(gate, UseKind.TEXT, releases, query, actor=house.people["engineer"].actor, purpose=PURPOSE)
    assert gate.ledger.size == before


def test_without_a_ledger_no_use(tmp_path):
    house = House(home=tmp_path / "home")
    with house.opened() as gate:
        house.furnish(gate)
        release = released(gate, house, {"notes.txt": "城市道路。\n".encode()})
        engine = sa.create_engine(gate.settings.audit_url)
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    "CREATE TRIGGER refusing BEFORE INSERT ON ledger_entry BEGIN SELECT RAISE(ABORT, 'full'); END"
                )
            )
        engine.dispose()
        with pytest.raises(LedgerUnavailableError):
            report_use(
                gate, UseKind.TEXT, [release], {}, actor=house.people["engineer"].actor, purpose=PURPOSE
            )

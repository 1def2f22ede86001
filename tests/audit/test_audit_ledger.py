"""The ledger on SQLite and on PostgreSQL: append, intents, checkpoints, proofs, detail."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, update

from audit import merkle
from audit.checkpoint import CheckpointSigner, verify_checkpoint
from audit.errors import InvalidEventError, LedgerCorruptError, LedgerUnavailableError
from audit.events import Event, EventType, Outcome
from audit.ledger import Ledger
from audit.tables import create_tables, details, prepare_engine

MakeEvent = Callable[..., Event]


def test_an_empty_ledger_verifies(ledger: Ledger) -> None:
    verified = ledger.verify()
    assert (verified.size, verified.root, verified.first) == (0, merkle.EMPTY_ROOT, None)
    assert ledger.latest_checkpoint() is None
    note = ledger.checkpoint()
    assert verify_checkpoint(note, ledger.signer.vkey).size == 0
    assert ledger.checkpoint() == note
    with pytest.raises(IndexError):
        ledger.entry(0)


def test_an_acknowledged_entry_is_there_after_reopening(
    database_url: str, open_ledger: Callable[..., Ledger], make_event: MakeEvent
) -> None:
    """Law 4: an acknowledged ledger entry is not lost."""
    first = open_ledger(database_url)
    event = make_event(
        digests={"content": "ab" * 32}, facts={"bytes": 7, "cached": False, "kind": "image/jpeg"}
    )
    receipt = first.append(event)
    first.close()
    second = open_ledger(database_url)
    entry = second.entry(receipt.index)
    assert (entry.event, entry.leaf_hash.hex(), entry.time) == (event, receipt.leaf_hash, receipt.time)
    assert second.append(event).index == 1
    assert second.verify().size == 2


def test_threads_share_one_gapless_chain(ledger: Ledger, make_event: MakeEvent) -> None:
    with ThreadPoolExecutor(16) as pool:
        receipts = list(pool.map(lambda n: ledger.append(make_event(object=f"item-{n}")), range(300)))
    assert sorted(receipt.index for receipt in receipts) == list(range(300))
    by_index = {receipt.index: receipt for receipt in receipts}
    for entry in ledger.entries():
        assert entry.leaf_hash.hex() == by_index[entry.index].leaf_hash
    assert ledger.verify().size == 300


def test_two_ledgers_on_one_database_make_one_chain(
    database_url: str, open_ledger: Callable[..., Ledger], make_event: MakeEvent
) -> None:
    one, two = open_ledger(database_url), open_ledger(database_url)
    indexes = [
        ledger.append(make_event(actor=name)).index
        for _ in range(5)
        for name, ledger in (("a", one), ("b", two))
    ]
    assert indexes == list(range(10))
    assert one.verify() == two.verify()


def test_proofs_from_stored_nodes_verify_at_every_size(ledger: Ledger, make_event: MakeEvent) -> None:
    sizes = [1, 2, 255, 256, 257, 511, 520]
    roots: dict[int, bytes] = {}
    with ThreadPoolExecutor(8) as pool:
        for size in sizes:
            list(pool.map(lambda n: ledger.append(make_event(object=f"item-{n}")), range(size - ledger.size)))
            roots[size] = verify_checkpoint(ledger.checkpoint(), ledger.signer.vkey).root
    leaves = [entry.leaf_hash for entry in ledger.entries()]
    with ledger.snapshot() as snapshot:
        for size, root in roots.items():
            for index in {0, size // 2, size - 1}:
                proof = snapshot.inclusion_proof(index, size)
                merkle.verify_inclusion(leaves[index], index, size, proof, root)
            for old in sizes:
                if old <= size:
                    proof = snapshot.consistency_proof(old, size)
                    merkle.verify_consistency(old, size, roots[old], root, proof)
    assert ledger.verify().checkpoints == len(sizes)
    with pytest.raises(ValueError, match="no such tree"):
        ledger.inclusion_proof(0, 521)
    with pytest.raises(ValueError, match="no such tree"):
        ledger.consistency_proof(1, 521)


def test_time_never_goes_back(
    database_url: str, open_ledger: Callable[..., Ledger], make_event: MakeEvent
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = iter([start, start - timedelta(hours=1), start + timedelta(seconds=1)])
    ledger = open_ledger(database_url, clock=lambda: next(moments))
    times = [ledger.append(make_event()).time for _ in range(3)]
    assert times == [start, start, start + timedelta(seconds=1)]


def test_a_clock_without_zone_stops_the_ledger(
    database_url: str, open_ledger: Callable[..., Ledger], make_event: MakeEvent
) -> None:
    """Law 5: a missing clock stops."""
    ledger = open_ledger(database_url, clock=lambda: datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused
    with pytest.raises(LedgerUnavailableError, match="no zone"):
        ledger.append(make_event())
    assert ledger.size == 0


class TestIntent:
    """Law 2: the intent is durable before the effect, and what became of it follows."""

    @pytest.fixture
    def intent(self, make_event: MakeEvent) -> Event:
        return make_event(outcome=Outcome.INTENT, grant="grant-1", rule="r-1", facts={"bytes": 9})

    def outcomes(self, ledger: Ledger) -> list[tuple[str, int | None, dict[str, Any]]]:
        return [(e.event.outcome, e.event.intent, dict(e.event.facts)) for e in ledger.entries(1)]

    def test_is_durable_before_the_block_runs(
        self, ledger: Ledger, database_url: str, open_ledger: Callable[..., Ledger], intent: Event
    ) -> None:
        with ledger.intent(intent) as running:
            assert open_ledger(database_url).entry(running.index).event == intent
            receipt = running.complete(digests={"content": "cd" * 32}, facts={"status": 206})
        assert self.outcomes(ledger) == [("completed", 0, {"status": 206})]
        settled = ledger.entry(receipt.index).event
        assert (settled.grant, settled.rule, settled.digests["content"]) == ("grant-1", "r-1", "cd" * 32)

    def test_a_refusal_names_the_rule(self, ledger: Ledger, intent: Event) -> None:
        with ledger.intent(intent) as running:
            receipt = running.refuse(rule="r-8", facts={"reason": "no_position"})
        assert ledger.entry(receipt.index).event.rule == "r-8"
        assert self.outcomes(ledger) == [("refused", 0, {"reason": "no_position"})]

    def test_an_exception_is_recorded_and_goes_on(self, ledger: Ledger, intent: Event) -> None:
        with pytest.raises(ZeroDivisionError), ledger.intent(intent):
            1 / 0  # noqa: B018 - what fails
        assert self.outcomes(ledger) == [("failed", 0, {"error": "ZeroDivisionError"})]

    def test_an_exception_after_completion_adds_nothing(self, ledger: Ledger, intent: Event) -> None:
        with pytest.raises(ZeroDivisionError), ledger.intent(intent) as running:  # noqa: PT012 - both steps
            running.complete()
            1 / 0  # noqa: B018 - what fails
        assert self.outcomes(ledger) == [("completed", 0, {})]

    def test_leaving_without_a_word_is_a_failure(self, ledger: Ledger, intent: Event) -> None:
        with ledger.intent(intent):
            pass
        assert self.outcomes(ledger) == [("failed", 0, {"error": "NotSettled"})]

    def test_is_settled_once(self, ledger: Ledger, intent: Event) -> None:
        with ledger.intent(intent) as running:
            running.complete()
            with pytest.raises(InvalidEventError, match="settled already"):
                running.refuse()
        assert ledger.size == 2

    def test_a_completion_is_no_intent(self, ledger: Ledger, make_event: MakeEvent) -> None:
        with pytest.raises(InvalidEventError, match="not an intent"), ledger.intent(make_event()):
            pytest.fail("the block must not run")
        assert ledger.size == 0

    def test_no_ledger_no_effect(self, ledger: Ledger, intent: Event) -> None:
        ledger.close()
        with pytest.raises(LedgerUnavailableError), ledger.intent(intent):
            pytest.fail("the block must not run")

    def test_a_completion_without_ledger_is_an_error(self, ledger: Ledger, intent: Event) -> None:
        with pytest.raises(LedgerUnavailableError), ledger.intent(intent) as running:  # noqa: PT012 - both
            ledger.close()
            running.complete()

    def test_orphans_are_found(
        self, database_url: str, open_ledger: Callable[..., Ledger], intent: Event, make_event: MakeEvent
    ) -> None:
        clock = _Clock()
        ledger = open_ledger(database_url, clock=clock)
        ledger.append(intent)
        with ledger.intent(intent) as running:
            running.complete()
        clock.now += timedelta(minutes=10)
        ledger.append(intent)
        assert [entry.index for entry in ledger.orphan_intents(timedelta(minutes=5))] == [0]
        assert [entry.index for entry in ledger.orphan_intents(timedelta(seconds=-1))] == [0, 3]
        ledger.append(make_event(outcome=Outcome.FAILED, intent=0))
        assert ledger.orphan_intents(timedelta(minutes=5)) == []
        assert ledger.verify().open_intents == 1

    def test_nothing_settles_what_does_not_exist(self, ledger: Ledger, make_event: MakeEvent) -> None:
        with pytest.raises(InvalidEventError, match="got 0, expected below 0"):
            ledger.append(make_event(intent=0))
        assert ledger.append(make_event()).index == 0


class TestDetail:
    """Law 9: destroying a subject's key erases the detail, the proofs hold."""

    def test_opens_and_is_erased_by_its_key(self, ledger: Ledger, sealer: Any, make_event: MakeEvent) -> None:
        secret = b"Zhang San, 110101199003078515"
        receipt = ledger.append(make_event(), detail=secret, subject="recording-1")
        entry = ledger.entry(receipt.index)
        assert ledger.detail(receipt.index) == secret
        assert secret not in entry.leaf
        assert entry.detail is not None
        sealer.destroy("recording-1")
        with pytest.raises(KeyError):
            ledger.detail(receipt.index)
        assert ledger.verify().details == 1

    def test_equal_details_cannot_be_told(self, ledger: Ledger, make_event: MakeEvent) -> None:
        first, second = (ledger.append(make_event(), detail=b"same", subject="s").index for _ in range(2))
        assert ledger.entry(first).detail != ledger.entry(second).detail

    def test_exchanged_details_are_noticed(self, ledger: Ledger, make_event: MakeEvent) -> None:
        for text in (b"one", b"two"):
            ledger.append(make_event(), detail=text, subject="s")
        with ledger._engine.begin() as connection:
            sealed = connection.execute(details.select().where(details.c.entry_index == 1)).one().sealed
            connection.execute(update(details).where(details.c.entry_index == 0).values(sealed=sealed))
        with pytest.raises(LedgerCorruptError, match="not the one that its leaf commits to"):
            ledger.detail(0)

    def test_needs_a_subject(self, ledger: Ledger, make_event: MakeEvent) -> None:
        for arguments in ({"detail": b"x"}, {"subject": "s"}):
            with pytest.raises(InvalidEventError, match="go together"):
                ledger.append(make_event(), **arguments)
        assert ledger.append(make_event()).index == 0
        assert ledger.detail(0) is None


def test_checkpoints_race_to_one_note(ledger: Ledger, make_event: MakeEvent) -> None:
    ledger.append(make_event())
    barrier = threading.Barrier(4)

    def sign(_: int) -> str:
        barrier.wait()
        return ledger.checkpoint()

    with ThreadPoolExecutor(4) as pool:
        notes = set(pool.map(sign, range(4)))
    assert notes == {ledger.latest_checkpoint()}


def test_another_key_does_not_take_over(
    database_url: str, ledger: Ledger, open_ledger: Callable[..., Ledger], make_event: MakeEvent
) -> None:
    ledger.append(make_event())
    ledger.checkpoint()
    with pytest.raises(LedgerCorruptError, match="not signed by the expected key"):
        open_ledger(database_url, signer=CheckpointSigner(b"x" * 32, "fleetgate.test/ledger"))


def test_a_closed_ledger_refuses_appends(ledger: Ledger, make_event: MakeEvent) -> None:
    ledger.append(make_event())
    ledger.close()
    with pytest.raises(LedgerUnavailableError, match="closed"):
        ledger.append(make_event())
    ledger.close()


def test_verify_tells_its_progress(ledger: Ledger, make_event: MakeEvent) -> None:
    ledger.append(make_event())
    told: list[tuple[int, int]] = []
    ledger.verify(lambda done, size: told.append((done, size)))
    assert told == [(1, 1)]


def test_entries_are_those_of_the_start(ledger: Ledger, make_event: MakeEvent) -> None:
    for _ in range(3):
        ledger.append(make_event())
    running: Iterator[Any] = ledger.entries()
    next(running)
    ledger.append(make_event())
    assert [entry.index for entry in running] == [1, 2]
    assert [entry.index for entry in ledger.entries(1, 3)] == [1, 2]
    assert list(ledger.entries(9)) == []


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_ledger_in_memory_is_refused(url: str) -> None:
    engine = create_engine(url)
    with pytest.raises(ValueError, match="needs a file"):
        prepare_engine(engine)
    engine.dispose()


def test_creating_tables_again_changes_nothing(ledger: Ledger, make_event: MakeEvent) -> None:
    ledger.append(make_event())
    create_tables(ledger._engine)
    assert ledger.append(make_event(type=EventType.SCHEDULER_JOB_RUN)).index == 1


class _Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

"""Witnesses refuse forks and rollbacks, and a ledger whose database was put back notices (laws 2 and 4)."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import create_engine

from audit.checkpoint import Checkpoint, CheckpointSigner, verify_checkpoint
from audit.cosignature import cosigned_at, require_quorum
from audit.errors import LedgerCorruptError, LedgerUnavailableError, SignatureError, WitnessError
from audit.events import Event, EventType, Outcome
from audit.ledger import Ledger, create_tables
from audit.merkle import EMPTY_ROOT, Frontier, leaf_hash
from audit.witness import MAX_BODY_BYTES, SIZE_MEDIA_TYPE, request_body
from witnesses import Listening, cosigning

Append = Callable[..., object]


def grown(ledger: Ledger, make_event: Callable[..., Event], count: int, *, actor: str = "engineer-1") -> None:
    for _ in range(count):
        ledger.append(make_event(actor=actor))


@pytest.fixture
def witnesses(tmp_path: Path, signer: CheckpointSigner) -> Iterator[list[Listening]]:
    made = [Listening(tmp_path / f"witness-{number}.db", number, signer) for number in (1, 2, 3)]
    yield made
    for each in made:
        each.close()


@pytest.fixture
def witness(witnesses: list[Listening]) -> Listening:
    return witnesses[0]


def url_of(path: Path) -> str:
    return f"sqlite:///{path / 'ledger.db'}"


def test_a_quorum_stands_under_the_checkpoint(
    database_url: str,
    open_ledger: Callable[..., Ledger],
    make_event: Callable[..., Event],
    witnesses: list[Listening],
    signer: CheckpointSigner,
) -> None:
    """On both databases; each growth is proved to each witness."""
    ledger = open_ledger(database_url)
    asking = cosigning(ledger, witnesses)
    for size in (1, 4, 4, 300):
        grown(ledger, make_event, size - ledger.size)
        cosigned = asking.collect()
        assert cosigned.size == size
        assert cosigned.failures == {}
        assert verify_checkpoint(cosigned.note, signer.vkey).size == size
        assert len(require_quorum(cosigned.note, [each.witness.vkey for each in witnesses], 3)) == 3
    assert [each.witness.latest()[0].size for each in witnesses] == [300] * 3
    assert all(each.witness.conflicts() == [] for each in witnesses)


def test_another_process_of_the_gate_may_be_ahead(
    tmp_path: Path,
    open_ledger: Callable[..., Ledger],
    make_event: Callable[..., Event],
    witness: Listening,
) -> None:
    """A server and a command collect at once; the one whose checkpoint is older has a newer one cosigned."""
    server, command = open_ledger(url_of(tmp_path)), open_ledger(url_of(tmp_path))
    grown(server, make_event, 3)
    overtaken = server.checkpoint()
    grown(command, make_event, 2)
    assert cosigning(command, [witness]).collect().size == 5
    asking = cosigning(server, [witness])
    with httpx.Client() as client:
        note, line = asking._submit(client, witness.address, overtaken)
    assert cosigned_at(note + line, witness.witness.vkey) is not None
    assert witness.witness.latest()[0].size == 5
    server.append(make_event())


def test_a_database_that_was_put_back_is_noticed(
    tmp_path: Path,
    open_ledger: Callable[..., Ledger],
    make_event: Callable[..., Event],
    witnesses: list[Listening],
) -> None:
    """Database, checkpoints and all, from a backup of an hour ago: the gate's own checks find nothing wrong."""
    ledger = open_ledger(url_of(tmp_path))
    grown(ledger, make_event, 5)
    cosigning(ledger, witnesses).collect()
    ledger.close()
    shutil.copy(tmp_path / "ledger.db", tmp_path / "backup.db")
    ledger = open_ledger(url_of(tmp_path))
    grown(ledger, make_event, 5)
    cosigning(ledger, witnesses).collect()
    ledger.close()
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup.db", tmp_path / "ledger.db")
    restored = open_ledger(url_of(tmp_path))
    restored.verify()
    with pytest.raises(LedgerCorruptError, match=r"rolled back or forked \(got 5 entries, .* extends 10"):
        cosigning(restored, witnesses).collect()
    with pytest.raises(LedgerUnavailableError, match="poisoned"):
        restored.append(make_event())


@pytest.mark.parametrize("entries", [10, 12])
def test_a_database_that_was_put_back_and_grew_again_is_a_fork(
    tmp_path: Path,
    open_ledger: Callable[..., Ledger],
    make_event: Callable[..., Event],
    witness: Listening,
    entries: int,
) -> None:
    ledger = open_ledger(url_of(tmp_path))
    grown(ledger, make_event, 5)
    ledger.close()
    shutil.copy(tmp_path / "ledger.db", tmp_path / "backup.db")
    ledger = open_ledger(url_of(tmp_path))
    grown(ledger, make_event, 5)
    cosigning(ledger, [witness]).collect()
    ledger.close()
    other = open_ledger(f"sqlite:///{tmp_path / 'backup.db'}")
    grown(other, make_event, entries - 5, actor="somebody-else")
    with pytest.raises(LedgerCorruptError, match="forked"):
        cosigning(other, [witness]).collect()
    assert witness.witness.latest()[0].size == 10
    (conflict,) = witness.witness.conflicts()
    assert verify_checkpoint(conflict.note, witness.logs["fleetgate.test/ledger"][0]).size == entries
    assert verify_checkpoint(conflict.held, witness.logs["fleetgate.test/ledger"][0]).size == 10


def test_two_views_of_one_log_cannot_both_be_cosigned(witness: Listening, signer: CheckpointSigner) -> None:
    """A split view: two trees of one size, both validly signed; the first one holds."""
    for number, status in ((1, HTTPStatus.OK), (2, HTTPStatus.CONFLICT)):
        note = signer.sign(Checkpoint(origin=signer.origin, size=9, root=bytes([number] * 32)).text)
        old = 0 if number == 1 else 9
        answer = witness.client.post("/add-checkpoint", content=request_body(old, [], note))
        assert answer.status_code == status
    assert answer.headers["content-type"] == SIZE_MEDIA_TYPE
    assert answer.text == "9\n"
    assert [each.reason for each in witness.witness.conflicts()] == ["fork"]


def test_a_witness_that_starts_again_remembers(witness: Listening, signer: CheckpointSigner) -> None:
    note = signer.sign(Checkpoint(origin=signer.origin, size=9, root=b"\x01" * 32).text)
    assert (
        witness.client.post("/add-checkpoint", content=request_body(0, [], note)).status_code == HTTPStatus.OK
    )
    witness.restart()
    answer = witness.client.post("/add-checkpoint", content=request_body(0, [], note))
    assert (answer.status_code, answer.text) == (HTTPStatus.CONFLICT, "9\n")


def test_an_old_checkpoint_is_not_cosigned_again(witness: Listening, signer: CheckpointSigner) -> None:
    frontier = Frontier()
    notes = []
    for number in range(4):
        frontier.push(leaf_hash(bytes([number])))
        notes.append(
            signer.sign(Checkpoint(origin=signer.origin, size=number + 1, root=frontier.root()).text)
        )
    assert witness.client.post("/add-checkpoint", content=request_body(0, [], notes[3])).status_code == 200
    for old in (0, 1):
        answer = witness.client.post("/add-checkpoint", content=request_body(old, [], notes[1]))
        assert (answer.status_code, answer.text) == (HTTPStatus.CONFLICT, "4\n")
    too_small = witness.client.post("/add-checkpoint", content=request_body(4, [], notes[1]))
    assert too_small.status_code == HTTPStatus.BAD_REQUEST


def test_the_empty_tree(witness: Listening, signer: CheckpointSigner) -> None:
    false = signer.sign(Checkpoint(origin=signer.origin, size=0, root=b"\x01" * 32).text)
    assert witness.client.post("/add-checkpoint", content=request_body(0, [], false)).status_code == 422
    true = signer.sign(Checkpoint(origin=signer.origin, size=0, root=EMPTY_ROOT).text)
    assert witness.client.post("/add-checkpoint", content=request_body(0, [], true)).status_code == 200


def test_logs_and_keys_that_are_not_trusted(witness: Listening, signer: CheckpointSigner) -> None:
    text = Checkpoint(origin=signer.origin, size=1, root=b"\x01" * 32).text
    stranger = CheckpointSigner(b"s" * 32, "other.test/ledger")
    strangers = stranger.sign(Checkpoint(origin=stranger.origin, size=1, root=b"\x01" * 32).text)
    forger = CheckpointSigner(b"f" * 32, signer.origin)
    signatures = {strangers: 404, forger.sign(text): 403, stranger.sign(text): 403}
    for note, status in signatures.items():
        answer = witness.client.post("/add-checkpoint", content=request_body(0, [], note))
        assert answer.status_code == status
    assert witness.witness.latest() == []


def test_a_forged_proof_is_refused_and_kept_once(witness: Listening, signer: CheckpointSigner) -> None:
    first = signer.sign(Checkpoint(origin=signer.origin, size=4, root=b"\x01" * 32).text)
    second = signer.sign(Checkpoint(origin=signer.origin, size=6, root=b"\x02" * 32).text)
    assert witness.client.post("/add-checkpoint", content=request_body(0, [], first)).status_code == 200
    for proof in ([], [b"\x03" * 32], [b"\x01" * 32, b"\x02" * 32]):
        answer = witness.client.post("/add-checkpoint", content=request_body(4, proof, second))
        assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert len(witness.witness.conflicts()) == 1
    assert witness.witness.latest()[0].size == 4


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"old 01\n\nx\n1\nAAAA\n\n",
        b"old -1\n\nx",
        b"old 0\nAAAA\n\nfleetgate.test/ledger\n1\n",
        b"\xff\xfe",
        b"old 0\n" + b"A" * MAX_BODY_BYTES,
        b"old 0\n" + b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n" * 64 + b"\nx\n1\n",
    ],
)
def test_malformed_requests_are_told(witness: Listening, body: bytes) -> None:
    answer = witness.client.post("/add-checkpoint", content=body)
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert answer.text.strip()


def test_other_requests_are_none(witness: Listening) -> None:
    assert witness.client.get("/add-checkpoint").status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert witness.client.post("/").status_code == HTTPStatus.NOT_FOUND


def test_a_witness_for_a_log_of_another_name_is_refused(tmp_path: Path, signer: CheckpointSigner) -> None:
    listening = Listening(tmp_path / "w.db", 1, signer)
    listening.close()
    listening.logs = {"other.test/ledger": [signer.vkey]}
    with pytest.raises(SignatureError, match="verifier key of another log"):
        listening.open()


def test_a_missing_witness_is_a_failure_until_the_grace_ends(
    tmp_path: Path,
    open_ledger: Callable[..., Ledger],
    make_event: Callable[..., Event],
    witnesses: list[Listening],
) -> None:
    now = [datetime.now(UTC)]
    ledger = open_ledger(url_of(tmp_path))
    asking = cosigning(ledger, witnesses, quorum=2, clock=lambda: now[0])
    grown(ledger, make_event, 3)
    witnesses[0].reachable = False
    cosigned = asking.collect()
    assert cosigned.witnesses == ("witness.test/w2", "witness.test/w3")
    assert "cannot be reached" in cosigned.failures["witness.test/w1"]
    witnesses[1].reachable = False
    grown(ledger, make_event, 1)
    assert asking.collect().witnesses == ("witness.test/w3",)
    now[0] += timedelta(days=2)
    grown(ledger, make_event, 1)
    with pytest.raises(WitnessError, match="no quorum of witnesses within 1 day"):
        asking.collect()
    with pytest.raises(LedgerUnavailableError):
        ledger.append(make_event())


def test_the_first_checkpoint_needs_its_quorum_at_once(
    tmp_path: Path, open_ledger: Callable[..., Ledger], make_event: Callable[..., Event], witness: Listening
) -> None:
    ledger = open_ledger(url_of(tmp_path))
    grown(ledger, make_event, 1)
    witness.reachable = False
    with pytest.raises(WitnessError, match="none yet"):
        cosigning(ledger, [witness]).collect()


@pytest.mark.parametrize("quorum", [-1, 4])
def test_an_impossible_quorum_is_refused(
    tmp_path: Path, open_ledger: Callable[..., Ledger], witnesses: list[Listening], quorum: int
) -> None:
    with pytest.raises(ValueError, match="quorum out of range"):
        cosigning(open_ledger(url_of(tmp_path)), witnesses, quorum=quorum)


class LedgerAndWitness(RuleBasedStateMachine):
    """A ledger that grows, dies, is put back and forks, beside a witness that dies, too.

    The model knows one thing: what the witness has cosigned. A ledger that holds all of it may go on; every other
    one must be found out at the next collection, and never before it is cosigned.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ledger: Ledger | None = None

    @initialize(directory=st.uuids())
    def begin(self, directory: object) -> None:
        self.root = LedgerAndWitness.base / str(directory)
        self.root.mkdir()
        self.signer = CheckpointSigner(bytes(range(32)), "fleetgate.test/ledger")
        self.listening = Listening(self.root / "witness.db", 1, self.signer)
        self.seen: list[str] = []
        self.backups: list[list[str]] = []
        self.named = 0
        self.open()

    def open(self) -> None:
        engine = create_engine(url_of(self.root))
        create_tables(engine)
        self.ledger = Ledger(engine, signer=self.signer, sealer=NoDetail())

    def teardown(self) -> None:
        if self.ledger is not None:
            self.ledger.close()
            self.listening.close()
            shutil.rmtree(self.root)

    def actors(self) -> list[str]:
        assert self.ledger is not None
        return [entry.event.actor for entry in self.ledger.entries()]

    @rule(count=st.integers(1, 4))
    def append(self, count: int) -> None:
        assert self.ledger is not None
        for _ in range(count):
            self.named += 1
            event = Event(
                type=EventType.SERVE_ITEM_READ,
                outcome=Outcome.COMPLETED,
                actor=f"engineer-{self.named}",
                object="item",
            )
            self.ledger.append(event)

    @rule()
    def crash(self) -> None:
        assert self.ledger is not None
        self.ledger.close()
        self.open()

    @rule()
    def restart_the_witness(self) -> None:
        self.listening.restart()

    @rule()
    def back_up(self) -> None:
        assert self.ledger is not None
        self.ledger.close()
        shutil.copy(self.root / "ledger.db", self.root / f"backup-{len(self.backups)}.db")
        self.open()
        self.backups.append(self.actors())

    @precondition(lambda self: bool(self.backups))
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        assert self.ledger is not None
        number = data.draw(st.integers(0, len(self.backups) - 1))
        self.ledger.close()
        for name in ("ledger.db-wal", "ledger.db-shm"):
            (self.root / name).unlink(missing_ok=True)
        shutil.copy(self.root / f"backup-{number}.db", self.root / "ledger.db")
        self.open()

    @rule()
    def collect(self) -> None:
        assert self.ledger is not None
        held = self.actors()
        asking = cosigning(self.ledger, [self.listening])
        if held[: len(self.seen)] == self.seen:
            cosigned = asking.collect()
            assert cosigned.size == len(held)
            assert cosigned_at(cosigned.note, self.listening.witness.vkey) is not None
            self.seen = held
            return
        with pytest.raises(LedgerCorruptError):
            asking.collect()
        with pytest.raises(LedgerUnavailableError):
            self.append(1)
        self.ledger.close()
        self.open()

    @invariant()
    def the_witness_holds_what_it_cosigned(self) -> None:
        if self.ledger is not None:
            assert [each.size for each in self.listening.witness.latest()] in ([], [len(self.seen)])


class NoDetail:
    """No event of the machine has a detail."""

    def seal(self, subject: str, plaintext: bytes) -> bytes:
        raise AssertionError(subject, plaintext)

    def open(self, subject: str, sealed: bytes) -> bytes:
        raise AssertionError(subject, sealed)


def test_whatever_happens_the_witness_finds_it_out(tmp_path: Path) -> None:
    LedgerAndWitness.base = tmp_path
    from hypothesis.stateful import run_state_machine_as_test  # noqa: PLC0415

    run_state_machine_as_test(
        LedgerAndWitness,
        settings=settings(
            max_examples=5,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        ),
    )

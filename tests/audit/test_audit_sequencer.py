"""One sequencer for many processes: shared commits, strict messages, back-pressure, and nothing after its end."""

import json
import os
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from audit import messages
from audit.batch import MAX_SEALED_BYTES, SealedDetail
from audit.errors import (
    InvalidEventError,
    LedgerCorruptError,
    LedgerUnavailableError,
    MessageError,
)
from audit.events import Event, EventType, Outcome
from audit.ledger import Ledger
from audit.local_socket import connect, listen
from audit.messages import CheckpointRequest, Submission
from audit.sequenced_writer import SequencedWriter
from audit.sequencer import Sequencer
from sequencing import SIGNER, Processes, client_ledger, event_of, own_ledger, socket_of, wait_until

MakeEvent = Callable[..., Event]


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Ledger]:
    ledger = own_ledger(tmp_path)
    yield ledger
    ledger.close()


@pytest.fixture
def sequencer(owner: Ledger, tmp_path: Path) -> Iterator[Sequencer]:
    with Sequencer(owner, socket_of(tmp_path), checkpoint=owner.checkpoint) as sequencer:
        yield sequencer


@pytest.fixture
def client(sequencer: Sequencer, tmp_path: Path, sealer: object) -> Iterator[Ledger]:
    assert sequencer.alive
    ledger = client_ledger(tmp_path, sealer=sealer)
    yield ledger
    ledger.close()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(folder=tmp_path)
    yield processes
    processes.close()


def test_processes_share_commits(processes: Processes, tmp_path: Path) -> None:
    """Entries of several processes are in one commit, which is what a sequencer is for."""
    processes.start_sequencer()
    for _ in range(3):
        processes.start_client(threads=4)
    wait_until(lambda: len(processes.acknowledged()) >= 300)
    known = processes.acknowledged()
    with own_and_close(tmp_path) as ledger:
        entries = list(ledger.entries())
        assert known.items() <= {entry.index: entry.leaf_hash.hex() for entry in entries}.items()
        batches = defaultdict(set)
        for entry in entries:
            batches[entry.time].add(entry.event.actor.rsplit("-", 1)[0])
        assert max(len(actors) for actors in batches.values()) == 3
        assert ledger.verify().size >= 300


class own_and_close:  # noqa: N801 - a context manager like those of contextlib
    """The folder's ledger with a writer of its own, for a ``with`` block."""

    def __init__(self, folder: Path) -> None:
        self.ledger = own_ledger(folder)

    def __enter__(self) -> Ledger:
        return self.ledger

    def __exit__(self, *_: object) -> None:
        self.ledger.close()


def test_what_a_client_appends_is_the_entry_that_it_meant(
    client: Ledger, owner: Ledger, make_event: MakeEvent
) -> None:
    event = make_event(
        outcome=Outcome.INTENT,
        recording="r",
        item="i",
        release="l",
        grant="g",
        vehicle="v",
        recipient="c",
        purpose="p",
        rule="serve/x",
        digests={"b": "ab" * 32, "a": "cd" * 16},
        facts={"flag": True, "number": -5, "token": "a:b"},
    )
    with client.intent(event) as intent:
        assert owner.entry(intent.index).event == event
        intent.complete(facts={"bytes": 7})
    assert owner.entry(1).event.intent == 0
    with pytest.raises(InvalidEventError, match="settles no earlier entry"):
        client.append(make_event(intent=99))
    assert client.append(make_event()).index == 2


def test_detail_travels_sealed(client: Ledger, owner: Ledger, make_event: MakeEvent) -> None:
    """Law 9: the sequencer has no key for detail; its sealer fails the test when it is asked."""
    receipt = client.append(make_event(), detail="名字".encode(), subject="person-1")
    assert client.detail(receipt.index) == "名字".encode()
    with pytest.raises(AssertionError):
        owner.detail(receipt.index)
    with pytest.raises(InvalidEventError, match="too long"):
        client.append(make_event(), detail=bytes(MAX_SEALED_BYTES), subject="person-1")
    longest = bytes(MAX_SEALED_BYTES - 1024)
    assert client.detail(client.append(make_event(), detail=longest, subject="person-1").index) == longest


def test_commands_keep_writers_of_their_own_beside_the_sequencer(
    processes: Processes, tmp_path: Path
) -> None:
    """One chain, and no starving: a lone writer gets its turn while clients keep the sequencer busy."""
    processes.start_sequencer()
    processes.start_client(threads=8)
    with own_and_close(tmp_path) as command:
        mine = [command.append(event_of("command", number)).index for number in range(5)]
        assert mine == sorted(mine)
        later = len(processes.acknowledged())
        wait_until(lambda: len(processes.acknowledged()) > later + 20)
        assert command.verify().size >= later + 20


LINES = {
    "no JSON": b"append\n",
    "no object": b"[1]\n",
    "no number": b'{"checkpoint":true}\n',
    "a boolean for a number": b'{"checkpoint":true,"id":true}\n',
    "a fraction": b'{"checkpoint":true,"id":1.0}\n',
    "zero": b'{"checkpoint":true,"id":0}\n',
    "not canonical": b'{"checkpoint": true,"id":1}\n',
    "a doubled member": b'{"checkpoint":true,"id":1,"id":2}\n',
    "false": b'{"checkpoint":false,"id":1}\n',
    "an unknown member": b'{"checkpoint":true,"extra":1,"id":1}\n',
    "no event": b'{"event":null,"id":1}\n',
    "an empty event": b'{"event":{},"id":1}\n',
    "not UTF-8": b'{"event":"\xff","id":1}\n',
    "nested": b"[" * 100_000 + b"\n",
}
EVENT = {"actor": "a", "object": "b", "outcome": "completed", "type": "serve:item:read"}
EVENTS = {
    "an unknown act": {**EVENT, "type": "serve:item:steal"},
    "an unknown outcome": {**EVENT, "outcome": "done"},
    "a space": {**EVENT, "actor": "a b"},
    "a list for an actor": {**EVENT, "actor": ["a"]},
    "an unknown field": {**EVENT, "zone": "x"},
    "an index of its own": {**EVENT, "index": 0},
    "a null": {**EVENT, "recording": None},
    "facts of text": {**EVENT, "facts": {"text": "free text"}},
    "facts in a list": {**EVENT, "facts": [1]},
    "an empty member": {**EVENT, "facts": {}},
    "a short digest": {**EVENT, "digests": {"d": "ab"}},
    "an intent that settles": {**EVENT, "intent": 0, "outcome": "intent"},
    "a negative intent": {**EVENT, "intent": -1},
}
DETAIL = {"digest": "ab" * 32, "sealed": b64encode(b"sealed").decode(), "subject": "s"}
DETAILS = {
    "a list": [],
    "no subject": {key: value for key, value in DETAIL.items() if key != "subject"},
    "a subject of words": {**DETAIL, "subject": "a person"},
    "no base64": {**DETAIL, "sealed": "*"},
    "loose base64": {**DETAIL, "sealed": "c2VhbGVkeQ=\n="},
    "a short digest": {**DETAIL, "digest": "ab"},
    "one more member": {**DETAIL, "text": "x"},
}
MALFORMED = {
    **LINES,
    **{f"event: {name}": {"event": event, "id": 1} for name, event in EVENTS.items()},
    **{f"detail: {name}": {"detail": detail, "event": EVENT, "id": 1} for name, detail in DETAILS.items()},
}


def canonical(message: object) -> bytes:
    return json.dumps(message, sort_keys=True, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_message_is_refused(message: bytes | dict[str, object]) -> None:
    with pytest.raises(MessageError):
        messages.read_request(message if isinstance(message, bytes) else canonical(message))


def test_the_forms_that_the_table_above_breaks_are_read(make_event: MakeEvent) -> None:
    event = make_event(actor="a", object="b")
    detail = SealedDetail(subject="s", digest="ab" * 32, sealed=b"sealed")
    whole = canonical({"detail": DETAIL, "event": EVENT, "id": 7})
    assert messages.read_request(whole) == Submission(number=7, event=event, detail=detail)
    assert messages.read_request(whole) == messages.read_request(
        messages.numbered(messages.submission_body(event, detail), 7)
    )
    assert messages.read_request(canonical({"event": EVENT, "id": 1})).event == event
    assert messages.read_request(b'{"checkpoint":true,"id":1}\n') == CheckpointRequest(number=1)


ANSWERS = {
    "no JSON": b"ok\n",
    "cut short": b'{"hash":"',
    "no number": b'{"note":"x"}\n',
    "an unknown error": b'{"error":"SystemExit","id":1,"why":"x"}\n',
    "one more member": b'{"id":1,"note":"x","why":"x"}\n',
    "a short hash": b'{"hash":"ab","id":1,"index":0,"time":"2026-11-29T00:00:00.000000Z"}\n',
    "no time": b'{"hash":"' + b"ab" * 32 + b'","id":1,"index":0,"time":"now"}\n',
    "a negative index": b'{"hash":"'
    + b"ab" * 32
    + b'","id":1,"index":-1,"time":"2026-11-29T00:00:00.000000Z"}\n',
    "a boolean index": b'{"hash":"'
    + b"ab" * 32
    + b'","id":1,"index":true,"time":"2026-11-29T00:00:00.000000Z"}\n',
}


@pytest.mark.parametrize("line", ANSWERS.values(), ids=ANSWERS)
def test_a_malformed_answer_is_refused(line: bytes) -> None:
    with pytest.raises(MessageError):
        messages.read_answer(line)


ONE = canonical({"event": EVENT, "id": 1})
CUT_OFF = {
    "malformed": (b"append\n", 0),
    "too long": (b'{"event":"' + b"x" * (2 * messages.MAX_LINE_BYTES), 0),
    "a number again": (ONE + ONE, 1),
    "a number that falls": (canonical({"event": EVENT, "id": 2}) + ONE, 1),
    "half a message": (ONE[:-20], 0),
}


@pytest.mark.parametrize(("data", "appended"), CUT_OFF.values(), ids=CUT_OFF)
def test_a_client_that_says_something_else_is_cut_off(
    client: Ledger, owner: Ledger, tmp_path: Path, make_event: MakeEvent, data: bytes, appended: int
) -> None:
    """Law 5: nothing is appended for what is not understood; others are served on."""
    with connect(socket_of(tmp_path), 20) as raw, raw.makefile("rb") as answers:
        assert messages.read_hello(answers.readline()).vkey == SIGNER.vkey
        try:
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            assert len(data) > messages.MAX_LINE_BYTES
        try:
            rest = answers.read()
        except ConnectionResetError:
            rest = b""
        assert rest.count(b"hash") <= appended
    wait_until(lambda: owner.size == appended)
    assert client.append(make_event()).index == appended


def test_a_full_queue_holds_clients_back(
    owner: Ledger, tmp_path: Path, make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back-pressure: the sequencer takes no more than it may hold, and all is acknowledged in the end."""
    monkeypatch.setattr("audit.sequencer.QUEUE_ENTRIES", 3)
    with (
        Sequencer(owner, socket_of(tmp_path), checkpoint=owner.checkpoint),
        ThreadPoolExecutor(20) as pool,
        owner.engine.connect() as other,
    ):
        client = client_ledger(tmp_path)
        other.exec_driver_sql("ROLLBACK")
        other.exec_driver_sql("BEGIN IMMEDIATE")
        asked = [pool.submit(client.append, make_event()) for _ in range(20)]
        wait_until(lambda: len(client._writer._waiting) == 20)
        wait_until(lambda: owner._writer._thread is not None)
        held = len(owner._writer._queue)
        other.exec_driver_sql("ROLLBACK")
        indexes = sorted(each.result().index for each in asked)
        client.close()
    assert held <= 3
    assert indexes == list(range(20))


def test_a_client_whose_queue_stays_full_refuses(
    client: Ledger, make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.sequenced_writer.QUEUE_ENTRIES", 0)
    monkeypatch.setattr("audit.sequenced_writer.ACKNOWLEDGE_SECONDS", 0.05)
    with pytest.raises(LedgerUnavailableError, match="queue stayed full"):
        client.append(make_event())


def test_a_poisoned_writer_refuses_everybody(
    client: Ledger, owner: Ledger, tmp_path: Path, make_event: MakeEvent
) -> None:
    """Law 2: what one process finds out stops all of them, also those that come later."""
    other = client_ledger(tmp_path)
    other.append(make_event())
    owner.stop(LedgerCorruptError("the ledger was rolled back"))
    late = client_ledger(tmp_path)
    for ledger in (client, other, late):
        wait_until(lambda: ledger._writer.stopped is not None)  # noqa: B023 - waited for in this turn
        with pytest.raises(LedgerUnavailableError, match="rolled back"):
            ledger.require_running()
        with pytest.raises(LedgerUnavailableError, match="rolled back"):
            ledger.append(make_event())
    other.close()
    late.close()
    assert owner.size == 1


def test_a_transient_failure_refuses_without_poison(
    client: Ledger, owner: Ledger, make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.tables.SQLITE_LOCK_WAIT_MS", 50)
    with owner.engine.connect() as other:
        other.exec_driver_sql("ROLLBACK")
        other.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailableError, match="locked"):
            client.append(make_event())
        other.exec_driver_sql("ROLLBACK")
    client.require_running()
    assert client.append(make_event()).index == 0


def test_an_append_whose_answer_is_lost_is_refused_and_never_tried_again(
    processes: Processes, tmp_path: Path, make_event: MakeEvent
) -> None:
    """Law 2: the sequencer is killed while it commits; the client says unavailable, and goes on saying so."""
    processes.start_sequencer()
    told: list[BaseException] = []
    client = client_ledger(tmp_path, lost=told.append)
    client.append(make_event())
    with own_and_close(tmp_path) as ledger, ThreadPoolExecutor(8) as pool:
        with ledger.engine.connect() as other:
            other.exec_driver_sql("ROLLBACK")
            other.exec_driver_sql("BEGIN IMMEDIATE")
            asked = [pool.submit(client.append, make_event()) for _ in range(8)]
            wait_until(lambda: len(client._writer._waiting) == 8 and not client._writer._outbox)
            processes.kill_sequencer()
            for each in asked:
                with pytest.raises(LedgerUnavailableError, match="append failed"):
                    each.result()
            other.exec_driver_sql("ROLLBACK")
        processes.start_sequencer()
        with pytest.raises(LedgerUnavailableError, match="poisoned"):
            client.append(make_event())
        assert len(told) == 1
        assert ledger.size == 1
        client.close()
        again = client_ledger(tmp_path)
        assert again.append(make_event()).index == 1
        again.close()
        assert ledger.verify().size == 2


def test_a_client_waits_for_its_answers_when_it_closes(
    sequencer: Sequencer, owner: Ledger, tmp_path: Path, make_event: MakeEvent
) -> None:
    assert sequencer.alive
    told: list[BaseException] = []
    ledger = client_ledger(tmp_path, lost=told.append)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ledger.append, make_event()) for _ in range(8)]
        wait_until(lambda: ledger._writer._number == 8)
        ledger.close()
        assert sorted(each.result().index for each in asked) == list(range(8))
    with pytest.raises(LedgerUnavailableError):
        ledger.append(make_event())
    assert told == []
    assert owner.size == 8


def test_closing_answers_what_was_taken(owner: Ledger, tmp_path: Path, make_event: MakeEvent) -> None:
    """Each append is acknowledged and durable, or refused; none is left without an answer."""
    sequencer = Sequencer(owner, socket_of(tmp_path), checkpoint=owner.checkpoint)
    client = client_ledger(tmp_path)
    acknowledged: list[int] = []

    def work() -> None:
        while True:
            try:
                acknowledged.append(client.append(make_event()).index)
            except LedgerUnavailableError:
                return

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(acknowledged) > 20)
    sequencer.close()
    for thread in threads:
        thread.join()
    client.close()
    assert sorted(acknowledged) == list(range(owner.size))
    assert not socket_of(tmp_path).exists()


def test_a_checkpoint_is_made_by_the_sequencer_alone(
    client: Ledger, owner: Ledger, make_event: MakeEvent
) -> None:
    client.append(make_event())
    note = client.checkpoint()
    assert owner.latest_checkpoint() == note
    assert client.checkpoint() == note
    with pytest.raises(LedgerUnavailableError, match="through a sequencer"):
        client.own_writer  # noqa: B018 - raises


def test_what_the_sequencer_finds_at_a_checkpoint_stops_its_clients(
    owner: Ledger, tmp_path: Path, make_event: MakeEvent
) -> None:
    """Law 6: a fork that the witnesses show is found in one process and stops all."""

    def forked() -> str:
        error = LedgerCorruptError("witness w1 cosigned another tree")
        owner.stop(error)
        raise error

    with Sequencer(owner, socket_of(tmp_path), checkpoint=forked):
        clients = [client_ledger(tmp_path) for _ in range(2)]
        with pytest.raises(LedgerCorruptError, match="another tree"):
            clients[0].checkpoint()
        for client in clients:
            with pytest.raises(LedgerUnavailableError, match="another tree"):
                client.append(make_event())
            client.close()
    assert owner.size == 0


def test_one_sequencer_at_a_time_and_what_a_killed_one_left_is_replaced(
    processes: Processes, owner: Ledger, tmp_path: Path, make_event: MakeEvent
) -> None:
    processes.start_sequencer()
    with pytest.raises(LedgerUnavailableError, match="another sequencer"):
        Sequencer(owner, socket_of(tmp_path), checkpoint=owner.checkpoint)
    processes.kill_sequencer()
    assert socket_of(tmp_path).is_socket()
    with pytest.raises(LedgerUnavailableError, match="no sequencer"):
        client_ledger(tmp_path)
    with Sequencer(owner, socket_of(tmp_path), checkpoint=owner.checkpoint):
        client = client_ledger(tmp_path)
        assert client.append(make_event()).index == 0
        client.close()


def test_a_sequencer_of_another_ledger_is_refused(sequencer: Sequencer, tmp_path: Path) -> None:
    assert sequencer.alive
    with pytest.raises(LedgerUnavailableError, match="another ledger"):
        SequencedWriter(socket_of(tmp_path), "fleetgate.other/ledger+00000000+AQ==")


def test_an_acknowledgement_of_another_entry_is_none(tmp_path: Path, make_event: MakeEvent) -> None:
    """Law 6: the receipt's hash must be that of what was submitted."""
    path = socket_of(tmp_path)
    with listen(path) as listener:

        def lie() -> None:
            accepted, _ = listener.accept()
            with accepted, accepted.makefile("rb") as lines:
                accepted.sendall(messages.hello(SIGNER.vkey))
                lines.readline()
                time = "2026-11-29T00:00:00.000000Z"
                accepted.sendall(canonical({"hash": "ab" * 32, "id": 1, "index": 0, "time": time}))
                lines.read()

        liar = threading.Thread(target=lie)
        liar.start()
        writer = SequencedWriter(path, SIGNER.vkey)
        for expected in ("another entry", "poisoned"):
            with pytest.raises(LedgerUnavailableError, match=expected):
                writer.append(make_event(), None)
        writer.close()
        liar.join()


def test_a_path_longer_than_an_address_may_be(owner: Ledger, tmp_path: Path, make_event: MakeEvent) -> None:
    path = tmp_path / ("long" * 40) / "sequencer.sock"
    assert len(str(path)) > 108
    with Sequencer(owner, path, checkpoint=owner.checkpoint):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        writer = SequencedWriter(path, SIGNER.vkey)
        assert writer.append(make_event(), None).index == 0
        writer.close()


def test_a_directory_that_others_can_enter_is_refused(owner: Ledger, tmp_path: Path) -> None:
    path = socket_of(tmp_path)
    path.parent.mkdir(mode=0o755)
    path.parent.chmod(0o755)
    with pytest.raises(MessageError, match="not private"):
        Sequencer(owner, path, checkpoint=owner.checkpoint)
    (tmp_path / "link").symlink_to(path.parent)
    path.parent.chmod(0o700)
    with pytest.raises(OSError, match="directory"):
        Sequencer(owner, tmp_path / "link" / "sequencer.sock", checkpoint=owner.checkpoint)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_another_user_is_not_served(sequencer: Sequencer, owner: Ledger, tmp_path: Path) -> None:
    """Even where somebody opened directory and socket to all, the peer's user id decides."""
    assert sequencer.alive
    path = socket_of(tmp_path)
    program = f"""
import os, socket
sock = socket.socket(socket.AF_UNIX)
folder = os.open({str(path.parent)!r}, os.O_PATH)
os.setgid(65534); os.setuid(65534)
try:
    sock.connect(f"/proc/self/fd/{{folder}}/sequencer.sock")
    sock.sendall({ONE!r})
    print(sock.recv(4096))
except OSError as error:
    print(type(error).__name__)
"""
    closed = as_another(program)
    path.parent.chmod(0o777)
    path.chmod(0o666)
    assert closed == "PermissionError"
    assert as_another(program) in {"b''", "ConnectionResetError", "BrokenPipeError"}
    assert owner.size == 0


def as_another(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.strip()


def test_a_fork_of_the_process_cannot_append_through_its_parents_connection(
    client: Ledger, make_event: MakeEvent
) -> None:
    client.append(make_event())
    child = os.fork()
    if child == 0:
        try:
            client.append(make_event())
        except LedgerUnavailableError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_an_event_of_every_kind_survives_the_way(make_event: MakeEvent) -> None:
    for number, kind in enumerate(EventType, start=1):
        event = make_event(type=kind, outcome=Outcome.REFUSED, facts={"reason": "x"})
        read = messages.read_request(messages.numbered(messages.submission_body(event, None), number))
        assert read == Submission(number=number, event=event, detail=None)

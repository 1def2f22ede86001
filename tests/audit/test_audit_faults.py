"""Faults: kill -9, full and failing disks, rows changed behind the ledger's back (laws 2, 4 and 5)."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, delete, text, update

import audit
from audit.checkpoint import CheckpointSigner
from audit.errors import LedgerCorruptError, LedgerUnavailableError, VerificationError
from audit.events import Event
from audit.ledger import Ledger
from audit.tables import checkpoints, create_tables, details, entries, head, nodes

MakeEvent = Callable[..., Event]
APPENDER = Path(__file__).with_name("appender.py")
ROOT = Path(audit.__file__).parents[1]


def start_appender(url: str, actor: str, threads: int, count: int) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(  # noqa: S603 - this interpreter, a file of these tests
        [sys.executable, str(APPENDER), url, actor, str(threads), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def go(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.write(b"go\n")
    process.stdin.flush()


def acknowledged(process: "subprocess.Popen[bytes]") -> dict[int, str]:
    output, _ = process.communicate()
    whole = output[: output.rfind(b"\n") + 1].decode()
    return {int(index): digest for index, digest in (line.split() for line in whole.splitlines())}


def test_processes_and_threads_make_one_chain(database_url: str, open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger(database_url)
    processes = [start_appender(database_url, f"process-{number}", 4, 25) for number in range(3)]
    for process in processes:
        go(process)
    acknowledgements = [acknowledged(process) for process in processes]
    assert all(process.returncode == 0 for process in processes)
    merged = {index: digest for part in acknowledgements for index, digest in part.items()}
    assert sorted(merged) == list(range(300))
    assert {entry.index: entry.leaf_hash.hex() for entry in ledger.entries()} == merged
    assert ledger.verify().size == 300


def test_kill_at_any_time_loses_no_acknowledged_entry(
    database_url: str, open_ledger: Callable[..., Ledger], make_event: MakeEvent
) -> None:
    """Law 4: every acknowledged entry survives ``kill -9``, and the ledger opens and goes on."""
    open_ledger(database_url).close()
    known: dict[int, str] = {}
    pause = random.Random(20261121)  # noqa: S311 - times of the kills, reproducible
    for _ in range(4):
        process = start_appender(database_url, "victim", 4, 1_000_000)
        go(process)
        assert process.stdout is not None
        first = process.stdout.readline().split()
        try:
            process.wait(pause.uniform(0.0, 0.3))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
        known |= {int(first[0]): first[1].decode()} | acknowledged(process)
        assert process.returncode == -signal.SIGKILL
        ledger = open_ledger(database_url)
        assert ledger.append(make_event()).index >= len(known)
        assert ledger.verify().size == ledger.size
        stored = {entry.index: entry.leaf_hash.hex() for entry in ledger.entries()}
        assert known.items() <= stored.items()
        ledger.close()


def test_a_failing_disk_poisons_the_writer(tmp_path: Path) -> None:
    """Law 2: once a commit failed with an I/O error nothing is acknowledged any more."""
    program = f"""
import resource, sys
from sqlalchemy import create_engine
sys.path[:0] = [{str(ROOT)!r}, {str(APPENDER.parent)!r}]
from appender import NoSealer
from audit.checkpoint import CheckpointSigner
from audit.errors import LedgerUnavailableError
from audit.events import Event, EventType, Outcome
from audit.ledger import Ledger, create_tables
engine = create_engine("sqlite:///{tmp_path / "ledger.db"}")
create_tables(engine)
ledger = Ledger(engine, signer=CheckpointSigner(bytes(range(32)), "fleetgate.test/ledger"), sealer=NoSealer())
event = Event(type=EventType.SERVE_ITEM_READ, outcome=Outcome.COMPLETED, actor="a", object="b")
acknowledged = 0
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
while True:
    try:
        ledger.append(event)
    except LedgerUnavailableError as exc:
        first = str(exc)
        break
    acknowledged += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
try:
    ledger.append(event)
except LedgerUnavailableError as exc:
    print(acknowledged, "poisoned" in str(exc), "disk I/O error" in first)
ledger.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    count, poisoned, io_error = done.stdout.split()
    assert (poisoned, io_error) == ("True", "True")
    assert int(count) > 0


def test_after_a_failing_disk_the_next_process_has_every_acknowledged_entry(
    tmp_path: Path, open_ledger: Callable[..., Ledger], make_event: MakeEvent
) -> None:
    """Law 4: EIO."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    open_ledger(url).close()
    process = start_appender(url, "victim", 2, 1_000_000)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (400_000, 400_000))
    go(process)
    process.stderr = None
    known = acknowledged(process)
    ledger = open_ledger(url)
    stored = {entry.index: entry.leaf_hash.hex() for entry in ledger.entries()}
    assert known
    assert known.items() <= stored.items()
    assert ledger.append(make_event()).index == len(stored)
    assert ledger.verify().size == len(stored) + 1


def test_a_full_disk_refuses_and_service_returns_with_space(
    sqlite_ledger: Ledger, make_event: MakeEvent
) -> None:
    """Law 4: ENOSPC; each refused append says so, and nothing acknowledged is lost."""
    receipt = sqlite_ledger.append(make_event())
    connection = sqlite_ledger._writer._connection
    assert connection is not None
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    connection.commit()
    events = [make_event(object=f"item-{number}" + "x" * 150) for number in range(1000)]
    with pytest.raises(LedgerUnavailableError, match="full"):
        list(map(sqlite_ledger.append, events))
    size = sqlite_ledger.size
    assert sqlite_ledger.append(make_event()).index == size
    assert sqlite_ledger.entry(receipt.index).leaf_hash.hex() == receipt.leaf_hash
    assert sqlite_ledger.verify().size == size + 1


def test_a_locked_database_refuses_without_poison(
    tmp_path: Path, open_ledger: Callable[..., Ledger], make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.tables.SQLITE_LOCK_WAIT_MS", 50)
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    other = create_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    with other.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailableError, match="locked"):
            ledger.append(make_event())
        connection.rollback()
    other.dispose()
    assert ledger.append(make_event()).index == 0


def test_a_lost_postgresql_connection_refuses_and_recovers(
    postgresql_server: Callable[[str], str], open_ledger: Callable[..., Ledger], make_event: MakeEvent
) -> None:
    name = f"ledger_lost_{os.getpid()}"
    url = postgresql_server(name)
    ledger = open_ledger(url)
    ledger.append(make_event())
    other = create_engine(url, isolation_level="AUTOCOMMIT")
    with other.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = :name AND pid <> pg_backend_pid()"
            ),
            {"name": name},
        )
    other.dispose()
    with pytest.raises(LedgerUnavailableError):
        ledger.append(make_event())
    assert ledger.append(make_event()).index == 1
    assert ledger.verify().size == 2


def test_a_postgresql_that_is_not_durable_is_refused(postgresql_server: Callable[[str], str]) -> None:
    """Law 4: an acknowledgement that a power cut can take back is none."""
    url = postgresql_server(f"ledger_async_{os.getpid()}")
    engine = create_engine(url, connect_args={"options": "-c synchronous_commit=off"})
    with pytest.raises(LedgerUnavailableError, match="not durable"):
        create_tables(engine)
    engine.dispose()


def filled(ledger: Ledger, make_event: MakeEvent) -> None:
    for number in range(6):
        ledger.append(make_event(object=f"item-{number}", facts={"bytes": number}), detail=b"d", subject="s")
    ledger.checkpoint()


CHANGES = {
    "changed leaf": (update(entries).where(entries.c.entry_index == 3).values(leaf=b"{}"), 3),
    "changed hash": (update(entries).where(entries.c.entry_index == 3).values(leaf_hash=b"x" * 32), 3),
    "changed actor column": (update(entries).where(entries.c.entry_index == 3).values(actor="other"), 3),
    "changed time column": (update(entries).where(entries.c.entry_index == 3).values(time="x"), 3),
    "planted grant column": (
        update(entries).where(entries.c.entry_index == 3).values({"grant": "grant-1"}),
        3,
    ),
    "deleted entry": (delete(entries).where(entries.c.entry_index == 3), 3),
    "deleted last entry": (delete(entries).where(entries.c.entry_index == 5), 5),
    "deleted detail": (delete(details).where(details.c.entry_index == 2), 2),
}


@pytest.mark.parametrize(("change", "index"), CHANGES.values(), ids=CHANGES)
def test_a_changed_row_is_found(ledger: Ledger, make_event: MakeEvent, change: object, index: int) -> None:
    filled(ledger, make_event)
    with ledger._engine.begin() as connection:
        connection.execute(change)
    with pytest.raises(VerificationError) as caught:
        ledger.verify()
    assert caught.value.index == index


OPENING = {
    "deleted last entry": delete(entries).where(entries.c.entry_index == 5),
    "changed leaf": update(entries).where(entries.c.entry_index == 5).values(leaf=b"{}"),
    "frontier": update(head).values(frontier=b"x" * 64),
    "frontier too short": update(head).values(frontier=b"x"),
    "size too large": update(head).values(size=7),
    "size too small": update(head).values(size=5),
    "head gone": delete(head),
    "planted checkpoint": update(checkpoints).values(size=5),
    "forged checkpoint": update(checkpoints).values(note="fleetgate.test/ledger\n6\n"),
}


@pytest.mark.parametrize("change", OPENING.values(), ids=OPENING)
def test_a_ledger_whose_tail_differs_does_not_open(
    database_url: str, open_ledger: Callable[..., Ledger], make_event: MakeEvent, change: object
) -> None:
    """Law 5: broken evidence stops the ledger."""
    ledger = open_ledger(database_url)
    filled(ledger, make_event)
    with ledger._engine.begin() as connection:
        connection.execute(change)
    with pytest.raises(LedgerCorruptError):
        open_ledger(database_url)


def test_a_consistent_rollback_is_found_by_the_checkpoint(
    tmp_path: Path, open_ledger: Callable[..., Ledger], make_event: MakeEvent
) -> None:
    """Law 6: an old copy of the database with the newest checkpoint put back does not pass."""
    path = tmp_path / "ledger.db"
    ledger = open_ledger(f"sqlite:///{path}")
    ledger.append(make_event())
    ledger.close()
    shutil.copy(path, tmp_path / "old.db")
    ledger = open_ledger(f"sqlite:///{path}")
    ledger.append(make_event())
    note = ledger.checkpoint()
    ledger.close()
    old = create_engine(f"sqlite:///{tmp_path / 'old.db'}")
    with old.begin() as connection:
        connection.execute(checkpoints.insert().values(size=2, note=note))
    old.dispose()
    with pytest.raises(LedgerCorruptError, match="rolled back"):
        open_ledger(f"sqlite:///{tmp_path / 'old.db'}")


def test_a_rewritten_history_is_not_signed(
    tmp_path: Path, open_ledger: Callable[..., Ledger], make_event: MakeEvent
) -> None:
    """Law 6: a fork that is consistent in itself contradicts the checkpoint signed before."""
    honest = open_ledger(f"sqlite:///{tmp_path / 'honest.db'}")
    honest.append(make_event(actor="honest"))
    note = honest.checkpoint()
    forged = open_ledger(f"sqlite:///{tmp_path / 'forged.db'}")
    forged.append(make_event(actor="forged"))
    with forged._engine.begin() as connection:
        connection.execute(checkpoints.insert().values(size=1, note=note))
    forged.append(make_event())
    with pytest.raises(LedgerCorruptError, match="forked"):
        forged.checkpoint()
    with pytest.raises(LedgerCorruptError, match="forked"):
        forged.verify()


def test_a_head_that_goes_back_poisons_the_writer(ledger: Ledger, make_event: MakeEvent) -> None:
    filled(ledger, make_event)
    with ledger._engine.begin() as connection:
        connection.execute(update(head).values(size=0, frontier=b""))
    for expected in ("went back", "poisoned"):
        with pytest.raises(LedgerUnavailableError, match=expected):
            ledger.append(make_event())


def test_a_fork_by_another_writer_poisons(ledger: Ledger, make_event: MakeEvent) -> None:
    filled(ledger, make_event)
    with ledger._engine.begin() as connection:
        connection.execute(update(head).values(frontier=b"x" * 64))
    for expected in ("does not extend", "poisoned"):
        with pytest.raises(LedgerUnavailableError, match=expected):
            ledger.append(make_event())


def test_changed_nodes_are_found(sqlite_ledger: Ledger, make_event: MakeEvent) -> None:
    ledger = sqlite_ledger
    for number in range(257):
        ledger.append(make_event(object=f"item-{number}"))
    assert ledger.verify().size == 257
    for change, reason in (
        (update(nodes).values(hash=b"x" * 32), "node differs"),
        (delete(nodes), "node missing"),
    ):
        with ledger._engine.begin() as connection:
            connection.execute(change)
        with pytest.raises(LedgerCorruptError, match=reason):
            ledger.verify()


def test_a_fork_of_the_process_cannot_append(sqlite_ledger: Ledger, make_event: MakeEvent) -> None:
    sqlite_ledger.append(make_event())
    child = os.fork()
    if child == 0:
        try:
            sqlite_ledger.append(make_event())
        except LedgerUnavailableError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_full_queue_holds_callers_back(
    sqlite_ledger: Ledger, make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.writer.QUEUE_ENTRIES", 0)
    monkeypatch.setattr("audit.writer.ACKNOWLEDGE_SECONDS", 0.05)
    with pytest.raises(LedgerUnavailableError, match="queue stayed full"):
        sqlite_ledger.append(make_event())


def test_a_removed_database_is_not_begun_anew(
    tmp_path: Path,
    signer: CheckpointSigner,
    sealer: object,
    open_ledger: Callable[..., Ledger],
    make_event: MakeEvent,
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = open_ledger(url)
    ledger.append(make_event())
    with ledger._engine.begin() as connection:
        connection.execute(delete(head))
    engine = create_engine(url)
    with pytest.raises(LedgerCorruptError, match="head row is gone"):
        create_tables(engine)
    with pytest.raises(LedgerCorruptError, match="no single head"):
        Ledger(engine, signer=signer, sealer=sealer)
    engine.dispose()

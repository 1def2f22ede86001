"""A disk that is full or broken and a database that is locked or gone: an error to the sender, nothing lost."""

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import gateway.vault.durable
from audit.errors import LedgerUnavailableError
from audit.events import Outcome
from gateway.api.problems import describe
from gateway.flow.classify import readable_original
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce, load_quarantined, receive_item
from gateway.flow.records import EvidenceRow, ItemRow, RecordingRow
from gateway.vault.errors import StorageError
from simulators import House, csv_track, manifest_of, vehicle_actor

STEPS = frozenset({"open", "write", "fsync", "link"})
CONTENT = csv_track(120)


class FailingOs:
    """The os module of the vault, whose n-th call that changes the disk fails with an errno."""

    def __init__(self, at: int, number: int) -> None:
        self.left = at
        self.number = number
        self.fired: str | None = None

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in STEPS:
            return real

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                self.fired = name
                raise OSError(self.number, os.strerror(self.number))
            return real(*args, **kwargs)

        return counted


@contextmanager
def failing(at: int, number: int) -> Iterator[FailingOs]:
    faulty = FailingOs(at, number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway.vault.durable, "os", faulty)
        yield faulty


@pytest.fixture(scope="module")
def disk_gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    house = House(home=tmp_path_factory.mktemp("disk") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        yield gate


def announced(gate: Gate) -> str:
    manifest = manifest_of({"drive.csv": CONTENT})
    return announce(
        gate, Delivery(manifest=manifest, source="vehicle", manifest_signed=True), actor=vehicle_actor()
    )


def send(gate: Gate, recording: str) -> str:
    return receive_item(gate, recording, 0, [CONTENT], actor=vehicle_actor()).value


def attempted(work: Callable[[], str]) -> str | Exception:
    """What work returned, or the error that the sender is told of."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 (the outcome that a test looks at)
        return error


def check_awaited(gate: Gate, recording: str) -> None:
    """Nothing was acknowledged, so nothing may look as if it had been."""
    with gate.database.read() as session:
        item = session.scalars(sa.select(ItemRow).where(ItemRow.recording_id == recording)).one()
        evidence = session.scalar(sa.select(EvidenceRow.id).where(EvidenceRow.owner_id == item.id))
        assert (item.state, item.original_seal, evidence) == ("awaited", None, None)
        assert session.get_one(RecordingRow, recording).state == "received"


def check_whole(gate: Gate, recording: str) -> None:
    with gate.database.read() as session:
        item = session.scalars(sa.select(ItemRow.id).where(ItemRow.recording_id == recording)).one()
        quarantined = load_quarantined(gate, session, item)
    assert readable_original(gate, quarantined, encoding=None).read() == CONTENT


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_failing_disk_refuses_the_item_and_takes_it_later(disk_gate: Gate, number: int):
    """Law 4: at whatever step of sealing the disk fails, the sender learns of it and sends again."""
    fired = []
    recording = announced(disk_gate)
    for at in range(1, 50):
        with failing(at, number) as faulty:
            outcome = attempted(lambda: send(disk_gate, recording))
        if faulty.fired is None:
            assert outcome == "quarantined"
            break
        assert isinstance(outcome, StorageError)
        assert outcome.errno == number
        response = describe(outcome)
        assert (response.status_code, b"storage_unavailable" in response.body) == (503, True)
        fired.append(faulty.fired)
        last = disk_gate.ledger.entry(disk_gate.ledger.size - 1).event
        assert (last.outcome, dict(last.facts)) == (Outcome.FAILED, {"error": "StorageError"})
        check_awaited(disk_gate, recording)
    assert set(fired) == STEPS
    check_whole(disk_gate, recording)
    assert disk_gate.ledger.verify().open_intents == 0


def test_a_broken_stream_leaves_the_item_awaited(disk_gate: Gate):
    """A connection that breaks in the middle of an item is the sender's error, and the item is sent anew."""
    recording = announced(disk_gate)

    def breaking() -> Iterator[bytes]:
        yield CONTENT[:100]
        raise ConnectionResetError("the vehicle drove into a tunnel")

    with pytest.raises(ConnectionResetError):
        receive_item(disk_gate, recording, 0, breaking(), actor=vehicle_actor())
    check_awaited(disk_gate, recording)
    assert send(disk_gate, recording) == "quarantined"
    check_whole(disk_gate, recording)


def test_a_locked_database_refuses_the_item_and_takes_it_later(disk_gate: Gate):
    """SQLite: another process keeps the write lock longer than the gate waits for it."""
    recording = announced(disk_gate)
    impatient = lambda connection, _record: connection.execute("PRAGMA busy_timeout = 50")  # noqa: E731
    sa.event.listen(disk_gate.database.engine, "connect", impatient)
    disk_gate.database.engine.dispose()
    other = sa.create_engine(disk_gate.settings.state_url)
    try:
        with other.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            with pytest.raises(sa.exc.OperationalError, match="locked") as caught:
                send(disk_gate, recording)
            connection.rollback()
    finally:
        sa.event.remove(disk_gate.database.engine, "connect", impatient)
        disk_gate.database.engine.dispose()
        other.dispose()
    assert describe(caught.value).status_code == 503
    check_awaited(disk_gate, recording)
    assert send(disk_gate, recording) == "quarantined"
    check_whole(disk_gate, recording)


def test_a_lost_postgresql_refuses_the_item_and_takes_it_later(
    postgresql_server: Callable[[str], str], tmp_path: Path
):
    """Connections that end in the middle of an item: the next attempt finds new ones."""
    name = f"lost_{secrets.token_hex(8)}"
    house = House(home=tmp_path / "home", database_url=postgresql_server(name))
    with house.opened() as gate:
        house.furnish(gate)
        recording = announced(gate)

        def cut_off() -> Iterator[bytes]:
            yield CONTENT[:100]
            admin = sa.create_engine(gate.settings.state_url, isolation_level="AUTOCOMMIT")
            with admin.connect() as connection:
                connection.execute(
                    sa.text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name = :name AND pid <> pg_backend_pid()"
                    ),
                    {"name": name},
                )
            admin.dispose()
            yield CONTENT[100:]

        outcome = attempted(lambda: receive_item(gate, recording, 0, cut_off(), actor=vehicle_actor()))
        assert isinstance(outcome, Exception)
        assert describe(outcome).status_code == 503
        check_awaited(gate, recording)
        assert send(gate, recording) == "quarantined"
        check_whole(gate, recording)
        assert gate.ledger.verify().size == gate.ledger.size


def test_without_a_ledger_nothing_is_received(disk_gate: Gate):
    """Law 2: no ledger, no intake; not a byte of the item is even taken."""
    recording = announced(disk_gate)
    objects = disk_gate.settings.home / "objects"
    before = sorted(objects.iterdir())
    taken: list[bytes] = []

    def watched() -> Iterator[bytes]:
        taken.append(CONTENT)
        yield CONTENT

    other = sa.create_engine(disk_gate.settings.audit_url)
    with pytest.MonkeyPatch.context() as patch, other.connect() as connection:
        patch.setattr("audit.writer.ACKNOWLEDGE_SECONDS", 0.3)
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailableError) as caught:
            receive_item(disk_gate, recording, 0, watched(), actor=vehicle_actor())
        connection.rollback()
    other.dispose()
    assert describe(caught.value).status_code == 503
    assert (taken, sorted(objects.iterdir())) == ([], before)
    check_awaited(disk_gate, recording)
    assert send(disk_gate, recording) == "quarantined"
    disk_gate.ledger.verify()

"""Jobs: each run is on record, one process runs them, and none keeps another waiting."""

import dataclasses
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from audit.checkpoint import verify_checkpoint
from audit.events import Event, EventType, Outcome
from gateway.app import open_gate
from gateway.errors import ConfigurationError
from gateway.flow.gate import Gate
from gateway.flow.records import ItemRow, JobRunRow, RecordingRow
from gateway.scheduler import JOBS, run_job, scheduled, sole_scheduler
from gateway.workers import claim
from simulators import House, deliver

Later = Callable[..., Gate]


def last_run(gate: Gate, name: str) -> JobRunRow | None:
    with gate.database.read() as session:
        return session.get(JobRunRow, name)


@pytest.mark.parametrize("name", sorted(JOBS))
def test_each_run_is_intended_completed_and_kept(shared_gate: Gate, name: str):
    """Law 2: a job's intent precedes what it does, and its completion says what it did."""
    start = shared_gate.ledger.size
    result = run_job(shared_gate, name)
    events = [e.event for e in shared_gate.ledger.entries(start)]
    assert [e.outcome for e in events if e.object == name] == [Outcome.INTENT, Outcome.COMPLETED]
    assert dict(events[-1].facts) == dict(result)
    row = last_run(shared_gate, name)
    assert row is not None
    assert row.result == dict(result)
    run_job(shared_gate, name)
    with shared_gate.database.read() as session:
        count = session.scalar(
            sa.select(sa.func.count()).select_from(JobRunRow).where(JobRunRow.name == name)
        )
    assert count == 1


def test_a_job_that_fails_is_on_record_as_failed(shared_gate: Gate):
    """The settings name no archive."""
    without = dataclasses.replace(
        shared_gate, settings=shared_gate.settings.model_copy(update={"archive_dir": None})
    )
    kept = last_run(shared_gate, "archive")
    with pytest.raises(ConfigurationError, match="FLEETGATE_ARCHIVE_DIR"):
        run_job(without, "archive")
    last = shared_gate.ledger.entry(shared_gate.ledger.size - 1).event
    assert (last.outcome, dict(last.facts)) == (Outcome.FAILED, {"error": "ConfigurationError"})
    again = last_run(shared_gate, "archive")
    assert (again and again.finished_at) == (kept and kept.finished_at)


def test_the_checkpoint_job_signs_and_stores(shared_gate: Gate):
    run_job(shared_gate, "checkpoint")
    note = shared_gate.ledger.latest_checkpoint()
    assert note is not None
    signed = verify_checkpoint(note, shared_gate.ledger.signer.vkey)
    assert signed.size <= shared_gate.ledger.size
    assert shared_gate.ledger.verify().size == shared_gate.ledger.size


def test_stalled_recordings_go_on(shared_gate: Gate, files: dict[str, bytes], later: Later):
    """Law 4: a recording whose worker died goes on once its lease has ended."""
    recording = deliver(shared_gate, files)
    assert claim(shared_gate, recording, "dead-worker")
    late = later(shared_gate, seconds=shared_gate.settings.lease_s + 1)
    result = run_job(late, "retry_stalled")
    assert (result["recordings"], result["failed"]) == (1, 0)
    with shared_gate.database.read() as session:
        states = session.scalars(sa.select(ItemRow.state).where(ItemRow.recording_id == recording)).all()
        assert session.get_one(RecordingRow, recording).state == "cleansed"
    assert list(states) == ["cleansed"] * len(files)
    assert run_job(late, "retry_stalled")["recordings"] == 0


def test_one_recording_that_cannot_go_on_does_not_hold_up_the_rest(
    shared_gate: Gate, files: dict[str, bytes]
):
    """Law 5 stops the one whose key is gone, and law 4 lets the other arrive."""
    broken = deliver(shared_gate, files)
    good = deliver(shared_gate, files)
    shared_gate.keystore.destroy_kek(f"rec-{broken}")
    result = run_job(shared_gate, "retry_stalled")
    assert (result["recordings"], result["failed"]) == (2, 1)
    with shared_gate.database.read() as session:
        assert session.get_one(RecordingRow, good).state == "cleansed"
        assert session.get_one(RecordingRow, broken).state == "quarantined"
    with shared_gate.database.transaction() as session:
        session.get_one(RecordingRow, broken).state = "erased"


def test_intents_that_nothing_settled_within_a_day_are_counted(shared_house: House, shared_gate: Gate):
    assert run_job(shared_gate, "orphaned_intents")["orphans"] == 0
    shared_gate.ledger.append(
        Event(type=EventType.SERVE_ITEM_READ, outcome=Outcome.INTENT, actor="engineer", object="item")
    )
    assert run_job(shared_gate, "orphaned_intents")["orphans"] == 0
    tomorrow = datetime.now(UTC) + timedelta(days=1, minutes=1)
    with open_gate(shared_house.settings(), keystore=shared_house.keystore, clock=lambda: tomorrow) as gate:
        assert run_job(gate, "orphaned_intents")["orphans"] == 1


def test_one_process_schedules(shared_gate: Gate, shared_house: House):
    """The second is told so, and takes over when the first is gone."""
    with shared_house.opened() as other:
        with sole_scheduler(shared_gate) as first, sole_scheduler(other) as second:
            assert (first, second) == (True, False)
        with sole_scheduler(other) as second:
            assert second
            with scheduled(shared_gate) as running:
                assert not running
        with sole_scheduler(shared_gate) as first:
            assert first


def quickly(gate: Gate) -> Gate:
    """The gate with every job due each second."""
    each_second = dict.fromkeys(("checkpoint_interval_s", "sweep_interval_s", "archive_interval_s"), 1)
    settings = gate.settings.model_copy(update=each_second)
    return dataclasses.replace(gate, settings=settings)


def test_jobs_run_in_the_background(shared_gate: Gate):
    gate = quickly(shared_gate)
    with gate.database.transaction() as session:
        session.execute(sa.delete(JobRunRow))
    with scheduled(gate) as running:
        assert running
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with gate.database.read() as session:
                done = set(session.scalars(sa.select(JobRunRow.name)))
            if done == JOBS.keys():
                break
            time.sleep(0.1)
    assert done == JOBS.keys()
    size = gate.ledger.size
    time.sleep(1.2)
    assert gate.ledger.size == size


def test_runs_that_were_missed_are_made_up_for_once(sqlite_house: House):
    """A process that was stopped for seconds does not run a job once for each second that it missed."""
    stopped_s = 4.0
    with sqlite_house.opened() as gate:
        pid = os.fork()
        if pid == 0:
            try:
                with sqlite_house.opened() as own, scheduled(quickly(own)):
                    time.sleep(60)
            finally:
                os._exit(1)
        try:
            while not runs(gate, "checkpoint"):
                time.sleep(0.1)
            os.kill(pid, signal.SIGSTOP)
            before = runs(gate, "checkpoint")
            time.sleep(stopped_s)
            os.kill(pid, signal.SIGCONT)
            woken = datetime.now(UTC)
            while len(runs(gate, "checkpoint")) < len(before) + 2:
                time.sleep(0.1)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        made_up = [t for t in runs(gate, "checkpoint")[len(before) :] if t < woken + timedelta(seconds=0.8)]
    # The one that was missed, and at most the one that was due meanwhile.
    assert len(made_up) <= 2


def runs(gate: Gate, name: str) -> list[datetime]:
    return [
        e.time for e in gate.ledger.entries() if e.event.object == name and e.event.outcome is Outcome.INTENT
    ]

"""``fleetgate serve --workers``: one ledger, one memory of nonces and one set of jobs, whatever dies."""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest
import sqlalchemy as sa

from audit.errors import LedgerUnavailableError
from audit.events import Event, EventType, Outcome
from gateway.api import signing
from gateway.flow.gate import Gate
from gateway.flow.recording import RecordingState
from gateway.flow.records import JobRunRow, RecordingRow
from gateway.scheduler import sole_scheduler
from gateway.vehicles.manifest import sign_manifest
from serving_processes import SIGNATURES_LAST_S, Service, entries, live_workers
from simulators import VEHICLE, csv_track, manifest_of

CHECKPOINT = "/auditors/v1/ledger/checkpoint"
RECORDINGS = "/vehicles/v1/recordings"


@pytest.fixture(autouse=True)
def _long_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signatures that are still acceptable after a restart on a busy machine."""
    monkeypatch.setattr(signing, "DEFAULT_MAX_AGE_S", SIGNATURES_LAST_S)


def refused(answer: httpx.Response, reason: str) -> bool:
    return bool(answer.json()["reason"] == reason)


def test_a_request_replayed_to_another_worker_is_refused(service: Service):
    service.run()
    with service.clients() as (one, other):
        first, second = (service.signed("auditor", "GET", CHECKPOINT) for _ in range(2))
        assert one.send(first).status_code == 200
        assert other.send(second).status_code == 200
        for replayed, client in ((first, other), (second, one), (first, one)):
            answer = client.send(replayed)
            assert answer.status_code == 401
            assert refused(answer, "signature_replayed")


def test_a_repeated_request_has_its_answer_from_another_worker(service: Service):
    """Idempotency keys hold for the gate, not for a process."""
    service.run()
    body = json.dumps(announcement(service)).encode()
    with service.clients() as (one, other):
        first, again = (
            service.signed(VEHICLE, "POST", RECORDINGS, body=body, **{"Idempotency-Key": "key-1"})
            for _ in range(2)
        )
        told, repeated = one.send(first), other.send(again)
    assert told.status_code == repeated.status_code == 201
    assert told.content == repeated.content
    assert repeated.headers["idempotency-replayed"] == "true"


def test_processes_share_commits_and_commands_append_through_the_sequencer(service: Service):
    """Entries of workers and of a command beside them are in the same commits, far fewer than entries."""
    service.run()
    over = threading.Event()
    with service.house.opened() as gate, service.clients() as clients:
        assert gate.ledger.sequenced
        start = gate.ledger.size

        def append(number: int) -> None:
            while not over.is_set():
                gate.ledger.append(beside(number))

        with ThreadPoolExecutor(4) as pool:
            appending = [pool.submit(append, number) for number in range(4)]
            for _ in range(4):
                for client in clients:
                    assert client.send(service.signed("auditor", "GET", CHECKPOINT)).status_code == 200
            over.set()
        assert [each.result() for each in appending] == [None] * 4
        commits: dict[object, set[bool]] = {}
        count = 0
        for entry in gate.ledger.entries(start):
            commits.setdefault(entry.time, set()).add(entry.event.actor == "auditor")
            count += 1
        assert {True, False} in commits.values()
        assert len(commits) < count / 2
        assert gate.ledger.verify().size >= start + count


def beside(number: int) -> Event:
    return Event(
        type=EventType.SYSTEM_DISK_ALARM, outcome=Outcome.COMPLETED, actor="beside", object=f"thread-{number}"
    )


def test_jobs_run_in_one_process_and_what_arrives_is_carried_on_there(service: Service):
    service.run()
    recording = announced(service)
    with service.house.opened() as gate:
        with sole_scheduler(gate) as sole:
            assert not sole
        assert delivered(service, recording) == 201
        service.wait(lambda: state_of(gate, recording) == RecordingState.CLEANSED)
        acts = Counter(
            (entry.event.type, entry.event.outcome)
            for entry in gate.ledger.entries()
            if entry.event.recording == recording
        )
        assert acts[EventType.CLASSIFY_ITEM_CLASSIFY, Outcome.COMPLETED] == 1
        service.wait(lambda: ran(gate, "checkpoint"))


def test_a_worker_that_is_killed_is_replaced_and_leaves_a_finding(service: Service):
    """Law 4: what it had begun is an open intent; the vehicle delivers again, to whoever is there."""
    service.run()
    recording = announced(service)
    body = csv_track()
    half = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield body[: len(body) // 2]
        half.wait(60)
        yield body[len(body) // 2 :]

    with service.house.opened() as gate:
        before = live_workers(gate)
        with service.clients() as (client, other), ThreadPoolExecutor(1) as pool:
            request = service.signed(VEHICLE, "PUT", f"{RECORDINGS}/{recording}/items/0", body=body)
            headers = {name: value for name, value in request.headers.items() if name != "content-length"}
            sending = pool.submit(client.put, request.url, content=slowly(), headers=headers)
            service.wait(lambda: bool(begun(gate, recording)))
            os.kill(before[0], signal.SIGKILL)
            half.set()
            with pytest.raises(httpx.TransportError):
                sending.result()
            assert other.send(service.signed("auditor", "GET", CHECKPOINT)).status_code == 200
        (intent,) = begun(gate, recording)
        found = [entry.index for entry in gate.ledger.orphan_intents(timedelta(0))]
        assert intent in found
        service.wait(lambda: set(live_workers(gate)) - set(before) != set())
        assert before[1] in live_workers(gate)
        assert delivered(service, recording) == 201
        service.wait(lambda: state_of(gate, recording) == RecordingState.CLEANSED)


def test_without_the_sequencer_every_worker_answers_503_and_nothing_is_lost(service: Service):
    """Laws 2 and 4: ``kill -9`` of the sequencer; the gate is started anew, and a replay is still one."""
    service.run()
    acknowledged: dict[int, str] = {}
    spent = service.signed("auditor", "GET", CHECKPOINT)

    def append(number: int) -> None:
        while True:
            try:
                receipt = gate.ledger.append(beside(number))
            except LedgerUnavailableError:
                return
            acknowledged[receipt.index] = receipt.leaf_hash

    with service.house.opened() as gate, service.clients() as clients:
        assert clients[0].send(spent).status_code == 200
        with ThreadPoolExecutor(4) as pool:
            appending = [pool.submit(append, number) for number in range(4)]
            service.wait(lambda: len(acknowledged) > 100)
            os.kill(service.sequencer, signal.SIGKILL)
        assert [each.result() for each in appending] == [None] * 4
        nothing_is_answered(service, *clients)
    with service.house.opened() as gate:
        assert not gate.ledger.sequenced
        for index, digest in acknowledged.items():
            assert gate.ledger.entry(index).leaf_hash.hex() == digest
        assert gate.ledger.verify().size > max(acknowledged)
        victim = live_workers(gate)[0]
    os.kill(victim, signal.SIGKILL)
    time.sleep(0.2)
    with httpx.Client(base_url=service.url, timeout=60) as other:
        nothing_is_answered(service, other)
    service.end(expected=1)
    service.run()
    spent.url = spent.url.copy_with(port=service.port)
    with httpx.Client(timeout=60) as client:
        assert refused(client.send(spent), "signature_replayed")


def test_a_poisoned_writer_closes_every_worker(service: Service):
    """Law 2: a commit that fails for no passing reason ends all appending, also once the reason is gone."""
    service.run()
    with service.clients() as clients, service.house.opened() as gate:
        rename(gate, "ledger_head", "ledger_head_away")
        try:
            assert clients[0].send(service.signed("auditor", "GET", CHECKPOINT)).status_code == 503
        finally:
            rename(gate, "ledger_head_away", "ledger_head")
        service.wait(lambda: clients[1].get("/healthz").status_code == 503)
        nothing_is_answered(service, *clients)
        with pytest.raises(LedgerUnavailableError, match="poisoned"):
            gate.ledger.append(beside(0))
    service.end(expected=0)


def nothing_is_answered(service: Service, *clients: httpx.Client) -> None:
    for client in clients:
        for request in (
            service.signed("auditor", "GET", CHECKPOINT),
            httpx.Request("GET", f"{service.url}/healthz"),
            httpx.Request("GET", f"{service.url}/openapi.json"),
            httpx.Request("GET", f"{service.url}/none"),
        ):
            answer = client.send(request)
            assert answer.status_code == 503, answer.text
            assert refused(answer, "ledger_unavailable")
            assert answer.headers["cache-control"] == "no-store"


def announcement(service: Service) -> dict[str, str]:
    manifest = manifest_of({"drive.csv": csv_track()})
    return {"manifest": sign_manifest(manifest, service.house.vehicle_key)}


def announced(service: Service) -> str:
    answer = service.call(VEHICLE, "POST", RECORDINGS, document=announcement(service))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["recording"])


def delivered(service: Service, recording: str) -> int:
    body = csv_track()
    with httpx.Client(timeout=120) as client:
        sent = client.send(service.signed(VEHICLE, "PUT", f"{RECORDINGS}/{recording}/items/0", body=body))
    return sent.status_code


def begun(gate: Gate, recording: str) -> list[int]:
    """Indexes of intents to receive an item of a recording."""
    return [
        entry.index
        for entry in entries(gate, EventType.INTAKE_ITEM_RECEIVE)
        if entry.event.recording == recording and entry.event.outcome is Outcome.INTENT
    ]


def state_of(gate: Gate, recording: str) -> str:
    with gate.database.read() as session:
        return str(session.get_one(RecordingRow, recording).state)


def ran(gate: Gate, job: str) -> bool:
    with gate.database.read() as session:
        return session.get(JobRunRow, job) is not None


def rename(gate: Gate, table: str, name: str) -> None:
    with gate.ledger.engine.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE {table} RENAME TO {name}"))

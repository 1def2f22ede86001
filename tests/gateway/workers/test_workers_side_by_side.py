"""Workers, vehicles and publishers that meet on one recording: one set of evidence, one release."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from audit.events import Outcome
from gateway.errors import ConflictError
from gateway.flow.build import build_release
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce, receive_item
from gateway.flow.judge import judge_release
from gateway.flow.recording import Released, ReleaseMode, ReleaseState
from gateway.flow.records import EvidenceRow, ItemRow, RecordingRow, ReleaseRow
from gateway.flow.release import load_approved, release
from gateway.flow.request import ReleaseRequest, request_release
from gateway.people.registry import Actor, enrol_vehicle
from gateway.vault.jws import generate_person_key, public_text
from gateway.workers import Advance, advance, claim, hold, stalled
from simulators import (
    PURPOSE,
    RECIPIENT,
    House,
    candidate,
    cleanse,
    deliver,
    manifest_of,
    sign,
    vehicle_actor,
)

PATIENCE_S = 1.0


def both(*works: Callable[[], Any]) -> list[Any]:
    """Run works at once; what each returned, or the exception that it raised."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        start.wait(10)
        try:
            return work()
        except Exception as error:  # noqa: BLE001 (the outcome that a test looks at)
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


@contextmanager
def commits_meet(parties: int, of: type) -> Iterator[None]:
    """Hold each transaction that changed an ``of`` back before its commit until all are there, or patience ends.

    Where rows or locks make the transactions take turns, they cannot meet, and each goes on alone.
    """
    barrier = threading.Barrier(parties)

    def wait(session: Session) -> None:
        if not any(isinstance(row, of) for row in session.identity_map.values()):
            return
        try:
            barrier.wait(PATIENCE_S)
        except threading.BrokenBarrierError:
            return

    sa.event.listen(Session, "before_commit", wait)
    try:
        yield
    finally:
        sa.event.remove(Session, "before_commit", wait)


def attested(gate: Gate, recording: str) -> dict[str, list[str]]:
    """Stages attested for each item."""
    with gate.database.read() as session:
        rows = session.execute(
            sa.select(ItemRow.id, EvidenceRow.stage)
            .join(EvidenceRow, EvidenceRow.owner_id == ItemRow.id)
            .where(ItemRow.recording_id == recording)
            .order_by(EvidenceRow.id)
        ).all()
    found: dict[str, list[str]] = {}
    for item, stage in rows:
        found.setdefault(item, []).append(stage)
    return found


def completed(gate: Gate, kind: str, item: str) -> int:
    return sum(
        e.event.type.value == kind and e.event.item == item and e.event.outcome is Outcome.COMPLETED
        for e in gate.ledger.entries()
    )


def test_two_workers_make_one_set_of_evidence(
    shared_gate: Gate, shared_house: House, files: dict[str, bytes]
):
    """Law 6: whichever worker takes the lease carries the recording; the other has nothing to do or waits."""
    recording = deliver(shared_gate, files)
    with shared_house.opened() as other:
        outcomes = both(lambda: advance(shared_gate, recording), lambda: advance(other, recording))
    assert all(outcome is None or isinstance(outcome, Advance) for outcome in outcomes)
    assert any(outcome is not None and outcome.cleansed == len(files) for outcome in outcomes)
    found = attested(shared_gate, recording)
    assert list(found.values()) == [["received", "classified", "cleansed"]] * len(files)
    for item in found:
        assert completed(shared_gate, "classify:item:classify", item) == 1
        assert completed(shared_gate, "cleanse:item:cleanse", item) == 1


def test_threads_of_one_process_do_not_share_a_lease(shared_gate: Gate, files: dict[str, bytes]):
    """The server's worker and its scheduler are two workers."""
    recording = deliver(shared_gate, files)
    with shared_gate.database.read() as session:
        item = session.scalars(sa.select(ItemRow).where(ItemRow.recording_id == recording)).first()
    assert item is not None
    visited = threading.Event()
    outcomes: list[Advance | None] = []

    def progress(_stage: str, _done: int, _of: int) -> None:
        if not visited.is_set():
            visited.set()
            thread = threading.Thread(target=lambda: outcomes.append(advance(shared_gate, recording)))
            thread.start()
            thread.join()

    assert advance(shared_gate, recording, progress=progress) is not None
    assert outcomes == [None]


def test_the_lease_of_a_dead_worker_ends(
    shared_gate: Gate, files: dict[str, bytes], later: Callable[..., Gate]
):
    """Law 4: a worker that went silent loses its recording after ``lease_s`` seconds, not before."""
    recording = deliver(shared_gate, files)
    assert claim(shared_gate, recording, "dead-worker")
    seconds = shared_gate.settings.lease_s
    early, late = later(shared_gate, seconds=seconds - 30), later(shared_gate, seconds=seconds + 1)
    assert advance(early, recording) is None
    assert recording not in stalled(early)
    assert recording in stalled(late)
    outcome = advance(late, recording)
    assert outcome is not None
    assert outcome.cleansed == len(files)
    with shared_gate.database.read() as session:
        assert session.get_one(RecordingRow, recording).lease_owner is None


def test_a_worker_that_lost_its_lease_cannot_hold_what_another_cleansed(
    shared_gate: Gate, files: dict[str, bytes]
):
    recording = deliver(shared_gate, files)
    with shared_gate.database.read() as session:
        seen = session.scalars(sa.select(ItemRow).where(ItemRow.recording_id == recording)).all()
        kek = session.get_one(RecordingRow, recording).kek_id
    assert advance(shared_gate, recording) is not None
    for item in seen:
        hold(shared_gate, item, kek, reason="internal_error", detail="a reader that came too late")
    with shared_gate.database.read() as session:
        states = session.scalars(sa.select(ItemRow.state).where(ItemRow.recording_id == recording)).all()
    assert list(states) == ["cleansed"] * len(files)


def test_two_vehicles_deliver_at_once(shared_gate: Gate, shared_house: House, files: dict[str, bytes]):
    officer = shared_house.people["officer"].actor
    names = [f"vehicle-{tag}" for tag in ("a", "b")]
    for name in names:
        enrol_vehicle(shared_gate, name, public_text(generate_person_key()), actor=officer)

    def delivering(name: str) -> str:
        own = {"drive.csv": files["drive.csv"] + name.encode() + b",,,\n"}
        manifest = manifest_of(own, captured={})
        sent = Delivery(manifest=manifest, source="vehicle", manifest_signed=True)
        actor = Actor(id=name, kind="vehicle", roles=("vehicle",), nationality="CN", entity_country="CN")
        made = announce(shared_gate, sent, actor=actor)
        receive_item(shared_gate, made, 0, [own["drive.csv"]], actor=actor)
        return made

    made = both(*(lambda name=name: delivering(name) for name in names))
    with shared_gate.database.read() as session:
        assert [session.get_one(RecordingRow, r).state for r in made] == ["quarantined"] * 2


def test_the_last_two_items_arrive_at_once(shared_gate: Gate, files: dict[str, bytes]):
    """Law 4: neither leaves the recording waiting for the other for ever."""
    delivery = Delivery(manifest=manifest_of(files), source="vehicle", manifest_signed=True)
    recording = announce(shared_gate, delivery, actor=vehicle_actor())
    with commits_meet(2, ItemRow):
        states = both(
            *(
                lambda n=n, content=content: receive_item(
                    shared_gate, recording, n, [content], actor=vehicle_actor()
                )
                for n, content in enumerate(files.values())
            )
        )
    assert states == ["quarantined"] * 2
    with shared_gate.database.read() as session:
        assert session.get_one(RecordingRow, recording).state == "quarantined"


def test_one_item_delivered_twice_at_once_is_one_item(shared_gate: Gate, files: dict[str, bytes]):
    delivery = Delivery(manifest=manifest_of(files), source="vehicle", manifest_signed=True)
    recording = announce(shared_gate, delivery, actor=vehicle_actor())
    send = lambda: receive_item(  # noqa: E731
        shared_gate, recording, 0, [files["drive.csv"]], actor=vehicle_actor()
    )
    assert both(send, send) == ["quarantined"] * 2
    assert list(attested(shared_gate, recording).values()) == [["received"]]


def test_one_manifest_announced_twice_at_once_is_one_recording(shared_gate: Gate, files: dict[str, bytes]):
    manifest = manifest_of(files)
    delivery = Delivery(manifest=manifest, source="vehicle", manifest_signed=True)
    announcing = lambda: announce(shared_gate, delivery, actor=vehicle_actor())  # noqa: E731
    assert both(announcing, announcing) == [manifest.recording] * 2


def approved_pair(gate: Gate, house: House, *recordings: str) -> list[str]:
    """Candidates that were judged and approved while none of them was out."""
    made = [candidate(gate, house, recording) for recording in recordings]
    for each in made:
        sign(gate, house, each, "first")
        sign(gate, house, each, "second")
    return made


@pytest.mark.parametrize("copies", [1, 2], ids=["one recording", "one drive delivered twice"])
def test_of_two_releases_of_one_trip_one_goes_out(
    shared_gate: Gate, shared_house: House, files: dict[str, bytes], copies: int
):
    """Law 7: one trip is never released twice, also when two operators publish in the same moment."""
    recordings = [cleanse(shared_gate, files) for _ in range(copies)]
    made = approved_pair(shared_gate, shared_house, recordings[0], recordings[-1])
    actor = shared_house.people["first"].actor
    admitted = [load_approved(shared_gate, each, actor=actor) for each in made]
    with commits_meet(2, ReleaseRow):
        outcomes = both(*(lambda a=a: release(shared_gate, a, actor=actor) for a in admitted))
    assert {type(outcome) for outcome in outcomes} == {ConflictError, Released}
    with shared_gate.database.read() as session:
        states = [session.get_one(ReleaseRow, each).state for each in made]
    assert sorted(states) == [ReleaseState.APPROVED, ReleaseState.RELEASED]


def test_one_candidate_built_twice_at_once_is_built_once(
    shared_gate: Gate, shared_house: House, files: dict[str, bytes]
):
    """Law 6: two builders make one candidate; one that comes second fails or finds it done."""
    recording = cleanse(shared_gate, files)
    request = ReleaseRequest(
        recordings=[recording],
        purpose=PURPOSE,
        recipient=RECIPIENT,
        mode=ReleaseMode.LOCAL,
        expires_at=shared_gate.clock().replace(year=shared_gate.clock().year + 1),
    )
    made = request_release(shared_gate, request, actor=shared_house.people["submitter"].actor)
    both(lambda: build_release(shared_gate, made), lambda: build_release(shared_gate, made))
    with shared_gate.database.read() as session:
        state = session.get_one(ReleaseRow, made).state
    if state == ReleaseState.REQUESTED:
        build_release(shared_gate, made)
    judged = judge_release(shared_gate, made)
    assert len(judged.built.items) == len(files)
    assert {item.source for item in judged.built.items} == set(attested(shared_gate, recording))

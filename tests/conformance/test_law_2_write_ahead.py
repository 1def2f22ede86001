"""Law 2, write ahead: the intent is durable before the effect, completion follows; no ledger, no service."""

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from audit.errors import LedgerUnavailableError
from audit.events import EventType, Outcome
from audit.ledger import Ledger
from audit.query import EntryFilter, find_all
from conformance.conftest import Commons
from conformance.drives import CAPTURED, trip
from conformance.evidence_of_state import state_of
from conformance.wire import caller, serving
from gateway.api.signatures import content_digest
from gateway.flow.approve import approve, sign_approval
from gateway.flow.build import build_release
from gateway.flow.erase import erase_recording
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce, receive_item
from gateway.flow.judge import judge_release, load_judged
from gateway.flow.recording import ReleaseMode
from gateway.flow.records import AskedQuestionRow
from gateway.flow.release import (
    GrantTerms,
    issue_grant,
    load_approved,
    release,
    revoke_grant,
    revoke_release,
)
from gateway.flow.request import ReleaseRequest, request_release
from gateway.flow.serve import read_item, read_manifest
from gateway.ledger import KeystoreSealer
from gateway.vehicles.manifest import sign_manifest
from gateway.workers import advance
from simulators import (
    PURPOSE,
    RECIPIENT,
    VEHICLE,
    House,
    candidate,
    cleanse,
    deliver,
    grant,
    look,
    manifest_of,
    publish,
    sign,
    vehicle_actor,
)


@contextmanager
def ledger_refusing(gate: Gate, condition: str = "1") -> Iterator[Gate]:
    """The gate over a ledger whose disk refuses the rows that match; the real file, a real writer."""
    path = gate.settings.home / "ledger.db"
    _execute(path, f"CREATE TRIGGER refusing BEFORE INSERT ON ledger_entry WHEN {condition} "
                   "BEGIN SELECT RAISE(ABORT, 'no space'); END")  # fmt: skip
    engine = sa.create_engine(gate.settings.audit_url)
    ledger = Ledger(engine, signer=gate.ledger.signer, sealer=KeystoreSealer(gate.keystore))
    try:
        yield replace(gate, ledger=ledger)
    finally:
        ledger.close()
        engine.dispose()
        _execute(path, "DROP TRIGGER refusing")


def _execute(path, statement: str) -> None:
    connection = sqlite3.connect(path, timeout=20)
    with connection:
        connection.execute(statement)
    connection.close()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """One object in front of each stage, so that each act can be tried once and refused."""
    house = House(home=tmp_path_factory.mktemp("ahead") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        files = {"lidar/000000.bin": trip(3)["lidar/000000.bin"]}
        out = candidate(gate, house, cleanse(gate, trip(0), captured=CAPTURED))
        publish(gate, house, out)
        given = grant(gate, house, out)
        unapproved = candidate(gate, house, cleanse(gate, trip(1), captured=CAPTURED))
        approved = candidate(gate, house, cleanse(gate, trip(2), captured=CAPTURED))
        for person in ("first", "second"):
            sign(gate, house, approved, person)
        free = cleanse(gate, trip(5), captured=CAPTURED)
        requested = request_release(gate, terms(gate, free), actor=house.people["submitter"].actor)
        built = request_release(gate, terms(gate, free), actor=house.people["submitter"].actor)
        build_release(gate, built)
        with gate.database.read() as session:
            name = session.scalar(
                sa.text("SELECT name FROM release_item WHERE release_id = :id LIMIT 1"), {"id": out}
            )
        announced = announce_only(gate, files)
        yield SimpleNamespace(
            house=house, gate=gate, out=out, grant=given, name=name, unapproved=unapproved, approved=approved,
            free=free, requested=requested, built=built, announced=announced, files=files,
            quarantined=deliver(gate, trip(6), captured=CAPTURED),
        )  # fmt: skip


def terms(gate: Gate, recording: str) -> ReleaseRequest:
    return ReleaseRequest(
        recordings=[recording],
        purpose=PURPOSE,
        recipient=RECIPIENT,
        mode=ReleaseMode.LOCAL,
        expires_at=gate.clock() + timedelta(days=30),
    )


def announce_only(gate: Gate, files: dict[str, bytes]) -> str:
    delivery = Delivery(manifest=manifest_of(files), source="vehicle", manifest_signed=True)
    return announce(gate, delivery, actor=vehicle_actor())


def _approve(gate: Gate, at: SimpleNamespace) -> None:
    look(gate, at.house, at.unapproved, "first")
    with gate.database.read() as session:
        judged = load_judged(gate, session, at.unapproved)
    first = at.house.people["first"]
    approve(
        gate,
        at.unapproved,
        sign_approval(judged, first.actor.id, first.key, gate.clock()),
        actor=first.actor,
    )


def _person(at: SimpleNamespace, person: str):
    return at.house.people[person].actor


ACTS: dict[EventType, Callable[[Gate, SimpleNamespace], object]] = {
    EventType.INTAKE_RECORDING_RECEIVE: lambda gate, _at: announce_only(gate, trip(4)),
    EventType.INTAKE_ITEM_RECEIVE: lambda gate, at: receive_item(
        gate, at.announced, 0, list(at.files.values()), actor=vehicle_actor()
    ),
    EventType.JUDGE_ADVANCE_DECIDE: lambda gate, at: advance(gate, at.quarantined),
    EventType.CLASSIFY_ITEM_CLASSIFY: lambda gate, at: advance(gate, at.quarantined),
    EventType.RELEASE_RELEASE_REQUEST: lambda gate, at: request_release(
        gate, terms(gate, at.free), actor=_person(at, "submitter")
    ),
    EventType.RELEASE_RELEASE_BUILD: lambda gate, at: build_release(gate, at.requested),
    EventType.RELEASE_ITEM_UNLINK: lambda gate, at: build_release(gate, at.requested),
    EventType.JUDGE_RELEASE_JUDGE: lambda gate, at: judge_release(gate, at.built),
    EventType.JUDGE_RELEASE_DECIDE: lambda gate, at: judge_release(gate, at.built),
    EventType.APPROVE_RELEASE_SIGN: _approve,
    EventType.JUDGE_PUBLISH_DECIDE: lambda gate, at: load_approved(
        gate, at.approved, actor=_person(at, "first")
    ),
    EventType.RELEASE_RELEASE_PUBLISH: lambda gate, at: release(
        gate, load_approved(at.gate, at.approved, actor=_person(at, "first")), actor=_person(at, "first")
    ),
    EventType.GRANT_GRANT_ISSUE: lambda gate, at: issue_grant(
        gate,
        GrantTerms(release=at.out, principal="stranger", not_after=gate.clock() + timedelta(days=1)),
        actor=_person(at, "first"),
    ),
    EventType.GRANT_GRANT_REVOKE: lambda gate, at: revoke_grant(gate, at.grant, actor=_person(at, "first")),
    EventType.RELEASE_RELEASE_REVOKE: lambda gate, at: revoke_release(
        gate, at.out, actor=_person(at, "first")
    ),
    EventType.ERASE_RECORDING_ERASE: lambda gate, at: erase_recording(
        gate, at.free, actor=_person(at, "officer")
    ),
    EventType.JUDGE_DESTROY_DECIDE: lambda gate, at: erase_recording(
        gate, at.free, actor=_person(at, "officer")
    ),
    EventType.SERVE_MANIFEST_READ: lambda gate, at: read_manifest(
        gate, at.out, actor=_person(at, "engineer"), purpose=PURPOSE
    ),
    EventType.SERVE_ITEM_READ: lambda gate, at: read_item(
        gate, at.out, at.name, actor=_person(at, "engineer"), purpose=PURPOSE, wanted=None
    ),
    EventType.JUDGE_SERVE_DECIDE: lambda gate, at: read_item(
        gate, at.out, at.name, actor=_person(at, "engineer"), purpose=PURPOSE, wanted=None
    ),
}


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.value)
def test_an_act_whose_intent_the_ledger_refuses_has_no_effect(prepared: SimpleNamespace, act: EventType):
    if act is EventType.RELEASE_RELEASE_PUBLISH:
        # Approval may leave its mark; publication must not.
        load_approved(prepared.gate, prepared.approved, actor=_person(prepared, "first"))
    before = state_of(prepared.gate)
    with (
        ledger_refusing(prepared.gate, f"NEW.type = '{act.value}'") as gate,
        pytest.raises(LedgerUnavailableError),
    ):
        ACTS[act](gate, prepared)
    after = state_of(prepared.gate)
    allowed = {"asked_question"}
    if act in {EventType.JUDGE_ADVANCE_DECIDE, EventType.CLASSIFY_ITEM_CLASSIFY}:
        allowed |= {"recording"}  # the lease
    if act is EventType.INTAKE_RECORDING_RECEIVE:
        allowed |= {"keystore/kek"}  # under which lies what was asked
    assert {name for name in before if before[name] != after[name]} <= allowed
    assert_what_was_asked_is_attested(prepared.gate)


def assert_what_was_asked_is_attested(gate: Gate):
    """What policy was asked on the way lies beside the entry of that decision, which the ledger took."""
    with gate.database.read() as session:
        indices = session.scalars(sa.select(AskedQuestionRow.ledger_index)).all()
    assert indices
    for index in indices:
        event = gate.ledger.entry(index).event
        assert event.type.value.endswith(":decide")
        assert event.digests["asked"]


@pytest.mark.parametrize(
    "act", [EventType.INTAKE_ITEM_RECEIVE, EventType.CLASSIFY_ITEM_CLASSIFY], ids=lambda act: act.value
)
def test_a_stage_whose_completion_the_ledger_refuses_is_not_passed(prepared: SimpleNamespace, act: EventType):
    """Evidence that no ledger entry attests is never stored; what lies sealed meanwhile is an orphan."""
    before = state_of(prepared.gate)
    condition = f"NEW.type = '{act.value}' AND NEW.outcome = 'completed'"
    with ledger_refusing(prepared.gate, condition) as gate, pytest.raises(LedgerUnavailableError):
        ACTS[act](gate, prepared)
    after = state_of(prepared.gate)
    assert (after["item"], after["evidence"]) == (before["item"], before["evidence"])


def _without_what_asking_spends(gate: Gate) -> dict[str, Any]:
    """The state but for nonces and counts: that somebody asked is no effect of what was asked."""
    return {
        name: rows for name, rows in state_of(gate).items() if name not in {"spent_nonce", "request_window"}
    }


def test_no_ledger_no_service_over_http(prepared: SimpleNamespace):
    house = prepared.house
    engineer, vehicle = house.people["engineer"], house.vehicle_key
    manifest = manifest_of(trip(7))
    body = json.dumps({"manifest": sign_manifest(manifest, vehicle)}).encode()
    content = next(iter(prepared.files.values()))
    base = f"/downstream/v1/releases/{prepared.out}"
    item = f"/vehicles/v1/recordings/{prepared.announced}/items/0"
    with ledger_refusing(prepared.gate) as gate:
        # The server itself starts over a ledger that works, or it would not start at all.
        _execute(gate.settings.home / "ledger.db", "DROP TRIGGER refusing")
        with serving(gate) as origin:
            with caller(origin, "engineer", engineer.key, PURPOSE) as client:
                whole = client.get(f"{base}/items/{prepared.name}")
                assert whole.status_code == 200
            # Its completion follows the last byte; the disk fills up after that.
            while list(gate.ledger.entries())[-1].event.outcome is not Outcome.COMPLETED:
                time.sleep(0.02)
            _execute(gate.settings.home / "ledger.db",
                     "CREATE TRIGGER refusing BEFORE INSERT ON ledger_entry "
                     "BEGIN SELECT RAISE(ABORT, 'no space'); END")  # fmt: skip
            before = _without_what_asking_spends(gate)
            answers = []
            with caller(origin, "engineer", engineer.key, PURPOSE) as client:
                answers += [
                    client.get(path)
                    for path in (
                        "/downstream/v1/releases",
                        f"{base}/manifest",
                        f"{base}/items/{prepared.name}",
                        f"{base}/items/absent",
                    )
                ]
                answers.append(client.get(f"{base}/items/{prepared.name}", headers={"Range": "bytes=0-0"}))
            with caller(origin, VEHICLE, vehicle) as client:
                digest = {"Content-Digest": _digest_of(body)}
                answers.append(client.post("/vehicles/v1/recordings", content=body, headers=digest))
                digest = {"Content-Digest": _digest_of(content)}
                answers.append(client.put(item, content=content, headers=digest))
            with caller(origin, "first", house.people["first"].key) as client:
                answers.append(client.post(f"/operators/v1/grants/{prepared.grant}/revocation"))
            with caller(origin, "auditor", house.people["auditor"].key) as client:
                answers += [
                    client.get("/auditors/v1/ledger/entries"),
                    client.get("/auditors/v1/ledger/export"),
                ]
            with caller(origin) as client:
                answers.append(client.get(f"{base}/items/{prepared.name}"))
            assert [(a.status_code, a.json()["reason"]) for a in answers] == [
                (503, "ledger_unavailable")
            ] * len(answers)
            assert all(whole.content[:32] not in a.content for a in answers)
            assert _without_what_asking_spends(gate) == before


def _digest_of(content: bytes) -> str:
    return content_digest(hashlib.sha256(content).digest())


def test_every_effect_settles_an_earlier_intent(commons: Commons):
    """Over a whole life of a recording: no completion of an act without its intent before it."""
    commons.released()
    ahead = {
        EventType.INTAKE_RECORDING_RECEIVE, EventType.INTAKE_ITEM_RECEIVE, EventType.CLASSIFY_ITEM_CLASSIFY,
        EventType.CLEANSE_ITEM_CLEANSE, EventType.RELEASE_RELEASE_REQUEST, EventType.RELEASE_RELEASE_BUILD,
        EventType.RELEASE_ITEM_UNLINK, EventType.JUDGE_RELEASE_JUDGE, EventType.APPROVE_RELEASE_SIGN,
        EventType.RELEASE_RELEASE_PUBLISH, EventType.GRANT_GRANT_ISSUE, EventType.PEOPLE_PERSON_ENROL,
    }  # fmt: skip
    intents, seen = {}, set()
    for entry in commons.gate.ledger.entries():
        event = entry.event
        if event.outcome is Outcome.INTENT:
            intents[entry.index] = event
        elif event.type in ahead and event.outcome is Outcome.COMPLETED:
            intent = intents[event.intent]
            assert event.intent < entry.index
            assert (intent.type, intent.actor, intent.object) == (event.type, event.actor, event.object)
            seen.add(event.type)
    assert seen == ahead


def test_a_read_is_intended_before_its_first_byte_and_completed_after_its_last(prepared: SimpleNamespace):
    gate, ledger = prepared.gate, prepared.gate.ledger
    reader = _person(prepared, "engineer")
    start = ledger.size
    reading = read_item(gate, prepared.out, prepared.name, actor=reader, purpose=PURPOSE, wanted=None)
    opened = [e.event for e in ledger.entries(start)]
    assert (opened[0].type, opened[0].outcome) == (EventType.SERVE_ITEM_READ, Outcome.INTENT)
    assert all(e.outcome is not Outcome.COMPLETED or e.type is not EventType.SERVE_ITEM_READ for e in opened)
    content = b"".join(reading.chunks)
    last = list(ledger.entries(start))[-1]
    assert (last.event.type, last.event.outcome) == (EventType.SERVE_ITEM_READ, Outcome.COMPLETED)
    assert (last.event.intent, last.event.facts["bytes"]) == (start, len(content))


def test_a_reader_that_goes_away_leaves_its_mark(prepared: SimpleNamespace):
    ledger = prepared.gate.ledger
    reading = read_item(
        prepared.gate,
        prepared.out,
        prepared.name,
        actor=_person(prepared, "engineer"),
        purpose=PURPOSE,
        wanted=None,
    )
    next(reading.chunks)
    reading.chunks.close()
    last = list(ledger.entries(ledger.size - 1))[-1].event
    assert (last.type, last.outcome) == (EventType.SERVE_ITEM_READ, Outcome.FAILED)


def test_an_exception_leaves_a_failed_entry_and_no_effect(prepared: SimpleNamespace):
    before, ledger = state_of(prepared.gate), prepared.gate.ledger

    def broken() -> Iterator[bytes]:
        yield b"\x00" * 16
        raise ConnectionResetError("the vehicle went away")

    with pytest.raises(ConnectionResetError):
        receive_item(prepared.gate, prepared.announced, 0, broken(), actor=vehicle_actor())
    last = list(ledger.entries(ledger.size - 1))[-1].event
    assert (last.type, last.outcome) == (EventType.INTAKE_ITEM_RECEIVE, Outcome.FAILED)
    assert state_of(prepared.gate) == before


def test_a_refused_attempt_is_an_entry(prepared: SimpleNamespace):
    wanted = EntryFilter(actor="stranger", types=(EventType.SERVE_MANIFEST_READ,), outcome=Outcome.REFUSED)

    def refusals() -> int:
        with prepared.gate.ledger.snapshot() as snapshot:
            return len(list(find_all(snapshot, wanted)))

    before = refusals()
    with pytest.raises(Exception, match="no grant"):
        read_manifest(prepared.gate, prepared.out, actor=_person(prepared, "stranger"), purpose=PURPOSE)
    assert refusals() == before + 1


def test_two_readers_of_one_intent_cannot_both_settle_it(prepared: SimpleNamespace):
    """An intent is settled once, whichever thread comes first."""
    ledger = prepared.gate.ledger
    reading = [
        read_item(
            prepared.gate,
            prepared.out,
            prepared.name,
            actor=_person(prepared, "engineer"),
            purpose=PURPOSE,
            wanted=None,
        )
        for _ in range(2)
    ]
    threads = [threading.Thread(target=lambda r=r: b"".join(r.chunks)) for r in reading]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settled = [e.event.intent for e in ledger.entries() if e.event.intent is not None]
    assert len(settled) == len(set(settled))

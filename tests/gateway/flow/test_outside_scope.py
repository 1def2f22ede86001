"""What ends between intake and work holds a recording, what is registered since lets it go on (rule 7)."""

import dataclasses
from datetime import timedelta

import pytest
import sqlalchemy as sa

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.commands.deliver import recording_lines
from gateway.errors import DeniedError, EvidenceError
from gateway.flow.dossier import recording_summary
from gateway.flow.erase import erase_recording, expire_raw
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce
from gateway.flow.records import ItemRow
from gateway.flow.scope import HeldPage, review_held
from gateway.people.certificates import (
    Change,
    NewCertificate,
    NewChange,
    change_certificate,
    register_certificate,
)
from gateway.people.delegations import Delegation, assign_source, register_delegation
from gateway.people.records import PaperRow
from gateway.scheduler import retry_stalled
from gateway.workers import advance
from simulators import (
    CERTIFICATE,
    START,
    UNIT,
    VEHICLE,
    House,
    csv_track,
    deliver,
    manifest_of,
    vehicle_actor,
)

FILES = {"drive.csv": csv_track()}
ELSEWHERE = "440305"
YEAR = timedelta(days=365)


def later(gate: Gate, **delta: float) -> Gate:
    return dataclasses.replace(gate, clock=lambda: gate.clock() + timedelta(**delta))


def change(gate: Gate, house: House, what: Change, number: str = CERTIFICATE) -> None:
    officer = house.people["officer"]
    made = NewChange(number=number, change=what, since=gate.clock(), reason="an audit")
    change_certificate(gate, made, None, actor=officer.actor, key=officer.key)


def register(gate: Gate, house: House, **changes: object) -> None:
    officer = house.people["officer"]
    plain = NewCertificate(
        number="short",
        kinds=["navigation_map"],
        grade="A",
        holder=UNIT,
        regions=["11"],
        valid_from=START - YEAR,
        valid_to=gate.clock() + timedelta(days=1),
    )
    made = dataclasses.replace(plain, **changes)  # type: ignore[arg-type]
    register_certificate(gate, made, b"a scan", actor=officer.actor, key=officer.key)


def opened(gate: Gate, recording: str) -> bool:
    """Whether anything was classified: the ledger has the intent before an original is opened."""
    wanted = EntryFilter(recording=recording, types=(EventType.CLASSIFY_ITEM_CLASSIFY,))
    with gate.ledger.snapshot() as snapshot:
        return any(True for _ in find_all(snapshot, wanted))


def outside(gate: Gate, recording: str) -> bool:
    """Whether a worker that takes the recording up leaves it in quarantine as no certificate covers it."""
    done = advance(gate, recording)
    assert done is not None
    assert ("hold" in recording_summary(gate, recording)) is (done.outside is not None)
    return done.outside is not None


def test_what_ends_before_work_begins_holds_and_what_comes_into_force_lets_go_on(
    sqlite_gate: Gate, sqlite_house: House
):
    gate, house = sqlite_gate, sqlite_house
    suspended, lapsed = deliver(gate, FILES), deliver(gate, {"drive.csv": csv_track(401)})
    assert "hold" not in recording_summary(gate, suspended)
    change(gate, house, Change.SUSPEND)
    assert outside(gate, suspended)
    (violation,) = recording_summary(gate, suspended)["hold"]["violations"]
    (fact,) = violation["facts"]
    assert [gap["kind"] for gap in fact["certificate"]["interruptions"]] == ["suspended"]
    assert not opened(gate, suspended)
    change(gate, house, Change.REINSTATE)
    assert not outside(gate, suspended)
    assert recording_summary(gate, suspended)["state"] == "cleansed"

    change(gate, house, Change.WITHDRAW)
    register(gate, house)
    tomorrow = later(gate, days=2)
    assert outside(tomorrow, lapsed)
    assert not opened(gate, lapsed)
    # Another reason than before is news, and an entry.
    first = recording_summary(gate, lapsed)["hold"]["entry"]
    change(gate, house, Change.SUSPEND, number="short")
    assert outside(tomorrow, lapsed)
    assert recording_summary(gate, lapsed)["hold"]["entry"] > first
    end = gate.clock() + timedelta(days=1)
    register(gate, house, number="long", valid_to=end)
    register(gate, house, number="renewal", renews="long", valid_from=end, valid_to=end + YEAR)
    assert retry_stalled(tomorrow) == {"recordings": 1, "failed": 0, "outside": 0}
    assert recording_summary(gate, lapsed)["state"] == "cleansed"


def test_a_unit_without_licence_waits_for_its_delegation(sqlite_gate: Gate, sqlite_house: House):
    gate, house = sqlite_gate, sqlite_house
    officer = house.people["officer"]
    assign_source(gate, VEHICLE, "oem", actor=officer.actor, key=officer.key)
    recording = deliver(gate, FILES)
    assert outside(gate, recording)
    told = recording_lines(recording_summary(gate, recording))
    for shown in (
        "留在隔离区",
        "测绘法",
        "测绘资质须有效",
        "A surveying certificate is valid now",
        '"unit": "oem"',
    ):
        assert shown in told
    delegation = Delegation(
        id="contract-9",
        delegator="oem",
        certificate=CERTIFICATE,
        sources=["*"],
        kinds=["navigation_map"],
        regions=["1101"],
        valid_from=START - YEAR,
        valid_to=gate.clock() + YEAR,
    )
    register_delegation(gate, delegation, b"a contract", actor=officer.actor, key=officer.key)
    assert not outside(gate, recording)


def test_what_must_be_refused_at_the_door_is_refused_and_a_broken_register_opens_nothing(
    sqlite_gate: Gate,
):
    gate = sqlite_gate
    manifest = manifest_of(FILES, region=ELSEWHERE)
    unsigned = Delivery(manifest=manifest, source="vehicle", manifest_signed=False)
    with pytest.raises(DeniedError) as denied:
        announce(gate, unsigned, actor=vehicle_actor())
    assert [each.rule for each in denied.value.decision.violations] == ["known_source"]
    recording = deliver(gate, FILES)
    with gate.database.transaction() as session:
        session.execute(sa.delete(PaperRow).where(PaperRow.act == "certificate.register"))
    with pytest.raises(EvidenceError, match="missing from the register"):
        advance(gate, recording)
    assert retry_stalled(gate) == {"recordings": 1, "failed": 1, "outside": 0}
    assert not opened(gate, recording)


def test_a_held_recording_expires_and_is_erased_as_any_other(sqlite_gate: Gate, sqlite_house: House):
    gate = sqlite_gate
    expired = deliver(gate, FILES, region=ELSEWHERE)
    erased = deliver(gate, FILES, region=ELSEWHERE)
    for recording in (expired, erased):
        assert outside(gate, recording)
    erase_recording(gate, erased, actor=sqlite_house.people["officer"].actor)
    summary = recording_summary(gate, erased)
    assert (summary["state"], "hold" in summary) == ("erased", False)
    assert expire_raw(later(gate, days=13)) == 0
    assert expire_raw(later(gate, days=15)) == len(FILES)
    assert not outside(gate, expired)
    assert not opened(gate, expired)
    with gate.database.read() as session:
        left = session.execute(sa.select(ItemRow.state, ItemRow.original_seal)).all()
    assert {tuple(each) for each in left} == {("erased", None)}


def test_every_held_recording_is_listed_with_its_reason_by_pages(sqlite_gate: Gate, sqlite_house: House):
    gate, auditor = sqlite_gate, sqlite_house.people["auditor"].actor
    assert review_held(gate, actor=auditor, limit=1) == HeldPage(recordings=(), cursor=None)
    held = [deliver(gate, {"drive.csv": csv_track(400 + i)}, region=ELSEWHERE) for i in range(3)]
    deliver(gate, FILES)
    erase_recording(gate, held.pop(1), actor=sqlite_house.people["officer"].actor)
    first = review_held(gate, actor=auditor, limit=1)
    second = review_held(gate, actor=auditor, limit=1, after=first.cursor)
    assert [each["recording"] for each in (*first.recordings, *second.recordings)] == held
    assert second.cursor is None
    assert review_held(gate, actor=auditor, limit=2).recordings == (*first.recordings, *second.recordings)
    for told in first.recordings:
        summary = recording_summary(gate, told["recording"])
        assert {**told, "items": summary["items"]} == summary
        assert (told["hold"]["violations"][0]["rule"], told["region"]) == ("surveying_certificate", ELSEWHERE)
    wanted = EntryFilter(object="held", types=(EventType.AUDIT_LEDGER_QUERY,), outcome=Outcome.COMPLETED)
    with gate.ledger.snapshot() as snapshot:
        looks = sorted(find_all(snapshot, wanted), key=lambda entry: entry.index)
    assert [look.event.facts["recordings"] for look in looks] == [0, 1, 1, 2]
    assert {look.event.actor for look in looks} == {"auditor"}
    with pytest.raises(DeniedError):
        review_held(gate, actor=sqlite_house.people["engineer"].actor, limit=1)

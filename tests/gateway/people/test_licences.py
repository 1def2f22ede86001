"""Certificates, delegations and units: signed papers decide what may go on, whatever a column says (rule 7)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.errors import (
    ConflictError,
    DeniedError,
    EvidenceError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
)
from gateway.flow.dossier import recording_summary
from gateway.flow.gate import Gate
from gateway.flow.release import load_approved
from gateway.people.certificates import (
    Certificate,
    Change,
    NewCertificate,
    NewChange,
    certificates,
    change_certificate,
    register_certificate,
)
from gateway.people.delegations import (
    Delegation,
    assign_source,
    delegations,
    end_delegation,
    register_delegation,
    unit_of,
)
from gateway.people.papers import read_document
from gateway.people.records import CertificateRow, PaperRow
from gateway.people.suitability import Surveyed, certificate_for
from simulators import (
    CERTIFICATE,
    REGION,
    SMALL_DRIVE,
    START,
    UNIT,
    VEHICLE,
    House,
    candidate,
    cleanse,
    deliver,
    sign,
)

SCAN = b"%PDF-1.7 a scan that nobody reads in a database"
YEAR = timedelta(days=365)


@pytest.fixture
def house(sqlite_house: House) -> House:
    return sqlite_house


@pytest.fixture
def gate(house: House) -> Iterator[Gate]:
    with house.opened() as gate:
        house.furnish(gate)
        yield gate


def register(gate: Gate, house: House, **changes: object) -> str:
    plain = NewCertificate(
        number="甲测资字-2",
        kinds=["navigation_map"],
        grade="A",
        holder=UNIT,
        regions=["11"],
        valid_from=START - YEAR,
        valid_to=START + YEAR,
    )
    officer = house.people["officer"]
    made = replace(plain, **changes)  # type: ignore[arg-type]
    return register_certificate(gate, made, SCAN, actor=officer.actor, key=officer.key)


def change(gate: Gate, house: House, what: Change, since: datetime, number: str = CERTIFICATE) -> str:
    officer = house.people["officer"]
    made = NewChange(number=number, change=what, since=since, reason="an audit of the authority")
    return change_certificate(gate, made, None, actor=officer.actor, key=officer.key)


def delegate(gate: Gate, house: House, **changes: object) -> str:
    plain = Delegation(
        id="contract-9",
        delegator="oem",
        certificate=CERTIFICATE,
        sources=["*"],
        kinds=["navigation_map"],
        regions=["1101"],
        valid_from=START - YEAR,
        valid_to=START + YEAR,
    )
    officer = house.people["officer"]
    made = replace(plain, **changes)  # type: ignore[arg-type]
    return register_delegation(gate, made, SCAN, actor=officer.actor, key=officer.key)


def assign(gate: Gate, house: House, unit: str, **more: datetime) -> str:
    officer = house.people["officer"]
    return assign_source(gate, VEHICLE, unit, actor=officer.actor, key=officer.key, **more)


def certificate_of(gate: Gate, number: str) -> Certificate:
    with gate.database.read() as session:
        return next(each for each in certificates(gate, session) if each.number == number)


def hold_fact(gate: Gate) -> dict[str, object]:
    """The fact by which rule 7, and nothing else, holds a drive in quarantine."""
    hold = recording_summary(gate, deliver(gate, SMALL_DRIVE))["hold"]
    (violation,) = hold["violations"]
    assert violation["rule"] == "surveying_certificate"
    assert "测绘法" in violation["clause"]
    (fact,) = violation["facts"]
    return dict(fact)


def covered(gate: Gate) -> bool:
    """Whether nothing holds a drive that is delivered now."""
    return "hold" not in recording_summary(gate, deliver(gate, SMALL_DRIVE))


def test_a_suspension_holds_drives_until_it_is_over(gate: Gate, house: House):
    now = gate.clock()
    change(gate, house, Change.SUSPEND, now)
    fact = hold_fact(gate)
    assert [gap["kind"] for gap in fact["certificate"]["interruptions"]] == ["suspended"]
    change(gate, house, Change.REINSTATE, gate.clock())
    assert certificate_of(gate, CERTIFICATE).standing == "granted"
    assert covered(gate)


def test_a_drive_while_the_certificate_was_suspended_is_held(gate: Gate, house: House):
    change(gate, house, Change.SUSPEND, START + timedelta(minutes=10))
    change(gate, house, Change.REINSTATE, START + timedelta(minutes=20))
    assert hold_fact(gate)["started_at"].startswith("2026-09-14T01:30")


def test_a_withdrawn_certificate_comes_back_by_no_reinstatement(gate: Gate, house: House):
    change(gate, house, Change.WITHDRAW, gate.clock())
    for again in (Change.REINSTATE, Change.SUSPEND):
        with pytest.raises(ConflictError, match="withdrawn"):
            change(gate, house, again, gate.clock())
    hold_fact(gate)


def test_a_change_before_the_last_one_is_refused(gate: Gate, house: House):
    change(gate, house, Change.SUSPEND, gate.clock())
    with pytest.raises(ConflictError, match="later date"):
        change(gate, house, Change.REINSTATE, START)
    with pytest.raises(NotFoundError):
        change(gate, house, Change.SUSPEND, START, number="甲测资字-none")


def test_a_vehicle_of_a_unit_without_licence_needs_a_live_delegation(gate: Gate, house: House):
    assign(gate, house, "oem")
    assert hold_fact(gate)["delegations"] == []
    delegate(gate, house)
    assert covered(gate)
    officer = house.people["officer"]
    end_delegation(
        gate,
        "contract-9",
        since=gate.clock(),
        reason="the contract was cancelled",
        actor=officer.actor,
        key=officer.key,
    )
    (delegation,) = hold_fact(gate)["delegations"]
    assert delegation["valid_to"] < gate.clock().isoformat()


@pytest.mark.parametrize(
    "scope",
    [
        {"sources": ["another-vehicle"]},
        {"regions": ["110105"]},
        {"kinds": ["engineering_survey"]},
        {"valid_from": START + timedelta(seconds=1)},
        {"valid_to": START + timedelta(days=1)},
    ],
    ids=["vehicle", "region", "kind", "begun after the drive", "over"],
)
def test_a_delegation_covers_what_it_says_and_nothing_else(
    gate: Gate, house: House, scope: dict[str, object]
):
    assign(gate, house, "oem")
    delegate(gate, house, **scope)
    hold_fact(gate)


def test_a_vehicle_that_nobody_assigned_stays_out(tmp_path: Path):
    """What was enrolled before units were stated must be assigned before it delivers again."""
    house = House(home=tmp_path / "home")
    with house.opened() as gate:
        house.furnish(gate)
        with gate.database.transaction() as session:
            session.execute(sa.delete(PaperRow).where(PaperRow.act == "source.assign"))
        with pytest.raises(EvidenceError, match="missing from the register"):
            deliver(gate, SMALL_DRIVE)
        assert unit_of(gate, "another-vehicle", START) is None


def test_a_vehicle_that_changed_hands_collected_for_whom_it_then_did(gate: Gate, house: House):
    assign(gate, house, "oem", since=START + timedelta(days=1))
    assert unit_of(gate, VEHICLE, START) == UNIT
    assert unit_of(gate, VEHICLE, START + timedelta(days=2)) == "oem"
    assert covered(gate)


def test_grade_b_covers_districts_and_no_province(gate: Gate, house: House):
    register(gate, house, number="乙测资字-3", grade="B", holder="oem")
    assign(gate, house, "oem")
    assert hold_fact(gate)["certificate"]["grade"] == "B"
    register(gate, house, number="乙测资字-4", grade="B", holder="oem", regions=[REGION])
    assert covered(gate)


def test_a_renewal_without_a_gap_covers_drives_before_it(gate: Gate, house: House):
    renewed = START + timedelta(days=30)
    register(gate, house, number="old", valid_to=renewed)
    register(gate, house, number="new", valid_from=renewed, renews="old")
    assert certificate_of(gate, "new").since == START - YEAR
    register(gate, house, number="late", valid_from=renewed + timedelta(days=1), renews="old")
    assert certificate_of(gate, "late").since == renewed + timedelta(days=1)
    register(gate, house, number="wider", valid_from=renewed, renews="old", regions=["11", "31"])
    assert certificate_of(gate, "wider").since == renewed
    change(gate, house, Change.SUSPEND, START, number="old")
    assert [each.start for each in certificate_of(gate, "new").interruptions] == [START]


def test_what_fits_a_drive_best_is_what_it_is_judged_by(gate: Gate, house: House):
    register(gate, house, number="a-foreign", holder="somebody else")
    register(gate, house, number="a-lapsed", valid_to=START + timedelta(days=1))
    now = gate.clock()
    for unit, number in ((UNIT, CERTIFICATE), ("somebody else", "a-foreign")):
        drive = Surveyed(unit=unit, vehicle=VEHICLE, region=REGION, started_at=START, ended_at=START)
        with gate.database.read() as session:
            assert certificate_for(gate, session, [drive], now).number == number


def test_an_old_registration_is_shown_and_suffices_for_nothing(tmp_path: Path):
    """A row from before grade and holder were asked for: the drive is held, and the fact says why."""
    house = House(home=tmp_path / "home")
    with house.opened() as gate:
        house.furnish(gate)
        with gate.database.transaction() as session:
            session.add(
                CertificateRow(
                    number="甲测资字-old",
                    kinds=["navigation_map"],
                    regions=["11"],
                    valid_from=START - YEAR,
                    valid_to=START + 10 * YEAR,
                    document_digest="0" * 64,
                    unverified=False,
                    registered_by="officer",
                )
            )
        change(gate, house, Change.WITHDRAW, gate.clock())
        assign(gate, house, "oem")
        fact = hold_fact(gate)["certificate"]
        assert (fact["number"], fact["grade"], fact["holder"]) == ("甲测资字-old", None, None)


def test_no_row_brings_a_suspended_certificate_back(gate: Gate, house: House):
    """Law 6: the ledger misses the row that was deleted, and the signature what was changed."""
    digest = change(gate, house, Change.SUSPEND, gate.clock())
    with gate.database.read() as session:
        row = session.get_one(PaperRow, digest)
    with gate.database.transaction() as session:
        session.execute(sa.delete(PaperRow).where(PaperRow.digest == digest))
    with pytest.raises(EvidenceError, match="missing from the register"):
        deliver(gate, SMALL_DRIVE)
    changes = {"subject": "甲测资字-9", "act": "delegation.end", "signed_by": "first", "statement": "x.y.z"}
    for name, value in changes.items():
        values = {column.name: getattr(row, column.name) for column in PaperRow.__table__.columns}
        with gate.database.transaction() as session:
            session.add(PaperRow(**{**values, name: value}))
        with pytest.raises(EvidenceError):
            deliver(gate, SMALL_DRIVE)
        with gate.database.transaction() as session:
            session.execute(sa.delete(PaperRow).where(PaperRow.digest == digest))


def test_a_paper_that_the_ledger_never_saw_is_none(gate: Gate, house: House):
    """Who can write rows, and even sign, cannot lift a suspension without an entry."""
    change(gate, house, Change.SUSPEND, gate.clock())
    digest = change(gate, house, Change.REINSTATE, gate.clock())
    with gate.database.read() as session:
        row = session.get_one(PaperRow, digest)
        values = {column.name: getattr(row, column.name) for column in PaperRow.__table__.columns}
    change(gate, house, Change.SUSPEND, gate.clock())
    with gate.database.transaction() as session:
        session.add(PaperRow(**{**values, "digest": "0" * 64}))
    assert certificate_of(gate, CERTIFICATE).standing == "suspended"


def test_documents_are_sealed_and_a_look_at_one_is_an_entry(gate: Gate, house: House):
    digest = register(gate, house)
    for file in gate.settings.home.rglob("*"):
        assert not file.is_file() or SCAN not in file.read_bytes()
    assert read_document(gate, digest, actor=house.people["auditor"].actor) == SCAN
    with pytest.raises(ForbiddenError):
        read_document(gate, digest, actor=house.people["first"].actor)
    with pytest.raises(NotFoundError):
        read_document(gate, "0" * 64, actor=house.people["officer"].actor)
    wanted = EntryFilter(types=(EventType.PEOPLE_DOCUMENT_READ,))
    with gate.ledger.snapshot() as snapshot:
        outcomes = [entry.event.outcome for entry in find_all(snapshot, wanted)]
    assert outcomes == [Outcome.INTENT, Outcome.COMPLETED, Outcome.INTENT, Outcome.FAILED]


def test_approvals_under_a_certificate_that_was_withdrawn_since_do_not_count(gate: Gate, house: House):
    """Law 8: the licence is asked again at release and at publication."""
    release = candidate(gate, house, cleanse(gate, SMALL_DRIVE))
    sign(gate, house, release, "first")
    sign(gate, house, release, "second")
    change(gate, house, Change.WITHDRAW, gate.clock())
    with pytest.raises(DeniedError) as denied:
        load_approved(gate, release, actor=house.people["first"].actor)
    assert "surveying_certificate" in {each.rule for each in denied.value.decision.violations}


def test_only_a_compliance_officer_signs_papers(gate: Gate, house: House):
    for person in ("admin", "first", "auditor"):
        who = house.people[person]
        with pytest.raises(ForbiddenError):
            assign_source(gate, VEHICLE, "oem", actor=who.actor, key=who.key)
    with pytest.raises(EvidenceError, match="does not verify"):
        assign_source(
            gate, VEHICLE, "oem", actor=house.people["officer"].actor, key=house.people["first"].key
        )
    assert unit_of(gate, VEHICLE, START) == UNIT


BAD: dict[str, tuple[dict[str, object], type[Exception]]] = {
    "no kind": ({"kinds": []}, InvalidRequestError),
    "no region": ({"regions": []}, InvalidRequestError),
    "no code": ({"regions": ["Beijing"]}, InvalidRequestError),
    "no period": ({"valid_to": START - YEAR}, InvalidRequestError),
    "no grade": ({"grade": "甲"}, InvalidRequestError),
    "no holder": ({"holder": " "}, InvalidRequestError),
    "no number": ({"number": ""}, InvalidRequestError),
    "the same number": ({"number": CERTIFICATE}, ConflictError),
    "renews nothing": ({"renews": "甲测资字-none"}, NotFoundError),
}


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_certificate_is_refused_and_the_attempt_an_entry(name: str, gate: Gate, house: House):
    changes, error = BAD[name]
    with pytest.raises(error):
        register(gate, house, **changes)
    wanted = EntryFilter(types=(EventType.PEOPLE_CERTIFICATE_REGISTER,), outcome=Outcome.FAILED)
    with gate.ledger.snapshot() as snapshot:
        assert len(list(find_all(snapshot, wanted))) == 1


def test_a_malformed_delegation_is_refused(gate: Gate, house: House):
    for changes, error in (
        ({"sources": []}, InvalidRequestError),
        ({"valid_to": START - YEAR}, InvalidRequestError),
        ({"delegator": ""}, InvalidRequestError),
        ({"certificate": "甲测资字-none"}, NotFoundError),
        ({"delegator": UNIT}, ConflictError),
    ):
        with pytest.raises(error):
            delegate(gate, house, **changes)
    delegate(gate, house)
    with pytest.raises(ConflictError):
        delegate(gate, house)
    assert [each.id for each in delegations(gate)] == ["contract-9"]


def test_an_empty_document_is_refused(gate: Gate, house: House):
    officer = house.people["officer"]
    made = NewCertificate(
        number="n",
        kinds=["k"],
        grade="A",
        holder="u",
        regions=["11"],
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        valid_to=datetime(2027, 1, 1, tzinfo=UTC),
    )
    with pytest.raises(InvalidRequestError, match="0 bytes"):
        register_certificate(gate, made, b"", actor=officer.actor, key=officer.key)

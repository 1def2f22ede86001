"""The staff roster: changed by signed papers alone, told of any day; who is suspended counts nowhere (law 8)."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from gateway.errors import (
    ConflictError,
    DeniedError,
    EvidenceError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    UnauthenticatedError,
)
from gateway.flow.gate import Gate
from gateway.flow.release import load_approved
from gateway.people.delegations import assign_source
from gateway.people.records import PersonRow
from gateway.people.registry import prove
from gateway.people.roster import NewStanding, RosterChange, RosterEntry, change_person, roster
from gateway.reports.made import Wanted, gather_report, report_files
from gateway.reports.twin import Kind
from simulators import SMALL_DRIVE, VEHICLE, House, candidate, cleanse, sign

HOUR = timedelta(hours=1)


@pytest.fixture
def house(sqlite_house: House) -> House:
    return sqlite_house


@pytest.fixture
def gate(house: House) -> Iterator[Gate]:
    with house.opened() as gate:
        house.furnish(gate)
        yield gate


def change(
    gate: Gate, house: House, person: str, what: RosterChange, *, by: str = "officer", **to: object
) -> str:
    who = house.people[by]
    standing = NewStanding(**to) if to else None  # type: ignore[arg-type]
    return change_person(gate, person, what, reason="left", actor=who.actor, key=who.key, to=standing)


def entry(gate: Gate, person: str, **when: object) -> RosterEntry:
    with gate.database.read() as session:
        return next(each for each in roster(gate, session, **when) if each.person == person)  # type: ignore[arg-type]


def test_who_is_suspended_counts_nowhere_from_then_on(gate: Gate, house: House):
    release = candidate(gate, house, cleanse(gate, SMALL_DRIVE))
    sign(gate, house, release, "first")
    sign(gate, house, release, "second")
    change(gate, house, "second", RosterChange.SUSPEND)
    with pytest.raises(DeniedError) as denied:
        load_approved(gate, release, actor=house.people["first"].actor)
    assert {each.rule for each in denied.value.decision.violations} & {"approvals_signed", "enough_approvers"}
    second = house.people["second"]
    with pytest.raises(UnauthenticatedError):
        prove(gate, "second", second.key, "anything")
    with pytest.raises((DeniedError, ForbiddenError, UnauthenticatedError)):
        sign(gate, house, release, "second")
    change(gate, house, "second", RosterChange.REINSTATE)
    assert prove(gate, "second", second.key, "anything").id == "second"
    assert load_approved(gate, release, actor=house.people["first"].actor)


def test_a_suspended_officer_signs_no_paper_and_earlier_ones_stand(gate: Gate, house: House):
    deputy = house.enrol(gate, "deputy", "compliance_officer")
    assign_source(gate, VEHICLE, "oem", actor=deputy.actor, key=deputy.key)
    change(gate, house, "deputy", RosterChange.SUSPEND)
    with pytest.raises((ForbiddenError, NotFoundError)):
        assign_source(gate, VEHICLE, "other", actor=deputy.actor, key=deputy.key)
    with gate.database.read() as session:
        assert roster(gate, session)
    assert entry(gate, "deputy").suspended


def test_the_roster_of_a_day_is_what_stood_then(gate: Gate, house: House):
    before = gate.clock()
    change(gate, house, "first", RosterChange.CHANGE, roles=["auditor"], nationality="DE")
    between = gate.clock()
    change(gate, house, "first", RosterChange.SUSPEND)
    now = entry(gate, "first")
    assert (now.roles, now.nationality, now.suspended, now.reason) == (("auditor",), "DE", True, "left")
    then = entry(gate, "first", moment=between)
    assert (then.roles, then.suspended, then.until) == (("auditor",), False, now.since)
    first = entry(gate, "first", moment=before)
    assert (first.roles, first.nationality, first.paper, first.until) == (
        ("operator",),
        "CN",
        None,
        then.since,
    )
    with gate.database.read() as session:
        assert roster(gate, session, before - HOUR) == ()


def test_a_row_that_nobody_signed_is_found_out(gate: Gate, house: House):
    """Law 6: a column brings nobody back and makes nobody an operator."""
    change(gate, house, "second", RosterChange.SUSPEND)
    for values in ({"suspended_at": None}, {"roles": ["operator", "auditor"]}, {"nationality": "US"}):
        with gate.database.read() as session:
            row = session.get_one(PersonRow, "second")
            kept = {name: getattr(row, name) for name in values}
        with gate.database.transaction() as session:
            session.execute(sa.update(PersonRow).where(PersonRow.id == "second").values(values))
        with (
            gate.database.read() as session,
            pytest.raises(EvidenceError, match="other than what was signed"),
        ):
            roster(gate, session)
        with gate.database.transaction() as session:
            session.execute(sa.update(PersonRow).where(PersonRow.id == "second").values(kept))
    with gate.database.transaction() as session:
        session.execute(sa.update(PersonRow).where(PersonRow.id == "first").values(suspended_at=gate.clock()))
    with gate.database.read() as session, pytest.raises(EvidenceError, match="nobody signed"):
        roster(gate, session)


def test_changes_that_are_none_are_refused(gate: Gate, house: House):
    own = house.people["officer"]
    for attempt, error in (
        (lambda: change(gate, house, "nobody", RosterChange.SUSPEND), NotFoundError),
        (lambda: change(gate, house, "officer", RosterChange.SUSPEND), ConflictError),
        (lambda: change(gate, house, "first", RosterChange.REINSTATE), ConflictError),
        (lambda: change(gate, house, "first", RosterChange.CHANGE, roles=["operator"]), ConflictError),
        (lambda: change(gate, house, "first", RosterChange.CHANGE, roles=["king"]), InvalidRequestError),
        (lambda: change(gate, house, "first", RosterChange.CHANGE, nationality="cn"), InvalidRequestError),
        (lambda: change(gate, house, "first", RosterChange.SUSPEND, by="admin"), ForbiddenError),
        (
            lambda: change_person(
                gate, "first", RosterChange.SUSPEND, reason=" ", actor=own.actor, key=own.key
            ),
            InvalidRequestError,
        ),
    ):
        with pytest.raises(error):
            attempt()
    assert not entry(gate, "first").suspended


def test_the_report_tells_the_roster_and_is_the_same_again(gate: Gate, house: House):
    change(gate, house, "first", RosterChange.SUSPEND)
    note = gate.checkpoint()
    twin = gather_report(gate, Wanted(kind=Kind.ROSTER, note=note))
    line = next(row for row in twin["rows"] if row["person"] == "first")
    assert (line["roles"], line["nationality"], line["suspended"], line["signed_by"]) == (
        ["operator"],
        "CN",
        True,
        "officer",
    )
    assert {row["person"] for row in twin["rows"]} >= {"admin", "officer", "auditor", "engineer"}
    assert all(row["entry"] is not None for row in twin["rows"])
    change(gate, house, "second", RosterChange.SUSPEND)
    house.enrol(gate, "newcomer", "auditor")
    assert gather_report(gate, Wanted(kind=Kind.ROSTER, note=note)) == twin
    files = report_files(twin)
    assert json.loads(files["report.json"])["report"] == "roster"
    assert "人员名册" in files["report.zh.html"].decode()


def test_a_roster_is_of_no_later_moment_than_its_checkpoint(gate: Gate):
    note = gate.checkpoint()
    ahead = Wanted(kind=Kind.ROSTER, note=note, until=gate.clock() + HOUR)
    assert gather_report(gate, ahead)["of"] == gather_report(gate, replace(ahead, until=None))["of"]

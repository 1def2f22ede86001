"""Who may do what is policy (rules 4, 6, 23; GB/T 22239): no role stands in code, and every act is asked about."""

import ast
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import gateway
from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.errors import ActDeniedError, NotFoundError
from gateway.flow.asked import Kept, load_asked
from gateway.flow.gate import Gate
from gateway.flow.release import revoke_grant
from gateway.people.break_glass import READ_ORIGINAL
from gateway.people.papers import Act
from gateway.people.permission import Done, named_object, permit
from gateway.people.records import PersonRow
from gateway.reports.twin import Kind
from gateway.review.explained import explain
from gateway.vehicles.dbc import INSTALL
from policies.bundle import VerifiedBundle, shipped_bundle
from simulators import House

SOURCES = sorted(Path(gateway.__file__).parent.rglob("*.py"))
ROLES = {"operator", "auditor", "compliance_officer", "annotator", "engineer", "administrator"}

# Where a role is named in code, and why that decides nothing about an act.
NAMED = {
    "people/registry.py": "the vocabulary of roles",
    "flow/intake.py": "a fact of the question at intake: in which role a carrier was checked in",
    "commands/setup.py": "the first person of a gate, about whom nobody could be asked",
    "commands/demo.py": "enrols the people of the demonstration",
}


CONSTANTS = {"INSTALL": INSTALL, "READ_ORIGINAL": READ_ORIGINAL}


def _acts_asked() -> set[str]:
    """Names of acts in calls of ``permit`` and ``permit_on_release``, and what ``standing_fault`` looks up."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id not in {"permit", "permit_on_release", "_auditor"}:
                continue
            parts = [part for argument in node.args for part in ast.walk(argument)]
            if any(isinstance(part, ast.JoinedStr) for part in parts):
                found |= {f"report.{kind.value}" for kind in Kind}
                continue
            found |= {p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)}
            if any(isinstance(part, ast.Attribute) and part.attr == "act" for part in parts):
                found |= {act.value for act in Act}
            found |= {CONSTANTS[p.id] for p in parts if isinstance(p, ast.Name) and p.id in CONSTANTS}
    return found


def test_every_act_that_is_asked_about_is_in_the_table_and_the_other_way_round():
    law = shipped_bundle().data()["law"]["acts"]
    (table,) = law["permitted_roles"]["values"].values()
    assert _acts_asked() == table.keys()
    for name in ("excluded_acts", "own_acts"):
        (acts,) = law[name]["values"].values()
        assert {*acts, *(act for others in acts.values() for act in others)} <= table.keys()
    assert {role for roles in table.values() for role in roles} <= ROLES


def test_no_role_stands_in_the_code():
    named = {
        str(path.relative_to(Path(gateway.__file__).parent))
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value in ROLES
    }
    assert named == NAMED.keys()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House(home=tmp_path_factory.mktemp("permission") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        house.enrol(gate, "foreigner", "operator", nationality="US")
        house.enrol(gate, "leaver", "operator")
    return house


@pytest.fixture
def gate(house: House) -> Iterator[Gate]:
    with house.opened() as gate:
        yield gate


def _decisions(gate: Gate, actor: str):
    wanted = EntryFilter(actor=actor, types=(EventType.JUDGE_ACT_DECIDE,))
    with gate.ledger.snapshot() as snapshot:
        return list(find_all(snapshot, wanted))


def _rules(error: pytest.ExceptionInfo[ActDeniedError]) -> list[str]:
    return [violation.rule for violation in error.value.decision.violations]


def test_an_allowed_act_is_an_entry_with_bundle_and_hashed_question(gate: Gate, house: House):
    actor = permit(gate, house.people["first"].actor, "release.request")
    entry = _decisions(gate, "first")[-1]
    assert actor.id == "first"
    assert (entry.event.outcome, entry.event.facts["act"]) == (Outcome.COMPLETED, "release.request")
    assert entry.event.digests["bundle"] == gate.bundle.bundle.digest
    assert entry.event.digests["proof"] == actor.proof
    with gate.database.read() as session:
        asked = load_asked(gate, session, entry.index)
    assert (asked.kept, asked.allowed) == (Kept.KEPT, True)
    assert asked.question is not None
    assert asked.question.digest == entry.event.digests["question"]
    assert asked.question.document()["subject"]["roles"] == ["operator"]


def test_a_refused_act_is_an_entry_and_is_explained(gate: Gate, house: House):
    with pytest.raises(ActDeniedError, match=r"grant\.revoke to auditor: role_permitted"):
        revoke_grant(gate, "grant-77", actor=house.people["auditor"].actor)
    (found,) = explain(gate, "grant-77", actor=house.people["officer"].actor)
    assert (found["point"], found["about"], found["allowed"]) == ("act", "grant-77", False)
    (denied,) = found["denied_by"]
    assert (denied["rule"], denied["clause"][:14]) == ("role_permitted", "GB/T 22239-201")
    assert denied["facts"] == [
        {"act": "grant.revoke", "roles": ["auditor"], "permitted": ["operator", "compliance_officer"]}
    ]
    assert denied["text_zh"]
    with pytest.raises(NotFoundError):
        revoke_grant(gate, "grant-77", actor=house.people["first"].actor)


def test_an_act_that_nobody_registered_is_nobody_s(gate: Gate, house: House):
    with pytest.raises(ActDeniedError) as denied:
        permit(gate, house.people["admin"].actor, "release.fly")
    assert _rules(denied) == ["role_permitted"]


def test_who_is_not_domestic_does_nothing(gate: Gate, house: House):
    """Rule 23: also where the act itself looks at no data."""
    with pytest.raises(ActDeniedError) as denied:
        permit(gate, house.people["foreigner"].actor, "release.review", on="rel-1")
    assert _rules(denied) == ["domestic_person"]
    abroad = dataclasses.replace(gate, settings=gate.settings.model_copy(update={"country": "SG"}))
    with pytest.raises(ActDeniedError) as denied:
        permit(abroad, house.people["first"].actor, "release.review", on="rel-1")
    assert _rules(denied) == ["domestic_person"]


def test_the_roster_counts_and_not_what_proved_the_identity(gate: Gate, house: House):
    """Law 6: an actor that was made before somebody was suspended, or lost a role, gets no further."""
    leaver = house.people["leaver"].actor
    permit(gate, leaver, "release.request")
    with gate.database.transaction() as session:
        session.execute(sa.update(PersonRow).where(PersonRow.id == "leaver").values(roles=["engineer"]))
    with pytest.raises(ActDeniedError) as denied:
        permit(gate, leaver, "release.request")
    assert _rules(denied) == ["role_permitted"]
    with gate.database.transaction() as session:
        session.execute(
            sa.update(PersonRow)
            .where(PersonRow.id == "leaver")
            .values(roles=["operator"], suspended_at=gate.clock())
        )
    with pytest.raises(ActDeniedError) as denied:
        permit(gate, leaver, "release.request")
    assert _rules(denied) == ["active_person"]
    ghost = dataclasses.replace(leaver, id="ghost")
    with pytest.raises(ActDeniedError) as denied:
        permit(gate, ghost, "release.request")
    assert _rules(denied) == ["active_person"]


def test_originals_are_for_operators_under_break_glass_in_the_zone(gate: Gate, house: House):
    """Rule 4."""
    with pytest.raises(ActDeniedError) as denied:
        permit(gate, house.people["officer"].actor, "original.read", on="item-1")
    assert {"raw_zone", "role_permitted", "break_glass_approved"} <= set(_rules(denied))


def test_who_did_what_is_told(gate: Gate, house: House):
    submitted = Done(act="release.request", person="first", roles=("operator",))
    with pytest.raises(ActDeniedError) as denied:
        permit(gate, house.people["first"].actor, "release.approve", on="rel-2", done=(submitted,))
    assert _rules(denied) == ["duties_separated"]
    with pytest.raises(ActDeniedError) as denied:
        permit(gate, house.people["first"].actor, "release.approve", on="rel-2")
    assert _rules(denied) == ["duties_separated"], "nobody said who submitted"
    permit(gate, house.people["second"].actor, "release.approve", on="rel-2", done=(submitted,))


def test_only_a_policy_is_put_into_force_while_none_is(gate: Gate, house: House):
    never = gate.clock().replace(year=1971)
    over = VerifiedBundle(bundle=gate.bundle.bundle, signer="nobody", not_before=never, not_after=never)
    lapsed = dataclasses.replace(gate, bundle=over)
    permit(lapsed, house.people["officer"].actor, "policy.sign")
    with pytest.raises(ActDeniedError) as denied:
        permit(lapsed, house.people["officer"].actor, "recording.erase")
    assert _rules(denied) == ["policy_in_force"]


@pytest.mark.parametrize("name", ["路径/秘密", "x" * 65, "a b", ""])
def test_what_is_no_id_is_named_by_its_digest(name: str):
    """Rule 28: a path from outside may hold content."""
    assert len(named_object(name)) == 64
    assert named_object(name).isalnum()


def test_asking_costs_little(gate: Gate, house: House):
    """A person does not wait for it: decision, entry and kept question in a few milliseconds of one core."""
    actor = house.people["first"].actor
    permit(gate, actor, "release.request")
    started = time.process_time()
    for _ in range(20):
        permit(gate, actor, "release.request")
    assert (time.process_time() - started) / 20 < 0.05

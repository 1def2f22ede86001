"""Operators' own bundles: two persons, examined, dated, verified at each start (rule 1, laws 5, 6 and 8)."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from importlib import resources
from pathlib import Path

import pytest
import sqlalchemy as sa

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.app import initialise, open_gate
from gateway.errors import ConflictError, EvidenceError, ForbiddenError, InvalidRequestError, NotFoundError
from gateway.flow.gate import Gate
from gateway.people.policies import Examined, Period, install_bundle, propose_bundle
from gateway.people.policy_in_force import shipped_files, statements_of
from gateway.people.records import PolicyBundleRow, PolicyStatementRow
from policies.bundle import shipped_bundle
from policies.drafts import packed_files
from policies.errors import BundleError, VectorMismatchError
from simulators import House

WEEK = timedelta(days=7)
Edit = Callable[[Path], None]


def edited(folder: Path, name: str, before: str, after: str) -> None:
    file = folder / name
    text = file.read_text("utf-8")
    assert before in text
    file.write_text(text.replace(before, after), "utf-8")


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    """The shipped bundle with an assessment from 50,000 subjects on, a year from now."""
    folder = tmp_path / "draft"
    shutil.copytree(str(resources.files("policies")), folder)
    edited(folder, "data/subjects.yaml", '"2021-10-01": 100000', '"2021-10-01": 100000, "2027-06-01": 50000')
    return folder


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House(home=tmp_path_factory.mktemp("bundles"))
    with house.opened() as gate:
        house.furnish(gate)
    return house


def at(house: House, moment: datetime, **more: bool) -> AbstractContextManager[Gate]:
    return open_gate(house.settings(), keystore=house.keystore, clock=lambda: moment, **more)


@pytest.fixture(scope="module")
def gate(house: House) -> Iterator[Gate]:
    with house.opened() as gate:
        yield gate


def propose(house: House, gate: Gate, files: dict[str, bytes], by: str, **more: object) -> Examined:
    now = gate.clock()
    period = Period(not_before=now - timedelta(minutes=1), not_after=more.pop("until", now + WEEK))  # type: ignore[arg-type]
    who = house.people[by]
    accepted = bool(more.pop("accepted", False))
    return propose_bundle(gate, files, period, accepted=accepted, actor=who.actor, key=who.key)


def install(house: House, gate: Gate, digest: str, by: str) -> None:
    install_bundle(gate, digest, actor=house.people[by].actor, key=house.people[by].key)


def test_a_bundle_comes_into_force_by_two_persons_and_goes_by_its_date(house: House, draft: Path):
    """Rule 1 and law 8, and all that can become of it: restart, expiry, repair, tampering."""
    files = packed_files(draft)
    with house.opened() as gate:
        now = gate.clock()
        digest = propose(house, gate, files, "officer").draft.bundle.digest
        with pytest.raises(ForbiddenError, match="duties_separated"):
            install(house, gate, digest, "officer")
        with pytest.raises(ForbiddenError):
            install(house, gate, digest, "first")
        install(house, gate, digest, "admin")
        with pytest.raises(ConflictError, match="already"):
            install(house, gate, digest, "admin")
        with gate.ledger.snapshot() as snapshot:
            types = (EventType.JUDGE_ACT_DECIDE, EventType.POLICY_BUNDLE_INSTALL)
            found = [entry.event for entry in find_all(snapshot, EntryFilter(types=types, object=digest))]
        assert [(e.actor, e.outcome) for e in found if e.type is EventType.JUDGE_ACT_DECIDE][:3] == [
            ("officer", Outcome.REFUSED),
            ("first", Outcome.REFUSED),
            ("admin", Outcome.COMPLETED),
        ]
        installed = [e.outcome for e in found if e.type is EventType.POLICY_BUNDLE_INSTALL]
        assert Outcome.COMPLETED in installed
        assert gate.bundle.bundle.digest == shipped_bundle().digest, "a running gate keeps its bundle"
    with house.opened() as gate:
        assert gate.bundle.bundle.digest == digest == gate.engine.bundle.digest
        with gate.database.read() as session:
            shipped, own = statements_of(session)
        assert (shipped.people, own.people) == ((), ("officer", "admin"))
        assert own.bundle_digest == digest
    # An upgrade's init states the shipped bundle anew and takes nothing away from the operator's.
    initialise(house.settings(), keystore=house.keystore)
    with house.opened() as gate:
        assert gate.bundle.bundle.digest == digest
    later = now + WEEK + timedelta(days=1)
    with pytest.raises(BundleError, match="not in force"), at(house, later):
        pass
    _repaired_by_two(house, later)
    _stops_where_evidence_is_gone(house, digest, later)


def _repaired_by_two(house: House, later: datetime) -> None:
    """A gate whose bundle is over opens to replace it, and denies everything until then."""
    with at(house, later, repairing_policy=True) as gate:
        facts = gate.bundle.facts()
        assert facts["not_before"] == facts["not_after"]
        propose(house, gate, shipped_files(), "admin", until=later + WEEK)
        install(house, gate, shipped_bundle().digest, "officer")
    with at(house, later) as gate:
        assert gate.bundle.bundle.digest == shipped_bundle().digest


def _stops_where_evidence_is_gone(house: House, digest: str, later: datetime) -> None:
    """Law 6: a deleted statement, or another bundle's bytes, stop the start."""
    with at(house, later) as gate:
        database = gate.database
        with database.transaction() as session:
            row = session.scalars(
                sa.select(PolicyStatementRow).order_by(PolicyStatementRow.id.desc())
            ).first()
            assert row is not None
            kept = {c.key: getattr(row, c.key) for c in PolicyStatementRow.__table__.columns}
            session.delete(row)
        with pytest.raises(EvidenceError, match="missing that the ledger saw"), at(house, later):
            pass
        with database.transaction() as session:
            session.add(PolicyStatementRow(**kept))
            bundles = [session.get_one(PolicyBundleRow, d) for d in (digest, shipped_bundle().digest)]
            bundles[0].sealed, bundles[1].sealed = bundles[1].sealed, bundles[0].sealed
        with pytest.raises(EvidenceError, match="does not open"), at(house, later):
            pass
        with database.transaction() as session:
            bundles = [session.get_one(PolicyBundleRow, d) for d in (digest, shipped_bundle().digest)]
            bundles[0].sealed, bundles[1].sealed = bundles[1].sealed, bundles[0].sealed
            statement = session.scalars(
                sa.select(PolicyStatementRow).order_by(PolicyStatementRow.id.desc())
            ).first()
            assert statement is not None
            statement.installed_by = "admin"
        with pytest.raises(EvidenceError, match="one and approved by another"), at(house, later):
            pass
        with database.transaction() as session:
            statement = session.scalars(
                sa.select(PolicyStatementRow).order_by(PolicyStatementRow.id.desc())
            ).first()
            assert statement is not None
            statement.installed_by = "officer"


def drop_a_rule(folder: Path) -> None:
    """Take rule 23 out of serve: catalogue, folder and its vectors."""
    shutil.rmtree(folder / "rules/serve/no_export")
    lines = (folder / "catalogue.yaml").read_text("utf-8").splitlines(keepends=True)
    start = max(i for i, line in enumerate(lines) if line.startswith("    no_export:"))
    end = next(i for i in range(start + 1, len(lines)) if not lines[i].startswith("      "))
    (folder / "catalogue.yaml").write_text("".join(lines[:start] + lines[end:]), "utf-8")


loosen = partial(
    edited, name="data/subjects.yaml", before='"2021-10-01": 100000', after='"2021-10-01": 200000'
)
unknown_fact = partial(
    edited, name="questions/serve.schema.json", before='"country_of_session"', after='"session"'
)


@pytest.mark.parametrize(
    ("edit", "error", "match"),
    [
        (drop_a_rule, BundleError, "lacks required rules .*serve/no_export"),
        (loosen, VectorMismatchError, "fails its own vectors"),
        (unknown_fact, BundleError, "other questions"),
    ],
    ids=["a-rule-less", "own-vectors", "other-questions"],
)
def test_a_draft_that_breaks_its_word_is_not_signed(
    house: House, gate: Gate, draft: Path, edit: Edit, error: type[Exception], match: str
):
    """Law 5: nothing is stored of it."""
    edit(draft)
    with pytest.raises(error, match=match):
        propose(house, gate, packed_files(draft), "officer")


def test_what_it_changes_of_the_shipped_vectors_is_signed_by_name(house: House, gate: Gate, draft: Path):
    """A looser number whose own vectors say so needs the signer's word for each vector that it turns."""
    loosen(draft)
    for case in ("subjects: 99960", "subjects: 99959"):
        edited(draft, "vectors/release.yaml", case, case.replace("99", "199"))
    edited(draft, "vectors/release.yaml", "subjects: 100000", "subjects: 200000")
    files = packed_files(draft)
    with pytest.raises(InvalidRequestError, match="--accept-changes"):
        propose(house, gate, files, "officer")
    examined = propose(house, gate, files, "officer", accepted=True)
    assert "release: 100 000 subjects without an assessment -> allowed" in examined.named()


def test_who_is_neither_officer_nor_administrator_proposes_nothing(house: House, gate: Gate, draft: Path):
    with pytest.raises(ForbiddenError):
        propose(house, gate, packed_files(draft), "first")
    with pytest.raises(NotFoundError, match="nobody proposed"):
        install(house, gate, "0" * 64, "officer")
    with pytest.raises(InvalidRequestError, match="empty or over"):
        propose(house, gate, packed_files(draft), "officer", until=gate.clock() - WEEK)

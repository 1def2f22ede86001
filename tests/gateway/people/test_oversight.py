"""Contracts, supervision and assessments: a release goes out only under papers that cover it (D1, D3)."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from gateway.errors import (
    ConflictError,
    DeniedError,
    EvidenceError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
)
from gateway.flow.gate import Gate
from gateway.flow.release import load_approved
from gateway.people.assessments import Assessment, AssessmentKind, assessments_of, register_assessment
from gateway.people.papers import read_document
from gateway.people.recipients import (
    Contract,
    Inspection,
    close_finding,
    oversight_of,
    record_inspection,
    register_contract,
)
from gateway.people.records import PaperRow
from gateway.people.registry import register_purpose, register_recipient
from simulators import (
    PURPOSE,
    RECIPIENT,
    SMALL_DRIVE,
    START,
    House,
    candidate,
    cleanse,
    publish,
    sign,
)

REPORT = b"%PDF-1.7 the report of an inspection"
YEAR = timedelta(days=365)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(home=tmp_path_factory.mktemp("oversight") / "home")


@pytest.fixture(scope="module")
def gate(house: House) -> Iterator[Gate]:
    with house.opened() as gate:
        house.furnish(gate)
        yield gate


@pytest.fixture(scope="module")
def ready(gate: Gate, house: House) -> str:
    """A candidate that both approvers signed; each test takes something away and puts it back."""
    release = candidate(gate, house, cleanse(gate, SMALL_DRIVE))
    sign(gate, house, release, "first")
    sign(gate, house, release, "second")
    return release


def contract(gate: Gate, house: House, **changes: object) -> str:
    officer = house.people["officer"]
    terms: dict[str, object] = {
        "recipient": RECIPIENT,
        "number": "C-1",
        "valid_from": START - YEAR,
        "valid_to": START + 20 * YEAR,
        "purposes": [PURPOSE],
    }
    made = Contract(**{**terms, **changes})  # type: ignore[arg-type]
    return register_contract(gate, made, REPORT, actor=officer.actor, key=officer.key)


def inspect(gate: Gate, house: House, finding: str = "", moment: datetime | None = None) -> str:
    officer = house.people["officer"]
    made = Inspection(
        recipient=RECIPIENT, inspected_at=moment or gate.clock(), inspector="li", finding=finding
    )
    return record_inspection(gate, made, REPORT, actor=officer.actor, key=officer.key)


def assess(gate: Gate, house: House, kind: AssessmentKind, **changes: object) -> str:
    officer = house.people["officer"]
    known = next(each for each in assessments_of(gate, PURPOSE) if each.kind is kind)
    terms: dict[str, object] = {
        "purpose": PURPOSE,
        "kind": kind,
        "reference": known.reference,
        "made_at": known.made_at,
        "valid_until": known.valid_until,
        "classes": known.classes,
        "levels": known.levels,
    }
    made = Assessment(**{**terms, **changes})  # type: ignore[arg-type]
    return register_assessment(gate, made, REPORT, actor=officer.actor, key=officer.key)


def denied(gate: Gate, house: House, release: str) -> set[str]:
    with pytest.raises(DeniedError) as error:
        load_approved(gate, release, actor=house.people["first"].actor)
    return {violation.rule for violation in error.value.decision.violations}


def allowed(gate: Gate, house: House, release: str) -> bool:
    return bool(load_approved(gate, release, actor=house.people["first"].actor))


def test_a_contract_that_ended_or_allows_something_else_lets_nothing_out(
    gate: Gate, house: House, ready: str
):
    for changes in ({"valid_to": gate.clock()}, {"purposes": ["marketing"]}):
        contract(gate, house, **changes)
        assert denied(gate, house, ready) == {"recipient_under_contract"}
        contract(gate, house)
        assert allowed(gate, house, ready)


def test_a_finding_stands_in_the_way_until_it_is_closed(gate: Gate, house: House, ready: str):
    officer = house.people["officer"]
    digest = inspect(gate, house, finding="copies on a laptop")
    assert denied(gate, house, ready) == {"recipient_under_contract"}
    inspect(gate, house)
    assert denied(gate, house, ready) == {"recipient_under_contract"}
    for wrong, error in (("0" * 64, NotFoundError), (digest, None), (digest, ConflictError)):
        act = {"reason": "deleted, shown by a log", "document": REPORT}
        if error is None:
            close_finding(gate, RECIPIENT, wrong, **act, actor=officer.actor, key=officer.key)
        else:
            with pytest.raises(error):
                close_finding(gate, RECIPIENT, wrong, **act, actor=officer.actor, key=officer.key)
    assert allowed(gate, house, ready)
    found = {each.paper.digest: each for each in oversight_of(gate, RECIPIENT).inspections}
    assert found[digest].finding == "copies on a laptop"
    assert found[digest].closed_by is not None
    assert not found[digest].open


def test_a_recipient_that_nobody_inspected_gets_nothing(sqlite_house: House):
    """An inspection long ago counts no more; one that was never recorded never did."""
    with sqlite_house.opened() as gate:
        sqlite_house.furnish(gate)
        register_recipient(
            gate, "other", country="CN", contract="C-2", actor=sqlite_house.people["admin"].actor
        )
        assert oversight_of(gate, "other").inspections == ()
        assert oversight_of(gate, "other").contracts == ()
        with gate.database.transaction() as session:
            session.execute(sa.delete(PaperRow).where(PaperRow.act == "recipient.supervise"))
        with pytest.raises(EvidenceError, match="missing from the register"):
            oversight_of(gate, RECIPIENT)


@pytest.mark.parametrize("kind", [AssessmentKind.IMPACT, AssessmentKind.PROVISION])
def test_an_assessment_that_ended_or_covers_less_lets_nothing_out(
    gate: Gate, house: House, ready: str, kind: AssessmentKind
):
    known = next(each for each in assessments_of(gate, PURPOSE) if each.kind is kind)
    for changes in (
        {"valid_until": gate.clock()},
        {"classes": ["EXT_IMAGE"]},
        {"levels": ["S2_PI"]},
    ):
        assess(gate, house, kind, **changes)
        assert denied(gate, house, ready) == {"purpose_assessed"}
        officer = house.people["officer"]
        register_assessment(gate, known, REPORT, actor=officer.actor, key=officer.key)
        assert allowed(gate, house, ready)


def test_a_purpose_that_was_only_named_is_not_assessed(gate: Gate, house: House):
    """What stood in a column before assessments were signed suffices for nothing."""
    register_purpose(gate, "of-before", assessment="PIA-9", actor=house.people["admin"].actor)
    assert assessments_of(gate, "of-before") == ()


def test_papers_of_recipients_and_purposes_open_for_auditors(gate: Gate, house: House):
    for digest in (contract(gate, house), inspect(gate, house), assess(gate, house, AssessmentKind.IMPACT)):
        assert read_document(gate, digest, actor=house.people["auditor"].actor) == REPORT


def test_malformed_papers_are_refused(gate: Gate, house: House):
    later = gate.clock() + timedelta(hours=1)
    kind = AssessmentKind.IMPACT
    for attempt, error in (
        (lambda: contract(gate, house, recipient="nobody"), NotFoundError),
        (lambda: contract(gate, house, purposes=["nothing"]), NotFoundError),
        (lambda: contract(gate, house, purposes=[]), InvalidRequestError),
        (lambda: contract(gate, house, valid_to=START - YEAR), InvalidRequestError),
        (lambda: contract(gate, house, number=""), InvalidRequestError),
        (lambda: inspect(gate, house, moment=later), InvalidRequestError),
        (lambda: assess(gate, house, kind, purpose="nothing"), NotFoundError),
        (lambda: assess(gate, house, kind, classes=["CARPET"]), InvalidRequestError),
        (lambda: assess(gate, house, kind, levels=[]), InvalidRequestError),
        (lambda: assess(gate, house, kind, reference=" "), InvalidRequestError),
    ):
        with pytest.raises(error):
            attempt()
    first = house.people["first"]
    with pytest.raises(ForbiddenError):
        close_finding(gate, RECIPIENT, "0" * 64, reason="r", document=None, actor=first.actor, key=first.key)


def test_what_was_allowed_goes_out(gate: Gate, house: House):
    release = candidate(gate, house, cleanse(gate, {**SMALL_DRIVE, "meta.json": b'{"weather": "fog"}'}))
    publish(gate, house, release)

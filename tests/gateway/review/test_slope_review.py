"""Rule 15: slopes and curvatures leave only after a compliance officer signed for this very candidate."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.database import WriteSession
from gateway.errors import (
    ApprovalInvalidError,
    EvidenceError,
    ForbiddenError,
    InvalidRequestError,
    ObligationError,
    ReviewPendingError,
    StageOrderError,
)
from gateway.flow.dossier import release_summary
from gateway.flow.gate import Gate
from gateway.flow.judge import judge_release
from gateway.flow.recording import ReleaseState
from gateway.flow.records import ReleaseRow, SlopeReviewRow
from gateway.flow.release import load_approved
from gateway.people.records import PersonRow
from gateway.review.slope_evidence import Verdict, review_context
from gateway.review.slopes import decide_slopes, list_waiting, sign_review
from gateway.vault.values import seal_value
from simulators import (
    ORIGIN,
    House,
    cleanse,
    sign,
    zone_file,
)
from town_maps import GARRISON, built, decide, state_of, town


@pytest.fixture
def zoned(sqlite_house: House) -> Iterator[Gate]:
    """A furnished gate with a military zone two kilometres north of the origin."""
    with sqlite_house.opened() as gate:
        sqlite_house.furnish(gate, zone_file(("MIL", *GARRISON, 100.0)))
        yield gate


@pytest.fixture
def waiting(zoned: Gate, sqlite_house: House) -> str:
    """A built candidate whose slopes wait."""
    return built(zoned, sqlite_house, cleanse(zoned, {"town.osm": town()}))


def decided(gate: Gate, release: str) -> list[Outcome]:
    with gate.ledger.snapshot() as snapshot:
        wanted = EntryFilter(release=release, types=(EventType.REVIEW_SLOPES_DECIDE,))
        return [entry.event.outcome for entry in find_all(snapshot, wanted)]


def test_what_waits_is_listed_by_feature_and_key_and_tells_no_place(
    zoned: Gate, sqlite_house: House, waiting: str
):
    summary = list_waiting(zoned, waiting, actor=sqlite_house.people["officer"].actor)
    assert (summary["standing"], summary["waiting"]) == ("pending", 1)
    (item,) = summary["items"]
    (listed,) = item["listed"]
    assert listed["feature"].startswith("way/")
    assert (listed["key"], listed["tag"], listed["confidence"]) == ("incline", "SLOPE_CURV", "m")
    assert "B7" in listed["source"]
    text = json.dumps(summary)
    assert f"{ORIGIN[0]:.2f}" not in text
    assert "9%" not in text
    assert release_summary(zoned, waiting)["slope_review"] == summary
    with pytest.raises(ForbiddenError):
        list_waiting(zoned, waiting, actor=sqlite_house.people["engineer"].actor)


def test_an_approval_is_in_the_ledger_before_and_after_and_shown_to_approvers(
    zoned: Gate, sqlite_house: House, waiting: str
):
    decide(zoned, sqlite_house, waiting)
    assert decided(zoned, waiting) == [Outcome.INTENT, Outcome.COMPLETED]
    judge_release(zoned, waiting)
    shown = release_summary(zoned, waiting)["slope_review"]
    assert shown["standing"] == "approved"
    assert [(d["reviewer"], d["verdict"], d["reason"], d["counts"]) for d in shown["decisions"]] == [
        ("officer", "approve", "ordinary roads", True)
    ]


def test_a_rejection_closes_the_candidate_whatever_else_was_approved(
    zoned: Gate, sqlite_house: House, waiting: str
):
    sqlite_house.enrol(zoned, "deputy", "compliance_officer")
    decide(zoned, sqlite_house, waiting, person="deputy")
    decide(zoned, sqlite_house, waiting, Verdict.REJECT)
    with pytest.raises(ObligationError) as refused:
        judge_release(zoned, waiting)
    assert refused.value.reason == "obligation_unmet"
    assert state_of(zoned, waiting) == ReleaseState.DENIED
    with pytest.raises(StageOrderError):
        decide(zoned, sqlite_house, waiting, person="deputy")


def test_a_rejection_after_judging_stops_publication(zoned: Gate, sqlite_house: House, waiting: str):
    decide(zoned, sqlite_house, waiting)
    judge_release(zoned, waiting)
    sign(zoned, sqlite_house, waiting, "first")
    sign(zoned, sqlite_house, waiting, "second")
    decide(zoned, sqlite_house, waiting, Verdict.REJECT)
    with pytest.raises(ObligationError):
        load_approved(zoned, waiting, actor=sqlite_house.people["first"].actor)


def test_the_submitter_reviews_nothing_and_operators_do_not(zoned: Gate, sqlite_house: House, waiting: str):
    with zoned.database.transaction() as session:
        session.get_one(PersonRow, "submitter").roles = ["operator", "compliance_officer"]
    who = sqlite_house.people["submitter"]
    both = replace(who.actor, roles=("operator", "compliance_officer"))
    statement = sign_review(zoned, waiting, Verdict.APPROVE, "mine", reviewer="submitter", key=who.key)
    with pytest.raises(ForbiddenError, match="duties_separated"):
        decide_slopes(zoned, waiting, statement, actor=both)
    assert decided(zoned, waiting) == []
    with pytest.raises(ForbiddenError):
        decide(zoned, sqlite_house, waiting, person="first")
    with pytest.raises(ReviewPendingError):
        judge_release(zoned, waiting)


def test_a_decision_is_signed_by_its_reviewer_for_this_candidate(
    zoned: Gate, sqlite_house: House, waiting: str
):
    officer, other = sqlite_house.people["officer"], sqlite_house.people["auditor"]
    elsewhere = built(zoned, sqlite_house, cleanse(zoned, {"other.osm": town(extent_m=420.0)}))
    statements = {
        "another key": sign_review(zoned, waiting, Verdict.APPROVE, "x", reviewer="officer", key=other.key),
        "another name": sign_review(
            zoned, waiting, Verdict.APPROVE, "x", reviewer="auditor", key=officer.key
        ),
        "another candidate": sign_review(
            zoned, elsewhere, Verdict.APPROVE, "x", reviewer="officer", key=officer.key
        ),
        "no statement": "approved",
    }
    for statement in statements.values():
        with pytest.raises(ApprovalInvalidError):
            decide_slopes(zoned, waiting, statement, actor=officer.actor)
    for reason in ("", " ", "x" * 501):
        with pytest.raises(InvalidRequestError, match="reason"):
            sign_review(zoned, waiting, Verdict.APPROVE, reason, reviewer="officer", key=officer.key)
    assert decided(zoned, waiting) == [Outcome.REFUSED] * len(statements)


def _forget(session: WriteSession, row: SlopeReviewRow) -> None:
    session.delete(row)


def _alter(session: WriteSession, row: SlopeReviewRow) -> None:
    del session
    row.sealed = row.sealed[:-1] + bytes([row.sealed[-1] ^ 1])


def _suspend(session: WriteSession, row: SlopeReviewRow) -> None:
    session.get_one(PersonRow, row.reviewer).suspended_at = datetime.now(UTC)


def _demote(session: WriteSession, row: SlopeReviewRow) -> None:
    session.get_one(PersonRow, row.reviewer).roles = ["operator"]


TAMPERED: dict[str, Callable[[WriteSession, SlopeReviewRow], None]] = {
    "its row is gone": _forget,
    "its row was altered": _alter,
    "its reviewer was suspended": _suspend,
    "its reviewer is no officer any more": _demote,
}


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED.keys())
def test_an_approval_does_not_count_where(
    zoned: Gate, sqlite_house: House, waiting: str, tamper: Callable[[WriteSession, SlopeReviewRow], None]
):
    decide(zoned, sqlite_house, waiting)
    with zoned.database.transaction() as session:
        tamper(session, session.scalars(sa.select(SlopeReviewRow)).one())
    with pytest.raises(ReviewPendingError):
        judge_release(zoned, waiting)
    assert state_of(zoned, waiting) == ReleaseState.BUILT
    (shown,) = release_summary(zoned, waiting)["slope_review"]["decisions"]
    assert shown["counts"] is False
    assert shown["fault"]


def test_nothing_is_judged_on_papers_of_a_reviewer_whose_key_was_exchanged(
    zoned: Gate, sqlite_house: House, waiting: str
):
    """The officer signed certificate and contract, too: none of it verifies any more."""
    decide(zoned, sqlite_house, waiting)
    with zoned.database.transaction() as session:
        (row,) = session.scalars(sa.select(SlopeReviewRow))
        other = session.get_one(PersonRow, "auditor").public_jwk
        session.get_one(PersonRow, row.reviewer).public_jwk = other
    with pytest.raises(EvidenceError, match="does not verify"):
        judge_release(zoned, waiting)
    assert state_of(zoned, waiting) == ReleaseState.BUILT


def test_a_row_that_the_ledger_does_not_attest_counts_for_nothing(
    zoned: Gate, sqlite_house: House, waiting: str
):
    officer = sqlite_house.people["officer"]
    statement = sign_review(zoned, waiting, Verdict.APPROVE, "x", reviewer="officer", key=officer.key)
    digest = hashlib.sha256(statement.encode()).hexdigest()
    with zoned.database.transaction() as session:
        kek = session.get_one(ReleaseRow, waiting).kek_id
        sealed = seal_value(
            zoned.keystore, kek_id=kek, context=review_context(waiting, digest), plaintext=statement.encode()
        )
        session.add(SlopeReviewRow(digest=digest, release_id=waiting, reviewer="officer", sealed=sealed))
    with pytest.raises(ReviewPendingError):
        judge_release(zoned, waiting)


def test_a_rejection_outlives_its_row(zoned: Gate, sqlite_house: House, waiting: str):
    decide(zoned, sqlite_house, waiting, Verdict.REJECT)
    with zoned.database.transaction() as session:
        session.execute(sa.delete(SlopeReviewRow))
    with pytest.raises(ObligationError):
        judge_release(zoned, waiting)
    assert state_of(zoned, waiting) == ReleaseState.DENIED


def test_no_statement_lies_open_in_the_database(zoned: Gate, sqlite_house: House, waiting: str):
    decide(zoned, sqlite_house, waiting)
    with zoned.database.read() as session:
        row = session.scalars(sa.select(SlopeReviewRow)).one()
    assert b"ordinary roads" not in row.sealed


def test_a_changed_candidate_needs_another_review(zoned: Gate, sqlite_house: House, waiting: str):
    decide(zoned, sqlite_house, waiting)
    with zoned.database.transaction() as session:
        session.get_one(ReleaseRow, waiting).destination_zone = "partner"
    with pytest.raises(EvidenceError, match="changed since it was built"):
        judge_release(zoned, waiting)

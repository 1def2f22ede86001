"""Law 8, two people: submitter ≠ approver; S3 and above two distinct persons; a change voids approvals."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from joserfc.jwk import OKPKey

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from conformance.conftest import Commons
from conformance.evidence_of_state import altered
from gateway.errors import CandidateExpiredError, DeniedError, EvidenceError, GatewayError, StageOrderError
from gateway.flow.approve import APPROVAL_TYPE, approval_payload, approve, sign_approval
from gateway.flow.judge import load_judged
from gateway.flow.records import ApprovalRow, ReleaseItemRow, ReleaseRow
from gateway.flow.release import load_approved
from gateway.vault.jws import generate_person_key, sign_statement, thumbprint
from simulators import sign

# No statement of this law is one of the database; the flow itself is tested on both.
pytestmark = pytest.mark.parametrize("commons", ["sqlite"], indirect=True, scope="session")


def judged_of(commons: Commons, release: str):
    with commons.gate.database.read() as session:
        return load_judged(commons.gate, session, release)


def denied_rules(commons: Commons, release: str) -> set[str]:
    with pytest.raises(DeniedError) as error:
        load_approved(commons.gate, release, actor=commons.actor("first"))
    return {violation.rule for violation in error.value.decision.violations}


def offer(
    commons: Commons, judged_release: str, person: str, key: OKPKey | None = None, **changes: object
) -> None:
    """Offer an approval with changed terms or by another key."""
    who = commons.house.people[person]
    signing = key or who.key
    payload = (
        approval_payload(judged_of(commons, judged_release), who.actor.id, commons.gate.clock()) | changes
    )
    statement = sign_statement(signing, APPROVAL_TYPE, thumbprint(signing), payload)
    approve(commons.gate, judged_release, statement, actor=who.actor)


def refusals(commons: Commons, release: str) -> int:
    types = (EventType.APPROVE_RELEASE_SIGN, EventType.JUDGE_ACT_DECIDE)
    wanted = EntryFilter(release=release, types=types, outcome=Outcome.REFUSED)
    with commons.gate.ledger.snapshot() as snapshot:
        return len(list(find_all(snapshot, wanted)))


def approvals(commons: Commons, release: str) -> int:
    with commons.gate.database.read() as session:
        return len(session.scalars(sa.select(ApprovalRow).filter_by(release_id=release)).all())


@pytest.fixture(scope="module")
def candidate_id(commons: Commons) -> str:
    return commons.judged()


def test_two_distinct_operators_suffice(commons: Commons):
    release = commons.judged()
    sign(commons.gate, commons.house, release, "first")
    sign(commons.gate, commons.house, release, "second")
    approved = load_approved(commons.gate, release, actor=commons.actor("first"))
    assert len(approved.approvals) == 2


def test_the_submitter_cannot_approve(commons: Commons, candidate_id: str):
    before = refusals(commons, candidate_id)
    with pytest.raises(GatewayError, match="duties_separated"):
        offer(commons, candidate_id, "submitter")
    assert (approvals(commons, candidate_id), refusals(commons, candidate_id)) == (0, before + 1)


@pytest.mark.parametrize("person", ["engineer", "auditor", "officer", "admin"])
def test_nobody_but_an_operator_approves(commons: Commons, candidate_id: str, person: str):
    before = refusals(commons, candidate_id)
    with pytest.raises(GatewayError, match="role_permitted"):
        offer(commons, candidate_id, person)
    assert (approvals(commons, candidate_id), refusals(commons, candidate_id)) == (0, before + 1)


CHANGES = {
    "digest": "0" * 64,
    "bundle": "0" * 64,
    "purpose": "marketing",
    "recipient": "somebody-else",
    "expires_at": "2099-01-01T00:00:00.000000Z",
    "release": "0" * 32,
    "approver": "second",
    "extra": "field",
}


@pytest.mark.parametrize("term", CHANGES)
def test_an_approval_of_other_terms_is_refused(commons: Commons, candidate_id: str, term: str):
    before = refusals(commons, candidate_id)
    with pytest.raises(EvidenceError):
        offer(commons, candidate_id, "first", **{term: CHANGES[term]})
    assert (approvals(commons, candidate_id), refusals(commons, candidate_id)) == (0, before + 1)


def test_an_approval_by_another_key_is_refused(commons: Commons, candidate_id: str):
    with pytest.raises(EvidenceError):
        offer(commons, candidate_id, "first", key=generate_person_key())
    with pytest.raises(EvidenceError):
        offer(commons, candidate_id, "first", key=commons.house.people["second"].key)
    assert approvals(commons, candidate_id) == 0


def test_no_approval_is_not_enough(commons: Commons, candidate_id: str):
    assert "enough_approvers" in denied_rules(commons, candidate_id)


def test_one_approval_is_not_enough_for_s3(commons: Commons):
    release = commons.judged()
    assert max(item.level for item in judged_of(commons, release).built.items).name.startswith("S3")
    sign(commons.gate, commons.house, release, "first")
    assert "enough_approvers" in denied_rules(commons, release)


def test_the_same_person_twice_counts_once(commons: Commons):
    release = commons.judged()
    sign(commons.gate, commons.house, release, "first")
    sign(commons.gate, commons.house, release, "first")
    assert approvals(commons, release) == 1
    assert "enough_approvers" in denied_rules(commons, release)


def test_one_signature_filed_under_two_names_counts_for_neither(commons: Commons):
    release = commons.judged()
    sign(commons.gate, commons.house, release, "first")
    with commons.gate.database.transaction() as session:
        row = session.scalars(sa.select(ApprovalRow).filter_by(release_id=release)).one()
        session.add(
            ApprovalRow(
                release_id=release,
                approver="second",
                digest=row.digest,
                jws=row.jws,
                signed_at=row.signed_at,
            )
        )
    with pytest.raises(EvidenceError):
        load_approved(commons.gate, release, actor=commons.actor("first"))


def test_a_signature_put_in_by_sql_is_none(commons: Commons):
    """Law 6: the ledger attests no approval of theirs, so nothing is judged at all."""
    release = commons.judged()
    sign(commons.gate, commons.house, release, "first")
    who = commons.house.people["submitter"]
    statement = sign_approval(judged_of(commons, release), who.actor.id, who.key, commons.gate.clock())
    with commons.gate.database.transaction() as session:
        session.add(
            ApprovalRow(
                release_id=release,
                approver="submitter",
                digest=judged_of(commons, release).built.digest,
                jws=statement,
                signed_at=commons.gate.clock(),
            )
        )
    with pytest.raises(EvidenceError, match="does not attest"):
        load_approved(commons.gate, release, actor=commons.actor("first"))


def test_an_approver_who_lost_the_role_no_longer_counts(commons: Commons):
    release = commons.judged()
    sign(commons.gate, commons.house, release, "first")
    sign(commons.gate, commons.house, release, "second")
    with altered(commons.gate, "person", "roles", ["auditor"], id="second"):
        assert denied_rules(commons, release)
    with altered(commons.gate, "person", "suspended_at", commons.gate.clock(), id="second"):
        assert denied_rules(commons, release)


@pytest.mark.parametrize("change", ["purpose", "destination", "expiry", "item", "left out"])
def test_a_change_after_approval_voids_it(commons: Commons, change: str):
    release, gate = commons.judged(), commons.gate
    sign(gate, commons.house, release, "first")
    sign(gate, commons.house, release, "second")
    with gate.database.read() as session:
        row = session.get_one(ReleaseRow, release)
        items = session.scalars(sa.select(ReleaseItemRow).filter_by(release_id=release)).all()
    table, column, value, where = {
        "purpose": ("release", "purpose", "marketing", {"id": release}),
        "destination": ("release", "destination_zone", "partner", {"id": release}),
        "expiry": ("release", "expires_at", row.expires_at + timedelta(days=1), {"id": release}),
        "item": ("release_item", "seal", items[1].seal, {"id": items[0].id}),
        "left out": ("release_item", "release_id", None, {"id": items[0].id}),
    }[change]
    if change == "left out":
        value = commons.judged()
    with altered(gate, table, column, value, **where):
        with pytest.raises(EvidenceError):
            load_approved(gate, release, actor=commons.actor("first"))
        with pytest.raises((EvidenceError, StageOrderError)):
            sign(gate, commons.house, release, "first")
    assert load_approved(gate, release, actor=commons.actor("first"))


def test_an_expired_candidate_is_not_published_in_spite_of_its_approvals(commons: Commons):
    release = commons.judged()
    sign(commons.gate, commons.house, release, "first")
    sign(commons.gate, commons.house, release, "second")
    late = commons.gate.clock() + timedelta(days=31)
    after = replace(commons.gate, clock=lambda: late)
    with pytest.raises(CandidateExpiredError):
        load_approved(after, release, actor=commons.actor("first"))

"""Law 8: what an approval rests on, how long it holds, what voids it; how a candidate ends without going out."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.errors import (
    CandidateClosedError,
    CandidateExpiredError,
    DeniedError,
    EvidenceError,
    EvidenceUnseenError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    StageOrderError,
)
from gateway.flow.approve import _record, approve, sign_approval, verify_approval, withdraw_approval
from gateway.flow.closing import Rejection, RejectionCode, expire_candidates, reject, withdraw
from gateway.flow.dossier import release_summary, review_release
from gateway.flow.gate import Gate
from gateway.flow.judge import judge_release, load_judged
from gateway.flow.law import approval_days, candidate_days
from gateway.flow.records import ApprovalRow, ReleaseRow
from gateway.flow.release import load_approved, release
from gateway.people.records import PersonRow
from gateway.scheduler import run_job
from policies.bundle import bundle_of
from policies.embedded import EmbeddedEngine
from simulators import House, candidate, cleanse, look, publish, sign

_number = count()
WHY = Rejection(code=RejectionCode.POSITION, text_zh="轨迹仍指向总部", text_en="still points at the depot")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(home=tmp_path_factory.mktemp("approvals") / "home")


@pytest.fixture(scope="module")
def gate(house: House) -> Iterator[Gate]:
    with house.opened() as opened:
        house.furnish(opened)
        yield opened


@pytest.fixture
def judged(gate: Gate, house: House) -> str:
    return candidate(gate, house, cleanse(gate, note()))


def note() -> dict[str, bytes]:
    return {"notes.txt": f"第{next(_number)}次：天气晴。电话13800138000。\n".encode()}


def offer(gate: Gate, house: House, made: str, person: str) -> None:
    """Sign without a look."""
    who = house.people[person]
    with gate.database.read() as session:
        loaded = load_judged(gate, session, made)
    approve(gate, made, sign_approval(loaded, person, who.key, gate.clock()), actor=who.actor)


def load(gate: Gate, house: House, made: str) -> object:
    return load_approved(gate, made, actor=house.people["first"].actor)


def denied(gate: Gate, house: House, made: str) -> set[str]:
    with pytest.raises(DeniedError) as error:
        load(gate, house, made)
    return {violation.rule for violation in error.value.decision.violations}


def outcomes(gate: Gate, made: str, kind: EventType) -> list[Outcome]:
    with gate.ledger.snapshot() as snapshot:
        found = find_all(snapshot, EntryFilter(object=made, types=(kind,)))
        return [entry.event.outcome for entry in found if entry.event.outcome is not Outcome.INTENT]


def state(gate: Gate, made: str) -> str:
    with gate.database.read() as session:
        return session.get_one(ReleaseRow, made).state


def put_back(gate: Gate, made: str) -> None:
    """What somebody with SQL would do to a closed candidate."""
    with gate.database.transaction() as session:
        session.get_one(ReleaseRow, made).state = "judged"


def test_nobody_signs_what_they_did_not_open(gate: Gate, house: House, judged: str):
    with pytest.raises(EvidenceUnseenError, match="before you sign"):
        offer(gate, house, judged, "first")
    assert outcomes(gate, judged, EventType.APPROVE_RELEASE_SIGN) == [Outcome.REFUSED]
    review_release(gate, judged, actor=house.people["second"].actor)
    with pytest.raises(EvidenceUnseenError):  # somebody else's look is not one's own
        offer(gate, house, judged, "first")
    review_release(gate, judged, actor=house.people["first"].actor)
    offer(gate, house, judged, "first")


def test_a_look_at_another_release_is_none(gate: Gate, house: House, judged: str):
    other = candidate(gate, house, cleanse(gate, note()))
    review_release(gate, other, actor=house.people["first"].actor)
    with pytest.raises(EvidenceUnseenError):
        offer(gate, house, judged, "first")


def test_a_signature_older_than_the_look_does_not_count(gate: Gate, house: House, judged: str):
    """Law 6: policy is told what the ledger says, whatever let the signature in."""
    who = house.people["first"]
    with gate.database.read() as session:
        loaded = load_judged(gate, session, judged)
    statement = sign_approval(loaded, "first", who.key, gate.clock())
    with gate.database.read() as session:
        payload = verify_approval(loaded, statement, session.get_one(PersonRow, "first"))
    _record(gate, loaded, statement, payload, kept=False, actor=who.actor)
    look(gate, house, judged, "first")
    sign(gate, house, judged, "second")
    assert denied(gate, house, judged) == {"evidence_seen"}
    withdraw_approval(gate, judged, actor=who.actor)
    sign(gate, house, judged, "first")
    assert load(gate, house, judged)


def test_an_approval_holds_for_as_long_as_policy_says(gate: Gate, house: House, judged: str):
    sign(gate, house, judged, "first")
    sign(gate, house, judged, "second")
    later = gate.clock() + timedelta(days=approval_days(gate), minutes=1)
    after = replace(gate, clock=lambda: later)
    assert denied(after, house, judged) == {"approvals_fresh"}
    sign(after, house, judged, "first")
    sign(after, house, judged, "second")
    assert load(after, house, judged)


def test_a_candidate_waits_for_as_long_as_policy_says(gate: Gate, house: House):
    made = candidate(gate, house, cleanse(gate, note()), days=300)
    waiting = candidate(gate, house, cleanse(gate, note()), days=300)
    late = gate.clock() + timedelta(days=candidate_days(gate), minutes=1)
    after = replace(gate, clock=lambda: late)
    look(gate, house, made, "first")
    with pytest.raises(CandidateExpiredError, match="too old"):
        offer(after, house, made, "first")
    withdraw(gate, waiting, actor=house.people["submitter"].actor)
    assert expire_candidates(gate) == 0
    assert run_job(after, "retention")["candidates"] >= 1
    assert (state(gate, made), state(gate, waiting)) == ("expired", "withdrawn")
    assert outcomes(gate, made, EventType.RELEASE_RELEASE_EXPIRE) == [Outcome.COMPLETED]
    with pytest.raises(StageOrderError):
        sign(gate, house, made, "first")


def test_rejection_closes_for_good_and_says_why(gate: Gate, house: House, judged: str):
    sign(gate, house, judged, "first")
    reject(gate, judged, WHY, actor=house.people["second"].actor)
    assert state(gate, judged) == "rejected"
    with gate.ledger.snapshot() as snapshot:
        wanted = EntryFilter(object=judged, types=(EventType.APPROVE_RELEASE_REJECT,))
        leaves = [entry.event for entry in find_all(snapshot, wanted)]
    assert all(event.facts["reason"] == "position" for event in leaves)
    assert "depot" not in str(leaves)
    shown = release_summary(gate, judged)["closing"]
    assert (shown["kind"], shown["by"], shown["code"]) == ("rejected", "second", "position")
    assert (shown["text_zh"], shown["text_en"]) == (WHY.text_zh, WHY.text_en)
    with pytest.raises(StageOrderError):
        sign(gate, house, judged, "second")
    with pytest.raises(StageOrderError):
        load(gate, house, judged)


def test_a_closed_candidate_stays_closed_whatever_its_row_says(gate: Gate, house: House):
    """Law 6: the ledger closes, not the column."""
    for close in (
        lambda made: reject(gate, made, WHY, actor=house.people["second"].actor),
        lambda made: withdraw(gate, made, actor=house.people["submitter"].actor),
    ):
        made = candidate(gate, house, cleanse(gate, note()))
        sign(gate, house, made, "first")
        sign(gate, house, made, "second")
        close(made)
        put_back(gate, made)
        with pytest.raises(CandidateClosedError):
            load(gate, house, made)
        with pytest.raises(CandidateClosedError):
            sign(gate, house, made, "first")


def test_who_may_reject_and_withdraw(gate: Gate, house: House, judged: str):
    with pytest.raises(ForbiddenError):
        reject(gate, judged, WHY, actor=house.people["auditor"].actor)
    with pytest.raises(ForbiddenError, match="duties_separated"):
        reject(gate, judged, WHY, actor=house.people["submitter"].actor)
    with pytest.raises(ForbiddenError, match="own_object"):
        withdraw(gate, judged, actor=house.people["first"].actor)
    assert outcomes(gate, judged, EventType.JUDGE_ACT_DECIDE)[-3:] == [Outcome.REFUSED] * 3
    assert state(gate, judged) == "judged"


@pytest.mark.parametrize("text", ["", "  ", "长" * 4001])
def test_a_rejection_needs_words(text: str):
    with pytest.raises(InvalidRequestError, match="reason"):
        Rejection(code=RejectionCode.OTHER, text_zh=text)


def test_a_rejection_between_approval_and_publication_wins(gate: Gate, house: House, judged: str):
    sign(gate, house, judged, "first")
    sign(gate, house, judged, "second")
    approved = load(gate, house, judged)
    reject(gate, judged, WHY, actor=house.people["second"].actor)
    with pytest.raises(StageOrderError):
        release(gate, approved, actor=house.people["first"].actor)  # type: ignore[arg-type]


def test_an_approval_can_be_taken_back_until_the_release_is_out(gate: Gate, house: House, judged: str):
    first = house.people["first"].actor
    with pytest.raises(NotFoundError):
        withdraw_approval(gate, judged, actor=first)
    sign(gate, house, judged, "first")
    approved = load(gate, house, judged)
    with gate.database.read() as session:
        row = session.get_one(ApprovalRow, (judged, "first"))
    withdraw_approval(gate, judged, actor=first)
    with pytest.raises(StageOrderError):  # what was approved before is no longer
        release(gate, approved, actor=first)  # type: ignore[arg-type]
    assert "enough_approvers" in denied(gate, house, judged)
    with gate.database.transaction() as session:  # Law 6: the row put back is not attested
        session.merge(row)
    with pytest.raises(EvidenceError, match="does not attest"):
        load(gate, house, judged)
    publish(gate, house, judged)
    with pytest.raises(StageOrderError):
        withdraw_approval(gate, judged, actor=first)


def test_another_policy_bundle_voids_approvals_until_it_judged(gate: Gate, house: House, judged: str):
    """A decision under another bundle is another decision: it is judged anew and signed anew."""
    sign(gate, house, judged, "first")
    sign(gate, house, judged, "second")
    with pytest.raises(StageOrderError):  # nothing to judge anew under the same bundle
        judge_release(gate, judged)
    shipped = gate.bundle.bundle
    changed = bundle_of(shipped.files | {"data/approval.yaml": shipped.files["data/approval.yaml"] + b"\n"})
    with EmbeddedEngine(changed) as engine:
        other = replace(gate, bundle=replace(gate.bundle, bundle=changed), engine=engine)
        assert denied(other, house, judged) == {"decision_binds"}
        judge_release(other, judged)
        assert not release_summary(other, judged)["approvals"]
        assert denied(other, house, judged) >= {"enough_approvers"}
        sign(other, house, judged, "first")
        sign(other, house, judged, "second")
        assert load(other, house, judged)
        assert denied(gate, house, judged) == {"decision_binds"}

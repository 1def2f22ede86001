"""Laws 3, 6, 9 and 10 of what policy was asked: sealed, verified, explained, put to another bundle, erasable."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources

import pytest
import sqlalchemy as sa

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.errors import DeniedError, EvidenceError, ForbiddenError, NotFoundError
from gateway.flow.asked import Kept, load_asked
from gateway.flow.build import build_release
from gateway.flow.erase import erase_recording
from gateway.flow.gate import Gate
from gateway.flow.judge import judge_release
from gateway.flow.recording import ReleaseMode, ReleaseState
from gateway.flow.records import AskedQuestionRow, ReleaseRow
from gateway.flow.request import ReleaseRequest, request_release
from gateway.flow.serve import read_manifest
from gateway.review.explained import explain
from gateway.review.simulated import past_decisions, simulate
from policies.bundle import shipped_bundle
from policies.drafts import Draft, draft_in
from policies.question import Point
from simulators import PURPOSE, RECIPIENT, SMALL_DRIVE, House, cleanse, csv_track, deliver, released


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    house: House
    gate: Gate
    out: str
    denied: str


def requested(gate: Gate, house: House, *, destination: str) -> str:
    recording = cleanse(gate, {"drive.csv": csv_track(390)})
    request = ReleaseRequest(
        recordings=(recording,),
        purpose=PURPOSE,
        recipient=RECIPIENT,
        mode=ReleaseMode.LOCAL,
        expires_at=gate.clock() + timedelta(days=30),
        destination_zone=destination,
    )
    made = request_release(gate, request, actor=house.people["submitter"].actor)
    build_release(gate, made)
    return made


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    house = House(
        home=tmp_path_factory.mktemp("explained"), settings_changes={"serve_questions_kept_every": 0}
    )
    with house.opened() as gate:
        house.furnish(gate)
        out = released(gate, house, SMALL_DRIVE)
        denied = requested(gate, house, destination="foreign")
        with pytest.raises(DeniedError):
            judge_release(gate, denied)
        yield Stage(house=house, gate=gate, out=out, denied=denied)


@pytest.fixture(scope="module")
def stricter(tmp_path_factory: pytest.TempPathFactory) -> Draft:
    """A draft under which, from 2030 on, a single subject needs an assessment."""
    folder = tmp_path_factory.mktemp("draft") / "policies"
    shutil.copytree(str(resources.files("policies")), folder)
    file = folder / "data/subjects.yaml"
    file.write_text(file.read_text().replace('"2021-10-01": 100000', '"2021-10-01": 100000, "2030-01-01": 0'))
    return draft_in(folder)


def entries(gate: Gate, *types: EventType, **wanted: str):
    with gate.ledger.snapshot() as snapshot:
        return list(find_all(snapshot, EntryFilter(types=types, **wanted)))


def auditor(stage: Stage):
    return stage.house.people["auditor"].actor


def test_a_denial_is_explained_with_rule_clause_fact_and_what_would_have_to_change(stage: Stage):
    """Law 10, from the evidence of the decision; looking is an entry."""
    (decision,) = explain(stage.gate, stage.denied, actor=auditor(stage))
    assert (decision["allowed"], decision["refused"], decision["question"]) == (False, "denied", "kept")
    (denial,) = decision["denied_by"]
    assert (denial["rule"], denial["number"], denial["confidence"]) == ("no_export", "23", "L2")
    assert denial["text_zh"]
    assert denial["text_en"]
    assert denial["facts"][0]["destination_zone"] == "foreign"
    limits = {limit["parameter"]: limit for limit in denial["limits"]}
    assert limits["transfer.home_countries_cn"]["value"] == ["CN"]
    assert limits["transfer.home_countries_cn"]["source"]
    assert {
        "fact": "context.destination_zone",
        "stated": "foreign",
        "passes_with": "in_zone",
    } in denial["would_pass_with"]
    looked = entries(stage.gate, EventType.POLICY_DECISION_EXPLAIN)
    assert (looked[-1].event.outcome, looked[-1].event.actor) == (Outcome.COMPLETED, "auditor")


def test_an_entry_of_the_ledger_is_explained_by_its_index(stage: Stage):
    (entry,) = entries(stage.gate, EventType.JUDGE_RELEASE_DECIDE, release=stage.denied)
    (decision,) = explain(stage.gate, str(entry.index), actor=auditor(stage), hints=False)
    assert (decision["index"], decision["about"]) == (entry.index, stage.denied)
    assert decision["denied_by"][0]["would_pass_with"] is None


def test_an_allowed_release_is_explained_with_rules_duties_and_unverified_numbers(stage: Stage):
    decisions = explain(stage.gate, stage.out, actor=auditor(stage))
    judged = decisions[-1]
    assert (judged["point"], judged["allowed"], judged["denied_by"]) == ("release", True, [])
    assert {"trip_once", "no_export"} <= {rule["rule"] for rule in judged["passed"]}
    assert all(rule["clause"] for rule in judged["passed"])
    assert "approvals" in {duty["kind"] for duty in judged["obligations"]}
    assert "position.offset_min_shift_m" in judged["unverified"]
    assert judged["bundle_version"] == shipped_bundle().version


def test_who_does_not_review_is_told_nothing(stage: Stage):
    with pytest.raises(ForbiddenError):
        explain(stage.gate, stage.denied, actor=stage.house.people["engineer"].actor)
    with pytest.raises(NotFoundError, match="no decision about it"):
        explain(stage.gate, "rel-of-nobody", actor=auditor(stage))
    with pytest.raises(NotFoundError, match="no such entry"):
        explain(stage.gate, "99999999", actor=auditor(stage))
    with pytest.raises(EvidenceError, match="is no decision"):
        explain(stage.gate, "0", actor=auditor(stage))


def test_allowed_reads_are_kept_by_digest_only_and_refused_ones_wholly(stage: Stage):
    engineer = stage.house.people["engineer"].actor
    read_manifest(stage.gate, stage.out, actor=engineer, purpose=PURPOSE)
    with pytest.raises(DeniedError):
        read_manifest(stage.gate, stage.out, actor=engineer, purpose="marketing")
    allowed, refused = entries(stage.gate, EventType.JUDGE_SERVE_DECIDE, release=stage.out)[-2:]
    with stage.gate.database.read() as session:
        assert load_asked(stage.gate, session, allowed.index).kept is Kept.DIGEST_ONLY
        kept = load_asked(stage.gate, session, refused.index)
    assert kept.question is not None
    assert kept.question.document()["context"]["purpose"] == "marketing"
    explained = explain(stage.gate, str(allowed.index), actor=auditor(stage))[0]
    assert (explained["question"], explained["allowed"]) == ("digest_only", True)


def test_what_was_asked_lies_sealed(stage: Stage):
    """Law 3: neither question nor answer can be read in the database's files."""
    with stage.gate.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(AskedQuestionRow)) > 3
    stored = b"".join(path.read_bytes() for path in stage.house.home.glob("gateway.db*"))
    for word in (b"position_handling", b"country_of_session", b"detectors_required"):
        assert word not in stored


def test_the_shipped_bundle_would_decide_the_same(stage: Stage):
    found = past_decisions(stage.gate, Point.RELEASE, most=10, before=None)
    results = list(simulate(stage.gate, shipped_bundle(), found, day="2026-06-01"))
    turns = {result.about: result.turns for result in results}
    assert turns == {stage.denied: "same", stage.out: "same"}
    published = past_decisions(stage.gate, Point.PUBLISH, most=10, before=None)
    assert [r.turns for r in simulate(stage.gate, shipped_bundle(), published, day="2026-06-01")] == ["same"]
    assert past_decisions(stage.gate, Point.RELEASE, most=10, before=min(found)) == []


@pytest.mark.parametrize(("day", "turns"), [("2029-12-31", "same"), ("2030-01-01", "refused")])
def test_a_changed_number_refuses_from_its_date_on_by_rule_and_fact(
    stage: Stage, stricter: Draft, day: str, turns: str
):
    (index,) = [
        i
        for i in past_decisions(stage.gate, Point.RELEASE, most=10, before=None)
        if stage.gate.ledger.entry(i).event.release == stage.out
    ]
    (result,) = simulate(stage.gate, stricter.bundle, [index], day=day)
    assert result.turns == turns
    if turns == "refused":
        (rule,) = result.rules
        assert (rule["rule"], rule["number"]) == ("subjects_assessed", "19")
        assert rule["facts"]


def test_a_question_of_another_entry_is_broken_evidence(stage: Stage):
    """Law 6: the sealed bytes of one decision do not pass for those of another."""
    indices = [e.index for e in entries(stage.gate, EventType.JUDGE_RELEASE_DECIDE)][:2]
    with stage.gate.database.transaction() as session:
        rows = [session.get_one(AskedQuestionRow, index) for index in indices]
        rows[0].sealed, rows[1].sealed = rows[1].sealed, rows[0].sealed
    try:
        with pytest.raises(EvidenceError, match="does not open"):
            explain(stage.gate, str(indices[0]), actor=auditor(stage))
    finally:
        with stage.gate.database.transaction() as session:
            rows = [session.get_one(AskedQuestionRow, index) for index in indices]
            rows[0].sealed, rows[1].sealed = rows[1].sealed, rows[0].sealed


def test_a_question_that_cannot_be_stored_stops_the_act(stage: Stage):
    """Law 2: the entry comes first; without the question nothing is judged, and the gap is told."""
    made = requested(stage.gate, stage.house, destination="in_zone")
    stop = "CREATE TRIGGER full BEFORE INSERT ON asked_question BEGIN SELECT RAISE(ABORT, 'full'); END"
    with stage.gate.database.transaction() as session:
        session.execute(sa.text(stop))
    with pytest.raises(sa.exc.SQLAlchemyError):
        judge_release(stage.gate, made)
    with stage.gate.database.transaction() as session:
        session.execute(sa.text("DROP TRIGGER full"))
    with stage.gate.database.read() as session:
        assert session.get_one(ReleaseRow, made).state == ReleaseState.BUILT
    (decision,) = explain(stage.gate, made, actor=auditor(stage))
    assert (decision["question"], decision["allowed"]) == ("lost", True)


def test_a_refused_recording_can_be_explained_until_its_key_is_destroyed(stage: Stage):
    """Law 9: of a recording that was refused there is what was asked about it, and that can be erased."""
    recording = "00000000-0000-4000-8000-00000000abcd"
    with pytest.raises(DeniedError):
        deliver(stage.gate, SMALL_DRIVE, recording=recording, crs="BEIJING54")
    (before,) = explain(stage.gate, recording, actor=auditor(stage))
    assert before["denied_by"][0]["facts"]
    erase_recording(stage.gate, recording, actor=stage.house.people["officer"].actor)
    erasure, after = explain(stage.gate, recording, actor=auditor(stage))
    # What was asked about the destruction outlives the key that it was about.
    assert (erasure["point"], erasure["question"], erasure["allowed"]) == ("destroy", "kept", True)
    assert after["question"] == "erased"
    assert [denial["rule"] for denial in after["denied_by"]] == [d["rule"] for d in before["denied_by"]]
    assert after["denied_by"][0]["clause"]
    assert all(denial["facts"] == [] for denial in after["denied_by"])
    found = past_decisions(stage.gate, Point.INTAKE, most=1, before=None)
    (result,) = simulate(stage.gate, shipped_bundle(), found, day="2026-06-01")
    assert (result.turns, result.kept) == ("not_asked", "erased")

"""Law 10, explainable: for any released byte which recording, treatments, rules, people, when; for any denial
which rule, clause and fact."""

import hashlib
from datetime import datetime
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from conformance.conftest import Commons
from conformance.drives import KEYED, track
from conformance.wire import caller, serving
from gateway.errors import DeniedError
from gateway.flow.dossier import recording_summary, release_summary
from gateway.flow.lineage import item_lineage
from gateway.flow.records import ReleaseRecordingRow
from gateway.flow.release import load_approved, load_released
from gateway.flow.serve import read_item, read_manifest
from gateway.workers import advance
from simulators import PURPOSE, RECIPIENT, VEHICLE, candidate, deliver

# No statement of this law is one of the database; the flow itself is tested on both.
pytestmark = pytest.mark.parametrize("commons", ["sqlite"], indirect=True, scope="session")


@pytest.fixture(scope="module", params=KEYED)
def out(commons: Commons, request: pytest.FixtureRequest) -> SimpleNamespace:
    before = commons.gate.clock()
    release = commons.released(request.param)
    with commons.gate.database.read() as session:
        manifest = load_released(commons.gate, session, release).manifest
        recording = session.scalar(sa.select(ReleaseRecordingRow.recording_id).filter_by(release_id=release))
    return SimpleNamespace(
        release=release,
        recording=recording,
        manifest=manifest,
        mode=request.param,
        before=before,
        after=commons.gate.clock(),
    )


def test_a_released_byte_leads_back_to_its_recording_and_everybody_who_let_it_out(
    commons: Commons, out: SimpleNamespace
):
    for entry in out.manifest["items"]:
        reading = read_item(
            commons.gate,
            out.release,
            entry["name"],
            actor=commons.actor("engineer"),
            purpose=PURPOSE,
            wanted=None,
        )
        content = b"".join(reading.chunks)
        lineage = item_lineage(commons.gate, out.release, entry["name"])
        assert lineage["sha256"] == hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert lineage["recording"]["id"] == out.recording
        assert (lineage["recording"]["source"], lineage["recording"]["source_id"]) == ("vehicle", VEHICLE)
        assert lineage["people"]["submitter"] == "submitter"
        assert [a["id"] for a in lineage["people"]["approvers"]] == ["first", "second"]
        assert lineage["treatment"]["profile"]["digest"] == out.manifest["profile"]["digest"]
        assert lineage["decision"]["bundle_digest"] == out.manifest["policy"]["bundle_digest"]
        assert {"trip_once", "faces_plates_masked", "level_kept"} <= set(lineage["decision"]["passed"])
        handled = {"LOCAL": "local", "OFFSET": "offset"}[out.mode]
        track = entry["media_type"] == "text/csv"
        assert lineage["treatment"]["position_handling"] == (handled if track else "none")
        assert all(lineage["treatment"]["residual"])


def test_every_stage_has_its_time_and_its_ledger_entry(commons: Commons, out: SimpleNamespace):
    for item in out.manifest["items"]:
        lineage = item_lineage(commons.gate, out.release, item["name"])
        stages = lineage["stages"]
        assert [s["stage"] for s in stages] == ["received", "classified", "cleansed", "built", "judged"]
        times = [datetime.fromisoformat(s["at"]) for s in stages]
        assert times == sorted(times)
        assert out.before <= times[0]
        assert times[-1] <= datetime.fromisoformat(lineage["released_at"]) <= out.after
        for stage in stages:
            event = commons.gate.ledger.entry(stage["entry"]).event
            assert event.outcome is Outcome.COMPLETED
            assert event.digests["evidence"] == stage["evidence"]


def test_the_ledger_alone_joins_release_items_and_recording(commons: Commons, out: SimpleNamespace):
    """From the release's unlinking entries by digest to the cleansing entries, and from these to the recording."""
    with commons.gate.ledger.snapshot() as snapshot:
        unlinked = list(
            find_all(
                snapshot,
                EntryFilter(
                    release=out.release, types=(EventType.RELEASE_ITEM_UNLINK,), outcome=Outcome.INTENT
                ),
            )
        )
        cleansed = list(
            find_all(
                snapshot,
                EntryFilter(
                    recording=out.recording,
                    types=(EventType.CLEANSE_ITEM_CLEANSE,),
                    outcome=Outcome.COMPLETED,
                ),
            )
        )
    assert {e.event.digests["cleansed"] for e in unlinked} == {e.event.digests["evidence"] for e in cleansed}
    left_out = release_summary(commons.gate, out.release)["left_out"]
    assert len(unlinked) == len(out.manifest["items"]) + len(left_out)


def test_who_read_what_when_for_which_purpose_is_one_query(commons: Commons, out: SimpleNamespace):
    read_manifest(commons.gate, out.release, actor=commons.actor("engineer"), purpose=PURPOSE)
    with commons.gate.ledger.snapshot() as snapshot:
        wanted = EntryFilter(
            release=out.release,
            actor="engineer",
            types=(EventType.SERVE_MANIFEST_READ,),
            outcome=Outcome.COMPLETED,
        )
        reads = list(find_all(snapshot, wanted))
        decided = list(
            find_all(snapshot, EntryFilter(release=out.release, types=(EventType.JUDGE_SERVE_DECIDE,)))
        )
    assert reads[-1].event.purpose == PURPOSE
    assert reads[-1].time >= out.before
    assert decided[-1].event.grant is not None
    assert decided[-1].event.digests["bundle"] == out.manifest["policy"]["bundle_digest"]


def test_what_operators_see_agrees_with_what_was_signed(commons: Commons, out: SimpleNamespace):
    summary = release_summary(commons.gate, out.release)
    assert summary["digest"] == out.manifest["digest"]
    assert summary["recordings"] == [out.recording]
    assert summary["recipient"] == RECIPIENT
    assert summary["items"] == list(out.manifest["items"])
    assert summary["grants"][0]["principal"] == "engineer"


def explained(error: DeniedError) -> None:
    assert error.decision.violations
    for violation in error.decision.violations:
        assert violation.rule
        assert violation.clause
        assert any("\u4e00" <= character <= "\u9fff" for character in violation.text_zh)
        assert violation.text_en
        assert violation.text_en.isascii()


def test_a_denied_release_names_rule_clause_and_fact(commons: Commons, out: SimpleNamespace):
    with pytest.raises(DeniedError) as denied:
        candidate(commons.gate, commons.house, out.recording)
    explained(denied.value)
    violation = next(v for v in denied.value.decision.violations if v.rule == "trip_once")
    assert violation.number == "law 7"
    assert any(out.recording in str(fact) for fact in violation.facts)


def test_a_denied_publication_names_what_is_missing(commons: Commons):
    release = commons.judged()
    with pytest.raises(DeniedError) as denied:
        load_approved(commons.gate, release, actor=commons.actor("first"))
    explained(denied.value)
    violation = next(v for v in denied.value.decision.violations if v.rule == "enough_approvers")
    assert "law 8" in violation.number
    wanted = EntryFilter(
        release=release, rule=denied.value.decision.violations[0].rule, outcome=Outcome.REFUSED
    )
    with commons.gate.ledger.snapshot() as snapshot:
        entries = list(find_all(snapshot, wanted))
    assert entries[-1].event.type is EventType.JUDGE_PUBLISH_DECIDE
    assert "enough_approvers" in entries[-1].event.facts["rules"]
    assert entries[-1].event.digests["question"] == denied.value.decision.question_digest


def test_a_denied_reader_is_told_the_rule_in_both_languages(commons: Commons, out: SimpleNamespace):
    engineer = commons.house.people["engineer"]
    with (
        serving(commons.gate) as origin,
        caller(origin, "engineer", engineer.key, "marketing") as client,
    ):
        answer = client.get(f"/downstream/v1/releases/{out.release}/manifest")
    assert answer.status_code == 403
    violation = next(v for v in answer.json()["violations"] if v["rule"] == "purpose_bound")
    assert violation["clause"]
    assert violation["text_zh"] != violation["text_en"]


def test_a_held_item_names_its_reason(commons: Commons):
    files = {"drive.csv": track(970), "radar.raw": bytes(range(256)) * 16}
    recording = deliver(commons.gate, files, captured={})
    advance(commons.gate, recording)
    item = recording_summary(commons.gate, recording)["items"][1]
    assert item["state"] == "held"
    assert item["reason"] == "unknown_format"
    assert item["detail"]
    wanted = EntryFilter(recording=recording, types=(EventType.INTAKE_ITEM_HOLD,), outcome=Outcome.COMPLETED)
    with commons.gate.ledger.snapshot() as snapshot:
        (entry,) = find_all(snapshot, wanted)
    assert entry.event.facts["reason"] == "unknown_format"

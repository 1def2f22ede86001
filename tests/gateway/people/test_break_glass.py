"""Rule 30: two persons, named originals, hours; every step in the ledger and reported; reviewed by a third."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image as PillowImage

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from audit.questions import Question, ask
from gateway.errors import (
    ActDeniedError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    StageOrderError,
)
from gateway.flow.gate import Gate
from gateway.flow.records import ItemRow
from gateway.people.break_glass import BreakGlass, ReviewOutcome, State, alarms, break_glass_of
from gateway.people.break_glass_reports import FOLDER, report_break_glass
from gateway.people.break_glass_steps import (
    approve_break_glass,
    end_break_glass,
    list_break_glass,
    request_break_glass,
    review_break_glass,
)
from gateway.review.originals import show_original
from gateway.scheduler import run_job
from simulators import House, cleanse, csv_track, png, video

HOUR = timedelta(hours=1)
REASON = "事故调查 2026-117"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A furnished gate with a recording of two stills, a video and a track."""
    house = House(home=tmp_path_factory.mktemp("break-glass") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        house.enrol(gate, "deputy", "compliance_officer")
        house.enrol(gate, "foreigner", "operator", nationality="US")
        files = {"a.png": png(seed=1), "b.png": png(seed=2), "v.mp4": video(frames=3), "t.csv": csv_track()}
        recording = cleanse(gate, files, attestation="no position")
        with gate.database.read() as session:
            rows = session.scalars(
                sa.select(ItemRow.id).where(ItemRow.recording_id == recording).order_by(ItemRow.position)
            )
            items = dict(zip(files, rows, strict=True))
        yield SimpleNamespace(house=house, gate=gate, items=items)


def who(place: SimpleNamespace, name: str):
    return place.house.people[name].actor


def asked(place: SimpleNamespace, *names: str, lasting: timedelta = HOUR, by: str = "first") -> BreakGlass:
    items = [place.items[name] for name in names or ("a.png",)]
    return request_break_glass(place.gate, items, lasting=lasting, reason=REASON, actor=who(place, by))


def opened(place: SimpleNamespace, *names: str, lasting: timedelta = HOUR) -> BreakGlass:
    access = asked(place, *names, lasting=lasting)
    found = approve_break_glass(place.gate, access.id, actor=who(place, "officer"))
    report_break_glass(place.gate, access.id)
    return found


def later(place: SimpleNamespace, by: timedelta) -> Gate:
    now = place.gate.clock() + by
    return replace(place.gate, clock=lambda: now)


def entries(place: SimpleNamespace, access: BreakGlass, kind: EventType):
    with place.gate.ledger.snapshot() as snapshot:
        return [e.event for e in find_all(snapshot, EntryFilter(object=access.id, types=(kind,)))]


def rules(denied: pytest.ExceptionInfo[ActDeniedError]) -> list[str]:
    return [violation.rule for violation in denied.value.decision.violations]


def test_what_was_asked_for_and_approved_is_shown_marked_and_nothing_else(place: SimpleNamespace):
    access = opened(place, "a.png")
    shown = show_original(place.gate, access.id, place.items["a.png"], actor=who(place, "first"))
    picture = PillowImage.open(io.BytesIO(shown))
    original = np.asarray(PillowImage.open(io.BytesIO(png(seed=1))).convert("RGB"), dtype=int)
    assert (picture.format, picture.size, picture.info) == ("PNG", (64, 48), {})
    difference = np.abs(np.asarray(picture, dtype=int) - original).max(axis=2)
    assert 0.01 < (difference > 0).mean() < 0.9, "what is shown is the original under a mark"
    assert shown != png(seed=1)
    with pytest.raises(ActDeniedError) as denied:
        show_original(place.gate, access.id, place.items["b.png"], actor=who(place, "first"))
    assert rules(denied) == ["break_glass_approved"]


def test_a_frame_of_a_video_is_shown_by_number(place: SimpleNamespace):
    access = opened(place, "v.mp4", "t.csv")
    item = place.items["v.mp4"]
    assert show_original(place.gate, access.id, item, actor=who(place, "first"), frame=2)[:4] == b"\x89PNG"
    with pytest.raises(NotFoundError, match="no such frame"):
        show_original(place.gate, access.id, item, actor=who(place, "first"), frame=3)
    with pytest.raises(InvalidRequestError, match="only pictures"):
        show_original(place.gate, access.id, place.items["t.csv"], actor=who(place, "first"))
    found = entries(place, access, EventType.BREAK_GLASS_ORIGINAL_READ)
    assert [event.outcome for event in found] == [
        Outcome.INTENT, Outcome.COMPLETED, Outcome.INTENT, Outcome.REFUSED, Outcome.INTENT, Outcome.REFUSED,
    ]  # fmt: skip


def test_nothing_is_shown_before_another_person_approved(place: SimpleNamespace):
    access = asked(place)
    with pytest.raises(ActDeniedError) as denied:
        show_original(place.gate, access.id, place.items["a.png"], actor=who(place, "first"))
    assert rules(denied) == ["break_glass_approved"]
    for person, broken in (("first", "duties_separated"), ("second", "role_permitted")):
        with pytest.raises(ActDeniedError) as denied:
            approve_break_glass(place.gate, access.id, actor=who(place, person))
        assert broken in rules(denied)
    approve_break_glass(place.gate, access.id, actor=who(place, "officer"))
    with pytest.raises(ConflictError, match="already"):
        approve_break_glass(place.gate, access.id, actor=who(place, "deputy"))


def test_an_officer_who_is_an_operator_too_does_not_approve_their_own(place: SimpleNamespace):
    """Law 8: neither of the two is the other, whatever roles one person holds."""
    both = place.house.enrol(place.gate, "both", "operator", "compliance_officer").actor
    access = request_break_glass(place.gate, [place.items["a.png"]], lasting=HOUR, reason=REASON, actor=both)
    with pytest.raises(ActDeniedError) as denied:
        approve_break_glass(place.gate, access.id, actor=both)
    assert rules(denied) == ["duties_separated"]


def test_only_who_asked_looks_and_only_in_the_zone(place: SimpleNamespace):
    """Rules 4 and 23."""
    access, item = opened(place), place.items["a.png"]
    for person in ("second", "officer", "engineer", "foreigner"):
        with pytest.raises(ActDeniedError):
            show_original(place.gate, access.id, item, actor=who(place, person))
    partner = replace(place.gate, settings=place.gate.settings.model_copy(update={"network_zone": "partner"}))
    with pytest.raises(ActDeniedError) as denied:
        show_original(partner, access.id, item, actor=who(place, "first"))
    assert rules(denied) == ["raw_zone"]
    assert entries(place, access, EventType.BREAK_GLASS_ORIGINAL_READ) == []
    with pytest.raises(ActDeniedError) as denied:
        show_original(place.gate, "f" * 32, item, actor=who(place, "first"))
    assert "break_glass_approved" in rules(denied)


def test_it_ends_by_itself_and_early(place: SimpleNamespace):
    access, item = opened(place), place.items["a.png"]
    show_original(later(place, timedelta(minutes=59)), access.id, item, actor=who(place, "first"))
    over = later(place, HOUR)
    with pytest.raises(ActDeniedError) as denied:
        show_original(over, access.id, item, actor=who(place, "first"))
    assert rules(denied) == ["break_glass_open"]
    with pytest.raises(ConflictError, match="over since"):
        end_break_glass(over, access.id, actor=who(place, "first"))
    other = opened(place)
    ended = end_break_glass(place.gate, other.id, actor=who(place, "officer"))
    assert ended.state(place.gate.clock()) is State.OVER
    with pytest.raises(ActDeniedError) as denied:
        show_original(place.gate, other.id, item, actor=who(place, "first"))
    assert rules(denied) == ["break_glass_open"]


def test_a_request_lapses(place: SimpleNamespace):
    access = asked(place)
    over = later(place, HOUR)
    with pytest.raises(ActDeniedError) as denied:
        approve_break_glass(over, access.id, actor=who(place, "officer"))
    assert rules(denied) == ["break_glass_open"]
    assert access.state(over.clock()) is State.LAPSED
    with pytest.raises(ActDeniedError):
        review_break_glass(over, access.id, ReviewOutcome.JUSTIFIED, "x", actor=who(place, "auditor"))


def test_limits_are_those_of_the_policy_data(place: SimpleNamespace):
    asked(place, lasting=timedelta(hours=8))
    for lasting in (timedelta(hours=8, seconds=1), timedelta(0), -HOUR):
        with pytest.raises(ActDeniedError) as denied:
            asked(place, lasting=lasting)
        assert rules(denied) == ["break_glass_bounded"]
    with pytest.raises(ActDeniedError) as denied:
        asked(place, by="auditor")
    assert rules(denied) == ["role_permitted"]
    with pytest.raises(NotFoundError, match="no original"):
        request_break_glass(place.gate, ["x"], lasting=HOUR, reason=REASON, actor=who(place, "first"))
    for items in (["x", "x"], ["a b"], [""]):
        with pytest.raises(InvalidRequestError, match="each item once"):
            request_break_glass(place.gate, items, lasting=HOUR, reason=REASON, actor=who(place, "first"))
    with pytest.raises(InvalidRequestError, match="in words"):
        request_break_glass(place.gate, ["x"], lasting=HOUR, reason=" ", actor=who(place, "first"))


def test_every_step_is_reported_by_itself_once(place: SimpleNamespace):
    access, item = opened(place), place.items["a.png"]
    show_original(place.gate, access.id, item, actor=who(place, "first"))
    reports = entries(place, access, EventType.BREAK_GLASS_ACCESS_REPORT)
    made = [event for event in reports if event.outcome is Outcome.COMPLETED]
    assert [event.facts["kind"] for event in made] == ["start", "use"]
    over = later(place, HOUR)
    assert run_job(over, "break_glass")["reports"] >= 1
    assert report_break_glass(over, access.id) == 0
    late = later(place, HOUR + timedelta(days=7))
    assert report_break_glass(late, access.id) == 1
    folder = place.gate.settings.home / FOLDER
    files = sorted(folder.glob(f"{access.id}-*.json"))
    told = {json.loads(file.read_bytes())["kind"]: file.read_bytes() for file in files}
    assert told.keys() == {"start", "use", "end", "overdue"}
    attested = {
        event.digests["report"]
        for event in entries(place, access, EventType.BREAK_GLASS_ACCESS_REPORT)
        if event.outcome is Outcome.COMPLETED
    }
    assert {sha256(content).hexdigest() for content in told.values()} == attested
    use = json.loads(told["use"])
    assert (use["item"], use["uses_so_far"], use["break_glass"]["approved_by"]) == (item, 1, "officer")
    assert use["text"]["zh"]
    assert REASON.encode() not in b"".join(told.values())


def test_a_report_that_a_crash_kept_back_is_made_by_the_job(place: SimpleNamespace):
    access = asked(place)
    approve_break_glass(place.gate, access.id, actor=who(place, "officer"))
    assert not list((place.gate.settings.home / FOLDER).glob(f"{access.id}-*.json"))
    run_job(place.gate, "break_glass")
    assert [
        f.name.rpartition("-")[2] for f in (place.gate.settings.home / FOLDER).glob(f"{access.id}-*")
    ] == ["start.json"]


def test_a_third_person_reviews_it_when_it_is_over(place: SimpleNamespace):
    access = opened(place)
    with pytest.raises(StageOrderError, match="when it is over"):
        review_break_glass(
            place.gate, access.id, ReviewOutcome.JUSTIFIED, "note", actor=who(place, "auditor")
        )
    over = later(place, HOUR)
    with pytest.raises(ActDeniedError) as denied:
        review_break_glass(over, access.id, ReviewOutcome.JUSTIFIED, "note", actor=who(place, "officer"))
    assert rules(denied) == ["duties_separated"]
    reviewed = review_break_glass(
        over, access.id, ReviewOutcome.JUSTIFIED, "note", actor=who(place, "deputy")
    )
    assert (reviewed.reviewed_by, reviewed.outcome) == ("deputy", "justified")
    with pytest.raises(ConflictError, match="reviewed by"):
        review_break_glass(over, access.id, ReviewOutcome.MISUSED, "note", actor=who(place, "auditor"))
    with pytest.raises(NotFoundError, match="no such break-glass"):
        review_break_glass(over, "f" * 32, ReviewOutcome.MISUSED, "note", actor=who(place, "auditor"))


def test_alarms_and_findings_say_what_is_open_and_overdue(place: SimpleNamespace):
    access = opened(place)
    assert "break_glass_open" in alarms(place.gate)
    late = later(place, HOUR + timedelta(days=7))
    assert alarms(late) == ["break_glass_review_overdue"]
    with place.gate.ledger.snapshot() as snapshot:
        answer = ask(
            snapshot,
            Question.BREAK_GLASS,
            now=late.clock(),
            raw_term=timedelta(days=14),
            review_term=timedelta(days=7),
        )
    row = next(row for row in answer.rows if row["break_glass"] == access.id)
    assert (row["requested_by"], row["approved_by"], row["uses"]) == ("first", "officer", 0)
    assert any(
        finding.startswith(f"{access.id}: over since") and "overdue" in finding for finding in answer.findings
    )
    review_break_glass(late, access.id, ReviewOutcome.UNJUSTIFIED, "no", actor=who(place, "auditor"))
    with place.gate.ledger.snapshot() as snapshot:
        answer = ask(
            snapshot,
            Question.BREAK_GLASS,
            now=late.clock(),
            raw_term=timedelta(days=14),
            review_term=timedelta(days=7),
        )
    assert f"{access.id}: auditor found it unjustified" in answer.findings


def test_words_are_sealed_and_shown_to_who_may_list(place: SimpleNamespace):
    access = asked(place)
    leaves = b"".join(entry.leaf for entry in place.gate.ledger.entries())
    assert REASON.encode() not in leaves
    listed = {row["break_glass"]: row for row in list_break_glass(place.gate, actor=who(place, "auditor"))}
    assert listed[access.id]["reason"] == REASON
    with pytest.raises(ActDeniedError):
        list_break_glass(place.gate, actor=who(place, "engineer"))
    assert break_glass_of(place.gate, "../x") is None

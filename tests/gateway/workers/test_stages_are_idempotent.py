"""Every stage called twice has one effect: what a restarted worker or an impatient sender does."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from audit.events import Outcome
from gateway.errors import ConflictError, StageOrderError
from gateway.flow.approve import approve, sign_approval
from gateway.flow.build import build_release
from gateway.flow.erase import erase_recording
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce, receive_item
from gateway.flow.judge import judge_release, load_judged
from gateway.flow.records import ApprovalRow, RecordingRow, ReleaseItemRow, ReleaseRow
from gateway.flow.release import load_approved, release, revoke_release
from gateway.workers import advance
from simulators import House, candidate, cleanse, deliver, manifest_of, publish, sign, vehicle_actor

Traces = Callable[[Gate], dict[str, object]]


def test_announcing_again_changes_nothing(shared_gate: Gate, files: dict[str, bytes], traces: Traces):
    delivery = Delivery(manifest=manifest_of(files), source="vehicle", manifest_signed=True)
    first = announce(shared_gate, delivery, actor=vehicle_actor())
    seen = traces(shared_gate)
    assert announce(shared_gate, delivery, actor=vehicle_actor()) == first
    assert traces(shared_gate) == seen


def test_announcing_something_else_under_a_taken_id_is_refused(
    shared_gate: Gate, files: dict[str, bytes], traces: Traces
):
    recording = deliver(shared_gate, files)
    other = manifest_of({**files, "drive.csv": b"time,lat,lon\n"}, recording=recording)
    seen = traces(shared_gate)
    with pytest.raises(ConflictError, match="another manifest"):
        announce(
            shared_gate,
            Delivery(manifest=other, source="vehicle", manifest_signed=True),
            actor=vehicle_actor(),
        )
    assert shared_gate.ledger.entry(shared_gate.ledger.size - 1).event.outcome is Outcome.REFUSED
    assert traces(shared_gate) == {**seen, "ledger": seen["ledger"] + 1}  # type: ignore[operator]


def test_receiving_again_changes_nothing(shared_gate: Gate, files: dict[str, bytes], traces: Traces):
    """Law 4: a sender that lost the acknowledgement may repeat itself, even with other bytes."""
    recording = deliver(shared_gate, files)
    seen = traces(shared_gate)
    for content in (files["drive.csv"], b"something else"):
        state = receive_item(shared_gate, recording, 0, [content], actor=vehicle_actor())
        assert state == "quarantined"
    assert traces(shared_gate) == seen


def test_advancing_again_changes_nothing(shared_gate: Gate, files: dict[str, bytes], traces: Traces):
    recording = cleanse(shared_gate, files)
    seen = traces(shared_gate)
    again = advance(shared_gate, recording)
    assert again is not None
    assert again.cleansed == len(files)
    assert traces(shared_gate) == seen


def test_building_and_judging_again_is_out_of_order(
    shared_gate: Gate, shared_house: House, files: dict[str, bytes], traces: Traces
):
    made = candidate(shared_gate, shared_house, cleanse(shared_gate, files))
    seen = traces(shared_gate)
    for stage in (build_release, judge_release):
        with pytest.raises(StageOrderError):
            stage(shared_gate, made)
    assert traces(shared_gate) == seen
    with shared_gate.database.read() as session:
        names = session.scalars(
            sa.select(ReleaseItemRow.item_id).where(ReleaseItemRow.release_id == made)
        ).all()
    assert len(names) == len(set(names)) == len(files)


def test_a_second_approval_by_the_same_person_counts_once(
    shared_gate: Gate, shared_house: House, files: dict[str, bytes]
):
    """Law 8: two signatures of one person are not two people."""
    made = candidate(shared_gate, shared_house, cleanse(shared_gate, files))
    sign(shared_gate, shared_house, made, "first")
    with shared_gate.database.read() as session:
        kept = session.get_one(ApprovalRow, (made, "first")).jws
        judged = load_judged(shared_gate, session, made)
    who = shared_house.people["first"]
    again = sign_approval(judged, "first", who.key, shared_gate.clock())
    approve(shared_gate, made, again, actor=who.actor)
    with shared_gate.database.read() as session:
        rows = session.scalars(sa.select(ApprovalRow).where(ApprovalRow.release_id == made)).all()
    assert [(row.approver, row.jws) for row in rows] == [("first", kept)]


def test_publishing_again_changes_nothing(
    shared_gate: Gate, shared_house: House, files: dict[str, bytes], later: Callable[..., Gate]
):
    made = candidate(shared_gate, shared_house, cleanse(shared_gate, files))
    actor = shared_house.people["first"].actor
    sign(shared_gate, shared_house, made, "first")
    sign(shared_gate, shared_house, made, "second")
    approved = load_approved(shared_gate, made, actor=actor)
    out = release(shared_gate, approved, actor=actor)
    with shared_gate.database.read() as session:
        row = session.get_one(ReleaseRow, made)
    assert release(later(shared_gate, hours=1), approved, actor=actor) == out
    with shared_gate.database.read() as session:
        again = session.get_one(ReleaseRow, made)
    assert (again.manifest_jws, again.released_at) == (row.manifest_jws, row.released_at)
    with pytest.raises(StageOrderError, match="published"):
        load_approved(shared_gate, made, actor=actor)


def test_a_revoked_release_is_not_revived_by_an_approval_of_before(
    shared_gate: Gate, shared_house: House, files: dict[str, bytes]
):
    """Law 1: revocation is for good, also for a publisher who was admitted before it."""
    made = candidate(shared_gate, shared_house, cleanse(shared_gate, files))
    actor = shared_house.people["first"].actor
    sign(shared_gate, shared_house, made, "first")
    sign(shared_gate, shared_house, made, "second")
    approved = load_approved(shared_gate, made, actor=actor)
    release(shared_gate, approved, actor=actor)
    revoke_release(shared_gate, made, actor=actor)
    with pytest.raises(StageOrderError, match="revoked"):
        release(shared_gate, approved, actor=actor)
    with shared_gate.database.read() as session:
        assert session.get_one(ReleaseRow, made).state == "revoked"


def test_erasing_again_changes_nothing(
    shared_gate: Gate, shared_house: House, files: dict[str, bytes], traces: Traces
):
    recording = cleanse(shared_gate, files)
    publish(shared_gate, shared_house, candidate(shared_gate, shared_house, recording))
    officer = shared_house.people["officer"].actor
    erase_recording(shared_gate, recording, actor=officer)
    seen = traces(shared_gate)
    with shared_gate.database.read() as session:
        row = session.get_one(RecordingRow, recording)
    erase_recording(shared_gate, recording, actor=officer)
    with shared_gate.database.read() as session:
        again = session.get_one(RecordingRow, recording)
    assert (again.erased_at, again.state) == (row.erased_at, "erased")
    # The attempt itself is on record, and that policy allowed it: to whom, and to destroy.
    assert traces(shared_gate) == {**seen, "ledger": seen["ledger"] + 4}  # type: ignore[operator]
    assert advance(shared_gate, recording) is not None
    with shared_gate.database.read() as session:
        assert session.get_one(RecordingRow, recording).state == "erased"


def test_an_erased_recording_does_not_stop_later_releases(
    shared_gate: Gate, shared_house: House, files: dict[str, bytes]
):
    """Law 9: what a recipient received earlier is still counted (rule 19) when its key is gone."""
    first = cleanse(shared_gate, files)
    publish(shared_gate, shared_house, candidate(shared_gate, shared_house, first))
    erase_recording(shared_gate, first, actor=shared_house.people["officer"].actor)
    second = cleanse(shared_gate, {name: content + b"\n" for name, content in files.items() if "csv" in name})
    publish(shared_gate, shared_house, candidate(shared_gate, shared_house, second))

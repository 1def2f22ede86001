"""Long work on a video keeps its recording's lease alive, and stops when another worker took it over."""

import sqlalchemy as sa

from gateway.flow.gate import Gate
from gateway.flow.records import ItemRow, RecordingRow
from gateway.workers import advance, claim
from simulators import START, House, csv_track, deliver, video

FILES = {"drive.csv": csv_track(), "a.mp4": video(frames=9, fps=1)}


def row(gate: Gate, recording: str) -> RecordingRow:
    with gate.database.read() as session:
        return session.get_one(RecordingRow, recording)


def test_each_segment_renews_the_lease(sqlite_gate: Gate):
    recording = deliver(sqlite_gate, FILES, captured={"a.mp4": START})
    until = []

    def note(step: str, done: int, total: int) -> None:
        del done, total
        if step.endswith("video"):
            until.append(row(sqlite_gate, recording).lease_until)

    assert advance(sqlite_gate, recording, progress=note) is not None
    assert len(until) == 6
    assert until == sorted(set(until))


def test_a_worker_that_lost_its_lease_stops_and_holds_nothing(sqlite_house: House):
    """The one that took over is not disturbed, and the item is not held for it."""
    sqlite_house.settings_changes["lease_s"] = 1
    with sqlite_house.opened() as gate:
        sqlite_house.furnish(gate)
        recording = deliver(gate, FILES, captured={"a.mp4": START})
        told = []

        def taken_over(step: str, done: int, total: int) -> None:
            del total
            if (step, done) == ("detect video", 1):
                with gate.database.transaction() as session:
                    session.execute(sa.update(RecordingRow).values(lease_owner=None))
                assert claim(gate, recording, "another")
            told.append(step)

        assert advance(gate, recording, progress=taken_over) is None
        assert told.count("detect video") == 1
        assert row(gate, recording).lease_owner == "another"
        with gate.database.read() as session:
            states = session.scalars(sa.select(ItemRow.state).order_by(ItemRow.position)).all()
        assert states == ["cleansed", "classified"]

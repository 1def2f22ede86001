"""What no certificate covers, listed by the command with rule, clause and reason in Chinese and English."""

from audit.events import EventType, Outcome
from simulators import csv_track, deliver


def test_held_recordings_are_listed_by_pages(housed):
    assert housed.did("auditor", "held") == {"recordings": [], "cursor": None}
    assert "no recording is held" in housed.run("held", *housed.proof("auditor")).out
    with housed.house.opened() as gate:
        recordings = [deliver(gate, {"drive.csv": csv_track(400 + i)}, region="440305") for i in range(2)]
    page = housed.did("officer", "held", "--limit", 1)
    rest = housed.did("officer", "held", "--limit", 1, "--after", page["cursor"])
    assert [each["recording"] for each in (*page["recordings"], *rest["recordings"])] == recordings
    assert rest["cursor"] is None
    (entry,) = [e for e in housed.entries() if e.index == page["cursor"]]
    assert (entry.event.type, entry.event.outcome) == (EventType.JUDGE_ADVANCE_DECIDE, Outcome.REFUSED)
    lines = housed.run("held", "--limit", 1, *housed.proof("officer")).out
    for shown in (
        recordings[0],
        "测绘法",
        "测绘资质须有效",
        "A surveying certificate is valid now",
        '"region": "440305"',
        f"--after {page['cursor']}",
    ):
        assert shown in lines
    assert recordings[1] not in lines

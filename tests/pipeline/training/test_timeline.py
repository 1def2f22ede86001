"""Where the time of a training went: figures of starts that were killed and went on."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.training.errors import RunError
from pipeline.training.timeline import Timeline, read_events, summary


def event(at: float, what: str, **spent: float) -> dict[str, Any]:
    return {"at": at, "what": what, "spent": spent}


def test_goodput_counts_kept_steps_by_the_wall_clock_with_all_starts():
    events = [
        event(100, "start"),
        event(130, "kept", step_s=16, wait_s=4, validate_s=2, save_s=1, samples=160),
        event(142, "beat", step_s=24, wait_s=6, validate_s=2, save_s=1, samples=240),  # then it was killed
        event(160, "start"),
        event(190, "kept", step_s=20, wait_s=5, validate_s=2, save_s=1, samples=200),
        event(200, "end", step_s=20, wait_s=5, validate_s=2, save_s=1, samples=200),
    ]
    told = summary(events)
    assert told == {
        "starts": 2,
        "samples": 360,
        "wall_s": 100,
        "step_s": 36,
        "wait_s": 9,
        "validate_s": 4,
        "save_s": 2,
        "lost_s": 10,
        "down_s": 18,
        "other_s": 21,
        "samples_per_s": 8.0,
        "loader_wait_share": 0.2,
        "goodput": 0.36,
    }


def test_a_run_that_kept_nothing_has_no_rate():
    told = summary([event(0, "start"), event(10, "beat", step_s=4, wait_s=1, samples=9)])
    assert (told["goodput"], told["samples_per_s"], told["loader_wait_share"]) == (0.0, None, None)
    assert told["lost_s"] == 5


def test_batches_are_measured_and_a_line_cut_short_by_a_kill_is_left_out(tmp_path: Path):
    path = tmp_path / "timeline.jsonl"
    timeline = Timeline(path=path, world=2)
    timeline.started()
    assert list(timeline.measured([[1, 2], [3]], len)) == [[1, 2], [3]]
    timeline.kept()
    assert timeline.spent.samples == 6
    assert timeline.spent.wait_s >= 0
    with path.open("a") as file:
        file.write('{"at": 1, "wh')
    assert [each["what"] for each in read_events(path)] == ["start", "kept"]
    path.write_text('{"at": 1}\n' + json.dumps(event(2, "start")) + "\n")
    with pytest.raises(RunError, match=r"timeline\.jsonl line 1"):
        read_events(path)
    with pytest.raises(RunError, match="no start"):
        summary([])

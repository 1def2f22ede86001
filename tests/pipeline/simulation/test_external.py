import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.simulation.back_ends import open_back_end
from pipeline.simulation.backend import MAX_TTC_S
from pipeline.simulation.cut_in import CutIn
from pipeline.simulation.errors import BackEndError, RunFolderError, ScenarioError
from pipeline.simulation.limit_state import LimitState
from pipeline.simulation.recorded import RecordedRuns
from pipeline.simulation.scenario_file import example_text, parse_scenario

SIMULATOR = """
import csv, sys
rows = list(csv.DictReader(sys.stdin))
out = csv.writer(sys.stdout)
out.writerow(["impact_speed", "min_gap", "min_ttc"])
for row in rows:
    gap = float(row["distance"]) - 2.0 * float(row["speed"])
    out.writerow([max(0.0, -gap), max(0.0, gap), "inf"])
"""


def stated(code: str, **changes: object) -> dict[str, object]:
    return {
        "kind": "command",
        "command": [sys.executable, "-c", code],
        "version": "1",
        "timeout_s": 30,
        "parameters": {
            "speed": {"unit": "m/s", "bounds": [0, 60]},
            "distance": {"unit": "m", "bounds": [0, 200], "default": 50},
        },
    } | changes


def test_a_command_answers_row_by_row():
    back_end = open_back_end(stated(SIMULATOR), run_command=True)
    answer = back_end.run(np.array([[10.0, 50.0], [30.0, 50.0], [0.1, 0.3]]))
    assert answer.min_gap.tolist() == [30.0, 0.0, pytest.approx(0.1)]
    assert answer.impact_speed.tolist() == [0.0, 10.0, 0.0]
    assert answer.collision.tolist() == [False, True, False]
    assert (answer.min_ttc == MAX_TTC_S).all()


FAILS = {
    "ends with an error": ("import sys; sys.exit('no licence')", "ended with status 1: no licence"),
    "other columns": ("print('gap,ttc')", "answer's columns (got gap,ttc"),
    "nothing": ("", "answer's columns (got "),
    "too few rows": ("print('min_gap,min_ttc,impact_speed'); print('1,2,0')", "rows (got 1, expected 2)"),
    "text": ("print('min_gap,min_ttc,impact_speed\\n1,2,0\\n1,2,x')", "row 2 (got '1,2,x'"),
    "a short row": ("print('min_gap,min_ttc,impact_speed\\n1,2,0\\n1')", "row 2 (got '1'"),
    "NaN": ("print('min_gap,min_ttc,impact_speed\\n1,2,0\\nnan,2,0')", "row 2: min_gap (got nan"),
    "no UTF-8": ("import sys; sys.stdout.buffer.write(b'\\xff')", "no UTF-8"),
}


@pytest.mark.parametrize("case", FAILS)
def test_a_command_that_fails_is_told_with_what_it_said(case: str):
    code, said = FAILS[case]
    with pytest.raises(BackEndError, match=re.escape(said)):
        open_back_end(stated(code), run_command=True).run(np.ones((2, 2)))


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def test_a_command_that_does_not_end_is_ended_with_what_it_started(tmp_path: Path):
    mark = tmp_path / "pid"
    code = (
        "import subprocess, sys, pathlib, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"pathlib.Path({str(mark)!r}).write_text(str(child.pid)); time.sleep(60)"
    )
    with pytest.raises(BackEndError, match="longer than 3 s"):
        open_back_end(stated(code, timeout_s=3), run_command=True).run(np.ones((1, 2)))
    deadline = time.monotonic() + 20.0
    while alive(int(mark.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_program_that_is_not_there_is_told():
    with pytest.raises(BackEndError, match="cannot be started"):
        open_back_end(stated("", command=["no-such-simulator"]), run_command=True).run(np.ones((1, 2)))


REFUSED = {
    "not allowed to run": (stated(SIMULATOR), False, "give --run-command"),
    "another kind": ({"kind": "carla"}, True, "back_end.kind (got 'carla'"),
    "a shell line": (stated("", command="sim | tee"), True, "expected a list of program and arguments"),
    "no command": (stated("", command=[]), True, "expected a list of program and arguments"),
    "no version": ({k: v for k, v in stated("").items() if k != "version"}, True, "lacks version"),
    "unknown setting": (stated("", environment={}), True, "unknown environment"),
    "no time": (stated("", timeout_s=0), True, "expected more than 0 s"),
    "a step of text": ({"kind": "cut_in", "step_s": "short"}, True, "expected a finite number"),
    "unknown setting of the cut-in": ({"kind": "cut_in", "steps": 3}, True, "unknown steps"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_back_end_that_is_none_is_refused(case: str):
    entry, allowed, said = REFUSED[case]
    with pytest.raises(ScenarioError, match=re.escape(said)):
        open_back_end(entry, run_command=allowed)


def test_the_version_and_the_step_are_part_of_the_identity():
    digests = {
        open_back_end(each, run_command=True).digest
        for each in (
            stated(""),
            stated("", version="2"),
            {"kind": "cut_in"},
            {"kind": "cut_in", "step_s": 0.05},
        )
    }
    assert len(digests) == 4


def rows(count: int) -> np.ndarray:
    state = LimitState(parse_scenario(example_text()), CutIn())
    table = np.tile(state._row, (count, 1))
    table[:, state._columns] = state.law.to_physical(np.random.default_rng(0).standard_normal((count, 8)))
    return table


def test_what_was_run_is_not_run_again(tmp_path: Path):
    table = rows(25)
    first = RecordedRuns(CutIn(), tmp_path / "runs", batch=10)
    answer = first.run(table)
    assert (first.fresh, first.kept) == (25, 0)
    told: list[int] = []
    second = RecordedRuns(CutIn(), tmp_path / "runs", batch=10, told=told.append)
    assert np.array_equal(second.run(table).min_gap, answer.min_gap)
    assert (second.fresh, second.kept) == (0, 25)
    assert told == [10, 10, 5]
    third = RecordedRuns(CutIn(0.05), tmp_path / "runs", batch=10)
    third.run(table)
    assert third.fresh == 25, "another simulator's answers are not its own"


def test_a_simulator_that_breaks_off_leaves_whole_batches(tmp_path: Path):
    table = rows(30)
    spoilt = table.copy()
    spoilt[25, 1] = np.nan
    with pytest.raises(BackEndError):
        RecordedRuns(CutIn(), tmp_path, batch=10).run(spoilt)
    again = RecordedRuns(CutIn(), tmp_path, batch=10)
    again.run(table)
    assert (again.fresh, again.kept) == (10, 20)


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_is_told_and_not_read(tmp_path: Path, content: bytes):
    table = rows(5)
    RecordedRuns(CutIn(), tmp_path, batch=10).run(table)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(content)
    with pytest.raises(RunFolderError, match=f"{kept.name} is damaged"):
        RecordedRuns(CutIn(), tmp_path, batch=10).run(table)


def test_a_file_of_another_size_is_told(tmp_path: Path):
    table = rows(5)
    RecordedRuns(CutIn(), tmp_path, batch=10).run(table)
    (kept,) = tmp_path.iterdir()
    np.save(kept, np.ones((4, 3)))
    with pytest.raises(RunFolderError, match="is damaged"):
        RecordedRuns(CutIn(), tmp_path, batch=10).run(table)


def test_a_folder_that_cannot_be_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be made"):
        RecordedRuns(CutIn(), tmp_path / "file" / "runs", batch=10)

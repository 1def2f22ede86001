"""Files of triggers are read strictly, and what engineers write in them reaches nothing."""

from pathlib import Path

import duckdb
import pytest

from pipeline.mining.errors import TriggerFileError
from pipeline.mining.expressions import ExpressionError, read_expression
from pipeline.mining.locked_duckdb import locked_duckdb
from pipeline.mining.trigger_file import read_trigger_file, shipped_triggers

GOOD = """\
format: fleetgate-triggers
version: 2
max_step_s: 0.5
features:
  engaged_2s: {of: engaged, take: max, over_s: 2}
triggers:
  left:
    version: 1
    priority: 5
    zh: 退出
    en: left
    where: engaged = 0 AND engaged_2s = 1
    min_duration_s: 0
    merge_gap_s: 1
    severity: {of: speed_mps, from: 0, to: 10}
"""


def test_a_good_file_is_read():
    read = read_trigger_file(GOOD.encode())
    (trigger,) = read.triggers.values()
    assert (read.version, read.max_step_s, trigger.title["zh"]) == (2, 0.5, "退出")
    assert trigger.where.columns == {"engaged", "engaged_2s"}
    assert read.features["engaged_2s"].over_s == 2.0
    assert read.digest != read_trigger_file(GOOD.replace("version: 2", "version: 3").encode()).digest


def test_the_shipped_triggers_are_the_six_of_the_trade():
    names = {"hard_brake", "take_over", "cut_in", "sharp_turn", "stop_and_go", "near_miss"}
    shipped = shipped_triggers()
    assert set(shipped.triggers) == names
    assert all(set(trigger.title) == {"zh", "en"} for trigger in shipped.triggers.values())


BAD = {
    "not YAML": ("version: 2", "version: [", "no YAML"),
    "not a mapping": (GOOD, "- 1", "the file"),
    "empty": (GOOD, "", "the file"),
    "twice": ("version: 2", "version: 2\nversion: 3", "occurs twice"),
    "a trigger twice": ("  left:", "  left: {}\n  left:", "occurs twice"),
    "another format": ("fleetgate-triggers", "triggers", "fleetgate-triggers"),
    "an unknown member": ("priority: 5", "priority: 5\n    prio: 4", "prio"),
    "a missing member": ("    zh: 退出\n", "", "'zh' is a required property"),
    "no trigger": (GOOD[GOOD.index("  left") :], "  {}", "triggers"),
    "a negative duration": ("min_duration_s: 0", "min_duration_s: -1", "triggers.left.min_duration_s: -1"),
    "a duration in words": ("min_duration_s: 0", "min_duration_s: long", "'long' is not of type"),
    "no number": ("merge_gap_s: 1", "merge_gap_s: .nan", "triggers.left.merge_gap_s"),
    "an endless gap": ("merge_gap_s: 1", "merge_gap_s: .inf", "merge_gap_s"),
    "priority": ("priority: 5", "priority: 101", "101"),
    "a version": ("    version: 1", "    version: 0", "triggers.left.version"),
    "a name": ("  left:", "  Left turn:", "Left turn"),
    "a signal's name": ("  engaged_2s: {", "  speed_mps: {", "speed_mps"),
    "severity of no range": ("to: 10", "to: 0", "severity"),
    "an unknown column": ("engaged = 0", "engage = 0", "triggers.left.where: column 'engage' is unknown"),
    "no condition": ("where: engaged = 0 AND engaged_2s = 1", "where: speed_mps", "expected BOOLEAN"),
    "no column": ("where: engaged = 0 AND engaged_2s = 1", "where: 1 = 1", "names no column"),
    "no number as severity": ("of: speed_mps", "of: speed_mps > 1", "expected DOUBLE"),
    "an age over time": ("take: max", "take: age", "no over_s with age"),
    "no time": (", over_s: 2", "", "over_s with max"),
    "rises of a number": ("take: max", "take: rises", "expected BOOLEAN"),
    "an unknown taking": ("take: max", "take: median", "median"),
    "a feature of a feature": ("{of: engaged,", "{of: engaged_2s,", "column 'engaged_2s' is unknown"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_with_its_member(case: str):
    old, new, match = BAD[case]
    assert old in GOOD
    with pytest.raises(TriggerFileError, match=match):
        read_trigger_file(GOOD.replace(old, new, 1).encode())


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(TriggerFileError, match="UTF-8"):
        read_trigger_file(b"\xff\xfe")


PERMITTED = {
    "x > 1 and abs(t) < 3": '(("x" > (1.0::DOUBLE)) AND (abs("t") < (3.0::DOUBLE)))',
    "x between 1 and 2 or not (t is null)": None,
    "case when x > 1 then t else -t end > 0": None,
    "x not in (1, 2) and t <> 0": None,
    "coalesce(x, greatest(t, 1)) >= least(1, 2, t)": None,
    "x / t > 1e3": '(("x" / nullif("t", 0)) > (1000.0::DOUBLE))',
    "x > 1 -- why": '("x" > (1.0::DOUBLE))',
}


@pytest.mark.parametrize("text", PERMITTED)
def test_arithmetic_comparison_and_logic_are_permitted(text: str):
    with locked_duckdb() as connection:
        read = read_expression(connection, text, {"x", "t"})
        connection.execute("CREATE TABLE signals (x DOUBLE, t DOUBLE)")
        connection.execute(f"SELECT {read.sql} FROM signals")  # noqa: S608
    assert read.columns <= {"x", "t"}
    assert PERMITTED[text] in {None, read.sql}


REFUSED = [
    "", "x >", "x, t", "x as y", "*", "y > 1", "signals.x > 1", "rowid > 1", "x > 'abc'", "x::varchar = 'a'",
    "x > 1; select 1", "x > 1) or (1 = 1", "x from signals --", "distinct x", "x > 1e999",
    "(select max(x) from signals) > 1", "exists (select 1)", "x in (select 1)", "max(x) over () > 1",
    "x from signals union select 1", "read_text('/etc/passwd') = 'a'", "current_setting('threads') = '2'",
    "?>1", "$1 > 2", "[1, 2]", "{'a': 1}", "x > interval 1 day", "lambda x: x", "COLUMNS(*)", "x[1]",
    "abs(x, t) > 1", "pow(x, 2) > 1", "random() > 0.5", "sum(x) > 1", "main.abs(x) > 1",
    "now() is null", "getvariable('x') > 1", "x > sleep_ms(1000)",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_anything_else_is_refused(text: str):
    with locked_duckdb() as connection, pytest.raises(ExpressionError):
        read_expression(connection, text, {"x", "t"})


def test_quotients_by_zero_and_roots_of_negatives_are_absent():
    with locked_duckdb() as connection:
        connection.execute("CREATE TABLE signals AS SELECT -1.0::DOUBLE AS x, 0.0::DOUBLE AS t")
        for text in ("x / t", "t / t", "sqrt(x)"):
            sql = read_expression(connection, text, {"x", "t"}).sql
            query = f"SELECT {sql}, {sql} > 1 FROM signals"  # noqa: S608
            assert connection.execute(query).fetchone() == (None, None)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM '{file}'",
        "COPY (SELECT 1) TO '{file}.out'",
        "ATTACH '{file}.db'",
        "EXPORT DATABASE '{file}.d'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET threads = 8",
        "RESET lock_configuration",
        "SET temp_directory = '{file}.t'",
        "SELECT * FROM frame",
    ],
)
def test_the_database_reaches_nothing_whatever_it_is_told(statement: str, tmp_path: Path):
    file = tmp_path / "secret.csv"
    file.write_text("a\n1\n")
    frame = {"a": [1]}
    with locked_duckdb() as connection, pytest.raises(duckdb.Error):
        connection.execute(statement.format(file=file)).fetchall()
    assert frame == {"a": [1]}
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


def test_what_needs_more_memory_than_is_permitted_is_an_error_and_no_file():
    with locked_duckdb(memory_mib=32) as connection, pytest.raises(duckdb.OutOfMemoryException):
        connection.execute(
            "SELECT list(a ORDER BY a DESC) FROM range(20000000) r(a) GROUP BY a % 3"
        ).fetchall()

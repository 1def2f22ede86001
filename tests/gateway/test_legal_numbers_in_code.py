"""STYLE habit 9: a number of legal meaning is dated policy data; the gate's code reads it and never states it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policies.bundle import shipped_bundle

ROOT = Path(__file__).parents[2] / "gateway"
DAY_S = 86_400
TELLING = 10
"""Numbers up to here are counts, places and sizes of anything: only a unit beside them would say more."""

NO_LAW = {
    ("api/break_glass.py", "100000"): "minutes that a request may name before policy judges them",
    ("app.py", "365"): "days of validity of the statement that `init` signs",
    ("serving/processes.py", "30"): "seconds that a process has to end",
    ("commands/auditing.py", "50"): "entries that are printed unless more are asked for",
    ("commands/deliver.py", "50"): "held recordings that are printed unless more are asked for",
    ("commands/keys.py", "30"): "days that an operator's rotated key still opens, unless they say otherwise",
    ("commands/releases.py", "30"): "days of a grant, unless the operator says otherwise",
    ("database.py", "30.0"): "seconds that a writer waits for another",
    ("dossier/area_map.py", "14"): "points between the drawings of a map",
    ("dossier/area_map.py", "50"): "lengths of a scale bar",
    ("review/quality_counts.py", "100000"): "pixels of the side of a picture",
    (
        "review/shown_drives.py",
        "300.0",
    ): "metres of the pieces that an attack is told of (DESIGN.md §4)",
    ("vault/s3.py", "300"): "characters of an error that are shown",
    ("vehicles/agent.py", "30.0"): "seconds that a vehicle waits",
    ("vehicles/cameras.py", "30.0"): "metres between a camera and its vehicle's antenna",
    ("vehicles/manifest.py", "100000"): "items of a manifest",
    ("videos/way.py", "30.0"): "seconds between fixes of a track",
    (
        "app.py",
        "timedelta(days=365)",
    ): "validity of the statement that `init` signs; an operator signs their own",
}
"""What looks like a number of the law and is none, with what it is."""


def legal_numbers() -> frozenset[float]:
    """Numbers of policy data that are telling by themselves, and their days as seconds."""

    def within(value: Any) -> Iterator[float]:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            for each in value:
                yield from within(each)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield value

    found = set()
    for parameters in shipped_bundle().data()["law"].values():
        for parameter in parameters.values():
            numbers = set(within(parameter["values"]))
            found |= {number for number in numbers if number > TELLING or number != int(number)}
            if parameter["unit"].startswith("day"):
                found |= {number * DAY_S for number in numbers}
    return frozenset(found)


def folded(node: ast.AST) -> float | None:
    """The number that an expression of literals is."""
    if isinstance(node, ast.Constant):
        plain = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        return node.value if plain else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Add | ast.Sub):
        left, right = folded(node.left), folded(node.right)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Mult):
            return left * right
        return left + right if isinstance(node.op, ast.Add) else left - right
    return None


def stated(source: str, law: frozenset[float]) -> set[str]:
    """Literals of a module that are numbers of the law, and periods of days or weeks that are written out."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        number = folded(node)
        if number is not None and number in law:
            found.add(str(number))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "timedelta":
            periods = [k.value for k in node.keywords if k.arg in {"days", "weeks"}]
            if any(folded(period) for period in [*periods, *node.args[:1]]):
                found.add(ast.unparse(node))
    return found


def test_the_gates_code_states_no_number_of_the_law() -> None:
    """Whoever writes one finds it here; a reason that outlives its number fails, too."""
    law = legal_numbers()
    found = {
        (path.relative_to(ROOT).as_posix(), each)
        for path in ROOT.rglob("*.py")
        if "migrations" not in path.parts and not path.name.startswith("demo")
        for each in stated(path.read_text("utf-8"), law)
    }
    assert found == NO_LAW.keys()


@pytest.mark.parametrize(
    "written",
    [
        "term = timedelta(days=14)",
        "term = datetime.timedelta(weeks=2)",
        "term = timedelta(185)",
        "RAW_S = 14 * 24 * 3600",
        "SUBJECTS = 100_000",
        "SUBJECTS = 100 * 1000",
        "secret = area_km2 >= 25",
        "def f(threshold=0.9): ...",
        "limit = {'clip_m': 300.0}",
    ],
)
def test_a_number_that_is_written_out_is_found(written: str) -> None:
    assert stated(written, legal_numbers())


def test_what_merely_counts_is_not() -> None:
    assert not stated(
        "x = rows[3][:10] + 7; term = timedelta(days=days, seconds=5); none = timedelta(0)", legal_numbers()
    )

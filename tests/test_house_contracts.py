"""Contracts of the code that import-linter cannot see: who commits, what is loaded, what a folder may hold."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("gateway", "policies", "anonymize", "audit", "pipeline")
STATE = "gateway/database.py"
LEDGER = frozenset(
    {
        "audit/cosigning.py",
        "audit/ledger.py",
        "audit/snapshot.py",
        "audit/tables.py",
        "audit/writer.py",
    }
)
WITNESS = "audit/witness.py"
HEAVY = frozenset({"torch", "torchvision", "ultralytics", "cv2", "matplotlib", "polars"})
TOP_LEVEL = frozenset(
    {
        "LICENSE",
        "README.md",
        "anonymize",
        "audit",
        "benchmarks",
        "docs",
        "gateway",
        "pipeline",
        "policies",
        "pyproject.toml",
        "tests",
    }
)


def parsed() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


MODULES = tuple(parsed())


def calls(name: str) -> set[str]:
    """Files that call a function or method of this name."""
    return {
        file
        for file, module in MODULES
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and name in {getattr(node.func, "attr", None), getattr(node.func, "id", None)}
    }


def test_nobody_calls_commit_transactions_commit_by_ending():
    assert calls("commit") == set()
    assert calls("commit_as_of") == set()


def test_transactions_begin_in_one_place_for_the_state_in_the_ledger_and_in_a_witness():
    assert calls("begin") == {STATE, *LEDGER, WITNESS}
    assert calls("begin_nested") == set()


def test_sessions_are_made_in_one_place():
    sessions_of_http = {"gateway/vault/kms.py", "gateway/vault/transit.py"}
    assert calls("sessionmaker") | calls("scoped_session") == {STATE}
    assert calls("Session") - sessions_of_http <= {STATE}


def test_nothing_is_evaluated_or_unpickled():
    for name in ("eval", "exec", "pickle", "unsafe_load", "full_load"):
        assert calls(name) == set(), name


def test_a_broad_handler_raises_or_says_why_it_does_not():
    """``except Exception`` goes on only where a loop must outlive one failure, or a failure becomes an entry."""
    silent = []
    for file, module in MODULES:
        source = (ROOT / file).read_text(encoding="utf-8").splitlines()
        for node in ast.walk(module):
            if not isinstance(node, ast.ExceptHandler):
                continue
            names = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"bare"}
            broad = bool(names & {"bare", "Exception", "BaseException"})
            explained = "#" in source[node.lineno - 1]
            if broad and not explained and not isinstance(node.body[-1], ast.Raise):
                silent.append(f"{file}:{node.lineno}")
    assert silent == []


def loaded_by(statements: str, suspects: frozenset[str]) -> set[str]:
    """Which of the suspects a fresh interpreter has loaded after the statements."""
    probe = f"{statements}\nimport sys\nprint(*({set(suspects)!r} & {{n.partition('.')[0] for n in sys.modules}}))"
    done = subprocess.run(  # noqa: S603 (this interpreter on the text above)
        [sys.executable, "-c", probe], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_the_default_gate_loads_neither_torch_nor_opencv():
    statements = (
        "import gateway.cli, gateway.server\n"
        "from anonymize.media.detection import embedded_detectors\n"
        "assert embedded_detectors()"
    )
    assert loaded_by(statements, HEAVY) == set()


def test_downstream_code_and_the_verifier_reach_nothing_of_the_gate():
    downstream = "import pipeline.client, pipeline.fetching, pipeline.commands"
    beyond = frozenset({"gateway", "policies", "anonymize", "audit", "sqlalchemy", "onnxruntime"})
    assert loaded_by(downstream, beyond) == set()
    assert (
        loaded_by("import audit.verify", frozenset({"gateway", "sqlalchemy", "policies", "anonymize"}))
        == set()
    )


def test_the_top_level_holds_the_rooms_of_the_house_and_nothing_else():
    listed = subprocess.run(
        ["git", "ls-files", "--cached"],  # noqa: S607 (git as it is found)
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout: what belongs to the repository cannot be listed")
    tops = {line.partition("/")[0] for line in listed.stdout.splitlines()}
    assert {top for top in tops if not top.startswith(".")} - TOP_LEVEL == set()

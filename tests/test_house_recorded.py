"""Every endpoint, command and job that opens the gate appends to the ledger (law 2); one that does not fails here.

The walk is over the code: from the handler of a route, a command or a job, through every function of the gateway
that it calls by name, to an intent. That an intent comes before its effect and is settled is shown where the acts
are run.
"""

import ast
import inspect
from collections import deque
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
import typer

from gateway.api.artefacts import artefact_routes
from gateway.api.auditors import auditor_routes
from gateway.api.break_glass import break_glass_routes
from gateway.api.downstream import downstream_routes
from gateway.api.operators import operator_routes
from gateway.api.quality import quality_routes
from gateway.api.security_keys import security_key_routes
from gateway.api.uses import use_routes
from gateway.api.vehicles import vehicle_routes
from gateway.cli import app
from gateway.scheduler import JOBS, run_job

ROOT = Path(__file__).parents[1]
OPENS_THE_GATE = {"opened", "open_gate"}

READS_NOTHING_OF_ANYBODY = {
    "audit key": "prints a public key",
    "audit verify": "says whether pseudonymous entries verify; one runs it on a gate that is stopped",
    "dbc list": "lists file digests that operators installed",
    "intake-key": "prints a public key",
    "models list": "lists models",
    "models verify": "recomputes digests of models",
    "policy export": "writes rules, which are public",
    "policy list": "lists digests of rules and who signed them, pseudonymously",
    "release key": "prints a public key",
}


class Code:
    """The functions of the gateway: what each calls by name, and whether it appends by itself."""

    def __init__(self) -> None:
        self.calls: dict[str, set[str]] = {}
        self.appends: set[str] = set()
        self.opens: set[str] = set()
        for path in sorted((ROOT / "gateway").rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            self._read(module, ast.parse(path.read_text("utf-8")))

    def _read(self, module: str, tree: ast.Module) -> None:
        names: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("gateway"):
                names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.setdefault(node.name, f"{module}.{node.name}")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self._function(f"{module}.{node.name}", node, names)

    def _function(self, key: str, function: ast.AST, names: dict[str, str]) -> None:
        called = self.calls.setdefault(key, set())
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id in names:
                called.add(names[node.id])
                if node.id in OPENS_THE_GATE:
                    self.opens.add(key)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                of = ast.unparse(node.func.value)
                if of.split(".")[-1].removeprefix("_") == "ledger" and node.func.attr in {"intent", "append"}:
                    self.appends.add(key)

    def reach(self, key: str, wanted: set[str]) -> bool:
        """Whether a function, or one that it calls by name, is among ``wanted``."""
        seen, waiting = {key}, deque([key])
        while waiting:
            at = waiting.popleft()
            if at in wanted:
                return True
            for other in self.calls.get(at, set()) - seen:
                seen.add(other)
                waiting.append(other)
        return False


@cache
def code() -> Code:
    return Code()


def key_of(function: object) -> str:
    plain = inspect.unwrap(function)  # type: ignore[arg-type]
    return f"{plain.__module__}.{plain.__name__}"


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> dict[str, click.Command]:
    children = getattr(command, "commands", {})
    if not children:
        return {" ".join(path): command}
    return {k: v for name, child in children.items() for k, v in leaves(child, (*path, name)).items()}


COMMANDS = {
    path: inspect.unwrap(command.callback)
    for path, command in leaves(typer.main.get_command(app)).items()
    if command.callback is not None
}
ROUTES = {
    f"{min(route.methods)} {route.path}": route.endpoint
    for routes in (
        artefact_routes,
        auditor_routes,
        break_glass_routes,
        downstream_routes,
        operator_routes,
        quality_routes,
        security_key_routes,
        use_routes,
        vehicle_routes,
    )
    for route in routes(*(SimpleNamespace() for _ in inspect.signature(routes).parameters)).routes
}


def test_the_walk_finds_every_door() -> None:
    """As many routes as the sources declare, and commands whose functions are those of the gateway."""
    declared = sum(path.read_text("utf-8").count("@router.") for path in (ROOT / "gateway/api").glob("*.py"))
    assert len(ROUTES) == declared
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_appends(route: str) -> None:
    assert code().reach(key_of(ROUTES[route]), code().appends)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_that_opens_the_gate_appends(path: str) -> None:
    function = COMMANDS[path]
    if path in READS_NOTHING_OF_ANYBODY or not code().reach(key_of(function), code().opens):
        return
    assert code().reach(key_of(function), code().appends)


@pytest.mark.parametrize("path", READS_NOTHING_OF_ANYBODY)
def test_no_exception_outlives_its_command(path: str) -> None:
    assert path in COMMANDS


def test_every_job_runs_within_an_intent() -> None:
    assert code().reach(key_of(run_job), code().appends)
    callers = {key for key, called in code().calls.items() for job in JOBS.values() if key_of(job) in called}
    assert callers <= {key_of(run_job)}


def test_the_walk_can_fail() -> None:
    """A command that opens the gate and appends nothing is told from one that does."""
    assert code().reach("gateway.commands.auditing.verify", code().opens)
    assert not code().reach("gateway.commands.auditing.verify", code().appends - {"gateway.app.initialise"})

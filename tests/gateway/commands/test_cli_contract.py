"""Every command: help, exit status 0, 1 and 2, JSON; nothing ends in a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from gateway.cli import app

ROOT = typer.main.get_command(app)


def walk(command: click.Command, path: tuple[str, ...] = ()):
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, (*path, name))


COMMANDS = {" ".join(path): command for path, command in walk(ROOT)}
LEAVES = {path: command for path, command in COMMANDS.items() if not hasattr(command, "commands")}


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_group_has_help(path):
    result = CliRunner().invoke(app, [*path.split(), "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    command = COMMANDS[path]
    assert command.help
    assert command.help.split("\n")[0][:40] in result.stdout


@pytest.mark.parametrize("path", LEAVES)
def test_every_parameter_is_explained(path):
    silent = [p.name for p in LEAVES[path].params if not getattr(p, "help", None) and p.name != "help"]
    assert silent == []


@pytest.mark.parametrize("path", [p for p in LEAVES if p not in {"serve", "witness serve"}])
def test_every_command_that_answers_can_answer_in_json(path):
    assert "--json" in [o for p in LEAVES[path].params for o in p.opts]


USAGE = {
    "no command": [],
    "unknown command": ["fly"],
    "unknown option": ["init", "--fast"],
    "missing argument": ["release", "show"],
    "bad number": ["serve", "--port", "99999"],
    "bad choice": ["release", "request", "x", "--mode", "RAW"],
    "bad date": ["certificate", "add", "n", "--valid-from", "soon"],
    "unknown job": ["job", "everything"],
}


@pytest.mark.parametrize("name", USAGE)
def test_wrong_usage_exits_2(name, tmp_path):
    result = CliRunner().invoke(app, USAGE[name], env={"FLEETGATE_HOME": str(tmp_path / "none")})
    assert result.exit_code == 2, result.output
    assert not (tmp_path / "none").exists()


REFUSED = {
    "no gate": (["work"], {}, "not_initialised"),
    "no passphrase": (["init"], {"FLEETGATE_PASSPHRASE_FILE": ""}, "configuration"),
    "no passphrase file": (["init"], {"FLEETGATE_PASSPHRASE_FILE": "/nonexistent/file"}, "FileNotFoundError"),
    "public key missing": (
        ["person", "add", "x", "--role", "administrator", "--public-key", "/nonexistent/key"],
        {},
        "usage",
    ),
    "serve without TLS": (["serve", "--host", "0.0.0.0"], {}, "configuration"),  # noqa: S104 (refused)
    "serve on a name": (["serve", "--host", "gate.example"], {}, "configuration"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_exits_1_with_a_reason_and_no_traceback(name, tmp_path):
    arguments, changes, reason = REFUSED[name]
    secret = tmp_path / "passphrase"
    secret.write_text("a passphrase of this test alone\n")
    environment = {
        "FLEETGATE_HOME": str(tmp_path / "home"),
        "FLEETGATE_PASSPHRASE_FILE": str(secret),
        **changes,
    }
    if not environment["FLEETGATE_PASSPHRASE_FILE"]:
        del environment["FLEETGATE_PASSPHRASE_FILE"]
    result = CliRunner().invoke(app, arguments, env=environment)
    if reason == "usage" and result.exit_code == 2:
        return
    assert result.exit_code == 1, result.output
    if reason != "usage":
        assert f"refused ({reason})" in result.stderr


def test_malformed_setting_is_a_usage_error_that_names_it(tmp_path):
    environment = {"FLEETGATE_HOME": str(tmp_path), "FLEETGATE_LEASE_S": "soon"}
    result = CliRunner().invoke(app, ["work"], env=environment)
    assert result.exit_code == 2
    assert "lease_s" in result.stderr


def test_installed_entry_point_runs_without_heavy_imports():
    """``fleetgate --help`` as a user runs it; it must not load models, torch or Presidio."""
    script = Path(sys.executable).with_name("fleetgate")
    done = subprocess.run(  # noqa: S603 (our own command)
        [script, "--help"], capture_output=True, text=True, check=True, timeout=120
    )
    assert "Compliance-first" in done.stdout
    probe = "import sys, gateway.cli; print([m for m in ('torch', 'presidio_analyzer') if m in sys.modules])"
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    loaded = subprocess.run(  # noqa: S603 (our own interpreter)
        [sys.executable, "-c", probe],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env=environment,
    )
    assert json.loads(loaded.stdout.replace("'", '"')) == []

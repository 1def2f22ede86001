"""docs/cli.md against the commands themselves: every one, every option, word for word, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from gateway.cli import app

DOCUMENT = Path(__file__).parents[1] / "docs" / "cli.md"


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    children = getattr(command, "commands", {})
    for name, child in children.items():
        yield from commands(child, (*path, name))
    if not children:
        yield " ".join(("fleetgate", *path)), command


def section(name: str, command: click.Command) -> str:
    """What docs/cli.md says of a command: heading, help, and one line for each parameter."""
    lines = [f"### {name}", "", *(" ".join(p.split()) for p in (command.help or "").split("\n\n")), ""]
    for parameter in command.params:
        if parameter.name == "help":
            continue
        if isinstance(parameter, click.Argument) or parameter.param_type_name == "argument":
            shown = f"{parameter.name.upper()}{'…' if parameter.nargs == -1 else ''}"
        else:
            shown = parameter.opts[0]
        needed = " (required)" if parameter.required else ""
        lines.append(f"- `{shown}`{needed}: {parameter.help}")
    return "\n".join(lines).strip()


SECTIONS = {name: section(name, command) for name, command in commands(typer.main.get_command(app))}


@pytest.mark.parametrize("name", SECTIONS)
def test_command_is_documented_as_it_is(name):
    assert SECTIONS[name] + "\n" in DOCUMENT.read_text("utf-8")


def test_nothing_else_is_documented():
    headings = re.findall(r"^### (.+)$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(SECTIONS)

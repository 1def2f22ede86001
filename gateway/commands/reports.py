"""Commands that make the reports which the law asks for."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.session import (
    As,
    Json,
    Key,
    KeyPassphrase,
    acting,
    opened,
    report,
    reporting,
    text_of,
)
from gateway.reports.annual import read_answers
from gateway.reports.made import Wanted, report_of, write_report
from gateway.reports.twin import Kind

app = typer.Typer(help="Reports that the law asks for, from the ledger and evidence.", no_args_is_help=True)

Out = Annotated[Path | None, typer.Option(help="Folder for the report as HTML, PDF, JSON and CSV, signed.")]
At = Annotated[
    Path | None, typer.Option(help="File with the signed checkpoint to make it at; a fresh one by default.")
]
Since = Annotated[datetime | None, typer.Option(help="Not before, UTC.")]
Until = Annotated[datetime | None, typer.Option(help="Before, UTC.")]


def _make(wanted: Wanted, proof: tuple[str, Path, Path], out: Path | None, *, as_json: bool) -> None:
    person, key, passphrase = proof
    with opened() as gate:
        actor, _ = acting(gate, person, key, passphrase, f"report.{wanted.kind.value}")
        twin = report_of(gate, wanted, actor=actor)
        written = [] if out is None else write_report(gate, twin, out)
    lines = ["  ".join(f"{name}={value}" for name, value in row.items()) for row in twin["rows"]]
    where = f"{len(written)} files in {out}" if out else f"{len(lines)} rows"
    report(twin, as_json=as_json, line="\n".join([*lines, f"{wanted.kind.value}: {where}"]))


def _moment(value: datetime | None) -> datetime | None:
    return value.replace(tzinfo=UTC) if value else None


def _note(path: Path | None) -> str | None:
    return f"{text_of(path)}\n" if path else None


@app.command()
@reporting
def annual(
    year: Annotated[int, typer.Option(min=2021, max=2200, help="Year of the report, in China time.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    answers: Annotated[
        Path | None, typer.Option(help="YAML file with what only the person in charge knows.")
    ] = None,
    out: Out = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Make the annual report on automobile data, due on 15 December; what the gate cannot know stays a field."""
    wanted = Wanted(
        kind=Kind.ANNUAL,
        year=year,
        answers=read_answers(answers) if answers else None,
        note=_note(at),
    )
    _make(wanted, (person, key, key_passphrase_file), out, as_json=as_json)


@app.command()
@reporting
def provisions(
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    since: Since = None,
    until: Until = None,
    out: Out = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Make the register of provisions: who received what, under which contract, for what, and how much."""
    wanted = Wanted(kind=Kind.PROVISIONS, since=_moment(since), until=_moment(until), note=_note(at))
    _make(wanted, (person, key, key_passphrase_file), out, as_json=as_json)


@app.command()
@reporting
def counts(
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    out: Out = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Count important data and subjects by recipient, against the thresholds of the law."""
    wanted = Wanted(kind=Kind.COUNTS, note=_note(at))
    _make(wanted, (person, key, key_passphrase_file), out, as_json=as_json)


@app.command()
@reporting
def deletions(
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    since: Since = None,
    until: Until = None,
    out: Out = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """List deletions with the keys that were destroyed and the certificates of destruction."""
    wanted = Wanted(kind=Kind.DELETIONS, since=_moment(since), until=_moment(until), note=_note(at))
    _make(wanted, (person, key, key_passphrase_file), out, as_json=as_json)


@app.command()
@reporting
def exports(
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    since: Since = None,
    until: Until = None,
    out: Out = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """List attempts at export that were refused (rule 23)."""
    wanted = Wanted(kind=Kind.EXPORTS, since=_moment(since), until=_moment(until), note=_note(at))
    _make(wanted, (person, key, key_passphrase_file), out, as_json=as_json)


@app.command()
@reporting
def roster(
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_of: Annotated[
        datetime | None, typer.Option(help="Of which moment, UTC; that of the checkpoint unless given.")
    ] = None,
    out: Out = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Make the staff roster: who held which role, of which nationality and entity, at a moment."""
    wanted = Wanted(kind=Kind.ROSTER, until=_moment(as_of), note=_note(at))
    _make(wanted, (person, key, key_passphrase_file), out, as_json=as_json)

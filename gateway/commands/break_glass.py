"""Commands of break-glass (rule 30): ask, approve, look, end, list, review."""

import base64
import io
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any

import typer

from gateway.commands.session import As, Json, Key, KeyPassphrase, acting, opened, report, reporting
from gateway.errors import InvalidRequestError
from gateway.people.break_glass import ReviewOutcome, summary_of
from gateway.people.break_glass_reports import report_break_glass
from gateway.people.break_glass_steps import (
    approve_break_glass,
    end_break_glass,
    list_break_glass,
    request_break_glass,
    review_break_glass,
)
from gateway.review.originals import show_original

app = typer.Typer(help="Originals in an emergency: two persons, for hours, reported.", no_args_is_help=True)

Access = Annotated[str, typer.Argument(help="Id of the break-glass.")]


def break_glass_lines(row: Mapping[str, Any]) -> Iterator[str]:
    """A break-glass for people to read."""
    yield f"break-glass {row['break_glass']}: {row['state']}"
    yield f"  对象 / objects   {', '.join(row['objects'])}"
    yield f"  申请 / asked     {row['requested_by']} {row['not_before']} – {row['not_after']}"
    if row.get("reason"):
        yield f"  理由 / reason    {row['reason']}"
    if row["approved_by"]:
        yield f"  批准 / approved  {row['approved_by']}"
    if row["ended_by"]:
        yield f"  提前结束 / ended {row['ended_by']}"
    for use in row["uses"]:
        yield f"  使用 / used      {use['item']} at {use['at']}, entry {use['entry']}: {use['outcome']}"
    if row["reviewed_by"]:
        yield f"  复核 / reviewed  {row['outcome']} by {row['reviewed_by']}"
    elif row["review_due"]:
        late = " 已逾期 / overdue" if row["review_overdue"] else ""
        yield f"  复核期限 / review due {row['review_due']}{late}"


@app.command("request")
@reporting
def access_request(
    items: Annotated[list[str], typer.Argument(help="Ids of the items whose originals you have to see.")],
    reason: Annotated[str, typer.Option(help="Why; sealed beside the ledger's entry.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    minutes: Annotated[int, typer.Option(min=1, help="For how long, from now on; policy has a limit.")] = 60,
    as_json: Json = False,
) -> None:
    """Ask to see originals of an incident or for a court order; nothing opens until another person approves."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "break-glass.request")
        lasting = timedelta(minutes=minutes)
        asked = request_break_glass(gate, items, lasting=lasting, reason=reason, actor=actor)
        row = summary_of(gate, asked)
    report(row, as_json=as_json, line="\n".join(break_glass_lines(row)))


@app.command("approve")
@reporting
def access_approve(
    access: Access, person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False
) -> None:
    """Permit what another person asked for, while its time runs; this is reported."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "break-glass.approve")
        found = approve_break_glass(gate, access, actor=actor)
        report_break_glass(gate, access)
        row = summary_of(gate, found)
    report(row, as_json=as_json, line="\n".join(break_glass_lines(row)))


@app.command("read")
@reporting
def access_read(
    access: Access,
    item: Annotated[str, typer.Argument(help="Id of an item that it names.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    frame: Annotated[int, typer.Option(min=0, help="Which frame of a video, from 0.")] = 0,
    as_json: Json = False,
) -> None:
    """Show one picture of an original, reduced and marked with your id, as a PNG on standard output.

    It is for a viewer at the other end of a pipe: a file or a terminal is refused. Each look is recorded and
    reported.
    """
    _refuse_files()
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "original.read")
        picture = show_original(gate, access, item, actor=actor, frame=frame)
    if as_json:
        encoded = base64.b64encode(picture).decode("ascii")
        report({"break_glass": access, "item": item, "frame": frame, "png": encoded}, as_json=True)
        return
    typer.get_binary_stream("stdout").write(picture)


def _refuse_files() -> None:
    """What is shown is kept nowhere (laws 1 and 3).

    Raises:
        InvalidRequestError: Standard output is a file or a terminal.
    """
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return  # captured in memory
    if stat.S_ISREG(os.fstat(descriptor).st_mode) or os.isatty(descriptor):
        raise InvalidRequestError(
            "an original is shown and not kept (got a file or terminal as standard output, expected a pipe)"
        )


@app.command("end")
@reporting
def access_end(
    access: Access, person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False
) -> None:
    """End a break-glass, or a request for one, before its time; without it, its time ends it."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "break-glass.end")
        found = end_break_glass(gate, access, actor=actor)
        report_break_glass(gate, access)
        row = summary_of(gate, found)
    report(row, as_json=as_json, line="\n".join(break_glass_lines(row)))


@app.command("list")
@reporting
def access_list(person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False) -> None:
    """List every break-glass with its reason, uses and review; looking is itself recorded."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "break-glass.list")
        rows = list_break_glass(gate, actor=actor)
    lines = [line for row in rows for line in break_glass_lines(row)]
    report(
        {"break_glass": rows},
        as_json=as_json,
        line="\n".join(lines) or "没有紧急访问 / there is no break-glass",
    )


@app.command("review")
@reporting
def access_review(
    access: Access,
    outcome: Annotated[ReviewOutcome, typer.Option(help="What you found.")],
    note: Annotated[str, typer.Option(help="Why, in words; sealed beside the ledger's entry.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_json: Json = False,
) -> None:
    """Say afterwards, as a third person, what a break-glass was used for."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "break-glass.review")
        found = review_break_glass(gate, access, outcome, note, actor=actor)
        row = summary_of(gate, found)
    report(row, as_json=as_json, line="\n".join(break_glass_lines(row)))

"""Commands of the sample of pictures that a person looks at before a release is judged."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.commands.session import As, Json, Key, KeyPassphrase, acting, opened, report, reporting
from gateway.errors import InvalidRequestError
from gateway.flow.permitted import permit_on_release
from gateway.review.quality import (
    draw_sample,
    record_counts,
    show_pictures,
    show_sample,
    sign_counts,
)
from gateway.review.quality_counts import COLUMNS, PictureCount, counts_from_csv, counts_from_json

app = typer.Typer(help="Samples of pictures, counted by a person.", no_args_is_help=True)

ReleaseId = Annotated[str, typer.Argument(help="Id of a release that was built.")]


def quality_lines(summary: dict[str, Any]) -> Iterator[str]:
    """The state of a sample for people to read."""
    if "sample" not in summary:
        yield f"release {summary['release']}: {summary['standing']}"
        return
    yield (
        f"release {summary['release']}: {summary['standing']}, {summary['reviewed']} of {summary['sampled']} "
        f"sampled pictures counted, of {summary['pictures']}"
    )
    unverified = " (unverified)" if summary["threshold_unverified"] else ""
    yield (
        f"  plan      at least {summary['threshold']:.1%}{unverified} at {summary['confidence']:.0%} confidence, "
        f"sample {summary['sample'][:16]}"
    )
    for kind, of in summary["kinds"].items():
        recall = "none seen" if of["recall"] is None else f"recall {of['recall']:.1%}"
        yield (
            f"  {kind:9} {of['hits']} masked, {of['misses']} missed, {recall}; "
            f"clean in at least {of['lower_bound']:.1%} of pictures"
        )
        for name, stratum in of["strata"].items():
            yield (
                f"            {name}: {stratum['nonconforming']} of {stratum['sampled']} show one or wait, "
                f"{stratum['allowed']} allowed, of {stratum['pictures']}"
            )
    for picture in summary["nonconforming_pictures"]:
        yield f"  shows     picture {picture['picture']}: {picture['item']}, number {picture['index']}"
    for record in summary["records"]:
        outcome = "" if record["counts"] else f", does not count: {record['fault']}"
        yield f"  counted   {record['pictures']} by {record['reviewer']} at {record['signed_at']}{outcome}"


@app.command("sample")
@reporting
def quality_sample(
    release_id: ReleaseId, person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False
) -> None:
    """Draw the sample of a release's pictures; there is one for each release, and no second."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "quality.sample")
        summary = draw_sample(gate, release_id, actor=actor)
    report(summary, as_json=as_json, line="\n".join(quality_lines(summary)))


@app.command("status")
@reporting
def quality_status(
    release_id: ReleaseId, person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False
) -> None:
    """Show plan, progress and result of a release's sample."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "quality.status")
        summary = show_sample(gate, release_id, actor=actor)
    report(summary, as_json=as_json, line="\n".join(quality_lines(summary)))


@app.command("frames")
@reporting
def quality_frames(
    release_id: ReleaseId,
    out: Annotated[Path, typer.Option(help="Folder to write PNG files to.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    picture: Annotated[
        list[int] | None, typer.Option(help="Number of a picture; all that wait where none is named.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the pictures of a sample that nobody counted yet, as they would leave, for looking at.

    The files are outside the gate: remove them when you have counted.
    """
    written = []
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "quality.frames")
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number, sheet in show_pictures(gate, release_id, actor=actor, numbers=picture):
            file = out / f"picture-{number:05}.png"
            file.write_bytes(sheet)
            file.chmod(0o600)
            written.append(str(file))
    report(
        {"release": release_id, "files": written},
        as_json=as_json,
        line="\n".join(written) or f"{release_id}: no picture waits",
    )


@app.command("record")
@reporting
def quality_record(
    release_id: ReleaseId,
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    file: Annotated[
        Path | None, typer.Option(help="CSV or JSON of counts; asked for where none is named.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Sign and record what you counted in pictures of a sample, as many as you like at a time.

    A later count of a picture takes the place of an earlier one, and that is shown. When all are counted, the
    release is judged by fleetgate release resume.
    """
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "quality.record")
        permit_on_release(gate, actor, "quality.record", release_id)  # before one's key signs anything
        if file is None:
            counts = _asked(show_sample(gate, release_id, actor=actor)["waiting"])
        else:
            read = counts_from_json if file.suffix.lower() == ".json" else counts_from_csv
            counts = read(file.read_bytes())
        statement = sign_counts(gate, release_id, counts, reviewer=actor.id, key=private)
        summary = record_counts(gate, release_id, statement, actor=actor)
    report(summary, as_json=as_json, line="\n".join(quality_lines(summary)))


def _asked(waiting: list[int]) -> list[PictureCount]:
    """Ask for each picture that waits; what was answered is kept when the person stops.

    Raises:
        InvalidRequestError: Nothing was answered.
    """
    typer.echo(f"for each picture: {' '.join(COLUMNS[1:])}; q to stop", err=True)
    found: list[PictureCount] = []
    for number in waiting:
        if (answered := _one(number)) is None:
            break
        found.append(answered)
    if not found:
        raise InvalidRequestError(f"nothing was counted (got 0 of {len(waiting)} pictures)")
    return found


def _one(number: int) -> PictureCount | None:
    while True:
        try:
            answer = str(typer.prompt(f"picture {number}", err=True)).strip()
        except typer.Abort:
            return None
        if answer in {"q", "Q"}:
            return None
        row = ",".join([str(number), *answer.replace(",", " ").split()])
        try:
            (count,) = counts_from_csv(f"{','.join(COLUMNS)}\n{row}\n".encode())
        except InvalidRequestError as error:
            typer.echo(str(error), err=True)
        else:
            return count

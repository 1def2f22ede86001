"""Commands about positions: attacks on a release."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from anonymize.geo.attacks.known_points import COUNTS
from anonymize.geo.attacks.report import report_lines
from gateway.commands.session import As, Json, Key, KeyPassphrase, acting, opened, report, reporting
from gateway.errors import InvalidRequestError
from gateway.review.attack import attack_release
from gateway.review.shown_drives import Progress

app = typer.Typer(help="Positions.", no_args_is_help=True)

_MOST_KNOWN = 1000


@app.command("attack")
@reporting
def geo_attack(
    release_id: Annotated[str, typer.Argument(help="Id of the release.")],
    osm: Annotated[Path, typer.Option(help="OSM extract of the region: PBF, or XML as .osm, .gz or .bz2.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    known: Annotated[
        str, typer.Option(help="How many true positions the attacker of an OFFSET knows, with commas.")
    ] = ",".join(map(str, COUNTS)),
    as_json: Json = False,
) -> None:
    """Attack a release by known points, map matching and joins; the figures become part of its dossier."""
    counts = _counts(known)
    with opened() as gate, osm.open("rb") as extract:
        actor, _ = acting(gate, person, key, key_passphrase_file, "release.attack")
        figures = attack_release(
            gate,
            release_id,
            actor=actor,
            extract=extract,
            known=counts,
            progress=_progress(quiet=as_json or not sys.stderr.isatty()),
        )
    report({"release": release_id, **figures}, as_json=as_json, line="\n".join(report_lines(figures)))


def _counts(known: str) -> tuple[int, ...]:
    parts = [part.strip() for part in known.split(",")]
    if not all(part.isascii() and part.isdigit() and 1 <= int(part) <= _MOST_KNOWN for part in parts):
        raise InvalidRequestError(f"--known takes numbers with commas (got {known!r}, expected e.g. 1,3,10)")
    return tuple(int(part) for part in parts)


def _progress(*, quiet: bool) -> Progress:
    """One line on the terminal that counts; nothing where nobody looks."""

    def show(step: str, done: int, total: int) -> None:
        if not quiet:
            typer.echo(f"\r{step}: {done} of {total}\x1b[K", nl=done == total, err=True)

    return show

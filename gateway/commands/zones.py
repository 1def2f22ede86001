"""Commands about restricted zones: draft a file from OpenStreetMap, put homes and depots onto it, install it."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from anonymize.geo.homes import read_places, zones_of_places
from anonymize.geo.zone_draft import NOTICE_EN, NOTICE_ZH, ZoneDraft, draft_zones
from anonymize.geo.zone_tags import read_tag_table
from anonymize.geo.zones import ZoneSet
from gateway.commands.session import (
    As,
    Json,
    Key,
    KeyPassphrase,
    acting,
    first_line,
    opened,
    report,
    reporting,
)
from gateway.people.zones import install_zones

app = typer.Typer(help="Restricted zones.", no_args_is_help=True)

_OWNER_ONLY = 0o600

Out = Annotated[
    Path | None,
    typer.Option("--out", help="Zone file to write; it must not exist. Without it, the file is printed."),
]


@app.command("install")
@reporting
def zones_install(
    file: Annotated[Path, typer.Argument(help="GeoJSON zone file with a version.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_json: Json = False,
) -> None:
    """Install a restricted-zone file under a compliance officer's signature."""
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "zones.install")
        zones = install_zones(gate, file.read_bytes(), actor=actor, key=private)
    report(
        {"digest": zones.digest, "version": zones.version},
        as_json=as_json,
        line=f"zone file version {zones.version} is in force ({zones.digest})",
    )


@app.command("draft")
@reporting
def zones_draft(
    file: Annotated[Path, typer.Argument(help="OpenStreetMap extract: .osm.pbf, .osm, .osm.gz or .osm.bz2.")],
    *,
    out: Out = None,
    version: Annotated[int, typer.Option(min=1, help="Version of the file that the draft will become.")] = 1,
    table: Annotated[
        Path | None, typer.Option("--tags", help="Table of tags (YAML) to use instead of the shipped one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draft a zone file from OpenStreetMap tags, for review only (只是草案，须由持证运营方审核并签署).

    It is only a draft: the licensed operator must review every zone, add what is missing, rename the file and sign
    it. A file whose name begins with DRAFT cannot be installed.
    """
    with file.open("rb") as extract:
        draft = draft_zones(
            extract, table=None if table is None else read_tag_table(table.read_bytes()), version=version
        )
    typer.echo(f"{NOTICE_ZH}\n{NOTICE_EN}", file=sys.stderr)
    if out is not None or as_json:
        notice = {"zh": NOTICE_ZH, "en": NOTICE_EN}
        told = {"notice": notice, "zones": dict(draft.zones), "notes": _notes(draft)}
        _deliver(draft.content, told, out, as_json=as_json)
    else:
        typer.echo(draft.content.decode())
    if out is not None and not as_json:
        for note in draft.notes:
            left_out = ", left out" if note.left_out else ""
            typer.echo(f"  {note.id} ({note.kind}): {', '.join(note.problems)}{left_out}")


@app.command("homes")
@reporting
def zones_homes(
    places: Annotated[Path, typer.Argument(help="CSV with the columns id, kind (HOME or DEPOT), lat, lon.")],
    secret_file: Annotated[
        Path,
        typer.Option(
            help="File whose first line, secret and always the same, decides where a place lies in its circle."
        ),
    ],
    *,
    onto: Annotated[
        Path | None,
        typer.Option(
            help="Zone file to put them onto; zones of the same ids are replaced, the version goes up."
        ),
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Make zones about the known homes and depots of the fleet, in which tracks are trimmed."""
    content = zones_of_places(
        read_places(places.read_bytes()),
        secret=first_line(secret_file).encode(),
        onto=None if onto is None else onto.read_bytes(),
    )
    zones = ZoneSet.from_geojson(content)
    if out is not None or as_json:
        _deliver(content, {"version": zones.version, "zones": len(zones.zones)}, out, as_json=as_json)
    else:
        typer.echo(content.decode())


def _notes(draft: ZoneDraft) -> list[dict[str, Any]]:
    return [
        {"id": n.id, "kind": n.kind, "problems": list(n.problems), "left_out": n.left_out}
        for n in draft.notes
    ]


def _deliver(content: bytes, told: Mapping[str, Any], out: Path | None, *, as_json: bool) -> None:
    """Write a new file, or put the content into the document; say what it holds."""
    if out is None:
        report({**told, "file": json.loads(content)}, as_json=as_json)
        return
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "wb") as file:
        file.write(content)
    report({**told, "out": str(out)}, as_json=as_json, line=f"{out}: {json.dumps(told['zones'])}")

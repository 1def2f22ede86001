"""Commands about DBC files, which say what the frames of CAN logs mean."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.session import As, Json, Key, KeyPassphrase, acting, opened, report, reporting
from gateway.vehicles.dbc import INSTALL, install_dbc, installed_dbcs

app = typer.Typer(help="DBC files for CAN logs.", no_args_is_help=True)


@app.command("install")
@reporting
def dbc_install(
    file: Annotated[Path, typer.Argument(help="The DBC file.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    name: Annotated[str, typer.Option(help="Name of the file: letters, digits and _.-")],
    version: Annotated[int, typer.Option(min=1, help="Version; the highest is in force.")],
    *,
    as_json: Json = False,
) -> None:
    """Install a DBC under a compliance officer's signature; CAN logs are treated with it from then on."""
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, INSTALL)
        dbc = install_dbc(gate, file.read_bytes(), name=name, version=version, actor=actor, key=private)
    report(
        {"name": dbc.name, "version": dbc.version, "digest": dbc.digest},
        as_json=as_json,
        line=f"DBC {dbc.name} version {dbc.version} is in force ({dbc.digest})",
    )


@app.command("list")
@reporting
def dbc_list(*, as_json: Json = False) -> None:
    """List installed DBC files, the one in force first; each is verified."""
    with opened() as gate:
        found = installed_dbcs(gate)
    files = [
        {
            "name": dbc.name,
            "version": dbc.version,
            "digest": dbc.digest,
            "installed_by": dbc.installed_by,
            "installed_at": dbc.installed_at,
            "in_force": dbc is found[0],
        }
        for dbc in found
    ]
    lines = [
        f"{dbc.name} version {dbc.version}: {'in force' if dbc is found[0] else 'replaced'}, sha256 {dbc.digest}"
        for dbc in found
    ]
    report({"files": files}, as_json=as_json, line="\n".join(lines))

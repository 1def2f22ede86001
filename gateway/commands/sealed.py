"""Commands for recordings that vehicles sealed: intake-key, ingest-sealed."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.deliver import receive_files, recording_lines, showing
from gateway.commands.session import As, Json, Key, KeyPassphrase, acting, opened, report, reporting
from gateway.errors import UnauthenticatedError
from gateway.flow.dossier import recording_summary
from gateway.flow.intake import Delivery
from gateway.intake_rotation import published_intake_key
from gateway.people.registry import check_in_carrier, vehicle_key
from gateway.vault.intake_generations import accepted_keys, current_key, destroyed_keys
from gateway.vault.jws import read_unverified_kid
from gateway.vehicles.manifest import read_manifest
from gateway.vehicles.outbox import MANIFEST_NAME, item_path, open_manifest

app = typer.Typer(no_args_is_help=True)


@app.command("intake-key")
@reporting
def intake_key(
    *,
    signed: Annotated[
        bool,
        typer.Option("--signed", help="Print the signed publication that vehicles learn a new key from."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the public key that vehicles seal their recordings to (JWK)."""
    with opened() as gate:
        key = current_key(gate.keystore).public
        publication = published_intake_key(gate)
    report(
        {"intake_key": key.text(), "thumbprint": key.kid, "publication": publication},
        as_json=as_json,
        line=publication if signed else key.text(),
    )


@app.command("ingest-sealed")
@reporting
def ingest_sealed(
    folder: Annotated[Path, typer.Argument(help="Folder that the vehicle sealed.", file_okay=False)],
    carrier: Annotated[str, typer.Option(help="Id of the disk that it came on; it is checked in.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    attest_outside_zones: Annotated[
        str | None,
        typer.Option(help="Attest, with the reason, that items without a position lie outside every zone."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Ingest a recording that its vehicle sealed to this gate, from a carrier; safe to repeat."""
    with opened() as gate, showing(quiet=as_json) as progress:
        actor, private = acting(gate, person, key, key_passphrase_file, "ingest")
        check_in_carrier(gate, carrier, actor=actor, key=private)
        statement = open_manifest(
            (folder / MANIFEST_NAME).read_bytes(),
            *accepted_keys(gate.keystore, gate.clock()),
            destroyed=destroyed_keys(gate.keystore),
        )
        vehicle = read_unverified_kid(statement)
        manifest = read_manifest(statement, vehicle_key(gate, vehicle))
        if manifest.vehicle != vehicle:
            raise UnauthenticatedError(f"manifest is of another vehicle (got {manifest.vehicle!r})")
        delivery = Delivery(
            manifest=manifest,
            source="carrier",
            manifest_signed=True,
            manifest_sealed=True,
            zone_attestation=attest_outside_zones,
            carrier=carrier,
        )
        files = {item.name: item_path(folder, i) for i, item in enumerate(manifest.items)}
        receive_files(gate, delivery, files, actor=actor, progress=progress)
        summary = recording_summary(gate, manifest.recording)
    report(summary, as_json=as_json, line=recording_lines(summary))

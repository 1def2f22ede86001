"""Commands of the key ceremony: rotate the keystore's root key, share it among custodians, recover it."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import pydantic
import typer

from gateway.app import keystore_path, open_gate
from gateway.ceremony import (
    complete_recovery,
    recover_keystore,
    rotate_root,
    share_root,
)
from gateway.commands.session import (
    As,
    Json,
    Key,
    KeyPassphrase,
    acting,
    opened,
    report,
    reporting,
    settings,
    text_of,
)
from gateway.intake_rotation import published_intake_key, rotate_intake
from gateway.key_provider import provider_of
from gateway.settings import Settings
from gateway.vault.intake_generations import current_key, generations
from gateway.vault.suites import suite_by_name

app = typer.Typer()
_PREFIX = "FLEETGATE_"


@app.command("rotate")
@reporting
def key_rotate(
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    to: Annotated[
        Path | None,
        typer.Option(
            help="File of FLEETGATE_… lines: the passphrase or provider from now on; today's unless given."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Give the keystore a fresh root key and wrap every key again; no sealed file is touched.

    Stop the gate's other processes first. Afterwards set what the file says in the gate's environment, and share
    the new root key: shares made before open nothing.
    """
    now = settings()
    provider = provider_of(now if to is None else _settings_of(to))
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "key.rotate")
        count = rotate_root(gate, provider, actor=actor)
        fingerprint = gate.keystore.roots.fingerprint
    report({"keys": count, "provider": provider.kind, "root_fingerprint": fingerprint}, as_json=as_json)


@app.command("rotate-intake")
@reporting
def key_rotate_intake(
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    grace_days: Annotated[
        int, typer.Option(min=0, max=3650, help="Days for which the key before still opens deliveries.")
    ] = 30,
    as_json: Json = False,
) -> None:
    """Make a fresh intake key the current one, and print its signed publication for the vehicles.

    What was sealed to the key before is taken in until the grace ends, and refused afterwards.
    """
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "key.rotate-intake")
        made = rotate_intake(gate, grace=timedelta(days=grace_days), actor=actor)
        before = generations(gate.keystore)[-2].until
        publication = published_intake_key(gate)
        kid = current_key(gate.keystore).public.kid
    report(
        {
            "generation": made.number,
            "thumbprint": kid,
            "before_opens_until": None if before is None else before.isoformat(),
            "publication": publication,
        },
        as_json=as_json,
    )


def _settings_of(file: Path) -> Settings:
    lines = [line for line in text_of(file).splitlines() if line.strip() and not line.startswith("#")]
    given = {}
    for line in lines:
        name, separator, value = line.partition("=")
        if not separator or not name.startswith(_PREFIX):
            raise typer.BadParameter(f"{file} (got a line that is not {_PREFIX}NAME=value)")
        given[name.removeprefix(_PREFIX).lower()] = value
    try:
        return Settings.model_validate({**settings().model_dump(), "passphrase": None, **given})
    except pydantic.ValidationError as error:
        raise typer.BadParameter(str(error)) from error


@app.command("backup")
@reporting
def key_backup(
    directory: Annotated[Path, typer.Argument(help="Folder for the shares, one file for each custodian.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    shares: Annotated[int, typer.Option(min=2, max=16, help="How many shares.")] = 5,
    threshold: Annotated[int, typer.Option(min=2, max=16, help="How many of them recover the keystore.")] = 3,
    as_json: Json = False,
) -> None:
    """Write the keystore's root key in shares of words (SLIP-39), of which some recover it."""
    if threshold > shares:
        raise typer.BadParameter(
            f"threshold (got {threshold}, expected at most {shares}, the number of shares)"
        )
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "key.backup")
        files = share_root(gate, directory, shares=shares, threshold=threshold, actor=actor)
        fingerprint = gate.keystore.roots.fingerprint
    report(
        {
            "files": [str(file) for file in files],
            "threshold": threshold,
            "root_fingerprint": fingerprint,
        },
        as_json=as_json,
        line="\n".join(map(str, files)),
    )


@app.command("recover")
@reporting
def key_recover(
    files: Annotated[list[Path], typer.Argument(help="Files of shares, as many as the ceremony asked for.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_json: Json = False,
) -> None:
    """Open a keystore by its custodians' shares and put it under the passphrase or provider of the environment."""
    now = settings()
    provider = provider_of(now)
    recovered = recover_keystore(keystore_path(now), files, suite=suite_by_name(now.suite))
    with open_gate(now, keystore=recovered.keystore) as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "key.recover")
        complete_recovery(gate, recovered, provider, actor=actor)
    report({"shares": recovered.members, "provider": provider.kind}, as_json=as_json)

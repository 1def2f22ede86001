"""``fleetgate artefact``: derived files that the gate does not know yet, and how others stand."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.connecting import (
    JsonOption,
    KeyOption,
    PassphraseOption,
    PrincipalOption,
    PurposeOption,
    ReleaseKeyOption,
    UrlOption,
    connect,
)
from pipeline.errors import PipelineError
from pipeline.failing import EXIT_REFUSED, report_failure
from pipeline.publishing import publish_held, require_standing

app = typer.Typer(help="Files derived from released data.", no_args_is_help=True)


@app.callback()
def artefact() -> None:
    """Publish derived files that are kept sealed, and ask how published ones stand."""


@app.command()
def publish(
    held: Annotated[Path, typer.Argument(help="The sealed file, NAME.DIGEST.unregistered.")],
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Register a file that was made while the gate did not answer, and put it in place; safe to repeat.

    Exit status: 0 published, 1 refused, unreachable or not such a file of yours, 2 wrong usage.
    """
    client, _ = connect(
        url,
        key=key,
        principal=principal,
        purpose=purpose,
        release_key=release_key,
        passphrase_file=passphrase_file,
    )
    try:
        with client:
            path, artefact_id = publish_held(held, client)
    except PipelineError as error:
        report_failure(error, as_json=as_json)
        raise typer.Exit(EXIT_REFUSED) from error
    answer = {"file": str(path), "artefact": artefact_id}
    typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else f"{path}: registered as {artefact_id}")


@app.command()
def standing(
    file: Annotated[Path, typer.Argument(help="A published file; NAME.artefact.json lies beside it.")],
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Ask the gate whether a derived file still stands, or a release below it was revoked.

    Exit status: 0 it stands, 1 it does not, with the releases, or it is not registered, 2 wrong usage.
    """
    client, _ = connect(
        url,
        key=key,
        principal=principal,
        purpose=purpose,
        release_key=release_key,
        passphrase_file=passphrase_file,
    )
    try:
        with client:
            artefact_id = require_standing(file, client)
    except PipelineError as error:
        report_failure(error, as_json=as_json)
        raise typer.Exit(EXIT_REFUSED) from error
    answer = {"file": str(file), "artefact": artefact_id}
    typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else f"{file}: stands as {artefact_id}")

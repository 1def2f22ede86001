"""Commands for readers of released data; ``gateway.cli`` mounts them."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn
from rich.progress import Progress as ProgressBar

from pipeline.artefact_commands import app as artefact_app
from pipeline.client import GatewayClient
from pipeline.connecting import (
    JsonOption,
    KeyOption,
    PassphraseOption,
    PrincipalOption,
    PurposeOption,
    ReleaseArgument,
    ReleaseKeyOption,
    UrlOption,
    connect,
)
from pipeline.errors import PipelineError
from pipeline.failing import EXIT_REFUSED, report_failure
from pipeline.fetching import Fetched, Progress
from pipeline.labelling.commands import app as label_app
from pipeline.labelling.prelabel_command import prelabel
from pipeline.labelling.register_command import register
from pipeline.labelling.task_commands import invite, serve, task_app
from pipeline.mining.commands import app as mine_app
from pipeline.simulation.commands import app as simulate_app
from pipeline.training.federated_commands import app as train_app

__all__ = ["app", "artefact_app", "fetch", "label_app", "mine_app", "simulate_app", "train_app"]

app = typer.Typer(help="Read released data.", no_args_is_help=True)


@app.callback()
def downstream() -> None:
    """Read released data under a grant."""


@app.command()
def fetch(  # noqa: PLR0913, PLR0917 - each argument is a command-line option
    release: ReleaseArgument,
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    out: Annotated[Path, typer.Option(help="Folder for the files; it is made where it is missing.")],
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Download a release and verify every byte of it.

    Files that are there and verify are kept, so a broken download goes on where it stopped.

    Exit status: 0 all files are there and verified, 1 refused, unreachable or tampered with, 2 wrong usage.
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
            fetched = _fetch(client, release, out, quiet=as_json)
    except PipelineError as error:
        report_failure(error, as_json=as_json)
        raise typer.Exit(EXIT_REFUSED) from error
    _report(fetched, as_json=as_json)


label_app.add_typer(task_app, name="task")
for command in (invite, prelabel, register, serve):
    label_app.command()(command)
app.add_typer(label_app, name="label")
app.add_typer(artefact_app, name="artefact")
app.add_typer(mine_app, name="mine")
app.add_typer(simulate_app, name="simulate")
app.add_typer(train_app, name="train")


def _fetch(client: GatewayClient, release: str, out: Path, *, quiet: bool) -> Fetched:
    total = sum(item.size for item in client.manifest(release).items)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn()
    with ProgressBar(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task(release, total=total)

        def show(progress: Progress) -> None:
            bar.update(task, advance=progress.item.size, description=f"{progress.number}/{progress.of}")

        return client.fetch(release, out, show)


def _report(fetched: Fetched, *, as_json: bool) -> None:
    manifest = fetched.manifest
    if as_json:
        result = {
            "release": manifest.release,
            "digest": manifest.digest,
            "purpose": manifest.purpose,
            "mode": manifest.mode,
            "folder": str(fetched.folder),
            "fetched": list(fetched.fetched),
            "kept": list(fetched.kept),
            "bytes": fetched.size,
            "approvals": len(manifest.approvals),
            "expires_at": manifest.expires_at.isoformat(),
        }
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    typer.echo(
        f"{manifest.release}: {len(fetched.fetched)} fetched, {len(fetched.kept)} kept, "
        f"{fetched.size} bytes, all verified under the release key, in {fetched.folder}"
    )

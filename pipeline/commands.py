"""Commands for readers of released data; ``gateway.cli`` mounts them."""

import json
import sys
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn
from rich.progress import Progress as ProgressBar

from pipeline.client import GatewayClient
from pipeline.errors import PipelineError, RefusedError
from pipeline.fetching import Fetched, Progress
from pipeline.signing import load_private_key, load_release_key

EXIT_REFUSED = 1

app = typer.Typer(help="Read released data.", no_args_is_help=True)


@app.callback()
def downstream() -> None:
    """Read released data under a grant."""


@app.command()
def fetch(  # noqa: PLR0913, PLR0917 - each argument is a command-line option
    release: Annotated[str, typer.Argument(help="Id of the release.")],
    url: Annotated[str, typer.Option(help="Origin of the gateway, such as https://gate.example.")],
    key: Annotated[Path, typer.Option(help="PEM file of your Ed25519 private key.")],
    principal: Annotated[str, typer.Option(help="Your id, under which the gateway knows the key.")],
    purpose: Annotated[str, typer.Option(help="The purpose that your grant names.")],
    release_key: Annotated[
        Path, typer.Option(help="The operator's public release key (PEM or JWK), obtained from the operator.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the files; it is made where it is missing.")],
    passphrase_file: Annotated[
        Path | None, typer.Option(help="File whose first line opens the private key.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Download a release and verify every byte of it.

    Files that are there and verify are kept, so a broken download goes on where it stopped.

    Exit status: 0 all files are there and verified, 1 refused, unreachable or tampered with, 2 wrong usage.
    """
    try:
        passphrase = _first_line(passphrase_file) if passphrase_file else None
        client = GatewayClient(
            url,
            key=load_private_key(key, passphrase),
            principal=principal,
            purpose=purpose,
            release_key=load_release_key(release_key),
        )
    except (PipelineError, ValueError, OSError, httpx.InvalidURL) as error:
        raise typer.BadParameter(str(error)) from error
    try:
        with client:
            fetched = _fetch(client, release, out, quiet=as_json)
    except PipelineError as error:
        _report_failure(error, as_json=as_json)
        raise typer.Exit(EXIT_REFUSED) from error
    _report(fetched, as_json=as_json)


def _first_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or not lines[0]:
        raise ValueError(f"{path.name} (got an empty first line, expected a passphrase)")
    return lines[0]


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


def _report_failure(error: PipelineError, *, as_json: bool) -> None:
    violations = error.violations if isinstance(error, RefusedError) else ()
    if as_json:
        result = {
            "reason": error.reason,
            "detail": str(error),
            "violations": [
                {"rule": v.rule, "clause": v.clause, "text_zh": v.text_zh, "text_en": v.text_en}
                for v in violations
            ],
        }
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    typer.echo(f"refused: {error}", file=sys.stderr)
    for violation in violations:
        typer.echo(f"  {violation.rule} ({violation.clause}): {violation.text_zh}", file=sys.stderr)

"""What every command that reads released data asks for, and the connection that comes of it."""

from pathlib import Path
from typing import Annotated

import httpx
import typer
from joserfc.jwk import OKPKey

from pipeline.client import GatewayClient
from pipeline.errors import PipelineError
from pipeline.signing import load_private_key, load_release_key

ReleaseArgument = Annotated[str, typer.Argument(help="Id of the release.")]
UrlOption = Annotated[str, typer.Option(help="Origin of the gateway, such as https://gate.example.")]
KeyOption = Annotated[Path, typer.Option(help="PEM file of your Ed25519 private key.")]
PrincipalOption = Annotated[str, typer.Option(help="Your id, under which the gateway knows the key.")]
PurposeOption = Annotated[str, typer.Option(help="The purpose that your grant names.")]
ReleaseKeyOption = Annotated[
    Path,
    typer.Option(help="The operator's public release key (PEM or JWK), obtained from the operator."),
]
PassphraseOption = Annotated[Path | None, typer.Option(help="File whose first line opens the private key.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def connect(
    url: str,
    *,
    key: Path,
    principal: str,
    purpose: str,
    release_key: Path,
    passphrase_file: Path | None,
) -> tuple[GatewayClient, OKPKey]:
    """A client, and the private key that it signs with.

    Raises:
        typer.BadParameter: An option is unusable; nothing was sent.
    """
    try:
        passphrase = _first_line(passphrase_file) if passphrase_file else None
        private = load_private_key(key, passphrase)
        client = GatewayClient(
            url,
            key=private,
            principal=principal,
            purpose=purpose,
            release_key=load_release_key(release_key),
        )
    except (PipelineError, ValueError, OSError, httpx.InvalidURL) as error:
        raise typer.BadParameter(str(error)) from error
    return client, private


def private_key(path: Path, passphrase_file: Path | None) -> OKPKey:
    """The private key of a command that asks no gate.

    Raises:
        typer.BadParameter: It is unusable.
    """
    try:
        return load_private_key(path, _first_line(passphrase_file) if passphrase_file else None)
    except (PipelineError, ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error


def _first_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or not lines[0]:
        raise ValueError(f"{path.name} (got an empty first line, expected a passphrase)")
    return lines[0]

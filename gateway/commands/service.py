"""The command that serves."""

import logging
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from gateway.commands.session import opened, reporting
from gateway.errors import ConfigurationError
from gateway.loopback import is_loopback
from gateway.server import create_app

app = typer.Typer()


def require_tls(host: str, certificate: Path | None, key: Path | None) -> None:
    """Refuse to listen in the clear on anything but a loopback address.

    Raises:
        ConfigurationError: Certificate or key is missing.
    """
    if not is_loopback(host) and (certificate is None or key is None):
        raise ConfigurationError(
            f"refusing to serve {host!r} without TLS (give --tls-certificate and --tls-key)"
        )


@app.command()
@reporting
def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8443,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM certificate chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM private key of the certificate.")] = None,
) -> None:
    """Serve vehicles, operators, auditors and engineers over HTTP.

    Anything but a loopback address needs TLS, here or (then on loopback) at a proxy in front.
    """
    require_tls(host, tls_certificate, tls_key)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with opened() as gate:
        uvicorn.run(
            create_app(gate),
            host=host,
            port=port,
            ssl_certfile=tls_certificate,
            ssl_keyfile=tls_key,
            access_log=False,
            server_header=False,
        )

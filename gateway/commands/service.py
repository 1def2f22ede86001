"""The command that serves."""

import logging
import socket
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from gateway.commands.session import opened, reporting, settings
from gateway.errors import ConfigurationError
from gateway.loopback import is_loopback
from gateway.server import create_app
from gateway.serving.child import LOG_FORMAT
from gateway.serving.processes import Listening
from gateway.serving.supervisor import Supervisor

log = logging.getLogger(__name__)

app = typer.Typer()

_BACKLOG = 2048


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
    workers: Annotated[
        int,
        typer.Option(
            min=1, max=64, help="Processes that answer; with more than one, one more owns the ledger."
        ),
    ] = 1,
) -> None:
    """Serve vehicles, operators, auditors and engineers over HTTP.

    Anything but a loopback address needs TLS, here or (then on loopback) at a proxy in front.
    """
    require_tls(host, tls_certificate, tls_key)
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    if workers > 1:
        _supervise(host, port, tls_certificate, tls_key, workers)
        return
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


def _supervise(
    host: str, port: int, tls_certificate: Path | None, tls_key: Path | None, workers: int
) -> None:
    """Serve by several processes.

    1. The gate opens here, so that whatever would stop one of them is told at once. 2. The address is free.
    """
    with opened():  # 1
        pass
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=_BACKLOG) as listener:  # 2
        log.info("%d workers listen on %s, port %d", workers, host, listener.getsockname()[1])
        listening = Listening(socket=listener, tls_certificate=tls_certificate, tls_key=tls_key)
        Supervisor(settings(), listening, workers=workers).run()

"""Real OPA servers on loopback for tests, guarded and over TLS where asked."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from policies.opa_server import guard_environment, opa_command


@contextmanager
def served_by(
    opa: Path,
    directory: Path,
    *,
    token: str | None = None,
    tls: tuple[Path, Path] | None = None,
) -> Iterator[str]:
    """Serve a directory by a real OPA on loopback, guarded where there is a token."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = opa_command(directory, f"127.0.0.1:{port}", opa, guarded=token is not None, tls=tls)
    environment = os.environ | ({} if token is None else guard_environment(token))
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet) as server:  # noqa: S603
        try:
            _await(port, server)
            yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        finally:
            server.terminate()


def _await(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"OPA did not start (exit {server.poll()})")

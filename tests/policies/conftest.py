"""Real engines for the policy tests: regorus in this process and, where there is a binary, an OPA server."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from policies.bundle import Bundle, shipped_bundle, write_bundle
from policies.embedded import EmbeddedEngine
from policies.opa_server import opa_command
from policies.vectors import Vector, shipped_vectors

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return shipped_bundle()


@pytest.fixture(scope="session")
def vectors(bundle: Bundle) -> tuple[Vector, ...]:
    return shipped_vectors(bundle)


@pytest.fixture(scope="session")
def embedded(bundle: Bundle) -> Iterator[EmbeddedEngine]:
    with EmbeddedEngine(bundle) as engine:
        yield engine


@pytest.fixture(scope="session")
def opa() -> Path:
    shared = Path(os.environ.get("FLEETGATE_SHARED", REPOSITORY.parent / "shared"))
    binary = Path(os.environ.get("FLEETGATE_OPA", shared / "bin" / "opa"))
    if not binary.is_file():
        pytest.skip("no OPA binary (set FLEETGATE_OPA)")
    return binary


@pytest.fixture(scope="session")
def served(
    serving: Callable[[Path], AbstractContextManager[str]],
    bundle: Bundle,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """Serve the shipped bundle by a real OPA on loopback; yields its URL."""
    directory = tmp_path_factory.mktemp("opa") / "bundle"
    write_bundle(bundle, directory)
    with serving(directory) as url:
        yield url


@pytest.fixture(scope="session")
def serving(opa: Path) -> Callable[[Path], AbstractContextManager[str]]:
    """Serve a directory by a real OPA on loopback."""
    return lambda directory: _served(opa, directory)


@contextmanager
def _served(opa: Path, directory: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = opa_command(directory, f"127.0.0.1:{port}", opa)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:  # noqa: S603
        try:
            _await(port, server)
            yield f"http://127.0.0.1:{port}"
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

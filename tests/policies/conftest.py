"""Real engines for the policy tests: regorus in this process and, where there is a binary, an OPA server."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from opa_servers import served_by
from policies.bundle import Bundle, shipped_bundle, write_bundle
from policies.embedded import EmbeddedEngine
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
    return lambda directory: served_by(opa, directory)

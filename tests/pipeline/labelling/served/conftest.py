"""One gate with one release for all tests here; those that end a release make their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from label_servers import Gated, Labelled, gated, made_task, serving


@pytest.fixture(scope="session")
def label_gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    with gated(tmp_path_factory.mktemp("labelling") / "home") as made:
        yield made


@pytest.fixture(scope="session")
def label_release(label_gate: Gated) -> str:
    return label_gate.release()


@pytest.fixture
def labelled(label_gate: Gated, label_release: str, tmp_path: Path) -> Labelled:
    """A task of the release, not served."""
    return made_task(label_gate, tmp_path / "tasks", label_release)


@pytest.fixture
def served(labelled: Labelled) -> Iterator[Labelled]:
    """The task behind a label server."""
    with serving(labelled) as made:
        yield made

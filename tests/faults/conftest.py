"""The process in which recordings die, started once for all tests of this folder."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ORDEAL = Path(__file__).with_name("ordeal.py")
ROOT = Path(__file__).parents[2]


class OrdealServer:
    """Sends orders to ``ordeal.py`` and gives its reports back."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def furnish(self, house: str, home: Path, database_url: str | None = None, **more: Any) -> None:
        """A new house with everybody and everything that a release needs."""
        self._send({"do": "furnish", "house": house, "home": str(home), "database_url": database_url, **more})
        assert self._receive().get("furnished")

    def run(self, orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Reports on orders, in their order; as many at once as there are processors."""
        ids = [str(number) for number in range(len(orders))]
        for number, order in zip(ids, orders, strict=True):
            self._send({"id": number, **order, "last": number == ids[-1]})
        found: dict[str, dict[str, Any]] = {}
        while "batch" not in (report := self._receive()):
            found[report["id"]] = report
        errors = [report["error"] for report in found.values() if "error" in report]
        assert not errors, errors[0]
        return [found[number] for number in ids]

    def _send(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": "", **order}) + "\n")
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the ordeal process ended (status {self._process.wait()})"
        report: dict[str, Any] = json.loads(line)
        return report


@pytest.fixture(scope="session")
def ordeals() -> Iterator[OrdealServer]:
    paths = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    process = subprocess.Popen(  # noqa: S603 (this interpreter, a file of these tests)
        [sys.executable, str(ORDEAL)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    yield OrdealServer(process)
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.fixture
def recording() -> str:
    return str(uuid.uuid4())

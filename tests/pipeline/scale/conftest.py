"""A release of small pictures behind a server that verifies, and a job over it by reference."""

import json
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from batch_functions import Digest
from pipeline.mining.run import Connecting
from pipeline.scale.job import Job, connection
from pipeline.scale.outputs import LEDGER_FILE, OUTPUT_SUFFIX, OutputFolder
from training_releases import PURPOSE, TwoReleases

RELEASE = "rel-a"
TOKEN = secrets.token_hex(32)


@pytest.fixture
def ray_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of Ray find the functions of tests, and one token holds for all clusters of this process."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")


@pytest.fixture
def two(peer: Any, release_key: OKPKey, relay: Any) -> TwoReleases:
    made = TwoReleases(peer, release_key)
    relay[0].app = made.app
    return made


@pytest.fixture
def connecting(
    two: TwoReleases, relay: Any, principal_key: OKPKey, release_key: OKPKey, tmp_path: Path
) -> Connecting:
    assert relay[0].app is two.app
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "key.pem").write_bytes(principal_key.as_pem(private=True, password="correct horse"))
    (keys / "passphrase").write_text("correct horse\n")
    (keys / "release.jwk").write_text(json.dumps(release_key.as_dict(private=False)))
    return Connecting(
        url=relay[1],
        key=keys / "key.pem",
        principal="engineer-1",
        purpose=PURPOSE,
        release_key=keys / "release.jwk",
        passphrase_file=keys / "passphrase",
    )


@pytest.fixture
def job(connecting: Connecting, tmp_path: Path) -> Callable[..., Job]:
    (tmp_path / "notes").mkdir()

    def make(function: Any = None, **changes: Any) -> Job:
        made = function or Digest(notes=tmp_path / "notes", **changes)
        return Job(
            connecting=connecting, release=RELEASE, outputs=tmp_path / "outputs", cache=None, function=made
        )

    return make


@pytest.fixture
def ran(tmp_path: Path) -> Callable[[], list[str]]:
    return lambda: [line.split()[0] for line in (tmp_path / "notes" / "ran").read_text().splitlines()]


@pytest.fixture
def check(connecting: Connecting, tmp_path: Path) -> Callable[[Job], dict[str, bytes]]:
    """Outputs equal those of a run without any engine; each lies there once and has one line in the ledger."""

    def read(job: Job) -> dict[str, bytes]:
        client, key = connection(connecting)
        with client:
            outputs = OutputFolder(client, RELEASE, job.outputs, key=key)
            items = [i for i in client.manifest(RELEASE).items if job.function.takes(i)]
            plain = Digest(notes=tmp_path / "notes")
            expected = {item.name: plain(client, RELEASE, item) for item in items}
            found = {item.name: outputs.get(job.function.output(item)) for item in items}
        assert found == expected
        names = {job.function.output(item) for item in items}
        assert {path.name for path in outputs.folder.glob(f"*{OUTPUT_SUFFIX}")} == {
            outputs.path(name).name for name in names
        }
        assert {path.name for path in outputs.folder.iterdir() if path.suffix != OUTPUT_SUFFIX} == {
            "salt",
            LEDGER_FILE,
        }
        lines = [json.loads(line)["line"] for line in (outputs.folder / LEDGER_FILE).read_text().splitlines()]
        entered = [line["output"] for line in lines if "void" not in line]
        void = [line["output"] for line in lines if "void" in line]
        for each in void:
            entered.remove(each)
        assert sorted(entered) == sorted(outputs.path(name).stem for name in names)
        return expected

    return read

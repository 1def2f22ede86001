"""The archive job (rule 29): tiles under a cosigned checkpoint; a rollback or a foreign archive stops it."""

import dataclasses
import logging
import shutil
from pathlib import Path

import pytest

from audit import verify
from audit.errors import LedgerCorruptError, LedgerError, SignatureError, TileError
from audit.events import Outcome
from gateway.errors import ConfigurationError
from gateway.flow.gate import Gate
from gateway.scheduler import run_job
from simulators import House


def archiving(gate: Gate, directory: Path | None) -> Gate:
    return dataclasses.replace(gate, settings=gate.settings.model_copy(update={"archive_dir": directory}))


def verified(directory: Path, vkey: str) -> int:
    """Entries that the stand-alone verifier finds in an archive."""
    return verify.main([str(directory), "--vkey", vkey])


def test_the_archive_grows_with_the_ledger_and_verifies(shared_gate: Gate, tmp_path: Path):
    gate = archiving(shared_gate, tmp_path / "archive")
    first = run_job(gate, "archive")
    assert first["entries"] > 0
    assert verified(tmp_path / "archive", gate.ledger.signer.vkey) == 0
    second = run_job(gate, "archive")
    assert second["entries"] > first["entries"]
    assert verified(tmp_path / "archive", gate.ledger.signer.vkey) == 0
    assert not list((tmp_path / "archive").rglob("*.new"))


def test_without_a_directory_there_is_no_archive(shared_gate: Gate):
    with pytest.raises(ConfigurationError, match="FLEETGATE_ARCHIVE_DIR"):
        run_job(archiving(shared_gate, None), "archive")


def refused(gate: Gate, kind: type[LedgerError], caplog: pytest.LogCaptureFixture, held: bytes) -> None:
    """The job fails, says so in log and ledger, and leaves the archive as it was."""
    directory = gate.settings.archive_dir
    assert directory is not None
    with caplog.at_level(logging.CRITICAL), pytest.raises(kind):
        run_job(gate, "archive")
    assert "is not that of this ledger" in caplog.text
    last = gate.ledger.entry(gate.ledger.size - 1).event
    assert (last.object, last.outcome) == ("archive", Outcome.FAILED)
    assert dict(last.facts) == {"error": kind.__name__}
    assert (directory / "checkpoint").read_bytes() == held


def test_an_archive_of_another_ledger_stops_the_job(
    shared_gate: Gate, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    other = House(home=tmp_path / "other")
    directory = tmp_path / "archive"
    with other.opened() as gate:
        run_job(archiving(gate, directory), "archive")
    held = (directory / "checkpoint").read_bytes()
    refused(archiving(shared_gate, directory), SignatureError, caplog, held)


def test_a_ledger_that_was_rolled_back_stops_the_job(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Its database is put back from a copy; at first it is behind the archive, later it has another history."""
    house = House(home=tmp_path / "home", settings_changes={"archive_dir": tmp_path / "archive"})
    shutil.copy(house.home / "ledger.db", tmp_path / "copy.db")
    with house.opened() as gate:
        for _ in range(6):
            run_job(gate, "archive")
    held = (tmp_path / "archive" / "checkpoint").read_bytes()
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (house.home / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "copy.db", house.home / "ledger.db")
    with house.opened() as gate:
        refused(gate, TileError, caplog, held)
        while gate.ledger.size < 40:
            run_job(gate, "orphaned_intents")
        refused(gate, LedgerCorruptError, caplog, held)

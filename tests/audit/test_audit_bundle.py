"""A regulator's bundle proves itself on a machine that has nothing but Python and ``cryptography``."""

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from audit.bundle import bundle_ledger
from audit.checkpoint import CheckpointSigner
from audit.events import Event
from audit.ledger import Ledger
from audit.query import EntryFilter


@pytest.fixture
def filled(sqlite_ledger: Ledger, make_event: Callable[..., Event]) -> Ledger:
    for number in range(5):
        sqlite_ledger.append(make_event(release=f"rel-{number % 2}"))
    return sqlite_ledger


def unpacked(ledger: Ledger, directory: Path, **changes: object) -> Path:
    stream = io.BytesIO()
    bundle_ledger(ledger, stream, note=ledger.checkpoint(), **changes)
    with zipfile.ZipFile(stream) as archive:
        assert archive.testzip() is None
        archive.extractall(directory)
    return directory


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "verify.py", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)  # noqa: S603 (our own command)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_command_of_the_readme_verifies_the_bundle(
    filled: Ledger, tmp_path: Path, signer: CheckpointSigner, language: str
) -> None:
    directory = unpacked(filled, tmp_path, documents={"raw.json": b"{}"})
    readme = (directory / f"README.{language}.txt").read_text("utf-8")
    (line,) = [text.strip() for text in readme.splitlines() if text.strip().startswith("python verify.py")]
    done = run(directory, "entries.jsonl", "--vkey", line.split("'")[1])
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "OK 5 entries of 5 (complete)")
    assert signer.vkey in readme
    assert "raw.json" in readme
    assert (directory / "documents/raw.json").read_bytes() == b"{}"
    assert (directory / "keys.txt").read_text() == f"{signer.vkey}\n"


def test_a_changed_entry_is_found_and_named(filled: Ledger, tmp_path: Path, signer: CheckpointSigner) -> None:
    directory = unpacked(filled, tmp_path)
    lines = (directory / "entries.jsonl").read_bytes().splitlines(keepends=True)
    (directory / "entries.jsonl").write_bytes(b"".join(lines[:3] + lines[4:]))
    done = run(directory, "entries.jsonl", "--vkey", signer.vkey)
    assert done.returncode == 1
    assert done.stdout.startswith("BAD")


def test_a_filtered_bundle_says_that_it_is(filled: Ledger, tmp_path: Path, signer: CheckpointSigner) -> None:
    directory = unpacked(filled, tmp_path, wanted=EntryFilter(release="rel-1"))
    assert "filtered" in (directory / "README.en.txt").read_text("utf-8")
    assert "筛选" in (directory / "README.zh.txt").read_text("utf-8")
    assert run(directory, "entries.jsonl", "--vkey", signer.vkey).stdout.startswith("OK 2 entries of 5")


def test_the_same_entries_give_the_same_bytes(filled: Ledger) -> None:
    note = filled.checkpoint()
    streams = [io.BytesIO(), io.BytesIO()]
    for stream in streams:
        bundle_ledger(filled, stream, note=note)
    assert streams[0].getvalue() == streams[1].getvalue()


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", ""])
def test_documents_have_plain_names(filled: Ledger, name: str) -> None:
    with pytest.raises(ValueError, match="no plain file name"):
        bundle_ledger(filled, io.BytesIO(), note=filled.checkpoint(), documents={name: b""})

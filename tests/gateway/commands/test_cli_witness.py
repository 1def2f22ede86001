"""A witness in a process of its own, run by commands alone, finds out that a gate's whole home was put back."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.settings import Settings

NAME = "witness.test/w1"


@dataclass
class Running:
    """A gate whose environment names a witness."""

    quick: object
    environment: dict[str, str]

    def run(self, *arguments: object):
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            return self.quick.run(*arguments)
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def serving(directory: Path, passphrase: Path) -> Iterator[str]:
    """``fleetgate witness serve`` on a free port of loopback; yields its address."""
    command = [sys.executable, "-m", "gateway.cli", "witness", "serve", str(directory)]
    command += ["--port", "0", "--key-passphrase-file", str(passphrase)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603 (our own command)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            found = re.search(r"(http://127\.0\.0\.1:\d+)", line)
            if found:
                yield found[1]
                return
        raise AssertionError("the witness did not start")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
        assert process.stderr is not None
        process.stderr.close()


@pytest.fixture(scope="module")
def directory(quick, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("witness") / "w1"
    made = quick.run(
        "witness", "init", directory, "--name", NAME, "--key-passphrase-file", quick.passphrase_file, "--json"
    )
    assert made.code == 0, made
    vkey = quick.run("audit", "key", "--json").document["vkey"]
    assert quick.run("witness", "trust", directory, vkey, "--json").document["vkey"] == vkey
    (directory / "vkey").write_text(made.document["vkey"])
    return directory


def test_a_home_that_was_put_back_opens_no_more(quick, directory: Path, tmp_path: Path) -> None:
    vkey = (directory / "vkey").read_text()
    with serving(directory, quick.passphrase_file) as url:
        witnesses = json.dumps([{"url": url, "vkey": vkey}])
        gate = Running(quick, {"FLEETGATE_WITNESSES": witnesses})
        assert gate.run("job", "checkpoint", "--json").code == 0
        shutil.copytree(quick.home, tmp_path / "backup")
        exported = tmp_path / "export.jsonl"
        assert gate.run("audit", "export", exported, *quick.proof("auditor"), "--json").code == 0
        ledger_key = quick.run("audit", "key", "--json").document["vkey"]

        verify = [sys.executable, "-m", "audit.verify", str(exported), "--vkey", ledger_key]
        good = verified([*verify, "--witness", vkey])
        assert good.returncode == 0, good
        assert f"cosigned by {NAME} at " in good.stdout
        stranger = vkey_of_a_stranger(quick, tmp_path)
        bad = verified([*verify, "--witness", stranger])
        assert (bad.returncode, "too few witnesses" in bad.stdout) == (1, True)

        shutil.rmtree(quick.home)
        shutil.copytree(tmp_path / "backup", quick.home)
        assert quick.run("audit", "verify", "--json").code == 0
        refused = gate.run("audit", "verify", "--json")
        assert refused.code == 1
        assert refused.document["error"] == "LedgerCorruptError"
        assert "rolled back or forked" in refused.document["detail"]
    shown = quick.run("witness", "show", directory, "--json").document
    assert [each["origin"] for each in shown["latest"]] == [Settings().origin]
    assert shown["conflicts"] == []


def verified(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own command)


def vkey_of_a_stranger(quick, tmp_path: Path) -> str:
    arguments = ["--name", "witness.test/w2", "--key-passphrase-file", quick.passphrase_file, "--json"]
    return str(quick.run("witness", "init", tmp_path / "w2", *arguments).document["vkey"])


REFUSALS = {
    "twice": (["init", "{witness}", "--name", NAME], "ConflictError|conflict"),
    "bad name": (["init", "{new}", "--name", "a b"], "configuration"),
    "trust twice": (["trust", "{witness}", "{ledger}"], "conflict"),
    "no key": (["trust", "{witness}", "ledger"], "SignatureError"),
    "a witness's key": (["trust", "{witness}", "{vkey}"], "SignatureError"),
    "no witness": (["show", "{new}"], "not_initialised"),
    "without TLS": (["serve", "{witness}", "--host", "witness.example"], "configuration"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_a_witness_refuses(quick, directory: Path, tmp_path: Path, name: str) -> None:
    arguments, reason = REFUSALS[name]
    values = {
        "{witness}": directory,
        "{new}": tmp_path / "new",
        "{vkey}": (directory / "vkey").read_text(),
        "{ledger}": quick.run("audit", "key", "--json").document["vkey"],
    }
    given: list[object] = [values.get(argument, argument) for argument in arguments]
    if arguments[0] in {"init", "serve"}:
        given += ["--key-passphrase-file", quick.passphrase_file]
    answer = quick.run("witness", *given, *([] if arguments[0] == "serve" else ["--json"]))
    assert answer.code == 1
    assert re.search(reason, answer.out + answer.err)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"FLEETGATE_WITNESSES": '[{"url": "http://witness.example", "vkey": "VKEY"}]'}, "expected https"),
        ({"FLEETGATE_WITNESSES": '[{"url": "https://witness.example", "vkey": "x"}]'}, "malformed"),
        ({"FLEETGATE_WITNESS_QUORUM": "1"}, "quorum of no witnesses"),
        (
            {
                "FLEETGATE_WITNESSES": '[{"url": "http://localhost:1", "vkey": "VKEY"}]',
                "FLEETGATE_WITNESS_QUORUM": "2",
            },
            "quorum out of range",
        ),
    ],
)
def test_impossible_settings_stop_the_start(
    quick, directory: Path, setting: dict[str, str], told: str
) -> None:
    vkey = (directory / "vkey").read_text()
    gate = Running(quick, {name: value.replace("VKEY", vkey) for name, value in setting.items()})
    answer = gate.run("audit", "verify", "--json")
    assert answer.code == 1
    assert answer.document["error"] == "configuration"
    assert told in answer.document["detail"]

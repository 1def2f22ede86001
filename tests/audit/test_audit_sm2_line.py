"""Checkpoints that carry an SM2 line: who does not know it passes over it, who has its key demands it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from audit import verify, verify_sm2
from audit.checkpoint import Checkpoint, CheckpointSigner, verify_checkpoint
from audit.errors import SignatureError
from audit.events import Event, EventType, Outcome
from audit.export import export_ledger
from audit.ledger import Ledger
from audit.sm2_line import Sm2Line, verify_sm2_line
from audit.tiles import archive_tiles
from gateway.vault.sm2 import Sm2PrivateKey

ORIGIN = "fleetgate.test/ledger"
KEY, OTHER = (Sm2PrivateKey.generate() for _ in range(2))
LINE, STRANGER = (Sm2Line(name=f"{ORIGIN}/sm2", point=k.public_key.point, sign=k.sign) for k in (KEY, OTHER))
SIGNER = CheckpointSigner(bytes(range(32)), ORIGIN, beside=LINE)
NOTE = SIGNER.sign_checkpoint(Checkpoint(origin=ORIGIN, size=7, root=b"r" * 32))


def test_the_line_is_one_more_and_the_ledgers_own_signature_counts_as_ever():
    plain = CheckpointSigner(bytes(range(32)), ORIGIN)
    checkpoint = Checkpoint(origin=ORIGIN, size=7, root=b"r" * 32)
    assert NOTE.startswith(plain.sign_checkpoint(checkpoint))
    assert NOTE.count("\u2014 ") == 2
    assert verify_checkpoint(NOTE, plain.vkey) == checkpoint
    verify_sm2_line(NOTE, LINE.vkey)
    assert plain.sign_checkpoint(checkpoint).count("\u2014 ") == 1


BAD: dict[str, tuple[str, str]] = {
    "another key": (NOTE, STRANGER.vkey),
    "no line": (CheckpointSigner(bytes(range(32)), ORIGIN).sign("a\n7\nb\n"), LINE.vkey),
    "another text": (NOTE.replace("\n7\n", "\n8\n"), LINE.vkey),
    "an Ed25519 key": (NOTE, SIGNER.vkey),
    "another hash": (NOTE, LINE.vkey.replace("+", "+0", 1)),
    "no key": (NOTE, "nothing"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_verify_is_refused_by_both_readers(name: str):
    note, vkey = BAD[name]
    with pytest.raises(SignatureError):
        verify_sm2_line(note, vkey)
    with pytest.raises((verify.BadExportError, verify.BadKeyError)):
        verify.check_sm2(note, vkey)


@pytest.fixture
def exported(tmp_path: Path, open_ledger: Callable[..., Ledger]) -> Path:
    """A ledger of a gate with an SM2 key, as an export and as tiles."""
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", signer=SIGNER)
    for number in range(3):
        event = Event(
            type=EventType.SERVE_ITEM_READ, outcome=Outcome.COMPLETED, actor="a", object=f"o-{number}"
        )
        ledger.append(event)
    with (tmp_path / "export.jsonl").open("wb") as stream:
        export_ledger(ledger, stream)
    note = ledger.checkpoint()
    assert ledger.checkpoint() == note  # the stored one, signed once
    archive_tiles(ledger, tmp_path / "tiles", note)
    assert ledger.verify().checkpoints == 1
    return tmp_path


def run(place: Path, *arguments: object) -> tuple[int, dict[str, object]]:
    """The verifier as it was copied, with nothing of this package named to it."""
    command = [sys.executable, "verify.py", *map(str, arguments), "--json"]
    done = subprocess.run(  # noqa: S603 (our own)
        command, cwd=place, capture_output=True, text=True, check=False, env={}
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_stand_alone_verifier_demands_the_line_of_the_key_that_it_is_given(exported: Path):
    for module in (verify, verify_sm2):
        shutil.copy(module.__file__, exported)
    for name in ("export.jsonl", "tiles"):
        given = [name, "--vkey", SIGNER.vkey]
        code, told = run(exported, *given)
        assert (code, told["sm2"]) == (0, "not checked")
        code, told = run(exported, *given, "--sm2-vkey", LINE.vkey)
        assert (code, told["sm2"]) == (0, "verified")
        code, told = run(exported, *given, "--sm2-vkey", STRANGER.vkey)
        assert (code, told["ok"], "SM2" in str(told["reason"])) == (1, False, True)


def test_without_its_module_the_line_is_told_as_not_checked(monkeypatch: pytest.MonkeyPatch):
    assert verify.check_sm2(NOTE, LINE.vkey) == "verified"
    for module in ("audit.verify_sm2", "verify_sm2"):
        monkeypatch.setitem(sys.modules, module, None)  # type: ignore[arg-type]
    assert verify.check_sm2(NOTE, LINE.vkey) == "not checked"
    with pytest.raises(verify.BadExportError):
        verify.check_sm2(NOTE, STRANGER.vkey)


def test_a_note_without_the_line_tells_nothing_of_it():
    assert verify.check_sm2(CheckpointSigner(bytes(range(32)), ORIGIN).sign("a\n7\nb\n"), None) is None

"""Certificates of destruction against ledgers that an auditor kept: exports, archives, bundles, forks (law 9)."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from audit import verify, verify_destruction, verify_sm2
from audit.bundle import bundle_ledger
from audit.checkpoint import CheckpointSigner, verify_checkpoint
from audit.cosignature import Cosigner
from audit.events import Event, EventType
from audit.export import export_ledger
from audit.ledger import Ledger
from audit.query import EntryFilter
from audit.tiles import archive_tiles
from gateway.vault.jws import generate_person_key, public_jwk, public_text, sign_statement
from gateway.vault.sm2 import Sm2PrivateKey

KEY = generate_person_key()
RECORDING, KEK, FINGERPRINT = "rec-1", "kek-1", "ab" * 32
BEFORE, AFTER = 20, 5
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroyed:
    """A ledger with a destruction in it, the certificate, and the note before the destruction."""

    ledger: Ledger
    certificate: Path
    early: str


def certificate_of(ledger: Ledger, index: int, note: str, **changed: object) -> str:
    size = verify_checkpoint(note, ledger.signer.vkey).size
    says: dict[str, Any] = {
        "actor": "officer-1",
        "destroyed": ["key file unlinked"],
        "issued_at": "2026-01-02T03:04:05.000000Z",
        "kek": {"fingerprint": FINGERPRINT, "id": KEK, "time": "2026-01-02T03:04:05.000000Z"},
        "ledger": {
            "checkpoint": note,
            "inclusion": [base64.b64encode(h).decode() for h in ledger.inclusion_proof(index, size)],
            "index": index,
            "key": ledger.signer.vkey,
            "leaf": base64.b64encode(ledger.entry(index).leaf).decode(),
        },
        "recording": RECORDING,
        "releases": ["rel-1"],
        "text": {"zh": "密钥已销毁", "en": "the key was destroyed"},
        "version": 1,
    }
    return sign_statement(KEY, verify_destruction.KIND, "k", {**says, **changed})


def filled(ledger: Ledger, make_event: Callable[..., Event], actor: str = "engineer-1") -> int:
    for number in range(BEFORE):
        ledger.append(make_event(actor=actor if number == 0 else "engineer-1", object=f"item-{number}"))
    index = ledger.append(
        make_event(
            type=EventType.ERASE_RECORDING_ERASE,
            actor="officer-1",
            object=RECORDING,
            recording=RECORDING,
            digests={"fingerprint": FINGERPRINT},
            facts={"kek": KEK},
        )
    ).index
    ledger.append(make_event())
    return index


@pytest.fixture
def destroyed(
    tmp_path: Path, open_ledger: Callable[..., Ledger], make_event: Callable[..., Event]
) -> Destroyed:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: MOMENT)
    early = ledger.checkpoint()
    index = filled(ledger, make_event)
    path = tmp_path / "certificate.jws"
    path.write_text(certificate_of(ledger, index, ledger.checkpoint()) + "\n")
    for _ in range(AFTER):
        ledger.append(make_event())
    return Destroyed(ledger=ledger, certificate=path, early=early)


def exported(ledger: Ledger, path: Path, wanted: EntryFilter | None = None, note: str | None = None) -> Path:
    with path.open("wb") as stream:
        export_ledger(ledger, stream, wanted=wanted, note=note)
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    status = verify_destruction.main([*map(str, arguments), "--json"])
    return status, json.loads(capsys.readouterr().out)


def keys(destroyed: Destroyed) -> list[str]:
    return ["--release-key", public_text(KEY), "--vkey", destroyed.ledger.signer.vkey]


def test_it_verifies_alone_and_tells_what_it_proves(
    destroyed: Destroyed, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "release.jwk").write_text(json.dumps(public_jwk(KEY)))
    (tmp_path / "ledger.vkey").write_text(destroyed.ledger.signer.vkey + "\n")
    for pinned in (
        keys(destroyed),
        ["--release-key", tmp_path / "release.jwk", "--vkey", tmp_path / "ledger.vkey"],
        ["--release-key", json.dumps(public_jwk(KEY)), "--vkey", destroyed.ledger.signer.vkey],
    ):
        status, record = said(capsys, destroyed.certificate, *pinned)
        assert (status, record["ok"], record["index"]) == (0, True, BEFORE)
        assert record["size"] == BEFORE + 2
        assert (record["says"]["recording"], record["says"]["kek"]["id"]) == (RECORDING, KEK)
        assert record["ledger"] is None
    assert verify_destruction.main([str(destroyed.certificate), *keys(destroyed)]) == 0
    told = capsys.readouterr().out
    for expected in (
        "销毁证书通过验证",
        "verifies",
        RECORDING,
        KEK,
        FINGERPRINT,
        "密钥已销毁",
        "was destroyed",
    ):
        assert expected in told


def test_exports_archives_and_bundles_bear_it_out(
    destroyed: Destroyed, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ledger = destroyed.ledger
    with (tmp_path / "bundle.zip").open("wb") as stream:
        bundle_ledger(ledger, stream, note=ledger.checkpoint())
    archive_tiles(ledger, tmp_path / "tiles", ledger.checkpoint())
    total = BEFORE + 2 + AFTER
    kept = {
        exported(ledger, tmp_path / "whole.jsonl"): (total, True),
        exported(ledger, tmp_path / "some.jsonl", EntryFilter(recording=RECORDING)): (1, False),
        tmp_path / "bundle.zip": (total, True),
        tmp_path / "tiles": (total, True),
    }
    for path, (count, complete) in kept.items():
        status, record = said(capsys, destroyed.certificate, *keys(destroyed), "--ledger", path)
        assert status == 0, (path, record)
        assert record["ledger"] == {"count": count, "size": total, "complete": complete}


def test_a_ledger_without_the_entry_or_with_a_broken_line_does_not(
    destroyed: Destroyed, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ledger = destroyed.ledger
    whole = exported(ledger, tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "broken.jsonl").write_bytes(b"".join(whole[:5] + whole[6:]))
    cases = {
        "holds no entry": exported(ledger, tmp_path / "other.jsonl", EntryFilter(recording="rec-2")),
        "older than the certificate": exported(ledger, tmp_path / "old.jsonl", note=destroyed.early),
        "recomputed|index|footer|entries": tmp_path / "broken.jsonl",
    }
    for reason, path in cases.items():
        status, record = said(capsys, destroyed.certificate, *keys(destroyed), "--ledger", path)
        assert (status, record["ok"]) == (1, False)
        assert any(word in record["reason"] for word in reason.split("|")), record


def test_a_fork_that_holds_the_very_entry_is_noticed(
    destroyed: Destroyed,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    open_ledger: Callable[..., Ledger],
    make_event: Callable[..., Event],
) -> None:
    """The same key signed two histories that differ in entry 0 only: a complete ledger shows it."""
    fork = open_ledger(f"sqlite:///{tmp_path}/fork.db", clock=lambda: MOMENT)
    index = filled(fork, make_event, actor="somebody-else")
    assert fork.entry(index).leaf == destroyed.ledger.entry(BEFORE).leaf
    path = exported(fork, tmp_path / "fork.jsonl")
    status, record = said(capsys, destroyed.certificate, *keys(destroyed), "--ledger", path)
    assert (status, record["ok"]) == (1, False)
    assert "is another" in record["reason"]


def test_witnesses_may_be_demanded(destroyed: Destroyed, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = destroyed.ledger
    cosigner = Cosigner(bytes(32), "witness.example/w")
    note = ledger.checkpoint()
    cosigned = note + cosigner.cosign(note.rpartition("\n\n")[0] + "\n", 1_700_000_000)
    demanded = [*keys(destroyed), "--witness", cosigner.vkey]
    assert said(capsys, destroyed.certificate, *demanded)[0] == 1
    assert said(capsys, destroyed.certificate, *demanded, "--quorum", "0")[0] == 0
    destroyed.certificate.write_text(certificate_of(ledger, BEFORE, cosigned))
    status, record = said(capsys, destroyed.certificate, *demanded)
    assert status == 0
    assert record["witnesses"] == {"witness.example/w": "2023-11-14T22:13:20+00:00"}


def test_every_changed_character_is_noticed(destroyed: Destroyed) -> None:
    text = destroyed.certificate.read_text().strip()
    vkey = destroyed.ledger.signer.vkey
    for at in range(0, len(text), 7):
        for other in ("A", ".", "="):
            if text[at] != other:
                with pytest.raises(verify.BadExportError):
                    verify_destruction.verify_destruction(
                        text[:at] + other + text[at + 1 :], public_text(KEY), vkey
                    )


def test_a_wrong_call_is_status_2(destroyed: Destroyed, capsys: pytest.CaptureFixture[str]) -> None:
    vkey = destroyed.ledger.signer.vkey
    good = public_text(KEY)
    assert verify_destruction.main(["nowhere", "--release-key", good, "--vkey", vkey]) == 2
    path = str(destroyed.certificate)
    for release_key, ledger_key in ((good[:-2], vkey), ("{}", vkey), ('{"kty":"EC"}', vkey), (good, "x+y")):
        assert verify_destruction.main([path, "--release-key", release_key, "--vkey", ledger_key]) == 2
    assert verify_destruction.main([path, "--release-key", good, "--vkey", vkey, "--ledger", "nowhere"]) == 2
    assert capsys.readouterr().err.count("verify_destruction:") == 6
    other = public_text(generate_person_key())
    assert verify_destruction.main([path, "--release-key", other, "--vkey", vkey]) == 1
    another = CheckpointSigner(bytes(32), "fleetgate.test/other").vkey
    assert verify_destruction.main([path, "--release-key", good, "--vkey", another]) == 1


def test_the_files_of_a_bundle_verify_it_without_the_house(destroyed: Destroyed, tmp_path: Path) -> None:
    home = tmp_path / "elsewhere"
    home.mkdir()
    for module in (verify, verify_destruction, verify_sm2):
        source = Path(str(module.__file__))
        (home / source.name).write_bytes(source.read_bytes())
    command = [sys.executable, "-I", "-c", _ALONE, str(home), str(destroyed.certificate), *keys(destroyed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("OK ")


def test_a_certificate_signed_by_sm2_verifies_and_no_other_key_takes_it(
    destroyed: Destroyed, capsys: pytest.CaptureFixture[str]
) -> None:
    """The suite of commercial cryptography signs with SM2; the stand-alone verifier has arithmetic of its own."""
    sm2, vkey = Sm2PrivateKey.generate(), destroyed.ledger.signer.vkey
    said_before = said(capsys, destroyed.certificate, *keys(destroyed))[1]["says"]
    destroyed.certificate.write_text(sign_statement(sm2, verify_destruction.KIND, "k", said_before))
    pinned = ["--release-key", public_text(sm2), "--vkey", vkey]
    status, record = said(capsys, destroyed.certificate, *pinned)
    assert (status, record["says"]) == (0, said_before)
    assert said(capsys, destroyed.certificate, *keys(destroyed))[0] == 1
    for other in (Sm2PrivateKey.generate(), generate_person_key()):
        assert (
            said(capsys, destroyed.certificate, "--release-key", public_text(other), "--vkey", vkey)[0] == 1
        )
    text = destroyed.certificate.read_text()
    for at in range(0, len(text), 211):
        changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        with pytest.raises(verify.BadExportError):
            verify_destruction.verify_destruction(changed, public_text(sm2), vkey)


def test_sm2_by_the_standards_own_example() -> None:
    """GB/T 32918.5-2017, Annex A; and what must be refused."""
    point = bytes.fromhex(
        "0409F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
        "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
    )
    signature = bytes.fromhex(
        "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
        "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
    )
    verify_sm2.verify_sm2(point, signature, b"message digest")
    order = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_7203DF6B_21C6052B_53BBF409_39D54123
    r, s = signature[:32], signature[32:]
    negative = (order - int.from_bytes(r, "big")).to_bytes(32, "big")
    for bad in (s + r, r, r + s + s, bytes(64), r + bytes(32), order.to_bytes(32, "big") + s, r + negative):
        with pytest.raises(ValueError, match="SM2"):
            verify_sm2.verify_sm2(point, bad, b"message digest")
    for key in (point[1:], b"\x02" + point[1:33], point[:-1] + b"\x14", b"\x04" + b"\xff" * 64):
        with pytest.raises(ValueError, match="SM2"):
            verify_sm2.verify_sm2(key, signature, b"message digest")
    with pytest.raises(ValueError, match="does not verify"):
        verify_sm2.verify_sm2(point, signature, b"message digesT")


_ALONE = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in {"audit", "gateway", "anonymize", "policies", "pipeline"}:
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
import verify_destruction
sys.exit(verify_destruction.main(sys.argv[2:]))
"""

"""The key ceremony by the command: shares, recovery without the passphrase, rotation; all in the ledger."""

import itertools
import shutil
from pathlib import Path

import pytest

from gateway.ceremony import recover_keystore
from gateway.commands.session import EXIT_REFUSED, EXIT_USAGE
from gateway.vault.key_files import load_person_key
from gateway.vault.keys import Keystore
from gateway.vault.shares import split_secret
from gateway.vault.sm2 import Sm2PrivateKey
from gateway.vault.suites import AES256GCM

SECOND = "a second passphrase of this test\n"


def outcomes(cli, kind: str) -> list[tuple[str, dict]]:
    return [
        (entry.event.outcome.value, dict(entry.event.facts))
        for entry in cli.entries()
        if entry.event.type.value == kind
    ]


@pytest.fixture(scope="module")
def shares(quick, tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("custodians")
    made = quick.did("admin", "key", "backup", folder / "first", "--shares", 5, "--threshold", 3)
    files = [Path(file) for file in made["files"]]
    assert [file.name for file in files] == [f"share-{n}-of-5.txt" for n in range(1, 6)]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert outcomes(quick, "vault:key:backup") == [
        ("intent", {}),
        ("completed", {"shares": 5, "threshold": 3}),
    ]
    return files


def refused(quick, *files: Path) -> str:
    answer = quick.act("admin", "key", "recover", *files)
    assert answer.code == EXIT_REFUSED, answer
    return str(answer.document["detail"])


def test_every_three_of_five_open_the_keystore(quick, shares):
    roots = {
        recover_keystore(quick.home / "keystore", chosen, suite=AES256GCM).keystore.roots.current
        for chosen in itertools.combinations(shares, 3)
    }
    assert len(roots) == 1


def test_fewer_foreign_damaged_and_repeated_shares_are_refused(quick, shares, tmp_path):
    before = (quick.home / "keystore/keystore.json").read_bytes()
    for two in itertools.combinations(shares, 2):
        assert "too few shares (got 2, expected 3)" in refused(quick, *two)
    other = [Path(f) for f in quick.did("admin", "key", "backup", tmp_path / "second")["files"]]
    assert "different ceremonies" in refused(quick, *shares[:2], other[2])
    assert "twice" in refused(quick, shares[0], shares[1], shares[1])
    text = shares[2].read_text("utf-8")
    words = text.splitlines()[-1].split()
    words[5] = "academic" if words[5] != "academic" else "acid"
    (tmp_path / "damaged.txt").write_text(" ".join(words))
    assert "share 3 of those given is damaged" in refused(quick, *shares[:2], tmp_path / "damaged.txt")
    (tmp_path / "empty.txt").write_text("nothing here\n")
    assert "holds no share" in refused(quick, *shares[:2], tmp_path / "empty.txt")
    assert (quick.home / "keystore/keystore.json").read_bytes() == before
    assert quick.act("admin", "key", "backup", shares[0].parent).code == EXIT_REFUSED
    assert quick.act("admin", "key", "backup", tmp_path / "x", "--threshold", 6).code == EXIT_USAGE


def test_shares_of_another_keystore_are_refused(quick, tmp_path):
    foreign = []
    for number, words in enumerate(split_secret(bytes(32), shares=3, threshold=2)):
        foreign.append(tmp_path / f"{number}.txt")
        foreign[-1].write_text(words)
    assert "root key (got the one of fingerprint" in refused(quick, *foreign[:2])


def test_only_an_administrator_holds_a_ceremony(quick, shares, tmp_path):
    for arguments in (["backup", tmp_path / "x"], ["rotate"], ["recover", *shares[:3]]):
        assert quick.act("officer", "key", *arguments).code == EXIT_REFUSED
    assert not (tmp_path / "x").exists()


def test_recovery_and_rotation(quick, shares, tmp_path):
    """The passphrase is lost; custodians put the keystore under another; rotation makes their shares worthless."""
    quick.passphrase_file.chmod(0o600)
    first = quick.passphrase_file.read_text()
    lost = tmp_path / "lost.txt"
    lost.write_text(SECOND)
    environment = dict(quick.environment)
    environment["FLEETGATE_PASSPHRASE_FILE"] = str(lost)

    class Changed(type(quick)):
        @property
        def environment(self):
            return environment

    changed = Changed(home=quick.home, keys=quick.keys)
    size = len(quick.entries())
    assert changed.run("audit", "verify").code == EXIT_REFUSED
    assert changed.did("admin", "key", "recover", *shares[1:4]) == {
        "shares": [2, 3, 4],
        "provider": "passphrase",
    }
    assert outcomes(changed, "vault:key:recover")[-1] == (
        "completed",
        {"provider": "passphrase", "shares": "2.3.4"},
    )
    assert quick.act("admin", "key", "rotate").document["error"] == "PassphraseError"

    (tmp_path / "to.env").write_text(f"FLEETGATE_PASSPHRASE_FILE={quick.passphrase_file}\n")
    objects = quick.home / "objects"
    files = {path: path.read_bytes() for path in objects.rglob("*") if path.is_file()}
    rotated = changed.did("admin", "key", "rotate", "--to", tmp_path / "to.env")
    assert rotated["keys"] == len(list((quick.home / "keystore").rglob("*.k*y"))) + len(
        list((quick.home / "keystore").rglob("*.kek"))
    )
    assert {path: path.read_bytes() for path in objects.rglob("*") if path.is_file()} == files
    assert changed.act("admin", "key", "rotate").document["error"] == "PassphraseError"
    assert outcomes(quick, "vault:key:rotate")[-1][0] == "completed"
    assert first == quick.passphrase_file.read_text()
    assert "root key (got the one of fingerprint" in refused(quick, *shares[:3])
    verified = quick.run("audit", "verify", "--json")
    assert verified.code == 0, verified
    assert len(quick.entries()) > size


def test_a_lost_root_file_is_rebuilt(quick, tmp_path):
    files = quick.did("admin", "key", "backup", tmp_path / "third", "--shares", 2, "--threshold", 2)["files"]
    shutil.move(quick.home / "keystore/keystore.json", tmp_path / "gone.json")
    quick.did("admin", "key", "recover", *files)
    assert Keystore.exists(quick.home / "keystore")
    assert quick.run("audit", "verify", "--json").code == 0


def test_an_sm2_key_is_made_and_refused_by_a_gate_of_another_suite(quick, tmp_path):
    file, public = tmp_path / "person.pem", tmp_path / "person.pub"
    made = quick.run(
        "key", "new", file, "--key-passphrase-file", quick.passphrase_file, "--algorithm", "sm2",
        "--public", public, "--json",
    )  # fmt: skip
    assert made.code == 0, made
    key = load_person_key(file, quick.passphrase_file.read_text())
    assert isinstance(key, Sm2PrivateKey)
    assert made.document["thumbprint"] == key.public_key.thumbprint()
    refusal = quick.act("admin", "person", "add", "newcomer", "--public-key", public, "--role", "auditor")
    assert refusal.code == EXIT_REFUSED
    assert "takes no SM2 keys of people" in refusal.document["detail"]

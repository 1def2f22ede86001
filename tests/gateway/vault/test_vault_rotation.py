"""Rotation: a fresh root key wraps every key again; no sealed byte changes, and no crash closes the keystore."""

import base64
import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.vault.errors import KeyUnavailableError, PassphraseError, SealBrokenError, StorageError
from gateway.vault.keys import Keystore
from gateway.vault.provider import KeyProvider
from gateway.vault.root import INSECURE_TEST_ARGON2, PassphraseProvider
from gateway.vault.store import Context, Vault
from gateway.vault.wrap import unwrap

DEK = bytes(range(32))
OLD, NEW = "correct horse 电池", "another passphrase"
KilledAt = Callable[[int, Callable[[], bytes]], tuple[bool, bytes]]


def passphrase(text: str) -> KeyProvider:
    return PassphraseProvider(text, cost=INSECURE_TEST_ARGON2, allow_insecure_test_cost=True)


def opened(home: Path, text: str) -> Keystore:
    return Keystore.open(home / "keystore", passphrase(text))


class Filled:
    """A keystore with a key of every sort, and what must open after a rotation."""

    def __init__(self, home: Path) -> None:
        self.home = home
        keystore = Keystore.create(home / "keystore", passphrase(OLD))
        for kek in ("rec-1", "rec-2"):
            keystore.new_kek(kek)
        self.wrapped = keystore.wrap_dek("rec-1", DEK, b"context")
        keystore.destroy_kek("rec-2")
        self.seed = keystore.seed("ledger")
        self.signing = keystore.signing_key("release").as_dict()
        self.sm2 = keystore.sm2_key("seal").scalar
        self.root = keystore.roots.current

    def check(self, keystore: Keystore) -> None:
        assert keystore.unwrap_dek("rec-1", self.wrapped, b"context") == DEK
        assert keystore.seed("ledger") == self.seed
        assert keystore.signing_key("release").as_dict() == self.signing
        assert keystore.sm2_key("seal").scalar == self.sm2
        assert keystore.is_destroyed("rec-2")

    def key_files(self) -> list[Path]:
        keystore = self.home / "keystore"
        return [*sorted((keystore / "kek").glob("*.kek")), *sorted((keystore / "secret").glob("*.key"))]

    def under(self, root: bytes) -> int:
        """How many key files open under a root key."""
        count = 0
        for file in self.key_files():
            kind, _, name = file.stem.partition(".")
            parts = (
                (b"kek", kind.encode())
                if file.suffix == ".kek"
                else (b"secret", kind.encode(), name.encode())
            )
            try:
                unwrap(root, base64.b64decode(json.loads(file.read_bytes())["wrapped"]), *parts)
            except SealBrokenError:
                continue
            count += 1
        return count

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "keystore/keystore.json").read_bytes())
        return found


@pytest.fixture
def filled(home: Path) -> Filled:
    return Filled(home)


def test_every_key_is_under_the_fresh_root_and_none_under_the_old(filled: Filled, home: Path) -> None:
    keystore = opened(home, OLD)
    assert filled.under(filled.root) == len(filled.key_files()) == 4
    assert keystore.rotate(passphrase(NEW)) == 4
    assert filled.under(filled.root) == 0
    assert filled.under(keystore.roots.current) == 4
    assert "previous_root" not in filled.document()
    filled.check(keystore)
    keystore.new_kek("rec-3")
    del keystore
    filled.check(opened(home, NEW))
    with pytest.raises(PassphraseError):
        opened(home, OLD)


def test_no_sealed_byte_changes(home: Path, vault: Vault, context: Context, keystore: Keystore) -> None:
    sealed = vault.seal([b"content"], kek_id="rec-1", context=context)
    files = {path: path.read_bytes() for path in (home / "blobs").rglob("*") if path.is_file()}
    assert files
    keystore.rotate(passphrase(NEW))
    assert {path: path.read_bytes() for path in (home / "blobs").rglob("*") if path.is_file()} == files
    assert vault.read_all(sealed.manifest_jws, context) == b"content"


def test_the_passphrase_changes_without_a_key_being_wrapped_again(filled: Filled, home: Path) -> None:
    keystore = opened(home, OLD)
    before = [file.read_bytes() for file in filled.key_files()]
    keystore.protect(passphrase(NEW))
    assert [file.read_bytes() for file in filled.key_files()] == before
    filled.check(opened(home, NEW))
    with pytest.raises(PassphraseError):
        opened(home, OLD)


def test_old_wrappings_are_overwritten_not_only_unlinked(filled: Filled, home: Path) -> None:
    """A second name of each file, as whoever reads freed blocks sees it."""
    kept = home / "kept"
    kept.mkdir()
    files = [*filled.key_files(), home / "keystore/keystore.json"]
    before = []
    for number, file in enumerate(files):
        before.append(file.read_bytes())
        (kept / str(number)).hardlink_to(file)
    opened(home, OLD).rotate(passphrase(NEW))
    for number, content in enumerate(before):
        after = (kept / str(number)).read_bytes()
        assert len(after) == len(content)
        assert after != content
        assert not after.startswith(b"{")


def test_rotation_killed_at_every_step(home: Path, killed_at: KilledAt) -> None:
    """Kill -9 before any call: one passphrase opens, all keys are there, and opening finishes the rotation."""
    template = Filled(home / "template")
    finished = 0
    for step in range(1, 200):
        place = home / f"at-{step}"
        shutil.copytree(home / "template", place, copy_function=shutil.copy2)

        def work(place: Path = place) -> bytes:
            return str(opened(place, OLD).rotate(passphrase(NEW))).encode()

        killed, acknowledged = killed_at(step, work)
        template.home = place
        begun = False
        try:
            keystore = opened(place, NEW)
            begun = True
        except PassphraseError:
            assert not acknowledged
            keystore = opened(place, OLD)
        template.check(keystore)
        assert template.under(keystore.roots.current) == 4
        assert template.under(template.root) == (0 if begun else 4)
        assert "previous_root" not in template.document()
        assert [
            p.name for p in (place / "keystore").rglob("*") if "retired" in p.name or "tmp" in p.name
        ] == []
        finished += begun
        del keystore
        shutil.rmtree(place)
        if not killed:
            assert acknowledged == b"4"
            break
    else:
        pytest.fail("the work never ran to its end")
    assert 20 < finished < step


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_rotation_failed_at_every_step(home: Path, inject: Callable[..., Any], number: int) -> None:
    template = Filled(home / "template")
    for step in range(1, 200):
        place = home / f"at-{step}"
        shutil.copytree(home / "template", place, copy_function=shutil.copy2)
        keystore = opened(place, OLD)
        failed = False
        with inject(step, number) as counter:
            try:
                keystore.rotate(passphrase(NEW))
            except StorageError:
                failed = True
        assert failed == (counter.fired is not None)
        template.home = place
        template.check(keystore)
        keystore.new_kek("rec-3")
        del keystore
        try:
            again = opened(place, NEW)
        except PassphraseError:
            again = opened(place, OLD)
        template.check(again)
        again.wrap_dek("rec-3", DEK, b"")
        del again
        shutil.rmtree(place)
        if not failed:
            break
    else:
        pytest.fail("the work never ran to its end")
    assert step > 20


def test_rotation_is_refused_while_somebody_else_has_the_keystore_open(filled: Filled, home: Path) -> None:
    """Law 4: a process that knows the old root key only would write keys that nobody opens."""
    serving, keystore = opened(home, OLD), opened(home, OLD)
    with pytest.raises(KeyUnavailableError, match="in use"):
        keystore.rotate(passphrase(NEW))
    filled.check(serving)
    del serving
    assert keystore.rotate(passphrase(NEW)) == 4


def damaged(file: Path) -> bytes:
    content = file.read_bytes()
    file.write_bytes(content.replace(b'"wrapped":"A', b'"wrapped":"B'))
    assert file.read_bytes() != content
    return content


def test_rotation_is_refused_while_a_key_does_not_open(filled: Filled, home: Path) -> None:
    damaged(home / "keystore/kek/rec-1.kek")
    with pytest.raises(KeyUnavailableError, match=r"rec-1\.kek"):
        opened(home, OLD).rotate(passphrase(NEW))
    assert filled.under(filled.root) == 3
    opened(home, OLD)


def test_a_key_damaged_in_an_interrupted_rotation_keeps_the_old_root(
    filled: Filled, home: Path, killed_at: KilledAt
) -> None:
    """Law 4: what is put back from a backup afterwards still opens."""

    def work() -> bytes:
        return str(opened(home, OLD).rotate(passphrase(NEW))).encode()

    for step in range(1, 200):
        killed_at(step, work)
        if "previous_root" in filled.document():
            break
    content = damaged(home / "keystore/secret/seed.ledger.key")
    keystore = opened(home, NEW)
    assert "previous_root" in filled.document()
    with pytest.raises(KeyUnavailableError, match=r"seed\.ledger\.key"):
        keystore.rotate(passphrase(OLD))
    del keystore
    (home / "keystore/secret/seed.ledger.key").write_bytes(content)
    filled.check(opened(home, NEW))
    assert "previous_root" not in filled.document()


def test_a_provider_that_gives_back_another_root_changes_nothing(filled: Filled, home: Path) -> None:
    class Forgetful(PassphraseProvider):
        def recover(self, protected: Any, context: bytes) -> bytes:
            return bytes(len(super().recover(protected, context)))

    forgetful = Forgetful(NEW, cost=INSECURE_TEST_ARGON2, allow_insecure_test_cost=True)
    with pytest.raises(KeyUnavailableError, match=r"root key .got the one of fingerprint"):
        opened(home, OLD).rotate(forgetful)
    filled.check(opened(home, OLD))


def test_a_root_file_of_another_keystore_is_refused(filled: Filled, home: Path) -> None:
    """The context names the keystore: one under the same passphrase does not stand in for another."""
    document = filled.document()
    (home / "keystore/keystore.json").write_text(json.dumps(document | {"keystore": "00" * 16}))
    with pytest.raises(PassphraseError):
        opened(home, OLD)


def test_a_keystore_of_version_1_opens_and_is_of_version_2_after_rotation(filled: Filled, home: Path) -> None:
    provider = PassphraseProvider(OLD, cost=INSECURE_TEST_ARGON2, allow_insecure_test_cost=True)
    protected = provider.protect(filled.root, b"")
    document = {
        "argon2id": protected.record["argon2id"],
        "salt": protected.record["salt"],
        "version": 1,
        "wrapped_root": base64.b64encode(protected.wrapped).decode(),
    }
    (home / "keystore/keystore.json").write_text(json.dumps(document))
    keystore = opened(home, OLD)
    filled.check(keystore)
    keystore.rotate(passphrase(NEW))
    del keystore
    assert filled.document()["version"] == 2
    filled.check(opened(home, NEW))

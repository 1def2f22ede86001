"""The keystore: no key in the clear (law 3), none lost to a crash (law 4), destroyed for good (law 9)."""

import base64
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from gateway.vault.durable import sync_directory
from gateway.vault.errors import (
    KeyDestroyedError,
    KeyExistsError,
    KeyUnavailableError,
    PassphraseError,
    SealBrokenError,
    StorageError,
)
from gateway.vault.keys import Keystore
from gateway.vault.root import DEFAULT_ARGON2, INSECURE_TEST_ARGON2, Argon2Cost
from gateway.vault.suites import Suite
from gateway.vault.wrap import unwrap, wrap

DEK = bytes(range(32))
Injected = Callable[..., Any]
KilledAt = Callable[[int, Callable[[], bytes]], tuple[bool, bytes]]
PASSPHRASE = "correct horse 电池"


def reopened(home: Path) -> Keystore:
    return Keystore.open(home / "keystore", PASSPHRASE, allow_insecure_test_cost=True)


def test_keys_survive_reopening(keystore: Keystore, home: Path) -> None:
    """Law 4: what was wrapped before a restart opens after it."""
    keystore.new_kek("rec-1")
    wrapped = keystore.wrap_dek("rec-1", DEK, b"context")
    again = reopened(home)
    assert again.unwrap_dek("rec-1", wrapped, b"context") == DEK
    assert again.signing_key("release").as_dict() == keystore.signing_key("release").as_dict()
    assert not keystore.has_sm2_key("release")
    assert again.sm2_key("release").scalar == keystore.sm2_key("release").scalar
    assert again.has_sm2_key("release")
    assert again.seed("ledger") == keystore.seed("ledger")
    assert again.secret("digest") == keystore.secret("digest")


def test_names_and_kinds_give_different_secrets(keystore: Keystore) -> None:
    values = {keystore.seed("a"), keystore.secret("a"), keystore.seed("b"), keystore.secret("b")}
    assert len(values) == 4
    first, second = keystore.signing_key("a"), keystore.signing_key("b")
    assert first.is_private
    assert first.thumbprint() != second.thumbprint()


def test_default_cost_opens_and_is_sufficient(home: Path) -> None:
    assert DEFAULT_ARGON2.sufficient
    Keystore.create(home / "keystore", b"passphrase")
    Keystore.open(home / "keystore", "passphrase")


def test_cost_for_tests_is_refused_where_it_is_not_allowed(keystore: Keystore, home: Path) -> None:
    assert keystore.has_kek("none") is False
    with pytest.raises(KeyUnavailableError, match="for tests only"):
        Keystore.open(home / "keystore", PASSPHRASE)


@pytest.mark.parametrize(
    "cost", [(7, 1, 1), (64, 0, 1), (64, 1, 0), (64, 1, 9), (8 * 1024 * 1024, 1, 1), (64, 65, 1)], ids=str
)
def test_impossible_costs_are_refused(cost: tuple[int, int, int]) -> None:
    memory, iterations, lanes = cost
    with pytest.raises(ValueError, match="Argon2id cost"):
        Argon2Cost(memory_kib=memory, iterations=iterations, lanes=lanes)


def test_wrong_and_empty_passphrases(keystore: Keystore, home: Path) -> None:
    assert repr(keystore) == "<Keystore keystore>"
    with pytest.raises(PassphraseError, match="does not open"):
        Keystore.open(home / "keystore", "wrong", allow_insecure_test_cost=True)
    with pytest.raises(PassphraseError, match="empty"):
        Keystore.open(home / "keystore", "", allow_insecure_test_cost=True)
    with pytest.raises(PassphraseError, match="empty"):
        Keystore.create(home / "other", b"")


def test_a_passphrase_is_the_same_however_it_was_composed(home: Path) -> None:
    Keystore.create(home / "keystore", "cafe\u0301", argon2=INSECURE_TEST_ARGON2)
    Keystore.open(home / "keystore", "café", allow_insecure_test_cost=True)
    Keystore.open(home / "keystore", "café".encode(), allow_insecure_test_cost=True)


def test_a_keystore_is_created_once(keystore: Keystore, home: Path) -> None:
    keystore.new_kek("rec-1")
    with pytest.raises(KeyExistsError):
        Keystore.create(home / "keystore", PASSPHRASE, argon2=INSECURE_TEST_ARGON2)
    assert reopened(home).has_kek("rec-1")


def test_what_is_no_keystore(home: Path) -> None:
    with pytest.raises(KeyUnavailableError, match="no keystore"):
        Keystore.open(home / "missing", PASSPHRASE)
    (home / "empty").mkdir(mode=0o700)
    with pytest.raises(KeyUnavailableError, match="is no keystore"):
        Keystore.open(home / "empty", PASSPHRASE)


def test_creating_a_keystore_killed_at_every_step(home: Path, killed_at: KilledAt) -> None:
    """Law 4: a half-made keystore is none, and is made by calling again."""
    for step in range(1, 40):
        path = home / f"keystore-{step}"

        def work(path: Path = path) -> bytes:
            return repr(Keystore.create(path, PASSPHRASE, argon2=INSECURE_TEST_ARGON2)).encode()

        killed, acknowledged = killed_at(step, work)
        if not Keystore.exists(path):
            assert not acknowledged
            Keystore.create(path, PASSPHRASE, argon2=INSECURE_TEST_ARGON2)
        Keystore.open(path, PASSPHRASE, allow_insecure_test_cost=True).ensure_kek("rec-1")
        if not killed:
            break
    else:
        pytest.fail("the work never ran to its end")
    assert step > 5


MALFORMED = {
    "not JSON": b"{",
    "no object": b"[]",
    "missing member": b'{"version":1}',
    "other version": b'{"version":3,"wrapped_root":""}',
    "no provider": b'{"version":2,"wrapped_root":"","keystore":"00","root_fingerprint":"00"}',
    "huge cost": json.dumps(
        {
            "version": 1,
            "argon2id": {"memory_kib": 2**40, "iterations": 1, "lanes": 1},
            "salt": "",
            "wrapped_root": "",
        }
    ).encode(),
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_root_files(keystore: Keystore, home: Path, content: bytes) -> None:
    """Law 5: a damaged root file stops, and is never replaced."""
    assert keystore
    (home / "keystore" / "keystore.json").write_bytes(content)
    with pytest.raises(KeyUnavailableError):
        reopened(home)
    assert (home / "keystore" / "keystore.json").read_bytes() == content


def test_write_once_and_idempotent_ensure(keystore: Keystore) -> None:
    keystore.ensure_kek("rec-1")
    wrapped = keystore.wrap_dek("rec-1", DEK, b"")
    keystore.ensure_kek("rec-1")
    assert keystore.unwrap_dek("rec-1", wrapped, b"") == DEK
    with pytest.raises(KeyExistsError):
        keystore.new_kek("rec-1")
    assert keystore.unwrap_dek("rec-1", wrapped, b"") == DEK


def test_a_wrapped_key_opens_only_for_its_key_and_context(keystore: Keystore) -> None:
    keystore.new_kek("rec-1")
    keystore.new_kek("rec-2")
    wrapped = keystore.wrap_dek("rec-1", DEK, b"context")
    with pytest.raises(SealBrokenError):
        keystore.unwrap_dek("rec-1", wrapped, b"other")
    with pytest.raises(SealBrokenError):
        keystore.unwrap_dek("rec-2", wrapped, b"context")
    for position in range(len(wrapped)):
        changed = bytearray(wrapped)
        changed[position] ^= 1
        with pytest.raises(SealBrokenError):
            keystore.unwrap_dek("rec-1", bytes(changed), b"context")
        with pytest.raises(SealBrokenError):
            keystore.unwrap_dek("rec-1", wrapped[:position], b"context")


def test_parts_of_a_purpose_do_not_run_together(suite: Suite) -> None:
    wrapped = wrap(DEK, b"secret", b"ab", b"c", suite=suite)
    assert unwrap(DEK, wrapped, b"ab", b"c") == b"secret"
    with pytest.raises(SealBrokenError):
        unwrap(DEK, wrapped, b"a", b"bc")
    with pytest.raises(SealBrokenError):
        unwrap(DEK, wrapped, b"abc")


@pytest.mark.parametrize("kek_id", ["", "../x", "a/b", "a.b", "-x", "x" * 129, "照", "a\n", "a\0"])
def test_ids_that_could_name_another_file_are_refused(keystore: Keystore, kek_id: str) -> None:
    for act in (
        keystore.new_kek,
        keystore.ensure_kek,
        keystore.has_kek,
        keystore.destroy_kek,
        keystore.secret,
    ):
        with pytest.raises(ValueError, match="key id"):
            act(kek_id)


def test_a_key_of_the_wrong_length_is_refused(keystore: Keystore) -> None:
    keystore.new_kek("rec-1")
    with pytest.raises(ValueError, match="31, expected 32 bytes"):
        keystore.wrap_dek("rec-1", DEK[:31], b"")


def test_unknown_keys_are_unavailable(keystore: Keystore) -> None:
    for act in (
        lambda: keystore.wrap_dek("rec-9", DEK, b""),
        lambda: keystore.destroy_kek("rec-9"),
        lambda: keystore.destruction("rec-9"),
    ):
        with pytest.raises(KeyUnavailableError, match="rec-9"):
            act()
    assert not keystore.has_kek("rec-9")
    assert not keystore.is_destroyed("rec-9")


def test_a_destroyed_key_is_gone_for_every_holder(keystore: Keystore, home: Path) -> None:
    """Law 9: unusable, not re-creatable, in this process, another one and after reopening."""
    keystore.new_kek("rec-1")
    keystore.new_kek("rec-2")
    wrapped = keystore.wrap_dek("rec-1", DEK, b"")
    other = reopened(home)
    before = (home / "keystore/kek/rec-1.kek").read_bytes()
    destruction = keystore.destroy_kek("rec-1")
    assert destruction.fingerprint == json.loads(before)["fingerprint"]
    for holder in (keystore, other, reopened(home)):
        assert holder.is_destroyed("rec-1")
        assert not holder.has_kek("rec-1")
        assert holder.destruction("rec-1") == holder.destroy_kek("rec-1") == destruction
        for act in (holder.new_kek, holder.ensure_kek):
            with pytest.raises(KeyDestroyedError):
                act("rec-1")
        with pytest.raises(KeyDestroyedError):
            holder.unwrap_dek("rec-1", wrapped, b"")
        with pytest.raises(KeyDestroyedError):
            holder.wrap_dek("rec-1", DEK, b"")
        assert holder.has_kek("rec-2")
    wrapped_key = json.loads(before)["wrapped"].encode()
    assert all(wrapped_key not in path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert destruction.as_dict() == json.loads((home / "keystore/kek/rec-1.destroyed").read_bytes())


def test_the_key_file_is_overwritten_before_it_is_unlinked(keystore: Keystore, home: Path) -> None:
    """Law 9: a second name of the file (a backup by hard link) holds nothing of the key either."""
    keystore.new_kek("rec-1")
    path = home / "keystore/kek/rec-1.kek"
    before = path.read_bytes()
    (home / "second-name").hardlink_to(path)
    keystore.destroy_kek("rec-1")
    after = (home / "second-name").read_bytes()
    assert len(after) == len(before)
    assert b"wrapped" not in after


def test_a_damaged_key_can_be_destroyed_and_the_record_says_so(keystore: Keystore, home: Path) -> None:
    keystore.new_kek("rec-1")
    (home / "keystore/kek/rec-1.kek").write_bytes(b"damaged")
    with pytest.raises(KeyUnavailableError, match="malformed"):
        keystore.wrap_dek("rec-1", DEK, b"")
    assert keystore.destroy_kek("rec-1").fingerprint.startswith("unreadable-file:")
    assert keystore.is_destroyed("rec-1")


def test_exchanged_key_files_are_noticed(keystore: Keystore, home: Path) -> None:
    keystore.new_kek("rec-1")
    keystore.new_kek("rec-2")
    folder = home / "keystore/kek"
    (folder / "rec-1.kek").write_bytes((folder / "rec-2.kek").read_bytes())
    with pytest.raises(KeyUnavailableError, match="does not open"):
        keystore.wrap_dek("rec-1", DEK, b"")


def test_a_damaged_secret_is_never_replaced(keystore: Keystore, home: Path) -> None:
    """Law 5: a signing key that does not open stops; a fresh one would orphan every signature."""
    keystore.signing_key("release")
    path = home / "keystore/secret/signing.release.key"
    document = json.loads(path.read_bytes())
    wrapped = bytearray(base64.b64decode(document["wrapped"]))
    wrapped[-1] ^= 1
    path.write_text(json.dumps(document | {"wrapped": base64.b64encode(wrapped).decode()}))
    with pytest.raises(KeyUnavailableError, match="signing 'release'"):
        reopened(home).signing_key("release")


@pytest.mark.parametrize("name", ["", "keystore.json", "kek", "kek/rec-1.kek", "secret"])
def test_exposed_files_are_refused(keystore: Keystore, home: Path, name: str) -> None:
    """Law 5: keys that others could have read are not used."""
    keystore.new_kek("rec-1")
    path = home / "keystore" / name
    mode = path.stat().st_mode & 0o777
    assert mode == (0o700 if path.is_dir() else 0o600)
    path.chmod(mode | 0o040)
    with pytest.raises(KeyUnavailableError, match="exposed"):
        reopened(home)
    path.chmod(mode)
    assert reopened(home)


def test_a_key_file_exposed_later_is_refused_at_use(keystore: Keystore, home: Path) -> None:
    keystore.new_kek("rec-1")
    (home / "keystore/kek/rec-1.kek").chmod(0o644)
    with pytest.raises(KeyUnavailableError, match="exposed"):
        keystore.wrap_dek("rec-1", DEK, b"")


def test_links_in_a_keystore_are_refused(keystore: Keystore, home: Path) -> None:
    keystore.new_kek("rec-1")
    (home / "keystore/kek/rec-2.kek").symlink_to(home / "keystore/kek/rec-1.kek")
    with pytest.raises(KeyUnavailableError, match="symbolic link"):
        reopened(home)


def test_no_key_lies_on_disk_in_the_clear(keystore: Keystore, home: Path) -> None:
    """Law 3: neither raw nor in hex nor in base64, for any key that the keystore holds."""
    keystore.new_kek("rec-1")
    secrets = [
        keystore.roots.current,
        keystore._kek("rec-1"),
        keystore.seed("ledger"),
        keystore.secret("digest"),
        keystore.sm2_key("release").scalar,
        base64.urlsafe_b64decode(keystore.signing_key("release").as_dict(private=True)["d"] + "="),
        PASSPHRASE.encode(),
    ]
    content = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    for secret in secrets:
        for spelled in (
            secret,
            secret.hex().encode(),
            base64.b64encode(secret)[:42],
            base64.urlsafe_b64encode(secret)[:42],
        ):
            assert spelled not in content


def test_processes_that_make_the_same_keys_at_once_agree(keystore: Keystore, home: Path) -> None:
    """Server and command line at once: one key each, whoever comes first."""
    assert keystore
    pipes = []
    for _ in range(6):
        receive, send = os.pipe()
        if os.fork() == 0:
            try:
                mine = reopened(home)
                mine.ensure_kek("rec-1")
                made = [mine.secret("digest").hex(), mine.signing_key("release").thumbprint()]
                made[1] += mine.sm2_key("release").public_key.thumbprint()
                made.append(mine.wrap_dek("rec-1", DEK, b"").hex())
                os.write(send, json.dumps(made).encode())
            finally:
                os._exit(0)
        os.close(send)
        pipes.append(receive)
    made = []
    for receive in pipes:
        with os.fdopen(receive, "rb") as pipe:
            made.append(json.loads(pipe.read()))
        os.wait()
    assert len({(secret, thumbprint) for secret, thumbprint, _ in made}) == 1
    assert all(keystore.unwrap_dek("rec-1", bytes.fromhex(wrapped), b"") == DEK for _, _, wrapped in made)


def test_making_a_key_killed_at_every_step(keystore: Keystore, home: Path, killed_at: KilledAt) -> None:
    """Law 4: a key is whole or absent, and whole once it was acknowledged."""
    for step in range(1, 40):

        def work(kek_id: str = f"rec-{step}") -> bytes:
            keystore.new_kek(kek_id)
            return keystore.wrap_dek(kek_id, DEK, b"")

        killed, acknowledged = killed_at(step, work)
        again = reopened(home)
        assert not list((home / "keystore/kek").glob(".*.tmp"))
        if again.has_kek(f"rec-{step}"):
            again.wrap_dek(f"rec-{step}", DEK, b"")
        if acknowledged:
            assert again.unwrap_dek(f"rec-{step}", acknowledged, b"") == DEK
        if not killed:
            assert acknowledged
            break
    else:
        pytest.fail("the work never ran to its end")
    assert step > 5


def test_destroying_a_key_killed_at_every_step(keystore: Keystore, home: Path, killed_at: KilledAt) -> None:
    """Law 9: once decided, a destruction is finished after any crash; before that, the key is whole."""
    for step in range(1, 60):
        kek_id = f"rec-{step}"
        keystore.new_kek(kek_id)
        wrapped = keystore.wrap_dek(kek_id, DEK, b"")

        def work(kek_id: str = kek_id) -> bytes:
            return keystore.destroy_kek(kek_id).fingerprint.encode()

        killed, acknowledged = killed_at(step, work)
        again = reopened(home)
        if acknowledged:
            assert again.is_destroyed(kek_id)
        if again.has_kek(kek_id):
            assert again.unwrap_dek(kek_id, wrapped, b"") == DEK
        else:
            assert again.is_destroyed(kek_id)
            assert again.destroy_kek(kek_id) == again.destruction(kek_id)
        if not killed:
            break
    else:
        pytest.fail("the work never ran to its end")
    assert step > 8


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_a_failing_disk_at_every_step(keystore: Keystore, home: Path, inject: Injected, number: int) -> None:
    """Laws 4 and 9: each failed call is named, and what was decided before it still holds."""
    for step in range(1, 60):
        kek_id = f"rec-{errno.errorcode[number]}-{step}"
        made, failure = False, ""
        with inject(step, number) as counter:
            try:
                keystore.ensure_kek(kek_id)
                made = True
                keystore.destroy_kek(kek_id)
            except (StorageError, KeyUnavailableError) as error:
                failure = str(error)
        again = reopened(home)
        if again.has_kek(kek_id):
            again.wrap_dek(kek_id, DEK, b"")
        elif made:
            assert again.destroy_kek(kek_id).kek_id == kek_id
        if counter.fired is None:
            break
        assert os.strerror(number) in failure
    else:
        pytest.fail("the work never ran to its end")
    assert step > 15


def test_signing_keys_are_ed25519(keystore: Keystore) -> None:
    key = keystore.signing_key("evidence")
    assert isinstance(key, OKPKey)
    assert key.curve_name == "Ed25519"


def test_a_key_that_was_made_sure_of_costs_no_sync_again(
    keystore: Keystore, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 4 at one sync for each process: another one cannot know whether the name's maker lived to sync it."""
    synced: list[Path] = []

    def counted(path: Path) -> None:
        synced.append(path)
        sync_directory(path)

    monkeypatch.setattr("gateway.vault.keys.sync_directory", counted)
    keystore.ensure_kek("sub-1")
    synced.clear()
    keystore.ensure_kek("sub-1")
    assert synced == []
    other = reopened(home)
    synced.clear()
    for _ in range(3):
        other.ensure_kek("sub-1")
    assert synced == [home / "keystore" / "kek"]


def test_a_key_that_another_process_destroyed_is_refused_though_it_was_made_sure_of(
    keystore: Keystore, home: Path
) -> None:
    """Law 9: what is remembered is that a name is durable, never that a key lives."""
    keystore.ensure_kek("sub-1")
    keystore.ensure_kek("sub-1")
    reopened(home).destroy_kek("sub-1")
    with pytest.raises(KeyDestroyedError):
        keystore.ensure_kek("sub-1")
    keystore.ensure_kek("sub-2")
    # A destruction that was begun and not finished: the tombstone is there, and the key file, too.
    (home / "keystore" / "kek" / "sub-2.destroyed").write_bytes(b"{}")
    with pytest.raises(KeyDestroyedError):
        keystore.ensure_kek("sub-2")

"""The vault as a whole (laws 3, 4, 6 and 9)."""

import base64
import errno
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from gateway.vault.blobs import LocalBlobs
from gateway.vault.errors import (
    BlobMissingError,
    KeyDestroyedError,
    KeyUnavailableError,
    SealBrokenError,
    StorageError,
    VaultError,
)
from gateway.vault.jws import generate_person_key, sign_statement
from gateway.vault.keys import Keystore
from gateway.vault.root import INSECURE_TEST_ARGON2
from gateway.vault.sm2 import Sm2PrivateKey
from gateway.vault.store import MANIFEST_TYPE, Context, SealedObject, Vault
from gateway.vault.suites import SM4GCM, Suite

CANARY = b"CANARY-7f3a:LSVAU2180N2183294;116.397428,39.909230"
Reopen = Callable[[], Vault]


def seal_key(keystore: Keystore) -> OKPKey | Sm2PrivateKey:
    return keystore.sm2_key("seal") if keystore.suite is SM4GCM else keystore.signing_key("seal")


def bytes_on_disk(home: Path) -> bytes:
    return b"\0".join(path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file())


def assert_nothing_half_done(vault: Vault) -> None:
    """Every blob under its name is whole, and its manifest stands beside it."""
    for blob_id in vault.orphans(set()):
        try:
            manifest = vault.manifest(blob_id)
            described = vault.scrub(manifest)
        except BlobMissingError:
            continue
        content = vault.read_all(manifest, described.context)
        assert len(content) == described.plaintext_length


def test_sealed_and_opened(vault: Vault, reopen: Reopen, context: Context) -> None:
    """Law 4: what sealing returned opens after a restart, whole and in ranges."""
    plaintext = os.urandom(200_000)
    sealed = vault.seal([plaintext[:7], plaintext[7:]], kek_id="rec-1", context=context)
    assert sealed.plaintext_sha256 == hashlib.sha256(plaintext).hexdigest()
    assert (sealed.plaintext_length, sealed.context) == (len(plaintext), context)
    again = reopen()
    assert again.read_all(sealed.manifest_jws, context) == plaintext
    reader = again.open(sealed.manifest_jws, context)
    assert reader.read(65_530, 131_080) == plaintext[65_530:131_080]
    assert b"".join(reader.chunks()) == plaintext
    assert again.scrub(sealed.manifest_jws) == again.verified(sealed.manifest_jws)
    assert again.manifest(sealed.blob_id) == sealed.manifest_jws


def test_nothing_sealed_is_something(vault: Vault, context: Context) -> None:
    sealed = vault.seal([], kek_id="rec-1", context=context)
    assert sealed.plaintext_length == 0
    assert vault.read_all(sealed.manifest_jws, context) == b""


def test_the_manifest_says_what_the_object_is_and_no_plain_digest(vault: Vault, context: Context) -> None:
    """Law 3: a digest of a short or known content would reveal it."""
    sealed = vault.seal([CANARY], kek_id="rec-1", context=context)
    described = vault.verified(sealed.manifest_jws)
    assert described.as_dict() == sealed.as_dict()
    assert json.loads(json.dumps(sealed.as_dict())) == sealed.as_dict()
    assert sealed.plaintext_sha256 not in json.dumps(sealed.as_dict())
    assert sealed.plaintext_sha256 not in repr(sealed)
    assert sealed.content_digest == vault.content_digest(hashlib.sha256(CANARY).digest())
    again = vault.seal([CANARY], kek_id="rec-1", context=context)
    assert again.content_digest == sealed.content_digest
    assert again.blob_id != sealed.blob_id


def test_no_plaintext_on_disk_at_any_moment(vault: Vault, home: Path, context: Context) -> None:
    """Law 3: in no blob, manifest, temporary file or key file; not while sealing, nor after a failure."""

    def watched() -> Iterator[bytes]:
        for _ in range(40):
            yield CANARY * 100
            assert CANARY not in bytes_on_disk(home)

    def broken() -> Iterator[bytes]:
        yield CANARY * 1000
        raise ConnectionResetError

    sealed = vault.seal(watched(), kek_id="rec-1", context=context)
    with pytest.raises(ConnectionResetError):
        vault.seal(broken(), kek_id="rec-1", context=context)
    vault.read_all(sealed.manifest_jws, context)
    content = bytes_on_disk(home)
    digest = hashlib.sha256(CANARY * 4000)
    for secret in (CANARY[:12], digest.digest(), digest.hexdigest().encode(), base64.b64encode(CANARY)[:16]):
        assert secret not in content
    assert vault.orphans({sealed.blob_id}) == frozenset()


OTHER = {
    "owner": {"owner": "rec-2"},
    "object": {"object": "item-2"},
    "role": {"role": "cleansed"},
}


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER.keys())
def test_an_object_opens_as_nothing_else(vault: Vault, context: Context, change: dict[str, str]) -> None:
    sealed = vault.seal([CANARY], kek_id="rec-1", context=context)
    with pytest.raises(SealBrokenError, match="sealed object"):
        vault.open(sealed.manifest_jws, replace(context, **change))


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER.keys())
def test_even_a_signed_manifest_cannot_rename_an_object(
    vault: Vault, keystore: Keystore, context: Context, change: dict[str, str]
) -> None:
    """The keys are bound to the context: whoever signs cannot pass a raw original off as a cleansed item."""
    sealed = vault.seal([CANARY], kek_id="rec-1", context=context)
    other = replace(context, **change)
    forged = sealed.as_dict() | {"context": other.as_dict()}
    manifest = sign_statement(seal_key(keystore), MANIFEST_TYPE, "k", forged)
    with pytest.raises(SealBrokenError, match="commitment"):
        vault.open(manifest, other)


def resigned(keystore: Keystore, sealed: SealedObject, **changes: Any) -> str:
    return sign_statement(seal_key(keystore), MANIFEST_TYPE, "k", sealed.as_dict() | changes)


MALFORMED = {
    "version": {"version": 2},
    "suite": {"suite": "rot13"},
    "length as text": {"plaintext_length": "3"},
    "length as boolean": {"plaintext_length": True},
    "negative length": {"plaintext_length": -1},
    "empty context": {"context": {"owner": "", "object": "x", "role": "y"}},
    "context of another shape": {"context": ["rec-1"]},
    "unknown field": {"surprise": 1},
    "shorter": {"plaintext_length": 1},
    "other sealed length": {"sealed_length": 10_000},
}


@pytest.mark.parametrize("changes", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_manifests_are_refused_even_when_signed(
    vault: Vault, keystore: Keystore, context: Context, changes: dict[str, Any]
) -> None:
    sealed = vault.seal([CANARY], kek_id="rec-1", context=context)
    assert vault.read_all(resigned(keystore, sealed), context) == CANARY
    with pytest.raises(SealBrokenError):
        vault.open(resigned(keystore, sealed, **changes), context)


def test_manifests_of_another_signer_or_kind_are_refused(
    vault: Vault, keystore: Keystore, context: Context
) -> None:
    sealed = vault.seal([CANARY], kek_id="rec-1", context=context)
    for manifest in (
        sign_statement(generate_person_key(), MANIFEST_TYPE, "k", sealed.as_dict()),
        sign_statement(Sm2PrivateKey.generate(), MANIFEST_TYPE, "k", sealed.as_dict()),
        sign_statement(seal_key(keystore), "fleetgate-release+json", "k", sealed.as_dict()),
        sign_statement(keystore.signing_key("release"), MANIFEST_TYPE, "k", sealed.as_dict()),
        "",
        sealed.manifest_jws[:-1],
    ):
        with pytest.raises(SealBrokenError, match="manifest"):
            vault.open(manifest, context)


def test_every_byte_of_blob_and_manifest_is_guarded(vault: Vault, home: Path, context: Context) -> None:
    """Law 6: each byte of a small sealed file and of its manifest flipped in turn is detected."""
    sealed = vault.seal([CANARY * 3], kek_id="rec-1", context=context)
    path = home / "blobs" / f"{sealed.blob_id}.sealed"
    original = path.read_bytes()
    for position in range(len(original)):
        changed = bytearray(original)
        changed[position] ^= 1 + position % 255
        path.write_bytes(changed)
        with pytest.raises(SealBrokenError):
            vault.read_all(sealed.manifest_jws, context)
        with pytest.raises(SealBrokenError):
            vault.scrub(sealed.manifest_jws)
    path.write_bytes(original)
    for position in range(0, len(sealed.manifest_jws), 3):
        changed = bytearray(sealed.manifest_jws, "ascii")
        changed[position] ^= 1
        with pytest.raises(SealBrokenError):
            vault.open(changed.decode("ascii"), context)
    assert vault.read_all(sealed.manifest_jws, context) == CANARY * 3


def test_truncated_and_exchanged_blobs_are_refused(vault: Vault, home: Path, context: Context) -> None:
    first = vault.seal([b"a" * 500], kek_id="rec-1", context=context)
    second = vault.seal([b"b" * 500], kek_id="rec-1", context=context)
    path = home / "blobs" / f"{first.blob_id}.sealed"
    original = path.read_bytes()
    for length in (0, 50, 87, len(original) - 1):
        path.write_bytes(original[:length])
        with pytest.raises(SealBrokenError, match="length of blob"):
            vault.open(first.manifest_jws, context)
    path.write_bytes((home / "blobs" / f"{second.blob_id}.sealed").read_bytes())
    with pytest.raises(SealBrokenError, match="commitment"):
        vault.open(first.manifest_jws, context)
    path.unlink()
    with pytest.raises(BlobMissingError):
        vault.open(first.manifest_jws, context)


def test_a_sidecar_of_another_blob_is_refused(vault: Vault, home: Path, context: Context) -> None:
    first = vault.seal([b"a"], kek_id="rec-1", context=context)
    second = vault.seal([b"b"], kek_id="rec-1", context=context)
    sidecar = home / "blobs" / f"{first.blob_id}.manifest"
    sidecar.write_text(second.manifest_jws)
    with pytest.raises(SealBrokenError, match="describes another"):
        vault.manifest(first.blob_id)
    sidecar.write_bytes(b"\xff")
    with pytest.raises(SealBrokenError, match="manifest"):
        vault.manifest(first.blob_id)


def test_another_gate_cannot_open(vault: Vault, suite: Suite, home: Path, context: Context) -> None:
    sealed = vault.seal([CANARY], kek_id="rec-1", context=context)
    stranger = Keystore.create(home / "stranger", "passphrase", argon2=INSECURE_TEST_ARGON2, suite=suite)
    stranger.ensure_kek("rec-1")
    other = Vault(LocalBlobs(home / "blobs"), stranger)
    with pytest.raises(SealBrokenError, match="signature"):
        other.open(sealed.manifest_jws, context)
    other.seal([b"a"], kek_id="rec-1", context=context)
    with pytest.raises(SealBrokenError, match="signature"):
        other.open(sealed.manifest_jws, context)


def test_a_destroyed_key_makes_every_copy_unreadable(
    vault: Vault, keystore: Keystore, home: Path, context: Context, reopen: Reopen
) -> None:
    """Law 9: blob and manifest are still there, in copies too, and open no more; other recordings do."""
    keystore.ensure_kek("rec-2")
    erased = vault.seal([CANARY], kek_id="rec-1", context=context)
    kept = vault.seal([CANARY], kek_id="rec-2", context=context)
    keystore.destroy_kek("rec-1")
    for each in (vault, reopen()):
        with pytest.raises(KeyDestroyedError):
            each.open(erased.manifest_jws, context)
        with pytest.raises(KeyDestroyedError):
            each.seal([b"x"], kek_id="rec-1", context=context)
        assert each.read_all(kept.manifest_jws, context) == CANARY
        assert each.scrub(erased.manifest_jws)
    assert CANARY not in bytes_on_disk(home)


def test_sealing_under_a_key_that_is_not_there(vault: Vault, home: Path, context: Context) -> None:
    with pytest.raises(KeyUnavailableError, match="rec-9"):
        vault.seal([CANARY], kek_id="rec-9", context=context)
    assert list((home / "blobs").iterdir()) == []


def test_orphans_and_deletion(vault: Vault, context: Context) -> None:
    kept = vault.seal([b"a"], kek_id="rec-1", context=context)
    lost = vault.seal([b"b"], kek_id="rec-1", context=context)
    assert vault.orphans([kept.blob_id]) == {lost.blob_id}
    vault.delete(lost.blob_id)
    assert vault.orphans([kept.blob_id]) == frozenset()
    vault.delete(lost.blob_id, missing_ok=True)
    with pytest.raises(BlobMissingError):
        vault.delete(lost.blob_id)
    assert vault.read_all(kept.manifest_jws, context) == b"a"


@pytest.mark.parametrize("field", ["owner", "object", "role"])
def test_an_empty_context_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        replace(Context(owner="a", object="b", role="c"), **{field: ""})


def test_threads_seal_and_open_at_once(vault: Vault) -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        context = Context(owner="rec-1", object=f"item-{number}", role="original")
        content = bytes([number]) * 70_000
        sealed = vault.seal([content], kek_id="rec-1", context=context)
        if vault.read_all(sealed.manifest_jws, context) != content:
            wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_sealing_killed_at_every_step(
    vault: Vault, home: Path, context: Context, reopen: Reopen, killed_at: Any
) -> None:
    """Law 4: a blob is whole or absent after kill -9 at any call, and whole once it was acknowledged."""
    earlier = vault.seal([CANARY], kek_id="rec-1", context=context)
    content = os.urandom(150_000)
    for step in range(1, 60):

        def work() -> bytes:
            return vault.seal([content], kek_id="rec-1", context=context).manifest_jws.encode()

        killed, acknowledged = killed_at(step, work)
        again = reopen()
        assert_nothing_half_done(again)
        if acknowledged:
            assert again.read_all(acknowledged.decode(), context) == content
        if not killed:
            assert acknowledged
            break
    else:
        pytest.fail("the work never ran to its end")
    assert step > 10
    assert again.read_all(earlier.manifest_jws, context) == CANARY
    assert content[:64] not in bytes_on_disk(home)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_sealing_on_a_disk_that_fails_at_every_step(
    vault: Vault, context: Context, inject: Any, number: int
) -> None:
    """Law 4: each failed call is named; no half of a blob is left, and what was there opens."""
    earlier = vault.seal([CANARY], kek_id="rec-1", context=context)
    content = os.urandom(150_000)
    for step in range(1, 60):
        sealed = None
        with inject(step, number) as counter:
            try:
                sealed = vault.seal([content], kek_id="rec-1", context=context)
            except StorageError as error:
                failed = error
        if counter.fired is None:
            break
        assert sealed is None
        assert failed.errno == number
        assert_nothing_half_done(vault)
    else:
        pytest.fail("the work never ran to its end")
    assert step > 10
    assert sealed is not None
    assert vault.read_all(earlier.manifest_jws, context) == CANARY
    assert vault.read_all(sealed.manifest_jws, context) == content


def test_names_are_given_after_the_content_is_durable_and_before_it_is_acknowledged(
    vault: Vault, context: Context, inject: Any
) -> None:
    """Law 4 against power loss: content is synced before its name, the name before the return."""
    vault.seal([b"first"], kek_id="rec-1", context=context)
    with inject(10**6, errno.EIO) as counter:
        vault.seal([b"second"], kek_id="rec-1", context=context)
    calls = [name for name in counter.seen if name in {"write", "fsync", "link"}]
    blob, manifest = ["write", "write", "fsync"], ["write", "fsync", "link"]
    assert calls == [*blob, *manifest, "link", "fsync"]


def test_a_failing_read_is_a_named_error(vault: Vault, context: Context, inject: Any) -> None:
    sealed = vault.seal([CANARY], kek_id="rec-1", context=context)
    with inject(1, errno.EIO), pytest.raises(StorageError, match="read blob"):
        vault.read_all(sealed.manifest_jws, context)
    assert vault.read_all(sealed.manifest_jws, context) == CANARY


WRITER = """
import random, sys
from pathlib import Path
from gateway.vault.blobs import LocalBlobs
from gateway.vault.keys import Keystore
from gateway.vault.store import Context, Vault
from gateway.vault.suites import suite_by_name

home = Path(sys.argv[1])
suite = suite_by_name(sys.argv[4])
keystore = Keystore.open(home / "keystore", sys.argv[2], allow_insecure_test_cost=True, suite=suite)
vault = Vault(LocalBlobs(home / "blobs"), keystore)
context = Context(owner="rec-1", object="item-1", role="original")
choice = random.Random(int(sys.argv[3]))
while True:
    content = choice.randbytes(choice.randrange(200_000))
    sealed = vault.seal([content], kek_id="rec-1", context=context)
    print(sealed.manifest_jws, sealed.plaintext_sha256, flush=True)
"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_writer_killed_at_a_random_moment(
    vault: Vault, suite: Suite, home: Path, context: Context, reopen: Reopen, seed: int
) -> None:
    """Law 4: whatever a writer acknowledged before kill -9 is there, and nothing else is half there."""
    assert vault
    command = [sys.executable, "-c", WRITER, str(home), "correct horse 电池", str(seed), suite.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:  # noqa: S603 (our own script)
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline()]
        time.sleep(secrets.randbelow(200) / 1000)
        writer.send_signal(signal.SIGKILL)
        acknowledged += [line for line in writer.stdout if line.endswith("\n")]
    again = reopen()
    for line in acknowledged:
        manifest, digest = line.split()
        assert hashlib.sha256(again.read_all(manifest, context)).hexdigest() == digest
    assert_nothing_half_done(again)


def test_every_refusal_of_the_vault_has_one_base() -> None:
    for error in (SealBrokenError, KeyDestroyedError, KeyUnavailableError, BlobMissingError, StorageError):
        assert issubclass(error, VaultError)

"""Suites side by side: published vectors of SM3 and SM4, mixed stores, and no exchange of one for the other."""

import base64
import json
import os
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import gmalg
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from pydantic import ValidationError

from gateway.app import initialise, open_gate
from gateway.errors import ConfigurationError
from gateway.settings import Settings
from gateway.vault.blobs import LocalBlobs
from gateway.vault.errors import SealBrokenError
from gateway.vault.jws import read_unverified_algorithm, sign_statement
from gateway.vault.keys import Keystore
from gateway.vault.root import INSECURE_TEST_ARGON2
from gateway.vault.sealed import SealedReader, sealed_pieces
from gateway.vault.store import MANIFEST_TYPE, Context, SealedObject, Vault
from gateway.vault.suites import AES256GCM, SM4GCM, SUITES, Sm3, Sm4Gcm, Suite
from gateway.vault.values import open_value, seal_value
from gateway.vault.wrap import unwrap, wrap

PASSPHRASE = "correct horse 电池"
CONTENT = os.urandom(150_000)
CONTEXT = Context(owner="rec-1", object="item-1", role="original")

# RFC 8998, appendix A.1.
KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
NONCE = bytes.fromhex("00001234567800000000ABCD")
ASSOCIATED = bytes.fromhex("FEEDFACEDEADBEEFFEEDFACEDEADBEEFABADDAD2")
PLAINTEXT = bytes.fromhex(
    "AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBBCCCCCCCCCCCCCCCCDDDDDDDDDDDDDDDD"
    "EEEEEEEEEEEEEEEEFFFFFFFFFFFFFFFFEEEEEEEEEEEEEEEEAAAAAAAAAAAAAAAA"
)
SEALED = bytes.fromhex(
    "17F399F08C67D5EE19D0DC9969C4BB7D5FD46FD3756489069157B282BB200735"
    "D82710CA5C22F0CCFA7CBF93D496AC15A56834CBCF98C397B4024A2691233B8D"
    "83DE3541E4C2B58177E065A9BF7B62EC"
)


def test_sm4_gcm_of_rfc_8998() -> None:
    cipher = Sm4Gcm(KEY)
    assert cipher.encrypt(NONCE, PLAINTEXT, ASSOCIATED) == SEALED
    assert cipher.encrypt(NONCE, memoryview(PLAINTEXT), ASSOCIATED) == SEALED
    assert cipher.decrypt(NONCE, SEALED, ASSOCIATED) == PLAINTEXT


def test_sm4_gcm_hands_out_nothing_that_does_not_authenticate() -> None:
    cipher = Sm4Gcm(KEY)
    for position in range(8 * len(SEALED)):
        changed = bytearray(SEALED)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(InvalidTag):
            cipher.decrypt(NONCE, bytes(changed), ASSOCIATED)
    for length in range(len(SEALED)):
        with pytest.raises(InvalidTag):
            cipher.decrypt(NONCE, SEALED[:length], ASSOCIATED)
    for nonce, associated in ((bytes(12), ASSOCIATED), (NONCE, b""), (NONCE, ASSOCIATED + b"\0")):
        with pytest.raises(InvalidTag):
            cipher.decrypt(nonce, SEALED, associated)
    with pytest.raises(InvalidTag):
        Sm4Gcm(bytes(16)).decrypt(NONCE, SEALED, ASSOCIATED)


@pytest.mark.parametrize("nonce", [b"", bytes(11), bytes(13), bytes(16)])
def test_sm4_gcm_takes_nonces_of_one_length(nonce: bytes) -> None:
    """Others would be hashed, and two of them could meet."""
    with pytest.raises(ValueError, match="expected 12 bytes"):
        Sm4Gcm(KEY).encrypt(nonce, b"", b"")
    with pytest.raises(ValueError, match="expected 12 bytes"):
        Sm4Gcm(KEY).decrypt(nonce, SEALED, b"")


def test_the_block_cipher_under_it_is_sm4() -> None:
    """GB/T 32907-2016, A.1 and A.2: once, and a million times over."""
    encryptor = Cipher(algorithms.SM4(KEY), modes.ECB()).encryptor()  # noqa: S305 (the standard's example is one block)
    assert encryptor.update(KEY) == bytes.fromhex("681EDF34D206965E86B3E94F536E4246")
    block = KEY
    for _ in range(1_000_000):
        block = encryptor.update(block)
    assert block == bytes.fromhex("595298C7C6FD271F0402F804C33D3F66")


# GB/T 32905-2016, annex A.
SM3_EXAMPLES = {
    b"abc": "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
    b"abcd" * 16: "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
}


@pytest.mark.parametrize("message", SM3_EXAMPLES, ids=len)
def test_sm3_of_the_standard(message: bytes) -> None:
    state = Sm3()
    state.update(message[:1])
    state.update(memoryview(message)[1:])
    assert state.digest().hex() == SM3_EXAMPLES[message]


def test_sm3_agrees_with_a_second_implementation() -> None:
    for length in (0, 1, 55, 56, 63, 64, 65, 1000):
        message, state, other = os.urandom(length), Sm3(), gmalg.SM3()
        state.update(message)
        other.update(message)
        assert state.digest() == other.value()


def keystore(home: Path, suite: Suite) -> Keystore:
    if not Keystore.exists(home / "keystore"):
        Keystore.create(home / "keystore", PASSPHRASE, argon2=INSECURE_TEST_ARGON2, suite=suite)
    opened = Keystore.open(home / "keystore", PASSPHRASE, allow_insecure_test_cost=True, suite=suite)
    opened.ensure_kek("rec-1")
    return opened


def vault(home: Path, suite: Suite) -> Vault:
    return Vault(LocalBlobs(home / "blobs"), keystore(home, suite))


def suites_on_disk(home: Path) -> list[int]:
    """The number in the header of every blob."""
    blobs = (home / "blobs").glob("*.sealed")
    return sorted(int.from_bytes(blob.read_bytes()[10:12], "big") for blob in blobs)


@pytest.mark.parametrize(("first", "second"), list(permutations(SUITES)), ids=lambda suite: suite.name)
def test_objects_of_both_suites_open_whatever_the_setting(home: Path, first: Suite, second: Suite) -> None:
    """Law 4: who changes the setting, and back again, loses nothing."""
    sealed = []
    for turn, suite in enumerate((first, second, first)):
        opened = vault(home, suite)
        sealed.append(opened.seal([CONTENT, bytes([turn])], kek_id="rec-1", context=CONTEXT))
        assert opened.verified(sealed[-1].manifest_jws).suite == suite.name
        assert read_unverified_algorithm(sealed[-1].manifest_jws) == suite.signature
    assert suites_on_disk(home) == sorted([first.identifier, second.identifier, first.identifier])
    for suite in (first, second):
        opened = vault(home, suite)
        for turn, each in enumerate(sealed):
            assert opened.read_all(each.manifest_jws, CONTEXT) == CONTENT + bytes([turn])
            assert opened.scrub(each.manifest_jws).blob_id == each.blob_id
            assert opened.manifest(each.blob_id) == each.manifest_jws
    assert sealed[0].content_digest != sealed[1].content_digest
    again = vault(home, second).seal([CONTENT, b"\0"], kek_id="rec-1", context=CONTEXT)
    assert again.content_digest == sealed[0].content_digest


@pytest.mark.parametrize(("first", "second"), list(permutations(SUITES)), ids=lambda suite: suite.name)
def test_values_of_both_suites_open_whatever_the_setting(home: Path, first: Suite, second: Suite) -> None:
    written = {
        suite: seal_value(keystore(home, suite), kek_id="rec-1", context=b"c", plaintext=b"value")
        for suite in (first, second)
    }
    for suite, value in written.items():
        length = int.from_bytes(value[:2], "big")
        assert value[2] == suite.identifier
        assert value[2 + length : 2 + length + 12] == b"FGSEALED\0\1" + suite.identifier.to_bytes(2, "big")
        for reading in SUITES:
            opened = open_value(keystore(home, reading), kek_id="rec-1", context=b"c", sealed=value)
            assert opened == b"value"


def test_keys_are_wrapped_in_the_suite_of_the_day(home: Path) -> None:
    def stored(path: str, member: str = "wrapped") -> int:
        document = json.loads((home / "keystore" / path).read_bytes())
        return base64.b64decode(document[member])[0]

    keystore(home, SM4GCM).secret("old")
    assert stored("keystore.json", "wrapped_root") == stored("kek/rec-1.kek") == SM4GCM.identifier
    later = keystore(home, AES256GCM)
    later.new_kek("rec-2")
    later.secret("new")
    assert stored("kek/rec-1.kek") == stored("secret/secret.old.key") == SM4GCM.identifier
    assert stored("kek/rec-2.kek") == stored("secret/secret.new.key") == AES256GCM.identifier
    assert later.wrap_dek("rec-1", bytes(32), b"")[0] == AES256GCM.identifier


def test_the_digest_of_a_sealed_file_bears_the_name_of_its_hash(home: Path) -> None:
    for suite, member in ((AES256GCM, "sealed_sha256"), (SM4GCM, "sealed_sm3")):
        sealed = vault(home, suite).seal([CONTENT], kek_id="rec-1", context=CONTEXT)
        state = suite.digest()
        state.update((home / "blobs" / f"{sealed.blob_id}.sealed").read_bytes())
        assert sealed.as_dict()[member] == state.digest().hex()
        assert not {"sealed_digest", "sealed_sha256", "sealed_sm3"} - {member} & sealed.as_dict().keys()


def resigned(store: Keystore, sealed: SealedObject, *, by: Suite, **changes: object) -> str:
    key = store.sm2_key("seal") if by is SM4GCM else store.signing_key("seal")
    return sign_statement(key, MANIFEST_TYPE, "k", sealed.as_dict() | changes)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_manifest_is_signed_in_its_own_suite_or_refused(home: Path, suite: Suite) -> None:
    """Each of the gate's two keys speaks for one suite only."""
    (other,) = set(SUITES) - {suite}
    opened, store = vault(home, suite), keystore(home, suite)
    sealed = opened.seal([CONTENT], kek_id="rec-1", context=CONTEXT)
    assert opened.read_all(resigned(store, sealed, by=suite), CONTEXT) == CONTENT
    with pytest.raises(SealBrokenError, match="signature of a manifest of suite"):
        opened.open(resigned(store, sealed, by=other), CONTEXT)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_file_is_not_read_in_another_suite_than_its_manifest_names(home: Path, suite: Suite) -> None:
    (other,) = set(SUITES) - {suite}
    opened, store = vault(home, suite), keystore(home, suite)
    sealed = opened.seal([CONTENT], kek_id="rec-1", context=CONTEXT)
    named = replace(sealed, suite=other.name)
    with pytest.raises(SealBrokenError, match="suite of the sealed file"):
        opened.open(resigned(store, named, by=other), CONTEXT)
    for wrong in ("sealed_sha256", "sealed_sm3"):
        document = named.as_dict()
        document[wrong] = document.pop(f"sealed_{other.digest_name}")
        if wrong != f"sealed_{other.digest_name}":
            key = store.sm2_key("seal") if other is SM4GCM else store.signing_key("seal")
            with pytest.raises(SealBrokenError, match="malformed"):
                opened.open(sign_statement(key, MANIFEST_TYPE, "k", document), CONTEXT)


def test_a_gate_without_an_sm2_key_makes_none_for_a_foreign_manifest(home: Path) -> None:
    sealed = vault(home / "a", SM4GCM).seal([CONTENT], kek_id="rec-1", context=CONTEXT)
    other = keystore(home / "b", AES256GCM)
    with pytest.raises(SealBrokenError, match="no SM2 key"):
        Vault(LocalBlobs(home / "a" / "blobs"), other).open(sealed.manifest_jws, CONTEXT)
    assert not other.has_sm2_key("seal")


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_no_other_suite_number_opens_a_file_or_a_key(suite: Suite) -> None:
    dek = os.urandom(32)
    sealed = bytearray(b"".join(sealed_pieces([CONTENT[:500]], dek=dek, context=b"c", suite=suite)))
    wrapped = bytearray(wrap(dek, b"secret", b"part", suite=suite))
    for number in range(256):
        sealed[11] = wrapped[0] = number
        if number == suite.identifier:
            assert unwrap(dek, bytes(wrapped), b"part") == b"secret"
            continue
        with pytest.raises(SealBrokenError, match=r"unknown suite|commitment"):
            SealedReader(
                lambda offset, length: bytes(sealed[offset : offset + length]),
                sealed_length=len(sealed),
                dek=dek,
                context=b"c",
                expected_plaintext_length=500,
            )
        with pytest.raises(SealBrokenError, match=r"unknown suite|commitment"):
            unwrap(dek, bytes(wrapped), b"part")


def test_the_setting_names_a_suite() -> None:
    names = [suite.name for suite in SUITES]
    assert [Settings(suite=name).suite for name in names] == names  # type: ignore[arg-type]
    assert Settings().suite == AES256GCM.name
    with pytest.raises(ValidationError, match="suite"):
        Settings(suite="rot13")  # type: ignore[arg-type]


def test_a_keystore_in_another_suite_than_the_setting_stops_the_start(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, passphrase=PASSPHRASE, suite=SM4GCM.name)  # type: ignore[arg-type]
    store = Keystore.create(tmp_path / "keystore", PASSPHRASE, argon2=INSECURE_TEST_ARGON2)
    for start in (
        lambda: initialise(settings, keystore=store),
        lambda: open_gate(settings, keystore=store).__enter__(),
    ):
        with pytest.raises(ConfigurationError, match="suite of the keystore"):
            start()

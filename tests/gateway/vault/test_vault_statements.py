"""Signed statements (law 6: evidence, not flags; law 8 rests on who signed)."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OctKey, OKPKey

from gateway.vault.errors import KeyExistsError, KeyUnavailableError, PassphraseError, StatementError
from gateway.vault.jws import (
    generate_person_key,
    public_jwk,
    public_text,
    read_unverified_kid,
    sign_statement,
    thumbprint,
    verify_statement,
)
from gateway.vault.key_files import load_person_key, load_private_key, save_private_key
from gateway.vault.sm2 import Sm2PrivateKey

TYP = "fleetgate-test+json"
KEY = OKPKey.derive_key("a fixed key of these tests")
PAYLOAD = {"amount": 3, "what": "照片", "when": None}


def raw(header: dict[str, Any], payload: bytes, key: Any = KEY) -> str:
    """A signed statement in any spelling, valid but for what the test changes."""
    if header["alg"] == "none":
        segments = (json.dumps(header).encode(), payload, b"")
        return ".".join(base64.urlsafe_b64encode(segment).rstrip(b"=").decode() for segment in segments)
    registry = jws.JWSRegistry(algorithms=["Ed25519", "HS256", "Ed448"], strict_check_header=False)
    return jws.serialize_compact(header, payload, key, registry=registry)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=5,
    )
)
def test_what_was_signed_is_what_verifies(payload: dict[str, Any]) -> None:
    statement = sign_statement(KEY, TYP, "k1", payload)
    assert verify_statement(statement, TYP, KEY) == payload
    assert read_unverified_kid(statement) == "k1"


def test_every_form_of_the_public_key_verifies() -> None:
    statement = sign_statement(KEY, TYP, "k1", PAYLOAD)
    jwk = public_jwk(KEY)
    assert set(jwk) == {"crv", "kty", "x"}
    for form in (KEY, OKPKey.import_key(dict(jwk)), jwk, json.dumps(jwk), public_text(KEY)):
        assert verify_statement(statement, TYP, form) == PAYLOAD
        assert thumbprint(form) == thumbprint(KEY)


def test_thumbprint_of_rfc_8037_appendix_a3() -> None:
    assert (
        thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
        == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    )


def test_every_changed_character_is_noticed() -> None:
    """Law 6: one statement has one spelling; any other is refused."""
    statement = sign_statement(KEY, TYP, "k1", PAYLOAD)
    for position, character in enumerate(statement):
        for other in {"A", "B", "_", ".", "=", "\n", "é"} - {character}:
            with pytest.raises(StatementError):
                verify_statement(statement[:position] + other + statement[position + 1 :], TYP, KEY)
        with pytest.raises(StatementError):
            verify_statement(statement[:position], TYP, KEY)
    for added in ("A", "=", " ", "\n", ".AA"):
        with pytest.raises(StatementError):
            verify_statement(statement + added, TYP, KEY)


GOOD = {"alg": "Ed25519", "kid": "k1", "typ": TYP}
CANONICAL = b'{"a":1}'
REFUSED = {
    "unsigned": (GOOD | {"alg": "none"}, CANONICAL, None, "algorithm"),
    "public key as HMAC secret": (
        GOOD | {"alg": "HS256"},
        CANONICAL,
        OctKey.import_key(public_text(KEY)),
        "algorithm",
    ),
    "other curve": (GOOD | {"alg": "Ed448"}, CANONICAL, OKPKey.generate_key("Ed448"), "algorithm"),
    "other kind": (GOOD | {"typ": "fleetgate-other+json"}, CANONICAL, KEY, "expected 'fleetgate-test"),
    "no kind": ({"alg": "Ed25519", "kid": "k1"}, CANONICAL, KEY, "header"),
    "no kid": ({"alg": "Ed25519", "typ": TYP}, CANONICAL, KEY, "header"),
    "key in the header": (GOOD | {"jwk": public_jwk(KEY)}, CANONICAL, KEY, "header"),
    "extra member": (GOOD | {"extra": "x"}, CANONICAL, KEY, "header"),
    "spaces": (GOOD, b'{"a": 1}', KEY, "RFC 8785"),
    "unordered": (GOOD, b'{"b":1,"a":1}', KEY, "RFC 8785"),
    "twice": (GOOD, b'{"a":1,"a":1}', KEY, "RFC 8785"),
    "array": (GOOD, b"[1]", KEY, "RFC 8785"),
    "not a number": (GOOD, b'{"a":NaN}', KEY, "not JSON"),
    "huge integer": (GOOD, b'{"a":9007199254740993}', KEY, "not JSON"),
    "not UTF-8": (GOOD, b'{"a":"\xff"}', KEY, "not JSON"),
    "deep": (GOOD, b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", KEY, "not JSON"),
    "empty": (GOOD, b"", KEY, "not JSON"),
}


@pytest.mark.parametrize(("header", "payload", "key", "match"), REFUSED.values(), ids=REFUSED.keys())
def test_signed_but_refused(header: dict[str, Any], payload: bytes, key: Any, match: str) -> None:
    statement = raw(header, payload, key)
    with pytest.raises(StatementError, match=match) as caught:
        verify_statement(statement, TYP, KEY)
    assert caught.value.reason


def test_unencoded_payload_option_is_refused() -> None:
    """RFC 7797 would let a payload be exchanged for its encoding."""
    header = (
        base64.urlsafe_b64encode(json.dumps(GOOD | {"b64": False, "crit": ["b64"]}).encode())
        .rstrip(b"=")
        .decode()
    )
    with pytest.raises(StatementError):
        verify_statement(f"{header}.AAAA.{'A' * 86}", TYP, KEY)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'"alg"',
        b"1",
        b"null",
        b"{",
        b'["alg"]',
        b'{"alg":1,"kid":2,"typ":3}',
        b'{"alg":"Ed25519","kid":[],"typ":"t"}',
    ],
)
def test_headers_of_other_shapes(header: bytes) -> None:
    statement = base64.urlsafe_b64encode(header).rstrip(b"=").decode() + ".e30." + "A" * 86
    with pytest.raises(StatementError):
        verify_statement(statement, TYP, KEY)
    with pytest.raises(StatementError):
        read_unverified_kid(statement)


def test_another_key_does_not_verify() -> None:
    statement = sign_statement(KEY, TYP, "k1", PAYLOAD)
    with pytest.raises(StatementError, match="signature"):
        verify_statement(statement, TYP, generate_person_key())


BAD_KEYS = {
    "X25519": OKPKey.generate_key("X25519"),
    "RSA JWK": {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
    "short": "AAAA",
    "no base64": "!" * 43,
    "empty": "",
    "empty JWK": {},
    "text that is no JWK": "{",
}


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_keys_that_are_none(key: Any) -> None:
    with pytest.raises(StatementError, match="public key"):
        verify_statement(sign_statement(KEY, TYP, "k1", PAYLOAD), TYP, key)


def test_what_cannot_be_signed() -> None:
    with pytest.raises(StatementError, match="expected Ed25519 private key"):
        sign_statement(OKPKey.import_key(dict(public_jwk(KEY))), TYP, "k1", PAYLOAD)
    with pytest.raises(StatementError, match="X25519"):
        sign_statement(OKPKey.generate_key("X25519"), TYP, "k1", PAYLOAD)
    for payload in ({"a": 2**53}, {"a": float("nan")}, {"a": "\ud800"}):
        with pytest.raises(StatementError, match="cannot be signed"):
            sign_statement(KEY, TYP, "k1", payload)
    with pytest.raises(StatementError):
        sign_statement(KEY, TYP, "k" * 600, PAYLOAD)


def test_large_statements_verify_and_larger_ones_do_not() -> None:
    large = {"names": ["x" * 100] * 20_000}
    assert verify_statement(sign_statement(KEY, TYP, "k1", large), TYP, KEY) == large
    with pytest.raises(StatementError):
        sign_statement(KEY, TYP, "k1", {"a": "x" * 16 * 1024 * 1024})


def test_person_keys_are_kept_encrypted(tmp_path: Path) -> None:
    key, path = generate_person_key(), tmp_path / "operator.pem"
    save_private_key(key, path, "Pässwort")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    for spelled in ("Pässwort", "Pa\u0308sswort", "Pässwort".encode()):
        assert load_private_key(path, spelled).as_dict() == key.as_dict()
    with pytest.raises(PassphraseError, match="the passphrase does not open"):
        load_private_key(path, "wrong")
    with pytest.raises(PassphraseError):
        load_private_key(path, "")
    with pytest.raises(KeyExistsError):
        save_private_key(key, path, "other")
    with pytest.raises(PassphraseError, match="empty"):
        save_private_key(key, tmp_path / "other.pem", "")
    assert [p.name for p in tmp_path.iterdir()] == ["operator.pem"]


def test_sm2_keys_of_people_are_kept_encrypted(tmp_path: Path) -> None:
    key, path = Sm2PrivateKey.generate(), tmp_path / "operator.pem"
    save_private_key(key, path, "Pässwort")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    for spelled in ("Pässwort", "Pa\u0308sswort", "Pässwort".encode()):
        found = load_person_key(path, spelled)
        assert isinstance(found, Sm2PrivateKey)
        assert found.scalar == key.scalar
    for wrong in ("wrong", ""):
        with pytest.raises(PassphraseError, match="the passphrase does not open"):
            load_person_key(path, wrong)
    with pytest.raises(KeyUnavailableError, match="got SM2, expected Ed25519"):
        load_private_key(path, "Pässwort")


def test_person_keys_that_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "operator.pem"
    with pytest.raises(KeyUnavailableError, match="no private key"):
        load_private_key(path, "p")
    save_private_key(OKPKey.generate_key("X25519"), path, "p")
    with pytest.raises(KeyUnavailableError, match="X25519"):
        load_private_key(path, "p")
    path.chmod(0o644)
    with pytest.raises(KeyUnavailableError, match="exposed"):
        load_private_key(path, "p")
    path.write_bytes(KEY.as_pem(private=True))
    path.chmod(0o600)
    with pytest.raises(KeyUnavailableError, match="no encrypted"):
        load_private_key(path, "p")

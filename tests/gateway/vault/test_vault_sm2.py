"""SM2 with SM3: published vectors, a second implementation, and everything that must be refused."""

import base64
import hashlib
import json
import os
import threading
from typing import Any

import gmalg
import pytest
from tongsuopy.crypto.exceptions import InternalError

from gateway.vault.errors import StatementError
from gateway.vault.jws import (
    ed25519_key_of,
    generate_person_key,
    public_jwk,
    public_key_of,
    public_text,
    read_unverified_algorithm,
    sign_statement,
    thumbprint,
    verify_statement,
)
from gateway.vault.sm2 import _ORDER, Sm2PrivateKey, Sm2PublicKey

TYP = "fleetgate-test+json"
PAYLOAD = {"amount": 3, "what": "照片", "when": None}
ID = b"1234567812345678"

# GB/T 32918.5-2017, Annex A: the digital signature over the recommended curve.
SCALAR = bytes.fromhex("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8")
POINT = bytes.fromhex(
    "0409F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
    "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
)
MESSAGE = b"message digest"
SIGNATURE = bytes.fromhex(
    "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
    "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
)
KEY = Sm2PrivateKey(SCALAR)


def test_the_standards_example() -> None:
    assert KEY.public_key == Sm2PublicKey(POINT)
    KEY.public_key.verify(SIGNATURE, MESSAGE)
    with pytest.raises(StatementError, match="does not verify"):
        KEY.public_key.verify(SIGNATURE, MESSAGE + b".")


def test_two_implementations_agree() -> None:
    """gmalg verifies what the vault signs, and the vault what gmalg signs; so the signer's id is the default."""
    for _ in range(3):
        key, message = Sm2PrivateKey.generate(), os.urandom(70)
        other = gmalg.SM2(key.scalar, uid=ID, pk=key.public_key.point)
        assert gmalg.SM2().generate_pk(key.scalar) == key.public_key.point
        signature = key.sign(message)
        assert other.verify(message, signature[:32], signature[32:])
        key.public_key.verify(b"".join(other.sign(message)), message)
        stranger = gmalg.SM2(key.scalar, uid=b"somebody else", pk=key.public_key.point)
        with pytest.raises(StatementError, match="does not verify"):
            key.public_key.verify(b"".join(stranger.sign(message)), message)


def test_signatures_have_64_bytes_however_short_their_numbers_are() -> None:
    """One in 128 has a number that begins with a zero byte, which DER leaves out."""
    begins = set()
    for number in range(700):
        message = number.to_bytes(2, "big")
        signature = KEY.sign(message)
        assert len(signature) == 64
        begins |= {0 in (signature[0], signature[32])}
        if signature[0] == 0 or signature[32] == 0:
            KEY.public_key.verify(signature, message)
    assert begins == {True, False}


def test_every_changed_bit_of_a_signature_is_noticed() -> None:
    for position in range(8 * len(SIGNATURE)):
        changed = bytearray(SIGNATURE)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(StatementError):
            KEY.public_key.verify(bytes(changed), MESSAGE)


R, S = SIGNATURE[:32], SIGNATURE[32:]
ZERO, N = bytes(32), _ORDER.to_bytes(32, "big")
WRONG = {
    "empty": b"",
    "short": SIGNATURE[:-1],
    "long": SIGNATURE + b"\0",
    "s with a leading zero": R + b"\0" + S,
    "DER": bytes.fromhex("3045022100") + R + bytes.fromhex("0220") + S,
    "r zero": ZERO + S,
    "s zero": R + ZERO,
    "both zero": ZERO + ZERO,
    "r of the order": N + S,
    "s of the order": R + N,
    "r + s of the order": R + (_ORDER - int.from_bytes(R, "big")).to_bytes(32, "big"),
    "greatest": b"\xff" * 64,
    "exchanged": S + R,
    "negated s": R + (_ORDER - int.from_bytes(S, "big")).to_bytes(32, "big"),
}


@pytest.mark.parametrize("signature", WRONG.values(), ids=WRONG.keys())
def test_wrong_signatures_are_refused_by_name(signature: bytes) -> None:
    with pytest.raises(StatementError, match="SM2 signature"):
        KEY.public_key.verify(signature, MESSAGE)


def test_an_internal_error_of_the_library_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """tongsuopy reports malformed DER so; none reaches it from here, but a later release may do it for more."""

    class Failing:
        def verify(self, *_: object) -> None:
            raise InternalError("unknown", [])

        sign = verify

    public, private = Sm2PublicKey(POINT), Sm2PrivateKey(SCALAR)
    monkeypatch.setattr(public, "_key", Failing())
    monkeypatch.setattr(private, "_key", Failing())
    with pytest.raises(StatementError, match="does not verify"):
        public.verify(SIGNATURE, MESSAGE)
    with pytest.raises(StatementError, match="failed in the library"):
        private.sign(MESSAGE)


@pytest.mark.parametrize("value", [0, _ORDER - 1, _ORDER, _ORDER + 5, 2**256 - 1])
def test_private_keys_outside_the_group_are_refused(value: int) -> None:
    """The order - 1 has no inverse of 1 + d, and tongsuopy takes any of them but the order."""
    with pytest.raises(StatementError, match="private key"):
        Sm2PrivateKey(value.to_bytes(32, "big"))
    with pytest.raises(StatementError, match="31 bytes"):
        Sm2PrivateKey(SCALAR[:31])


def test_the_ends_of_the_range_sign() -> None:
    for value in (1, _ORDER - 2):
        key = Sm2PrivateKey(value.to_bytes(32, "big"))
        key.public_key.verify(key.sign(MESSAGE), MESSAGE)


POINTS = {
    "empty": b"",
    "infinity": b"\0",
    "compressed": b"\x03" + POINT[1:33],
    "short": POINT[:-1],
    "long": POINT + b"\0",
    "off the curve": POINT[:-1] + b"\x12",
    "zero": b"\x04" + bytes(64),
    "beyond the field": b"\x04" + b"\xff" * 64,
    "hybrid": b"\x07" + POINT[1:],
}


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS.keys())
def test_what_is_no_point_of_the_curve_is_no_public_key(point: bytes) -> None:
    with pytest.raises(StatementError, match="SM2 public key"):
        Sm2PublicKey(point)


def test_a_public_key_as_jwk() -> None:
    jwk = KEY.public_key.jwk()
    assert Sm2PublicKey.from_jwk(jwk) == KEY.public_key
    for changes in (
        {"kty": "OKP"},
        {"crv": "P-256"},
        {"x": 3},
        {"x": jwk["x"] + "="},
        {"x": "é"},
        {"x": jwk["x"][:-1]},
        {"y": ""},
        {"x": base64.urlsafe_b64encode(POINT[1:34]).decode().rstrip("="), "y": jwk["y"][:42]},
    ):
        with pytest.raises(StatementError, match="public key"):
            Sm2PublicKey.from_jwk({**jwk, **changes})


def test_no_key_shows_its_secret() -> None:
    assert repr(KEY) == f"<Sm2PrivateKey {KEY.public_key.thumbprint()}>"
    assert str(int.from_bytes(SCALAR, "big")) not in f"{KEY!r} {KEY.public_key!r}"


def test_a_forked_process_draws_other_numbers() -> None:
    """Two signatures with the same random number give the private key away."""
    KEY.sign(MESSAGE)
    pipes = []
    for _ in range(3):
        receive, send = os.pipe()
        if os.fork() == 0:
            try:
                os.write(send, b"".join(KEY.sign(MESSAGE) for _ in range(4)))
            finally:
                os._exit(0)
        os.close(send)
        pipes.append(receive)
    made = [KEY.sign(MESSAGE) for _ in range(4)]
    for receive in pipes:
        with os.fdopen(receive, "rb") as pipe:
            signed = pipe.read()
        os.wait()
        assert len(signed) == 4 * 64
        made += [signed[i : i + 64] for i in range(0, len(signed), 64)]
    assert len({signature[:32] for signature in made}) == len(made) == 16
    for signature in made:
        KEY.public_key.verify(signature, MESSAGE)


def test_threads_sign_with_one_key() -> None:
    wrong: list[object] = []

    def work(number: int) -> None:
        for turn in range(20):
            message = f"{number} {turn}".encode()
            try:
                KEY.public_key.verify(KEY.sign(message), message)
            except StatementError as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def spelled(header: dict[str, Any], payload: bytes) -> str:
    """A statement that is signed as it should be, in any spelling."""
    segments = (json.dumps(header, separators=(",", ":")).encode(), payload)
    signed = b".".join(base64.urlsafe_b64encode(segment).rstrip(b"=") for segment in segments)
    return (signed + b"." + base64.urlsafe_b64encode(KEY.sign(signed)).rstrip(b"=")).decode()


HEADER = {"alg": "SM2SM3", "kid": "k1", "typ": TYP}


def test_a_statement_is_a_compact_jws() -> None:
    statement = sign_statement(KEY, TYP, "k1", PAYLOAD)
    assert verify_statement(statement, TYP, KEY.public_key) == PAYLOAD
    assert read_unverified_algorithm(statement) == "SM2SM3"
    header, payload, signature = statement.split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == HEADER
    assert len(base64.urlsafe_b64decode(signature + "==")) == 64
    assert verify_statement(spelled(HEADER, b'{"a":1}'), TYP, KEY.public_key) == {"a": 1}
    coordinates = gmalg.SM2(uid=ID, pk=POINT)
    raw = base64.urlsafe_b64decode(signature + "==")
    assert coordinates.verify(f"{header}.{payload}".encode(), raw[:32], raw[32:])


REFUSED = {
    "Ed25519 named": spelled({**HEADER, "alg": "Ed25519"}, b"{}"),
    "none named": spelled({**HEADER, "alg": "none"}, b"{}"),
    "other spelling of the algorithm": spelled({**HEADER, "alg": "sm2sm3"}, b"{}"),
    "no kid": spelled({"alg": "SM2SM3", "typ": TYP}, b"{}"),
    "kid is a number": spelled({**HEADER, "kid": 1}, b"{}"),
    "another kind": spelled({**HEADER, "typ": "fleetgate-release+json"}, b"{}"),
    "another member": spelled({**HEADER, "jwk": KEY.public_key.jwk()}, b"{}"),
    "crit": spelled({**HEADER, "crit": ["b64"], "b64": False}, b"{}"),
    "payload is a list": spelled(HEADER, b"[]"),
    "payload in another spelling": spelled(HEADER, b'{"a": 1}'),
    "payload with a name twice": spelled(HEADER, b'{"a":1,"a":1}'),
    "payload is no JSON": spelled(HEADER, b"{"),
    "signature missing": spelled(HEADER, b"{}").rpartition(".")[0] + ".",
    "two segments": spelled(HEADER, b"{}").rpartition(".")[0],
    "four segments": spelled(HEADER, b"{}") + ".AA",
    "padded": spelled(HEADER, b"{}") + "==",
    "signature is not base64url": spelled(HEADER, b"{}")[:-4] + "+/+A",
    "whitespace": spelled(HEADER, b"{}") + "\n",
    "signed by another": sign_statement(Sm2PrivateKey.generate(), TYP, "k1", {}),
    "signed by Ed25519": sign_statement(generate_person_key(), TYP, "k1", {}),
}


@pytest.mark.parametrize("statement", REFUSED.values(), ids=REFUSED.keys())
def test_other_forms_of_a_statement_are_refused(statement: str) -> None:
    with pytest.raises(StatementError):
        verify_statement(statement, TYP, KEY.public_key)


def test_every_changed_character_of_a_statement_is_noticed() -> None:
    statement = sign_statement(KEY, TYP, "k1", PAYLOAD)
    for position, character in enumerate(statement):
        for other in ("A", "_", ".", "="):
            if other != character:
                with pytest.raises(StatementError):
                    verify_statement(
                        statement[:position] + other + statement[position + 1 :], TYP, KEY.public_key
                    )


def test_the_key_decides_the_algorithm_and_not_the_header() -> None:
    person = generate_person_key()
    statement = sign_statement(KEY, TYP, "k1", PAYLOAD)
    with pytest.raises(StatementError, match="algorithm"):
        verify_statement(statement, TYP, person)
    with pytest.raises(StatementError, match="algorithm"):
        verify_statement(sign_statement(person, TYP, "k1", PAYLOAD), TYP, KEY.public_key)
    with pytest.raises(StatementError, match="public key"):
        Sm2PublicKey.from_jwk(public_jwk(person))


def test_an_sm2_key_is_known_in_every_form() -> None:
    statement = sign_statement(KEY, TYP, thumbprint(KEY), PAYLOAD)
    jwk = KEY.public_key.jwk()
    for form in (KEY, KEY.public_key, jwk, {**jwk, "kid": "k1"}, json.dumps(jwk), public_text(KEY)):
        assert public_key_of(form) == KEY.public_key
        assert thumbprint(form) == KEY.public_key.thumbprint()
        assert verify_statement(statement, TYP, form) == PAYLOAD
    assert public_jwk(KEY) == public_jwk(KEY.public_key) == jwk
    digest = hashlib.sha256(json.dumps(jwk, separators=(",", ":"), sort_keys=True).encode()).digest()
    assert thumbprint(jwk) == base64.urlsafe_b64encode(digest).decode().rstrip("=")


FOREIGN = {
    "another curve": {"kty": "EC", "crv": "P-256"},
    "another kind": {"kty": "OKP", "crv": "SM2"},
    "off the curve": {"y": base64.urlsafe_b64encode(bytes(31) + b"\x01").decode().rstrip("=")},
    "padded": {"x": base64.urlsafe_b64encode(POINT[1:33]).decode()},
    "short": {"x": base64.urlsafe_b64encode(POINT[1:32]).decode().rstrip("=")},
}


@pytest.mark.parametrize("changes", FOREIGN.values(), ids=FOREIGN.keys())
def test_other_keys_as_jwk_are_refused(changes: dict[str, str]) -> None:
    jwk = {**KEY.public_key.jwk(), **changes}
    with pytest.raises(StatementError, match="public key"):
        public_key_of(jwk)
    with pytest.raises(StatementError, match="public key"):
        public_key_of({name: value for name, value in jwk.items() if name != "x"})


def test_who_can_use_ed25519_only_refuses_an_sm2_key() -> None:
    with pytest.raises(StatementError, match="got EC SM2, expected OKP Ed25519"):
        ed25519_key_of(KEY.public_key.jwk())
    person = generate_person_key()
    assert ed25519_key_of(public_text(person)).thumbprint() == thumbprint(person)


def test_payloads_without_a_canonical_form_cannot_be_signed() -> None:
    for payload in ({"a": 2**60}, {"a": float("nan")}):
        with pytest.raises(StatementError, match="cannot be signed"):
            sign_statement(KEY, TYP, "k1", payload)

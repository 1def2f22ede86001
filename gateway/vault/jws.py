"""Signed statements: RFC 7515 compact form, ``typ`` pinned per kind.

The key determines the algorithm: Ed25519 (RFC 9864), or SM2 with SM3 under the private name ``SM2SM3``
(docs/keys.md says which names exist elsewhere). The payload is RFC 8785 JSON; a statement in any other spelling
is refused, so one statement has one form.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn, cast

import rfc8785
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.util import json_b64encode, urlsafe_b64decode, urlsafe_b64encode

from gateway.vault.errors import StatementError
from gateway.vault.sm2 import CURVE as SM2_CURVE
from gateway.vault.sm2 import Sm2PrivateKey, Sm2PublicKey
from gateway.vault.suites import ED25519, SM2SM3

PublicKey = OKPKey | Sm2PublicKey
PrivateKey = OKPKey | Sm2PrivateKey
KeyForm = PublicKey | Sm2PrivateKey | Mapping[str, str] | str

MAX_STATEMENT_LENGTH: Final = 16 * 1024 * 1024
_CURVE: Final = "Ed25519"
_FIELD: Final = 2**255 - 19
_ORDER_8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
# y of the points of order 1, 2, 4 and 8: under such a key everybody can sign.
_SMALL_ORDER: Final = frozenset({0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8})
_HEADER_NAMES: Final = frozenset({"alg", "kid", "typ"})


class _Registry(jws.JWSRegistry):
    """joserfc's registry with room for manifests of large releases."""

    max_payload_length = MAX_STATEMENT_LENGTH


_REGISTRY: Final = _Registry(algorithms=[ED25519])


def sign_statement(key: PrivateKey, typ: str, kid: str, payload: Mapping[str, Any]) -> str:
    """Sign a statement.

    Args:
        key: Ed25519 or SM2 private key.
        typ: Kind of statement, such as ``fleetgate-release+json``.
        kid: Names the key; at most 256 characters.
        payload: JSON object; integers within ±(2^53 - 1).

    Raises:
        StatementError: The key cannot sign, or the payload has no RFC 8785 form or is too large.
    """
    header = {"alg": SM2SM3 if isinstance(key, Sm2PrivateKey) else ED25519, "kid": kid, "typ": typ}
    try:
        content = rfc8785.dumps(dict(payload))
        if isinstance(key, Sm2PrivateKey):
            signed = json_b64encode(header) + b"." + urlsafe_b64encode(content)
            signature = urlsafe_b64encode(key.sign(signed))
            statement = (signed + b"." + signature).decode("ascii")
        else:
            _check_private(key)
            statement = jws.serialize_compact(header, content, key, registry=_REGISTRY)
    except (rfc8785.CanonicalizationError, JoseError) as error:
        raise StatementError(f"{typ} cannot be signed: {error}") from error
    _parse(statement)
    return statement


def verify_statement(statement: str, typ: str, public_key: KeyForm) -> Mapping[str, Any]:
    """Verify a statement and return its payload.

    1. The key is a public key, Ed25519 or SM2.
    2. The form is that of a compact JWS in canonical base64url, and not too long.
    3. The header holds ``alg`` of that key, ``kid`` and the expected ``typ``, and nothing else.
    4. The signature verifies under the key.
    5. The payload is a JSON object in its RFC 8785 form.

    Args:
        statement: Compact JWS.
        typ: The kind that is expected; another kind of statement is refused, whoever signed it.
        public_key: Key object, JWK, a JWK's JSON text, or base64url of the 32 bytes of an Ed25519 key.

    Raises:
        StatementError: A step failed.
    """
    key = public_key_of(public_key)  # 1
    parsed = _parse(statement)  # 2
    header = parsed.headers()  # 3
    if set(header) != _HEADER_NAMES or not isinstance(header["kid"], str):
        raise StatementError(f"header (got {sorted(header)}, expected {sorted(_HEADER_NAMES)})")
    algorithm = SM2SM3 if isinstance(key, Sm2PublicKey) else ED25519
    if header["alg"] != algorithm:
        raise StatementError(f"algorithm (got {header['alg']!r}, expected '{algorithm}')")
    if header["typ"] != typ:
        raise StatementError(f"kind of statement (got {header['typ']!r}, expected '{typ}')")
    _check_signature(parsed, key, typ)  # 4
    return _payload(parsed.payload, typ)  # 5


def _check_signature(parsed: jws.CompactSignature, key: PublicKey, typ: str) -> None:
    if isinstance(key, Sm2PublicKey):
        segments = parsed.segments
        try:
            signature = urlsafe_b64decode(segments["signature"])
        except ValueError:
            raise StatementError(f"signature of {typ} is not canonical base64url") from None
        key.verify(signature, segments["header"] + b"." + segments["payload"])
        return
    try:
        authentic = jws.validate_compact(parsed, key, registry=_REGISTRY)
    except JoseError as error:
        raise StatementError(f"{typ} does not verify: {error}") from error
    if not authentic:
        raise StatementError(f"signature of {typ} does not verify (expected key {thumbprint(key)})")


def read_unverified_algorithm(statement: str) -> str:
    """The ``alg`` that a statement claims, to choose between the keys of one signer; nothing is verified.

    Raises:
        StatementError: It is no compact JWS or names no algorithm.
    """
    algorithm = _parse(statement).headers().get("alg")
    if not isinstance(algorithm, str):
        raise StatementError(f"algorithm (got {algorithm!r}, expected a string)")
    return algorithm


def read_unverified_kid(statement: str) -> str:
    """The ``kid`` that a statement claims, to look its key up by; nothing is verified.

    Raises:
        StatementError: It is no compact JWS or names no key.
    """
    kid = _parse(statement).headers().get("kid")
    if not isinstance(kid, str) or not kid:
        raise StatementError(f"key id (got {kid!r}, expected a string)")
    return kid


def public_key_of(value: KeyForm) -> PublicKey:
    """The public key of a key object, a JWK, a JWK's JSON text or the base64url of the 32 bytes of an Ed25519 key.

    A JWK of ``kty`` EC and ``crv`` SM2 is an SM2 key; every other one is to be an Ed25519 key.

    Raises:
        StatementError: It is none of these, no point of its curve, or a point of small order, under which
            everybody can sign.
    """
    if isinstance(value, Sm2PublicKey):
        return value
    if isinstance(value, Sm2PrivateKey):
        return value.public_key
    jwk = _jwk_of(value)
    if (jwk.get("kty"), jwk.get("crv")) == ("EC", SM2_CURVE):
        return Sm2PublicKey.from_jwk({name: jwk.get(name) for name in ("crv", "kty", "x", "y")})
    return _ed25519_of(jwk)


def ed25519_key_of(value: KeyForm) -> OKPKey:
    """As :func:`public_key_of`, for those who can use no other key than Ed25519.

    Raises:
        StatementError: It is no Ed25519 key.
    """
    key = public_key_of(value)
    if isinstance(key, Sm2PublicKey):
        raise StatementError(f"public key (got EC {SM2_CURVE}, expected OKP {_CURVE})")
    return key


def _ed25519_of(jwk: Mapping[str, Any]) -> OKPKey:
    members = {name: jwk.get(name) for name in ("kty", "crv", "x")}
    if members["kty"] != "OKP" or members["crv"] != _CURVE or not isinstance(members["x"], str):
        raise StatementError(
            f"public key (got {members['kty']} {members['crv']}, expected OKP {_CURVE} or EC {SM2_CURVE})"
        )
    try:
        key = OKPKey.import_key(cast("dict[str, str | list[str]]", members))
    except (JoseError, ValueError) as error:
        raise StatementError(f"public key (got {members['x']!r}, expected base64url of 32 bytes)") from error
    y = int.from_bytes(urlsafe_b64decode(members["x"].encode("ascii")), "little") % 2**255
    if y % _FIELD in _SMALL_ORDER:
        raise StatementError(f"public key (got {members['x']!r}, a point of small order)")
    return key


def _jwk_of(value: OKPKey | Mapping[str, str] | str) -> Mapping[str, Any]:
    if isinstance(value, OKPKey):
        return value.as_dict(private=False)
    if not isinstance(value, str):
        return value
    if not value.startswith("{"):
        return {"kty": "OKP", "crv": _CURVE, "x": value}
    try:
        return cast("dict[str, Any]", json.loads(value))
    except ValueError as error:
        raise StatementError(f"public key (got text that is no JWK: {error})") from error


def public_jwk(key: PublicKey | Sm2PrivateKey) -> dict[str, str]:
    """The public key as a JWK of exactly ``kty``, ``crv`` and ``x``, and ``y`` for SM2."""
    if isinstance(key, Sm2PublicKey | Sm2PrivateKey):
        return cast("Sm2PublicKey", public_key_of(key)).jwk()
    members = key.as_dict(private=False)
    return {name: str(members[name]) for name in ("kty", "crv", "x")}


def public_text(key: PublicKey | Sm2PrivateKey) -> str:
    """The public key in one word: base64url of the 32 bytes of an Ed25519 key, the JSON text of an SM2 key's JWK.

    :func:`public_key_of` reads both.
    """
    jwk = public_jwk(key)
    return jwk["x"] if jwk["kty"] == "OKP" else rfc8785.dumps(jwk).decode("ascii")


def thumbprint(key: KeyForm) -> str:
    """RFC 7638 SHA-256 thumbprint of the public key, base64url."""
    return public_key_of(key).thumbprint()


def generate_person_key() -> OKPKey:
    """A fresh Ed25519 key of a person, a vehicle or a carrier."""
    return OKPKey.generate_key(_CURVE)


def _check_private(key: OKPKey) -> None:
    if key.curve_name != _CURVE or not key.is_private:
        sort = "private key" if key.is_private else "public key"
        raise StatementError(f"signing key (got {key.curve_name} {sort}, expected {_CURVE} private key)")


def _parse(statement: str) -> jws.CompactSignature:
    if len(statement) > MAX_STATEMENT_LENGTH:
        raise StatementError(
            f"statement too long (got {len(statement)}, expected at most {MAX_STATEMENT_LENGTH})"
        )
    try:
        parsed = jws.extract_compact(statement.encode("ascii"), registry=_REGISTRY)
    except (JoseError, ValueError) as error:
        raise StatementError(f"not a compact JWS: {error}") from error
    if not isinstance(parsed.headers(), dict):
        raise StatementError("header (expected a JSON object)")
    return parsed


def _payload(content: bytes, typ: str) -> dict[str, Any]:
    try:
        payload = json.loads(content, parse_constant=_refuse_constant)
        canonical = isinstance(payload, dict) and rfc8785.dumps(payload) == content
    except (ValueError, RecursionError) as error:
        raise StatementError(f"payload of {typ} is not JSON: {error}") from error
    if not canonical:
        raise StatementError(f"payload of {typ} is not a JSON object in RFC 8785 form")
    return cast("dict[str, Any]", payload)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"constant {name}")

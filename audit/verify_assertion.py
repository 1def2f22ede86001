"""Verifier of approvals that a security key gave (WebAuthn Level 2): the standard library and ``cryptography``.

Such an approval is one JSON object: ``form``, the challenged text ``approval`` with release digest, terms, act and
a nonce, the ``registration`` that the person signed with their enrolled key, and what the authenticator answered:
``authenticator_data``, ``client_data`` and ``signature``, base64url. Whoever calls verifies the registration; what
it says comes in as ``registered``.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

FORM = "fleetgate-approval-assertion/1"
ACT = "release.approve"
REGISTER = "credential.register"
_MEMBERS = {"form", "approval", "registration", "authenticator_data", "client_data", "signature"}
_FLAGS = 32
_PRESENT, _VERIFIED = 0x01, 0x04
_LEAST_DATA = 37
_LEAST_RSA_BITS = 2048


def is_assertion(statement: str) -> bool:
    """Whether an approval claims this form; a compact JWS never begins so."""
    return statement.startswith("{")


def read_assertion(statement: str) -> dict[str, Any]:
    """The members of an approval in this form; nothing is verified.

    Raises:
        ValueError: It has another form.
    """
    document = json.loads(statement)
    if not isinstance(document, dict) or set(document) != _MEMBERS or document["form"] != FORM:
        raise ValueError(f"approval is in another form (expected {FORM})")
    if not all(isinstance(value, str) for value in document.values()):
        raise ValueError("approval has members that are no text")
    return document


def challenge_of(text: str) -> bytes:
    """The challenge that stands for a text: SHA-256 of its UTF-8 bytes."""
    return hashlib.sha256(text.encode()).digest()


def verify_assertion(document: Mapping[str, Any], registered: Mapping[str, Any]) -> dict[str, Any]:
    """Verify an approval by assertion (WebAuthn Level 2, section 7.2) and return what was approved.

    1. The registration is one, and names key and RP id. 2. The client data is that of an assertion, over the
    challenge that stands for exactly this text. 3. It was given on a page of the RP id, in no frame of another
    site. 4. The authenticator speaks to the RP id, and says that its user was present and verified. 5. The
    signature is the registered key's. 6. The text is an approval.

    Args:
        document: Of ``read_assertion``.
        registered: What the person's signed registration says.

    Raises:
        ValueError: A step failed.
    """
    if registered.get("act") != REGISTER:  # 1
        raise ValueError(
            f"registration is another act (got {registered.get('act')!r}, expected {REGISTER!r})"
        )
    rp_id, key = str(registered["rp_id"]), _decoded(str(registered["key"]))
    client_data = _decoded(document["client_data"])
    told = json.loads(client_data)
    challenge = _encoded(challenge_of(document["approval"]))
    if (told["type"], told["challenge"]) != ("webauthn.get", challenge):  # 2
        raise ValueError(f"assertion is over another text (got challenge {told['challenge']!r})")
    require_origin(str(told["origin"]), rp_id)  # 3
    if told.get("crossOrigin", False) is not False:
        raise ValueError("assertion was given in a frame of another site")
    data = _decoded(document["authenticator_data"])
    if len(data) < _LEAST_DATA or data[:_FLAGS] != hashlib.sha256(rp_id.encode()).digest():  # 4
        raise ValueError(f"assertion is for another RP id (expected {rp_id!r})")
    if data[_FLAGS] & (_PRESENT | _VERIFIED) != _PRESENT | _VERIFIED:
        raise ValueError(f"user was not present and verified (got flags {data[_FLAGS]:#04x})")
    _check(key, _decoded(document["signature"]), data + hashlib.sha256(client_data).digest())  # 5
    text = json.loads(document["approval"])
    if text["act"] != ACT or not isinstance(text["approval"], dict):  # 6
        raise ValueError(f"text is another act (got {text['act']!r}, expected {ACT!r})")
    return dict(text["approval"])


def require_origin(origin: str, rp_id: str) -> None:
    """Demand an origin on which browsers allow this RP id: ``https``, of its host or of one below it.

    Raises:
        ValueError: It is none; ``http`` is allowed on ``localhost``, where browsers allow it.
    """
    url = urlsplit(origin)
    host = url.hostname or ""
    safe = url.scheme == "https" or (url.scheme == "http" and host == "localhost")
    if not safe or not rp_id or not (host == rp_id or host.endswith("." + rp_id)):
        raise ValueError(f"origin (got {origin!r}, expected https on {rp_id!r} or below it)")


def _check(key: bytes, signature: bytes, message: bytes) -> None:
    """ES256, EdDSA or RS256: the key decides."""
    try:
        public = load_der_public_key(key)
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, message)
        elif isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
            public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        elif isinstance(public, rsa.RSAPublicKey) and public.key_size >= _LEAST_RSA_BITS:
            public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        else:
            raise ValueError("key (expected P-256, Ed25519 or RSA of 2048 bits or more)")
    except InvalidSignature:
        raise ValueError("signature of the assertion does not verify under the registered key") from None
    except UnsupportedAlgorithm as error:
        raise ValueError(f"key of the registration: {error}") from error


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"no base64url (got {text[:40]!r})") from error
    if _encoded(content) != text:
        raise ValueError(f"no canonical base64url (got {text[:40]!r})")
    return content

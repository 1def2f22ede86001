"""A security key in software that really signs (CTAP2 and WebAuthn Level 2), and the browser around it."""

import hashlib
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any, Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from audit.verify_assertion import REGISTER
from gateway.people.registry import ACT_TYPE
from gateway.vault.jws import PrivateKey, sign_statement, thumbprint

RP_ID = "gate.example"
ORIGIN = "https://console.gate.example"
PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40

Algorithm = Literal["ES256", "EdDSA", "RS256"]


def encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def cbor(value: Any) -> bytes:
    """Integers, byte and text strings, maps: as much of RFC 8949 as an authenticator says."""
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _head(3, len(value.encode())) + value.encode()
    assert isinstance(value, dict)
    return _head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    width = next(w for w in (1, 2, 4, 8) if number < 256**w)
    return bytes([major << 5 | 24 + (1, 2, 4, 8).index(width)]) + number.to_bytes(width, "big")


def _private(algorithm: Algorithm) -> Any:
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class SecurityKey:
    """One credential of one authenticator; what it claims about place and user can be bent by a test."""

    algorithm: Algorithm = "ES256"
    origin: str = ORIGIN
    rp_id: str = RP_ID
    flags: int = PRESENT | VERIFIED
    sign_count: int = 0
    counts: bool = True
    credential: bytes = field(default_factory=lambda: os.urandom(32))
    private: Any = None

    def __post_init__(self) -> None:
        self.private = self.private or _private(self.algorithm)

    @property
    def id(self) -> str:
        return encoded(self.credential)

    def spki(self) -> bytes:
        content: bytes = self.private.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        return content

    def cose(self) -> bytes:
        public = self.private.public_key()
        if isinstance(public, ed25519.Ed25519PublicKey):
            return cbor({1: 1, 3: -8, -1: 6, -2: public.public_bytes(Encoding.Raw, PublicFormat.Raw)})
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            return cbor({1: 3, 3: -257, -1: numbers.n.to_bytes(256, "big"), -2: numbers.e.to_bytes(3, "big")})
        point = public.public_numbers()
        return cbor({1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")})

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """As ``navigator.credentials.create`` answers."""
        client_data = self._client_data("webauthn.create", options["challenge"])
        attested = bytes(16) + len(self.credential).to_bytes(2, "big") + self.credential + self.cose()
        data = self._data(ATTESTED) + attested
        attestation = cbor({"fmt": "none", "attStmt": {}, "authData": data})
        answer = {"clientDataJSON": encoded(client_data), "attestationObject": encoded(attestation)}
        return {"id": self.id, "rawId": self.id, "type": "public-key", "response": answer}

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        """As ``navigator.credentials.get`` answers; the counter grows by one."""
        self.sign_count += self.counts
        client_data = self._client_data("webauthn.get", options["challenge"])
        data = self._data(0)
        answer = {
            "clientDataJSON": encoded(client_data),
            "authenticatorData": encoded(data),
            "signature": encoded(self._sign(data + hashlib.sha256(client_data).digest())),
        }
        return {"id": self.id, "rawId": self.id, "type": "public-key", "response": answer}

    def registration(self, person: str, key: PrivateKey, **changes: str) -> str:
        """The holder's statement about this security key."""
        said = {
            "act": REGISTER,
            "credential": self.id,
            "key": encoded(self.spki()),
            "person": person,
            "rp_id": RP_ID,
        }
        return sign_statement(key, ACT_TYPE, thumbprint(key), {**said, **changes})

    def _client_data(self, kind: str, challenge: str) -> bytes:
        told = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(told).encode()

    def _data(self, more: int) -> bytes:
        flags = bytes([self.flags | more])
        return hashlib.sha256(self.rp_id.encode()).digest() + flags + self.sign_count.to_bytes(4, "big")

    def _sign(self, message: bytes) -> bytes:
        if self.algorithm == "EdDSA":
            signature = self.private.sign(message)
        elif self.algorithm == "RS256":
            signature = self.private.sign(message, padding.PKCS1v15(), hashes.SHA256())
        else:
            signature = self.private.sign(message, ec.ECDSA(hashes.SHA256()))
        assert isinstance(signature, bytes)
        return signature

"""SM2 signatures with SM3 (GB/T 32918.2, GM/T 0009): keys, and signatures of 64 bytes.

The signer's id is the standard's default, ``1234567812345678``. Keys of people and vehicles may be of this kind
as well: nothing here knows the keystore.
"""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Final, Self

import rfc8785
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode
from tongsuopy.crypto import hashes, serialization  # type: ignore[import-untyped]
from tongsuopy.crypto.asymciphers import ec  # type: ignore[import-untyped]
from tongsuopy.crypto.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm  # type: ignore[import-untyped]

from gateway.vault.errors import StatementError

CURVE: Final = "SM2"
KEY_LENGTH: Final = 32
SIGNATURE_LENGTH: Final = 64
# Order of the base point (GB/T 32918.5).
_ORDER: Final = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_7203DF6B_21C6052B_53BBF409_39D54123
_POINT_LENGTH: Final = 65


class Sm2PublicKey:
    """A public key.

    Args:
        point: Uncompressed point, 65 bytes: 4 ‖ x ‖ y.

    Raises:
        StatementError: It is no point of the curve.
    """

    __slots__ = ("_key", "point")

    def __init__(self, point: bytes) -> None:
        # tongsuopy takes compressed points too; a key has one form here.
        if len(point) != _POINT_LENGTH or point[0] != 4:  # noqa: PLR2004 (SEC 1's mark of an uncompressed point)
            raise StatementError(f"SM2 public key (got {point.hex()}, expected 04, x and y)")
        try:
            self._key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SM2(), point)
        except (ValueError, InternalError):
            raise StatementError(
                f"SM2 public key (got {point.hex()}, expected a point of the curve)"
            ) from None
        self.point: Final = point

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sm2PublicKey) and other.point == self.point

    def __hash__(self) -> int:
        return hash(self.point)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> Self:
        """The key of a JWK with ``kty`` EC, ``crv`` SM2, and ``x`` and ``y`` of 32 bytes each.

        Raises:
            StatementError: It is none.
        """
        x, y = jwk.get("x"), jwk.get("y")
        if (
            jwk.get("kty") != "EC"
            or jwk.get("crv") != CURVE
            or not isinstance(x, str)
            or not isinstance(y, str)
        ):
            raise StatementError(f"public key (got {jwk.get('kty')} {jwk.get('crv')}, expected EC {CURVE})")
        try:
            key = cls(b"\x04" + urlsafe_b64decode(x.encode("ascii")) + urlsafe_b64decode(y.encode("ascii")))
        except ValueError as error:
            raise StatementError(f"SM2 public key (got {x!r}, {y!r}, expected base64url)") from error
        if key.jwk() != {"crv": CURVE, "kty": "EC", "x": x, "y": y}:
            raise StatementError(f"SM2 public key (got {x!r}, {y!r}, expected 32 bytes each)")
        return key

    def jwk(self) -> dict[str, str]:
        """The key as a JWK of exactly ``crv``, ``kty``, ``x`` and ``y``."""
        x, y = self.point[1 : 1 + KEY_LENGTH], self.point[1 + KEY_LENGTH :]
        return {
            "crv": CURVE,
            "kty": "EC",
            "x": urlsafe_b64encode(x).decode("ascii"),
            "y": urlsafe_b64encode(y).decode("ascii"),
        }

    def thumbprint(self) -> str:
        """RFC 7638 SHA-256 thumbprint, base64url."""
        return urlsafe_b64encode(hashlib.sha256(rfc8785.dumps(self.jwk())).digest()).decode("ascii")

    def verify(self, signature: bytes, message: bytes) -> None:
        """Verify a signature.

        Args:
            signature: r ‖ s, 64 bytes.
            message: What was signed.

        Raises:
            StatementError: It is not this key's signature of this message.
        """
        if len(signature) != SIGNATURE_LENGTH:
            raise StatementError(
                f"SM2 signature (got {len(signature)} bytes, expected {SIGNATURE_LENGTH}: r and s)"
            )
        r, s = (int.from_bytes(half, "big") for half in (signature[:KEY_LENGTH], signature[KEY_LENGTH:]))
        if not (0 < r < _ORDER and 0 < s < _ORDER):
            raise StatementError("SM2 signature (got r or s outside the group, expected 1 to its order - 1)")
        try:
            self._key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SM3()))
        except (InvalidSignature, InternalError):
            # tongsuopy reports some refused signatures as an internal error of OpenSSL.
            raise StatementError(
                f"SM2 signature does not verify (expected key {self.thumbprint()})"
            ) from None


class Sm2PrivateKey:
    """A private key.

    Args:
        scalar: 32 bytes, big-endian: 1 to the order of the group - 2.

    Raises:
        StatementError: The scalar is outside that range.
    """

    __slots__ = ("_key", "_scalar", "public_key")

    def __init__(self, scalar: bytes) -> None:
        # tongsuopy takes any number, and one that cannot sign (order - 1) too.
        value = int.from_bytes(scalar, "big")
        if len(scalar) != KEY_LENGTH or not 0 < value < _ORDER - 1:
            raise StatementError(f"SM2 private key ({len(scalar)} bytes, expected {KEY_LENGTH} in range)")
        self._key = ec.derive_private_key(value, ec.SM2())
        self._scalar = scalar
        numbers = self._key.public_key().public_numbers()
        self.public_key: Final = Sm2PublicKey(
            b"\x04" + numbers.x.to_bytes(KEY_LENGTH, "big") + numbers.y.to_bytes(KEY_LENGTH, "big")
        )

    def __repr__(self) -> str:
        return f"<Sm2PrivateKey {self.public_key.thumbprint()}>"

    @classmethod
    def generate(cls) -> Self:
        """A fresh key."""
        return cls((1 + secrets.randbelow(_ORDER - 2)).to_bytes(KEY_LENGTH, "big"))

    @classmethod
    def from_pem(cls, content: bytes, passphrase: bytes) -> Self:
        """The key of a PKCS#8 PEM file, encrypted or not.

        Raises:
            StatementError: The passphrase does not open it, or it holds another key.
        """
        try:
            key = serialization.load_pem_private_key(content, passphrase)
            curve, value = key.curve.name, key.private_numbers().private_value
        except (ValueError, TypeError, AttributeError, InternalError, UnsupportedAlgorithm) as error:
            raise StatementError(f"no SM2 private key opens: {error}") from error
        if curve != ec.SM2.name:
            raise StatementError(f"private key (got curve {curve}, expected {CURVE})")
        return cls(value.to_bytes(KEY_LENGTH, "big"))

    def as_pem(self, passphrase: bytes) -> bytes:
        """The key as encrypted PKCS#8 PEM: PBES2 of PBKDF2 (HMAC-SHA-256, 2048 rounds) and SM4-CBC."""
        encryption = serialization.BestAvailableEncryption(passphrase)
        pem: bytes = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
        return pem

    @property
    def scalar(self) -> bytes:
        """The secret 32 bytes, to be wrapped."""
        return self._scalar

    def sign(self, message: bytes) -> bytes:
        """The signature r ‖ s, 64 bytes.

        Raises:
            StatementError: The library failed.
        """
        try:
            r, s = decode_dss_signature(self._key.sign(message, ec.ECDSA(hashes.SM3())))
        except InternalError as error:
            raise StatementError(f"SM2 signing failed in the library: {error}") from error
        return r.to_bytes(KEY_LENGTH, "big") + s.to_bytes(KEY_LENGTH, "big")

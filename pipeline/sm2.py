"""SM2 public keys of release manifests (GB/T 32918.2 with SM3, the default signer's id of GB/T 35276)."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import rfc8785
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode
from tongsuopy.crypto import hashes  # type: ignore[import-untyped]
from tongsuopy.crypto.asymciphers import ec  # type: ignore[import-untyped]
from tongsuopy.crypto.exceptions import InternalError, InvalidSignature  # type: ignore[import-untyped]

from pipeline.errors import KeyFileError

ALGORITHM: Final = "SM2SM3"
_ORDER: Final = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_7203DF6B_21C6052B_53BBF409_39D54123
_LENGTH: Final = 32


class Sm2ReleaseKey:
    """An operator's release key of the commercial-cryptography suite.

    Args:
        jwk: ``kty`` EC, ``crv`` SM2, ``x`` and ``y``; whatever else it holds is passed over.

    Raises:
        KeyFileError: It is none, or no point of the curve.
    """

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        try:
            x, y = (urlsafe_b64decode(str(jwk[name]).encode("ascii")) for name in ("x", "y"))
            if (len(x), len(y)) != (_LENGTH, _LENGTH):
                raise ValueError(f"coordinates (got {len(x)} and {len(y)} bytes, expected {_LENGTH})")
            self._key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SM2(), b"\x04" + x + y)
        except (KeyError, ValueError, InternalError) as error:
            raise KeyFileError(f"public key (expected a point of SM2 as JWK): {error}") from error
        self._jwk = {
            "crv": "SM2",
            "kty": "EC",
            "x": urlsafe_b64encode(x).decode("ascii"),
            "y": urlsafe_b64encode(y).decode("ascii"),
        }

    def thumbprint(self) -> str:
        """RFC 7638 thumbprint, base64url."""
        digest = hashlib.sha256(rfc8785.dumps(self._jwk)).digest()
        return urlsafe_b64encode(digest).decode("ascii")

    def verify(self, signature: bytes, message: bytes) -> None:
        """Verify r and s, 32 bytes each.

        Raises:
            ValueError: It is not this key's signature of this message.
        """
        r, s = int.from_bytes(signature[:_LENGTH], "big"), int.from_bytes(signature[_LENGTH:], "big")
        if len(signature) != 2 * _LENGTH or not (0 < r < _ORDER and 0 < s < _ORDER):
            raise ValueError("signature is no pair of numbers of the group")
        try:
            self._key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SM3()))
        except (InvalidSignature, InternalError):
            raise ValueError("signature does not verify") from None

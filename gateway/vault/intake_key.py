"""The gate's intake key: what vehicles seal to, by HPKE (RFC 9180), and only the gate opens.

DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, base mode. HPKE says nothing of the sender: signatures do.
"""

import json
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode

from gateway.vault.container import DEK_LENGTH
from gateway.vault.errors import KeyUnavailableError, SealBrokenError
from gateway.vault.keys import Keystore

_NAME: Final = "intake"
_CURVE: Final = "X25519"
_LENGTH: Final = 32
_HPKE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_DEK_LABEL: Final = b"fleetgate/vehicle-dek/1\x00"


def secret_name(generation: int) -> str:
    """The secret of the keystore that a generation's private half is."""
    return _NAME if generation == 1 else f"{_NAME}-{generation}"


class IntakePublicKey:
    """A gate's public intake key, which vehicles hold.

    Attributes:
        kid: RFC 7638 thumbprint.
    """

    def __init__(self, key: X25519PublicKey) -> None:
        self._key = key
        raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._jwk: dict[str, str | list[str]]
        self._jwk = {"crv": _CURVE, "kty": "OKP", "x": urlsafe_b64encode(raw).decode("ascii")}
        self.kid: Final = str(OKPKey.import_key(self._jwk).thumbprint())

    @classmethod
    def parse(cls, text: str) -> "IntakePublicKey":
        """Read what :meth:`text` writes.

        Raises:
            KeyUnavailableError: It is no public X25519 key as JWK.
        """
        try:
            document = json.loads(text)
            if set(document) != {"crv", "kty", "x"} or (document["kty"], document["crv"]) != ("OKP", _CURVE):
                raise ValueError(f"got members {sorted(document)}")
            return cls(X25519PublicKey.from_public_bytes(urlsafe_b64decode(document["x"].encode("ascii"))))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise KeyUnavailableError(
                f"intake key (expected a public {_CURVE} key as JWK): {error}"
            ) from error

    def text(self) -> str:
        """The key as JWK, one line of JSON."""
        return json.dumps(self._jwk, sort_keys=True)

    def seal(self, plaintext: bytes, info: bytes) -> bytes:
        """Encapsulated key and ciphertext.

        Args:
            plaintext: What to seal.
            info: What it is; opening must name the same.

        Raises:
            KeyUnavailableError: Nothing can be sealed to this key.
        """
        try:
            return _HPKE.encrypt(plaintext, self._key, info=info)
        except ValueError as error:
            raise KeyUnavailableError(f"nothing can be sealed to intake key {self.kid}: {error}") from error


class IntakeKey:
    """The private half, which the keystore keeps. Made at its first use.

    Args:
        keystore: Holds it as the secret ``intake``, later generations as ``intake-2`` and so on.
        generation: Which one; ``gateway.vault.intake_generations`` knows which are in use.

    Raises:
        KeyDestroyedError: It was destroyed after its grace.
    """

    def __init__(self, keystore: Keystore, generation: int = 1) -> None:
        self._key = X25519PrivateKey.from_private_bytes(keystore.secret(secret_name(generation)))
        self.public: Final = IntakePublicKey(self._key.public_key())

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Undo :meth:`IntakePublicKey.seal`.

        Raises:
            SealBrokenError: It was sealed to another key, as something else, or it was changed.
        """
        try:
            return _HPKE.decrypt(sealed, self._key, info=info)
        except (InvalidTag, ValueError) as error:
            raise SealBrokenError(
                f"not sealed to intake key {self.public.kid} as this ({type(error).__name__})"
            ) from error


def item_dek(secret: bytes, context: bytes) -> bytes:
    """The data encryption key of one item, from the secret of its recording.

    Args:
        secret: 32 random bytes, fresh for each recording.
        context: What the item is.

    Raises:
        SealBrokenError: The secret has another length.
    """
    if len(secret) != _LENGTH:
        raise SealBrokenError(f"secret of a recording (got {len(secret)}, expected {_LENGTH} bytes)")
    derived = HKDF(algorithm=hashes.SHA256(), length=DEK_LENGTH, salt=None, info=_DEK_LABEL + context)
    return derived.derive(secret)

"""Wrapping of one key under another: bound to its purpose, committing to the wrapping key (docs/keys.md)."""

import hmac
import os
import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.vault.errors import SealBrokenError

_VERSION: Final = b"\x01"
_SALT_LENGTH: Final = 32
_COMMITMENT_LENGTH: Final = 32
_HEADER_LENGTH: Final = len(_VERSION) + _SALT_LENGTH + _COMMITMENT_LENGTH
_TAG_LENGTH: Final = 16
_LABEL: Final = b"fleetgate/wrap/1\x00"
# The key is derived from a fresh 256-bit salt and used for one message, so the nonce may be constant.
_NONCE: Final = bytes(12)


def wrap(key: bytes, secret: bytes, *parts: bytes) -> bytes:
    """Wrap a secret.

    Args:
        key: Wrapping key, 32 bytes of full entropy.
        secret: What is wrapped.
        parts: What the secret is and belongs to; unwrapping must name the same parts.

    Returns:
        version ‖ salt ‖ commitment ‖ AES-256-GCM ciphertext and tag.
    """
    salt = os.urandom(_SALT_LENGTH)
    cipher, commitment = _derive(key, salt, parts)
    header = _VERSION + salt + commitment
    return header + cipher.encrypt(_NONCE, secret, header)


def unwrap(key: bytes, wrapped: bytes, *parts: bytes) -> bytes:
    """Undo :func:`wrap`.

    1. The value is long enough and of version 1.
    2. Its commitment is that of this key and these parts.
    3. It authenticates.

    Raises:
        SealBrokenError: A step failed.
    """
    if len(wrapped) < _HEADER_LENGTH + _TAG_LENGTH or wrapped[:1] != _VERSION:  # 1
        raise SealBrokenError(
            f"not a wrapped key (got {len(wrapped)} bytes of version {wrapped[:1].hex() or 'none'},"
            f" expected at least {_HEADER_LENGTH + _TAG_LENGTH} of version {_VERSION.hex()})"
        )
    header = wrapped[:_HEADER_LENGTH]
    cipher, commitment = _derive(key, header[1 : 1 + _SALT_LENGTH], parts)  # 2
    if not hmac.compare_digest(commitment, header[1 + _SALT_LENGTH :]):
        raise SealBrokenError("key commitment differs (got another key or purpose, expected those wrapped)")
    try:
        return cipher.decrypt(_NONCE, wrapped[_HEADER_LENGTH:], header)  # 3
    except InvalidTag:
        raise SealBrokenError("wrapped key does not authenticate (got changed bytes)") from None


def _derive(key: bytes, salt: bytes, parts: tuple[bytes, ...]) -> tuple[AESGCM, bytes]:
    info = _LABEL + b"".join(struct.pack(">I", len(part)) + part for part in parts)
    okm = HKDF(algorithm=hashes.SHA256(), length=64, salt=salt, info=info).derive(key)
    return AESGCM(okm[:32]), okm[32:]

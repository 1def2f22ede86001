"""Wrapping of one key under another: bound to its purpose, committing to the wrapping key (docs/keys.md)."""

import hmac
import os
import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.vault.errors import SealBrokenError
from gateway.vault.suites import Aead, Suite, suite_by_identifier

_SALT_LENGTH: Final = 32
_COMMITMENT_LENGTH: Final = 32
_HEADER_LENGTH: Final = 1 + _SALT_LENGTH + _COMMITMENT_LENGTH
_TAG_LENGTH: Final = 16
_LABEL: Final = b"fleetgate/wrap/%d\x00"
# The key is derived from a fresh 256-bit salt and used for one message, so the nonce may be constant.
_NONCE: Final = bytes(12)


def wrap(key: bytes, secret: bytes, *parts: bytes, suite: Suite) -> bytes:
    """Wrap a secret.

    Args:
        key: Wrapping key, 32 bytes of full entropy.
        secret: What is wrapped.
        parts: What the secret is and belongs to; unwrapping must name the same parts.
        suite: Cipher and hash; unwrapping finds it in the result.

    Returns:
        suite number ‖ salt ‖ commitment ‖ ciphertext and tag.
    """
    salt = os.urandom(_SALT_LENGTH)
    cipher, commitment = _derive(key, salt, parts, suite)
    header = bytes([suite.identifier]) + salt + commitment
    return header + cipher.encrypt(_NONCE, secret, header)


def unwrap(key: bytes, wrapped: bytes, *parts: bytes) -> bytes:
    """Undo :func:`wrap`.

    1. The value is long enough and of a known suite.
    2. Its commitment is that of this key, these parts and this suite.
    3. It authenticates.

    Raises:
        SealBrokenError: A step failed.
    """
    if len(wrapped) < _HEADER_LENGTH + _TAG_LENGTH:  # 1
        raise SealBrokenError(
            f"not a wrapped key (got {len(wrapped)} bytes, expected at least {_HEADER_LENGTH + _TAG_LENGTH})"
        )
    suite = suite_by_identifier(wrapped[0])
    header = wrapped[:_HEADER_LENGTH]
    cipher, commitment = _derive(key, header[1 : 1 + _SALT_LENGTH], parts, suite)  # 2
    if not hmac.compare_digest(commitment, header[1 + _SALT_LENGTH :]):
        raise SealBrokenError("key commitment differs (got another key or purpose, expected those wrapped)")
    try:
        return cipher.decrypt(_NONCE, wrapped[_HEADER_LENGTH:], header)  # 3
    except InvalidTag:
        raise SealBrokenError("wrapped key does not authenticate (got changed bytes)") from None


def _derive(key: bytes, salt: bytes, parts: tuple[bytes, ...], suite: Suite) -> tuple[Aead, bytes]:
    info = _LABEL % suite.identifier + b"".join(struct.pack(">I", len(part)) + part for part in parts)
    length = suite.key_length + _COMMITMENT_LENGTH
    okm = HKDF(algorithm=suite.hash(), length=length, salt=salt, info=info).derive(key)
    return suite.cipher(okm[: suite.key_length]), okm[suite.key_length :]

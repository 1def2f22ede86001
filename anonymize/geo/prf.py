"""Pseudo-random values that follow from a key alone, so that rebuilding a release gives the same bytes."""

import hashlib
import hmac

import numpy as np

from anonymize.errors import ProfileError
from anonymize.geo.ellipsoid import FloatArray

KEY_BYTES = 32
_HASH_BYTES = 32
_MOST_BLOCKS = 255
_DOMAIN = b"fleetgate.geo.v2\x00"


def require_key(key: bytes) -> bytes:
    """Return ``key`` when it has 32 bytes.

    Raises:
        ProfileError: It has another length.
    """
    if len(key) != KEY_BYTES:
        raise ProfileError(f"a release key has {KEY_BYTES} bytes (got {len(key)})")
    return key


def hkdf_extract(salt: bytes, material: bytes) -> bytes:
    """HKDF-Extract with SHA-256 (RFC 5869 §2.2); an empty salt stands for 32 zero bytes."""
    return hmac.digest(salt or bytes(_HASH_BYTES), material, "sha256")


def hkdf_expand(key: bytes, info: bytes, count: int) -> bytes:
    """HKDF-Expand with SHA-256 (RFC 5869 §2.3): ``count`` bytes from a pseudo-random key.

    Raises:
        ProfileError: More than 255 blocks are asked for.
    """
    if not 0 < count <= _MOST_BLOCKS * _HASH_BYTES:
        raise ProfileError(f"HKDF gives 1 to {_MOST_BLOCKS * _HASH_BYTES} bytes (got {count})")
    made, block = b"", b""
    for number in range(1, -(-count // _HASH_BYTES) + 1):
        block = hmac.digest(key, block + info + bytes([number]), "sha256")
        made += block
    return made[:count]


def subkey(key: bytes, purpose: str, context: bytes = b"") -> bytes:
    """A key for one purpose and context; different purposes or contexts give unrelated keys.

    HKDF-Expand alone: a release key is uniformly random already (RFC 5869 §3.3).

    Raises:
        ProfileError: The key has another length than 32 bytes.
    """
    label = purpose.encode()
    return hkdf_expand(require_key(key), _DOMAIN + len(label).to_bytes(2, "big") + label + context, KEY_BYTES)


def uniform(key: bytes, purpose: str, count: int) -> FloatArray:
    """``count`` numbers in [0, 1) with 53 random bits each, from SHAKE256 over the subkey for ``purpose``."""
    words = hashlib.shake_256(subkey(key, purpose)).digest(8 * count)
    return (np.frombuffer(words, dtype="<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53

"""Pseudo-random values that follow from a key alone, so that rebuilding a release gives the same bytes."""

import hashlib
import hmac

import numpy as np

from anonymize.errors import ProfileError
from anonymize.geo.ellipsoid import FloatArray

KEY_BYTES = 32


def require_key(key: bytes) -> bytes:
    """Return ``key`` when it has 32 bytes.

    Raises:
        ProfileError: It has another length.
    """
    if len(key) != KEY_BYTES:
        raise ProfileError(f"a release key has {KEY_BYTES} bytes (got {len(key)})")
    return key


def subkey(key: bytes, purpose: str, context: bytes = b"") -> bytes:
    """A key for one purpose and context; different purposes or contexts give unrelated keys."""
    label = purpose.encode()
    message = len(label).to_bytes(2, "big") + label + context
    return hmac.digest(require_key(key), b"fleetgate.geo.v1\x00" + message, "sha256")


def uniform(key: bytes, purpose: str, count: int) -> FloatArray:
    """``count`` numbers in [0, 1) with 53 random bits each."""
    words = hashlib.shake_256(subkey(key, purpose)).digest(8 * count)
    return (np.frombuffer(words, dtype="<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53

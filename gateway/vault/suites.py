"""Cipher suites by their number in the container and their name in manifests.

The commercial-cryptography suite ``sm4gcm-sm3-sm2`` takes identifier 2 when it is added; the container's
layout leaves key length, hash and cipher to the suite.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.vault.errors import SealBrokenError


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Algorithms that belong together.

    Attributes:
        identifier: Number in a sealed file's header, 1 to 65535.
        name: Name in manifests: cipher, hash and signature.
        key_length: Length of the segment key in bytes.
        tag_length: Length of a segment's authentication tag in bytes.
        hash: Hash of HKDF (RFC 5869).
        cipher: Makes the AEAD of RFC 5116 for one segment key, with 12-byte nonces.
    """

    identifier: int
    name: str
    key_length: int
    tag_length: int
    hash: Callable[[], hashes.HashAlgorithm]
    cipher: Callable[[bytes], AESGCM]


AES256GCM: Final = Suite(
    identifier=1,
    name="aes256gcm-sha256-ed25519",
    key_length=32,
    tag_length=16,
    hash=hashes.SHA256,
    cipher=AESGCM,
)
SUITES: Final = (AES256GCM,)


def suite_by_identifier(identifier: int) -> Suite:
    """The suite of a sealed file's header.

    Raises:
        SealBrokenError: No such suite; an unknown one is never guessed.
    """
    for suite in SUITES:
        if suite.identifier == identifier:
            return suite
    raise SealBrokenError(
        f"unknown suite (got {identifier}, expected one of {[s.identifier for s in SUITES]})"
    )


def suite_by_name(name: str) -> Suite:
    """The suite of a manifest.

    Raises:
        SealBrokenError: No such suite.
    """
    for suite in SUITES:
        if suite.name == name:
            return suite
    raise SealBrokenError(f"unknown suite (got '{name}', expected one of {[s.name for s in SUITES]})")

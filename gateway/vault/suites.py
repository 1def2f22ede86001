"""Cipher suites by their number in the container and their name in manifests (docs/sealed-files.md)."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.vault.errors import SealBrokenError

ED25519: Final = "Ed25519"
SM2SM3: Final = "SM2SM3"

_TAG_LENGTH: Final = 16
_NONCE_LENGTH: Final = 12


class Aead(Protocol):
    """The AEAD of RFC 5116 under one key, with 12-byte nonces; ``decrypt`` raises ``InvalidTag``."""

    def encrypt(self, nonce: bytes, data: bytes | bytearray | memoryview, associated_data: bytes, /) -> bytes:
        """Ciphertext and tag."""

    def decrypt(self, nonce: bytes, data: bytes | bytearray | memoryview, associated_data: bytes, /) -> bytes:
        """The plaintext."""


class Digest(Protocol):
    """A hash in progress, as of ``hashlib``."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take more bytes."""

    def digest(self) -> bytes:
        """The digest's bytes."""


class Sm4Gcm:
    """AEAD_SM4_GCM of RFC 8998: SM4 (GB/T 32907) in GCM with a 16-byte tag behind the ciphertext.

    Args:
        key: 16 bytes.
    """

    __slots__ = ("_algorithm",)

    def __init__(self, key: bytes) -> None:
        self._algorithm = algorithms.SM4(key)

    def encrypt(self, nonce: bytes, data: bytes | bytearray | memoryview, associated_data: bytes, /) -> bytes:
        """Ciphertext and tag."""
        encryptor = Cipher(self._algorithm, modes.GCM(_checked(nonce))).encryptor()
        encryptor.authenticate_additional_data(associated_data)
        return encryptor.update(data) + encryptor.finalize() + encryptor.tag

    def decrypt(self, nonce: bytes, data: bytes | bytearray | memoryview, associated_data: bytes, /) -> bytes:
        """The plaintext, whole, once its tag was verified.

        Raises:
            InvalidTag: Key, nonce, data or associated data is not the one of encryption.
        """
        if len(data) < _TAG_LENGTH:
            raise InvalidTag
        view = memoryview(data)
        mode = modes.GCM(_checked(nonce), bytes(view[-_TAG_LENGTH:]))
        decryptor = Cipher(self._algorithm, mode).decryptor()
        decryptor.authenticate_additional_data(associated_data)
        return decryptor.update(view[:-_TAG_LENGTH]) + decryptor.finalize()


class Sm3:
    """SM3 (GB/T 32905) with the interface of ``hashlib``; ``digest`` may be called once."""

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        self._hash = hashes.Hash(hashes.SM3())

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take more bytes."""
        self._hash.update(data)

    def digest(self) -> bytes:
        """The 32 bytes."""
        return self._hash.finalize()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Algorithms that belong together.

    Attributes:
        identifier: Number in the header of a sealed file and before a wrapped key, 1 to 255.
        name: Name in manifests: cipher, hash and signature.
        key_length: Length of the segment key in bytes.
        tag_length: Length of a segment's authentication tag in bytes.
        hash: Hash of HKDF (RFC 5869).
        cipher: Makes the AEAD of one segment key.
        digest: Begins the digest of a sealed file.
        digest_name: Name of that digest in manifests.
        signature: Algorithm of manifests, as in the header of their JWS.
    """

    identifier: int
    name: str
    key_length: int
    tag_length: int
    hash: Callable[[], hashes.HashAlgorithm]
    cipher: Callable[[bytes], Aead]
    digest: Callable[[], Digest]
    digest_name: str
    signature: str


AES256GCM: Final = Suite(
    identifier=1,
    name="aes256gcm-sha256-ed25519",
    key_length=32,
    tag_length=_TAG_LENGTH,
    hash=hashes.SHA256,
    cipher=AESGCM,
    digest=hashlib.sha256,
    digest_name="sha256",
    signature=ED25519,
)
SM4GCM: Final = Suite(
    identifier=2,
    name="sm4gcm-sm3-sm2",
    key_length=16,
    tag_length=_TAG_LENGTH,
    hash=hashes.SM3,
    cipher=Sm4Gcm,
    digest=Sm3,
    digest_name="sm3",
    signature=SM2SM3,
)
SUITES: Final = (AES256GCM, SM4GCM)


def suite_by_identifier(identifier: int) -> Suite:
    """The suite of a sealed file's header or of a wrapped key.

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
    """The suite of a manifest or of the setting.

    Raises:
        SealBrokenError: No such suite.
    """
    for suite in SUITES:
        if suite.name == name:
            return suite
    raise SealBrokenError(f"unknown suite (got '{name}', expected one of {[s.name for s in SUITES]})")


def _checked(nonce: bytes) -> bytes:
    if len(nonce) != _NONCE_LENGTH:
        raise ValueError(f"nonce of the wrong length (got {len(nonce)}, expected {_NONCE_LENGTH} bytes)")
    return nonce

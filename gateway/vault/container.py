"""The layout of a sealed file: header, keys and segments (docs/sealed-files.md).

Tink's streaming construction: a key per file from HKDF over the data encryption key with the object's
context; nonce = prefix, segment counter, last-segment flag. Added to it: a key commitment in the header, and
the whole header as associated data of each segment.
"""

import hmac
import struct
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.vault.errors import SealBrokenError
from gateway.vault.suites import Aead, Suite, suite_by_identifier

Octets = bytes | bytearray | memoryview

MAGIC: Final = b"FGSEALED"
VERSION: Final = 1
DEK_LENGTH: Final = 32
SALT_LENGTH: Final = 32
NONCE_PREFIX_LENGTH: Final = 7
COMMITMENT_LENGTH: Final = 32
DEFAULT_SEGMENT_SIZE: Final = 64 * 1024
MIN_SEGMENT_SIZE: Final = 64
MAX_SEGMENT_SIZE: Final = 1024 * 1024
MAX_SEGMENTS: Final = 2**32

_FIELDS: Final = struct.Struct(f">8sHHI{SALT_LENGTH}s{NONCE_PREFIX_LENGTH}s")
HEADER_LENGTH: Final = _FIELDS.size + COMMITMENT_LENGTH
_NONCE: Final = struct.Struct(f">{NONCE_PREFIX_LENGTH}sIB")
_KEY_LABEL: Final = b"fleetgate/sealed-file/1\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """The cipher of one sealed file, bound to its header."""

    suite: Suite
    segment_size: int
    nonce_prefix: bytes
    header: bytes
    cipher: Aead

    @property
    def stride(self) -> int:
        """Length of a full sealed segment in bytes."""
        return self.segment_size + self.suite.tag_length

    def _nonce(self, index: int, *, last: bool) -> bytes:
        return _NONCE.pack(self.nonce_prefix, index, last)

    def seal(self, index: int, plaintext: Octets, *, last: bool) -> bytes:
        """Ciphertext and tag of one segment.

        Raises:
            ValueError: The file has too many segments.
        """
        if index >= MAX_SEGMENTS:
            raise ValueError(
                f"stream too long (got more than {MAX_SEGMENTS} segments of {self.segment_size} bytes)"
            )
        return self.cipher.encrypt(self._nonce(index, last=last), plaintext, self.header)

    def open(self, index: int, sealed: Octets, *, last: bool) -> bytes:
        """Undo :meth:`seal`.

        Raises:
            SealBrokenError: The segment is not the one that was sealed here.
        """
        try:
            return self.cipher.decrypt(self._nonce(index, last=last), sealed, self.header)
        except InvalidTag:
            raise SealBrokenError(
                f"segment {index} does not authenticate (got changed bytes, expected those sealed)"
            ) from None


def sealed_length_of(plaintext_length: int, segment_size: int, suite: Suite) -> int:
    """Length in bytes of the sealed file that holds a plaintext of the given length in bytes."""
    segments = max(1, -(-plaintext_length // segment_size))
    return HEADER_LENGTH + plaintext_length + segments * suite.tag_length


def new_header(
    dek: bytes, context: bytes, *, suite: Suite, segment_size: int, salt: bytes, nonce_prefix: bytes
) -> Segments:
    """The header of a new file, and the cipher that it stands for.

    Raises:
        ValueError: A key or segment size of the wrong length.
    """
    if not MIN_SEGMENT_SIZE <= segment_size <= MAX_SEGMENT_SIZE:
        raise ValueError(
            f"segment size (got {segment_size}, expected {MIN_SEGMENT_SIZE} to {MAX_SEGMENT_SIZE} bytes)"
        )
    fields = _FIELDS.pack(MAGIC, VERSION, suite.identifier, segment_size, salt, nonce_prefix)
    key, commitment = _derive(dek, context, fields, suite)
    return Segments(
        suite=suite,
        segment_size=segment_size,
        nonce_prefix=nonce_prefix,
        header=fields + commitment,
        cipher=suite.cipher(key),
    )


def open_header(header: bytes, dek: bytes, context: bytes) -> Segments:
    """Verify a header, and make the cipher that it stands for.

    1. It is complete and says magic and version.
    2. Suite and segment size are known ones.
    3. Its commitment is that of this key, these fields and this context.

    Raises:
        SealBrokenError: A step failed.
    """
    if len(header) != HEADER_LENGTH:  # 1
        raise SealBrokenError(f"header is truncated (got {len(header)}, expected {HEADER_LENGTH} bytes)")
    magic, version, identifier, segment_size, _, nonce_prefix = _FIELDS.unpack_from(header)
    if magic != MAGIC or version != VERSION:
        raise SealBrokenError(
            f"not a sealed file (got {magic!r} version {version}, expected {MAGIC!r} {VERSION})"
        )
    suite = suite_by_identifier(identifier)  # 2
    if not MIN_SEGMENT_SIZE <= segment_size <= MAX_SEGMENT_SIZE:
        raise SealBrokenError(
            f"segment size (got {segment_size}, expected {MIN_SEGMENT_SIZE} to {MAX_SEGMENT_SIZE} bytes)"
        )
    key, commitment = _derive(dek, context, header[: _FIELDS.size], suite)  # 3
    if not hmac.compare_digest(commitment, header[_FIELDS.size :]):
        raise SealBrokenError(
            "key commitment differs (got another key, context or header, expected those sealed)"
        )
    return Segments(
        suite=suite,
        segment_size=segment_size,
        nonce_prefix=nonce_prefix,
        header=header,
        cipher=suite.cipher(key),
    )


def _derive(dek: bytes, context: bytes, fields: bytes, suite: Suite) -> tuple[bytes, bytes]:
    """Segment key and key commitment: one HKDF output over key, header fields and context."""
    if len(dek) != DEK_LENGTH:
        raise ValueError(
            f"data encryption key of the wrong length (got {len(dek)}, expected {DEK_LENGTH} bytes)"
        )
    salt = fields[-NONCE_PREFIX_LENGTH - SALT_LENGTH : -NONCE_PREFIX_LENGTH]
    okm = HKDF(
        algorithm=suite.hash(),
        length=suite.key_length + COMMITMENT_LENGTH,
        salt=salt,
        info=_KEY_LABEL + fields + context,
    ).derive(dek)
    return okm[: suite.key_length], okm[suite.key_length :]

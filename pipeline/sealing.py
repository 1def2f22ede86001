"""Files of the cache, sealed: AES-256-GCM in segments (the STREAM construction), a key for each file.

Order, end and belonging of the segments are authenticated: the nonce counts them and marks the last, and the key
of a file is derived by HKDF-SHA256 (RFC 5869) from the cache's key, 32 random bytes of that file and what it is.
"""

import secrets
from collections.abc import Iterator
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SEGMENT_BYTES: Final = 1024 * 1024
KEY_BYTES: Final = 32
_MAGIC: Final = b"FGCACHE1"
_TAG_BYTES: Final = 16


class BrokenSealError(Exception):
    """A sealed file was altered, cut short, or is sealed under another key."""


def derive_key(secret: bytes, salt: bytes, use: str) -> bytes:
    """A key of 32 bytes for one use."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=use.encode()).derive(secret)


class SealedWriter:
    """Seals what is written, segment by segment; only ``finish`` makes it whole."""

    def __init__(self, file: BinaryIO, key: bytes, belongs: str) -> None:
        """Begin a sealed file.

        Args:
            file: Where it goes.
            key: The cache's key.
            belongs: What the file is; the same must be named to open it.
        """
        salt = secrets.token_bytes(KEY_BYTES)
        self._aead = AESGCM(derive_key(key, salt, belongs))
        self._file = file
        self._pending = bytearray()
        self._count = 0
        file.write(_MAGIC + salt)

    def write(self, content: bytes) -> None:
        """Take more content."""
        self._pending += content
        while len(self._pending) > SEGMENT_BYTES:
            segment = bytes(self._pending[:SEGMENT_BYTES])
            del self._pending[:SEGMENT_BYTES]
            self._seal(segment, last=False)

    def finish(self) -> None:
        """Seal the last segment."""
        self._seal(bytes(self._pending), last=True)
        self._pending.clear()

    def _seal(self, segment: bytes, *, last: bool) -> None:
        self._file.write(self._aead.encrypt(_nonce(self._count, last=last), segment, None))
        self._count += 1


def open_sealed(file: BinaryIO, key: bytes, belongs: str) -> Iterator[bytes]:
    """The content of a sealed file, segment by segment; the end is reported only where it is authenticated.

    Raises:
        BrokenSealError: See there.
    """
    head = file.read(len(_MAGIC) + KEY_BYTES)
    if len(head) != len(_MAGIC) + KEY_BYTES or not head.startswith(_MAGIC):
        raise BrokenSealError("it is no sealed file of this version")
    aead = AESGCM(derive_key(key, head[len(_MAGIC) :], belongs))
    count, segment = 0, file.read(SEGMENT_BYTES + _TAG_BYTES)
    while True:
        following = file.read(SEGMENT_BYTES + _TAG_BYTES)
        try:
            content = aead.decrypt(_nonce(count, last=not following), segment, None)
        except (InvalidTag, ValueError) as error:
            raise BrokenSealError(f"segment {count} does not open") from error
        yield content
        if not following:
            return
        count, segment = count + 1, following


def _nonce(count: int, *, last: bool) -> bytes:
    return count.to_bytes(11, "big") + bytes([last])

"""The sealed file: segmented authenticated encryption with random access (docs/sealed-files.md).

Tink's streaming construction: a key per file from HKDF over the data encryption key with the object's
context; nonce = prefix, segment counter, last-segment flag. Added to it: a key commitment in the header, and
the whole header as associated data of each segment.
"""

import hashlib
import hmac
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.vault.errors import SealBrokenError
from gateway.vault.suites import AES256GCM, Suite, suite_by_identifier

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
class SealedSummary:
    """What sealing one stream came to; lengths in bytes."""

    plaintext_length: int
    plaintext_sha256: bytes
    sealed_length: int
    sealed_sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segments:
    """The cipher of one sealed file, bound to its header."""

    suite: Suite
    segment_size: int
    nonce_prefix: bytes
    header: bytes
    cipher: AESGCM

    @property
    def stride(self) -> int:
        """Length of a full sealed segment in bytes."""
        return self.segment_size + self.suite.tag_length

    def _nonce(self, index: int, *, last: bool) -> bytes:
        return _NONCE.pack(self.nonce_prefix, index, last)

    def seal(self, index: int, plaintext: Octets, *, last: bool) -> bytes:
        if index >= MAX_SEGMENTS:
            raise ValueError(
                f"stream too long (got more than {MAX_SEGMENTS} segments of {self.segment_size} bytes)"
            )
        return self.cipher.encrypt(self._nonce(index, last=last), plaintext, self.header)

    def open(self, index: int, sealed: bytes, *, last: bool) -> bytes:
        try:
            return self.cipher.decrypt(self._nonce(index, last=last), sealed, self.header)
        except InvalidTag:
            raise SealBrokenError(
                f"segment {index} does not authenticate (got changed bytes, expected those sealed)"
            ) from None


def sealed_length_of(plaintext_length: int, segment_size: int, suite: Suite = AES256GCM) -> int:
    """Length in bytes of the sealed file that holds a plaintext of the given length in bytes."""
    segments = max(1, -(-plaintext_length // segment_size))
    return HEADER_LENGTH + plaintext_length + segments * suite.tag_length


def seal_stream(
    chunks: Iterable[Octets],
    *,
    dek: bytes,
    context: bytes,
    write: Callable[[bytes], object],
    segment_size: int = DEFAULT_SEGMENT_SIZE,
) -> SealedSummary:
    """Seal a stream of any length in constant memory.

    Args:
        chunks: Plaintext in pieces of any length, none at all included.
        dek: Data encryption key, 32 bytes, fresh for each file.
        context: What the file is; the reader must name the same.
        write: Takes each piece of the sealed file in order.
        segment_size: Plaintext bytes per segment, 64 to 1 MiB.

    Returns:
        Lengths and SHA-256 digests of plaintext and sealed file.

    Raises:
        ValueError: A key or segment size of the wrong length.
    """
    plain, sealed = hashlib.sha256(), hashlib.sha256()
    plain_length = sealed_length = 0

    def measured() -> Iterator[Octets]:
        nonlocal plain_length
        for chunk in chunks:
            plain.update(chunk)
            plain_length += memoryview(chunk).nbytes
            yield chunk

    for piece in sealed_pieces(measured(), dek=dek, context=context, segment_size=segment_size):
        sealed.update(piece)
        sealed_length += len(piece)
        write(piece)
    return SealedSummary(
        plaintext_length=plain_length,
        plaintext_sha256=plain.digest(),
        sealed_length=sealed_length,
        sealed_sha256=sealed.digest(),
    )


def sealed_pieces(
    chunks: Iterable[Octets], *, dek: bytes, context: bytes, segment_size: int = DEFAULT_SEGMENT_SIZE
) -> Iterator[bytes]:
    """The sealed file in pieces, header first, without digests; arguments as for :func:`seal_stream`."""
    return _sealed_pieces(
        chunks,
        dek=dek,
        context=context,
        segment_size=segment_size,
        salt=os.urandom(SALT_LENGTH),
        nonce_prefix=os.urandom(NONCE_PREFIX_LENGTH),
    )


def _sealed_pieces(
    chunks: Iterable[Octets],
    *,
    dek: bytes,
    context: bytes,
    segment_size: int,
    salt: bytes,
    nonce_prefix: bytes,
) -> Iterator[bytes]:
    if not MIN_SEGMENT_SIZE <= segment_size <= MAX_SEGMENT_SIZE:
        raise ValueError(
            f"segment size (got {segment_size}, expected {MIN_SEGMENT_SIZE} to {MAX_SEGMENT_SIZE} bytes)"
        )
    fields = _FIELDS.pack(MAGIC, VERSION, AES256GCM.identifier, segment_size, salt, nonce_prefix)
    key, commitment = _derive(dek, context, fields, AES256GCM)
    segments = _Segments(
        suite=AES256GCM,
        segment_size=segment_size,
        nonce_prefix=nonce_prefix,
        header=fields + commitment,
        cipher=AES256GCM.cipher(key),
    )
    yield segments.header
    for index, (plaintext, last) in enumerate(_cut(chunks, segment_size)):
        yield segments.seal(index, plaintext, last=last)


def _cut(chunks: Iterable[Octets], size: int) -> Iterator[tuple[Octets, bool]]:
    """Segments of the stream and whether each is the last; a full one waits until more bytes follow."""
    pending = bytearray()
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        while view.nbytes:
            if len(pending) == size:
                yield pending, False
                pending = bytearray()
            if not pending and view.nbytes > size:
                yield view[:size], False
                view = view[size:]
                continue
            room = size - len(pending)
            pending += view[:room]
            view = view[room:]
    yield pending, True


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


def _open_header(header: bytes, dek: bytes, context: bytes) -> _Segments:
    """Verify a header.

    1. It is complete and says magic and version.
    2. Suite and segment size are known ones.
    3. Its commitment is that of this key, these fields and this context.
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
    return _Segments(
        suite=suite,
        segment_size=segment_size,
        nonce_prefix=nonce_prefix,
        header=header,
        cipher=suite.cipher(key),
    )


class SealedReader:
    """Random access to a sealed file: every byte is authenticated before it is handed out.

    Several threads may read through one reader.

    Args:
        read_at: Returns up to ``length`` bytes of the sealed file from ``offset``, fewer at its end only.
        sealed_length: Length of the stored file in bytes.
        dek: Data encryption key, 32 bytes.
        context: What the file is, as it was sealed.
        expected_plaintext_length: Length in bytes from the signed manifest. Where no manifest says it (small
            values in a database), None takes it from the file and authenticates the last segment at once,
            which a cut file lacks.

    Raises:
        SealBrokenError: Header, commitment or length is not what was sealed.
    """

    __slots__ = ("_count", "_read_at", "_segments", "length")

    def __init__(
        self,
        read_at: Callable[[int, int], bytes],
        *,
        sealed_length: int,
        dek: bytes,
        context: bytes,
        expected_plaintext_length: int | None,
    ) -> None:
        self._segments = _open_header(read_at(0, HEADER_LENGTH), dek, context)
        size, suite = self._segments.segment_size, self._segments.suite
        self._count = max(1, -(-(sealed_length - HEADER_LENGTH) // self._segments.stride))
        self.length: Final = sealed_length - HEADER_LENGTH - self._count * suite.tag_length
        if self.length < 0 or sealed_length != sealed_length_of(self.length, size, suite):
            raise SealBrokenError(f"length of the sealed file (got {sealed_length} bytes, which none has)")
        if expected_plaintext_length not in (None, self.length):
            raise SealBrokenError(
                f"length of the sealed file (got {sealed_length} bytes that hold {self.length},"
                f" expected {expected_plaintext_length})"
            )
        self._read_at = read_at
        if expected_plaintext_length is None:
            self._segment(self._count - 1)

    @property
    def suite(self) -> Suite:
        """The suite that the file is sealed with."""
        return self._segments.suite

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """Plaintext bytes ``start`` to ``end`` (exclusive); arguments and errors as for :meth:`chunks`."""
        return b"".join(self.chunks(start, end))

    def chunks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Plaintext bytes ``start`` to ``end`` in order, each segment authenticated before it is yielded.

        Args:
            start: First byte, 0 to :attr:`length`.
            end: One past the last byte, ``start`` to :attr:`length`; None reads to the end.

        Raises:
            ValueError: The range is not within the file.
            SealBrokenError: A segment is missing, moved, cut or changed.
        """
        end = self.length if end is None else end
        if not 0 <= start <= end <= self.length:
            raise ValueError(
                f"range outside the file (got {start} to {end}, expected within 0 to {self.length})"
            )
        return self._chunks(start, end)

    def _chunks(self, start: int, end: int) -> Iterator[bytes]:
        if self.length == 0:
            self._segment(0)
            return
        size = self._segments.segment_size
        for index in range(start // size, -(-end // size) if end > start else start // size):
            plaintext = self._segment(index)
            base = index * size
            if start <= base and base + len(plaintext) <= end:
                yield plaintext
            else:
                yield plaintext[max(0, start - base) : end - base]

    def _segment(self, index: int) -> bytes:
        last = index == self._count - 1
        stride = self._segments.stride
        expected = stride
        if last:
            expected = self.length - index * self._segments.segment_size + self._segments.suite.tag_length
        sealed = self._read_at(HEADER_LENGTH + index * stride, expected)
        if len(sealed) != expected:
            raise SealBrokenError(
                f"segment {index} is truncated (got {len(sealed)}, expected {expected} bytes)"
            )
        return self._segments.open(index, sealed, last=last)

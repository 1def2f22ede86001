"""Writing and reading sealed files (docs/sealed-files.md)."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from gateway.vault.container import (
    DEFAULT_SEGMENT_SIZE,
    HEADER_LENGTH,
    NONCE_PREFIX_LENGTH,
    SALT_LENGTH,
    Octets,
    new_header,
    open_header,
    sealed_length_of,
)
from gateway.vault.errors import SealBrokenError
from gateway.vault.suites import Suite

# Segments that are wanted together are read together, up to this many bytes.
_READ_LENGTH: Final = 4 * (DEFAULT_SEGMENT_SIZE + 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSummary:
    """What sealing one stream came to; lengths in bytes."""

    plaintext_length: int
    plaintext_sha256: bytes
    sealed_length: int
    sealed_digest: bytes


def seal_stream(
    chunks: Iterable[Octets],
    *,
    dek: bytes,
    context: bytes,
    suite: Suite,
    write: Callable[[bytes], object],
    segment_size: int = DEFAULT_SEGMENT_SIZE,
) -> SealedSummary:
    """Seal a stream of any length in constant memory.

    Args:
        chunks: Plaintext in pieces of any length, none at all included.
        dek: Data encryption key, 32 bytes, fresh for each file.
        context: What the file is; the reader must name the same.
        suite: Cipher and hash.
        write: Takes each piece of the sealed file in order.
        segment_size: Plaintext bytes per segment, 64 to 1 MiB.

    Returns:
        Lengths, the plaintext's SHA-256, and the suite's digest of the sealed file.

    Raises:
        ValueError: A key or segment size of the wrong length.
    """
    plain, sealed = hashlib.sha256(), suite.digest()
    plain_length = sealed_length = 0

    def measured() -> Iterator[Octets]:
        nonlocal plain_length
        for chunk in chunks:
            plain.update(chunk)
            plain_length += memoryview(chunk).nbytes
            yield chunk

    pieces = sealed_pieces(measured(), dek=dek, context=context, suite=suite, segment_size=segment_size)
    for piece in pieces:
        sealed.update(piece)
        sealed_length += len(piece)
        write(piece)
    return SealedSummary(
        plaintext_length=plain_length,
        plaintext_sha256=plain.digest(),
        sealed_length=sealed_length,
        sealed_digest=sealed.digest(),
    )


def sealed_pieces(
    chunks: Iterable[Octets],
    *,
    dek: bytes,
    context: bytes,
    suite: Suite,
    segment_size: int = DEFAULT_SEGMENT_SIZE,
) -> Iterator[bytes]:
    """The sealed file in pieces, header first, without digests; arguments as for :func:`seal_stream`."""
    return _sealed_pieces(
        chunks,
        dek=dek,
        context=context,
        suite=suite,
        segment_size=segment_size,
        salt=os.urandom(SALT_LENGTH),
        nonce_prefix=os.urandom(NONCE_PREFIX_LENGTH),
    )


def _sealed_pieces(
    chunks: Iterable[Octets],
    *,
    dek: bytes,
    context: bytes,
    suite: Suite,
    segment_size: int,
    salt: bytes,
    nonce_prefix: bytes,
) -> Iterator[bytes]:
    segments = new_header(
        dek, context, suite=suite, segment_size=segment_size, salt=salt, nonce_prefix=nonce_prefix
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
        read_at: Callable[[int, int], Octets],
        *,
        sealed_length: int,
        dek: bytes,
        context: bytes,
        expected_plaintext_length: int | None,
    ) -> None:
        self._segments = open_header(bytes(read_at(0, HEADER_LENGTH)), dek, context)
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
            next(self._opened(self._count - 1, self._count))

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
            next(self._opened(0, 1))
            return
        size = self._segments.segment_size
        stop = -(-end // size) if end > start else start // size
        at_once = max(1, _READ_LENGTH // self._segments.stride)
        for first in range(start // size, stop, at_once):
            base = first * size
            for plaintext in self._opened(first, min(first + at_once, stop)):
                if start <= base and base + len(plaintext) <= end:
                    yield plaintext
                else:
                    yield plaintext[max(0, start - base) : end - base]
                base += size

    def _opened(self, first: int, stop: int) -> Iterator[bytes]:
        """Segments ``first`` to ``stop`` (exclusive), read at once and opened one by one."""
        stride = self._segments.stride
        last = self.length - (self._count - 1) * self._segments.segment_size + self._segments.suite.tag_length
        length = (stop - first) * stride - (stride - last if stop == self._count else 0)
        sealed = memoryview(self._read_at(HEADER_LENGTH + first * stride, length))
        for index in range(first, stop):
            expected = last if index == self._count - 1 else stride
            offset = (index - first) * stride
            segment = sealed[offset : offset + expected]
            if segment.nbytes != expected:
                raise SealBrokenError(
                    f"segment {index} is truncated (got {segment.nbytes}, expected {expected} bytes)"
                )
            yield self._segments.open(index, segment, last=index == self._count - 1)

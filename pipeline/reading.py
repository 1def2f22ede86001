"""A streaming reader that proves what it read."""

import io
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from pipeline.errors import TamperedReleaseError
from pipeline.manifest import ReleaseItem


class ItemReader(io.RawIOBase):
    """Reads one item of a release as it arrives.

    The end of the stream is reported only if size and digest are those of the signed manifest; otherwise
    reading raises ``TamperedReleaseError``. Whoever stops before the end has proved nothing.
    """

    def __init__(self, chunks: Iterator[bytes], item: ReleaseItem) -> None:
        """Read the bytes that ``chunks`` gives as ``item``."""
        super().__init__()
        self._chunks = chunks
        self._item = item
        self._digest = sha256()
        self._count = 0
        self._pending = memoryview(b"")
        self._verified = False

    @property
    def verified(self) -> bool:
        """Whether the end was reached and everything matched."""
        return self._verified

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer with what is next; 0 at the proved end."""
        target = memoryview(buffer).cast("B")
        while not self._pending and not self._verified:
            self._next_chunk()
        size = min(len(target), len(self._pending))
        target[:size] = self._pending[:size]
        self._pending = self._pending[size:]
        return size

    def readall(self) -> bytes:
        """Everything that is left, proved."""
        parts = [bytes(self._pending)]
        self._pending = memoryview(b"")
        while not self._verified:
            self._next_chunk()
            parts.append(bytes(self._pending))
            self._pending = memoryview(b"")
        return b"".join(parts)

    def _next_chunk(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            got = self._count, self._digest.hexdigest()
            expected = self._item.size, self._item.sha256
            if got != expected:
                raise TamperedReleaseError(
                    f"{self._item.name!r} size and sha256 (got {got}, expected {expected})"
                )
            self._verified = True
            return
        self._digest.update(chunk)
        self._count += len(chunk)
        if self._count > self._item.size:
            raise TamperedReleaseError(
                f"{self._item.name!r} is longer than the signed {self._item.size} bytes"
            )
        self._pending = memoryview(chunk)

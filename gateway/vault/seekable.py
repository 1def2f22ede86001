"""A sealed object as a seekable file: for readers that jump about in what is too large for memory."""

import io
from collections import OrderedDict
from typing import Final

from gateway.vault.sealed import SealedReader

WINDOW_BYTES: Final = 256 * 1024
WINDOWS: Final = 16


class SealedFile(io.RawIOBase):
    """Read-only binary file over a sealed object; every byte is authenticated before it is handed out.

    Holds at most ``WINDOWS`` pieces of ``WINDOW_BYTES`` in memory, the least recently used goes first. One
    thread at a time.

    Args:
        reader: The opened sealed object.
    """

    def __init__(self, reader: SealedReader) -> None:
        self._reader = reader
        self._position = 0
        self._windows: OrderedDict[int, bytes] = OrderedDict()

    @property
    def length(self) -> int:
        """Plaintext bytes."""
        return self._reader.length

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position in bytes from the beginning."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move, as ``io.IOBase.seek``; positions behind the end read nothing.

        Raises:
            ValueError: The position would lie before the beginning, or ``whence`` is none of 0, 1, 2.
        """
        origins = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.length}
        if whence not in origins:
            raise ValueError(f"whence (got {whence}, expected 0, 1 or 2)")
        position = origins[whence] + offset
        if position < 0:
            raise ValueError(f"position (got {position}, expected 0 or more)")
        self._position = position
        return position

    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes, fewer only at the end; all that is left where ``size`` is negative.

        Raises:
            SealBrokenError: A segment is missing, moved, cut or changed.
            StorageError: The blob could not be read.
        """
        end = self.length if size < 0 else min(self.length, self._position + size)
        pieces = []
        while self._position < end:
            start = self._position - self._position % WINDOW_BYTES
            piece = self._window(start)[self._position - start : end - start]
            pieces.append(piece)
            self._position += len(piece)
        return b"".join(pieces)

    def readall(self) -> bytes:
        """All that is left; errors as for :meth:`read`."""
        return self.read()

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Fill a buffer as far as there are bytes; errors as for :meth:`read`."""
        view = memoryview(buffer).cast("B")
        content = self.read(view.nbytes)
        view[: len(content)] = content
        return len(content)

    def _window(self, start: int) -> bytes:
        held = self._windows.get(start)
        if held is None:
            held = self._reader.read(start, min(start + WINDOW_BYTES, self.length))
            self._windows[start] = held
            if len(self._windows) > WINDOWS:
                self._windows.popitem(last=False)
        self._windows.move_to_end(start)
        return held

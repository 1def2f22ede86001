"""Exact reading at offsets from a seekable file."""

import os
import zlib
from typing import BinaryIO

from anonymize.errors import MalformedItemError

_PIECE = 1024 * 1024


class Source:
    """A cursor of its own in a file, so that several readings of one file do not disturb one another.

    Attributes:
        end: Length of the file.
        offset: Where the cursor stands.
        crc: CRC-32 of what was read since it was last set to 0; 0 throughout without ``with_crc``.
    """

    def __init__(self, file: BinaryIO, *, with_crc: bool = False) -> None:
        self._file = file
        self._with_crc = with_crc
        self.end = file.seek(0, os.SEEK_END)
        self.offset = 0
        self.crc = 0

    @property
    def left(self) -> int:
        """Bytes between the cursor and the end of the file."""
        return self.end - self.offset

    def require(self, length: int, what: str) -> None:
        """Refuse a length that reaches beyond the end of the file, before anything is allocated for it.

        Raises:
            MalformedItemError: The file is cut short.
        """
        if length > self.left:
            raise MalformedItemError(
                f"the file is cut short in {what} (got {self.left} bytes at {self.offset}, expected {length})"
            )

    def read(self, length: int, what: str) -> bytes:
        """Read exactly ``length`` bytes and add them to ``crc``.

        Raises:
            MalformedItemError: The file is cut short.
        """
        self.require(length, what)
        self._file.seek(self.offset)
        data = self._file.read(length)
        if len(data) != length:
            raise MalformedItemError(
                f"the file is cut short in {what} (got {len(data)} bytes at {self.offset}, expected {length})"
            )
        self.offset += length
        if self._with_crc:
            self.crc = zlib.crc32(data, self.crc)
        return data

    def skip(self, length: int, what: str) -> None:
        """Pass over ``length`` bytes in constant memory and add them to ``crc``.

        Raises:
            MalformedItemError: The file is cut short.
        """
        self.require(length, what)
        while length > 0:
            length -= len(self.read(min(length, _PIECE), what))

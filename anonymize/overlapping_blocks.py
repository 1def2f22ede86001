"""Cut a stream into blocks that overlap, so that a search of each block alone sees everything once and whole."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A piece of content.

    Attributes:
        base: Place of its first byte in the whole content.
        low: First byte of the block at which something found may begin.
        high: One past the last such byte: these ranges of all blocks follow one another without gaps.
        content: The bytes, with some before ``low`` and after ``high``.
    """

    base: int
    low: int
    high: int
    content: bytes


class OverlappingBlocks:
    """Blocks of a stream that is given piece by piece.

    Args:
        size: Bytes in which something may begin, per block.
        behind: Bytes before them.
        ahead: Bytes after them: the longest thing to be found is no longer.
    """

    def __init__(self, *, size: int, behind: int, ahead: int) -> None:
        self._size, self._behind, self._ahead = size, behind, ahead
        self._held, self._base, self._low = bytearray(), 0, 0
        self.length = 0

    def feed(self, chunk: bytes) -> Iterator[Block]:
        """The blocks that a further piece completes."""
        self.length += len(chunk)
        for at in range(0, len(chunk), self._size):
            self._held += chunk[at : at + self._size]
            while len(self._held) >= self._low + self._size + self._ahead:
                high = self._low + self._size
                content = bytes(self._held[: high + self._ahead])
                yield Block(base=self._base, low=self._low, high=high, content=content)
                kept = max(high - self._behind, 0)
                del self._held[:kept]
                self._base, self._low = self._base + kept, high - kept

    def rest(self) -> Iterator[Block]:
        """The last block."""
        if self._held:
            content = bytes(self._held)
            yield Block(base=self._base, low=self._low, high=len(content), content=content)
            self._held.clear()

"""Text in UTF-16 among any bytes, narrowed to one byte a character for searches that know ASCII only."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_FILLER = 0x7F
_ALNUM = np.zeros(256, bool)
_ALNUM[[*range(48, 58), *range(65, 91), *range(97, 123)]] = True


def narrowed(block: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Every other byte of a block, for either byte order at either alignment.

    Only where letters or digits alternate with zeros. Characters beyond the first 256 become a filler.

    Yields:
        The bytes, and the place of the first of them in the block.
    """
    zero, letter = block == 0, _ALNUM[block]
    alternating = letter[:-4] & zero[1:-3] & letter[2:-2] & zero[3:-1] & letter[4:]
    for place in (0, 1):
        if alternating[place::2].any():
            low = block[place::2]
            for high in (block[place + 1 :: 2], np.concatenate(([0], block))[place::2]):
                beyond = np.zeros(len(low), bool)
                beyond[: len(high)] = high[: len(low)] != 0
                yield np.where(beyond, np.uint8(_FILLER), low), place

"""For each of many numbers at once: in which notations could it be a coordinate near the known fixes?

Every notation has two bits, the even one for its first coordinate and the odd one for its second, so that one
pair of integer operations finds, in all notations and both orders, the neighbouring numbers that are worth a
closer look.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.position_index import Bounds

Masks = NDArray[np.uint64]
Places = NDArray[np.intp]

FIRST = np.uint64(0x5555_5555_5555_5555)
_ONE = np.uint64(1)


def bit(position: int) -> np.uint64:
    """A mask with one bit set."""
    return np.uint64(1 << position)


class NumberRanges:
    """Ranges by bit; a number's mask has the bits of all ranges that hold it.

    Args:
        ranges: Bit and range; several ranges may set one bit.
    """

    def __init__(self, ranges: Sequence[tuple[int, Bounds]]) -> None:
        self._edges = np.unique([edge for _, bounds in ranges for edge in bounds])
        low = np.concatenate(([-np.inf], self._edges))
        high = np.concatenate((self._edges, [np.inf]))
        self._masks = np.zeros(len(low), np.uint64)
        for position, (first, last) in ranges:
            self._masks[(low < last) & (high > first)] |= bit(position)

    def masks(self, values: FloatArray) -> Masks:
        """The mask of each number; none for NaN."""
        found = self._masks[np.searchsorted(self._edges, values)]
        found[np.isnan(values)] = 0
        return found


def pairs(mask: Masks, partner: Masks, places: Places) -> Iterator[tuple[int, bool, Places]]:
    """The notations in which numbers and their partners could be two coordinates.

    Args:
        mask: Masks of numbers.
        partner: Masks of their partners, as many.
        places: What to return of each.

    Yields:
        Number of the notation, whether the second coordinate comes first, and the places.
    """
    for turned, joint in (
        (False, mask & (partner >> _ONE) & FIRST),
        (True, (mask >> _ONE) & partner & FIRST),
    ):
        hot = np.flatnonzero(joint)
        if len(hot):
            seen = int(np.bitwise_or.reduce(joint[hot]))
            for notation in range(seen.bit_length() // 2 + 1):
                if seen >> (2 * notation) & 1:
                    yield notation, turned, places[hot[(joint[hot] & bit(2 * notation)) != 0]]

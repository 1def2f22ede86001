# ruff: noqa: PLR2004 - numbers are codes of characters and lengths of words
"""All decimal numbers in a piece of text, found and read with array operations.

Works on bytes, so that any encoding that keeps ASCII (UTF-8, GB 18030, Latin-1) and any mixture of text and
binary will do.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anonymize.geo.ellipsoid import FloatArray

IntArray = NDArray[np.int64]
Flags = NDArray[np.bool_]

_PAD = 32
_WORD = 8
_LONGEST = 2 * _WORD
_MOST_DECIMALS = 24
_POWERS = 10.0 ** np.arange(_MOST_DECIMALS + 1)
_LETTER = np.zeros(256, bool)
_LETTER[[*range(65, 91), *range(97, 123), 95]] = True
_ALNUM = _LETTER.copy()
_ALNUM[48:58] = True
_SKIPPED = np.zeros(256, bool)
_SKIPPED[[0x20, 0x2C, 0x22, 0x27, 0xC2, 0xB0]] = True
_SOUTH_WEST = np.zeros(256, bool)
_SOUTH_WEST[[ord(c) for c in "SWsw"]] = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Numbers:
    """Numbers in the order of the text.

    Attributes:
        value: Value, with its sign.
        decimals: Digits after the point less the exponent; -1 for integers.
        start: First byte, the sign left out.
        end: One past the last byte.
    """

    value: FloatArray
    decimals: IntArray
    start: IntArray
    end: IntArray

    def __len__(self) -> int:
        return len(self.value)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Digits:
    """Runs of digits: bytes of the text with room around it, where runs begin and end, and their values."""

    text: NDArray[np.uint8]
    start: IntArray
    end: IntArray
    value: FloatArray

    @classmethod
    def of(cls, content: NDArray[np.uint8]) -> "Digits":
        """Find the runs of digits; one of more than 16 digits is worth NaN."""
        text = np.zeros(len(content) + 2 * _PAD, np.uint8)
        text[_PAD:-_PAD] = content
        edges = np.flatnonzero(np.diff((text - np.uint8(48)) < 10)) + 1
        start, end = edges[0::2], edges[1::2]
        words = np.ndarray((len(text) - _WORD + 1,), "<u8", text.data, strides=(1,))
        length = end - start
        value = _word(words[end - _WORD], np.minimum(length, _WORD)).astype(np.float64)
        long = np.flatnonzero(length > _WORD)
        if len(long):
            rest = np.minimum(length[long] - _WORD, _WORD)
            value[long] += 1e8 * _word(words[end[long] - _LONGEST], rest)
            value[length > _LONGEST] = np.nan
        return cls(text=text, start=start, end=end, value=value)

    def numbers(self) -> Numbers:
        """Numbers with or without point, sign and exponent; no versions, addresses or hexadecimal words."""
        if not len(self.start):
            return _NONE
        dotted = self._joined(ord("."))
        fraction = np.concatenate(([False], dotted[:-1]))
        chained = np.concatenate((fraction[1:] & dotted[1:], [False]))
        value, decimals, end = self._with_fractions(dotted)
        end, power, taken = self._exponents(dotted, end)
        value[power != 0] *= 10.0 ** power[power != 0]
        head = ~fraction & ~chained & ~taken & ~(self._in_word(end) & ~dotted)
        head &= ~np.isnan(value)
        start = self.start[head]
        value = np.where(self.text[start - 1] == ord("-"), -value[head], value[head])
        return Numbers(
            value=value,
            decimals=np.where(dotted, decimals - power, -1)[head],
            start=start - _PAD,
            end=end[head] - _PAD,
        )

    def comma_numbers(self) -> Numbers:
        """Numbers of at most three digits, a comma, and at least four: the decimal comma."""
        if not len(self.start):
            return _NONE
        comma, dotted = self._joined(ord(",")), self._joined(ord("."))
        length = self.end - self.start
        following = np.concatenate((length[1:], [0]))
        points = dotted | np.concatenate((dotted[1:], [False])) | np.concatenate(([False], dotted[:-1]))
        head = comma & (length <= 3) & (following >= 4) & (following <= _LONGEST) & ~points
        at = np.flatnonzero(head)
        value = self.value[at] + self.value[at + 1] / _POWERS[following[at]]
        start = self.start[at]
        return Numbers(
            value=np.where(self.text[start - 1] == ord("-"), -value, value),
            decimals=following[at],
            start=start - _PAD,
            end=self.end[at + 1] - _PAD,
        )

    def southern_or_western(self, numbers: Numbers) -> tuple[Flags, Flags]:
        """Whether a number has the letter S or W before it; whether it has one after it."""
        before = numbers.start + _PAD - 1
        before = before - (self.text[before] == 0x20)
        after = numbers.end + _PAD
        for _ in range(3):
            after = after + _SKIPPED[self.text[after]]
        return (
            _SOUTH_WEST[self.text[before]] & ~_LETTER[self.text[before - 1]],
            _SOUTH_WEST[self.text[after]] & ~_LETTER[self.text[after + 1]],
        )

    def _joined(self, separator: int) -> Flags:
        """Whether a run is followed by the separator and at once by another run."""
        follows = np.zeros(len(self.start), bool)
        follows[:-1] = (self.text[self.end[:-1]] == separator) & (self.start[1:] == self.end[:-1] + 1)
        return follows

    def _with_fractions(self, dotted: Flags) -> tuple[FloatArray, IntArray, IntArray]:
        value, end = self.value.copy(), self.end.copy()
        decimals = np.zeros(len(value), np.int64)
        at = np.flatnonzero(dotted)
        length = self.end[at + 1] - self.start[at + 1]
        # Digits beyond the sixteenth do not matter: read the first sixteen.
        fraction, long = self.value[at + 1], np.flatnonzero(length > _LONGEST)
        if len(long):
            words = np.ndarray((len(self.text) - _WORD + 1,), "<u8", self.text.data, strides=(1,))
            first = self.start[at[long] + 1]
            whole = np.full(len(long), _WORD, np.int64)
            fraction[long] = 1e8 * _word(words[first], whole) + _word(words[first + _WORD], whole)
        value[at] += fraction / _POWERS[np.minimum(length, _LONGEST)]
        decimals[at], end[at] = length, self.end[at + 1]
        return value, decimals, end

    def _exponents(self, dotted: Flags, end: IntArray) -> tuple[IntArray, IntArray, Flags]:
        """Where numbers end with their exponents, the exponents, and the runs that are exponents."""
        power, taken = np.zeros(len(end), np.int64), np.zeros(len(end), bool)
        at = np.flatnonzero(dotted & ((self.text[end] | 0x20) == ord("e")))
        following = np.minimum(at + 2, len(end) - 1)
        gap = self.start[following] - end[at]
        sign = self.text[end[at] + 1]
        fits = (gap == 1) | ((gap == 2) & ((sign == ord("+")) | (sign == ord("-"))))
        fits &= self.end[following] - self.start[following] <= 2
        at, following, sign = at[fits], following[fits], sign[fits]
        exponent = self.value[following].astype(np.int64)
        power[at] = np.where(sign == ord("-"), -exponent, exponent)
        end = end.copy()
        end[at], taken[following] = self.end[following], True
        return end, power, taken

    def _in_word(self, end: IntArray) -> Flags:
        """Whether a run is part of a word or a hexadecimal number; a letter by itself is a hemisphere."""
        text = self.text
        before = _LETTER[text[self.start - 1]] & _ALNUM[text[self.start - 2]]
        return np.asarray(before | (_LETTER[text[end]] & _ALNUM[text[end + 1]]))


_NONE = Numbers(
    value=np.zeros(0), decimals=np.zeros(0, np.int64), start=np.zeros(0, np.int64), end=np.zeros(0, np.int64)
)


def _word(words: NDArray[np.uint64], length: IntArray) -> NDArray[np.uint64]:
    """The values of the last ``length`` (at most 8) characters of words of eight digits, all at once.

    Neighbouring digits are joined to pairs, pairs to fours, fours to the whole, each by one multiplication
    that adds a lower part times its power of ten to a higher one.
    """
    unused = ((_WORD - length) * 8).astype(np.uint64)
    kept = np.where(length > 0, (words >> unused) << unused, 0).astype(np.uint64)
    pairs = ((kept & np.uint64(0x0F0F0F0F0F0F0F0F)) * np.uint64(2561)) >> np.uint64(8)
    fours = ((pairs & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(6553601)) >> np.uint64(16)
    return np.asarray(((fours & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(42949672960001)) >> np.uint64(32))

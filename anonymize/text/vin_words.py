"""Find VINs that nobody named beforehand, by the check digit of ISO 3779 (GB 16735), in any bytes.

One in eleven words of 17 letters and digits has a right check digit by chance, so a word has to be one: bounded by
other characters, in one case, and neither part of a number nor of base64. Base64 is decoded instead, and what it
encodes is searched.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from anonymize.text.checksums import is_vin
from anonymize.wide_text import narrowed

VIN_CHARACTERS = 17
# A word between ``+`` and ``/`` in a run of at least so many characters of base64 is no word, it is content. In
# runs that are shorter (paths of files, sums of names) it counts.
BASE64_RUN = 1024
_LEAST_BASE64 = -(-VIN_CHARACTERS * 8 // 6)
_INVALID = np.uint8(255)
_ALPHANUMERIC = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def _sextets() -> NDArray[np.uint8]:
    """The value of each character of base64 and of its form for addresses (RFC 4648), 255 for others."""
    table = np.full(256, _INVALID)
    for alphabet in (_ALPHANUMERIC + b"-_", _ALPHANUMERIC + b"+/"):
        table[list(alphabet)] = np.arange(64)
    return table


_SEXTET = _sextets()
_ALNUM = np.zeros(256, bool)
_ALNUM[list(_ALPHANUMERIC)] = True
_BASE64 = _ALNUM.copy()
_BASE64[list(b"+/")] = True


def vins_in(text: NDArray[np.uint8]) -> Iterator[tuple[int, int, str]]:
    """First byte, one past the last and form of each VIN: plain, in UTF-16, or encoded in base64.

    Args:
        text: The bytes. At either side of what is to be found there should be ``BASE64_RUN`` bytes more, where
            the content has them.
    """
    for start in _words(text):
        yield start, start + VIN_CHARACTERS, "check digit"
    for narrow, place in narrowed(text):
        for start in _words(narrow):
            first = 2 * start + place
            yield first, first + 2 * VIN_CHARACTERS - 1, "check digit utf-16"
    for decoded, places in _decoded(text):
        for start in _words(decoded):
            first, last = (n // 3 * 4 + n % 3 for n in (start, start + VIN_CHARACTERS - 1))
            yield int(places[first]), int(places[last + 1]) + 1, "check digit base64"


def _words(text: NDArray[np.uint8]) -> Iterator[int]:
    starts, ends = _runs(_ALNUM[text])
    base64: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    for first in starts[ends - starts == VIN_CHARACTERS].tolist():
        last = first + VIN_CHARACTERS
        word = text[first:last].tobytes().decode("ascii")
        if not ((word.isupper() or word.islower()) and is_vin(word)) or _of_number(text, word, first):
            continue
        base64 = base64 or _runs(_BASE64[text])
        run = int(np.searchsorted(base64[0], first, side="right")) - 1
        if base64[1][run] - base64[0][run] < BASE64_RUN:
            yield first


def _runs(inside: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], inside, [False]))))
    return edges[0::2], edges[1::2]


def _of_number(text: NDArray[np.uint8], word: str, first: int) -> bool:
    """Whether a word is digits and exponent of a number, as in ``1.2246467991473532e-16``.

    No VIN is hidden by that: the last characters of one are digits, and this is no number without its point.
    """
    digits, _, power = word.lower().partition("e")
    if not digits.isdigit():
        return False
    if not power:
        last = first + len(word)
        following = text[last : last + 2].tobytes()
        return following[:1] in {b"+", b"-"} and following[1:].isdigit()
    before = text[max(first - 2, 0) : first].tobytes()
    return power.isdigit() and before[-1:] == b"." and before[:-1].isdigit()


def _decoded(text: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """What runs of base64 encode, at each of the four alignments; zeros part them.

    Yields:
        The bytes, and the place in ``text`` of each character that they were decoded from, four for three bytes.
    """
    starts, ends = _runs(_SEXTET[text] != _INVALID)
    long = ends - starts >= _LEAST_BASE64
    if not long.any():
        return
    starts, ends = starts[long], ends[long]
    # Behind each run three characters of no content stand for the padding, and one that is invalid parts it.
    lengths = ends - starts + 4
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    behind = within - np.repeat(ends - starts, lengths)
    place = np.repeat(starts, lengths) + within
    place[behind >= 0] -= behind[behind >= 0] + 1
    sextets = np.where(behind < 0, _SEXTET[text[place]], np.where(behind == 3, _INVALID, np.uint8(0)))  # noqa: PLR2004
    for alignment in range(4):
        count = (len(sextets) - alignment) // 4
        quads = sextets[alignment : alignment + 4 * count].reshape(-1, 4)
        a, b, c, d = quads.T
        decoded = np.stack([a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d], axis=1)
        decoded[(quads == _INVALID).any(axis=1)] = 0
        yield decoded.reshape(-1), place[alignment:]

"""Strings that are known to be sensitive in a recording, searched for in any number of texts.

Neither case nor separators hide a string. However many there are, a text is read once: only strings that share
five characters with it are compared with it.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from anonymize.text.fold import FILLER, fold

_LEAST: Final = 5
_LEAST_DIGITS: Final = 7
_ANCHOR: Final = 5
_PART: Final = 1 << 16
_DROPPED: Final = re.compile(rf"[^\w{FILLER}]|_")
_NO_WORDS: Final = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """Strings by how they are searched for; numbers are their places among those given.

    Attributes:
        numbers: Of each bare string.
        anchored: Bare strings by five of their characters, those that the fewest others share.
        words: Bare strings that only count as words of their own, each with its expression.
        any_word: Finds whether there is any of ``words`` at all.
    """

    numbers: Mapping[str, Sequence[int]]
    anchored: Mapping[str, Sequence[str]]
    words: Mapping[str, re.Pattern[str]]
    any_word: re.Pattern[str]


class PlantedStrings:
    """Strings to search for, prepared at the first search.

    Args:
        strings: A VIN from a manifest, the stem of a file name, the id of a vehicle. Those of fewer than 5 letters
            or 7 digits are only searched as whole words.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        self._strings = tuple(strings)

    def __len__(self) -> int:
        return len(self._strings)

    def found_in(self, text: str) -> frozenset[int]:
        """The numbers of the strings that a folded text (:func:`anonymize.text.fold.fold`) shows.

        Raises:
            ValueError: A string holds neither letters nor digits.
        """
        prepared = self._prepared
        bare = _bare(text)
        shared: set[str] = set()
        for start in range(0, len(bare), _PART):
            part = bare[start : start + _PART + _ANCHOR - 1]
            shared |= prepared.anchored.keys() & {
                part[i : i + _ANCHOR] for i in range(len(part) - _ANCHOR + 1)
            }
        found = {string for anchor in shared for string in prepared.anchored[anchor] if string in bare}
        if prepared.any_word.search(text):
            found |= {string for string, word in prepared.words.items() if word.search(text)}
        return frozenset(number for string in found for number in prepared.numbers[string])

    @cached_property
    def _prepared(self) -> _Prepared:
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        for number, string in enumerate(self._strings):
            bare = _bare(fold(string).text)
            if not bare:
                raise ValueError("a planted string holds letters or digits (got none)")
            numbers[bare].append(number)
        words = [bare for bare in numbers if len(bare) < (_LEAST_DIGITS if bare.isdigit() else _LEAST)]
        return _Prepared(
            numbers=dict(numbers),
            anchored=_anchored([bare for bare in numbers if bare not in set(words)]),
            words={bare: _word(re.escape(bare)) for bare in words},
            any_word=_word("|".join(map(re.escape, words))) if words else _NO_WORDS,
        )


def _anchored(strings: Sequence[str]) -> dict[str, list[str]]:
    shared = Counter(anchor for string in strings for anchor in set(_anchors_of(string)))
    anchored: defaultdict[str, list[str]] = defaultdict(list)
    for string in strings:
        anchored[min(_anchors_of(string), key=shared.__getitem__)].append(string)
    return dict(anchored)


def _anchors_of(string: str) -> Iterator[str]:
    return (string[i : i + _ANCHOR] for i in range(len(string) - _ANCHOR + 1))


def _word(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.])(?:{pattern})(?![\w])(?!\.\w)", re.IGNORECASE)


def _bare(text: str) -> str:
    """Letters, digits and blanked placeholders of a text, without regard to case."""
    return _DROPPED.sub("", text.casefold())

# ruff: noqa: E501, PLR2004 - an expression reads best on one line; names have two to four characters
"""Personal names in Chinese and English text.

jieba is used without its global tokenizer: that one writes a cache into the temporary folder and logs to the
console (law 3: nothing is written outside the vault). The dictionary is read from the installed package; building
takes about 1.2 s and 70 MB once per process.
"""

import hashlib
import logging
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

from anonymize.errors import LimitExceededError
from anonymize.text.name_words import COMPOUND_SURNAMES, NOT_NAMES, ROLES, SINGLE_SURNAMES, TITLES

with warnings.catch_warnings():
    # jieba imports pkg_resources where setuptools has it, which warns; jieba falls back by itself.
    warnings.simplefilter("ignore")
    import jieba  # type: ignore[import-untyped]
    import jieba.posseg  # type: ignore[import-untyped]

jieba.setLogLevel(logging.ERROR)

_SURNAME = rf"(?:{COMPOUND_SURNAMES}|[{SINGLE_SURNAMES}])"
_HAN = "[\u4e00-\u9fff]"
_FOLLOWS = r"(?![\u4e00-\u9fff])"
_AFTER_NAME = (
    r"(?=[^\u4e00-\u9fff]|和|与|及|在|于|从|把|将|因|驾|说|报|负|的|已|电|手|身|证|担|进|发|操|接|$)"
)
_ENGLISH_ROLES = (
    r"driver|operator|passenger|contact(?: person)?|owner|author|annotator|reviewer|engineer|recorded by|signed by|"
    r"full name|person|tester|reported by|written by|name"
)
_CAPITALISED = r"(?-i:[A-ZÀ-Þ][\w'’\-]{1,24})"

_LABELLED_CHINESE = re.compile(
    rf"(?:{ROLES})(?:姓名)?[ ]?(?:[:=]|是|为|叫|[ ]|\[|\()[ ]?(?P<v>{_SURNAME}{_HAN}{{1,3}}?){_AFTER_NAME}",
    re.MULTILINE,
)
_ROLE_ADJACENT = re.compile(rf"(?:{ROLES})(?P<v>{_SURNAME}{_HAN}{{1,2}}?){_AFTER_NAME}", re.MULTILINE)
_TITLED_CHINESE = re.compile(rf"(?P<v>{_SURNAME}{_HAN}{{0,2}}?)(?:{TITLES})")
_FOREIGN = re.compile(rf"{_HAN}{{2,6}}(?:·{_HAN}{{1,8}}){{1,3}}")
_SPACED_NAME = re.compile(
    rf"(?:姓名|联系人|驾驶员|司机)[ ]?:[ ]?(?P<v>{_SURNAME}(?:[ ]{_HAN}){{1,2}}){_FOLLOWS}"
)
_LABELLED_ENGLISH = re.compile(
    rf"\b(?:{_ENGLISH_ROLES})[ ]?(?:[:=]|is|-)[ \"']{{0,2}}(?P<v>{_CAPITALISED}(?:[ ](?:{_CAPITALISED}|(?-i:[A-Z]\.))){{1,3}})",
    re.IGNORECASE,
)
_TITLED_ENGLISH = re.compile(
    rf"\b(?-i:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Frau|Monsieur|Madame)\.?[ ](?P<v>{_CAPITALISED}(?:[ ]{_CAPITALISED}){{0,2}})",
    re.IGNORECASE,
)
_EXPRESSIONS = (
    ("name_labelled", _LABELLED_CHINESE, 0.85),
    ("name_labelled", _SPACED_NAME, 0.85),
    ("name_titled", _TITLED_CHINESE, 0.6),
    ("name_foreign", _FOREIGN, 0.6),
    ("name_english", _LABELLED_ENGLISH, 0.75),
    ("name_english", _TITLED_ENGLISH, 0.75),
)
_HAN_RUN = re.compile(rf"{_HAN}{{2,}}")
_STARTS_WITH_SURNAME = re.compile(rf"(?!向[左右前后东西南北上下]|[左右][侧转]|时[速间段]){_SURNAME}")
_NAME_TAGS = frozenset({"nr", "nrfg"})


NAME_RULES_DIGEST = hashlib.sha256(
    "\n".join(
        [f"{rule} {score} {expression.pattern}" for rule, expression, score in _EXPRESSIONS]
        + [_ROLE_ADJACENT.pattern, _STARTS_WITH_SURNAME.pattern, *sorted(_NAME_TAGS), *sorted(NOT_NAMES)]
    ).encode()
).hexdigest()


TIME_LIMIT_S = 20.0

_RUN = 256
_RUN_OVERLAP = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundName:
    """A half-open span of folded text, the rule that found it and the confidence."""

    start: int
    end: int
    rule: str
    score: float


class NameFinder:
    """Finds names; immutable after construction, so that threads may share it."""

    def __init__(self) -> None:
        tokenizer = jieba.Tokenizer()
        with tokenizer.get_dict_file() as dictionary:
            tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(dictionary)
        tokenizer.initialized = True
        self._tagger: Any = jieba.posseg.POSTokenizer(tokenizer)

    def find(self, text: str) -> Iterator[FoundName]:
        """Names by introducing words and titles, then by part of speech.

        Raises:
            LimitExceededError: Segmentation takes too long (3 ms per character in text without any known word).
        """
        for rule, expression, score in _EXPRESSIONS:
            for match in expression.finditer(text):
                start, end = match.span("v") if "v" in expression.groupindex else match.span()
                if text[start:end] not in NOT_NAMES:
                    yield FoundName(start=start, end=end, rule=rule, score=score)
        yield from self._adjacent(text)
        deadline = monotonic() + TIME_LIMIT_S
        for offset, run in _runs(text):
            if monotonic() > deadline:
                raise LimitExceededError(f"names take too long to search (got over {TIME_LIMIT_S:.0f} s)")
            yield from self._by_part_of_speech(run, offset)

    def _adjacent(self, text: str) -> Iterator[FoundName]:
        """Names that directly follow a role without a separator, unless they are words of the dictionary."""
        for match in _ROLE_ADJACENT.finditer(text):
            name = match["v"]
            tag = self._tagger.word_tag_tab.get(name, "nr")
            if name not in NOT_NAMES and tag in _NAME_TAGS and not self._is_sentence(name):
                yield FoundName(start=match.start("v"), end=match.end("v"), rule="name_adjacent", score=0.6)

    def _is_sentence(self, name: str) -> bool:
        return any(word.flag[0] in "pcdu" for word in self._tagger.cut(name))

    def _by_part_of_speech(self, run: str, offset: int) -> Iterator[FoundName]:
        words = list(self._tagger.cut(run))
        position = offset
        for index, word in enumerate(words):
            start, position = position, position + len(word.word)
            if (
                word.flag not in _NAME_TAGS
                or not _STARTS_WITH_SURNAME.match(word.word)
                or word.word in NOT_NAMES
            ):
                continue
            if 2 <= len(word.word) <= 4:
                yield FoundName(start=start, end=position, rule="name_tagged", score=0.55)
            elif len(word.word) == 1 and index + 1 < len(words):
                given = words[index + 1]
                if (
                    len(given.word) <= 2
                    and given.flag in _NAME_TAGS
                    and word.word + given.word not in NOT_NAMES
                ):
                    yield FoundName(start=start, end=position + len(given.word), rule="name_split", score=0.5)


def _runs(text: str) -> Iterator[tuple[int, str]]:
    """Runs of Chinese characters in pieces of at most 256, which overlap so that no name is cut in two."""
    for run in _HAN_RUN.finditer(text):
        for start in range(run.start(), run.end(), _RUN - _RUN_OVERLAP):
            yield start, text[start : min(start + _RUN, run.end())]

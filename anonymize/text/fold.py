"""One plain form for the many ways of writing the same characters, with the way back to the original."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from anonymize.finding import FindingKind

PLACEHOLDER = re.compile("<(?:" + "|".join(sorted(kind.name for kind in FindingKind)) + ")>")
FILLER = "\ufffc"

_SPECIAL = {
    "\u02da": "°",
    "\u00ba": "°",
    "\u2033": '"',
    "\u201d": '"',
    "\u201c": '"',
    "\u2032": "'",
    "\u2019": "'",
    "\u00b4": "'",
    "\u2212": "-",
    "\u30fb": "·",
    "\u2022": "·",
    "\u2027": "·",
    "\u2219": "·",
    "\u22c5": "·",
    "\uff65": "·",
    "\u3007": "0",
} | {chr(c): "-" for c in range(0x2010, 0x2016)}


@dataclass(frozen=True, slots=True)
class Folded:
    """Text in plain form; ``origins[i]`` is the original index of ``text[i]``, None where all agree."""

    text: str
    origins: Sequence[int] | None

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """The half-open span of the original that the half-open span of ``text`` came from."""
        if self.origins is None:
            return start, end
        return self.origins[start], self.origins[end - 1] + 1


def fold(text: str) -> Folded:
    """Write a text in plain form.

    Full-width and compatibility forms become ASCII, decimal digits of any script 0-9; dashes, dots and quotes
    take one form each; invisible characters go; placeholders of earlier redactions are blanked out.
    """
    if text.isascii():
        return Folded(_blank_placeholders(text), None)
    characters: list[str] = []
    origins: list[int] = []
    for index, character in enumerate(text):
        plain = character if character < "\x80" else _plain(character)
        characters.extend(plain)
        origins.extend([index] * len(plain))
    return Folded(_blank_placeholders("".join(characters)), origins)


def _plain(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    if unicodedata.category(character) in {"Cf", "Mn", "Me"}:
        return ""
    return unicodedata.normalize("NFKC", character)


def _blank_placeholders(text: str) -> str:
    if "<" not in text:
        return text
    return PLACEHOLDER.sub(lambda match: FILLER * len(match.group()), text)

"""Strings in messages: free text, and names that may hold what identifies a vehicle or a person."""

from collections.abc import Callable
from functools import lru_cache

from anonymize.containers.tree import Fields, map_leaves

_REMEMBERED = 8192
_LONGEST_REMEMBERED = 256


class Redaction:
    """Redacts the strings of messages; short strings, which recur in every message, are remembered."""

    def __init__(self, text: Callable[[str], str]) -> None:
        """Take the treatment of texts."""
        self._text = text
        self._short = lru_cache(maxsize=_REMEMBERED)(text)
        self._kept: set[str] = set()

    def string(self, value: str) -> str:
        """One string."""
        if not value:
            return value
        return self._short(value) if len(value) <= _LONGEST_REMEMBERED else self._text(value)

    def keeps(self, value: str) -> bool:
        """Whether a string stays as it is."""
        if value in self._kept:
            return True
        if self.string(value) != value:
            return False
        if len(value) <= _LONGEST_REMEMBERED:
            if len(self._kept) >= _REMEMBERED:
                self._kept.clear()
            self._kept.add(value)
        return True

    def message(self, fields: Fields) -> tuple[Fields, int]:
        """A message with all its strings redacted, and how many of them changed."""
        count = 0

        def change(value: str) -> str:
            nonlocal count
            made = self.string(value)
            count += made != value
            return value if made == value else made

        return map_leaves(fields, str, change), count

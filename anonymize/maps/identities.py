"""Ids of GeoJSON features, and what refers to them, numbered anew alike throughout a map."""

import re
from collections.abc import Callable
from typing import Any

from anonymize.errors import MalformedItemError
from anonymize.maps.rules import is_identity_key, is_reference_key, snake

_CODE = re.compile(r".*(?:class|type|code|category|kind|level|status|style)_ids?")
_LIST = re.compile(r".*_ids?")
_LARGEST_CODE = 999
_LONGEST_CODE = 4
_FOREIGN = object()

_Value = tuple[str, Any]


class Identities:
    """The ids of one map in the order in which they were met."""

    __slots__ = ("_gone", "_members", "_numbers")

    def __init__(self) -> None:
        self._numbers: dict[_Value, int] = {}
        self._members: set[_Value] = set()
        self._gone: set[_Value] = set()

    def __len__(self) -> int:
        return len(self._numbers)

    def learn(self, feature: dict[str, Any], where: str, *, stays: bool = True) -> None:
        """Take the ids of a feature; what refers to one that does not stay goes with it.

        Raises:
            MalformedItemError: Its ``id`` is no string or number, or another feature has it.
        """
        found = [_value(v) for k, v in (feature.get("properties") or {}).items() if is_identity_key(k)]
        if "id" in feature:
            own = _value(feature["id"])
            if own is None:
                raise MalformedItemError(f"{where}: id is no string or number")
            if own in self._members:
                raise MalformedItemError(f"{where}: id is there twice (expected unique ids)")
            self._members.add(own)
            found.insert(0, own)
        for value in found:
            if value is None:
                continue
            if stays:
                self._numbers.setdefault(value, len(self._numbers))
            else:
                self._gone.add(value)

    def number(self, identity: Any) -> int | None:
        """The number of an id, from 0; None if no feature has it."""
        value = _value(identity)
        return None if value is None else self._numbers.get(value)

    def renamed(self, properties: dict[str, Any], name: Callable[[int], int]) -> dict[str, Any]:
        """Properties whose ids and references are ``name`` of their numbers.

        A reference to a feature that went goes too. So does one to no feature of this map, which would join it
        with others, if its name ends in ``_id``, unless it looks like a code (below 1000, or at most four
        characters).
        """
        made: dict[str, Any] = {}
        for key, value in properties.items():
            if is_identity_key(key):
                number = self.number(value)
                if number is not None:
                    made[key] = name(number)
            elif isinstance(value, dict):
                made[key] = self.renamed(value, name)
            elif isinstance(value, list) and any(isinstance(m, dict) for m in value):
                made[key] = [self.renamed(m, name) if isinstance(m, dict) else m for m in value]
            elif is_reference_key(key) and not _CODE.fullmatch(snake(key)):
                strict = _LIST.fullmatch(snake(key)) is not None
                members = value if isinstance(value, list) else [value]
                told = [
                    r for r in (self._reference(m, name, strict=strict) for m in members) if r is not _FOREIGN
                ]
                if told or not members:
                    made[key] = told if isinstance(value, list) else told[0]
            else:
                made[key] = value
        return made

    def _reference(self, value: Any, name: Callable[[int], int], *, strict: bool) -> Any:
        number = self.number(value)
        if number is not None:
            return name(number)
        if _value(value) in self._gone:
            return _FOREIGN
        return value if not strict or _is_code(value) else _FOREIGN


def _is_code(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_CODE
    return (
        value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) <= _LARGEST_CODE)
    )


def _value(identity: Any) -> _Value | None:
    if isinstance(identity, str):
        return "string", identity
    if isinstance(identity, (int, float)) and not isinstance(identity, bool):
        return "number", identity
    return None

"""The table that says which OpenStreetMap tags suggest which kind of restricted zone."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from anonymize.errors import ZoneFileError
from anonymize.geo.zone_file import LARGEST_MARGIN_M, ZoneKind

ANY = "any"
_NAMES = ("name", "name:zh", "official_name")
_RULE_KEYS = {"has", "without", "named", "line", "margin_m", "point_m", "line_m", "reference"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRule:
    """One rule of the table.

    Attributes:
        kind: The kind of zone that it suggests.
        has: Every one of these tags is there; None stands for any value but ``no``.
        without: None of these tags is there.
        named: A name contains one of these words; empty: the name does not matter.
        line: A closed way that fits is still a line, not an area.
        margin_m: Suggested margin in metres.
        point_m: Radius in metres of what is mapped as a point.
        line_m: Half the width in metres of what is mapped as a line.
        reference: The page of the OpenStreetMap wiki that describes the tag.
    """

    kind: ZoneKind
    has: Mapping[str, frozenset[str] | None]
    without: Mapping[str, frozenset[str] | None]
    named: tuple[str, ...]
    line: bool
    margin_m: float
    point_m: float
    line_m: float
    reference: str

    def fits(self, tags: Mapping[str, str]) -> bool:
        """Whether an object with these tags is what the rule is about."""
        if not all(_holds(tags, key, values) for key, values in self.has.items()):
            return False
        if any(_holds(tags, key, values) for key, values in self.without.items()):
            return False
        names = [tags[key] for key in _NAMES if key in tags] if self.named else []
        return not self.named or any(word in name for word in self.named for name in names)

    def told_by(self, tags: Mapping[str, str]) -> dict[str, str]:
        """The tags that made the rule fit, and the object's name."""
        return {key: tags[key] for key in (*self.has, "name") if key in tags}


@dataclass(frozen=True, slots=True, kw_only=True)
class TagTable:
    """The rules in the order in which they are asked, most severe kind first."""

    version: int
    rules: tuple[TagRule, ...]

    def rule_for(self, tags: Mapping[str, str]) -> TagRule | None:
        """The first rule that fits; None: the object suggests no zone."""
        return next((rule for rule in self.rules if rule.fits(tags)), None)

    def keys(self) -> tuple[str, ...]:
        """Keys of which an object has at least one if any rule fits it."""
        return tuple(sorted({*_NAMES} | {next(iter(r.has)) for r in self.rules if r.has}))


@functools.cache
def shipped_tag_table() -> TagTable:
    """The table that ships with Fleetgate, ``zone_tags.yaml``."""
    return read_tag_table((resources.files("anonymize") / "geo" / "zone_tags.yaml").read_bytes())


def read_tag_table(content: bytes) -> TagTable:
    """Read a table of tags (YAML, laid out as ``zone_tags.yaml`` explains).

    Raises:
        ZoneFileError: Names the rule and what is wrong with it.
    """
    try:
        document = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ZoneFileError(f"the table of tags is no YAML ({str(error)[:120]})") from error
    if not isinstance(document, dict) or type(document.get("version")) is not int:
        raise ZoneFileError("the table of tags has a version and kinds")
    kinds = document.get("kinds")
    if not isinstance(kinds, dict) or not kinds:
        raise ZoneFileError(f"the table of tags has kinds (got {kinds!r})")
    if unknown := [kind for kind in kinds if kind not in list(ZoneKind)]:
        raise ZoneFileError(f"the table of tags names unknown kinds (got {unknown})")
    rules = tuple(
        _rule(kind, kinds[kind], rule, f"{kind} rule {number}")
        for kind in ZoneKind
        if kind in kinds
        for number, rule in enumerate(_rules(kinds[kind], kind))
    )
    return TagTable(version=document["version"], rules=rules)


def _rules(kind: Any, name: str) -> list[Any]:
    rules = kind.get("rules") if isinstance(kind, dict) else None
    if not isinstance(rules, list) or not rules:
        raise ZoneFileError(f"the table of tags has rules for {name} (got {rules!r})")
    return rules


def _rule(kind: ZoneKind, defaults: Mapping[str, Any], rule: Any, where: str) -> TagRule:
    if not isinstance(rule, dict) or set(rule) - _RULE_KEYS:
        raise ZoneFileError(f"{where}: unknown members (got {rule!r}, expected {sorted(_RULE_KEYS)})")
    has, named = _tags(rule.get("has", {}), where), _words(rule.get("named", []), where)
    if not has and not named:
        raise ZoneFileError(f"{where}: fits everything (expected tags or names)")
    metres = {
        name: _metres(rule.get(name, defaults.get(name)), name, where, least=least)
        for name, least in (("margin_m", 0.0), ("point_m", 1.0), ("line_m", 1.0))
    }
    return TagRule(
        kind=kind,
        has=has,
        without=_tags(rule.get("without", {}), where),
        named=named,
        line=rule.get("line") is True,
        reference=str(rule.get("reference", "")),
        **metres,
    )


def _tags(given: Any, where: str) -> dict[str, frozenset[str] | None]:
    if not isinstance(given, dict):
        raise ZoneFileError(f"{where}: tags are a mapping (got {given!r})")
    return {
        str(key): None if values == ANY else frozenset(_words(values, where)) for key, values in given.items()
    }


def _words(given: Any, where: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(word, str) and word for word in given):
        raise ZoneFileError(f"{where}: values are a list of strings, or {ANY} (got {given!r})")
    return tuple(given)


def _metres(value: Any, name: str, where: str, *, least: float) -> float:
    if type(value) not in (int, float) or not least <= value <= LARGEST_MARGIN_M:
        raise ZoneFileError(f"{where}: {name} is {least:g} to {LARGEST_MARGIN_M:g} metres (got {value!r})")
    return float(value)


def _holds(tags: Mapping[str, str], key: str, values: frozenset[str] | None) -> bool:
    value = tags.get(key)
    if value is None:
        return False
    if values is None:
        return value != "no"
    return any(part.strip() in values for part in value.split(";"))

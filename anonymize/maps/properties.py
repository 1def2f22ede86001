"""Rules on the properties of a GeoJSON feature: nested objects, lists, and attributes packed in strings."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anonymize.errors import AnonymizeError
from anonymize.finding import FindingKind
from anonymize.formats import strict_json
from anonymize.maps.rules import (
    AttributeRules,
    Hit,
    fold,
    holds_position,
    is_editor_key,
    is_identity_key,
    is_position_key,
)

_PACKED = frozenset({"other_tags", "all_tags", "tags", "hstore", "attributes", "extra"})
_PACKED_DEPTH = 16
_DEGREES = 180.0
_ESCAPED = r'"((?:[^"\\]|\\.)*+)"'
_PAIR = re.compile(rf"{_ESCAPED}\s*=>\s*(?:{_ESCAPED}|NULL)\s*", re.DOTALL)
_HSTORE = re.compile(rf"\s*(?:{_PAIR.pattern}(?:,\s*{_PAIR.pattern})*+)?", re.DOTALL)


@dataclass(slots=True)
class PropertyHits:
    """What the rules met in one feature; ``reviews`` and the counters name attributes by their own key."""

    rules: list[tuple[Hit, str]] = field(default_factory=list)
    reviews: list[tuple[Hit, str]] = field(default_factory=list)
    structural: Counter[tuple[FindingKind, str]] = field(default_factory=Counter)
    named: bool = False

    @property
    def drops(self) -> bool:
        """Whether a rule drops the whole feature."""
        return any(hit.rule.action == "drop" for hit, _ in self.rules)


def treat_properties(
    properties: Mapping[str, Any], rules: AttributeRules
) -> tuple[dict[str, Any], PropertyHits]:
    """The properties without what rules null, without editors' names and repeated positions.

    Attributes packed in a string (``other_tags`` of GDAL as hstore, or a JSON object) are unpacked, treated
    and packed again; a string under such a name that is neither goes.
    """
    hits = PropertyHits()
    return _treat(properties, rules, hits), hits


def _treat(properties: Mapping[str, Any], rules: AttributeRules, hits: PropertyHits) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in properties.items():
        if is_editor_key(key):
            hits.structural[FindingKind.METADATA, "editor"] += 1
            continue
        if is_position_key(key) or (fold(key) not in _PACKED and _is_position(value)):
            hits.structural[FindingKind.POSITION, "attributes"] += 1
            continue
        hit = rules.meeting(key, list(_texts(value)))
        if hit is not None:
            hits.named = True
            if hit.rule.action == "review":
                hits.reviews.append((hit, key))
            elif hit.rule.action != "keep":
                hits.rules.append((hit, key))
                continue
        inner = _inner(key, value, rules, hits)
        if inner is not _GONE:
            kept[key] = inner
    return kept


_GONE = object()


def _inner(key: str, value: Any, rules: AttributeRules, hits: PropertyHits) -> Any:
    if isinstance(value, dict):
        return _treat(value, rules, hits)
    if isinstance(value, list):
        return [_inner("", member, rules, hits) for member in value]
    if isinstance(value, str) and fold(key) in _PACKED and value:
        return _packed(value, rules, hits)
    return value


def _packed(text: str, rules: AttributeRules, hits: PropertyHits) -> Any:
    if _HSTORE.fullmatch(text):
        pairs = {_plain(m[1]): None if m[2] is None else _plain(m[2]) for m in _PAIR.finditer(text)}
        return ",".join(_hstore(k, v) for k, v in _treat(_unnamed(pairs, hits), rules, hits).items())
    try:
        document = strict_json.parse(text.encode(), max_depth=_PACKED_DEPTH)
    except AnonymizeError:
        document = None
    if isinstance(document, dict):
        return json.dumps(
            _treat(_unnamed(document, hits), rules, hits), ensure_ascii=False, separators=(",", ":")
        )
    # Neither form: its attributes cannot be told, so none may pass.
    hits.structural[FindingKind.UNLISTED_FIELD, "packed attributes"] += 1
    return _GONE


def _unnamed(packed: dict[str, Any], hits: PropertyHits) -> dict[str, Any]:
    """Without ids: within a string they are not numbered anew."""
    kept = {key: value for key, value in packed.items() if not is_identity_key(key)}
    if len(kept) < len(packed):
        hits.structural[FindingKind.METADATA, "packed ids"] += len(packed) - len(kept)
    return kept


def _is_position(value: Any) -> bool:
    """Whether a text, or two neighbours of a list of numbers with five decimals or more, may be a position."""
    if isinstance(value, str):
        return holds_position(value)
    if not isinstance(value, list):
        return False
    fine = [isinstance(n, float) and abs(n) <= _DEGREES and round(n, 4) != n for n in value]
    return any(map(_is_position, value)) or any(a and b for a, b in itertools.pairwise(fine))


def _texts(value: Any) -> list[str]:
    """What rules compare with their values."""
    if isinstance(value, list):
        return [text for member in value for text in _texts(member)]
    if isinstance(value, dict) or value is None:
        return []
    if isinstance(value, bool):
        return ["true" if value else "false"]
    text = str(value)
    return [text, *text.split(";")] if ";" in text else [text]


def _plain(escaped: str) -> str:
    return re.sub(r"\\(.)", r"\1", escaped, flags=re.DOTALL)


def _hstore(key: str, value: Any) -> str:
    return f"{_quoted(key)}=>{'NULL' if value is None else _quoted(str(value))}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

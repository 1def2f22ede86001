"""What a text or JSON document holds, in counts only, for classification before anything is changed."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from anonymize.errors import MalformedItemError
from anonymize.finding import FindingKind
from anonymize.formats import strict_json
from anonymize.formats.sniff import ItemKind
from anonymize.profile import TextProfile
from anonymize.text.cleanse import read_text

if TYPE_CHECKING:
    # Importing Presidio takes seconds; whoever only fetches or serves never needs it.
    from anonymize.text.analyzer import TextAnalyzer

_PERSONAL = frozenset(
    {
        FindingKind.PERSON_NAME,
        FindingKind.RESIDENT_ID,
        FindingKind.PHONE,
        FindingKind.EMAIL,
        FindingKind.BANK_CARD,
        FindingKind.PLATE,
        FindingKind.ADDRESS,
        FindingKind.IP_ADDRESS,
        FindingKind.VIN,
        FindingKind.DEVICE_ID,
        FindingKind.POSITION,
    }
)
_SENSITIVE = frozenset({FindingKind.RESIDENT_ID, FindingKind.BANK_CARD, FindingKind.POSITION})
_VEHICLE = frozenset({FindingKind.VIN, FindingKind.DEVICE_ID})


def inspect_text(
    content: bytes, kind: ItemKind, *, analyzer: "TextAnalyzer", profile: TextProfile
) -> dict[str, Any]:
    """Count what the document holds; no content leaves.

    Args:
        content: UTF-8 text, or JSON in its strict form.
        kind: ``text`` or ``json``.
        analyzer: Built for the same profile.
        profile: Limits.

    Returns:
        ``chars``; ``findings`` by kind; ``tags`` of COMPLIANCE §2 (``PLATE``, ``TRACK``); ``classes``
        (``VEH_ID``, ``TRAJ_ABS``); ``personal`` and ``sensitive_personal``.

    Raises:
        AnonymizeError: As ``cleanse_text`` and ``cleanse_json`` do.
        MalformedItemError: ``kind`` is neither text nor JSON.
    """
    text = _readable(content, kind, profile)
    kinds = Counter(finding.kind for finding in analyzer.find(text))
    present = frozenset(kinds)
    return {
        "chars": len(text),
        "findings": {found.value: kinds[found] for found in sorted(present)},
        "tags": [
            tag
            for tag, source in (("PLATE", FindingKind.PLATE), ("TRACK", FindingKind.POSITION))
            if source in present
        ],
        "classes": [
            name
            for name, holds in (
                ("TRAJ_ABS", FindingKind.POSITION in present),
                ("VEH_ID", bool(present & _VEHICLE)),
            )
            if holds
        ],
        "personal": bool(present & _PERSONAL),
        "sensitive_personal": bool(present & _SENSITIVE),
    }


def _readable(content: bytes, kind: ItemKind, profile: TextProfile) -> str:
    if kind is ItemKind.TEXT:
        return read_text(content, profile)
    if kind is not ItemKind.JSON:
        raise MalformedItemError(f"item is not inspected as text (got {kind}, expected text or json)")
    read_text(content, profile)
    return "\n".join(_lines(strict_json.parse(content, max_depth=profile.max_depth), ""))


def _lines(node: Any, key: str) -> Iterator[str]:
    """One line per value, after its key, so that labelled values are recognised."""
    if isinstance(node, dict):
        for name, member in node.items():
            yield from _lines(member, name)
    elif isinstance(node, list) and all(isinstance(element, int | float) for element in node):
        yield f"{key}: {','.join(map(str, node))}"
    elif isinstance(node, list):
        for element in node:
            yield from _lines(element, key)
    else:
        yield f"{key}: {node}"

"""Cleanse text and JSON: what identifies a person, a vehicle, a place or a moment is replaced or dropped."""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.finding import FieldPath, Finding, FindingKind, TextSpan, Treated, Treatment, TreatmentKind
from anonymize.formats import strict_json
from anonymize.profile import TextProfile
from anonymize.text.redact import placeholder, redact
from anonymize.text.time_rules import is_epoch

if TYPE_CHECKING:
    # Importing Presidio takes seconds; whoever only fetches or serves never needs it.
    from anonymize.text.analyzer import TextAnalyzer

ALLOW_LIST = "json-allow-list"

_ALLOWED_CONTROLS = "\t\n\r"
_LEAST_EPOCH = 946_684_800


def cleanse_text(content: bytes, *, analyzer: "TextAnalyzer", profile: TextProfile) -> Treated:
    """Redact a text document; spans count code points after a byte order mark.

    Args:
        content: UTF-8, a leading byte order mark is dropped.
        analyzer: Built for the same profile.
        profile: Limits.

    Raises:
        LimitExceededError: Too many bytes, or the text cannot be searched in time.
        MalformedItemError: Empty, not UTF-8 (names the byte offset), or control characters other than tab,
            line feed and carriage return.
    """
    text = read_text(content, profile)
    redacted = redact(text, analyzer)
    return Treated(
        content=redacted.text.encode(),
        media_type="text/plain",
        findings=redacted.findings,
        treatments=_treatments(redacted.findings),
        facts=_facts(redacted.findings, chars=len(text), passes=redacted.passes),
    )


def cleanse_json(content: bytes, *, analyzer: "TextAnalyzer", profile: TextProfile) -> Treated:
    """Drop every field that is not allowed, redact every string and every telling number of the others.

    Numbers stay numbers unless they are a telephone, identity or card number, a moment since 1970, or with
    their neighbours in an array a position; those become placeholders.

    Args:
        content: RFC 8259, a leading byte order mark is tolerated.
        analyzer: Built for the same profile.
        profile: Limits and the allowed keys (compared without regard to case).

    Raises:
        LimitExceededError: Too many bytes, nested too deeply, or not searchable in time.
        MalformedItemError: Not JSON in its strict form (see ``strict_json.parse``).
    """
    _check_size(content, profile)
    document = strict_json.parse(content, max_depth=profile.max_depth)
    sieve = _Sieve(analyzer=analyzer, allowed=frozenset(key.casefold() for key in profile.json_allow))
    kept = sieve.value(document, "")
    findings = tuple(sieve.findings)
    return Treated(
        content=json.dumps(kept, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(),
        media_type="application/json",
        findings=findings,
        treatments=_treatments(findings),
        facts=_facts(findings, chars=sieve.chars, passes=sieve.passes),
    )


def read_text(content: bytes, profile: TextProfile) -> str:
    """Decode a text document within the profile's limits; raises as ``cleanse_text`` does."""
    _check_size(content, profile)
    text = strict_json.decode_utf8(content)
    if not text:
        raise MalformedItemError(f"text is empty (got {len(content)} bytes without a character)")
    _check_controls(text, "")
    return text


def _check_size(content: bytes, profile: TextProfile) -> None:
    if len(content) > profile.max_bytes:
        raise LimitExceededError(
            f"text is too large (got {len(content)} bytes, expected at most {profile.max_bytes})"
        )


def _check_controls(text: str, path: str) -> None:
    for index, character in enumerate(text):
        if unicodedata.category(character) == "Cc" and character not in _ALLOWED_CONTROLS:
            place = f" of the string at {path}" if path else ""
            raise MalformedItemError(
                f"text holds a control character (got U+{ord(character):04X} at character {index}{place})"
            )


@dataclass(slots=True, kw_only=True)
class _Sieve:
    """Walks a document once and collects what it found on the way."""

    analyzer: "TextAnalyzer"
    allowed: frozenset[str]
    findings: list[Finding] = field(default_factory=list)
    chars: int = 0
    passes: int = 0

    def value(self, node: Any, path: str) -> Any:
        if isinstance(node, dict):
            return {
                key: self.value(member, f"{path}/{_escaped(key)}") for key, member in self._listed(node, path)
            }
        if isinstance(node, list):
            return self._array(node, path)
        if isinstance(node, str):
            return self._string(node, path)
        if isinstance(node, bool) or node is None:
            return node
        return self._numbers(node, json.dumps(node), path)

    def _listed(self, node: dict[str, Any], path: str) -> Iterable[tuple[str, Any]]:
        for key, member in node.items():
            if key.casefold() in self.allowed and not self.analyzer.find(key):
                yield key, member
            else:
                self._found(
                    FindingKind.UNLISTED_FIELD, FieldPath(path=f"{path}/*"), 1.0, ALLOW_LIST, "unlisted"
                )

    def _array(self, node: list[Any], path: str) -> Any:
        if len(node) > 1 and all(
            isinstance(element, int | float) and not isinstance(element, bool) for element in node
        ):
            return self._numbers(node, ",".join(map(json.dumps, node)), path)
        return [self.value(element, f"{path}/{index}") for index, element in enumerate(node)]

    def _numbers(self, node: Any, literal: str, path: str) -> Any:
        """Keep one number or an array of numbers, or put the kind of what it tells in its place."""
        hits = self.analyzer.find(literal)
        if hits:
            self._found(
                hits[0].kind, FieldPath(path=path), hits[0].confidence, hits[0].detector, hits[0].label
            )
            return placeholder(hits[0].kind)
        if not isinstance(node, list) and abs(node) >= _LEAST_EPOCH and is_epoch(str(abs(node))):
            self._found(
                FindingKind.TIMESTAMP, FieldPath(path=path), 0.75, self.analyzer.detector, "epoch_number"
            )
            return placeholder(FindingKind.TIMESTAMP)
        if isinstance(node, list):
            return [
                self._numbers(element, json.dumps(element), f"{path}/{index}")
                for index, element in enumerate(node)
            ]
        return node

    def _string(self, text: str, path: str) -> str:
        _check_controls(text, path)
        self.chars += len(text)
        redacted = redact(text, self.analyzer, path=path)
        self.findings += redacted.findings
        self.passes = max(self.passes, redacted.passes)
        return redacted.text

    def _found(
        self, kind: FindingKind, where: FieldPath | TextSpan, confidence: float, detector: str, label: str
    ) -> None:
        self.findings.append(
            Finding(kind=kind, where=where, confidence=confidence, detector=detector, label=label)
        )


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _treatments(findings: Iterable[Finding]) -> tuple[Treatment, ...]:
    counts = Counter(finding.kind for finding in findings)
    return tuple(
        Treatment(
            kind=TreatmentKind.DROP if kind is FindingKind.UNLISTED_FIELD else TreatmentKind.REDACT,
            of=kind,
            count=counts[kind],
        )
        for kind in sorted(counts)
    )


def _facts(findings: Iterable[Finding], *, chars: int, passes: int) -> dict[str, Any]:
    counts = Counter(finding.kind.value for finding in findings)
    dropped = counts.pop(FindingKind.UNLISTED_FIELD.value, 0)
    return {
        "findings": dict(sorted(counts.items())),
        "chars": chars,
        "dropped_fields": dropped,
        "passes": passes,
    }

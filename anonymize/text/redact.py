"""Replace what an analyzer finds by ``<KIND>``, until it finds nothing more."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from anonymize.errors import LimitExceededError
from anonymize.finding import Finding, FindingKind, TextSpan

if TYPE_CHECKING:
    # Importing Presidio takes seconds; whoever only fetches or serves never needs it.
    from anonymize.text.analyzer import TextAnalyzer

MAX_PASSES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """Text without what was found; the findings' spans are places in the original text.

    Attributes:
        text: With placeholders.
        findings: In the order of the original.
        passes: How many searches found something.
    """

    text: str
    findings: tuple[Finding, ...]
    passes: int


def placeholder(kind: FindingKind) -> str:
    """What stands where a finding of this kind was."""
    return f"<{kind.name}>"


def redact(text: str, analyzer: "TextAnalyzer", *, path: str = "") -> Redacted:
    """Redact to a fixed point: a replacement can bring words closer to a number that they explain.

    Raises:
        LimitExceededError: There is still something to find after 16 passes, or a search took too long.
    """
    found: list[tuple[int, int, Finding]] = []
    current = text
    for passes in range(MAX_PASSES):
        fresh = analyzer.find(current)
        if not fresh:
            findings = tuple(
                replace(finding, where=TextSpan(start=start, end=end, path=path))
                for start, end, finding in found
            )
            return Redacted(text=current, findings=findings, passes=passes)
        ends, deltas = _shifts(found)
        for finding in fresh:
            span = finding.where
            assert isinstance(span, TextSpan)  # noqa: S101 - narrows the union for the type checker
            start = _original(span.start, ends, deltas)
            found.append((start, _original(span.end - 1, ends, deltas) + 1, finding))
        found.sort(key=lambda item: item[0])
        current = _rebuild(text, found)
    raise LimitExceededError(f"text does not settle (got findings after {MAX_PASSES} passes, expected none)")


def _shifts(found: Sequence[tuple[int, int, Finding]]) -> tuple[list[int], list[int]]:
    """Where each placeholder ends in the redacted text; original minus redacted position from there on."""
    ends: list[int] = []
    deltas: list[int] = []
    delta = 0
    for start, end, finding in found:
        length = len(placeholder(finding.kind))
        ends.append(start - delta + length)
        delta += (end - start) - length
        deltas.append(delta)
    return ends, deltas


def _original(position: int, ends: Sequence[int], deltas: Sequence[int]) -> int:
    rank = bisect_right(ends, position)
    return position + (deltas[rank - 1] if rank else 0)


def _rebuild(text: str, found: Sequence[tuple[int, int, Finding]]) -> str:
    parts: list[str] = []
    position = 0
    for start, end, finding in found:
        parts += (text[position:start], placeholder(finding.kind))
        position = end
    parts.append(text[position:])
    return "".join(parts)

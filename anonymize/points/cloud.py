"""What the passes over point clouds give."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from anonymize.finding import Finding, Treatment
from anonymize.geo.headings import Heading
from anonymize.points.kinds import CloudKind

Place = tuple[float, float, Heading | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CloudTreated:
    """A cloud after one of the passes.

    Attributes:
        kind: How it is stored now; a COPC has become LAZ.
        chunks: Its bytes, to be read once, while the source is still open; empty when ``dropped``.
        findings: What was detected in the source; index spans count its points.
        treatments: What was done.
        facts: JSON-ready measures: points in and out, situation (``sweep`` or ``georeferenced``), reference
            system, attributes that were kept.
        dropped: No point is left; the item must not be released.
    """

    kind: CloudKind
    chunks: Iterator[bytes]
    findings: tuple[Finding, ...]
    treatments: tuple[Treatment, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    dropped: bool = False

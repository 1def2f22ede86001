"""The outcome of re-scanning a treated item with readers and detectors other than those that treated it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anonymize.finding import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualReport:
    """What an independent scan of the treated bytes still finds.

    Attributes:
        scanners: ``name@digest12`` of each scanner that ran; never empty (an unscanned item is not clean).
        residual: What is still there; empty means that the item is clean.
        facts: JSON-ready measures of the scan.
    """

    scanners: tuple[str, ...]
    residual: tuple[Finding, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.scanners:
            raise ValueError("a residual scan names at least one scanner (got none)")

    @property
    def clean(self) -> bool:
        """Whether nothing was left."""
        return not self.residual

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "scanners": list(self.scanners),
            "residual": [f.as_dict() for f in self.residual],
            "facts": dict(self.facts),
        }


def joined(*reports: ResidualReport) -> ResidualReport:
    """What several scans of one output found together; of facts of one name the last stays."""
    return ResidualReport(
        scanners=tuple(scanner for report in reports for scanner in report.scanners),
        residual=tuple(finding for report in reports for finding in report.residual),
        facts={key: value for report in reports for key, value in report.facts.items()},
    )

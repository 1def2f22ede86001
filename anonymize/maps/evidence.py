"""What cleansing a map found and did, gathered feature by feature and told in few findings.

A city has a million attributes: findings are one per rule and key, with counts in the treatments and facts;
only what waits for a person is listed feature by feature.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from anonymize.finding import FieldPath, Finding, FindingKind, Treatment, TreatmentKind
from anonymize.geo.zones import ZoneSet
from anonymize.maps.rules import Hit, finding_kind

READER = "maps"
_KEY_CHARACTERS = 64
_MOST_KEYS = 256
_MOST_REVIEWS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MapReview:
    """One attribute that waits for a person (COMPLIANCE rule 15).

    Attributes:
        feature: The feature as the cleansed map numbers it: ``way/12``, ``feature/3``.
        key: Name of the attribute.
        tag: Tag of COMPLIANCE.md §2, ``SLOPE_CURV``.
        source: The rule and clause.
        confidence: How sure the clause is, as in COMPLIANCE.md.
    """

    feature: str
    key: str
    tag: str
    source: str
    confidence: str


@dataclass(slots=True)
class MapEvidence:
    """Counts of what was met; ``features_in`` and ``features_out`` are by type of feature."""

    features_in: Counter[str] = field(default_factory=Counter)
    features_out: Counter[str] = field(default_factory=Counter)
    nulled: Counter[tuple[str, str]] = field(default_factory=Counter)
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    zones: Counter[str] = field(default_factory=Counter)
    structural: Counter[tuple[FindingKind, str]] = field(default_factory=Counter)
    losses: Counter[str] = field(default_factory=Counter)
    tags: set[str] = field(default_factory=set)
    reviews: list[MapReview] = field(default_factory=list)
    review_count: int = 0

    def rule_hit(self, hit: Hit, key: str, count: int = 1) -> None:
        """An attribute met a rule that removes it or its feature."""
        (self.dropped if hit.rule.action == "drop" else self.nulled)[_short(key), hit.rule.tag] += count
        self.tagged(hit.rule.tag)

    def tagged(self, tag: str) -> None:
        """A hit gives the item a tag."""
        if tag:
            self.tags.add(tag)

    def review(self, hit: Hit, feature: str, key: str) -> None:
        """An attribute waits for a person; beyond 100,000 only the count goes on."""
        self.tagged(hit.rule.tag)
        self.review_count += 1
        if len(self.reviews) < _MOST_REVIEWS:
            self.reviews.append(
                MapReview(
                    feature=feature,
                    key=_short(key),
                    tag=hit.rule.tag,
                    source=hit.rule.source,
                    confidence=hit.rule.confidence,
                )
            )

    def findings(self, zones: ZoneSet) -> tuple[Finding, ...]:
        """One finding per key and rule, per kind of zone, and per kind of structural matter."""
        return tuple(self._findings(zones))

    def treatments(self, zones: ZoneSet) -> tuple[Treatment, ...]:
        """What was done, one treatment per kind of treatment, kind of finding and tag; ``tag`` is a parameter."""
        counts: Counter[tuple[TreatmentKind, FindingKind, str]] = Counter()
        for (_, tag), count in self.nulled.items():
            counts[TreatmentKind.REDACT, finding_kind(tag), tag] += count
        for (_, tag), count in self.dropped.items():
            counts[TreatmentKind.DROP, finding_kind(tag), tag] += count
        for (kind, _), count in self.structural.items():
            counts[TreatmentKind.STRIP_METADATA, kind, ""] += count
        made = [
            Treatment(kind=kind, of=of, count=count, parameters={"tag": tag} if tag else {})
            for (kind, of, tag), count in sorted(counts.items())
        ]
        if cut := self.losses["features_in_zones"]:
            parameters: dict[str, str | int | float | bool] = {
                "zone_file": zones.digest,
                "zone_file_version": zones.version,
            }
            made.append(
                Treatment(
                    kind=TreatmentKind.CUT, of=FindingKind.RESTRICTED_ZONE, count=cut, parameters=parameters
                )
            )
        return tuple(made)

    def facts(self) -> dict[str, Any]:
        """JSON-ready measures."""
        return {
            "features_in": dict(self.features_in),
            "features_out": dict(self.features_out),
            "attributes_nulled": sum(self.nulled.values()),
            "attributes_nulled_by_key": _by_key(self.nulled),
            "features_dropped_by_key": _by_key(self.dropped),
            "zone_hits": dict(self.zones),
            "losses": {name: count for name, count in sorted(self.losses.items()) if count},
            "tags": sorted(self.tags),
            "reviews": self.review_count,
        }

    def _findings(self, zones: ZoneSet) -> Iterator[Finding]:
        for kind in sorted(self.zones):
            yield Finding(
                kind=FindingKind.RESTRICTED_ZONE,
                where=FieldPath(path="features"),
                confidence=1.0,
                detector=zones.detector,
                label=kind,
            )
        for counter in (self.dropped, self.nulled):
            for key, tag in sorted(counter)[:_MOST_KEYS]:
                yield _finding(finding_kind(tag), f"attributes/{key}", tag)
        for key, tag in sorted({(r.key, r.tag) for r in self.reviews})[:_MOST_KEYS]:
            yield _finding(finding_kind(tag), f"attributes/{key}", tag)
        for kind, path in sorted(self.structural)[:_MOST_KEYS]:
            yield _finding(kind, path, "")


def _finding(kind: FindingKind, path: str, label: str) -> Finding:
    return Finding(kind=kind, where=FieldPath(path=path), confidence=1.0, detector=READER, label=label)


def _by_key(counter: Counter[tuple[str, str]]) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for (key, _), count in counter.items():
        totals[key] += count
    return dict(totals.most_common(_MOST_KEYS))


def _short(key: str) -> str:
    return key[:_KEY_CHARACTERS]

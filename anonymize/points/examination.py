"""The test of one cloud's points in the first pass, and the evidence of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from anonymize.finding import FieldPath, Finding, FindingKind, Treatment, TreatmentKind
from anonymize.formats.track import list_dropped
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.zones import ZoneSet
from anonymize.points.cloud import CloudTreated, Place
from anonymize.points.georeference import Georeference
from anonymize.points.kinds import CloudKind
from anonymize.points.sieve import Sieved, Tally, sieve_georeferenced, sieve_sweep
from anonymize.profile import PointProfile

_READER = "points"


@dataclass(slots=True, kw_only=True)
class PointTest:
    """How the points of one cloud are tested, and what the test found so far.

    Attributes:
        zones: The restricted zones; None where none are in force.
        place: Where the sensor of a sweep was; None where unknown.
        georeference: System of a georeferenced cloud; None for a sweep.
        profile: Limits.
        tally: What was sieved out.
    """

    zones: ZoneSet | None
    place: Place | None
    georeference: Georeference | None
    profile: PointProfile
    tally: Tally = field(default_factory=Tally)

    def sieve(self, xyz: FloatArray) -> Sieved:
        """Test the next points of the cloud.

        Raises:
            MalformedItemError: A point is impossible.
        """
        if self.georeference is not None:
            found = sieve_georeferenced(xyz, zones=self.zones, to_wgs84=self.georeference.to_wgs84)
        else:
            found = sieve_sweep(xyz, zones=self.zones, place=self.place, profile=self.profile)
        self.tally.add(found)
        return found

    def facts(self, kept: Sequence[str]) -> dict[str, object]:
        """JSON-ready measures, once all points were tested."""
        placed = self.georeference is not None or self.place is not None
        return {
            "points_in": self.tally.points,
            "points_out": self.tally.kept,
            "situation": "sweep" if self.georeference is None else "georeferenced",
            "crs": "LOCAL" if self.georeference is None else self.georeference.shown,
            "zones_tested": self.zones is not None and placed,
            "attributes": sorted(kept),
        }

    def treated(
        self,
        kind: CloudKind,
        chunks: Iterator[bytes],
        *,
        metadata: Sequence[str],
        dropped: Sequence[str],
        shifted: Sequence[str],
        kept: Sequence[str],
    ) -> CloudTreated:
        """The outcome, once all points were tested.

        Args:
            kind: How the cloud is stored now.
            chunks: Its bytes.
            metadata: Names of what told more than points.
            dropped: Names of attributes that were not kept.
            shifted: Names of times that now begin at 0.
            kept: Names of attributes that were kept.
        """
        findings = [*self.tally.findings(self.zones)]
        treatments = [*self.tally.treatments(self.zones, self.profile)]
        for what, names, done in (
            (FindingKind.METADATA, metadata, TreatmentKind.STRIP_METADATA),
            (FindingKind.UNLISTED_FIELD, dropped, TreatmentKind.DROP),
            (FindingKind.TIMESTAMP, shifted, TreatmentKind.TIME_SHIFT),
        ):
            if names:
                findings += [
                    Finding(kind=what, where=FieldPath(path=n), confidence=1.0, detector=_READER)
                    for n in list_dropped(names)
                ]
                treatments.append(Treatment(kind=done, of=what, count=len(names)))
        return CloudTreated(
            kind=kind,
            chunks=chunks if self.tally.kept else iter(()),
            findings=tuple(findings),
            treatments=tuple(treatments),
            facts=self.facts(kept),
            dropped=not self.tally.kept,
        )

"""Which points of a cloud are kept: those outside zones, within range, and at a place at all."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import MalformedItemError
from anonymize.finding import Finding, FindingKind, IndexSpan, Treatment, TreatmentKind
from anonymize.geo.cut import cut_points
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.zone_file import KINDS
from anonymize.geo.zones import ZoneHits, ZoneSet
from anonymize.points.cloud import Place
from anonymize.profile import PointProfile

Flags = NDArray[np.bool_]
ToWgs84 = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]

_READER = "points"
_POSITION_ERROR_M = 10.0
_FARTHEST = 1e9
# The fourth column of a sweep is float32; it carries the index of a point through the cut.
_INDEXABLE = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sieved:
    """Some points after the test.

    Attributes:
        keep: Which are kept.
        zone_hits: Which lie in zones, by the name of the zone kind.
        beyond: Which are farther from the sensor than the profile's range.
        nowhere: Which have no place: no return, or the origin in a georeferenced cloud.
    """

    keep: Flags
    zone_hits: dict[str, Flags]
    beyond: Flags
    nowhere: Flags


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was sieved out of a whole cloud."""

    points: int = 0
    kept: int = 0
    spans: dict[tuple[FindingKind, str], tuple[int, int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, sieved: Sieved) -> None:
        """Count the next points of the cloud."""
        for kind, flags in sieved.zone_hits.items():
            self._span(FindingKind.RESTRICTED_ZONE, kind, flags)
        in_zone = np.zeros(len(sieved.keep), dtype=bool)
        for flags in sieved.zone_hits.values():
            in_zone |= flags
        self._span(FindingKind.POSITION, "range", sieved.beyond)
        self._span(FindingKind.POSITION, "no place", sieved.nowhere)
        for name, flags in (("zone", in_zone), ("range", sieved.beyond), ("no place", sieved.nowhere)):
            self.counts[name] = self.counts.get(name, 0) + int(flags.sum())
        self.points += len(sieved.keep)
        self.kept += int(sieved.keep.sum())

    def _span(self, kind: FindingKind, label: str, flags: Flags) -> None:
        at = np.flatnonzero(flags)
        if len(at):
            first, last = self.points + int(at[0]), self.points + int(at[-1]) + 1
            before = self.spans.get((kind, label), (first, last))
            self.spans[kind, label] = (min(before[0], first), max(before[1], last))

    def findings(self, zones: ZoneSet | None) -> tuple[Finding, ...]:
        """One per zone kind and per other reason: the span from the first to the last point concerned."""
        return tuple(
            Finding(
                kind=kind,
                where=IndexSpan(start=start, end=end),
                confidence=1.0,
                detector=zones.detector if zones and kind is FindingKind.RESTRICTED_ZONE else _READER,
                label=label,
            )
            for (kind, label), (start, end) in self.spans.items()
        )

    def treatments(self, zones: ZoneSet | None, profile: PointProfile) -> tuple[Treatment, ...]:
        """What was done to them."""
        done: list[tuple[TreatmentKind, FindingKind, str, dict[str, Any]]] = [
            (TreatmentKind.DROP, FindingKind.POSITION, "range", {"max_range_m": profile.max_range_m}),
            (TreatmentKind.DROP, FindingKind.POSITION, "no place", {"reason": "no place"}),
        ]
        if zones is not None:
            of = {"zone_file": zones.digest, "zone_file_version": zones.version}
            done.insert(0, (TreatmentKind.CUT, FindingKind.RESTRICTED_ZONE, "zone", of))
        return tuple(
            Treatment(kind=kind, of=of, count=self.counts[name], parameters=parameters)
            for kind, of, name, parameters in done
            if self.counts.get(name)
        )


def sieve_sweep(
    xyz: FloatArray, *, zones: ZoneSet | None, place: Place | None, profile: PointProfile
) -> Sieved:
    """Test points in the frame of a sensor (:func:`anonymize.geo.cut.cut_points`).

    Args:
        xyz: One row of x forward, y left, z up in metres per point; NaN throughout where there was no return.
        zones: The restricted zones; None where none are in force.
        place: Latitude and longitude of the sensor in degrees, EPSG:4326, and the heading of its x axis, None
            where unknown. Without a place zones are not tested.
        profile: Limits.

    Raises:
        MalformedItemError: A point is impossible.
    """
    nowhere = not_returned(xyz)
    if zones is None or place is None:
        beyond = np.hypot(xyz[:, 0], xyz[:, 1]) > profile.max_range_m
        return Sieved(keep=~(nowhere | beyond), zone_hits={}, beyond=beyond, nowhere=nowhere)
    beyond = np.zeros(len(xyz), dtype=bool)
    hits: dict[str, Flags] = {}
    kept = np.zeros(len(xyz), dtype=bool)
    returned = np.flatnonzero(~nowhere)
    for start in range(0, len(returned), _INDEXABLE):
        at = returned[start : start + _INDEXABLE]
        columns = np.column_stack([xyz[at], np.arange(len(at))]).astype(np.float32)
        cut = cut_points(columns, zones=zones, lat=place[0], lon=place[1], heading=place[2], profile=profile)
        kept[at[cut.points[:, 3].astype(np.intp)]] = True
        if any(f.kind is FindingKind.POSITION for f in cut.findings):
            beyond[at] = ~kept[at] & (np.hypot(columns[:, 0], columns[:, 1]) > profile.max_range_m)
        for finding in cut.findings:
            if finding.kind is FindingKind.RESTRICTED_ZONE and isinstance(finding.where, IndexSpan):
                flags = hits.setdefault(finding.label, np.zeros(len(xyz), dtype=bool))
                span = at[finding.where.start : finding.where.end]
                flags[span] = ~kept[span] & ~beyond[span]
    return Sieved(keep=kept, zone_hits=hits, beyond=beyond, nowhere=nowhere)


def sieve_georeferenced(xyz: FloatArray, *, zones: ZoneSet | None, to_wgs84: ToWgs84) -> Sieved:
    """Test points on the Earth, each at its own place, 10 m being added to every margin.

    Args:
        xyz: One row of x, y and z per point in the cloud's reference system.
        zones: The restricted zones; None where none are in force. Places are checked all the same.
        to_wgs84: From x and y to latitude and longitude in degrees, EPSG:4326.

    Raises:
        MalformedItemError: A point is impossible, or its place is none on the Earth.
    """
    nowhere = not_returned(xyz) | ((xyz[:, 0] == 0.0) & (xyz[:, 1] == 0.0))
    clear = np.zeros(len(xyz), dtype=bool)
    there = np.flatnonzero(~nowhere)
    lat, lon = to_wgs84(xyz[there, 0], xyz[there, 1])
    if not (np.isfinite(lat).all() and np.isfinite(lon).all() and np.abs(lat).max(initial=0.0) <= 90.0):  # noqa: PLR2004
        raise MalformedItemError("a point lies nowhere on the Earth (expected its reference system's area)")
    if zones is None or not len(there):
        return Sieved(keep=~nowhere, zone_hits={}, beyond=clear, nowhere=nowhere)
    found = zones.test(lat, lon, extra_margin_m=_POSITION_ERROR_M)
    keep = ~nowhere
    keep[there[found.inside]] = False
    return Sieved(keep=keep, zone_hits=_spread(found, there, len(xyz)), beyond=clear, nowhere=nowhere)


def _spread(found: ZoneHits, there: NDArray[np.intp], count: int) -> dict[str, Flags]:
    hits = {}
    for kind in KINDS:
        of_kind = found.of_kind(kind)
        if of_kind.any():
            hits[kind.value] = np.zeros(count, dtype=bool)
            hits[kind.value][there[of_kind]] = True
    return hits


def not_returned(xyz: FloatArray) -> Flags:
    """Points whose x, y and z are all NaN, as organised clouds mark what did not come back.

    Raises:
        MalformedItemError: A point has an infinite, an absurd or only some coordinates.
    """
    missing = np.asarray(np.isnan(xyz).all(axis=1), dtype=bool)
    bad = ~missing & ~(np.abs(xyz) <= _FARTHEST).all(axis=1)
    if bad.any():
        raise MalformedItemError(
            f"point {int(np.argmax(bad))}: a coordinate is impossible "
            f"(got NaN, infinity or more than {_FARTHEST:g}, expected a number)"
        )
    return missing

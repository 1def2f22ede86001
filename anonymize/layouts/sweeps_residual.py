"""Independent re-reading of nuScenes sweeps that left the first pass."""

import numpy as np

from anonymize.errors import MalformedItemError
from anonymize.finding import FieldPath, Finding, FindingKind, IndexSpan
from anonymize.geo.headings import Heading
from anonymize.geo.zones import ZoneSet
from anonymize.points.sieve import sieve_sweep
from anonymize.profile import PointProfile
from anonymize.residual import ResidualReport

_SCANNER = "nuscenes-sweep-bytes@1"


def scan_sweep(
    content: bytes, *, zones: ZoneSet, lat: float, lon: float, heading: Heading | None, profile: PointProfile
) -> ResidualReport:
    """Scan a sweep.

    1. It is a whole number of points of five float32. 2. Attributes that the profile does not list are zero.
    3. No point is out of range or in a zone.

    Args:
        content: The sealed bytes.
        zones: The restricted zones.
        lat: Latitude of the sensor in degrees, EPSG:4326.
        lon: Longitude in degrees.
        heading: Of the vehicle, and so of the y axis; None where unknown.
        profile: Allow-list and range.

    Raises:
        MalformedItemError: A point is impossible, or there is none.
    """
    # The columns are named here anew; nothing of the reader of the first pass is used.
    row = np.dtype([(name, "<f4") for name in ("x", "y", "z", "intensity", "ring")])
    if not content or len(content) % row.itemsize:
        raise MalformedItemError(
            f"a sweep that left a pass holds points (got {len(content)} bytes, expected {row.itemsize} a point)"
        )
    points = np.frombuffer(content, dtype=row)
    residual = [
        Finding(
            kind=FindingKind.UNLISTED_FIELD, where=FieldPath(path=name), confidence=1.0, detector=_SCANNER
        )
        for name in ("intensity", "ring")
        if name not in profile.keep_attributes and points[name].any()
    ]
    # From x right, y forward to x forward, y left: the heading of both is the vehicle's.
    xyz = np.stack([points["y"], -points["x"], points["z"]], axis=1).astype(np.float64)
    found = sieve_sweep(xyz, zones=zones, place=(lat, lon, heading), profile=profile)
    flagged = [("range", FindingKind.POSITION, found.beyond)]
    flagged += [(label, FindingKind.RESTRICTED_ZONE, flags) for label, flags in found.zone_hits.items()]
    for label, kind, flags in flagged:
        at = np.flatnonzero(flags)
        if len(at):
            span = IndexSpan(start=int(at[0]), end=int(at[-1]) + 1)
            residual.append(Finding(kind=kind, where=span, confidence=1.0, detector=_SCANNER, label=label))
    return ResidualReport(
        scanners=(_SCANNER,), residual=tuple(residual), facts={"stage": "CLEANSED", "points": len(points)}
    )

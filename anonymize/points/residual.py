"""The scan of clouds that left a pass, by other readers than those that the passes use."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import MalformedItemError, ResidualError
from anonymize.finding import FieldPath, Finding, FindingKind, IndexSpan
from anonymize.geo.approved_displacement import ApprovedDisplacement
from anonymize.geo.ellipsoid import FloatArray, to_enu
from anonymize.geo.zones import ZoneSet
from anonymize.points.cloud import Place
from anonymize.points.georeference import Georeference, require_declared
from anonymize.points.kinds import CloudKind
from anonymize.points.las_again import ReadAgain, read_again, stated_again
from anonymize.points.las_residual import Residue, Stage, scan_structure
from anonymize.points.pcd_residual import read_pcd_places, scan_pcd_structure
from anonymize.points.sieve import sieve_sweep
from anonymize.profile import PointProfile, TrackProfile
from anonymize.residual import ResidualReport

__all__ = ["CloudCheck", "Stage", "scan_cloud"]

_SCANNERS = {
    CloudKind.KITTI: "kitti-bytes@1",
    CloudKind.PCD: "pcd-grammar+pypcd4@1",
    CloudKind.LAS: "las-walk+laspy@1",
    CloudKind.LAZ: "las-walk+laspy@1",
}
_LAS_KINDS = frozenset({CloudKind.LAS, CloudKind.LAZ})
_KITTI_POINT_BYTES = 16
_LONGEST_S = 86_400.0
_ROUNDING_M = 0.01
_EQUAL_M = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudCheck:
    """What a cloud is held against.

    Attributes:
        stage: ``CLEANSED`` after the first pass; else the mode of the release.
        georeferenced: Whether the passes took it for georeferenced (``facts["situation"]``).
        crs: System of a georeferenced cloud that cannot state it itself, as it is now.
        zones: The restricted zones, for ``CLEANSED``; None where none are in force.
        place: Where the sensor of a sweep was, for ``CLEANSED``.
        original: The cleansed cloud of which an ``OFFSET`` or ``APPROVED`` release was made.
        original_crs: Its system, where it cannot state it itself.
        processor: What placed the points of an ``APPROVED`` release.
    """

    stage: Stage
    georeferenced: bool
    crs: str | None = None
    zones: ZoneSet | None = None
    place: Place | None = None
    original: BinaryIO | None = None
    original_crs: str | None = None
    processor: ApprovedDisplacement | None = None


def scan_cloud(
    file: BinaryIO, kind: CloudKind, *, check: CloudCheck, profile: PointProfile, tracks: TrackProfile
) -> ResidualReport:
    """Scan a cloud that left a pass.

    1. Nothing is in the file but points and what is listed. 2. Attributes that are not listed are zero, times
    are no dates. 3. ``CLEANSED``: no point lies in a zone. 4. ``OFFSET``: every point of a georeferenced cloud
    is at least ``offset_min_shift_m`` from its true place. ``APPROVED``: every one is where the processor, asked
    once more, puts it, to 1 cm. 5. ``LOCAL``: no point of it is farther from the origin than a clip is long. 6. No
    point of a sweep is out of range.

    Args:
        file: The cloud as it left.
        kind: How it is stored.
        check: What it is held against.
        profile: Allow-list and range.
        tracks: Limits of both modes.

    Raises:
        ResidualError: The kind is none that leaves a pass, or a moved cloud comes without its original, or without
            its processor.
        MalformedItemError: The file cannot be read again.
        ProcessorError: The processor does not answer.
        UnknownCrsError: The system of a georeferenced cloud is missing.
    """
    if kind not in _SCANNERS:
        raise ResidualError(f"no cloud leaves a pass as this kind (got {kind.value!r})")
    residual = [_structural(r) for r in _structure(file, kind, check.stage, profile)]  # 1
    places = _Places(file, kind, check, profile, tracks)
    points = 0
    for chunk in _points(file, kind, profile):
        residual += _attributes(chunk)  # 2
        for label, of, flags in places.flagged(chunk.xyz):  # 3 to 6
            at = np.flatnonzero(flags)
            if len(at):
                span = IndexSpan(start=points + int(at[0]), end=points + int(at[-1]) + 1)
                residual.append(
                    Finding(kind=of, where=span, confidence=1.0, detector=_SCANNERS[kind], label=label)
                )
        points += len(chunk.xyz)
    if not points:
        raise MalformedItemError("a cloud that left a pass holds points (got 0)")
    return ResidualReport(
        scanners=(_SCANNERS[kind],),
        residual=tuple(residual),
        facts={"stage": check.stage, "points": points},
    )


Flagged = Iterator[tuple[str, FindingKind, NDArray[np.bool_]]]


class _Places:
    """Tests of the places of points, chunk after chunk in the order of the file."""

    def __init__(
        self, file: BinaryIO, kind: CloudKind, check: CloudCheck, profile: PointProfile, tracks: TrackProfile
    ) -> None:
        self._check, self._profile, self._tracks = check, profile, tracks
        self._now = self._before = None
        self._true: Iterator[FloatArray] = iter(())
        if not check.georeferenced or check.stage == "LOCAL":
            return
        self._now = _system(file, kind, check.crs)
        if check.stage != "CLEANSED":
            if check.original is None:
                raise ResidualError("an offset cloud is held against its original (got none)")
            if (check.stage == "APPROVED") != (check.processor is not None):
                raise ResidualError(
                    f"a processed cloud, and no other, is held against its processor (got {check.stage!r})"
                )
            self._before = _system(check.original, kind, check.original_crs)
            self._true = (c.xyz for c in _points(check.original, kind, profile))

    def flagged(self, xyz: FloatArray) -> Flagged:
        if not self._check.georeferenced:
            yield from self._sweep(xyz)
        elif self._check.stage == "LOCAL":
            away = np.hypot(xyz[:, 0], xyz[:, 1])
            yield "clip", FindingKind.POSITION, away > self._tracks.local_clip_m + _ROUNDING_M
        elif self._now is not None and self._check.stage == "CLEANSED":
            if self._check.zones is not None:
                hits = self._check.zones.test(*self._now.to_wgs84(xyz[:, 0], xyz[:, 1]))
                for zone_kind in hits.kinds():
                    yield zone_kind.value, FindingKind.RESTRICTED_ZONE, hits.of_kind(zone_kind)
        elif self._now is not None and self._before is not None:
            label = "offset" if self._check.processor is None else "not the processor's position"
            yield label, FindingKind.POSITION, self._misplaced(xyz, self._now, self._before)

    def _sweep(self, xyz: FloatArray) -> Flagged:
        zones = self._check.zones if self._check.stage == "CLEANSED" else None
        found = sieve_sweep(xyz, zones=zones, place=self._check.place, profile=self._profile)
        yield "range", FindingKind.POSITION, found.beyond
        for label, flags in found.zone_hits.items():
            yield label, FindingKind.RESTRICTED_ZONE, flags

    def _misplaced(self, xyz: FloatArray, now: Georeference, before: Georeference) -> NDArray[np.bool_]:
        true = next(self._true, np.zeros((0, 3)))
        if len(true) != len(xyz):
            return np.ones(len(xyz), dtype=bool)
        lat, lon = now.to_wgs84(xyz[:, 0], xyz[:, 1])
        before_lat, before_lon = before.to_wgs84(true[:, 0], true[:, 1])
        if self._check.processor is not None:
            expected = self._check.processor.displace(before_lat, before_lon)
            return np.asarray(~(np.hypot(*to_enu(lat, lon, *expected)) <= _EQUAL_M), dtype=bool)
        shift = np.hypot(*to_enu(lat, lon, before_lat, before_lon))
        return np.asarray(shift < self._tracks.offset_min_shift_m - _ROUNDING_M, dtype=bool)


def _system(file: BinaryIO, kind: CloudKind, declared: str | None) -> Georeference:
    stated = stated_again(file) if kind in _LAS_KINDS else None
    return Georeference.of(require_declared(stated, declared))


def _structure(file: BinaryIO, kind: CloudKind, stage: Stage, profile: PointProfile) -> Iterable[Residue]:
    if kind in _LAS_KINDS:
        return scan_structure(file, stage, profile.keep_attributes)
    if kind is CloudKind.PCD:
        file.seek(0)
        return scan_pcd_structure(file.read(), profile.keep_attributes)
    return ()


def _points(file: BinaryIO, kind: CloudKind, profile: PointProfile) -> Iterator[ReadAgain]:
    if kind in _LAS_KINDS:
        yield from read_again(file, profile.keep_attributes)
        return
    file.seek(0)
    content = file.read()
    if kind is CloudKind.PCD:
        xyz = read_pcd_places(content)
    elif len(content) % _KITTI_POINT_BYTES:
        raise MalformedItemError(f"a sweep is a whole number of points (got {len(content)} bytes)")
    else:
        xyz = np.frombuffer(content, "<f4").reshape(-1, 4)[:, :3].astype(np.float64)
    yield ReadAgain(xyz=xyz, times=np.zeros(0), unlisted=())


def _attributes(chunk: ReadAgain) -> Iterator[Finding]:
    for name in chunk.unlisted:
        yield _structural(Residue(metadata=False, name=name))
    if not (np.abs(chunk.times) <= _LONGEST_S).all():
        yield Finding(
            kind=FindingKind.TIMESTAMP,
            where=FieldPath(path="gps_time"),
            confidence=1.0,
            detector=_SCANNERS[CloudKind.LAS],
        )


def _structural(residue: Residue) -> Finding:
    return Finding(
        kind=FindingKind.METADATA if residue.metadata else FindingKind.UNLISTED_FIELD,
        where=FieldPath(path=residue.name),
        confidence=1.0,
        detector="cloud-structure@1",
    )

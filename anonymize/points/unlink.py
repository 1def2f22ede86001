"""Second pass over point clouds, with secrets of one release: no point keeps its place on the Earth.

Sweeps in the frame of their sensor stay as the first pass left them: they say nothing of a place.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from anonymize.errors import LimitExceededError, ProfileError
from anonymize.finding import FindingKind, Treatment, TreatmentKind
from anonymize.geo.approved_displacement import ApprovedDisplacement
from anonymize.geo.clips import ClipFrame
from anonymize.geo.displacement import KeyedOffset
from anonymize.geo.ellipsoid import FloatArray
from anonymize.points.cloud import CloudTreated
from anonymize.points.displacement import Extent, LocalMove, Mode, OffsetMove, chosen_index
from anonymize.points.georeference import (
    Bounds,
    Georeference,
    is_georeferenced,
    require_declared,
    stated_crs,
    states_crs,
)
from anonymize.points.kinds import CloudKind
from anonymize.points.las_layout import LasLayout, read_las_layout
from anonymize.points.las_points import LasTarget, coordinates, read_records, summarise, write_las
from anonymize.points.las_records import Records
from anonymize.points.pcd import PcdHeader, read_pcd, write_pcd
from anonymize.points.registered import crs_records
from anonymize.profile import PointProfile, TrackProfile

_TREATMENTS: Mapping[Mode, TreatmentKind] = {
    "LOCAL": TreatmentKind.LOCAL_FRAME,
    "OFFSET": TreatmentKind.KEYED_OFFSET,
    "APPROVED": TreatmentKind.SECRECY_PROCESSOR,
}
_EQUAL_M = 0.01
_METRES_PER_DEGREE = 111_320.0
_PIECE = 1 << 20
_STEPS = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudRelease:
    """How the clouds of one recording leave.

    Attributes:
        mode: ``OFFSET`` and ``APPROVED`` displace, ``LOCAL`` brings into a frame without a place.
        key: The release's key, 32 bytes.
        context: Names the cloud within the release.
        offset: The displacement that the release's tracks take; needed for ``OFFSET``, and for ``APPROVED``, where
            it is that of a secrecy processor.
        frame: The frame of the clip that a cloud belongs to, for ``LOCAL``; None for one of its own.
    """

    mode: Mode
    key: bytes
    context: bytes
    offset: KeyedOffset | None = None
    frame: ClipFrame | None = None


def unlink_cloud(
    file: BinaryIO,
    kind: CloudKind,
    *,
    release: CloudRelease,
    crs: str | None,
    profile: PointProfile,
    tracks: TrackProfile,
) -> CloudTreated:
    """Take the place from a cloud that the first pass cleansed.

    1. A sweep passes as it is. 2. A first run finds the extent. 3. Points are displaced, or brought into a
    frame and cut to ``tracks.local_clip_m``; heights begin at 0 (``keep_elevation`` keeps those of ``OFFSET``
    clouds). 4. LAS: steps and their base are chosen anew; the reference system is named in its registered
    form, or in ``LOCAL`` not at all.

    Args:
        file: The cleansed cloud; it must stay open until ``chunks`` were read.
        kind: How it is stored, as the first pass said.
        release: Mode and secrets.
        crs: The system that the manifest declares, for clouds that cannot state theirs.
        profile: Limits of clouds.
        tracks: Limits of both modes.

    Raises:
        MalformedItemError: The file is none that the first pass writes.
        UnknownCrsError: A georeferenced cloud's system is missing or unknown.
        LimitExceededError: A point would stay near its place, a limit is exceeded, or the numbers of a PCD are too
            coarse for a processor's places.
        ProcessorError: A secrecy processor does not answer as it has to, or fails a check.
        ProfileError: The key has another length, or the mode lacks its displacement.
    """
    if kind is CloudKind.KITTI:
        return _passed_on(file, kind)
    if kind is CloudKind.PCD:
        return _unlink_pcd(file, release, crs, profile, tracks)
    return _unlink_las(file, kind, release, crs, profile, tracks)


def _unlink_pcd(
    file: BinaryIO, release: CloudRelease, crs: str | None, profile: PointProfile, tracks: TrackProfile
) -> CloudTreated:
    cloud = read_pcd(file, profile=profile)
    xyz = cloud.coordinates()
    if not is_georeferenced(Bounds.of(xyz), stated=False):
        return _passed_on(file, CloudKind.PCD)
    chosen = chosen_index(len(xyz), key=release.key, context=release.context)
    extent = Extent(low=xyz.min(axis=0), high=xyz.max(axis=0), chosen=xyz[chosen])
    move = _move_of(Georeference.of(require_declared(None, crs)), extent, release, wkt=False, profile=tracks)
    moved, keep = move.move(xyz)
    records = cloud.records[keep].copy()
    for column, name in enumerate(("x", "y", "z")):
        records[str(cloud.header.index(name))] = moved[keep, column]
    if release.mode == "APPROVED":
        _require_fine(records, cloud.header, moved[keep], geographic=move.geographic)
    content = write_pcd(cloud.header.fields, records, compressed=cloud.header.encoding == "binary_compressed")
    return _treated(CloudKind.PCD, iter([content]), move, len(xyz), len(records), release)


def _require_fine(records: Records, header: PcdHeader, places: FloatArray, *, geographic: bool) -> None:
    """Refuse numbers that cannot hold a processor's places to a centimetre."""
    unit = _METRES_PER_DEGREE if geographic else 1.0
    for column, name in enumerate("xy"):
        field = str(header.index(name))
        off = float(np.abs(records[field] - places[:, column]).max(initial=0.0)) * unit
        if off > _EQUAL_M:
            raise LimitExceededError(
                f"the field {name} of the cloud cannot hold the processor's places "
                f"(got {records[field].dtype}, {off:.3f} m off, expected at most {_EQUAL_M} m: float64)"
            )


def _unlink_las(
    file: BinaryIO,
    kind: CloudKind,
    release: CloudRelease,
    crs: str | None,
    profile: PointProfile,
    tracks: TrackProfile,
) -> CloudTreated:
    layout = read_las_layout(file, profile=profile)
    extent = _extent(file, layout, release)
    bounds = Bounds.of(np.stack([extent.low, extent.high]))
    if not is_georeferenced(bounds, stated=states_crs(layout)):
        return _passed_on(file, kind)
    source = Georeference.of(require_declared(stated_crs(file, layout), crs))
    wkt = layout.record.extended
    move = _move_of(source, extent, release, wkt=wkt, profile=tracks)
    target = LasTarget(
        minor=layout.minor,
        record=layout.record,
        compressed=layout.compressed,
        scale=move.scale,
        offset=(*move.base, 0.0),
        records=crs_records(move.target, wkt=wkt) if isinstance(move, OffsetMove) else (),
        wkt=wkt,
    )

    def run() -> Iterator[Records]:
        for records in read_records(file, layout):
            moved, keep = move.move(coordinates(records, layout))
            yield _with_places(records[keep], moved[keep], target)

    summary = summarise(target.record, run())
    chunks = write_las(target, run, summary)
    stored = CloudKind.LAZ if layout.compressed else CloudKind.LAS
    return _treated(stored, chunks, move, layout.count, summary.count, release)


def _move_of(
    source: Georeference, extent: Extent, release: CloudRelease, *, wkt: bool, profile: TrackProfile
) -> OffsetMove | LocalMove:
    if release.mode == "LOCAL":
        return LocalMove.of(
            source,
            extent,
            frame=release.frame,
            key=release.key,
            context=release.context,
            profile=profile,
        )
    approved = isinstance(release.offset, ApprovedDisplacement)
    if release.offset is None or approved != (release.mode == "APPROVED"):
        got = type(release.offset).__name__
        raise ProfileError(f"a release in mode {release.mode} has a displacement of its own (got {got})")
    return OffsetMove.of(source, extent, offset=release.offset, wkt=wkt, profile=profile)


def _extent(file: BinaryIO, layout: LasLayout, release: CloudRelease) -> Extent:
    index = chosen_index(layout.count, key=release.key, context=release.context)
    low, high, chosen = np.full(3, np.inf), np.full(3, -np.inf), np.zeros(3)
    start = 0
    for records in read_records(file, layout):
        xyz = coordinates(records, layout)
        low, high = np.minimum(low, xyz.min(axis=0)), np.maximum(high, xyz.max(axis=0))
        if start <= index < start + len(xyz):
            chosen = xyz[index - start]
        start += len(xyz)
    return Extent(low=low, high=high, chosen=chosen)


def _with_places(records: Records, xyz: FloatArray, target: LasTarget) -> Records:
    steps = np.rint((xyz - np.array(target.offset)) / np.array(target.scale))
    if np.abs(steps).max(initial=0.0) > _STEPS:
        raise LimitExceededError(
            f"the cloud is too wide for steps of {target.scale[0]:g} (expected at most 2^31 steps)"
        )
    placed = records.copy()
    for column, name in enumerate(("X", "Y", "Z")):
        placed[name] = steps[:, column].astype(np.int32)
    return placed


def _treated(
    kind: CloudKind,
    chunks: Iterator[bytes],
    move: OffsetMove | LocalMove,
    points: int,
    kept: int,
    release: CloudRelease,
) -> CloudTreated:
    treatments = [Treatment(kind=_TREATMENTS[release.mode], of=FindingKind.POSITION, count=kept)]
    if kept < points:
        treatments.append(Treatment(kind=TreatmentKind.CUT, of=FindingKind.POSITION, count=points - kept))
    facts = {"mode": release.mode, "points_in": points, "points_out": kept, "situation": "georeferenced"}
    return CloudTreated(
        kind=kind,
        chunks=chunks,
        findings=(),
        treatments=tuple(treatments),
        facts={**facts, **move.facts()},
        dropped=not kept,
    )


def _passed_on(file: BinaryIO, kind: CloudKind) -> CloudTreated:
    def pieces() -> Iterator[bytes]:
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece

    facts = {"situation": "sweep", "crs": "LOCAL"}
    return CloudTreated(kind=kind, chunks=pieces(), findings=(), treatments=(), facts=facts)

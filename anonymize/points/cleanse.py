"""First pass over point clouds: zones cut on true places; only points and what is listed of them is left."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from anonymize.finding import FieldPath, Finding, FindingKind, Treatment, TreatmentKind
from anonymize.formats.kitti import read_points, write_points
from anonymize.formats.track import list_dropped
from anonymize.geo.crs import geodesic_m
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.zones import ZoneSet
from anonymize.points.attributes import is_listed, is_time
from anonymize.points.cloud import CloudTreated, Place
from anonymize.points.georeference import (
    SENSOR_REACH_M,
    Bounds,
    Georeference,
    geo_keys,
    is_georeferenced,
    require_declared,
    stated_crs,
    states_crs,
)
from anonymize.points.kinds import CloudKind
from anonymize.points.las_layout import (
    CRS_IDS,
    CRS_USER,
    EXTRA_BYTES_ID,
    GEO_KEYS_ID,
    LASZIP_ID,
    LASZIP_USER,
    SPEC_USER,
    WKT_ID,
    LasLayout,
    read_las_layout,
)
from anonymize.points.las_points import LasTarget, coordinates, read_records, summarise, write_las
from anonymize.points.las_records import Records, keep_listed, kept_record
from anonymize.points.pcd import IDENTITY, PcdCloud, PcdHeader, read_pcd, write_pcd
from anonymize.points.sieve import Sieved, Tally, sieve_georeferenced, sieve_sweep
from anonymize.profile import PointProfile

_READER = "points"
_PLACE_FIELDS = ("x", "y", "z")


def cleanse_cloud(
    file: BinaryIO,
    kind: CloudKind,
    *,
    zones: ZoneSet | None,
    place: Place | None,
    crs: str | None,
    profile: PointProfile,
) -> CloudTreated:
    """Cut zones and strip everything that is not a point, a listed attribute or the reference system.

    1. Layout and counts are held against the length of the file. 2. The cloud is a sweep or georeferenced
    (``anonymize.points.georeference``). 3. Points in zones, out of a sensor's range or without a place go.
    4. Attributes that the profile does not list go; times that it lists begin at 0. 5. Header and records are
    written anew.

    LAS, LAZ and COPC are read twice, in chunks, and written forwards; PCD and KITTI are held in memory.

    Args:
        file: The original; it must stay open until ``chunks`` were read.
        kind: How it is stored.
        zones: The restricted zones; None where none are in force.
        place: Where the sensor of a sweep was: latitude and longitude in degrees, EPSG:4326, and heading of
            its x axis clockwise from north; None where unknown, then a sweep's zones are not tested
            (``facts["zones_tested"]``).
        crs: The system that the manifest declares, for a georeferenced cloud that states none itself.
        profile: Limits and the allow-list.

    Raises:
        MalformedItemError: The file violates its format, or a point is impossible.
        LimitExceededError: There are more points than the profile permits.
        UnknownCrsError: A georeferenced cloud's system is missing or unknown.
    """
    if kind is CloudKind.KITTI:
        return _cleanse_kitti(file, zones, place, profile)
    if kind is CloudKind.PCD:
        return _cleanse_pcd(file, zones, place, crs, profile)
    return _cleanse_las(file, zones, place, crs, profile)


@dataclass(slots=True, kw_only=True)
class _Test:
    """How points of one cloud are tested."""

    zones: ZoneSet | None
    place: Place | None
    georeference: Georeference | None
    profile: PointProfile
    tally: Tally = field(default_factory=Tally)

    def sieve(self, xyz: FloatArray) -> Sieved:
        if self.georeference is not None:
            found = sieve_georeferenced(xyz, zones=self.zones, to_wgs84=self.georeference.to_wgs84)
        else:
            found = sieve_sweep(xyz, zones=self.zones, place=self.place, profile=self.profile)
        self.tally.add(found)
        return found

    def facts(self, kept: Sequence[str]) -> dict[str, object]:
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


def _cleanse_kitti(
    file: BinaryIO, zones: ZoneSet | None, place: Place | None, profile: PointProfile
) -> CloudTreated:
    file.seek(0)
    points = read_points(file.read(16 * profile.max_points + 1), profile=profile)
    test = _Test(zones=zones, place=place, georeference=None, profile=profile)
    keep = test.sieve(points[:, :3].astype(np.float64)).keep
    content = iter([write_points(points[keep])])
    return test.treated(CloudKind.KITTI, content, metadata=(), dropped=(), shifted=(), kept=("intensity",))


def _cleanse_pcd(
    file: BinaryIO, zones: ZoneSet | None, place: Place | None, crs: str | None, profile: PointProfile
) -> CloudTreated:
    cloud = read_pcd(file, profile=profile)
    xyz = cloud.coordinates()
    returned = xyz[np.isfinite(xyz).all(axis=1)]
    georeference = None
    if len(returned) and is_georeferenced(Bounds.of(returned), stated=False):
        georeference = Georeference.of(require_declared(None, crs))
    elif place is None and zones is not None and _is_world_pose(cloud.header):
        place = _viewpoint_place(cloud.header, Georeference.of(require_declared(None, crs)))
    test = _Test(zones=zones, place=place, georeference=georeference, profile=profile)
    keep = test.sieve(xyz).keep
    fields = cloud.header.fields
    listed = [
        i
        for i, f in enumerate(fields)
        if f.name in _PLACE_FIELDS or is_listed(f.name, profile.keep_attributes)
    ]
    names = [fields[i].name for i in listed if fields[i].name not in _PLACE_FIELDS]
    shifted = [i for i in listed if is_time(fields[i].name)]
    records = np.zeros(int(keep.sum()), np.dtype([(str(n), fields[i].dtype) for n, i in enumerate(listed)]))
    for place_of, index in enumerate(listed):
        values = cloud.records[str(index)]
        records[str(place_of)] = (values - np.nanmin(values) if index in shifted else values)[keep]
    content = iter([write_pcd([fields[i] for i in listed], records, compressed=_is_compressed(cloud))])
    return test.treated(
        CloudKind.PCD,
        content,
        metadata=_pcd_metadata(cloud),
        dropped=[f.name for i, f in enumerate(fields) if i not in listed],
        shifted=[fields[i].name for i in shifted],
        kept=names,
    )


def _is_compressed(cloud: PcdCloud) -> bool:
    return cloud.header.encoding == "binary_compressed"


def _pcd_metadata(cloud: PcdCloud) -> list[str]:
    names = list(cloud.header.unlisted)
    names += ["viewpoint"] if cloud.header.viewpoint != IDENTITY else []
    return [*names, *(["trailing data"] if cloud.trailing_bytes else [])]


def _is_world_pose(header: PcdHeader) -> bool:
    return max(abs(v) for v in header.viewpoint[:2]) > SENSOR_REACH_M


def _viewpoint_place(header: PcdHeader, georeference: Georeference) -> Place:
    """Where a sweep was taken, from a VIEWPOINT in a reference system."""
    x, y, _, w, i, j, k = header.viewpoint
    ahead = np.array([w * w + i * i - j * j - k * k, 2.0 * (i * j + w * k)])
    level = float(np.hypot(*ahead))
    unit = 1e-5 if georeference.geographic else 1.0
    step = ahead / level * unit if level > 0.0 else np.zeros(2)
    lat, lon = georeference.to_wgs84(np.array([x, x + step[0]]), np.array([y, y + step[1]]))
    moved, course = geodesic_m(lat[0], lon[0], lat[1], lon[1])
    return float(lat[0]), float(lon[0]), float(course) if float(moved) > 0.0 else None


def _cleanse_las(
    file: BinaryIO, zones: ZoneSet | None, place: Place | None, crs: str | None, profile: PointProfile
) -> CloudTreated:
    layout = read_las_layout(file, profile=profile)
    stated = stated_crs(file, layout)
    georeference = None
    if is_georeferenced(_bounds(file, layout), stated=states_crs(layout)):
        georeference = Georeference.of(require_declared(stated, crs))
    test = _Test(zones=zones, place=place, georeference=georeference, profile=profile)
    run = _LasRun(file=file, layout=layout, test=test, allowed=profile.keep_attributes)
    target = LasTarget(
        minor=layout.minor,
        record=kept_record(layout.record, profile.keep_attributes),
        compressed=layout.compressed,
        scale=layout.scale,
        offset=layout.offset,
        records=_crs_records(georeference),
        wkt=georeference is not None and georeference.spelled_out,
    )
    summary = summarise(target.record, run.first())
    names = layout.record.attributes()
    kept = [n for n in names if is_listed(n, profile.keep_attributes)]
    return test.treated(
        CloudKind.LAZ if layout.compressed else CloudKind.LAS,
        write_las(target, run.second, summary),
        metadata=_las_metadata(layout),
        dropped=[n for n in names if n not in kept],
        shifted=[n for n in ("gps_time",) if n in kept],
        kept=kept,
    )


@dataclass(slots=True, kw_only=True)
class _LasRun:
    """Both runs over the points of a LAS file. The first one's verdicts are kept, a bit for each point."""

    file: BinaryIO
    layout: LasLayout
    test: _Test
    allowed: Sequence[str]
    verdicts: list[bytes] = field(default_factory=list)
    began: float = np.inf
    sources: dict[int, int] = field(default_factory=dict)

    def first(self) -> Iterator[Records]:
        """Test the points."""
        for records in read_records(self.file, self.layout):
            keep = self.test.sieve(coordinates(records, self.layout)).keep
            self.verdicts.append(np.packbits(keep).tobytes())
            treated = keep_listed(records[keep], self.layout.record, self.allowed)
            if "gps_time" in (treated.dtype.names or ()):
                self.began = min(self.began, float(np.nanmin(records["gps_time"], initial=np.inf)))
            for source in np.unique(treated["point_source_id"]).tolist():
                self.sources.setdefault(source, len(self.sources.keys() - {0}) + 1 if source else 0)
            yield treated

    def second(self) -> Iterator[Records]:
        """The points as they are written."""
        chunks = zip(read_records(self.file, self.layout), self.verdicts, strict=True)
        for records, verdict in chunks:
            bits = np.unpackbits(np.frombuffer(verdict, np.uint8), count=len(records)).astype(bool)
            treated = keep_listed(records[bits], self.layout.record, self.allowed)
            if "gps_time" in (treated.dtype.names or ()) and is_listed("gps_time", self.allowed):
                treated["gps_time"] -= self.began
            numbers = np.zeros(1 << 16, np.uint16)
            numbers[list(self.sources)] = list(self.sources.values())
            treated["point_source_id"] = numbers[treated["point_source_id"]]
            yield treated


def _bounds(file: BinaryIO, layout: LasLayout) -> Bounds:
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    if states_crs(layout):
        return Bounds(low=(0.0, 0.0), high=(0.0, 0.0))
    for records in read_records(file, layout):
        xyz = coordinates(records, layout)[:, :2]
        low, high = np.minimum(low, xyz.min(axis=0)), np.maximum(high, xyz.max(axis=0))
    return Bounds(low=(float(low[0]), float(low[1])), high=(float(high[0]), float(high[1])))


def _crs_records(georeference: Georeference | None) -> tuple[tuple[str, int, bytes], ...]:
    if georeference is None or (georeference.code is None and not georeference.spelled_out):
        return ()
    if georeference.code is None:
        return ((CRS_USER, WKT_ID, georeference.crs.encode() + b"\x00"),)
    return ((CRS_USER, GEO_KEYS_ID, geo_keys(georeference.code, geographic=georeference.geographic)),)


def _las_metadata(layout: LasLayout) -> list[str]:
    needed = {(SPEC_USER, EXTRA_BYTES_ID), (LASZIP_USER, LASZIP_ID), *((CRS_USER, n) for n in CRS_IDS)}
    foreign = [r.name for r in layout.records if (r.user_id, r.record_id) not in needed]
    return [*layout.metadata, *foreign, *(["trailing data"] if layout.trailing_bytes else [])]

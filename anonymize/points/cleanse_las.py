"""First pass over LAS, LAZ and COPC files, in chunks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from anonymize.geo.zones import ZoneSet
from anonymize.points.attributes import is_listed
from anonymize.points.cloud import CloudTreated, Place
from anonymize.points.examination import PointTest
from anonymize.points.georeference import (
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
from anonymize.profile import PointProfile


def cleanse_las(
    file: BinaryIO, zones: ZoneSet | None, place: Place | None, crs: str | None, profile: PointProfile
) -> CloudTreated:
    """See ``anonymize.points.cleanse.cleanse_cloud``."""
    layout = read_las_layout(file, profile=profile)
    stated = stated_crs(file, layout)
    georeference = None
    if is_georeferenced(_bounds(file, layout), stated=states_crs(layout)):
        georeference = Georeference.of(require_declared(stated, crs))
    test = PointTest(zones=zones, place=place, georeference=georeference, profile=profile)
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
    test: PointTest
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
                times = records["gps_time"]
                self.began = min(self.began, float(times[np.isfinite(times)].min(initial=np.inf)))
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
                treated["gps_time"] -= self.began if np.isfinite(self.began) else 0.0
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

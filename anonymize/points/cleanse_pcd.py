"""First pass over PCD files."""

from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from anonymize.geo.crs import geodesic_m
from anonymize.geo.headings import Heading
from anonymize.geo.zones import ZoneSet
from anonymize.points.attributes import is_listed, is_time
from anonymize.points.cloud import CloudTreated, Place
from anonymize.points.examination import PointTest
from anonymize.points.georeference import (
    SENSOR_REACH_M,
    Bounds,
    Georeference,
    is_georeferenced,
    require_declared,
)
from anonymize.points.kinds import CloudKind
from anonymize.points.pcd import IDENTITY, PcdCloud, PcdHeader, read_pcd, write_pcd
from anonymize.points.sieve import not_returned
from anonymize.profile import PointProfile

_PLACE_FIELDS = ("x", "y", "z")


def cleanse_pcd(
    file: BinaryIO, zones: ZoneSet | None, place: Place | None, crs: str | None, profile: PointProfile
) -> CloudTreated:
    """See ``anonymize.points.cleanse.cleanse_cloud``."""
    cloud = read_pcd(file, profile=profile)
    xyz = cloud.coordinates()
    returned = xyz[~not_returned(xyz)]
    georeference = None
    if len(returned) and is_georeferenced(Bounds.of(returned), stated=False):
        georeference = Georeference.of(require_declared(None, crs))
    elif place is None and zones is not None and _is_world_pose(cloud.header):
        place = _viewpoint_place(cloud.header, Georeference.of(require_declared(None, crs)))
    test = PointTest(zones=zones, place=place, georeference=georeference, profile=profile)
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
        records[str(place_of)] = (_from_first(values) if index in shifted else values)[keep]
    content = iter([write_pcd([fields[i] for i in listed], records, compressed=_is_compressed(cloud))])
    return test.treated(
        CloudKind.PCD,
        content,
        metadata=_pcd_metadata(cloud),
        dropped=[f.name for i, f in enumerate(fields) if i not in listed],
        shifted=[fields[i].name for i in shifted],
        kept=names,
    )


def _from_first(times: NDArray[np.generic]) -> NDArray[np.generic]:
    """Times counted from the earliest that is a number."""
    known = times[np.isfinite(times)]
    return times - known.min() if len(known) else times


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
    heading = Heading(course_deg=float(course), spread_deg=0.0) if float(moved) > 0.0 else None
    return float(lat[0]), float(lon[0]), heading

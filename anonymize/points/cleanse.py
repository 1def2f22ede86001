"""First pass over point clouds: zones cut on true places; only points and what is listed of them is left."""

from typing import BinaryIO

import numpy as np

from anonymize.formats.kitti import read_points, write_points
from anonymize.geo.zones import ZoneSet
from anonymize.points.cleanse_las import cleanse_las
from anonymize.points.cleanse_pcd import cleanse_pcd
from anonymize.points.cloud import CloudTreated, Place
from anonymize.points.examination import PointTest
from anonymize.points.kinds import CloudKind
from anonymize.profile import PointProfile

_KITTI_POINT_BYTES = 16


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
            its x axis, None where unknown; without a place a sweep's zones are not tested
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
        return cleanse_pcd(file, zones, place, crs, profile)
    return cleanse_las(file, zones, place, crs, profile)


def _cleanse_kitti(
    file: BinaryIO, zones: ZoneSet | None, place: Place | None, profile: PointProfile
) -> CloudTreated:
    file.seek(0)
    points = read_points(file.read(_KITTI_POINT_BYTES * profile.max_points + 1), profile=profile)
    test = PointTest(zones=zones, place=place, georeference=None, profile=profile)
    keep = test.sieve(points[:, :3].astype(np.float64)).keep
    content = iter([write_points(points[keep])])
    return test.treated(CloudKind.KITTI, content, metadata=(), dropped=(), shifted=(), kept=("intensity",))

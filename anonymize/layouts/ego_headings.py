"""Which way a nuScenes vehicle headed: what the rotations of ``ego_pose`` say, standing and reversing too."""

import numpy as np

from anonymize.errors import UnknownFormatError
from anonymize.geo.crs import geodesic_m, to_wgs84
from anonymize.geo.ellipsoid import FloatArray, wrap_degrees
from anonymize.geo.headings import Heading
from anonymize.layouts.nuscenes import map_frame
from anonymize.layouts.nuscenes_rows import NuscenesTable, places_of

_LONGEST_GAP_S = 1.0
_LEAST_LEVEL = 0.5


def ego_courses(table: NuscenesTable, *, location: str | None) -> tuple[FloatArray, FloatArray]:
    """The heading of the vehicle's x axis, which points ahead, at every pose.

    Args:
        table: ``ego_pose``.
        location: The map that its frame is of.

    Returns:
        POSIX seconds, in order, and degrees clockwise from north; NaN where the axis points up or down.

    Raises:
        UnknownCrsError: The location is missing or unknown.
        UnknownFormatError: It is another table.
    """
    if table.name != "ego_pose":
        raise UnknownFormatError(f"no headings in this table (got {table.name}, expected ego_pose)")
    w, x, y, z = np.array([row["rotation"] for row in table.rows], dtype=np.float64).reshape(-1, 4).T
    ahead = np.stack([1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z)])
    level = np.hypot(*ahead)
    lat, lon, _ = places_of(table, location=location)
    east, north = table.translations().T[:2] + ahead
    course = geodesic_m(lat, lon, *to_wgs84(east, north, map_frame(location)))[1]
    time_s = table.times()
    order = np.argsort(time_s, kind="stable")
    return time_s[order], np.where(level >= _LEAST_LEVEL, course, np.nan)[order]


def ego_heading_at(time_s: FloatArray, course_deg: FloatArray, moment_s: float) -> Heading | None:
    """The heading at a moment: between those of the poses before and after, at most 1 s apart.

    Args:
        time_s: As :func:`ego_courses` gives them.
        course_deg: As above.
        moment_s: POSIX seconds.

    Returns:
        None where poses do not tell.
    """
    last = int(np.searchsorted(time_s, moment_s, side="right")) - 1
    following = int(np.searchsorted(time_s, moment_s, side="left"))
    if last < 0 or following >= len(time_s) or time_s[following] - time_s[last] > _LONGEST_GAP_S:
        return None
    # At the very time of a pose both are it, or several of that time.
    between = course_deg[min(last, following) : max(last, following) + 1]
    off = wrap_degrees(between - between[0])
    if not np.isfinite(off).all():
        return None
    least, most = float(off.min()), float(off.max())
    return Heading(
        course_deg=float(between[0] + (least + most) / 2.0) % 360.0, spread_deg=(most - least) / 2.0
    )

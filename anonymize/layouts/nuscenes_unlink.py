"""nuScenes tables under the secrets of a release (the second pass): new tokens, and clips or displaced places.

Each table is treated alone. Rows with times, or with a sample whose time is known, go where the recording's plan
puts that time; the others only change their tokens. In LOCAL the tokens of samples, poses, scenes and instances
differ from clip to clip, so that they join nothing beyond one, and the tables of scenes and instances stay behind.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from anonymize.errors import OutsideReleaseError, UnknownFormatError
from anonymize.geo.approved_displacement import measured
from anonymize.geo.clips import ClipPlan, check_clip_paths
from anonymize.geo.crs import from_wgs84
from anonymize.geo.distortion import turns_rad
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.offset import OffsetEvidence
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.geo.rotation import multiply_quaternions, up_quaternion
from anonymize.geo.time_spans import IntArray
from anonymize.layouts.nuscenes import Tokens, map_frame
from anonymize.layouts.nuscenes_links import (
    JOINS_CLIPS,
    NOTHING_KNOWN,
    Companions,
    companions,
    is_timed,
    parts_of,
    relinked,
    renamed,
    times_of,
)
from anonymize.layouts.nuscenes_rows import PLACED, TIMED, NuscenesTable, places_of, write_table
from anonymize.profile import TrackProfile

__all__ = ["Companions", "UnlinkedTable", "companions", "local_table", "offset_table"]

_MICRO = 1e6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnlinkedTable:
    """A table as it leaves.

    Attributes:
        content: JSON.
        source: The true rows behind it, row by row; for the residual scan.
        time_s: True times of the rows; NaN for tables without.
        evidence: What an offset did to its places; None where there was none, and in APPROVED.
    """

    content: bytes
    source: NuscenesTable = field(repr=False)
    time_s: FloatArray = field(repr=False)
    evidence: OffsetEvidence | None = None


def local_table(
    table: NuscenesTable,
    plan: ClipPlan,
    *,
    tokens: Tokens,
    location: str | None,
    profile: TrackProfile,
    known: Companions | None = None,
    file_name: Callable[[str], str] | None = None,
) -> UnlinkedTable:
    """LOCAL: rows of each clip with its number, places in its frame, and microseconds since its begin.

    Annotations carry ``category_token`` themselves, because instances stay behind.

    Args:
        table: What the first pass left.
        plan: The clips of the recording.
        tokens: New tokens.
        location: See :func:`anonymize.layouts.nuscenes.map_frame`; for tables with places.
        profile: Limits.
        known: What other tables say; annotations need it.
        file_name: Released name by the name in ``sample_data``; a keyed one where None.

    Raises:
        LimitExceededError: The path of ``ego_pose`` within a clip is longer than the profile permits.
        OutsideReleaseError: No row lies in a clip, or the table joins clips.
        UnknownCrsError: The table has places and the location is missing or unknown.
        UnknownFormatError: Annotations come without the times of their samples or the categories of instances.
    """
    if table.name in JOINS_CLIPS:
        raise OutsideReleaseError(f"the table {table.name} joins clips (got LOCAL, expected OFFSET)")
    known = known or NOTHING_KNOWN
    if not is_timed(table):
        return _renamed(table, tokens, known, local=True)
    source, numbers, times = _sorted(table, parts_of(table, plan, known), times_of(table, known))
    part_of = dict(zip((r["token"] for r in source.rows), numbers.tolist(), strict=True))
    rows = [
        {**relinked(row, tokens, part_of, clip, known, file_name), "clip": clip}
        for row, clip in zip(source.rows, numbers.tolist(), strict=True)
    ]
    if table.name == "sample_annotation":
        _put_categories(rows, source, tokens, known)
    if table.name in TIMED:
        for row, clip, time in zip(rows, numbers.tolist(), times.tolist(), strict=True):
            row["timestamp"] = round(float(plan.clips[clip].times(time)) * _MICRO)
    if table.name in PLACED:
        _put_in_clips(rows, source, numbers, plan, location)
    if table.name == "ego_pose":
        at = np.array([row["translation"] for row in rows])
        check_clip_paths(numbers, at[:, 0], at[:, 1], profile=profile)
    return UnlinkedTable(content=write_table(rows), source=source, time_s=times)


def offset_table(
    table: NuscenesTable,
    plan: OffsetPlan,
    *,
    tokens: Tokens,
    location: str | None,
    profile: TrackProfile,
    known: Companions | None = None,
    file_name: Callable[[str], str] | None = None,
) -> UnlinkedTable:
    """OFFSET: rows of kept spans, displaced in the frame of their map, at shifted times. See :func:`local_table`.

    Raises:
        LimitExceededError: A limit of the profile is missed.
        OutsideReleaseError: No row lies in a kept span.
        UnknownCrsError: The table has places and the location is missing or unknown.
        UnknownFormatError: Annotations come without the times of their samples.
    """
    known = known or NOTHING_KNOWN
    if not is_timed(table):
        return _renamed(table, tokens, known, local=False)
    source, numbers, times = _sorted(table, parts_of(table, plan, known), times_of(table, known))
    part_of = dict(zip((r["token"] for r in source.rows), numbers.tolist(), strict=True))
    rows = [relinked(row, tokens, part_of, None, known, file_name) for row in source.rows]
    if table.name in TIMED:
        for row, time in zip(rows, plan.times(times).tolist(), strict=True):
            row["timestamp"] = round(time * _MICRO)
    evidence = _put_displaced(rows, source, plan, location, profile) if table.name in PLACED else None
    return UnlinkedTable(content=write_table(rows), source=source, time_s=times, evidence=evidence)


def _sorted(
    table: NuscenesTable, numbers: IntArray, times: FloatArray
) -> tuple[NuscenesTable, IntArray, FloatArray]:
    """The rows that are released, by part and time."""
    order = np.lexsort((times, numbers))
    order = order[numbers[order] >= 0]
    if not len(order):
        raise OutsideReleaseError(f"no row of {table.name} lies in what is released (expected some)")
    return table.take(order), numbers[order], times[order]


def _renamed(table: NuscenesTable, tokens: Tokens, known: Companions, *, local: bool) -> UnlinkedTable:
    """Tables without times and places: new tokens, in the order of those, so that rows keep no place."""
    made = []
    for index, row in enumerate(table.rows):
        new = renamed(row, tokens, known)
        if table.name == "map":
            new["filename"] = ""
        if table.name == "log" and local:
            new["location"] = ""
        made.append((new["token"], index, new))
    made.sort(key=lambda entry: entry[:2])
    source = table.take(np.array([index for _, index, _ in made], dtype=np.intp))
    absent = np.full(len(made), np.nan)
    return UnlinkedTable(content=write_table([new for _, _, new in made]), source=source, time_s=absent)


def _put_categories(
    rows: list[dict[str, Any]], source: NuscenesTable, tokens: Tokens, known: Companions
) -> None:
    for row, true in zip(rows, source.rows, strict=True):
        category = known.categories.get(true["instance_token"])
        if category is None:
            raise UnknownFormatError(
                "annotations have no category (got an unknown instance, expected instance.json)"
            )
        row["category_token"] = tokens.of(category) if known.leaves("category_token", category, None) else ""


def _put_in_clips(
    rows: list[dict[str, Any]],
    source: NuscenesTable,
    numbers: IntArray,
    plan: ClipPlan,
    location: str | None,
) -> None:
    lat, lon, up = places_of(source, location=location)
    turned = _quaternions(source)
    for clip in np.unique(numbers).tolist():
        of, frame = np.flatnonzero(numbers == clip), plan.clips[clip]
        x, y, z = frame.positions(lat[of], lon[of], up[of])
        _put(rows, of, np.stack([x, y, z], axis=1), frame.quaternions(turned[of]))


def _put_displaced(
    rows: list[dict[str, Any]],
    source: NuscenesTable,
    plan: OffsetPlan,
    location: str | None,
    profile: TrackProfile,
) -> OffsetEvidence | None:
    lat, lon, up = places_of(source, location=location)
    evidence = measured(plan.offset, lat, lon, profile=profile)
    east, north = from_wgs84(*plan.offset.displace(lat, lon), map_frame(location))
    turn = turns_rad(plan.offset.jacobians(lat, lon))
    turned = multiply_quaternions(up_quaternion(turn), _quaternions(source))
    height = up if profile.keep_elevation else np.zeros(len(up))
    _put(rows, np.arange(len(rows)), np.stack([east, north, height], axis=1), turned)
    return evidence


def _quaternions(table: NuscenesTable) -> FloatArray:
    """Orientations as x, y, z, w; nuScenes has w first."""
    return np.roll(np.array([row["rotation"] for row in table.rows], dtype=np.float64), -1, axis=1)


def _put(rows: list[dict[str, Any]], of: Any, at: FloatArray, turned: FloatArray) -> None:
    for index, place, quaternion in zip(
        of.tolist(), at.tolist(), np.roll(turned, 1, axis=1).tolist(), strict=True
    ):
        rows[index]["translation"] = [round(v, 3) + 0.0 for v in place]
        rows[index]["rotation"] = [round(v, 9) + 0.0 for v in quaternion]

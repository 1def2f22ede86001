"""Links between rows of nuScenes tables as they leave: new tokens, and none that name a row which stays behind."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from anonymize.errors import UnknownFormatError
from anonymize.geo.clips import ClipPlan
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.geo.time_spans import IntArray
from anonymize.layouts.nuscenes import TABLES, Tokens
from anonymize.layouts.nuscenes_rows import TIMED, NuscenesTable

Row = Mapping[str, Any]
Present = Mapping[str, Mapping[str, int]]
"""By table and true token, the part of the plan that a row which leaves is in, or ``ANYWHERE``."""

ANYWHERE = -1
JOINS_CLIPS = frozenset({"scene", "instance"})
"""Tables that stay behind in LOCAL."""

_MICRO = 1e6
_IN_CLIP = frozenset({"token", "sample_token", "ego_pose_token", "scene_token", "instance_token"})
_LASTING = frozenset({"calibrated_sensor_token", "category_token", "sensor_token", "visibility_token"})
_TABLE_OF: Mapping[str, str] = {
    "sample_token": "sample",
    "first_sample_token": "sample",
    "last_sample_token": "sample",
    "ego_pose_token": "ego_pose",
    "calibrated_sensor_token": "calibrated_sensor",
    "sensor_token": "sensor",
    "scene_token": "scene",
    "log_token": "log",
    "log_tokens": "log",
    "instance_token": "instance",
    "first_annotation_token": "sample_annotation",
    "last_annotation_token": "sample_annotation",
    "category_token": "category",
    "attribute_tokens": "category",
    "visibility_token": "visibility",
}
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "sample_data": ("ego_pose_token", "calibrated_sensor_token"),
    "sample_annotation": ("sample_token", "instance_token"),
}
"""Links without which a row says nothing: it stays behind with what it names."""

_SUFFIX = re.compile(r"(\.pcd\.bin|\.bin|\.pcd|\.jpg|\.jpeg|\.png)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Companions:
    """What other tables of the recording say of the rows of one.

    Attributes:
        sample_times: POSIX seconds by token of ``sample``.
        categories: Token of the category by token of ``instance``.
        present: Which rows leave; None where that is not known, and every link is kept.
    """

    sample_times: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    categories: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    present: Present | None = field(default=None, repr=False)

    def leaves(self, member: str, token: str, clip: int | None) -> bool:
        """Whether the row that a member names leaves, in LOCAL in the same clip."""
        table = _TABLE_OF.get(member)
        if self.present is None or table is None or table not in self.present:
            return True
        part = self.present[table].get(token)
        return part is not None and (clip is None or part in {ANYWHERE, clip})


NOTHING_KNOWN = Companions()


def companions(*tables: NuscenesTable) -> Companions:
    """What ``sample`` and ``instance`` tables say of annotations."""
    samples = {r["token"]: r["timestamp"] / _MICRO for t in tables if t.name == "sample" for r in t.rows}
    categories = {r["token"]: r["category_token"] for t in tables if t.name == "instance" for r in t.rows}
    return Companions(sample_times=samples, categories=categories)


def companions_under(tables: Iterable[NuscenesTable], plan: ClipPlan | OffsetPlan) -> Companions:
    """What all tables of a recording say of one another under a plan: links to what stays behind are dropped.

    A table that is not among them has no row that leaves.
    """
    tables = sorted(tables, key=lambda each: each.name in _NEEDED)
    told, local = companions(*tables), isinstance(plan, ClipPlan)
    present: dict[str, dict[str, int]] = {n: {} for n in TABLES if not (local and n in JOINS_CLIPS)}
    known = replace(told, present=present)
    for table in tables:
        if table.name == "sample_annotation" and not told.sample_times:
            continue
        if table.name in present:
            timed = is_timed(table)
            parts = parts_of(table, plan, known).tolist() if timed else [ANYWHERE] * len(table.rows)
            present[table.name] |= {
                row["token"]: part
                for row, part in zip(table.rows, parts, strict=True)
                if part >= 0 or not timed
            }
    return known


def is_timed(table: NuscenesTable) -> bool:
    """Whether the rows of a table lie in time, by themselves or by their samples."""
    return table.name in TIMED or table.name == "sample_annotation"


def times_of(table: NuscenesTable, known: Companions) -> FloatArray:
    """POSIX seconds of the rows of a table; NaN where they have none.

    Raises:
        UnknownFormatError: Annotations come without the times of their samples.
    """
    if table.name in TIMED:
        return table.times()
    if table.name != "sample_annotation":
        return np.full(len(table.rows), np.nan)
    if not known.sample_times:
        raise UnknownFormatError(
            "annotations cannot be placed in time (got no samples, expected sample.json)"
        )
    return np.array([known.sample_times.get(row["sample_token"], np.nan) for row in table.rows])


def parts_of(table: NuscenesTable, plan: ClipPlan | OffsetPlan, known: Companions) -> IntArray:
    """The clip or kept span of each row of a table that lies in time; -1 where it stays behind.

    Raises:
        UnknownFormatError: Annotations come without the times of their samples.
    """
    times = times_of(table, known)
    local = isinstance(plan, ClipPlan)
    numbers = (plan.clip_of if isinstance(plan, ClipPlan) else plan.span_of)(times)
    if known.present is None:
        return numbers
    kept = numbers.copy()
    for index in np.flatnonzero(numbers >= 0).tolist():
        row, clip = table.rows[index], int(numbers[index]) if local else None
        needed = _NEEDED.get(table.name, ())
        if row.get("is_key_frame"):
            needed = (*needed, "sample_token")
        if not all(known.leaves(member, row[member], clip) for member in needed):
            kept[index] = -1
    return kept


def relinked(
    row: Row,
    tokens: Tokens,
    part_of: Mapping[str, int],
    clip: int | None,
    known: Companions,
    file_name: Callable[[str], str] | None,
) -> dict[str, Any]:
    """A row with new tokens; links to rows that lie elsewhere, or nowhere, are empty."""
    made = dict(row)
    own = part_of[row["token"]]
    for member, value in row.items():
        if member in _IN_CLIP:
            made[member] = tokens.of(value, clip) if known.leaves(member, value, clip) else ""
        elif member in _LASTING:
            made[member] = tokens.of(value) if known.leaves(member, value, clip) else ""
        elif member in {"prev", "next"}:
            made[member] = tokens.of(value, clip) if part_of.get(value) == own else ""
        elif member == "attribute_tokens":
            made[member] = sorted(tokens.of(t) for t in value if known.leaves(member, t, clip))
        elif member == "filename":
            made[member] = file_name(value) if file_name else _keyed_name(value, tokens)
    return made


def renamed(row: Row, tokens: Tokens, known: Companions) -> dict[str, Any]:
    """A row without time and place with new tokens; links to rows that stay behind are empty."""
    made = dict(row)
    for member, value in row.items():
        if member == "token" or member.endswith("_token"):
            made[member] = tokens.of(value) if known.leaves(member, value, None) else ""
        elif member.endswith("_tokens"):
            made[member] = sorted(tokens.of(t) for t in value if known.leaves(member, t, None))
    return made


def _keyed_name(name: str, tokens: Tokens) -> str:
    suffix = _SUFFIX.search(name)
    return tokens.of(name) + (suffix[1] if suffix else "") if name else ""

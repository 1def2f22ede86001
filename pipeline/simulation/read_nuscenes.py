"""Tracks of the vehicles in released nuScenes tables: the automated vehicle's poses, and the annotated others.

Tables are known by what their rows hold, as item names of a release say nothing. Annotations come twice a second;
``pipeline.simulation.tracks`` puts a curve through what is that coarse.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import polars as pl

from pipeline.simulation.errors import TracksError
from pipeline.simulation.tracks import DEFAULT_LENGTH_M

EGO: Final = "ego"
LEAST_CLIP_S: Final = 1.0
NEEDED: Final = ("ego_pose", "sample", "sample_annotation", "sample_data")
_SCHEMA: Final = {
    "clip": pl.String,
    "track": pl.String,
    "t": pl.Float64,
    "x": pl.Float64,
    "y": pl.Float64,
    "length": pl.Float64,
}
_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "sample_annotation": frozenset({"token", "sample_token", "instance_token", "translation", "size"}),
    "sample_data": frozenset({"token", "sample_token", "ego_pose_token", "timestamp"}),
    "sample": frozenset({"token", "timestamp", "scene_token"}),
    "ego_pose": frozenset({"token", "timestamp", "translation", "rotation"}),
    "instance": frozenset({"token", "category_token", "nbr_annotations"}),
    "category": frozenset({"token", "name"}),
}
"""Members by which the rows of a table are told from those of others; the first that fits is it."""
_NO_LANE_USERS: Final = ("vehicle.bicycle",)

Row = Mapping[str, Any]


def table_of(content: bytes, item: str) -> tuple[str, Sequence[Row]] | None:
    """Name and rows of a table that tracks are made of; ``None`` for any other JSON.

    Raises:
        TracksError: It is no JSON.
    """
    try:
        rows = json.loads(content)
    except ValueError as error:
        raise TracksError(f"{item!r} is no JSON: {error}") from error
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        return None
    members = frozenset.intersection(*(frozenset(row) for row in rows))
    for name, wanted in _MEMBERS.items():
        if wanted <= members:
            return name, rows
    return None


def nuscenes_tracks(tables: Mapping[str, Sequence[Row]]) -> pl.DataFrame:
    """A table of tracks (``pipeline.simulation.tracks``): a clip for each scene, or part of one that is released.

    The automated vehicle is ``ego``; the others are all vehicles but bicycles. Times count from the first pose of
    the clip. Rows whose links lead to rows that the release leaves out are left out.

    Raises:
        TracksError: A table is missing, a row lacks a member, or a number is NaN or infinite.
    """
    if missing := sorted(set(NEEDED) - tables.keys()):
        raise TracksError(
            f"nuScenes tables (got {', '.join(sorted(tables))}, expected {', '.join(missing)} too)"
        )
    try:
        return _tracks(tables)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise TracksError(f"nuScenes tables: {type(error).__name__}: {error}") from error


def _tracks(tables: Mapping[str, Sequence[Row]]) -> pl.DataFrame:
    samples = {str(row["token"]): row for row in tables["sample"]}
    poses = {str(row["token"]): row for row in tables["ego_pose"]}
    rows = [*_own(tables, samples, poses), *_others(tables, samples)]
    table = pl.DataFrame(rows, schema=_SCHEMA, orient="row").unique(
        ["clip", "track", "t"], maintain_order=True
    )
    seconds = pl.col("t").max() - pl.col("t").min()
    own = table.filter(pl.col("track") == EGO).group_by("clip")
    begins = own.agg(begin=pl.col("t").min(), seconds=seconds).filter(pl.col("seconds") >= LEAST_CLIP_S)
    # A clip next to without the automated vehicle, as where a scene ends in it, has no path to see others from.
    placed = table.join(begins, on="clip", how="inner")
    return placed.with_columns(pl.col("t") - pl.col("begin")).drop("begin", "seconds")


def _own(
    tables: Mapping[str, Sequence[Row]], samples: Mapping[str, Row], poses: Mapping[str, Row]
) -> Iterator[tuple[object, ...]]:
    for row in tables["sample_data"]:
        sample, pose = samples.get(str(row["sample_token"])), poses.get(str(row["ego_pose_token"]))
        if sample is not None and pose is not None:
            x, y = _place(pose, "ego_pose")
            yield str(sample["scene_token"]), EGO, _seconds(pose, "ego_pose"), x, y, DEFAULT_LENGTH_M


def _others(tables: Mapping[str, Sequence[Row]], samples: Mapping[str, Row]) -> Iterator[tuple[object, ...]]:
    names = {str(row["token"]): str(row["name"]) for row in tables.get("category", ())}
    categories = {str(row["token"]): str(row["category_token"]) for row in tables.get("instance", ())}
    for row in tables["sample_annotation"]:
        sample = samples.get(str(row["sample_token"]))
        # LOCAL keeps no table of instances: annotations carry the category themselves.
        category = names.get(str(row.get("category_token") or categories.get(str(row["instance_token"]))), "")
        if sample is None or not category.startswith("vehicle.") or category.startswith(_NO_LANE_USERS):
            continue
        x, y = _place(row, "sample_annotation")
        length = _finite(row["size"][1], "sample_annotation", row)
        yield str(sample["scene_token"]), str(row["instance_token"]), _seconds(sample, "sample"), x, y, length


def _place(row: Row, table: str) -> tuple[float, float]:
    x, y, *_ = row["translation"]
    return _finite(x, table, row), _finite(y, table, row)


def _seconds(row: Row, table: str) -> float:
    return _finite(row["timestamp"], table, row) / 1e6


def _finite(value: Any, table: str, row: Row) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise TracksError(f"{table} {row['token']} (got {number}, expected a finite number)")
    return number

"""Tables of tracks: read strictly, resampled, and seen from the automated vehicle's own path.

A table has a row per instant and track: ``clip``, ``track``, ``t`` (s), ``x``, ``y`` (m, any plane frame that one
clip keeps), and may have ``length`` (m).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from pipeline.simulation.backend import Floats
from pipeline.simulation.errors import TracksError

STEP_S: Final = 0.1
LONGEST_PAUSE_S: Final = 0.5
"""A longer pause in a track splits it: what happened meanwhile is not made up."""
DEFAULT_LENGTH_M: Final = 4.8
_NUMBERS: Final = ("t", "x", "y")
_REACH_M: Final = (-60.0, 250.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One unbroken piece of a track, every ``STEP_S``; ``first`` is its number of steps from the clip's origin."""

    name: str
    first: int
    x: Floats
    y: Floats
    length: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Tracks that share a frame and a clock."""

    name: str
    ego: tuple[Track, ...]
    others: tuple[Track, ...]


def read_tracks(path: Path) -> pl.DataFrame:
    """Read a CSV or Parquet table of tracks.

    Raises:
        TracksError: The file cannot be read as such a table.
    """
    if path.suffix not in {".csv", ".parquet"}:
        raise TracksError(f"{path.name} (expected a name ending in .csv or .parquet)")
    try:
        return pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise TracksError(f"{path.name} cannot be read as a table: {error}") from error


def clips(table: pl.DataFrame, ego: str) -> Iterator[Clip]:
    """The clips of a table, in the order of their names.

    Raises:
        TracksError: A column is missing or of another type, a number is missing, NaN or infinite, an instant of a
            track is given twice, a clip has no automated vehicle, or there is no row.
    """
    checked = _checked(table)
    for (name,), rows in checked.group_by("clip", maintain_order=True):
        pieces = [
            piece
            for (track,), own in rows.group_by("track", maintain_order=True)
            for piece in _pieces(str(track), own)
        ]
        mine = tuple(each for each in pieces if each.name == ego)
        if not mine:
            raise TracksError(f"clip {name} has no track {ego!r} of two or more instants")
        yield Clip(name=str(name), ego=mine, others=tuple(each for each in pieces if each.name != ego))


def _checked(table: pl.DataFrame) -> pl.DataFrame:
    for column in ("clip", "track", *_NUMBERS):
        if column not in table.columns:
            raise TracksError(f"column {column!r} is missing (got {', '.join(table.columns)})")
    if table.is_empty():
        raise TracksError("the table has no rows")
    numbers = [*_NUMBERS, *(("length",) if "length" in table.columns else ())]
    for column in numbers:
        if not table.schema[column].is_numeric():
            raise TracksError(f"column {column!r} (got {table.schema[column]}, expected numbers)")
        values = table[column].cast(pl.Float64)
        wrong = np.flatnonzero(~np.isfinite(values.to_numpy()))
        if wrong.size:
            raise TracksError(
                f"row {wrong[0] + 1}: {column} (got {values[int(wrong[0])]}, expected a finite number)"
            )
    named = table.with_columns(
        pl.col("clip").cast(pl.String),
        pl.col("track").cast(pl.String),
        *(pl.col(n).cast(pl.Float64) for n in numbers),
    )
    for column in ("clip", "track"):
        if named[column].null_count():
            raise TracksError(f"column {column!r} has rows without a value")
    ordered = named.sort("clip", "track", "t")
    twice = ordered.filter(ordered.select("clip", "track", "t").is_duplicated())
    if not twice.is_empty():
        raise TracksError(
            f"clip {twice['clip'][0]}, track {twice['track'][0]}: t = {twice['t'][0]} is given twice"
        )
    return ordered


def _pieces(name: str, rows: pl.DataFrame) -> Iterator[Track]:
    times, x, y = (rows[column].to_numpy() for column in _NUMBERS)
    length = float(rows["length"][0]) if "length" in rows.columns else DEFAULT_LENGTH_M
    if not length > 0.0:
        raise TracksError(f"track {name}: length (got {length}, expected more than 0 m)")
    for part in np.split(np.arange(len(times)), np.flatnonzero(np.diff(times) > LONGEST_PAUSE_S) + 1):
        first, last = int(np.ceil(times[part[0]] / STEP_S - 1e-9)), int(times[part[-1]] / STEP_S + 1e-9)
        if last <= first:
            continue
        grid = np.arange(first, last + 1) * STEP_S
        yield Track(
            name=name,
            first=first,
            x=np.interp(grid, times[part], x[part]),
            y=np.interp(grid, times[part], y[part]),
            length=length,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Another vehicle while both are there, along and across the automated vehicle's path; arrays by step.

    Attributes:
        own: Automated vehicle's way along its path, m.
        along: The other's, m.
        across: Its offset from the path, m, positive to the left.
        ahead_length: Half of both lengths together, m.
    """

    own: Floats
    along: Floats
    across: Floats
    ahead_length: float


def seen_from(ego: Track, other: Track) -> Seen | None:
    """The other on the automated vehicle's path; ``None`` where they share less than two instants."""
    start = max(ego.first, other.first)
    end = min(ego.first + len(ego.x), other.first + len(other.x))
    if end - start < 2:  # noqa: PLR2004 - said in the docstring
        return None
    stations, path = _path(ego)
    own = stations[start - ego.first : end - ego.first]
    part = slice(start - other.first, end - other.first)
    along, across = _projected(np.stack([other.x[part], other.y[part]], axis=1), own, path)
    return Seen(own=own, along=along, across=across, ahead_length=0.5 * (ego.length + other.length))


def _path(ego: Track) -> tuple[Floats, Floats]:
    """Way at each step, and the path as (x, y, way) without points where the vehicle stands, led on at its end."""
    points = np.stack([ego.x, ego.y], axis=1)
    stations = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    moved = np.concatenate([[True], np.diff(np.floor(stations)) > 0.0])
    path = np.column_stack([points, stations])[moved]
    if len(path) < 2:  # noqa: PLR2004 - a direction takes two points
        path = np.vstack([path, [ego.x[-1] + 1.0, ego.y[-1], stations[-1] + 1.0]])
    ways = np.diff(path[-2:], axis=0)[0] / np.linalg.norm(np.diff(path[-2:, :2], axis=0))
    return stations, np.vstack([path, path[-1] + ways * _REACH_M[1]])


def _projected(points: Floats, own: Floats, path: Floats) -> tuple[Floats, Floats]:
    """Way and offset of each point on the nearest piece of path within reach of the automated vehicle."""
    begin, step = path[:-1], np.diff(path, axis=0)
    span = np.linalg.norm(step[:, :2], axis=1)
    relative = points[:, None, :] - begin[None, :, :2]
    part = np.clip((relative * step[None, :, :2]).sum(axis=2) / span**2, 0.0, 1.0)
    away = relative - part[:, :, None] * step[None, :, :2]
    stations = begin[None, :, 2] + part * step[None, :, 2]
    distance = np.linalg.norm(away, axis=2)
    ahead = stations - own[:, None]
    distance = np.where((ahead >= _REACH_M[0]) & (ahead <= _REACH_M[1]), distance, np.inf)
    rows, best = np.arange(len(points)), distance.argmin(axis=1)
    cross = step[best, 0] * relative[rows, best, 1] - step[best, 1] * relative[rows, best, 0]
    return stations[rows, best], np.sign(cross) * np.linalg.norm(away[rows, best], axis=1)

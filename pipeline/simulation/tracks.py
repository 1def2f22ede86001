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
from scipy.interpolate import Akima1DInterpolator  # type: ignore[import-untyped]

from pipeline.simulation.backend import Floats
from pipeline.simulation.errors import TracksError

STEP_S: Final = 0.1
LONGEST_PAUSE_S: Final = 0.75
"""A longer pause in a track splits it: what happened meanwhile is not made up. Annotations come twice a second."""
COARSE_S: Final = 0.2
"""Over longer steps a straight line would turn steady braking into jolts: a curve is laid through the places."""
DEFAULT_LENGTH_M: Final = 4.8
_NUMBERS: Final = ("t", "x", "y")
_REACH_M: Final = (-60.0, 250.0)
_SPACING_M: Final = 1.0


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


def columns_of(table: pl.DataFrame, name: str) -> dict[str, Floats]:
    """Columns of numbers of a table of observations; NaN where one is absent.

    Raises:
        TracksError: It holds none.
    """
    if table.is_empty():
        raise TracksError(f"{name} holds no events")
    return {
        name: table[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        for name in table.columns
        if table.schema[name].is_numeric()
    }


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
        grid: Floats = np.arange(first, last + 1, dtype=np.float64) * np.float64(STEP_S)
        yield Track(
            name=name,
            first=first,
            x=_between(grid, times[part], x[part]),
            y=_between(grid, times[part], y[part]),
            length=length,
        )


def _between(grid: Floats, times: Floats, values: Floats) -> Floats:
    if len(times) < 3 or np.median(np.diff(times)) <= COARSE_S:  # noqa: PLR2004 - a curve takes three
        return np.interp(grid, times, values)
    # Akima's curve keeps steady acceleration as it is and does not swing about a wrong place.
    return np.asarray(Akima1DInterpolator(times, values)(np.clip(grid, times[0], times[-1])))


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
    """Way at each step, and the path as (x, y, way) by points ``_SPACING_M`` or more apart, led on at its end.

    Places nearer than that to the point before only move along: what trembles on the spot goes no way.
    """
    points = np.stack([ego.x, ego.y], axis=1)
    vertices, before = [0], np.zeros(len(points), dtype=np.intp)
    for i in range(1, len(points)):
        if np.hypot(*(points[i] - points[vertices[-1]])) >= _SPACING_M:
            vertices.append(i)
        before[i] = len(vertices) - 1
    moved = len(vertices) > 1  # a direction takes two points
    corners = points[vertices] if moved else np.vstack([points[0], points[-1] + [_SPACING_M, 0.0]])
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    path = np.column_stack([corners, np.concatenate([[0.0], np.cumsum(lengths)])])
    ways = np.diff(path[-2:], axis=0)[0] / lengths[-1]
    led_on = np.vstack([path, path[-1] + ways * _REACH_M[1]])
    stations, _ = _projected(points, path[before, 2], led_on, (-2.0 * _SPACING_M, 2.0 * _SPACING_M))
    return stations, led_on


def _projected(
    points: Floats, own: Floats, path: Floats, reach: tuple[float, float] = _REACH_M
) -> tuple[Floats, Floats]:
    """Way and offset of each point on the nearest piece of path within reach of the automated vehicle."""
    begin, step = path[:-1], np.diff(path, axis=0)
    span = np.linalg.norm(step[:, :2], axis=1)
    relative = points[:, None, :] - begin[None, :, :2]
    part = np.clip((relative * step[None, :, :2]).sum(axis=2) / span**2, 0.0, 1.0)
    away = relative - part[:, :, None] * step[None, :, :2]
    stations = begin[None, :, 2] + part * step[None, :, 2]
    distance = np.linalg.norm(away, axis=2)
    ahead = stations - own[:, None]
    distance = np.where((ahead >= reach[0]) & (ahead <= reach[1]), distance, np.inf)
    rows, best = np.arange(len(points)), distance.argmin(axis=1)
    cross = step[best, 0] * relative[rows, best, 1] - step[best, 1] * relative[rows, best, 0]
    return stations[rows, best], np.sign(cross) * np.linalg.norm(away[rows, best], axis=1)

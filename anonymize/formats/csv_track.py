"""Tracks as delimited text with a header line."""

import csv
import io
import itertools
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import MalformedItemError, UnknownCrsError
from anonymize.formats.track import (
    Track,
    check_count,
    format_times,
    list_dropped,
    number_segments,
    parse_numbers,
    parse_times,
    to_positions,
)
from anonymize.geo.crs import CrsKind, kind_of, require_crs
from anonymize.profile import TrackProfile

_ALIASES = {
    "time": {"time", "datetime", "timestamp", "时间"},
    "ele": {"ele", "alt", "elevation", "altitude", "高程", "海拔"},
    "speed": {"speed", "speed_mps", "速度"},
    "id": {"id", "uid", "vehicle", "vehicle_id", "track", "track_id", "segment", "车辆", "轨迹"},
    "crs": {"crs", "srid", "epsg", "坐标系"},
}
_EASTING = {"x", "easting", "east", "utm_easting", "东坐标", "横坐标"}
_NORTHING = {"y", "northing", "north", "utm_northing", "北坐标", "纵坐标"}
_PLACES: dict[CrsKind, dict[str, set[str]]] = {
    "geographic": {
        "lat": {"lat", "latitude", "纬度"},
        "lon": {"lon", "lng", "long", "longitude", "经度"},
    },
    "projected": {"easting": _EASTING, "northing": _NORTHING},
    "geocentric": {"x": {"x", "ecef_x"}, "y": {"y", "ecef_y"}, "z": {"z", "ecef_z"}},
}
_SPELT = {"lat": "latitude", "lon": "longitude"}
_DELIMITERS = (",", ";", "\t")
_Columns = dict[str, tuple[str, ...]]


def read_csv_track(content: bytes, *, profile: TrackProfile, crs: str | None) -> Track:
    """Read a track from UTF-8 text delimited by comma, semicolon or tab.

    Columns are known by their header names in English or Chinese, whatever their case: latitude and longitude
    where ``crs`` is geographic, easting and northing (or x and y in that order) where it is projected, x, y and
    z where it is geocentric. Speeds are metres per second. A change in an identifier column starts a new
    segment; the identifier itself and unknown columns are not carried. A column that names the reference system
    of each row must agree with ``crs``.

    Raises:
        MalformedItemError: The text is not UTF-8, a row has another width than the header, a value is
            impossible or 0, 0.
        LimitExceededError: There are more rows than the profile permits.
        UnknownCrsError: ``crs`` is missing or unknown, or the columns or a row contradict it.
    """
    known = require_crs(crs)
    places = _PLACES[kind_of(known)]
    columns, dropped = _columns(content, profile.max_points, places, known)
    place = _row
    for name in places:
        if "" in (empty := columns[name]):
            raise MalformedItemError(f"{place(empty.index(''))}: no {name} (got '')")
    _check_crs_column(columns.get("crs", ()), known)
    absent = ("",) * len(columns[next(iter(places))])
    time_s = parse_times(columns.get("time", absent), place)
    first, second, *z = (parse_numbers(columns[n], _SPELT.get(n, n), place) for n in places)
    third = z[0] if z else parse_numbers(columns.get("ele", absent), "elevation", place)
    lat, lon, elevation = to_positions(first, second, third, crs=known, place=place)
    return Track(
        lat=lat,
        lon=lon,
        time_s=time_s,
        elevation_m=elevation,
        speed_mps=parse_numbers(columns.get("speed", absent), "speed", place),
        segment=number_segments(_changes(columns.get("id", absent)), time_s),
        crs=known,
        dropped=dropped,
    )


def write_csv_track(track: Track) -> bytes:
    """Write a track as comma-delimited text; deterministic, columns without any value are left out."""
    columns: dict[str, list[str]] = {
        "lat": [f"{v:.8f}" for v in track.lat.tolist()],
        "lon": [f"{v:.8f}" for v in track.lon.tolist()],
    }
    if np.isfinite(track.time_s).any():
        columns["time"] = format_times(track.time_s)
    for name, values, digits in (("ele", track.elevation_m, 2), ("speed", track.speed_mps, 3)):
        if np.isfinite(values).any():
            columns[name] = ["" if math.isnan(v) else f"{v:.{digits}f}" for v in values.tolist()]
    columns["segment"] = [str(v) for v in track.segment.tolist()]
    rows = (",".join(row) for row in zip(*columns.values(), strict=True))
    return "\n".join([",".join(columns), *rows, ""]).encode()


def _columns(
    content: bytes, max_points: int, places: Mapping[str, set[str]], crs: str
) -> tuple[_Columns, tuple[str, ...]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedItemError(
            f"track is not UTF-8 (got byte {content[error.start]:#04x} at {error.start})"
        ) from error
    header_line = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=header_line.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(rows, [])
        body = list(itertools.islice((row for row in rows if row), max_points + 1))
    except csv.Error as error:
        raise MalformedItemError(f"line {rows.line_num}: no delimited text ({error})") from error
    names, dropped = _names(header, places, crs)
    check_count(len(body), max_points)
    if set(map(len, body)) != {len(header)}:
        index = next(i for i, row in enumerate(body) if len(row) != len(header))
        raise MalformedItemError(
            f"{_row(index)}: wrong width (got {len(body[index])}, expected {len(header)})"
        )
    by_position = list(zip(*body, strict=True))
    return {name: by_position[i] for name, i in names.items()}, dropped


def _names(
    header: list[str], places: Mapping[str, set[str]], crs: str
) -> tuple[dict[str, int], tuple[str, ...]]:
    names: dict[str, int] = {}
    dropped = []
    known = {**_ALIASES, **places}
    for index, cell in enumerate(header):
        name = next((n for n, aliases in known.items() if cell.strip().lower() in aliases), None)
        if name in names:
            raise MalformedItemError(f"the header names {name!r} twice (got column {cell.strip()[:40]!r})")
        if name:
            names[name] = index
        if name in {None, "id", "crs"}:
            dropped.append(cell.strip())
    missing = places.keys() - names.keys()
    if missing:
        shown = [c[:40] for c in header[:20]]
        if any(_holds(header, other) for other in _PLACES.values() if other is not places):
            raise UnknownCrsError(
                f"the header contradicts {crs!r} (got {shown}, expected columns {sorted(places)})"
            )
        raise MalformedItemError(f"the header lacks {sorted(missing)} (got {shown})")
    return names, list_dropped(dropped)


def _holds(header: list[str], places: Mapping[str, set[str]]) -> bool:
    cells = {cell.strip().lower() for cell in header}
    return all(cells & aliases for aliases in places.values())


def _check_crs_column(values: tuple[str, ...], known: str) -> None:
    for value in sorted({v.strip() for v in values} - {""}):
        named = require_crs(f"EPSG:{value}" if value.isdecimal() else value)
        if named != known:
            raise UnknownCrsError(f"a row is in another reference system (got {named!r}, expected {known!r})")


def _changes(values: tuple[str, ...]) -> NDArray[np.bool_]:
    codes: dict[str, int] = {}
    numbers = np.fromiter((codes.setdefault(v, len(codes)) for v in values), np.int64, len(values))
    changes = np.zeros(len(values), dtype=bool)
    changes[1:] = numbers[1:] != numbers[:-1]
    return changes


def _row(index: int) -> str:
    return f"row {index + 1}"

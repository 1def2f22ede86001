"""Tracks as delimited text with a header line."""

import csv
import io
import itertools
import math

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import MalformedItemError
from anonymize.formats.track import (
    Track,
    check_count,
    check_positions,
    format_times,
    list_dropped,
    number_segments,
    parse_numbers,
    parse_times,
)
from anonymize.geo.crs import require_crs, to_wgs84
from anonymize.profile import TrackProfile

_ALIASES = {
    "lat": {"lat", "latitude", "纬度"},
    "lon": {"lon", "lng", "long", "longitude", "经度"},
    "time": {"time", "datetime", "timestamp", "时间"},
    "ele": {"ele", "alt", "elevation", "altitude", "高程", "海拔"},
    "speed": {"speed", "speed_mps", "速度"},
    "id": {"id", "uid", "vehicle", "vehicle_id", "track", "track_id", "segment", "车辆", "轨迹"},
}
_DELIMITERS = (",", ";", "\t")
_Columns = dict[str, tuple[str, ...]]


def read_csv_track(content: bytes, *, profile: TrackProfile, crs: str | None) -> Track:
    """Read a track from UTF-8 text delimited by comma, semicolon or tab.

    Columns are known by their header names in English or Chinese, whatever their case. Speeds are metres per
    second. A change in an identifier column starts a new segment; the identifier itself and unknown columns
    are not carried.

    Raises:
        MalformedItemError: The text is not UTF-8, a row has another width than the header, a value is
            impossible.
        LimitExceededError: There are more rows than the profile permits.
        UnknownCrsError: ``crs`` is missing or unknown.
    """
    known = require_crs(crs)
    columns, dropped = _columns(content, profile.max_points)
    place = _row
    for name in ("lat", "lon"):
        if "" in (empty := columns[name]):
            raise MalformedItemError(f"{place(empty.index(''))}: no {name} (got '')")
    lat = parse_numbers(columns["lat"], "latitude", place)
    lon = parse_numbers(columns["lon"], "longitude", place)
    check_positions(lat, lon, place)
    absent = ("",) * len(lat)
    time_s = parse_times(columns.get("time", absent), place)
    lat, lon = to_wgs84(lat, lon, known)
    return Track(
        lat=lat,
        lon=lon,
        time_s=time_s,
        elevation_m=parse_numbers(columns.get("ele", absent), "elevation", place),
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


def _columns(content: bytes, max_points: int) -> tuple[_Columns, tuple[str, ...]]:
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
    names, dropped = _names(header)
    check_count(len(body), max_points)
    if set(map(len, body)) != {len(header)}:
        index = next(i for i, row in enumerate(body) if len(row) != len(header))
        raise MalformedItemError(
            f"{_row(index)}: wrong width (got {len(body[index])}, expected {len(header)})"
        )
    by_position = list(zip(*body, strict=True))
    return {name: by_position[i] for name, i in names.items()}, dropped


def _names(header: list[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    names: dict[str, int] = {}
    dropped = []
    for index, cell in enumerate(header):
        name = next((n for n, aliases in _ALIASES.items() if cell.strip().lower() in aliases), None)
        if name in names:
            raise MalformedItemError(f"the header names {name!r} twice (got column {cell.strip()[:40]!r})")
        if name:
            names[name] = index
        if name in {None, "id"}:
            dropped.append(cell.strip())
    missing = {"lat", "lon"} - names.keys()
    if missing:
        raise MalformedItemError(f"the header lacks {sorted(missing)} (got {[c[:40] for c in header[:20]]})")
    return names, list_dropped(dropped)


def _changes(values: tuple[str, ...]) -> NDArray[np.bool_]:
    codes: dict[str, int] = {}
    numbers = np.fromiter((codes.setdefault(v, len(codes)) for v in values), np.int64, len(values))
    changes = np.zeros(len(values), dtype=bool)
    changes[1:] = numbers[1:] != numbers[:-1]
    return changes


def _row(index: int) -> str:
    return f"row {index + 1}"

"""Tracks as delimited text with a header line."""

import csv
import io
import itertools
import math
from collections.abc import Iterator, Mapping

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
from anonymize.geo.ellipsoid import FloatArray
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
_SPELT = {"lat": "latitude", "lon": "longitude", "ele": "elevation"}
_DELIMITERS = (",", ";", "\t")
_ROWS_AT_ONCE = 65_536
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
    rows = _rows(content)
    header = next(rows, [])
    names, dropped = _names(header, places, known)
    values = _Values(names=names, places=tuple(places), crs=known)
    for start, columns in _parts(rows, len(header), names, profile.max_points):
        values.add(columns, start)
    check_count(values.count, profile.max_points)
    first, second, *z = (values.column(name) for name in places)
    third = z[0] if z else values.column("ele")
    lat, lon, elevation = to_positions(first, second, third, crs=known, place=_row)
    time_s = values.column("time")
    return Track(
        lat=lat,
        lon=lon,
        time_s=time_s,
        elevation_m=elevation,
        speed_mps=values.column("speed"),
        segment=number_segments(values.changes(), time_s),
        crs=known,
        dropped=dropped,
    )


class _Values:
    """The columns of a file as numbers, added part by part so that text is never held as a whole."""

    def __init__(self, *, names: Mapping[str, int], places: tuple[str, ...], crs: str) -> None:
        self.count = 0
        self._crs = crs
        self._places = places
        self._numbers: dict[str, list[FloatArray]] = {
            n: [] for n in (*places, "ele", "speed", "time") if n in names
        }
        self._codes: dict[str, int] = {}
        self._ids: list[NDArray[np.int64]] = []
        self._first_time = ""

    def add(self, columns: _Columns, start: int) -> None:
        def place(index: int) -> str:
            return _row(index + start)

        for name in self._places:
            if "" in (cells := columns[name]):
                raise MalformedItemError(f"{place(cells.index(''))}: no {name} (got '')")
        _check_crs_column(columns.get("crs", ()), self._crs)
        for name, parsed in self._numbers.items():
            cells = columns[name]
            if name == "time":
                parsed.append(self._times(cells, start))
            else:
                parsed.append(parse_numbers(cells, _SPELT.get(name, name), place))
        if "id" in columns:
            codes = (self._codes.setdefault(v, len(self._codes)) for v in columns["id"])
            self._ids.append(np.fromiter(codes, np.int64, len(columns["id"])))
        self.count += len(columns[self._places[0]])

    def column(self, name: str) -> FloatArray:
        """The numbers of a column; NaN throughout where the file has none."""
        parts = self._numbers.get(name)
        return np.concatenate(parts) if parts else np.full(self.count, np.nan)

    def changes(self) -> NDArray[np.bool_]:
        """Where the identifier differs from that of the row before."""
        changes = np.zeros(self.count, dtype=bool)
        if self._ids:
            changes[1:] = np.diff(np.concatenate(self._ids)) != 0
        return changes

    def _times(self, cells: tuple[str, ...], start: int) -> FloatArray:
        """One unit in the whole column: the column's first time goes before those of each part."""
        self._first_time = self._first_time or next((c for c in cells if c.strip()), "")
        return parse_times((self._first_time, *cells), lambda index: _row(max(index - 1, 0) + start))[1:]


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


def _rows(content: bytes) -> Iterator[list[str]]:
    try:
        first_line = content.decode("utf-8-sig").split("\n", 1)[0]
    except UnicodeDecodeError as error:
        raise MalformedItemError(
            f"track is not UTF-8 (got byte {content[error.start]:#04x} at {error.start})"
        ) from error
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    delimiter = max(_DELIMITERS, key=first_line.count)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        yield from (row for row in rows if row)
    except csv.Error as error:
        raise MalformedItemError(f"line {rows.line_num}: no delimited text ({error})") from error


def _parts(
    rows: Iterator[list[str]], width: int, names: Mapping[str, int], max_points: int
) -> Iterator[tuple[int, _Columns]]:
    """The columns of so many rows at a time, with the number of the first."""
    start = 0
    while body := list(itertools.islice(rows, _ROWS_AT_ONCE)):
        check_count(start + len(body), max_points)
        if set(map(len, body)) != {width}:
            index = next(i for i, row in enumerate(body) if len(row) != width)
            raise MalformedItemError(
                f"{_row(start + index)}: wrong width (got {len(body[index])}, expected {width})"
            )
        by_position = list(zip(*body, strict=True))
        yield start, {name: by_position[i] for name, i in names.items()}
        start += len(body)


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


def _row(index: int) -> str:
    return f"row {index + 1}"

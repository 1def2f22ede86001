"""Released tracks as CSV and GPX: what columns leave the gate, by the mode of the release."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import gpxpy
import gpxpy.gpx
import numpy as np

from pipeline.mining.errors import UnreadableItemError
from pipeline.mining.motion import completed, metres
from pipeline.mining.signals import Clip, FloatArray, SignalTable, join_tables, signal_table

_LOCAL: Final[Mapping[str, str]] = {"t_s": "t_s", "x_m": "x_m", "y_m": "y_m", "speed_mps": "speed_mps"}
"""A track of a LOCAL release."""
_OXTS: Final[Mapping[str, str]] = {
    "t_s": "t_s",
    "x_m": "x_m",
    "y_m": "y_m",
    "vf": "speed_mps",
    "af": "accel_mps2",
    "al": "lateral_accel_mps2",
    "wu": "yaw_rate_rps",
}
"""A GPS/IMU record of a KITTI folder in a LOCAL release: forward, left and up are those of the vehicle."""


def read_csv(content: bytes, *, release: str, item: str) -> SignalTable | None:
    """The signals of a CSV, a clip for each of its clips or segments; None where it is no track.

    Raises:
        UnreadableItemError: It is a track, and a row has another width than the header or a cell is no number.
    """
    try:
        rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header = next(rows, [])
    except (UnicodeDecodeError, csv.Error):
        return None
    names = set(header)
    try:
        if {"clip", *_OXTS} <= names:
            return _clips(header, rows, "clip", _OXTS, release=release, item=item)
        if {"clip", "t_s", "x_m", "y_m"} <= names:
            return _clips(header, rows, "clip", _LOCAL, release=release, item=item)
        if {"lat", "lon", "segment"} <= names:
            return _places(header, rows, release=release, item=item)
    except (ValueError, csv.Error) as error:
        raise UnreadableItemError(f"{item!r}: {error}") from error
    return None


def read_gpx(content: bytes, *, release: str, item: str) -> SignalTable:
    """The signals of a GPX, a clip for each of its segments.

    Raises:
        UnreadableItemError: It is no GPX.
    """
    try:
        parsed = gpxpy.parse(content.decode("utf-8"))
    except (UnicodeDecodeError, gpxpy.gpx.GPXException, ValueError) as error:
        raise UnreadableItemError(f"{item!r} is no GPX: {error}") from error
    tables = []
    if not any(track.segments for track in parsed.tracks):
        raise UnreadableItemError(f"{item!r} is no GPX with a track")
    for number, segment in enumerate(s for track in parsed.tracks for s in track.segments):
        points = segment.points
        times = np.array([p.time.timestamp() if p.time else np.nan for p in points])
        lat, lon = (np.array([getattr(p, axis) for p in points]) for axis in ("latitude", "longitude"))
        clip = Clip(release=release, item=item, number=number)
        tables.append(_of_places(clip, times, lat, lon, None))
    return join_tables(tables)


def _clips(
    header: Sequence[str],
    rows: Iterator[list[str]],
    key: str,
    taken: Mapping[str, str],
    *,
    release: str,
    item: str,
) -> SignalTable:
    columns = _columns(header, rows)
    numbers = _floats(columns[key])
    tables = []
    for number in dict.fromkeys(numbers.tolist()):
        of = numbers == number
        found = {to: _floats(columns[name])[of] for name, to in taken.items() if name in columns}
        ordered = signal_table(Clip(release=release, item=item, number=int(number)), found)
        tables.append(_completed(ordered))
    return join_tables(tables)


def _places(header: Sequence[str], rows: Iterator[list[str]], *, release: str, item: str) -> SignalTable:
    columns = _columns(header, rows)
    segment = _floats(columns["segment"])
    lat, lon = _floats(columns["lat"]), _floats(columns["lon"])
    times = np.array([_seconds(cell) for cell in columns.get("time", [""] * len(lat))])
    speed = _floats(columns["speed"]) if "speed" in columns else None
    tables = []
    for number in dict.fromkeys(segment.tolist()):
        of = segment == number
        clip = Clip(release=release, item=item, number=int(number))
        tables.append(_of_places(clip, times[of], lat[of], lon[of], None if speed is None else speed[of]))
    return join_tables(tables)


def _of_places(
    clip: Clip, times: FloatArray, lat: FloatArray, lon: FloatArray, speed: FloatArray | None
) -> SignalTable:
    """Times count from the clip's first; places are metres east and north of its first."""
    x, y = metres(lat, lon) if len(lat) else (lat, lon)
    known = times[np.isfinite(times)]
    columns = {"t_s": times - (known.min() if len(known) else 0.0), "x_m": x, "y_m": y}
    if speed is not None:
        columns["speed_mps"] = speed
    return _completed(signal_table(clip, columns))


def _completed(table: SignalTable) -> SignalTable:
    return SignalTable(
        clips=table.clips, clip=table.clip, columns=completed(table.columns), untimed=table.untimed
    )


def _columns(header: Sequence[str], rows: Iterator[list[str]]) -> dict[str, list[str]]:
    if len(set(header)) != len(header):
        raise ValueError(f"header names a column twice (got {list(header)})")
    columns: dict[str, list[str]] = {name: [] for name in header}
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(f"row {number} (got {len(row)} cells, expected {len(header)})")
        for values, cell in zip(columns.values(), row, strict=True):
            values.append(cell)
    return columns


def _floats(cells: Sequence[str]) -> FloatArray:
    return np.array([float(cell) if cell else np.nan for cell in cells])


def _seconds(cell: str) -> float:
    if not cell:
        return float("nan")
    moment = datetime.fromisoformat(cell)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

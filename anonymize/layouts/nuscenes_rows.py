"""nuScenes tables read, checked member by member, and cleansed on true coordinates (the first pass)."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import MalformedItemError, UnknownFormatError
from anonymize.finding import FieldPath, Finding, FindingKind, Treated, Treatment, TreatmentKind
from anonymize.formats import strict_json
from anonymize.formats.track import Track, check_count, number_segments
from anonymize.geo.crs import to_wgs84
from anonymize.geo.cut import zone_findings
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.zones import ZoneSet
from anonymize.layouts.nuscenes import FRAME_ERROR_M, ORIGINS, TABLES, map_frame, nuscenes_table
from anonymize.profile import TrackProfile

MEDIA_TYPE = "application/json"
PLACED = frozenset({"ego_pose", "sample_annotation"})
"""Tables with positions on the map."""

TIMED = frozenset({"ego_pose", "sample", "sample_data"})
"""Tables whose rows have times of their own."""

_READER = "nuscenes"
_DEPTH = 4
_MICRO = 1e6
_FARTHEST_M = 20_000.0
_LARGEST = 1e17
_LONGEST_VEHICLE_M = 50.0
_UNIT = 1e-2
_TOKEN = re.compile(r"[0-9A-Za-z_-]{1,64}")
_CHANNEL = re.compile(r"[A-Z][A-Z0-9_]{1,39}")
_NAME = re.compile(r"[a-z_]{1,40}(?:\.[a-z_]{1,40}){0,4}")
_LEVEL = re.compile(r"v\d{1,3}-\d{1,3}")
_FORMAT = re.compile(r"[a-z]{1,8}")

Check = Callable[[Any], bool]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NuscenesTable:
    """The rows of one table, every member checked.

    Attributes:
        name: Of the table.
        rows: Objects with exactly the table's members.
        dropped: Members of rows that the schema does not have.
    """

    name: str
    rows: tuple[Mapping[str, Any], ...] = field(repr=False)
    dropped: tuple[str, ...] = ()

    def times(self) -> FloatArray:
        """POSIX seconds of every row of a table in ``TIMED``."""
        return np.array([row["timestamp"] for row in self.rows], dtype=np.float64) / _MICRO

    def translations(self) -> FloatArray:
        """Metres, shape (n, 3)."""
        return np.array([row["translation"] for row in self.rows], dtype=np.float64).reshape(-1, 3)

    def take(self, index: NDArray[np.intp]) -> "NuscenesTable":
        """The rows at ``index``."""
        return NuscenesTable(name=self.name, rows=tuple(self.rows[i] for i in index.tolist()))


def read_table(content: bytes, *, profile: TrackProfile) -> NuscenesTable:
    """Read a table.

    Raises:
        LimitExceededError: There are more rows than the profile permits, or they are nested too deeply.
        MalformedItemError: It is no JSON, or a member has a value that the schema does not have.
        UnknownFormatError: It is no table that can be treated.
    """
    document = strict_json.parse(content, max_depth=_DEPTH)
    name = nuscenes_table(document)
    if name is None:
        raise UnknownFormatError("no nuScenes table (got JSON of another kind)")
    check_count(len(document), profile.max_points)
    expected = TABLES[name]
    rows = tuple({member: row[member] for member in row if member in expected} for row in document)
    for number, row in enumerate(rows):
        for member, value in row.items():
            if not _CHECKS[member](value):
                raise MalformedItemError(f"row {number} of {name}: {member} has no value of the schema")
    _require_plausible(name, rows)
    extra = sorted({member[:64] for row in document for member in row if member not in expected})[:64]
    return NuscenesTable(name=name, rows=rows, dropped=tuple(extra))


def write_table(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """JSON, a row a line."""
    body = ",\n".join(json.dumps(row, separators=(",", ":"), allow_nan=False) for row in rows)
    return f"[\n{body}\n]\n".encode()


def ego_track(table: NuscenesTable, *, location: str | None) -> Track:
    """The track that ``ego_pose`` states, in the order of time.

    Raises:
        UnknownCrsError: The location is missing or unknown.
        UnknownFormatError: It is another table.
    """
    if table.name != "ego_pose":
        raise UnknownFormatError(f"no track in this table (got {table.name}, expected ego_pose)")
    times = table.times()
    order = np.argsort(times, kind="stable")
    lat, lon, height = places_of(table, location=location)
    absent = np.full(len(order), np.nan)
    return Track(
        lat=lat[order],
        lon=lon[order],
        time_s=times[order],
        elevation_m=height[order],
        speed_mps=absent,
        segment=number_segments(np.zeros(len(order), dtype=bool), times[order]),
        crs=f"nuscenes:{location}".replace("nuscenes:nuscenes:", "nuscenes:"),
    )


def places_of(table: NuscenesTable, *, location: str | None) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Latitude, longitude and height of the rows of a table in ``PLACED``.

    Raises:
        UnknownCrsError: The location is missing or unknown.
    """
    east, north, up = table.translations().T
    # The frame's plane is the map's own; heights above it are no heights above the ellipsoid.
    lat, lon = to_wgs84(east, north, map_frame(location))
    return lat, lon, up.copy()


def cleanse_table(
    table: NuscenesTable,
    *,
    zones: ZoneSet,
    location: str | None,
    profile: TrackProfile,
    frame_error_m: float = FRAME_ERROR_M,
) -> Treated:
    """First pass: rows in zones go, and heights, names of vehicles and logs, dates and free descriptions.

    Zones are tested with ``frame_error_m`` added: 0 where their margins have it already. Calibrations, sizes and
    categories are kept; tokens, file names and times are left to the second pass, which has a release's secrets.
    The result still holds true positions.

    Raises:
        UnknownCrsError: The table has positions and the location is missing or unknown.
    """
    findings = [_field(FindingKind.UNLISTED_FIELD, name) for name in table.dropped]
    treatments = [_dropped(FindingKind.UNLISTED_FIELD, len(table.dropped))] if table.dropped else []
    kept = table
    if table.name in PLACED:
        lat, lon, _ = places_of(table, location=location)
        hits = zones.test(lat, lon, extra_margin_m=frame_error_m)
        kept = table.take(np.flatnonzero(~hits.inside))
        findings += zone_findings(hits, zones)
        if hits.inside.any():
            treatments.append(_cut(int(hits.inside.sum()), zones))
    rows, redacted = _redacted(kept, profile)
    for (kind, member), count in redacted.items():
        findings.append(_field(kind, member))
        treatments.append(Treatment(kind=TreatmentKind.REDACT, of=kind, count=count))
    return Treated(
        content=write_table(rows) if rows else b"",
        media_type=MEDIA_TYPE,
        findings=tuple(findings),
        treatments=tuple(treatments),
        facts={"table": table.name, "rows_in": len(table.rows), "rows_out": len(rows)},
        dropped=not rows,
    )


_BLANKED: Mapping[str, Mapping[str, FindingKind]] = {
    "log": {
        "logfile": FindingKind.DEVICE_ID,
        "vehicle": FindingKind.DEVICE_ID,
        "date_captured": FindingKind.TIMESTAMP,
    },
    "scene": {"name": FindingKind.TEXT, "description": FindingKind.TEXT},
    "category": {"description": FindingKind.TEXT},
    "visibility": {"description": FindingKind.TEXT},
}


def _redacted(
    table: NuscenesTable, profile: TrackProfile
) -> tuple[list[Mapping[str, Any]], dict[tuple[FindingKind, str], int]]:
    blank = _BLANKED.get(table.name, {})
    counts: dict[tuple[FindingKind, str], int] = {}
    rows: list[Mapping[str, Any]] = []
    for row in table.rows:
        made = dict(row)
        for member, kind in blank.items():
            if made[member]:
                counts[kind, member] = counts.get((kind, member), 0) + 1
                made[member] = ""
        if table.name in PLACED and not profile.keep_elevation and made["translation"][2]:
            at = FindingKind.ELEVATION, "translation"
            counts[at] = counts.get(at, 0) + 1
            made["translation"] = [*made["translation"][:2], 0.0]
        rows.append(made)
    return rows, counts


def _require_plausible(name: str, rows: tuple[Mapping[str, Any], ...]) -> None:
    """Tokens are unique; members whose meaning depends on the table might else be a name or a place."""
    seen: set[str] = set()
    for number, row in enumerate(rows):
        if row["token"] in seen:
            raise MalformedItemError(f"row {number} of {name}: its token is that of an earlier row")
        seen.add(row["token"])
    if name not in _PLAUSIBLE:
        return
    member, check, expected = _PLAUSIBLE[name]
    bad = next((i for i, row in enumerate(rows) if not check(row[member])), None)
    if bad is not None:
        raise MalformedItemError(f"row {bad} of {name}: {member} is no {expected}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _numbers(count: int) -> Check:
    return lambda v: isinstance(v, list) and len(v) == count and all(map(_is_number, v))


def _is_translation(value: Any) -> bool:
    return _numbers(3)(value) and all(abs(v) <= _FARTHEST_M for v in value)


def _is_rotation(value: Any) -> bool:
    return _numbers(4)(value) and abs(sum(v * v for v in value) - 1.0) <= _UNIT


def _is_intrinsic(value: Any) -> bool:
    return value == [] or (isinstance(value, list) and len(value) == 3 and all(map(_numbers(3), value)))  # noqa: PLR2004 - a 3 by 3 matrix


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9


def _is_time(value: Any) -> bool:
    return _is_number(value) and 10**14 <= value < 10**17


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 10_000  # noqa: PLR2004 - longer is no description


def _matches(pattern: re.Pattern[str], *, empty: bool = False) -> Check:
    return lambda v: isinstance(v, str) and (bool(pattern.fullmatch(v)) or (empty and not v))


_is_token, _is_link = _matches(_TOKEN), _matches(_TOKEN, empty=True)


def _are_tokens(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_token, value))


_CHECKS: Mapping[str, Check] = {
    **dict.fromkeys(
        ("token", "sensor_token", "sample_token", "ego_pose_token", "calibrated_sensor_token", "scene_token",
         "log_token", "first_sample_token", "last_sample_token", "instance_token", "category_token",
         "first_annotation_token", "last_annotation_token"), _is_token
    ),
    **dict.fromkeys(("prev", "next", "visibility_token"), _is_link),
    **dict.fromkeys(("attribute_tokens", "log_tokens"), _are_tokens),
    **dict.fromkeys(
        ("logfile", "vehicle", "date_captured", "location", "name", "description", "category", "filename"),
        _is_text,
    ),
    **dict.fromkeys(
        ("nbr_samples", "nbr_annotations", "num_lidar_pts", "num_radar_pts", "height", "width"), _is_count
    ),
    "timestamp": _is_time,
    "translation": _is_translation,
    "rotation": _is_rotation,
    "camera_intrinsic": _is_intrinsic,
    "size": _numbers(3),
    "is_key_frame": lambda v: isinstance(v, bool),
    "fileformat": _matches(_FORMAT),
    "channel": _matches(_CHANNEL),
    "modality": _matches(_FORMAT),
    "level": _matches(_LEVEL),
}  # fmt: skip


_PLAUSIBLE: Mapping[str, tuple[str, Check, str]] = {
    "category": ("name", _matches(_NAME), "word of a taxonomy"),
    "map": ("category", _matches(_NAME), "word of a taxonomy"),
    "log": ("location", lambda v: v == "" or v in ORIGINS, f"known location (expected {sorted(ORIGINS)})"),
    "calibrated_sensor": (
        "translation",
        lambda v: all(abs(x) <= _LONGEST_VEHICLE_M for x in v),
        f"place on a vehicle (expected metres within {_LONGEST_VEHICLE_M:g})",
    ),
    "sample_annotation": (
        "size",
        lambda v: all(0.0 <= x <= _FARTHEST_M for x in v),
        f"size (expected metres within {_FARTHEST_M:g})",
    ),
}


def _field(kind: FindingKind, path: str) -> Finding:
    return Finding(kind=kind, where=FieldPath(path=path), confidence=1.0, detector=_READER)


def _dropped(kind: FindingKind, count: int) -> Treatment:
    return Treatment(kind=TreatmentKind.DROP, of=kind, count=count)


def _cut(count: int, zones: ZoneSet) -> Treatment:
    return Treatment(
        kind=TreatmentKind.CUT,
        of=FindingKind.RESTRICTED_ZONE,
        count=count,
        parameters={"zone_file": zones.digest, "zone_file_version": zones.version},
    )

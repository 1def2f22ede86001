"""Independent re-reading of released nuScenes tables: no token, time, place, name or height of the truth.

No reader or writer of the tables is used. Rows must have the members written down here, and nothing else.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anonymize.finding import FieldPath, Finding, FindingKind, IndexSpan
from anonymize.geo.approved_displacement import is_approved, least_shift_m
from anonymize.geo.clips import ClipPlan
from anonymize.geo.crs import geodesic_m, to_wgs84
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.geo.residual import find_positions
from anonymize.geo.zones import ZoneSet
from anonymize.layouts.nuscenes import ORIGINS, map_frame
from anonymize.profile import TrackProfile
from anonymize.residual import ResidualReport

_SCANNER = "nuscenes-residual@1"
_MEMBERS: Mapping[str, str] = {
    "log": "token logfile vehicle date_captured location",
    "ego_pose": "token timestamp rotation translation",
    "calibrated_sensor": "token sensor_token translation rotation camera_intrinsic",
    "sample_data": "token sample_token ego_pose_token calibrated_sensor_token timestamp fileformat is_key_frame"
    " height width filename prev next",
    "sample": "token timestamp scene_token prev next",
    "scene": "token name description log_token nbr_samples first_sample_token last_sample_token",
    "sample_annotation": "token sample_token instance_token attribute_tokens visibility_token translation size"
    " rotation num_lidar_pts num_radar_pts prev next",
    "instance": "token category_token nbr_annotations first_annotation_token last_annotation_token",
    "map": "token log_tokens category filename",
    "sensor": "token channel modality",
    "visibility": "token level description",
    "category": "token name description",
}
_BLANK: Mapping[str, tuple[str, ...]] = {
    "log": ("logfile", "vehicle", "date_captured"),
    "scene": ("name", "description"),
    "map": ("filename",),
    "category": ("description",),
    "visibility": ("description",),
}
_NEW = re.compile(r"(?:[0-9a-f]{32})?")
_MICRO = 1e6
_NEAR_S = 30 * 86400.0
_ROUNDING_S = 2e-6
_ROUNDING_M = 0.02


def scan_table(
    content: bytes,
    *,
    name: str,
    source: Sequence[Mapping[str, Any]],
    time_s: FloatArray,
    plan: ClipPlan | OffsetPlan,
    location: str | None,
    profile: TrackProfile,
) -> ResidualReport:
    """Scan a released table.

    1. Rows have their members, one row per true one. 2. Every token is new, and no true one or file name is left
    anywhere. 3. Free texts are empty. 4. Times are the plan's. 5. Places are the plan's, and far from the truth.
    6. No heights.

    Args:
        content: The released bytes.
        name: Of the table.
        source: The true rows, row by row (``UnlinkedTable.source.rows``).
        time_s: True times of the rows; NaN for tables without.
        plan: What it was released under; its type says the mode.
        location: The location of its places.
        profile: Parameters and limits.
    """
    residual = list(_scan(content, name, source, time_s, plan, location, profile))
    placed = bool(source) and "translation" in source[0] and name != "calibrated_sensor"
    if placed and not is_approved(plan):
        lat, lon = _places([row["translation"] for row in source], location)
        residual += find_positions(content, lat=lat, lon=lon)
    return ResidualReport(
        scanners=(_SCANNER, "positions-near-the-true-track"),
        residual=tuple(residual),
        facts={"table": name, "rows": len(source)},
    )


def scan_cleansed_table(
    content: bytes, *, name: str, zones: ZoneSet, location: str | None, profile: TrackProfile
) -> ResidualReport:
    """Scan a table that left the first pass.

    1. Rows have their members. 2. Free texts are empty. 3. No place lies in a zone. 4. No heights, unless the
    profile keeps them.

    Args:
        content: The sealed bytes.
        name: Of the table.
        zones: The restricted zones, with the error of the map's frame in their margins.
        location: The location of its places.
        profile: Whether heights are kept.
    """
    residual: list[Finding] = []
    rows, members = _rows(content), set(_MEMBERS[name].split())
    if not rows or any(set(row) != members for row in rows):
        rows = []
        residual.append(_field("members"))
    # File names of maps are emptied when a release is built.
    blank = () if name == "map" else _BLANK.get(name, ())
    residual += [_field(member) for member in blank if any(row[member] for row in rows)]
    if rows and "translation" in members and name != "calibrated_sensor":
        translations = [row["translation"] for row in rows]
        hits = zones.test(*_places(translations, location))
        for kind in hits.kinds():
            residual += _at(FindingKind.RESTRICTED_ZONE, hits.of_kind(kind), kind.value)
        if not profile.keep_elevation and any(at[2] for at in translations):
            residual.append(_field("translation", FindingKind.ELEVATION))
    return ResidualReport(
        scanners=(_SCANNER, "re-read-and-zone-test"),
        residual=tuple(residual),
        facts={"table": name, "rows": len(rows)},
    )


def _scan(
    content: bytes,
    name: str,
    source: Sequence[Mapping[str, Any]],
    time_s: FloatArray,
    plan: ClipPlan | OffsetPlan,
    location: str | None,
    profile: TrackProfile,
) -> Iterator[Finding]:
    rows = _rows(content)
    local = isinstance(plan, ClipPlan)
    timed = bool(np.isfinite(time_s).any())
    members = set(_MEMBERS[name].split()) | ({"clip"} if local and timed else set())
    members |= {"category_token"} if local and name == "sample_annotation" else set()
    if rows is None or len(rows) != len(source) or any(set(row) != members for row in rows):
        yield _field("members")
        return
    yield from _tokens(content, rows, source)
    blank = _BLANK.get(name, ()) + (("location",) if local and name == "log" else ())
    for member in blank:
        if any(row[member] for row in rows):
            yield _field(member)
    if name == "log" and any(row["location"] not in {"", *ORIGINS} for row in rows):
        yield _field("location")
    if timed:
        yield from _times(rows, name, time_s, plan)
    if "translation" in members and name != "calibrated_sensor":
        yield from _positions(rows, source, plan, location, profile)


def _rows(content: bytes) -> list[dict[str, Any]] | None:
    try:
        rows = json.loads(content)
    except ValueError:
        return None
    return rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else None


def _tokens(
    content: bytes, rows: list[dict[str, Any]], source: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    shown = [t for row in rows for t in _all_tokens(row)]
    if not all(isinstance(t, str) and _NEW.fullmatch(t) for t in shown):
        yield _field("token", FindingKind.DEVICE_ID)
    words = set(re.findall(rb"[0-9A-Za-z_+./-]{6,}", content))
    true = {t for row in source for t in [*_all_tokens(row), row.get("filename", "")] if len(t) > 5}  # noqa: PLR2004 - shorter ones are words
    if any(t.encode() in words for t in true):
        yield _field("true token", FindingKind.DEVICE_ID)
    stems = {t.rpartition("/")[2].partition(".")[0].encode() for t in true if "/" in t}
    if any(stem in content for stem in stems if stem):
        yield _field("file name", FindingKind.DEVICE_ID)


def _all_tokens(row: Mapping[str, Any]) -> list[str]:
    found = [v for k, v in row.items() if k in {"token", "prev", "next"} or k.endswith("_token")]
    return found + [t for k, v in row.items() if k.endswith("_tokens") for t in v]


def _times(
    rows: list[dict[str, Any]], name: str, time_s: FloatArray, plan: ClipPlan | OffsetPlan
) -> Iterator[Finding]:
    shown = np.array([row.get("timestamp", 0) for row in rows], dtype=np.float64) / _MICRO
    if isinstance(plan, ClipPlan):
        number = np.array([row["clip"] for row in rows], dtype=np.int64)
        if (plan.clip_of(time_s) != number).any():
            yield from _at(FindingKind.POSITION, plan.clip_of(time_s) != number, "in another clip")
            return
        length = np.array([clip.end_s - clip.begin_s for clip in plan.clips])[number]
        yield from _at(
            FindingKind.TIMESTAMP, (shown < 0) | (shown > length + _ROUNDING_S), "not from the clip's begin"
        )
    elif name != "sample_annotation":
        yield from _at(FindingKind.TIMESTAMP, np.abs(shown - time_s) < _NEAR_S, "near its true time")
        yield from _at(
            FindingKind.TIMESTAMP, np.abs(shown - plan.times(time_s)) > _ROUNDING_S, "not the shifted time"
        )


def _positions(
    rows: list[dict[str, Any]],
    source: Sequence[Mapping[str, Any]],
    plan: ClipPlan | OffsetPlan,
    location: str | None,
    profile: TrackProfile,
) -> Iterator[Finding]:
    at = np.array([row["translation"] for row in rows], dtype=np.float64)
    lat, lon = _places([row["translation"] for row in source], location)
    if isinstance(plan, ClipPlan):
        number = np.array([row["clip"] for row in rows], dtype=np.int64)
        wrong = np.zeros(len(rows), dtype=bool)
        for clip in np.unique(number).tolist():
            of = number == clip
            x, y, _ = plan.clips[clip].positions(lat[of], lon[of])
            wrong[of] = ~(np.hypot(at[of, 0] - x, at[of, 1] - y) <= _ROUNDING_M)
        yield from _at(FindingKind.POSITION, wrong, "not its place in the clip")
    else:
        shown = _places(at.tolist(), location)
        near = ~(geodesic_m(lat, lon, *shown)[0] >= least_shift_m(plan.offset, profile=profile))
        yield from _at(FindingKind.POSITION, near, "near its true place")
        elsewhere = ~(geodesic_m(*plan.offset.displace(lat, lon), *shown)[0] <= _ROUNDING_M)
        yield from _at(FindingKind.POSITION, elsewhere, "not the displaced place")
    if not profile.keep_elevation and at[:, 2].any():
        yield _field("translation", FindingKind.ELEVATION)


def _places(translations: list[list[float]], location: str | None) -> tuple[FloatArray, FloatArray]:
    at = np.array(translations, dtype=np.float64)
    return to_wgs84(at[:, 0], at[:, 1], map_frame(location))


def _at(kind: FindingKind, bad: NDArray[np.bool_], label: str) -> Iterator[Finding]:
    at = np.flatnonzero(bad)
    if len(at):
        span = IndexSpan(start=int(at[0]), end=int(at[-1]) + 1)
        yield Finding(kind=kind, where=span, confidence=1.0, detector=_SCANNER, label=label)


def _field(path: str, kind: FindingKind = FindingKind.UNLISTED_FIELD) -> Finding:
    return Finding(kind=kind, where=FieldPath(path=path), confidence=1.0, detector=_SCANNER)

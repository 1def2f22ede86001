"""Independent re-reading of released KITTI tables: no true place or time, nothing that the form does not name.

No reader or writer of these tables is used. A released table must match a form of its own in full, and its numbers
are held against the truth behind them.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from anonymize.finding import FieldPath, Finding, FindingKind, IndexSpan
from anonymize.geo.approved_displacement import is_approved, least_shift_m
from anonymize.geo.clips import ClipPlan
from anonymize.geo.crs import geodesic_m
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.geo.residual import find_positions
from anonymize.profile import TrackProfile
from anonymize.residual import ResidualReport

Plan = ClipPlan | OffsetPlan

_SCANNER = "kitti-residual@1"
_NUMBER = r"-?\d+(?:\.\d+)?"
_LEAST_TIME_SHIFT_S = 30 * 86400.0
_ROUNDING_S = 0.002
_ROUNDING_M = 0.02
_TEXT = {
    ("oxts", True): (
        "clip,t_s,x_m,y_m,z_m,roll,pitch,yaw,vx,vy,vf,vl,vu,ax,ay,az,af,al,au,wx,wy,wz,wf,wl,wu",
        re.compile(rf"\d+(?:,{_NUMBER}){{24}}"),
    ),
    ("oxts", False): ("", re.compile(rf"{_NUMBER}(?: {_NUMBER}){{24}}(?: 0){{5}}")),
    ("times", True): ("clip,t_s", re.compile(rf"\d+,{_NUMBER}")),
    ("times", False): ("", re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}000")),
    ("poses", True): (
        "clip,t_s,r00,r01,r02,tx,r10,r11,r12,ty,r20,r21,r22,tz",
        re.compile(rf"\d+(?:,{_NUMBER}){{13}}"),
    ),
    ("poses", False): (
        "span,t_s,r00,r01,r02,tx,r10,r11,r12,ty,r20,r21,r22,tz",
        re.compile(rf"\d+(?:,{_NUMBER}){{13}}"),
    ),
}
_X, _Y, _Z = {"oxts": 2, "poses": 5}, {"oxts": 3, "poses": 9}, {"oxts": 4, "poses": 13}
_UP = 12


def scan_oxts(
    content: bytes, *, lat: FloatArray, lon: FloatArray, time_s: FloatArray, plan: Plan, profile: TrackProfile
) -> ResidualReport:
    """Scan released records.

    Args:
        content: The released bytes.
        lat: True latitudes behind the records, line by line.
        lon: True longitudes.
        time_s: True times.
        plan: The plan that they were released under; its type says the mode.
        profile: Parameters and limits.
    """
    return _report(content, "oxts", lat, lon, time_s, plan, profile)


def scan_times(content: bytes, *, time_s: FloatArray, plan: Plan, profile: TrackProfile) -> ResidualReport:
    """Scan released times; ``time_s`` are the true ones behind them, line by line."""
    return _report(content, "times", np.empty(0), np.empty(0), time_s, plan, profile)


def scan_poses(
    content: bytes, *, lat: FloatArray, lon: FloatArray, time_s: FloatArray, plan: Plan, profile: TrackProfile
) -> ResidualReport:
    """Scan released poses. See :func:`scan_oxts`."""
    return _report(content, "poses", lat, lon, time_s, plan, profile)


def _report(
    content: bytes,
    table: str,
    lat: FloatArray,
    lon: FloatArray,
    time_s: FloatArray,
    plan: Plan,
    profile: TrackProfile,
) -> ResidualReport:
    residual = list(_scan(content, table, lat, lon, time_s, plan, profile))
    if len(lat) and not is_approved(plan):
        residual += find_positions(content, lat=lat, lon=lon)
    return ResidualReport(
        scanners=(_SCANNER, "positions-near-the-true-track"),
        residual=tuple(residual),
        facts={"table": table, "lines": len(time_s)},
    )


def _scan(
    content: bytes,
    table: str,
    lat: FloatArray,
    lon: FloatArray,
    time_s: FloatArray,
    plan: Plan,
    profile: TrackProfile,
) -> Iterator[Finding]:
    """1. The form holds, with one line per true one. 2. Times are those of the plan. 3. Places likewise."""
    local = isinstance(plan, ClipPlan)
    header, form = _TEXT[table, local]
    lines = content.decode("ascii", "replace").split("\n")
    body = lines[1:-1] if header else lines[:-1]
    if (header and lines[0] != header) or lines[-1] != "" or not all(map(form.fullmatch, body)):
        yield _field("form")
        return
    if len(body) != len(time_s):
        yield _at(
            FindingKind.POSITION, np.arange(max(len(body), len(time_s))), "not aligned with the original"
        )
        return
    if table == "times" and isinstance(plan, OffsetPlan):
        try:
            shown = np.array([_seconds(line) for line in body])
        except ValueError:
            yield _field("form")
            return
        yield from _times(np.abs(shown - time_s) < _LEAST_TIME_SHIFT_S, "near its true time")
        yield from _times(np.abs(shown - plan.times(time_s)) > _ROUNDING_S, "not the shifted time")
        return
    values = np.array([re.split("[, ]", line) for line in body], dtype=np.float64)
    if isinstance(plan, ClipPlan):
        yield from _clips(values, table, (lat, lon, time_s), plan, profile)
    elif table == "oxts":
        yield from _displaced(values, lat, lon, plan, profile)
    else:
        yield from _spans(values, lat, lon, time_s, plan, profile)


def _clips(
    values: FloatArray,
    table: str,
    truth: tuple[FloatArray, FloatArray, FloatArray],
    plan: ClipPlan,
    profile: TrackProfile,
) -> Iterator[Finding]:
    """Numbers of the plan's clips, times within them from 0, places in their frames, no heights."""
    lat, lon, time_s = truth
    number = values[:, 0].astype(np.int64)
    wrong = plan.clip_of(time_s) != number
    if wrong.any():
        yield _at(FindingKind.POSITION, np.flatnonzero(wrong), "in another clip")
        return
    length = np.array([clip.end_s - clip.begin_s for clip in plan.clips])[number]
    outside = (values[:, 1] < -_ROUNDING_S) | (values[:, 1] > length + _ROUNDING_S)
    yield from _times(outside, "time does not run from 0")
    if table == "times":
        return
    x, y = values[:, _X[table]], values[:, _Y[table]]
    far = np.hypot(x, y) > 2.0 * profile.local_clip_m
    for clip in np.unique(number).tolist():
        of = number == clip
        want_x, want_y, _ = plan.clips[clip].positions(lat[of], lon[of])
        far[of] |= ~(np.hypot(x[of] - want_x, y[of] - want_y) <= _ROUNDING_M)
    if far.any():
        yield _at(FindingKind.POSITION, np.flatnonzero(far), "outside the clip's frame")
    yield from _heights(values[:, _Z[table]], profile)
    if table == "oxts":
        yield from _heights(values[:, _UP], profile)


def _displaced(
    values: FloatArray, lat: FloatArray, lon: FloatArray, plan: OffsetPlan, profile: TrackProfile
) -> Iterator[Finding]:
    """Places far from the truth, where the plan's displacement puts them; no heights, nothing of the receiver."""
    shown = values[:, 0], values[:, 1]
    if (np.abs(values[:, 0]) > 90.0).any() or (np.abs(values[:, 1]) > 180.0).any():  # noqa: PLR2004 - degrees
        yield _field("form")
        return
    near = ~(geodesic_m(lat, lon, *shown)[0] >= least_shift_m(plan.offset, profile=profile))
    if near.any():
        yield _at(FindingKind.POSITION, np.flatnonzero(near), "near its true place")
    elsewhere = ~(geodesic_m(*plan.offset.displace(lat, lon), *shown)[0] <= _ROUNDING_M)
    if elsewhere.any():
        yield _at(FindingKind.POSITION, np.flatnonzero(elsewhere), "not the displaced place")
    yield from _heights(values[:, 2], profile)
    yield from _heights(values[:, 10], profile)
    if values[:, 23:].any():
        yield _field("receiver", FindingKind.DEVICE_ID)


def _spans(
    values: FloatArray,
    lat: FloatArray,
    lon: FloatArray,
    time_s: FloatArray,
    plan: OffsetPlan,
    profile: TrackProfile,
) -> Iterator[Finding]:
    """Every span begins at 0 in time and place, and its distances are those of the displaced places."""
    number = values[:, 0].astype(np.int64)
    if (plan.span_of(time_s) != number).any():
        yield _at(FindingKind.POSITION, np.arange(len(number)), "in another span")
        return
    first = np.searchsorted(number, number)
    yield from _times(
        np.abs(values[:, 1] - (time_s - time_s[first])) > _ROUNDING_S, "time does not run from 0"
    )
    moved_lat, moved_lon = plan.offset.displace(lat, lon)
    away = geodesic_m(moved_lat[first], moved_lon[first], moved_lat, moved_lon)[0]
    shown = np.hypot(values[:, _X["poses"]], values[:, _Y["poses"]])
    # A chord in a tangent plane is shorter than the geodesic by a third order term.
    wrong = np.abs(shown - away) > _ROUNDING_M + 1e-7 * away + away**3 / 2e14
    if wrong.any():
        yield _at(FindingKind.POSITION, np.flatnonzero(wrong), "not the displaced place")
    yield from _heights(values[:, _Z["poses"]], profile)


def _heights(values: FloatArray, profile: TrackProfile) -> Iterator[Finding]:
    if not profile.keep_elevation and values.any():
        yield _field("elevation", FindingKind.ELEVATION)


def _times(bad: NDArray[np.bool_], label: str) -> Iterator[Finding]:
    if bad.any():
        yield _at(FindingKind.TIMESTAMP, np.flatnonzero(bad), label)


def _seconds(line: str) -> float:
    return datetime.strptime(line[:-3], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()


def _at(kind: FindingKind, at: NDArray[np.intp], label: str) -> Finding:
    span = IndexSpan(start=int(at[0]), end=int(at[-1]) + 1)
    return Finding(kind=kind, where=span, confidence=1.0, detector=_SCANNER, label=label)


def _field(path: str, kind: FindingKind = FindingKind.UNLISTED_FIELD) -> Finding:
    return Finding(kind=kind, where=FieldPath(path=path), confidence=1.0, detector=_SCANNER)

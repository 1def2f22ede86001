"""Independent re-reading of released tracks: what left must show no true place and no true time.

None of the writers' or readers' code is used. A released document must match a grammar of its own in full, so
that nothing can hide in an element, column or property that the grammar does not know.
"""

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from anonymize.errors import ResidualError
from anonymize.finding import FieldPath, Finding, FindingKind, IndexSpan
from anonymize.formats.nmea_residual import read_released_nmea
from anonymize.formats.track import Track
from anonymize.geo.crs import geodesic_m
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.positions import find_positions
from anonymize.profile import TrackProfile
from anonymize.residual import ResidualReport

__all__ = ["find_positions", "scan_track"]

_SCANNER = "track-residual@1"
_LEAST_TIME_SHIFT_S = 30 * 86400.0
_ROUNDING_M = 0.002
_LONGEST_CLIP_S = 86400.0
_LOCAL_COLUMNS = re.compile(r"clip,t_s,x_m,y_m(?P<speed>,speed_mps)?(?P<height>,height_m)?")
_NUMBER = r"-?\d+(?:\.\d+)?"
_LOCAL_ROW = re.compile(rf"(\d+),({_NUMBER})?,({_NUMBER}),({_NUMBER})((?:,(?:{_NUMBER})?)*)")
_STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
_CSV_COLUMNS = re.compile(r"lat,lon(?P<time>,time)?(?P<ele>,ele)?(?P<speed>,speed)?,segment")
_CSV_ROW = re.compile(rf"({_NUMBER}),({_NUMBER})((?:,(?:{_STAMP}|{_NUMBER})?)*),\d+")
_GPX_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1" creator="">'
)
_GPX_POINT = re.compile(
    rf'<trkpt lat="({_NUMBER})" lon="({_NUMBER})">(<ele>[^<]*</ele>)?(?:<time>({_STAMP})</time>)?</trkpt>'
)
_GPX_FRAME = re.compile(r"<trk>\n(?:<trkseg>\n(?:#\n)+</trkseg>\n)+</trk></gpx>\n")
_POSITION = rf"\[({_NUMBER}(?:e-\d+)?),({_NUMBER}(?:e-\d+)?)(,{_NUMBER})?\]"
_JSON_POSITION = re.compile(_POSITION)
_TIME = rf'(?:"{_STAMP}"|null)'
_JSON_FEATURE = re.compile(
    rf'\{{"type":"Feature","properties":(?:\{{(?:"coordTimes":\[{_TIME}(?:,{_TIME})*\])?\}},'
    r'"geometry":\{"type":"LineString","coordinates":\[#(?:,#)+\]\}'
    rf'|\{{"segment":\d+,"time":{_TIME}\}},"geometry":\{{"type":"Point","coordinates":#\}})\}}'
)
_JSON_FRAME = re.compile(r'\{"type":"FeatureCollection","features":\[@(?:,@)*\]\}\n')
_JSON_TIME = re.compile(_TIME)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Released:
    lat: FloatArray
    lon: FloatArray
    time_s: FloatArray
    elevation: bool


def scan_track(
    content: bytes,
    media_type: str,
    *,
    original: Track,
    mode: Literal["LOCAL", "OFFSET"],
    profile: TrackProfile,
) -> ResidualReport:
    """Scan a released track.

    Args:
        content: The released bytes.
        media_type: ``text/csv``, ``application/gpx+xml``, ``application/geo+json`` or
            ``application/vnd.nmea0183``; LOCAL releases are ``text/csv``.
        original: The true fixes. In OFFSET mode those that correspond to the released ones index by index
            (``OffsetTrack.source``); another number of fixes is a finding.
        mode: The release mode.
        profile: Parameters and limits.

    Raises:
        ResidualError: The mode or the media type is none that can be scanned.
    """
    if mode == "LOCAL" and media_type == "text/csv":
        residual = tuple(_scan_local(content, profile))
        facts: dict[str, float | int | str] = {"mode": mode}
    elif mode == "OFFSET" and media_type in _READERS:
        released = _read(content, media_type)
        residual = tuple(_scan_offset(released, original, profile))
        facts = {"mode": mode, "fixes": len(released.lat) if released else 0}
        facts |= _least_shift(released, original)
    else:
        raise ResidualError(f"no scan for this release (got mode {mode!r} and {media_type!r})")
    return ResidualReport(scanners=(_SCANNER,), residual=residual, facts=facts)


def _scan_local(content: bytes, profile: TrackProfile) -> Iterator[Finding]:
    header, *rows = content.decode("utf-8", "replace").split("\n")
    columns = _LOCAL_COLUMNS.fullmatch(header)
    if columns is None or (columns["height"] and not profile.keep_elevation):
        yield _field("columns")
        return
    extra = sum(1 for name in ("speed", "height") if columns[name])
    matched = [_LOCAL_ROW.fullmatch(row) for row in rows[:-1]]
    bad = [i for i, m in enumerate(matched) if m is None or m[5].count(",") != extra]
    if bad or rows[-1:] != [""] or not matched:
        yield _at(FindingKind.UNLISTED_FIELD, bad or [0], "grammar")
        return
    values = np.array([(m[1], m[2] or "nan", m[3], m[4]) for m in matched if m], dtype=np.float64)
    yield from _scan_clips(values, profile)


def _scan_clips(values: FloatArray, profile: TrackProfile) -> Iterator[Finding]:
    """Numbers that rise, times of the clip and forwards, paths and places within a clip's size.

    A recording's second track may miss clips of the first, and begin or end within them.
    """
    clip, t_s = values[:, 0], values[:, 1]
    farthest = 2.0 * profile.local_clip_m
    far = np.flatnonzero(np.hypot(values[:, 2], values[:, 3]) > farthest)
    if len(far):
        yield _at(FindingKind.POSITION, far.tolist(), "outside the clip's frame")
    if (np.diff(clip) < 0).any():
        yield _at(FindingKind.UNLISTED_FIELD, [0], "clip numbers")
    bounds = [0, *(np.flatnonzero(np.diff(clip)) + 1).tolist(), len(clip)]
    for a, b in itertools.pairwise(bounds):
        known = t_s[a:b][np.isfinite(t_s[a:b])]
        if len(known) and (known[0] < 0.0 or known[-1] > _LONGEST_CLIP_S or (np.diff(known) < 0).any()):
            yield _at(FindingKind.TIMESTAMP, [a, b - 1], "time is not that of a clip")
        path = np.hypot(np.diff(values[a:b, 2]), np.diff(values[a:b, 3])).sum()
        if path > profile.local_clip_m + _ROUNDING_M * (b - a):
            yield _at(FindingKind.POSITION, [a, b - 1], "clip too long")


def _scan_offset(released: _Released | None, original: Track, profile: TrackProfile) -> Iterator[Finding]:
    """Look for what an offset has to remove.

    1. The grammar holds. 2. One fix per true fix. 3. No elevation.
    4. No place near its truth. 5. No time near its truth.
    """
    if released is None:
        yield _field("grammar")
        return
    if len(released.lat) != len(original):
        yield _at(
            FindingKind.POSITION,
            [0, max(len(released.lat), len(original)) - 1],
            "not aligned with the original",
        )
        return
    if released.elevation and not profile.keep_elevation:
        yield _field("elevation", FindingKind.ELEVATION)
    shift, _ = geodesic_m(original.lat, original.lon, released.lat, released.lon)
    near = np.flatnonzero(~(shift >= profile.offset_min_shift_m))
    if len(near):
        yield _at(FindingKind.POSITION, near.tolist(), "near its true place")
    apart = np.abs(released.time_s - original.time_s)
    timed = np.isfinite(released.time_s)
    soon = np.flatnonzero(timed & ~(apart >= _LEAST_TIME_SHIFT_S))
    if len(soon):
        yield _at(FindingKind.TIMESTAMP, soon.tolist(), "near its true time")


def _least_shift(released: _Released | None, original: Track) -> dict[str, float | int | str]:
    if released is None or len(released.lat) != len(original):
        return {}
    return {"min_shift_m": float(geodesic_m(original.lat, original.lon, released.lat, released.lon)[0].min())}


def _read(content: bytes, media_type: str) -> _Released | None:
    return _READERS[media_type](content.decode("utf-8", "replace"))


def _read_csv(text: str) -> _Released | None:
    header, *rows = text.split("\n")
    columns = _CSV_COLUMNS.fullmatch(header)
    matched = [_CSV_ROW.fullmatch(row) for row in rows[:-1]]
    extra = sum(1 for name in ("time", "ele", "speed") if columns and columns[name])
    if columns is None or rows[-1:] != [""] or any(m is None or m[3].count(",") != extra for m in matched):
        return None
    found = [m for m in matched if m]
    stamps = [m[3].split(",")[1] if columns["time"] else "" for m in found]
    return _released([m[1] for m in found], [m[2] for m in found], stamps, elevation=bool(columns["ele"]))


def _read_gpx(text: str) -> _Released | None:
    found = list(_GPX_POINT.finditer(text))
    frame = _GPX_POINT.sub("#", text)
    if not frame.startswith(_GPX_HEAD) or not _GPX_FRAME.fullmatch(frame[len(_GPX_HEAD) :]):
        return None
    stamps = [m[4] or "" for m in found]
    return _released([m[1] for m in found], [m[2] for m in found], stamps, elevation=any(m[3] for m in found))


def _read_geojson(text: str) -> _Released | None:
    found = list(_JSON_POSITION.finditer(text))
    frame = _JSON_POSITION.sub("#", text)
    if "@" in frame or not _JSON_FRAME.fullmatch(_JSON_FEATURE.sub("@", frame)):
        return None
    stamps = []
    for feature in _JSON_FEATURE.finditer(frame):
        times = [t.strip('"').replace("null", "") for t in _JSON_TIME.findall(feature[0])]
        fixes = feature[0].count("#")
        if len(times) not in {0, fixes}:
            return None
        stamps += times or [""] * fixes
    return _released([m[2] for m in found], [m[1] for m in found], stamps, elevation=any(m[3] for m in found))


def _released(lat: list[str], lon: list[str], stamps: list[str], *, elevation: bool) -> _Released:
    return _Released(
        lat=np.array(lat, dtype=np.float64),
        lon=np.array(lon, dtype=np.float64),
        time_s=np.array([_seconds(s) for s in stamps], dtype=np.float64),
        elevation=elevation,
    )


def _seconds(stamp: str) -> float:
    if not stamp:
        return math.nan
    return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()


def _at(kind: FindingKind, at: list[int], label: str) -> Finding:
    return Finding(
        kind=kind,
        where=IndexSpan(start=at[0], end=at[-1] + 1),
        confidence=1.0,
        detector=_SCANNER,
        label=label,
    )


def _field(path: str, kind: FindingKind = FindingKind.UNLISTED_FIELD) -> Finding:
    return Finding(kind=kind, where=FieldPath(path=path), confidence=1.0, detector=_SCANNER)


def _read_nmea(text: str) -> _Released | None:
    found = read_released_nmea(text)
    if found is None:
        return None
    return _Released(
        lat=np.array(found.lat),
        lon=np.array(found.lon),
        time_s=np.array(found.time_s),
        elevation=found.elevation,
    )


_READERS = {
    "text/csv": _read_csv,
    "application/gpx+xml": _read_gpx,
    "application/geo+json": _read_geojson,
    "application/vnd.nmea0183": _read_nmea,
}

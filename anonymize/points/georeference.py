"""Whether a cloud lies in the frame of its sensor or on the Earth, and in which reference system.

The rule, first match counts:

1. A file that states a reference system (LAS: WKT or GeoTIFF keys) is georeferenced.
2. A point farther than 1 km from the origin along x or y makes a cloud georeferenced: no sensor sees so far.
3. A cloud that spans less than 0.05 along both, but not about the origin, is in degrees, thus georeferenced.
4. Any other cloud is a sweep in the frame of its sensor.

A georeferenced cloud whose file states no system takes the one that the manifest declares; without one it
stops (COMPLIANCE rule 2).
"""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from anonymize.errors import MalformedItemError, UnknownCrsError
from anonymize.geo.crs import from_wgs84, geodesic_m, kind_of, require_crs, to_wgs84
from anonymize.geo.ellipsoid import FloatArray
from anonymize.points.las_layout import (
    CRS_USER,
    GEO_KEYS_ID,
    WKT_ID,
    LasLayout,
    payload,
)

SENSOR_REACH_M = 1000.0
_CODE = re.compile(r"EPSG:(\d+)")
_DEFINITION = re.compile(r"\s*(?:[A-Z_]+\[|\{|\+)", re.ASCII)
_FOOT_M = 0.3048
_SCALE_ERROR = 0.01
_DEGREES_SPAN = 0.05
_DEGREES_AWAY = 1.0
_MOST_WKT_BYTES = 65_536
_GEO_KEYS = struct.Struct("<4H")
_PROJECTED_KEY, _GEOGRAPHIC_KEY, _LINEAR_UNITS_KEY = 3072, 2048, 3076
_METRE = 9001
_USER_DEFINED = frozenset({0, 32767})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Least and greatest x and y of a cloud, whatever their unit."""

    low: tuple[float, float]
    high: tuple[float, float]

    @classmethod
    def of(cls, xyz: FloatArray) -> "Bounds":
        """Of rows of x, y, z, at least one."""
        low, high = xyz[:, :2].min(axis=0).tolist(), xyz[:, :2].max(axis=0).tolist()
        return cls(low=(low[0], low[1]), high=(high[0], high[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Georeference:
    """The reference system of a cloud: x is easting or longitude, y is northing or latitude.

    Attributes:
        crs: Its name or definition, as ``anonymize.geo.crs`` understands it.
        geographic: Whether x and y are degrees.
    """

    crs: str
    geographic: bool

    @classmethod
    def of(cls, crs: str) -> "Georeference":
        """Of a system that positions can be brought from.

        Raises:
            UnknownCrsError: It is unknown, or geocentric, in which no axis is up.
        """
        name, kind = require_crs(crs), kind_of(crs)
        if kind not in {"geographic", "projected"}:
            raise UnknownCrsError(f"clouds are in geographic or projected systems (got a {kind} one)")
        return cls(crs=name, geographic=kind == "geographic")

    @property
    def code(self) -> int | None:
        """The EPSG code; None where the system is given by its definition or is a map convention."""
        return int(found[1]) if (found := _CODE.fullmatch(self.crs)) else None

    @property
    def spelled_out(self) -> bool:
        """Whether the system is given by its definition, which may tell a place."""
        return _DEFINITION.match(self.crs) is not None

    @property
    def shown(self) -> str:
        """How facts name it."""
        return "definition" if self.spelled_out else self.crs

    def to_wgs84(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Latitude and longitude in degrees, EPSG:4326.

        Raises:
            MalformedItemError: A point lies outside the system's area.
        """
        return to_wgs84(y, x, self.crs) if self.geographic else to_wgs84(x, y, self.crs)

    def from_wgs84(self, lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
        """X and y of positions in degrees, EPSG:4326.

        Raises:
            MalformedItemError: A position lies outside the system's area.
        """
        first, second = from_wgs84(lat, lon, self.crs)
        return (second, first) if self.geographic else (first, second)

    def height_unit_m(self, x: float, y: float) -> float:
        """Metres per unit of z: that of the vertical system, else feet where x and y are feet.

        Args:
            x: Of a point in the system's area; scale differs from place to place.
            y: Of the same point.
        """
        at = (np.array([y, y]), np.array([x, x])) if self.geographic else (np.array([x, x]), np.array([y, y]))
        unit = float(to_wgs84(*at, self.crs, np.ones(2))[2][0])
        if unit != 1.0 or self.geographic:
            return unit
        lat, lon = self.to_wgs84(np.array([x, x]), np.array([y, y + 1.0]))
        step = float(geodesic_m(lat[0], lon[0], lat[1], lon[1])[0])
        return _FOOT_M if abs(step / _FOOT_M - 1.0) < _SCALE_ERROR else 1.0


def is_georeferenced(bounds: Bounds, *, stated: bool) -> bool:
    """Apply the rule of this module.

    Args:
        bounds: Of all points.
        stated: Whether the file states a reference system.
    """
    if stated or max(np.abs([*bounds.low, *bounds.high])) > SENSOR_REACH_M:
        return True
    spans = [h - low for low, h in zip(bounds.low, bounds.high, strict=True)]
    return max(spans) < _DEGREES_SPAN and float(np.hypot(*bounds.low)) > _DEGREES_AWAY


def require_declared(stated: str | None, declared: str | None) -> str:
    """The reference system of a georeferenced cloud: what its file states, else what the manifest declares.

    Raises:
        UnknownCrsError: There is neither.
    """
    crs = stated or declared
    if not crs:
        raise UnknownCrsError(
            "a georeferenced cloud names no reference system (got none in the file and none in the manifest)"
        )
    return crs


def stated_crs(file: BinaryIO, layout: LasLayout) -> str | None:
    """The reference system that a LAS file states: its WKT, else the EPSG code of its GeoTIFF keys.

    Returns:
        WKT, or ``EPSG:<code>``; None where there is no such record, or GeoTIFF keys spell out a system of
        their own or other units than the code's, which is the same as none.

    Raises:
        MalformedItemError: A record is no text or is truncated.
        UnknownCrsError: Two records state different systems.
    """
    texts = {_wkt(payload(file, r)) for r in layout.records if r.is_(CRS_USER, WKT_ID)} - {""}
    if len(texts) > 1:
        raise UnknownCrsError(f"a cloud has one reference system (got {len(texts)} in WKT)")
    if texts:
        return texts.pop()
    codes = {_epsg(payload(file, r)) for r in layout.records if r.is_(CRS_USER, GEO_KEYS_ID)} - {None}
    if len(codes) > 1:
        raise UnknownCrsError(f"a cloud has one reference system (got {sorted(map(str, codes))})")
    return codes.pop() if codes else None


def states_crs(layout: LasLayout) -> bool:
    """Whether a LAS file has a record of a reference system, be it readable or not."""
    return any(r.is_(CRS_USER, WKT_ID) or r.is_(CRS_USER, GEO_KEYS_ID) for r in layout.records)


def geo_keys(epsg: int, *, geographic: bool) -> bytes:
    """The payload of a GeoKeyDirectory VLR that names one registered reference system (GeoTIFF 1.1, §7)."""
    model, key = (2, _GEOGRAPHIC_KEY) if geographic else (1, _PROJECTED_KEY)
    return b"".join(
        _GEO_KEYS.pack(*entry) for entry in ((1, 1, 0, 2), (1024, 0, 1, model), (key, 0, 1, epsg))
    )


def _wkt(data: bytes) -> str:
    if len(data) > _MOST_WKT_BYTES:
        raise MalformedItemError(f"WKT is too long (got {len(data)}, expected {_MOST_WKT_BYTES} bytes)")
    try:
        return data.rstrip(b"\x00").decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise MalformedItemError(f"WKT is no text (got {len(data)} bytes, expected UTF-8)") from error


def _epsg(data: bytes) -> str | None:
    if len(data) < _GEO_KEYS.size:
        raise MalformedItemError(f"GeoTIFF keys are truncated (got {len(data)} bytes)")
    _, _, _, count = _GEO_KEYS.unpack_from(data)
    if len(data) < (count + 1) * _GEO_KEYS.size:
        raise MalformedItemError(f"GeoTIFF keys are truncated (got {len(data)} bytes, {count} keys)")
    entries: Sequence[tuple[int, ...]] = [
        _GEO_KEYS.unpack_from(data, (i + 1) * _GEO_KEYS.size) for i in range(count)
    ]
    keys = {key: value for key, location, _, value in entries if location == 0}
    if _PROJECTED_KEY in keys:
        code = keys[_PROJECTED_KEY]
        # Writers disagree on whether a code in metres with another unit is scaled or misnamed.
        unclear = keys.get(_LINEAR_UNITS_KEY, _METRE) != _METRE
    else:
        code, unclear = keys.get(_GEOGRAPHIC_KEY, 0), False
    return None if code in _USER_DEFINED or unclear else f"EPSG:{code}"

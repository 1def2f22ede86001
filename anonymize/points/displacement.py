"""How the points of a georeferenced cloud leave: displaced as tracks are, or in a frame without a place."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import LimitExceededError
from anonymize.geo.approved_displacement import ApprovedDisplacement, least_shift_m, measured
from anonymize.geo.clips import ClipFrame
from anonymize.geo.displacement import KeyedOffset
from anonymize.geo.ellipsoid import FloatArray, to_enu
from anonymize.geo.prf import require_key, subkey, uniform
from anonymize.points.frame import cloud_frame
from anonymize.points.georeference import Georeference
from anonymize.points.registered import released_system
from anonymize.profile import TrackProfile

Mode = Literal["LOCAL", "OFFSET", "APPROVED"]

_STEP_M, _STEP_DEG = 0.001, 1e-8
_BASE_M, _BASE_DEG = 1000.0, 0.01
_MEASURED = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extent:
    """What a first run over a cloud tells.

    Attributes:
        low: Least x, y and z.
        high: Greatest x, y and z.
        chosen: x, y and z of the point that the key chose as the middle of a clip.
    """

    low: FloatArray
    high: FloatArray
    chosen: FloatArray


def chosen_index(count: int, *, key: bytes, context: bytes) -> int:
    """Index of the point about which a cloud larger than a clip is cut.

    Raises:
        ProfileError: The key has not 32 bytes.
    """
    draw = float(uniform(subkey(require_key(key), "cloud middle", context), "point", 1)[0])
    return min(int(draw * count), count - 1)


@dataclass(slots=True, kw_only=True)
class OffsetMove:
    """Displaces points by the function that displaces tracks; heights become heights above the lowest point.

    With a secrecy processor heights are never kept, and nothing is measured.

    Attributes:
        offset: The displacement of the release, or a secrecy processor.
        source: System of the cloud.
        target: System in which it leaves.
        base: What steps of x and y are counted from in a LAS file; it tells of displaced places only.
        floor: The least z; 0 where the profile keeps elevations.
        height_unit: What z is multiplied with: metres per unit where the system changes, else 1.
        profile: Limits.
        shifts: Least, greatest and summed displacement in metres, and the number of points.
        distortion: Greatest strain, and greatest error of a direction in degrees, where it was measured.
    """

    offset: KeyedOffset
    source: Georeference
    target: Georeference
    base: tuple[float, float]
    floor: float
    height_unit: float
    profile: TrackProfile
    shifts: list[float] = field(default_factory=lambda: [np.inf, 0.0, 0.0, 0.0])
    distortion: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(
        cls,
        source: Georeference,
        extent: Extent,
        *,
        offset: KeyedOffset,
        wkt: bool,
        profile: TrackProfile,
    ) -> "OffsetMove":
        """For one cloud.

        Raises:
            MalformedItemError: The cloud lies outside its system's area.
            LimitExceededError: It lies near a pole.
        """
        x, y, _ = extent.chosen
        lat, lon = offset.displace(*source.to_wgs84(np.array([x]), np.array([y])))
        target = released_system(source, float(lat[0]), float(lon[0]), wkt=wkt)
        step = _BASE_DEG if target.geographic else _BASE_M
        moved = target.from_wgs84(lat, lon)
        unit = 1.0 if target is source else source.height_unit_m(float(x), float(y))
        # True heights are none of a processor's.
        keeps = profile.keep_elevation and not isinstance(offset, ApprovedDisplacement)
        return cls(
            offset=offset,
            source=source,
            target=target,
            base=(float(np.floor(moved[0][0] / step) * step), float(np.floor(moved[1][0] / step) * step)),
            floor=0.0 if keeps else float(extent.low[2]),
            height_unit=unit,
            profile=profile,
        )

    @property
    def geographic(self) -> bool:
        """Whether x and y leave in degrees."""
        return self.target.geographic

    @property
    def scale(self) -> tuple[float, float, float]:
        """Steps of x, y and z in a LAS file: about a millimetre, whatever the source's were."""
        step = _STEP_DEG if self.target.geographic else _STEP_M
        return (step, step, _STEP_M)

    def move(self, xyz: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Rows of x, y, z as they leave, and which of the points do.

        Raises:
            MalformedItemError: A point lies outside its system's area, before or after.
            LimitExceededError: A point would stay near its place, or the ground is distorted too much.
            ProcessorError: A secrecy processor does not answer as it has to, or fails a check.
        """
        lat, lon = self.source.to_wgs84(xyz[:, 0], xyz[:, 1])
        moved_lat, moved_lon = self.offset.displace(lat, lon)
        shift = np.hypot(*to_enu(moved_lat, moved_lon, lat, lon))
        least = float(shift.min(initial=np.inf))
        expected = least_shift_m(self.offset, profile=self.profile)
        if least < expected:
            raise LimitExceededError(
                f"the offset leaves a point near its place (got {least:.1f} m, expected at least {expected} m)"
            )
        low, high, total, count = self.shifts
        greatest = max(high, float(shift.max(initial=0.0)))
        self.shifts = [min(low, least), greatest, total + float(shift.sum()), count + len(shift)]
        self._measure(lat, lon)
        x, y = self.target.from_wgs84(moved_lat, moved_lon)
        z = (xyz[:, 2] - self.floor) * self.height_unit
        return np.stack([x, y, z], axis=1), np.ones(len(xyz), dtype=bool)

    def _measure(self, lat: FloatArray, lon: FloatArray) -> None:
        some = slice(None, None, max(len(lat) // _MEASURED, 1))
        evidence = measured(self.offset, lat[some], lon[some], profile=self.profile)
        if evidence is None:
            return
        strain, heading = self.distortion
        self.distortion = (max(strain, evidence.max_strain), max(heading, evidence.max_heading_error_deg))

    def facts(self) -> dict[str, Any]:
        """JSON-ready measures; of a processor nothing but the system."""
        if isinstance(self.offset, ApprovedDisplacement):
            return {"crs": self.target.shown}
        low, high, total, count = self.shifts
        return {
            "crs": self.target.shown,
            "min_shift_m": round(low, 1),
            "max_shift_m": round(high, 1),
            "mean_shift_m": round(total / max(count, 1.0), 1),
            "max_distance_error": round(self.distortion[0], 6),
            "max_strain": round(self.distortion[0], 6),
            "max_heading_error_deg": round(self.distortion[1], 4),
        }


@dataclass(slots=True, kw_only=True)
class LocalMove:
    """Brings points into a frame without a place; what lies too far from its middle goes.

    Attributes:
        frame: The frame.
        source: System of the cloud.
        radius_m: How far from the middle of the frame points may lie.
        floor: The least z; heights count from it, but in a clip that keeps elevations.
        height_unit: Metres per unit of z.
    """

    frame: ClipFrame
    source: Georeference
    radius_m: float
    floor: float
    height_unit: float

    @classmethod
    def of(
        cls,
        source: Georeference,
        extent: Extent,
        *,
        frame: ClipFrame | None,
        key: bytes,
        context: bytes,
        profile: TrackProfile,
    ) -> "LocalMove":
        """For one cloud; about its middle, or about a point that the key chooses where it exceeds a clip.

        Args:
            source: System of the cloud.
            extent: Of its points.
            frame: The frame of the clip that the cloud belongs to; None where it is a clip of its own.
            key: The release's key, 32 bytes.
            context: Names the cloud within the release.
            profile: ``local_clip_m``.

        Raises:
            MalformedItemError: The cloud lies outside its system's area.
        """
        x, y, _ = extent.chosen
        if frame is None:
            corners = np.array([extent.low[:2], extent.high[:2]])
            lat, lon = source.to_wgs84(corners[:, 0], corners[:, 1])
            across = float(np.hypot(*to_enu(lat[1], lon[1], lat[0], lon[0])))
            middle = corners.mean(axis=0) if across <= profile.local_clip_m else extent.chosen[:2]
            lat, lon = source.to_wgs84(middle[:1], middle[1:2])
            frame = cloud_frame(float(lat[0]), float(lon[0]), key=key, context=context, profile=profile)
        return cls(
            frame=frame,
            source=source,
            radius_m=profile.local_clip_m / 2.0,
            floor=float(extent.low[2]),
            height_unit=source.height_unit_m(float(x), float(y)),
        )

    @property
    def geographic(self) -> bool:
        """Points leave in metres."""
        return False

    @property
    def scale(self) -> tuple[float, float, float]:
        """Steps in a LAS file in metres."""
        return (_STEP_M, _STEP_M, _STEP_M)

    @property
    def base(self) -> tuple[float, float]:
        """Steps are counted from the origin of the frame."""
        return (0.0, 0.0)

    def move(self, xyz: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Rows of x, y, z in metres in the frame, and which of the points lie within the clip.

        Raises:
            MalformedItemError: A point lies outside its system's area.
        """
        lat, lon = self.source.to_wgs84(xyz[:, 0], xyz[:, 1])
        away = np.hypot(*to_enu(lat, lon, self.frame.lat0, self.frame.lon0))
        x, y, z = self.frame.positions(lat, lon, xyz[:, 2] * self.height_unit)
        if not self.frame.keep_elevation:
            z = (xyz[:, 2] - self.floor) * self.height_unit
        return np.stack([x, y, z], axis=1), away <= self.radius_m

    def facts(self) -> dict[str, Any]:
        """JSON-ready measures."""
        return {"crs": "LOCAL", "clip_m": 2.0 * self.radius_m}

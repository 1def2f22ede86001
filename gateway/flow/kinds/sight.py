"""What a described camera may have seen: its sector, where vehicle and profile tell enough, else a whole disc."""

from dataclasses import dataclass
from typing import Any, Literal

from anonymize.finding import Finding
from anonymize.geo.cut import frame_in_zone
from anonymize.geo.frustum import View, frustum_in_zone
from anonymize.geo.headings import Heading
from anonymize.geo.zones import ZoneSet
from anonymize.profile import ImageProfile
from gateway.vehicles.cameras import Camera


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A camera that its vehicle described, as the zone test takes it.

    Attributes:
        camera: As described.
        view: How far it sees and how well its pose is known; never narrower or surer than the profile allows.
        least_speed_mps: A slower vehicle may reverse.
    """

    camera: Camera
    view: View
    least_speed_mps: float

    def axis_deg(self, heading: Heading) -> float:
        """Where the optical axis points, in degrees clockwise from north."""
        return (heading.course_deg + self.camera.yaw_deg) % 360.0


def sight_of(camera: Camera | None, profile: ImageProfile) -> Sight | None:
    """What the zone test takes of a camera; None where none is described or the profile tests whole discs."""
    if camera is None or profile.sectors is None:
        return None
    return Sight(
        camera=camera,
        view=View(
            fov_deg=max(camera.fov_deg, profile.sectors.least_fov_deg),
            range_m=profile.view_distance_m,
            pose_error_m=profile.pose_error_m + camera.offset_m,
            heading_error_deg=max(camera.heading_error_deg, profile.sectors.least_heading_error_deg),
        ),
        least_speed_mps=profile.sectors.least_speed_mps,
    )


def frame_hits(
    lat: float,
    lon: float,
    *,
    sight: Sight | None,
    heading: Heading | None,
    profile: ImageProfile,
    zones: ZoneSet,
) -> tuple[Finding, ...]:
    """One finding per kind of zone that a frame may show; none: the frame is clear.

    1. Of the kinds whose zones come within range plus position error,
    2. those count which the camera's sector meets, where camera and heading are known; else all of them.

    Args:
        lat: Latitude in degrees, EPSG:4326.
        lon: Longitude in degrees.
        sight: The camera; None: not described.
        heading: Where the vehicle headed; None: unknown.
        profile: How far a camera sees, and how wrong a position may be.
        zones: The restricted zones.
    """
    error = profile.pose_error_m + (sight.camera.offset_m if sight else 0.0)
    around = frame_in_zone(lat, lon, zones, radius_m=error + profile.view_distance_m)  # 1
    if not around or sight is None or heading is None:
        return around
    view = sight.view
    seen = frustum_in_zone(  # 2
        lat,
        lon,
        sight.axis_deg(heading),
        view.fov_deg,
        zones=zones,
        range_m=view.range_m,
        pose_error_m=view.pose_error_m,
        heading_error_deg=view.heading_error_deg + heading.spread_deg,
    )
    near = {finding.label for finding in around}
    return tuple(finding for finding in seen if finding.label in near)


def zone_facts(sight: Sight | None, area: Literal["disc", "sector"]) -> dict[str, Any]:
    """How a picture was tested, for evidence: the area, and the camera as the test took it; never a heading."""
    if sight is None:
        return {"zone_area": "disc"}
    return {
        "zone_area": area,
        "camera": {
            "fov_deg": sight.view.fov_deg,
            "yaw_deg": sight.camera.yaw_deg,
            "heading_error_deg": sight.view.heading_error_deg,
            "pose_error_m": sight.view.pose_error_m,
        },
    }

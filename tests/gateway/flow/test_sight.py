"""The frame test of described cameras against a slow exact one, and against the disc that it stands for."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.geo.cut import frame_in_zone
from anonymize.geo.ellipsoid import from_enu
from anonymize.geo.headings import Heading
from anonymize.geo.zones import ZoneSet
from anonymize.profile import shipped_profile
from gateway.flow.kinds.sight import frame_hits, sight_of
from gateway.vehicles.cameras import Camera
from simulators import ORIGIN

IMAGES = shipped_profile("cn-2026").profile.images
REACH = IMAGES.pose_error_m + IMAGES.view_distance_m


def zones_of(*rings: tuple[str, np.ndarray]) -> ZoneSet:
    """Zones by kind and corners, east and north in metres of ``ORIGIN``, with a margin of 10 m."""
    features = []
    for number, (kind, corners) in enumerate(rings):
        lat, lon = from_enu(corners[:, 0], corners[:, 1], *ORIGIN)
        ring = np.column_stack([lon, lat]).tolist()
        features.append(
            {
                "type": "Feature",
                "properties": {"id": f"z{number}", "kind": kind, "margin_m": 10},
                "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
            }
        )
    return ZoneSet.from_geojson(
        json.dumps({"type": "FeatureCollection", "name": "t", "version": 1, "features": features}).encode()
    )


def triangle(rng: np.random.Generator) -> np.ndarray:
    """Three corners about a place up to 220 m away."""
    turn, far = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.0, 220.0)
    middle = far * np.array([math.sin(turn), math.cos(turn)])
    corners = np.sort(rng.uniform(0.0, 2.0 * np.pi, 3))
    return middle + rng.uniform(2.0, 60.0) * np.column_stack([np.cos(corners), np.sin(corners)])


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    course=st.floats(0.0, 360.0),
    spread=st.floats(0.0, 60.0),
    yaw=st.floats(-180.0, 360.0),
    fov=st.floats(1.0, 360.0),
    error=st.floats(0.0, 60.0),
    offset=st.sampled_from([0.0, 3.0, 20.0]),
)
def test_a_frame_that_shows_a_zone_is_never_clear_and_the_disc_is_never_less(
    seed, course, spread, yaw, fov, error, offset
):
    """Every camera within the errors, point by point; any point in a zone must be a finding of the zone's kind."""
    rng = np.random.default_rng(seed)
    zones = zones_of(("MIL", triangle(rng)), ("WATER", triangle(rng)))
    camera = Camera(items="x", fov_deg=fov, yaw_deg=yaw, heading_error_deg=error, offset_m=offset)
    heading = Heading(course_deg=course, spread_deg=spread)
    sight = sight_of(camera, IMAGES)
    found = frame_hits(*ORIGIN, sight=sight, heading=heading, profile=IMAGES, zones=zones)

    wrong, far = rng.uniform(0.0, 2.0 * np.pi, 40), IMAGES.pose_error_m + offset
    at = far * np.sqrt(rng.uniform(0.0, 1.0, 40)) * np.stack([np.cos(wrong), np.sin(wrong)])
    half = fov / 2.0 + max(error, 10.0) + spread
    rays = np.radians(course + yaw + np.linspace(-half, half, 90))
    away = np.linspace(0.0, IMAGES.view_distance_m, 30)
    east = at[0][:, None, None] + away[:, None] * np.sin(rays)
    north = at[1][:, None, None] + away[:, None] * np.cos(rays)
    exact = zones.test_exact(*from_enu(east.ravel(), north.ravel(), *ORIGIN)).kinds()
    disc = frame_in_zone(*ORIGIN, zones, radius_m=REACH + offset)
    assert {kind.value for kind in exact} <= {f.label for f in found} <= {f.label for f in disc}


@pytest.mark.parametrize(("yaw", "seen"), [(0.0, set()), (90.0, {"WATER"}), (180.0, set()), (270.0, {"MIL"})])
def test_of_two_zones_the_one_that_the_camera_looks_at_is_named(yaw, seen):
    """The vehicle heads north between a zone on its left and another on its right."""
    aside = np.array([90.0, 0.0])
    square = np.array([[-20.0, -20.0], [20.0, -20.0], [20.0, 20.0], [-20.0, 20.0]])
    zones = zones_of(("MIL", square - aside), ("WATER", square + aside))
    camera = Camera(items="x", fov_deg=70.0, yaw_deg=yaw, heading_error_deg=0.0, offset_m=0.0)
    heading = Heading(course_deg=0.0, spread_deg=0.0)
    asked = {"profile": IMAGES, "zones": zones}
    found = frame_hits(*ORIGIN, sight=sight_of(camera, IMAGES), heading=heading, **asked)
    assert {f.label for f in found} == seen
    for sight, known in ((None, heading), (sight_of(camera, IMAGES), None), (None, None)):
        blind = frame_hits(*ORIGIN, sight=sight, heading=known, **asked)
        assert {f.label for f in blind} == {"MIL", "WATER"}


def test_a_profile_without_sectors_tests_discs_whatever_is_described():
    camera = Camera(items="x", fov_deg=70.0, yaw_deg=0.0, heading_error_deg=0.0, offset_m=0.0)
    assert sight_of(camera, replace(IMAGES, sectors=None)) is None
    assert sight_of(None, IMAGES) is None


@pytest.mark.parametrize("name", ["cn-2026", "gdpr"])
def test_the_bounds_of_a_camera_are_those_of_the_profile(name):
    images = shipped_profile(name).profile.images
    camera = Camera(items="x", fov_deg=1e-9, yaw_deg=0.0, heading_error_deg=0.0, offset_m=0.0)
    view = sight_of(camera, images).view
    assert (view.fov_deg, view.heading_error_deg) == (60.0, 10.0)
    assert (view.range_m, view.pose_error_m) == (images.view_distance_m, images.pose_error_m)
    wide = sight_of(replace(camera, fov_deg=195.0, heading_error_deg=25.0, offset_m=4.0), images).view
    assert (wide.fov_deg, wide.heading_error_deg, wide.pose_error_m) == (195.0, 25.0, 14.0)

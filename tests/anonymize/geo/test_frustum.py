import math

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from anonymize.errors import MalformedItemError
from anonymize.finding import FindingKind, IndexSpan
from anonymize.geo.crs import metric_transformer
from anonymize.geo.cut import frame_in_zone
from anonymize.geo.ellipsoid import from_enu, wrap_degrees
from anonymize.geo.frustum import View, frustum_in_zone, way_view_hits, way_view_in_zones
from anonymize.geo.zones import ZoneSet

LIMITS = {"range_m": 100.0, "pose_error_m": 10.0, "heading_error_deg": 5.0}


def zones_about(lat: float, lon: float, square, zone_file, *, half_m=20.0, margin_m=15.0) -> ZoneSet:
    return ZoneSet.from_geojson(
        zone_file({"coordinates": square(lat, lon, half_m), "margin_m": margin_m, "kind": "CUSTODY"})
    )


def moved(lat: float, lon: float, azimuth_deg: float, metres: float) -> tuple[float, float]:
    """The place at a true geodesic distance and azimuth, by pyproj's azimuthal equidistant plane."""
    turn = math.radians(azimuth_deg)
    x, y = metric_transformer(lat, lon).transform(
        metres * math.sin(turn), metres * math.cos(turn), direction="INVERSE"
    )
    return y, x


def in_margin(zones: ZoneSet, lat: float, lon: float) -> bool:
    return bool(zones.test_exact(lat, lon).inside[0])


def test_a_camera_that_looks_away_from_a_zone_is_clear_where_the_disc_is_not(square, zone_file):
    zones = zones_about(39.9, 116.3, square, zone_file)
    south = 39.9 - 90.0 / 111_034.0
    towards = frustum_in_zone(south, 116.3, 0.0, 90.0, zones=zones, **LIMITS)
    assert [(f.kind, f.label, f.where) for f in towards] == [
        (FindingKind.RESTRICTED_ZONE, "CUSTODY", IndexSpan(start=0, end=1))
    ]
    assert towards[0].detector == zones.detector
    assert not frustum_in_zone(south, 116.3, 180.0, 90.0, zones=zones, **LIMITS)
    assert frame_in_zone(south, 116.3, zones, radius_m=110.0)


@pytest.mark.parametrize(("course", "fov"), [(None, 90.0), (180.0, None), (None, None), (180.0, 360.0)])
def test_without_heading_or_field_of_view_the_whole_disc_counts(course, fov, square, zone_file):
    zones = zones_about(39.9, 116.3, square, zone_file)
    south = 39.9 - 90.0 / 111_034.0
    assert frustum_in_zone(south, 116.3, course, fov, zones=zones, **LIMITS)
    farther = 39.9 - 160.0 / 111_034.0
    assert not frustum_in_zone(farther, 116.3, course, fov, zones=zones, **LIMITS)


def test_the_sector_ends_where_range_angle_and_errors_say(square, zone_file):
    zones = zones_about(39.9, 116.3, square, zone_file, half_m=0.5, margin_m=0.0)

    def seen(azimuth: float, metres: float, **limits: float) -> bool:
        camera = moved(39.9, 116.3, azimuth + 180.0, metres)
        return bool(frustum_in_zone(*camera, 30.0, 60.0, zones=zones, **(LIMITS | limits)))

    assert seen(30.0, 108.0)
    assert not seen(30.0, 113.0)
    exact = {"pose_error_m": 0.0, "heading_error_deg": 0.0}
    assert seen(59.0, 60.0, **exact)
    assert not seen(62.0, 60.0, **exact)
    assert seen(62.0, 60.0, pose_error_m=0.0, heading_error_deg=3.0)
    assert seen(210.0, 9.0)
    assert not seen(210.0, 12.0)


@settings(max_examples=150, deadline=None)
@given(
    place=st.tuples(st.floats(-84.0, 84.0), st.sampled_from([-180.0, -179.9995, -0.0001, 116.3, 179.9995])),
    axis=st.tuples(st.floats(0.0, 360.0), st.floats(5.0, 360.0)),
    limits=st.tuples(st.floats(1.0, 500.0), st.floats(0.0, 40.0), st.floats(0.0, 20.0)),
    draw=st.tuples(*[st.floats(0.0, 1.0) for _ in range(3)], st.floats(-1.0, 1.0), st.floats(-1.0, 1.0)),
)
def test_whatever_the_camera_can_see_in_a_margin_is_a_hit(place, axis, limits, draw, square, zone_file):
    """Draw a true camera within the errors and a point that it sees; a zone about that point must be hit."""
    (lat, lon), (course, fov), (range_m, pose_error, heading_error) = place, axis, limits
    error_at, error_far, distance, off_axis, off_heading = draw
    camera = moved(lat, lon, 360.0 * error_at, pose_error * error_far)
    azimuth = course + off_heading * heading_error + off_axis * fov / 2.0
    seen = moved(*camera, azimuth, range_m * distance)
    # Discs, which stand in beyond 80 degrees of latitude, are refused across the antimeridian.
    assume(abs(abs(seen[1]) - 180.0) > (1e-4 if abs(lat) < 79.9 else 0.1))
    zones = zones_about(*seen, square, zone_file, half_m=0.05, margin_m=0.0)
    assert frustum_in_zone(
        lat,
        lon,
        course,
        fov,
        zones=zones,
        range_m=range_m,
        pose_error_m=pose_error,
        heading_error_deg=heading_error,
    )


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    lat=st.floats(-70.0, 70.0),
    fov=st.floats(10.0, 200.0),
    pose_error=st.floats(0.0, 30.0),
)
def test_whatever_is_seen_on_the_way_between_two_places_hits_both(
    seed, lat, fov, pose_error, square, zone_file
):
    rng = np.random.default_rng(seed)
    course = rng.uniform(0.0, 360.0)
    turn = rng.uniform(-120.0, 120.0)
    step = rng.uniform(0.0, 60.0)
    end = moved(lat, 10.0, course + turn / 2.0, step)
    share = rng.uniform(0.0, 1.0)
    y, x = lat + share * (end[0] - lat), 10.0 + share * (end[1] - 10.0)
    camera = moved(y, x, rng.uniform(0.0, 360.0), rng.uniform(0.0, pose_error))
    azimuth = course + share * turn + rng.uniform(-fov / 2.0, fov / 2.0)
    seen = moved(*camera, azimuth, rng.uniform(0.0, 100.0))
    zones = zones_about(*seen, square, zone_file, half_m=0.05, margin_m=0.0)
    view = View(fov_deg=fov, range_m=100.0, pose_error_m=pose_error, heading_error_deg=0.0)
    hits = way_view_hits([lat, end[0]], [10.0, end[1]], [course, course + turn], view=view, zones=zones)
    assert hits.inside.tolist() == [True, True]


def test_a_zone_between_two_places_hits_both_and_no_third(square, zone_file):
    zones = zones_about(39.9, 116.3, square, zone_file, half_m=1.0, margin_m=0.0)
    north = 39.9 + np.array([-300.0, -100.0, 100.0, 300.0]) / 111_034.0
    view = View(fov_deg=20.0, range_m=50.0, pose_error_m=1.0, heading_error_deg=1.0)
    courses = np.zeros(4)
    found = way_view_in_zones(north, np.full(4, 116.3), courses, view=view, zones=zones)
    assert [(f.where.start, f.where.end, f.label) for f in found] == [(1, 3, "CUSTODY")]
    courses[1] = np.nan
    assert way_view_hits(north, np.full(4, 116.3), courses, view=view, zones=zones).inside.tolist() == [
        False,
        True,
        True,
        False,
    ]


def test_a_way_over_the_antimeridian_sees_zones_on_both_sides(square, zone_file):
    zones = ZoneSet.from_geojson(
        zone_file(
            {"coordinates": square(10.0, 179.9995, 5.0), "kind": "MIL"},
            {"coordinates": square(10.0, -179.9995, 5.0), "kind": "WATER"},
        )
    )
    limits = {"range_m": 120.0, "pose_error_m": 5.0, "heading_error_deg": 5.0}
    for lon in (179.9999, -179.9999):
        east = frustum_in_zone(10.0, lon, 90.0, 60.0, zones=zones, **limits)
        west = frustum_in_zone(10.0, lon, 270.0, 60.0, zones=zones, **limits)
        assert [f.label for f in east], [f.label for f in west] == (["WATER"], ["MIL"])


def test_the_tested_area_is_hardly_larger_than_the_sector(square, zone_file):
    """Zones in a ring about a camera: at most 2 m and 1 degree beyond the limits are hit."""
    for azimuth in range(0, 360, 7):
        zones = zones_about(*moved(39.9, 116.3, azimuth, 50.0), square, zone_file, half_m=0.1, margin_m=0.0)
        limits = {"range_m": 60.0, "pose_error_m": 0.0, "heading_error_deg": 0.0}
        off = abs(float(wrap_degrees(azimuth - 45.0)))
        hit = bool(frustum_in_zone(39.9, 116.3, 45.0, 200.0, zones=zones, **limits))
        if abs(off - 100.0) > 1.0:
            assert hit == (off < 100.0)


def test_a_long_way_answers_as_its_frames_do(drive, square, zone_file):
    track = drive(fixes=3000)
    middle = 1500
    zones = zones_about(track.lat[middle], track.lon[middle], square, zone_file, half_m=60.0)
    view = View(fov_deg=90.0, range_m=100.0, pose_error_m=10.0, heading_error_deg=5.0)
    course = np.degrees(np.arctan2(np.gradient(track.lon) * np.cos(np.radians(39.9)), np.gradient(track.lat)))
    hits = way_view_hits(track.lat, track.lon, course, view=view, zones=zones)
    single = [
        bool(frustum_in_zone(track.lat[i], track.lon[i], course[i], 90.0, zones=zones, **LIMITS))
        for i in range(middle - 100, middle + 100)
    ]
    among = hits.inside[middle - 100 : middle + 100]
    assert all(swept for swept, alone in zip(among, single, strict=True) if alone)
    assert 0 < among.sum() <= sum(single) + 4
    assert hits.inside.sum() < 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lat": math.nan}, "place 0: latitude"),
        ({"course_deg": math.inf}, "heading is finite"),
        ({"fov_deg": 0.0}, "field of view"),
        ({"fov_deg": 400.0}, "field of view"),
        ({"range_m": -1.0}, "range_m"),
        ({"pose_error_m": math.nan}, "pose_error_m"),
        ({"heading_error_deg": math.inf}, "heading_error_deg"),
    ],
)
def test_impossible_cameras_are_refused(change, message, square, zone_file):
    zones = zones_about(39.9, 116.3, square, zone_file)
    asked = {"lat": 39.9, "lon": 116.3, "course_deg": 0.0, "fov_deg": 90.0, **LIMITS} | change
    with pytest.raises(MalformedItemError, match=message):
        frustum_in_zone(**asked, zones=zones)


def test_ways_without_places_or_with_other_counts_are_refused(square, zone_file):
    zones = zones_about(39.9, 116.3, square, zone_file)
    view = View(fov_deg=90.0, range_m=1.0, pose_error_m=1.0, heading_error_deg=1.0)
    with pytest.raises(MalformedItemError, match="at least one place"):
        way_view_hits([], [], None, view=view, zones=zones)
    with pytest.raises(MalformedItemError, match="heading per place"):
        way_view_hits([1.0, 2.0], [1.0, 2.0], [1.0], view=view, zones=zones)


def test_areas_too_wide_to_draw_are_tested_as_discs(square, zone_file):
    for lat in (39.9, 83.0):
        zones = zones_about(lat, 116.3, square, zone_file)
        south = moved(lat, 116.3, 180.0, 4000.0)
        limits = {"pose_error_m": 10.0, "heading_error_deg": 5.0}
        assert frustum_in_zone(*south, 0.0, 90.0, zones=zones, range_m=4000.0, **limits)
        assert not frustum_in_zone(*south, 0.0, 90.0, zones=zones, range_m=800.0, **limits)
    lost = way_view_hits([39.0, 41.0], [116.3, 116.3], None, view=View(fov_deg=None, **LIMITS), zones=zones)
    assert lost.inside.all()


def test_an_empty_zone_file_clears_every_frame():
    zones = ZoneSet.from_geojson(b'{"type":"FeatureCollection","name":"n","version":1,"features":[]}')
    assert not frustum_in_zone(39.9, 116.3, None, None, zones=zones, **LIMITS)


def test_the_hull_of_areas_is_valid_geometry(square, zone_file):
    zones = zones_about(39.9, 116.3, square, zone_file, half_m=5.0)
    for fov in (1.0, 90.0, 179.0, 181.0, 300.0, 359.0, 360.0):
        for north in (-30.0, 0.0):
            y, x = from_enu(0.0, north, 39.9, 116.3)
            assert frustum_in_zone(float(y), float(x), 0.0, fov, zones=zones, **LIMITS)
    assert shapely.is_valid(zones.shapes()[0])

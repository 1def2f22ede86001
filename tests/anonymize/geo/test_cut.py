import numpy as np
import pytest

from anonymize.errors import MalformedItemError
from anonymize.finding import FieldPath, FindingKind, TreatmentKind
from anonymize.formats.kitti import read_points
from anonymize.formats.track import Track
from anonymize.geo.cut import cut_points, cut_track, frame_in_zone
from anonymize.geo.ellipsoid import to_enu
from anonymize.geo.headings import Heading
from anonymize.geo.zones import ZoneSet

NORTH = Heading(course_deg=0.0, spread_deg=0.0)


def straight(fixes: int = 101, **changes: object) -> Track:
    values: dict[str, object] = {
        "lat": 39.9 + np.arange(fixes) * 1e-4,
        "lon": np.full(fixes, 116.3),
        "time_s": 1.7e9 + np.arange(fixes, dtype=float),
        "elevation_m": np.full(fixes, 50.0),
        "speed_mps": np.full(fixes, 11.0),
        "segment": np.zeros(fixes, np.int32),
        "crs": "EPSG:4326",
        "dropped": ("uid",),
    }
    return Track(**(values | changes))


@pytest.fixture
def zones(square, zone_file) -> ZoneSet:
    return ZoneSet.from_geojson(zone_file({"coordinates": square(39.905, 116.3, 55.0), "margin_m": 20.0}))


def test_fixes_in_a_zone_go_and_the_track_is_split_there(zones, profile):
    track = straight()
    cut = cut_track(track, zones, profile=profile)
    gone = zones.test_exact(track.lat, track.lon).inside
    assert 10 <= gone.sum() <= 20
    assert cut.track.lat.tolist() == track.lat[~gone].tolist()
    assert np.unique(cut.track.segment).tolist() == [0, 1]
    assert not zones.test_exact(cut.track.lat, cut.track.lon).inside.any()
    assert cut.hits_by_kind == {"MIL": int(gone.sum())}
    zone = next(f for f in cut.findings if f.kind is FindingKind.RESTRICTED_ZONE)
    assert (zone.where.start, zone.where.end) == (int(np.argmax(gone)), int(np.argmax(gone) + gone.sum()))
    assert zone.label == "MIL"
    assert zone.detector.startswith("zones@")
    assert next(t for t in cut.treatments if t.kind is TreatmentKind.CUT).count == gone.sum()


def test_elevations_go_and_uncarried_fields_are_reported(zones, profile):
    cut = cut_track(straight(), zones, profile=profile)
    assert np.isnan(cut.track.elevation_m).all()
    assert {f.kind for f in cut.findings} >= {FindingKind.ELEVATION, FindingKind.UNLISTED_FIELD}
    assert FieldPath(path="uid") in [f.where for f in cut.findings]


def test_a_step_across_a_zone_splits_although_no_fix_is_inside(zones, profile):
    sparse = straight(2, lat=np.array([39.9, 39.91]))
    cut = cut_track(sparse, zones, profile=profile)
    assert cut.track.segment.tolist() == [0, 1]
    beside = straight(2, lat=np.array([39.9, 39.9]), lon=np.array([116.3, 116.31]))
    assert cut_track(beside, zones, profile=profile).track.segment.tolist() == [0, 0]


@pytest.mark.parametrize(("lat", "whole"), [(-17.0, False), (-16.9, True)])
def test_a_step_across_the_antimeridian_splits_the_track_only_where_a_zone_is(
    lat, whole, square, zone_file, profile
):
    """The zone lies between the meridian and the first fix beyond it."""
    zones = ZoneSet.from_geojson(zone_file({"coordinates": square(-17.0, -179.995, 50.0), "margin_m": 0.0}))
    lon = (179.95 + 0.02 * np.arange(7) + 180.0) % 360.0 - 180.0
    cut = cut_track(straight(7, lat=np.full(7, lat), lon=lon), zones, profile=profile)
    assert len(cut.track) == 7
    assert (len(list(cut.track.segments())) == 1) == whole


def test_a_track_wholly_inside_leaves_nothing(zones, profile):
    cut = cut_track(straight(3, lat=np.full(3, 39.905)), zones, profile=profile)
    assert cut.track is None
    assert cut.hits_by_kind == {"MIL": 3}


def test_frames_meet_a_zone_within_their_radius(zones):
    assert frame_in_zone(39.905, 116.3, zones, radius_m=1.0)[0].label == "MIL"
    lat = 39.905 + (55.0 + 20.0 + 100.0) / 111_034.0
    assert frame_in_zone(lat, 116.3, zones, radius_m=110.0)
    assert not frame_in_zone(lat, 116.3, zones, radius_m=80.0)
    with pytest.raises(MalformedItemError, match="frame: latitude"):
        frame_in_zone(float("nan"), 116.3, zones, radius_m=1.0)


def ring(radius_m: float, count: int = 720) -> np.ndarray:
    turn = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    return np.stack(
        [radius_m * np.cos(turn), radius_m * np.sin(turn), np.zeros(count), np.full(count, 0.5)], axis=1
    ).astype(np.float32)


def place(zones: ZoneSet, metres_south: float) -> tuple[float, float]:
    return zones.shapes()[0].bounds[1] - metres_south / 111_034.0, 116.3


@pytest.mark.parametrize("course", [0.0, 90.0, 215.0])
def test_points_of_a_sweep_go_where_they_lie_in_a_zone(course, zones, point_profile):
    lat, lon = place(zones, 50.0)
    points = np.vstack([ring(30.0), ring(75.0)])
    cut = cut_points(
        points,
        zones=zones,
        lat=lat,
        lon=lon,
        heading=Heading(course_deg=course, spread_deg=0.0),
        profile=point_profile,
    )
    heading = np.radians(course)
    north = points[:, 0] * np.cos(heading) + points[:, 1] * np.sin(heading)
    east = points[:, 0] * np.sin(heading) - points[:, 1] * np.cos(heading)
    inside = (north >= 50.0) & (np.abs(east) <= 55.0)
    kept = {tuple(p) for p in cut.points.tolist()}
    assert not any(tuple(p) in kept for p in points[inside].tolist())
    assert all(tuple(p) in kept for p in points[north < 38.0].tolist())
    assert not cut.dropped_all


def test_without_a_course_every_point_that_may_lie_in_a_zone_goes(zones, point_profile):
    lat, lon = place(zones, 50.0)
    points = np.vstack([ring(30.0), ring(75.0)])
    cut = cut_points(points, zones=zones, lat=lat, lon=lon, heading=None, profile=point_profile)
    assert len(cut.points) == 720
    assert np.hypot(cut.points[:, 0], cut.points[:, 1]).max() < 31.0


def test_a_sensor_in_a_zone_loses_the_sweep_and_a_far_one_only_its_range(zones, point_profile):
    points = np.vstack([ring(30.0), ring(point_profile.max_range_m + 1.0)])
    inside = cut_points(points, zones=zones, lat=39.905, lon=116.3, heading=NORTH, profile=point_profile)
    assert inside.dropped_all
    assert len(inside.points) == 0
    far = cut_points(points, zones=zones, lat=39.0, lon=116.3, heading=None, profile=point_profile)
    assert len(far.points) == 720
    assert [t.kind for t in far.treatments] == [TreatmentKind.DROP]
    for bad in (Heading(course_deg=float("nan"), spread_deg=0.0), Heading(course_deg=0.0, spread_deg=-1.0)):
        with pytest.raises(MalformedItemError, match="heading"):
            cut_points(points, zones=zones, lat=39.0, lon=116.3, heading=bad, profile=point_profile)


@pytest.mark.parametrize("spread", [3.0, 25.0, 120.0, 180.0])
def test_a_point_goes_when_any_heading_within_the_spread_puts_it_into_a_zone(spread, zones, point_profile):
    lat, lon = place(zones, 50.0)
    points = np.vstack([ring(r) for r in (30.0, 45.0, 75.0)])
    heading = Heading(course_deg=75.0, spread_deg=spread)
    cut = cut_points(points, zones=zones, lat=lat, lon=lon, heading=heading, profile=point_profile)
    may = np.zeros(len(points), dtype=bool)
    near = np.zeros(len(points), dtype=bool)
    for course in 75.0 + np.linspace(-spread, spread, 121):
        turned = Heading(course_deg=float(course), spread_deg=0.0)
        left = cut_points(points, zones=zones, lat=lat, lon=lon, heading=turned, profile=point_profile).points
        may |= ~np.isin(np.arange(len(points)), _rows_of(left, points))
        east, north = _on_ground(points, float(course))
        near |= (north >= 27.0) & (np.abs(east) <= 98.0)
    gone = ~np.isin(np.arange(len(points)), _rows_of(cut.points, points))
    assert (gone[may]).all()
    assert may.any()
    # 20 m are added to the margin, and the headings tried lie up to 3 degrees apart.
    assert not gone[~near].any()


def _on_ground(points: np.ndarray, course: float) -> tuple[np.ndarray, np.ndarray]:
    heading, x, y = np.radians(course), points[:, 0], points[:, 1]
    return x * np.sin(heading) - y * np.cos(heading), x * np.cos(heading) + y * np.sin(heading)


def _rows_of(some: np.ndarray, all_rows: np.ndarray) -> np.ndarray:
    index = {tuple(row): at for at, row in enumerate(all_rows.tolist())}
    return np.array([index[tuple(row)] for row in some.tolist()], dtype=int)


def test_a_real_sweep_keeps_nothing_inside_a_zone(shared, zones, point_profile):
    content = (shared / "kitti_object" / "velodyne" / "000000.bin").read_bytes()
    points = read_points(content, profile=point_profile)
    lat, lon = place(zones, 10.0)
    cut = cut_points(points, zones=zones, lat=lat, lon=lon, heading=NORTH, profile=point_profile)
    assert 0 < len(cut.points) < len(points)
    north = zones.shapes()[0].bounds[1]
    reach = to_enu(north, lon, lat, lon)[1]
    front = cut.points[np.abs(cut.points[:, 1]) < 40.0]
    assert front[:, 0].max() <= reach

"""Where videos were taken, second by second, against zones: telemetry, tracks of the recording, attestations."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.formats.track import Track
from anonymize.geo.crs import WGS84, geodesic_m
from anonymize.geo.ellipsoid import from_enu
from anonymize.geo.zones import ZoneSet
from anonymize.media.video.gpmf import GpmfTrack, read_gpmf
from anonymize.profile import shipped_profile
from anonymize.text.planted_strings import PlantedStrings
from gateway.errors import HeldError
from gateway.flow.kinds.surroundings import Surroundings
from gateway.people.zones import InstalledZones
from gateway.vehicles.cameras import Camera
from gateway.videos.way import WayCheck, check_way
from simulators import ORIGIN, zone_file

IMAGES = shipped_profile("cn-2026").profile.images
REACH = IMAGES.pose_error_m + IMAGES.view_distance_m
BEGAN = 1_700_000_000.0
STEP_M = 12.0


def track(seconds: np.ndarray, *, began: float = BEGAN, north_m: float = 0.0) -> Track:
    """A drive east at 12 m/s, at these seconds."""
    lat, lon = from_enu(STEP_M * seconds, np.full(len(seconds), north_m), *ORIGIN)
    nothing = np.full(len(seconds), np.nan)
    return Track(
        lat=lat,
        lon=lon,
        time_s=began + seconds,
        elevation_m=nothing,
        speed_mps=nothing,
        segment=np.zeros(len(seconds), np.int32),
        crs=WGS84,
        dropped=(),
    )


def telemetry(seconds: np.ndarray) -> GpmfTrack:
    return GpmfTrack(track=track(seconds), media_s=seconds, unlocked=0)


def near(second: float, away_m: float) -> ZoneSet:
    """A zone of 10 m about a place beside the way, whose edge with its margin is ``away_m`` from the way."""
    lat, lon = from_enu(np.array([STEP_M * second]), np.array([away_m + 60.0]), *ORIGIN)
    return ZoneSet.from_geojson(zone_file(("MIL", float(lat[0]), float(lon[0]), 10.0)))


def checked(
    zones: ZoneSet | None,
    *tracks: Track,
    own: GpmfTrack | None = None,
    duration_s: float = 60.0,
    captured: float | None = BEGAN,
    place: tuple[float, float] | None = None,
    attested: bool = False,
    camera: Camera | None = None,
) -> WayCheck:
    installed = None if zones is None else InstalledZones(zones=zones, digest="d" * 64, version=1)
    surroundings = Surroundings(
        zones=installed,
        tracks=tracks,
        positions=np.zeros((2, 0)),
        captured={},
        attested=attested,
        planted=PlantedStrings(()),
    )
    facts = {"duration_s": duration_s, "captured_at": None}
    facts |= {"latitude": place[0] if place else None, "longitude": place[1] if place else None}
    return check_way(facts, captured, own, surroundings, IMAGES, camera)


def cut(check: WayCheck, duration_s: float = 60.0) -> set[int]:
    return {s for s in range(math.ceil(duration_s)) if any(span.holds(float(s)) for span in check.spans)}


def halves(begin: float, end: float) -> np.ndarray:
    return np.arange(begin, end, 0.5)


@pytest.mark.parametrize("source", ["telemetry", "track"])
def test_exactly_the_seconds_about_a_zone_are_cut(source):
    """The disc of 110 m meets the zone while the vehicle is within 109 m of the place beside it."""
    zones = near(30.0, 15.0)
    fixes = halves(0.0, 60.5)
    found = checked(zones, own=telemetry(fixes), captured=None) if source == "telemetry" else None
    found = found or checked(zones, track(fixes))
    assert found.zone_check == "tested"
    sure = math.sqrt(REACH**2 - 15.0**2) / STEP_M
    assert {s for s in range(60) if abs(s - 30) < sure} <= cut(found)
    # Half a second at 60 m/s and an error of 10 m at both ends let the way leave the line by 25 m; the zone is
    # 120 m wide.
    assert cut(found) <= {s for s in range(60) if abs(s - 30) < sure + 85.0 / STEP_M + 1.0}


def test_no_zone_near_nothing_is_cut():
    found = checked(near(30.0, 200.0), own=telemetry(halves(0.0, 60.0)), captured=None)
    assert found == WayCheck(zone_check="tested", spans=())


def test_a_pause_is_tested_as_far_as_the_vehicle_may_have_gone():
    zones = near(20.0, 250.0)
    paused = np.r_[halves(0.0, 15.0), halves(25.0, 60.0)]
    assert cut(checked(zones, own=telemetry(halves(0.0, 60.0)))) == set()
    assert cut(checked(zones, own=telemetry(paused))) == set(range(15, 26))


def test_the_tracks_of_a_recording_fill_the_pauses_of_telemetry():
    zones, paused = near(20.0, 250.0), telemetry(np.r_[halves(0.0, 15.0), halves(25.0, 60.0)])
    found = checked(zones, track(halves(0.0, 60.0)), own=paused)
    assert found == WayCheck(zone_check="tested", spans=())


def test_where_telemetry_tells_a_track_of_a_wrong_clock_counts_for_nothing():
    zones = near(300.0, 15.0)
    astray = track(np.arange(0.0, 400.0), began=BEGAN - 280.0)
    assert cut(checked(zones, astray)) != set()
    assert checked(zones, astray, own=telemetry(halves(0.0, 60.0))).spans == ()


def test_more_than_half_a_minute_without_a_fix_is_unknown():
    gap = telemetry(np.r_[halves(0.0, 15.0), halves(46.0, 60.0)])
    far = near(30.0, 5000.0)
    with pytest.raises(HeldError, match="position is unknown"):
        checked(far, own=gap, captured=None)
    assert checked(far, own=gap, captured=None, attested=True).zone_check == "attested"
    assert checked(far, track(halves(10.0, 50.0)), own=gap).zone_check == "tested"


def test_an_unknown_time_next_to_a_zone_is_cut_and_needs_no_attestation():
    gap = telemetry(np.r_[halves(0.0, 15.0), halves(46.0, 60.0)])
    found = checked(near(14.0, 15.0), own=gap, captured=None)
    assert set(range(15, 44)) <= cut(found)
    assert found.zone_check == "tested"


def test_telemetry_covers_one_second_before_and_behind_it_and_no_more():
    far = near(30.0, 5000.0)
    assert checked(far, own=telemetry(halves(0.9, 59.5)), captured=None).zone_check == "tested"
    for fixes in (halves(1.5, 60.0), halves(0.0, 58.0)):
        with pytest.raises(HeldError):
            checked(far, own=telemetry(fixes), captured=None)


def test_the_second_before_the_first_fix_is_tested_as_far_as_the_vehicle_may_come_from():
    zones = near(1.0, REACH + 50.0)
    assert cut(checked(zones, own=telemetry(halves(1.0, 60.5)), captured=None)) == {0, 1}
    assert cut(checked(near(30.0, REACH + 50.0), own=telemetry(halves(1.0, 60.5)), captured=None)) == set()


def test_a_place_without_a_time_is_the_first_frames_where_that_is_near():
    own = telemetry(halves(0.0, 60.0))
    first = (float(own.track.lat[0]), float(own.track.lon[0]))
    at_start = near(0.0, 15.0)
    assert checked(at_start, own=own, place=first).spans == checked(at_start, own=own).spans
    assert 30 not in cut(checked(at_start, track(halves(0.0, 60.5)), place=first))
    elsewhere = from_enu(np.array([0.0]), np.array([5000.0]), *ORIGIN)
    place = (float(elsewhere[0][0]), float(elsewhere[1][0]))
    beside = ZoneSet.from_geojson(zone_file(("MIL", *place, 10.0)))
    assert cut(checked(beside, own=own, place=place)) == set(range(60))
    assert cut(checked(beside, own=own)) == set()


def test_without_a_zone_file_only_an_attestation_lets_a_video_pass():
    own = telemetry(halves(0.0, 60.0))
    with pytest.raises(HeldError, match="no zone file"):
        checked(None, own=own)
    assert checked(None, own=own, attested=True) == WayCheck(zone_check="attested", spans=())


def test_fixes_without_a_media_time_are_no_way_of_the_video():
    own = telemetry(halves(0.0, 60.0))
    loose = replace(own, media_s=np.full(len(own.media_s), np.nan))
    with pytest.raises(HeldError):
        checked(near(30.0, 5000.0), own=loose)
    assert checked(near(30.0, 5000.0), track(halves(0.0, 60.5)), own=loose).zone_check == "tested"


@settings(deadline=None, max_examples=60)
@given(
    fixes=st.lists(st.floats(0.0, 60.0), min_size=2, max_size=40, unique=True).map(sorted),
    second=st.floats(-5.0, 65.0),
    away=st.floats(0.0, 400.0),
    split=st.integers(0, 40),
)
def test_no_second_in_a_zone_is_left_whoever_tells_of_it(fixes, second, away, split):
    """A drive on the line: whatever fixes of it are known, a second at which the disc meets the zone is cut."""
    known = np.array(fixes)
    zones = near(second, away)
    own, rest = known[:split], known[split:]
    tracks = [track(rest)] if len(rest) else []
    found = checked(zones, *tracks, own=telemetry(own) if len(own) else None, attested=True)
    inner = [s for s in np.arange(0.0, 60.0, 0.25) if known[0] <= s <= known[-1]]
    pauses = [(a, b) for a, b in pairwise(known) if b - a > 29.0]
    for s in inner:
        unknown = any(a < s < b for a, b in pauses)
        lat, lon = from_enu(np.array([STEP_M * s]), np.zeros(1), *ORIGIN)
        meets = zones.test(lat, lon, extra_margin_m=REACH).inside[0]
        assert not meets or unknown or any(span.holds(float(s)) for span in found.spans)


@pytest.mark.parametrize("name", ["hero5-trimmed.mp4", "max-heromode.mp4"])
def test_real_telemetry_covers_every_second(shared_data: Path, name: str):
    with (shared_data / "media" / "video_gnss" / name).open("rb") as file:
        own = read_gpmf(file)
    duration_s = float(own.media_s[-1]) + 0.06
    found = checked(near(0.0, 0.0), own=own, duration_s=duration_s, captured=None)
    assert found == WayCheck(zone_check="tested", spans=())


def test_a_real_camera_that_walks_towards_a_zone_is_cut_from_the_middle_on(shared_data: Path):
    """In 13 m it comes from 128 to 115 m to a zone that it may see from 110 m, if a fix is 10 m wrong."""
    with (shared_data / "media" / "video_gnss" / "max-heromode.mp4").open("rb") as file:
        own = read_gpmf(file)
    lat, lon = own.track.lat, own.track.lon
    _, azimuth = geodesic_m(lat[0], lon[0], lat[-1], lon[-1])
    away = 115.0 + 50.0 + 1.0
    east, north = away * np.sin(np.radians(azimuth)), away * np.cos(np.radians(azimuth))
    there = from_enu(np.atleast_1d(east), np.atleast_1d(north), float(lat[-1]), float(lon[-1]))
    zones = ZoneSet.from_geojson(zone_file(("MIL", float(there[0][0]), float(there[1][0]), 1.0)))
    duration_s = float(own.media_s[-1]) + 0.06
    found = checked(zones, own=own, duration_s=duration_s, captured=None)
    assert cut(found, duration_s) >= {9, 10}
    assert not cut(found, duration_s) & {2, 3}


def looking(yaw_deg: float, fov_deg: float = 70.0, offset_m: float = 0.0) -> Camera:
    return Camera(items="own.mp4", fov_deg=fov_deg, yaw_deg=yaw_deg, heading_error_deg=0.0, offset_m=offset_m)


@pytest.mark.parametrize("source", ["telemetry", "track"])
def test_a_camera_is_cut_while_it_looks_at_a_zone_beside_the_way(source):
    """The drive goes east, the zone lies to its left: 15 m from the way, 120 m wide."""
    zones, fixes = near(30.0, 15.0), halves(0.0, 60.5)

    def found(camera: Camera | None) -> WayCheck:
        if source == "telemetry":
            return checked(zones, own=telemetry(fixes), captured=None, camera=camera)
        return checked(zones, track(fixes), camera=camera)

    disc, left, right, front, rear = (
        cut(found(camera)) for camera in (None, *(looking(yaw) for yaw in (270.0, 90.0, 0.0, 180.0)))
    )
    assert 30 in left
    assert left < disc
    # The position alone, with the way between two fixes, is 25 m uncertain: that reaches the zone from the way.
    assert right < left
    assert right <= {s for s in range(60) if abs(s - 30) <= 10}
    # Ahead it is seen on the way there, behind on the way from there.
    assert min(front) < min(rear) - 3
    assert max(front) < max(rear) - 3
    assert front | rear <= disc
    assert (found(looking(90.0)).heading_known, found(looking(90.0)).zone_check) == (True, "tested")


def test_a_camera_that_looks_away_keeps_what_the_disc_would_cut():
    zones, fixes = near(30.0, 60.0), telemetry(halves(0.0, 60.0))
    assert {28, 30, 32} <= cut(checked(zones, own=fixes, captured=None))
    assert cut(checked(zones, own=fixes, captured=None, camera=looking(90.0))) == set()
    assert 30 in cut(checked(zones, own=fixes, captured=None, camera=looking(270.0)))


def test_a_camera_that_stands_is_tested_as_a_disc():
    seconds = halves(0.0, 60.5)
    still = replace(track(np.full(len(seconds), 30.0)), time_s=BEGAN + seconds)
    for away in (60.0, 90.0):
        found = checked(near(30.0, away), still, camera=looking(90.0))
        assert cut(found) == set(range(60))
        assert not found.heading_known


def test_the_pauses_of_a_way_are_tested_as_discs():
    paused = telemetry(np.r_[halves(0.0, 20.0), halves(26.0, 60.0)])
    zones = near(23.0, 60.0)
    assert {21, 23, 25} <= cut(checked(zones, own=paused, captured=None, camera=looking(90.0)))


def test_the_distance_of_a_camera_from_the_antenna_widens_its_sector():
    zones, fixes = near(30.0, 45.0), telemetry(halves(0.0, 60.0))
    here, off = (
        checked(zones, own=fixes, captured=None, camera=looking(90.0, offset_m=metres))
        for metres in (0.0, 30.0)
    )
    assert cut(here) == set()
    assert 30 in cut(off)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    every=st.sampled_from([1, 2, 5, 10]),
    yaw=st.floats(-180.0, 180.0),
    fov=st.floats(60.0, 200.0),
    zone=st.tuples(st.floats(-150.0, 150.0), st.floats(-150.0, 150.0)),
    second=st.floats(0.0, 60.0),
)
def test_no_second_that_shows_a_zone_is_left_however_the_drive_turns(seed, every, yaw, fov, zone, second):
    """A winding drive: what the true camera sees at the true places, point by point, against what is cut."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(0.0, 60.05, 0.1)
    speed = np.interp(seconds, np.arange(0.0, 61.0, 6.0), rng.uniform(0.0, 20.0, 11))
    sideways = np.interp(seconds, np.arange(0.0, 61.0, 3.0), rng.uniform(-3.0, 3.0, 21))
    true = rng.uniform(0.0, 360.0) + np.degrees(np.cumsum(sideways / np.maximum(speed, 3.0)) * 0.1)
    east, north = (np.cumsum(speed * part(np.radians(true))) * 0.1 for part in (np.sin, np.cos))
    lat, lon = from_enu(east, north, *ORIGIN)
    seen = np.arange(0, len(seconds), every)
    told = replace(track(seconds[seen]), lat=lat[seen], lon=lon[seen])
    at = int(np.searchsorted(seconds, second))
    there = from_enu(east[[at]] + zone[0], north[[at]] + zone[1], *ORIGIN)
    zones = ZoneSet.from_geojson(zone_file(("MIL", float(there[0][0]), float(there[1][0]), 10.0)))
    camera = looking(yaw, fov)
    own = GpmfTrack(track=told, media_s=seconds[seen], unlocked=0)
    found = checked(zones, own=own, captured=None, camera=camera)
    assert cut(found) <= cut(checked(zones, own=own, captured=None))
    rays, far = np.meshgrid(
        np.linspace(-fov / 2.0, fov / 2.0, 41), np.linspace(0.0, IMAGES.view_distance_m, 21)
    )
    for i in range(0, int(seconds[seen][-1] * 10), 5):
        axis = np.radians(true[i] + yaw + rays)
        points = from_enu(
            (east[i] + far * np.sin(axis)).ravel(), (north[i] + far * np.cos(axis)).ravel(), *ORIGIN
        )
        if zones.test_exact(*points).inside.any():
            assert any(span.holds(float(seconds[i])) for span in found.spans)

import gzip
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import LimitExceededError, MalformedItemError, ProfileError, ResidualError
from anonymize.formats.csv_track import read_csv_track, write_csv_track
from anonymize.formats.geojson_track import write_geojson_track
from anonymize.formats.gpx import write_gpx
from anonymize.geo.crs import geodesic_m
from anonymize.geo.offset import KeyedOffset, offset_track, time_shift_s
from anonymize.geo.residual import scan_track

KEY = bytes(range(32))
WRITERS = {
    "text/csv": write_csv_track,
    "application/gpx+xml": write_gpx,
    "application/geo+json": write_geojson_track,
}
keys = st.binary(min_size=32, max_size=32)


@settings(max_examples=30, deadline=None)
@given(key=keys, seed=st.integers(0, 2**32), lat=st.floats(-75.0, 75.0), lon=st.floats(-180.0, 180.0))
def test_an_offset_stays_within_the_profile_and_inverts_to_a_millimetre(drive, profile, key, seed, lat, lon):
    track = drive(seed=seed, lat=lat, lon=lon, fixes=800, step_m=20.0)
    offset = KeyedOffset(key, profile)
    back = offset.invert(*offset.displace(track.lat, track.lon))
    assert geodesic_m(*back, track.lat, track.lon)[0].max() < 1e-3
    evidence = offset_track(track, key=key, context=b"r", profile=profile).evidence
    assert evidence.max_distance_error <= profile.offset_max_distance_error
    assert evidence.max_heading_error_deg <= 0.42
    assert (
        profile.offset_min_shift_m
        <= evidence.min_shift_m
        <= evidence.mean_shift_m
        <= evidence.max_shift_m
        < 900.0
    )


@settings(max_examples=20, deadline=None)
@given(key=keys, lat=st.floats(-80.0, 80.0), lon=st.floats(-180.0, 180.0))
def test_distances_over_100_m_hold_in_every_direction(profile, key, lat, lon):
    rng = np.random.default_rng(1)
    y, x = (
        np.clip(lat + rng.uniform(-1, 1, 4000), -80, 80),
        np.clip(lon + rng.uniform(-1, 1, 4000), -180, 180),
    )
    turn = rng.uniform(0.0, 2.0 * np.pi, 4000)
    y2 = y + 100.0 * np.cos(turn) / 111_200.0
    x2 = x + 100.0 * np.sin(turn) / (111_200.0 * np.cos(np.radians(y)))
    offset = KeyedOffset(key, profile)
    x2 = (x2 + 180.0) % 360.0 - 180.0
    before, _ = geodesic_m(y, x, y2, x2)
    after, _ = geodesic_m(*offset.displace(y, x), *offset.displace(y2, x2))
    assert np.abs(after / before - 1.0).max() <= profile.offset_max_distance_error


def test_the_displacement_is_continuous_across_the_antimeridian_and_refused_near_poles(profile):
    offset = KeyedOffset(KEY, profile)
    near = offset.displace([10.0, 10.0, 10.0], [179.9999999, -180.0, 180.0])
    apart, _ = geodesic_m(near[0][:2], near[1][:2], near[0][1:], near[1][1:])
    assert apart.max() < 0.05
    assert (np.abs(near[1]) <= 180.0).all()
    with pytest.raises(LimitExceededError, match=r"85\.0 degrees"):
        offset.displace(86.0, 0.0)
    with pytest.raises(MalformedItemError, match="nan"):
        offset.displace(float("nan"), 0.0)


def test_the_displacement_is_twice_continuously_differentiable(profile):
    offset = KeyedOffset(KEY, profile)
    step_m = 50.0
    lon = 116.3 + np.arange(4000) * step_m / (111_200.0 * np.cos(np.radians(39.9)))
    lat = np.full(4000, 39.9)
    moved, _ = geodesic_m(lat, lon, *offset.displace(lat, lon))
    jump_of_a_second_derivative = 0.02
    assert np.abs(np.diff(moved, 3)).max() < jump_of_a_second_derivative / 5.0


def test_one_function_of_position_and_key(profile, drive):
    track = drive()
    offset = KeyedOffset(KEY, profile)
    together = offset.displace(track.lat, track.lon)
    alone = [offset.displace(a, b) for a, b in zip(track.lat[::200], track.lon[::200], strict=True)]
    assert [float(v[0][0]) for v in alone] == together[0][::200].tolist()
    scattered = KeyedOffset(KEY, profile).displace(
        np.r_[track.lat, 10.0, -33.0], np.r_[track.lon, 10.0, 151.0]
    )
    assert scattered[0][:-2].tolist() == together[0].tolist()
    other = KeyedOffset(b"k" * 32, profile).displace(track.lat, track.lon)
    assert geodesic_m(*together, *other)[0].min() > 1.0
    assert "secret" in repr(offset)


@pytest.mark.parametrize("media_type", WRITERS)
def test_releases_pass_the_scan_and_true_tracks_do_not(media_type, profile, drive):
    track = replace(drive(fixes=1200), time_s=1.7e9 + np.arange(1200) * 1.0)
    moved = offset_track(track, key=KEY, context=b"r", profile=profile)
    scan = {"original": moved.source, "mode": "OFFSET", "profile": profile}
    report = scan_track(WRITERS[media_type](moved.track), media_type, **scan)
    assert report.clean, report.residual
    assert report.facts["min_shift_m"] >= profile.offset_min_shift_m
    left = scan_track(WRITERS[media_type](moved.source), media_type, **scan)
    assert {f.kind.value for f in left.residual} >= {"position", "timestamp", "elevation"}
    later = replace(
        moved.source, lat=moved.track.lat, lon=moved.track.lon, elevation_m=moved.track.elevation_m
    )
    assert {f.kind.value for f in scan_track(WRITERS[media_type](later), media_type, **scan).residual} == {
        "timestamp"
    }
    one_true = moved.track.lat.copy(), moved.track.lon.copy()
    one_true[0][7], one_true[1][7] = moved.source.lat[7], moved.source.lon[7]
    spoiled = replace(moved.track, lat=one_true[0], lon=one_true[1])
    residual = scan_track(WRITERS[media_type](spoiled), media_type, **scan).residual
    assert [(f.where.start, f.where.end) for f in residual] == [(7, 8)]


HIDDEN = {
    "text/csv": [(b"lat,lon", b"uid,lat,lon"), (b",0\n", b",home\n"), (b"lat,lon", b"# home\nlat,lon")],
    "application/gpx+xml": [
        (b"<trk>", b"<trk><name>home</name>"),
        (b"</trkpt>", b"<cmt>home</cmt></trkpt>"),
        (b'creator=""', b'creator="home"'),
        (b"</gpx>", b"<!-- home --></gpx>"),
    ],
    "application/geo+json": [
        (b'"properties":{', b'"properties":{"driver":"home",'),
        (b"}\n", b',"name":"home"}\n'),
    ],
}


@pytest.mark.parametrize("media_type", WRITERS)
def test_the_scan_knows_no_other_field(media_type, profile, drive):
    moved = offset_track(drive(fixes=1200), key=KEY, context=b"r", profile=profile)
    content = WRITERS[media_type](moved.track)
    for old, new in HIDDEN[media_type]:
        assert old in content
        spoiled = content.replace(old, new, 1)
        report = scan_track(spoiled, media_type, original=moved.source, mode="OFFSET", profile=profile)
        assert not report.clean, new
    report = scan_track(content, media_type, original=drive(fixes=1200), mode="OFFSET", profile=profile)
    assert [f.label for f in report.residual] == ["not aligned with the original"]


def test_an_unknown_mode_or_format_is_no_clean_scan(profile, drive):
    for mode, media_type in (
        ("APPROVED", "text/csv"),
        ("OFFSET", "image/png"),
        ("LOCAL", "application/gpx+xml"),
    ):
        with pytest.raises(ResidualError, match=mode):
            scan_track(b"", media_type, original=drive(), mode=mode, profile=profile)


def test_ends_are_trimmed_and_short_trips_dropped(profile, drive):
    track = drive(fixes=2000, step_m=10.0)
    moved = offset_track(track, key=KEY, context=b"r", profile=profile)
    low, high = profile.trim_m
    first = int(np.flatnonzero(track.time_s == moved.source.time_s[0])[0])
    last = int(np.flatnonzero(track.time_s == moved.source.time_s[-1])[0])
    assert low - 10.0 <= first * 10.0 <= high + 20.0
    assert low - 10.0 <= (len(track) - 1 - last) * 10.0 <= high + 20.0
    with pytest.raises(LimitExceededError, match="no fix is left"):
        offset_track(drive(fixes=90, step_m=10.0), key=KEY, context=b"r", profile=profile)


def test_a_long_pause_ends_a_trip(profile, drive):
    track = drive(fixes=2000, step_m=10.0)
    time_s = track.time_s + np.where(np.arange(2000) >= 1000, 4000.0, 0.0)
    moved = offset_track(replace(track, time_s=time_s), key=KEY, context=b"r", profile=profile)
    around = np.abs(moved.source.time_s[:, None] - time_s[None, 960:1040]).min(axis=0)
    assert around.min() > 0.5
    assert np.unique(moved.track.segment).tolist() == [0, 1]


@given(key=keys, context=st.binary(max_size=20))
def test_times_move_by_more_than_30_days(key, context):
    shift = time_shift_s(key=key, context=context)
    assert 30 * 86400.0 < abs(shift) < 731 * 86400.0
    assert shift == time_shift_s(key=key, context=context)
    assert abs((shift + 43200.0) % 86400.0 - 43200.0) <= 900.0


def test_the_limits_of_the_profile_are_enforced(profile, drive):
    with pytest.raises(LimitExceededError, match="distorts distances"):
        offset_track(drive(), key=KEY, context=b"r", profile=replace(profile, offset_max_distance_error=1e-6))
    with pytest.raises(LimitExceededError, match="near its place"):
        offset_track(drive(), key=KEY, context=b"r", profile=replace(profile, offset_min_shift_m=5000.0))
    with pytest.raises(ProfileError, match="octave"):
        KeyedOffset(KEY, replace(profile, offset_octaves=()))
    with pytest.raises(ProfileError, match="got 3"):
        KeyedOffset(b"abc", profile)


def test_beijing_drives_are_released_clean(shared, profile):
    content = gzip.decompress((shared / "traj" / "geolife_sample.txt.gz").read_bytes())
    track = read_csv_track(
        b"".join(content.splitlines(keepends=True)[:30_000]), profile=profile, crs="EPSG:4326"
    )
    moved = offset_track(track, key=KEY, context=b"r", profile=profile)
    assert moved.evidence.max_distance_error <= profile.offset_max_distance_error
    report = scan_track(
        write_csv_track(moved.track), "text/csv", original=moved.source, mode="OFFSET", profile=profile
    )
    assert report.clean, report.residual

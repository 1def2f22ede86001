import io
import os
import re

import laspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypcd4 import PointCloud

from anonymize.errors import LimitExceededError, ProfileError, UnknownCrsError
from anonymize.geo.crs import geodesic_m, to_wgs84
from anonymize.geo.displacement import KeyedOffset
from anonymize.points.frame import cloud_frame
from anonymize.points.kinds import CloudKind, cloud_kind
from anonymize.points.registered import DEFINITIONS, definition
from anonymize.points.thinning import keep_sweep
from anonymize.points.unlink import CloudRelease, unlink_cloud
from anonymize.profile import PointProfile

KEY = bytes(range(32))


@pytest.fixture(name="unlink")
def _unlink(profile, tracks):
    def run(content, kind, mode, *, crs=None, key=KEY, **options):
        release = CloudRelease(mode=mode, key=key, context=b"recording 1", **options)
        treated = unlink_cloud(
            io.BytesIO(content), kind, release=release, crs=crs, profile=profile, tracks=tracks
        )
        return treated, b"".join(treated.chunks)

    return run


def read(content):
    return laspy.read(io.BytesIO(content))


@pytest.mark.parametrize("compressed", [False, True], ids=["las", "laz"])
@pytest.mark.parametrize("point_format", [3, 6])
def test_an_offset_cloud_moves_as_tracks_do(make, cleanse, unlink, tracks, compressed, point_format):
    _, clean = cleanse(
        make.las(make.site(500), point_format=point_format, compressed=compressed), CloudKind.LAS
    )
    offset = KeyedOffset(KEY, tracks)
    treated, out = unlink(clean, cloud_kind(clean), "OFFSET", offset=offset)
    before, after = read(clean), read(out)
    assert after.header.parse_crs().to_epsg() == 32650
    expected = offset.displace(*to_wgs84(before.x, before.y, make.utm))
    apart, _ = geodesic_m(*expected, *to_wgs84(after.x, after.y, make.utm))
    assert apart.max() < 0.002
    assert np.array_equal(before.intensity, after.intensity)
    assert np.array_equal(before["reflectance"], after["reflectance"])
    assert treated.facts["min_shift_m"] >= tracks.offset_min_shift_m
    assert treated.facts["max_strain"] <= tracks.offset_max_strain


def test_heights_of_a_release_count_from_the_lowest_point(make, cleanse, unlink, tracks):
    _, clean = cleanse(make.las(make.site(200)), CloudKind.LAS)
    for mode in ("OFFSET", "LOCAL"):
        _, out = unlink(clean, CloudKind.LAS, mode, offset=KeyedOffset(KEY, tracks))
        before, after = read(clean).z, read(out).z
        assert after.min() >= 0.0
        if mode == "OFFSET":
            assert np.abs(before - before.min() - after).max() < 0.002


def test_steps_and_base_of_a_release_tell_nothing_of_the_original(make, cleanse, unlink, tracks):
    xyz = make.site(200)
    one = make.las(xyz, offsets=(xyz[0, 0] - 0.123, xyz[0, 1] - 0.456, 12.3))
    other = make.las(xyz, offsets=(400_000.0, 4_400_000.0, 0.0))
    heads = []
    for content in (one, other):
        _, clean = cleanse(content, CloudKind.LAS)
        _, out = unlink(clean, CloudKind.LAS, "OFFSET", offset=KeyedOffset(KEY, tracks))
        heads.append((read(out).header.scales.tolist(), read(out).header.offsets.tolist()))
    assert heads[0] == heads[1]
    assert heads[0][0] == [0.001] * 3
    assert all(o % 1000.0 == 0.0 for o in heads[0][1])


def test_a_system_that_a_file_spells_out_gives_way_to_utm(make, cleanse, unlink, tracks):
    site = (
        f'PROJCS["{make.planted}",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
        'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
        'PARAMETER["latitude_of_origin",39.87654],PARAMETER["central_meridian",116.34567],'
        'PARAMETER["scale_factor",1],PARAMETER["false_easting",0],PARAMETER["false_northing",0],UNIT["metre",1]]'
    )
    xyz = np.random.default_rng(0).uniform(0, 100, (50, 3)) + np.array([3000.0, 2000.0, 40.0])
    _, clean = cleanse(make.las(np.round(xyz, 2), crs=site, point_format=6), CloudKind.LAS)
    assert b"39.87654" in clean
    treated, out = unlink(clean, CloudKind.LAS, "OFFSET", offset=KeyedOffset(KEY, tracks))
    assert treated.facts["crs"] == "EPSG:32650"
    assert b"39.87654" not in out
    assert make.planted.encode() not in out
    there, after = to_wgs84(read(clean).x, read(clean).y, site), read(out)
    expected = KeyedOffset(KEY, tracks).displace(*there)
    assert geodesic_m(*expected, *to_wgs84(after.x, after.y, make.utm))[0].max() < 0.002


def test_every_definition_that_may_leave_is_that_of_its_code():
    from pyproj import CRS  # noqa: PLC0415

    assert len(DEFINITIONS) == 122
    for code in (4326, 4490, 32601, 32650, 32660, 32701, 32760):
        assert CRS.from_wkt(definition(code)).equals(CRS.from_epsg(code), ignore_axis_order=True)
    assert definition(3857) == ""


@pytest.mark.parametrize("point_format", [3, 6])
def test_a_local_cloud_has_shape_but_no_place(make, cleanse, unlink, tracks, point_format):
    _, clean = cleanse(make.las(make.site(300), point_format=point_format), CloudKind.LAS)
    treated, out = unlink(clean, CloudKind.LAS, "LOCAL")
    before, after = read(clean), read(out)
    assert not list(after.header.vlrs.get_by_id("LASF_Projection"))
    assert np.array_equal(after.header.offsets, [0.0, 0.0, 0.0])
    assert np.hypot(after.x, after.y).max() <= tracks.local_clip_m
    lat, lon = to_wgs84(before.x, before.y, make.utm)
    true, _ = geodesic_m(lat[:-1], lon[:-1], lat[1:], lon[1:])
    assert np.abs(np.hypot(np.diff(after.x), np.diff(after.y)) - true).max() < 0.01
    assert treated.facts["crs"] == "LOCAL"
    _, other = unlink(clean, CloudKind.LAS, "LOCAL", key=bytes(32))
    assert np.hypot(read(other).x - after.x, read(other).y - after.y).min() > 0.1


def test_a_local_cloud_larger_than_a_clip_is_cut_to_it(make, cleanse, unlink, tracks):
    _, clean = cleanse(make.las(make.site(5000, spread_m=2000.0)), CloudKind.LAS)
    treated, out = unlink(clean, CloudKind.LAS, "LOCAL")
    after = read(out)
    assert 0 < len(after) < 5000
    assert treated.facts["points_out"] == len(after)
    assert np.hypot(*(after.xyz[:, :2] - after.xyz[0, :2]).T).max() <= tracks.local_clip_m


def test_a_cloud_of_a_clip_takes_the_frame_of_the_clip(make, cleanse, unlink, tracks):
    frame = cloud_frame(make.lat, make.lon, key=os.urandom(32), context=b"clip", profile=tracks)
    _, clean = cleanse(make.las(make.site(300)), CloudKind.LAS)
    _, out = unlink(clean, CloudKind.LAS, "LOCAL", frame=frame)
    before, after = read(clean), read(out)
    x, y, _ = frame.positions(*to_wgs84(before.x, before.y, make.utm))
    assert np.hypot(after.x - x, after.y - y).max() < 0.002


def test_feet_become_metres_in_a_local_frame(cleanse, unlink, shared):
    content = (shared / "las" / "simple.las").read_bytes()
    _, clean = cleanse(content, CloudKind.LAS, crs="EPSG:2992")
    _, out = unlink(clean, CloudKind.LAS, "LOCAL", crs="EPSG:2992")
    before, after = read(clean), read(out)
    heights = np.unique(np.round((before.z - before.z.min()) * 0.3048, 3))
    assert set(np.unique(np.round(after.z, 3))) <= set(heights)


@pytest.mark.parametrize("encoding", ["binary", "binary_compressed"])
def test_a_pcd_on_the_earth_moves_too(make, cleanse, unlink, tracks, encoding):
    xyz = make.site(100)
    columns = {n: xyz[:, i] for i, n in enumerate("xyz")} | {"intensity": np.arange(100, dtype="f4")}
    _, clean = cleanse(make.pcd(columns, encoding=encoding), CloudKind.PCD, crs=make.utm)
    offset = KeyedOffset(KEY, tracks)
    with pytest.raises(UnknownCrsError):
        unlink(clean, CloudKind.PCD, "OFFSET", offset=offset)
    _, out = unlink(clean, CloudKind.PCD, "OFFSET", crs=make.utm, offset=offset)
    cloud = PointCloud.from_fileobj(io.BufferedReader(io.BytesIO(out)))
    expected = offset.displace(*to_wgs84(xyz[:, 0], xyz[:, 1], make.utm))
    there = to_wgs84(cloud.pc_data["x"], cloud.pc_data["y"], make.utm)
    assert geodesic_m(*expected, *there)[0].max() < 0.001
    assert np.array_equal(cloud.pc_data["intensity"], columns["intensity"])
    _, out = unlink(clean, CloudKind.PCD, "LOCAL", crs=make.utm)
    cloud = PointCloud.from_fileobj(io.BufferedReader(io.BytesIO(out)))
    assert np.hypot(cloud.pc_data["x"], cloud.pc_data["y"]).max() <= tracks.local_clip_m


@pytest.mark.parametrize("mode", ["LOCAL", "OFFSET"])
def test_sweeps_pass_as_they_are(make, cleanse, unlink, tracks, mode):
    sweep = make.pcd(make.sweep(), encoding="binary_compressed")
    xyz = np.stack([make.sweep()[n] for n in "xyz"], axis=1)
    las = make.las(xyz, crs=None, offsets=(0.0, 0.0, 0.0))
    kitti = np.zeros((9, 4), "<f4").tobytes()
    for content, kind in ((sweep, CloudKind.PCD), (las, CloudKind.LAS), (kitti, CloudKind.KITTI)):
        _, clean = cleanse(content, kind)
        treated, out = unlink(clean, kind, mode, offset=KeyedOffset(KEY, tracks))
        assert out == clean
        assert treated.facts["situation"] == "sweep"


def test_an_offset_too_small_or_none_is_refused(make, cleanse, unlink, tracks):
    _, clean = cleanse(make.las(make.site(20)), CloudKind.LAS)
    with pytest.raises(ProfileError, match="displacement"):
        unlink(clean, CloudKind.LAS, "OFFSET")

    class Still(KeyedOffset):
        def displace(self, lat, lon):
            return np.asarray(lat), np.asarray(lon)

    with pytest.raises(LimitExceededError, match="near its place"):
        unlink(clean, CloudKind.LAS, "OFFSET", offset=Still(KEY, tracks))


def test_secrets_are_not_shown(tracks):
    frame = cloud_frame(39.876543, 116.123456, key=KEY, context=b"", profile=tracks)
    assert not re.search(r"39\.87|116\.12", repr(frame))


@settings(deadline=None, max_examples=30)
@given(every=st.integers(1, 9), key=st.binary(min_size=32, max_size=32), start=st.integers(0, 1000))
def test_of_every_so_many_sweeps_of_a_sensor_one_is_kept(every, key, start):
    profile = PointProfile(max_points=1, max_range_m=1.0, keep_every=every, keep_attributes=())
    kept = [keep_sweep(i, key=key, sensor=b"top", profile=profile) for i in range(start, start + 3 * every)]
    assert sum(kept) == 3
    assert kept[:every] == kept[every : 2 * every]


def test_which_sweeps_are_kept_follows_from_key_and_sensor():
    profile = PointProfile(max_points=1, max_range_m=1.0, keep_every=8, keep_attributes=())
    firsts = {
        next(i for i in range(8) if keep_sweep(i, key=bytes([k]) * 32, sensor=s, profile=profile))
        for k in range(20)
        for s in (b"top", b"left")
    }
    assert len(firsts) > 4

"""KITTI's tables through both passes: cut on true places, in the track's clips or displaced, and read again."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import LimitExceededError, MalformedItemError, OutsideReleaseError
from anonymize.finding import FindingKind
from anonymize.geo.crs import from_wgs84, geodesic_m
from anonymize.geo.enu_frame import EnuFrame
from anonymize.geo.local import to_clips
from anonymize.geo.positions import find_positions
from anonymize.layouts.kitti_residual import scan_oxts, scan_poses, scan_times
from anonymize.layouts.oxts import (
    LOCAL_COLUMNS,
    cleanse_oxts,
    local_oxts,
    offset_oxts,
    read_oxts,
    read_stored_oxts,
    write_stored_oxts,
)
from anonymize.layouts.poses import (
    cleanse_poses,
    local_poses,
    offset_poses,
    place_poses,
    read_poses,
    read_stored_poses,
)
from anonymize.layouts.timestamps import (
    local_times,
    offset_times,
    read_times,
    read_timestamps,
    write_timestamps,
)

NOWHERE = (0.5, 0.5)


@pytest.fixture(scope="module")
def oxts(drive, profile):
    return read_oxts(drive.oxts(), time_s=drive.t, profile=profile)


@pytest.fixture(scope="module")
def stored(oxts, zones, profile):
    treated = cleanse_oxts(oxts, zones=zones(*NOWHERE), profile=profile)
    return read_stored_oxts(treated.content, profile=profile)


def rows(content, skip=1):
    lines = content.decode().splitlines()[skip:]
    return np.array([line.replace(",", " ").split() for line in lines], dtype=float)


def scanned(scan, unlinked, plan, profile):
    source = unlinked.source
    lat, lon = (source.lat, source.lon) if hasattr(source, "lat") else source.values[:, :2].T
    return scan(unlinked.content, lat=lat, lon=lon, time_s=source.time_s, plan=plan, profile=profile)


def test_records_give_the_track(drive, oxts):
    track = oxts.track()
    assert np.allclose(track.lat, drive.lat, atol=1e-11)
    assert np.allclose(track.speed_mps, drive.speed)
    assert np.allclose(track.elevation_m, drive.alt)
    assert np.array_equal(track.time_s, drive.t)


def test_one_record_takes_its_time_from_the_manifest(drive, profile):
    one = read_oxts(drive.oxts([7]), time_s=drive.t[7], profile=profile)
    assert one.track().time_s.tolist() == [drive.t[7]]
    assert np.isnan(read_oxts(drive.oxts([7]), time_s=None, profile=profile).time_s).all()


def test_the_stored_form_keeps_every_number(oxts, profile):
    again = read_stored_oxts(write_stored_oxts(oxts), profile=profile)
    assert np.array_equal(again.values, oxts.values)
    assert np.array_equal(again.time_s, oxts.time_s)


def test_records_in_zones_go_and_heights_with_them(drive, oxts, zones, profile):
    zone = zones(drive.lat[3000], drive.lon[3000])
    treated = cleanse_oxts(oxts, zones=zone, profile=profile)
    left = read_stored_oxts(treated.content, profile=profile)
    assert 0 < len(left.values) < len(oxts.values)
    assert not zone.test(left.values[:, 0], left.values[:, 1]).inside.any()
    assert not left.values[:, [2, 10]].any()
    assert {FindingKind.RESTRICTED_ZONE, FindingKind.ELEVATION} <= {f.kind for f in treated.findings}
    assert treated.facts == {"fixes_in": 6000, "fixes_out": len(left.values)}


def test_a_file_of_one_record_in_a_zone_is_dropped(drive, zones, profile):
    one = read_oxts(drive.oxts([5]), time_s=drive.t[5], profile=profile)
    treated = cleanse_oxts(one, zones=zones(drive.lat[5], drive.lon[5]), profile=profile)
    assert treated.dropped
    assert treated.content == b""


def test_local_records_lie_where_the_track_does_in_the_same_clip(drive, stored, clips, profile):
    made = local_oxts(stored, clips, profile=profile)
    values = rows(made.content)
    assert made.content.decode().splitlines()[0] == ",".join(LOCAL_COLUMNS)
    for clip in to_clips(drive.track(), clips).clips:
        of = values[:, 0] == clip.number
        assert np.allclose(values[of, 2], clip.x_m, atol=0.001)
        assert np.allclose(values[of, 3], clip.y_m, atol=0.001)
        assert np.allclose(values[of, 1], clip.t_s, atol=0.001)
    assert not values[:, 4].any()


def test_local_yaw_and_velocity_point_along_the_released_path(stored, clips, profile):
    values = rows(local_oxts(stored, clips, profile=profile).content)
    same = np.diff(values[:, 0]) == 0
    step = np.diff(values[:, 2])[same] + 1j * np.diff(values[:, 3])[same]
    yaw, velocity = values[1:, 7][same], values[1:, 8][same] + 1j * values[1:, 9][same]
    assert np.abs(np.angle(step * np.exp(-1j * yaw))).max() < 0.01
    assert np.abs(step / 0.1 - velocity).max() < 0.2


def test_local_records_pass_the_scan_and_hold_no_place_or_receiver(drive, stored, clips, profile):
    made = local_oxts(stored, clips, profile=profile)
    report = scanned(scan_oxts, made, clips, profile)
    assert report.clean, report.residual[:3]
    assert not find_positions(made.content, lat=drive.lat, lon=drive.lon)


def test_each_record_alone_lands_as_it_does_among_the_others(drive, stored, clips, profile, zones):
    whole = local_oxts(stored, clips, profile=profile)
    shown = {round(t, 3): row for t, row in zip(whole.source.time_s, rows(whole.content), strict=True)}
    placed = 0
    for i in range(0, 6000, 397):
        one = read_oxts(drive.oxts([i]), time_s=drive.t[i], profile=profile)
        left = read_stored_oxts(
            cleanse_oxts(one, zones=zones(*NOWHERE), profile=profile).content, profile=profile
        )
        if round(drive.t[i], 3) not in shown:
            with pytest.raises(OutsideReleaseError):
                local_oxts(left, clips, profile=profile)
            continue
        placed += 1
        alone = rows(local_oxts(left, clips, profile=profile).content)[0]
        assert np.allclose(alone[:10], shown[round(drive.t[i], 3)][:10])
    assert placed > 3


def test_a_record_without_a_time_is_in_no_release(drive, clips, offset, profile):
    one = read_oxts(drive.oxts([7]), time_s=None, profile=profile)
    with pytest.raises(OutsideReleaseError):
        local_oxts(one, clips, profile=profile)
    with pytest.raises(OutsideReleaseError):
        offset_oxts(one, offset, profile=profile)


def test_offset_records_are_kittis_own_form_displaced_as_the_track_is(stored, offset, profile):
    made = offset_oxts(stored, offset, profile=profile)
    again = read_oxts(made.content, time_s=made.time_s, profile=profile)
    want = offset.offset.displace(made.source.values[:, 0], made.source.values[:, 1])
    assert geodesic_m(*want, again.values[:, 0], again.values[:, 1])[0].max() < 0.01
    assert not again.values[:, [2, 10, *range(23, 30)]].any()
    assert np.abs(made.time_s - made.source.time_s).min() >= 30 * 86400
    assert np.allclose(made.time_s - made.source.time_s, offset.shift_s)
    assert made.evidence.min_shift_m >= profile.offset_min_shift_m
    report = scanned(scan_oxts, made, offset, profile)
    assert report.clean, report.residual[:3]


def test_offset_yaw_turns_with_the_ground(stored, offset, profile):
    made = offset_oxts(stored, offset, profile=profile)
    v = read_oxts(made.content, time_s=None, profile=profile).values
    frame = EnuFrame(lat0=float(v[0, 0]), lon0=float(v[0, 1]))
    east, north = from_wgs84(v[:, 0], v[:, 1], frame)
    step = np.diff(east[::10]) + 1j * np.diff(north[::10])
    moved = v[5::10, 5][: len(step)]
    assert np.abs(np.angle(step * np.exp(-1j * moved))).mean() < 0.02


def at_its_true_place(content, source):
    _, _, *rest = content.split(b" ")
    return b" ".join([b"%.8f" % source.values[0, 0], b"%.8f" % source.values[0, 1], *rest])


SPOILS = {
    "another place": lambda c: c.replace(c.split()[0], f"{float(c.split()[0]) + 0.01:.8f}".encode(), 1),
    "a height": lambda c: c.replace(c.split()[2], b"115.000000", 1),
    "the receiver": lambda c: c.replace(b" 0 0 0 0 0\n", b" 4 9 6 6 6\n", 1),
    "a line less": lambda c: c.split(b"\n", 1)[1],
    "a remark": lambda c: c + b"# car 7\n",
    "no last line end": lambda c: c[:-1],
}


def test_the_scan_of_offset_records_finds_a_true_place(stored, offset, profile):
    made = offset_oxts(stored, offset, profile=profile)
    spoilt = replace(made, content=at_its_true_place(made.content, made.source))
    labels = {f.label for f in scanned(scan_oxts, spoilt, offset, profile).residual}
    assert {"near its true place", "not the displaced place"} <= labels


@pytest.mark.parametrize("name", SPOILS)
def test_the_scan_of_offset_records_finds(name, stored, offset, profile):
    made = offset_oxts(stored, offset, profile=profile)
    spoilt = replace(made, content=SPOILS[name](made.content))
    assert spoilt.content != made.content
    assert not scanned(scan_oxts, spoilt, offset, profile).clean


def _cell(content, line, cell, value):
    lines = content.split(b"\n")
    cells = lines[line].split(b",")
    cells[cell] = value
    lines[line] = b",".join(cells)
    return b"\n".join(lines)


@pytest.mark.parametrize(
    ("cell", "value"),
    [(0, b"1"), (1, b"1317042145.1"), (2, b"49.01"), (2, b"4900.0"), (4, b"115.0"), (12, b"0.5")],
)
def test_the_scan_of_local_records_finds(cell, value, stored, clips, profile):
    made = local_oxts(stored, clips, profile=profile)
    content = _cell(made.content, 1, cell, value)
    if (cell, value) == (2, b"49.01"):
        content = _cell(content, 1, 3, b"%.7f" % made.source.values[0, 1])
        content = _cell(content, 1, 2, b"%.7f" % made.source.values[0, 0])
    assert not scanned(scan_oxts, replace(made, content=content), clips, profile).clean


BAD_RECORDS = {
    "latitude": (0, "91.0"),
    "no fix": (0, "0"),
    "not finite": (5, "nan"),
    "yaw in degrees": (5, "270"),
    "infinite": (12, "inf"),
    "no number": (12, "1_0"),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_impossible_records_are_named_without_their_place(name, drive, profile):
    at, value = BAD_RECORDS[name]
    cells = drive.oxts([1]).decode().split()
    cells[at] = value
    if name == "no fix":
        cells[1] = "0"
    content = drive.oxts([0]) + " ".join(cells).encode()
    with pytest.raises(MalformedItemError, match="record 1") as caught:
        read_oxts(content, time_s=None, profile=profile)
    assert "8.43" not in str(caught.value)


def test_counts_are_limited_and_times_must_fit(drive, profile):
    with pytest.raises(LimitExceededError):
        read_oxts(drive.oxts(range(3)), time_s=None, profile=replace(profile, max_points=2))
    with pytest.raises(MalformedItemError, match="one time per record"):
        read_oxts(drive.oxts(range(3)), time_s=[1.0], profile=profile)


def test_timestamps_are_read_to_a_microsecond_and_written_back(drive, profile):
    read = read_timestamps(drive.timestamps(), profile=profile)
    assert np.abs(read - drive.t).max() < 2e-6
    assert np.abs(read_timestamps(write_timestamps(drive.t), profile=profile) - drive.t).max() < 1e-6
    local = read_timestamps(drive.timestamps(), profile=profile, utc_offset_s=7200.0)
    assert np.allclose(local, read - 7200.0)
    assert read_timestamps(b"2011-09-26 15:02:25.5+02:00\n", profile=profile)[0] == 1317042145.5


def test_times_from_zero_need_their_begin(drive, profile):
    assert np.allclose(read_times(drive.times(), begin_s=drive.t[0], profile=profile), drive.t, atol=1e-3)
    with pytest.raises(MalformedItemError):
        read_times(drive.times(), begin_s=float("nan"), profile=profile)
    with pytest.raises(MalformedItemError):
        read_times(b"0\n1e9\n", begin_s=0.0, profile=profile)


@pytest.mark.parametrize("line", [b"2011-13-26 13:02:25\n", b"2011-09-26 25:02:25\n", b"yesterday\n"])
def test_impossible_timestamps_are_named(line, profile):
    with pytest.raises(MalformedItemError, match="line 1"):
        read_timestamps(b"2011-09-26 13:02:25.0\n" + line, profile=profile)


def test_times_leave_in_clips_or_shifted_and_pass_the_scan(drive, clips, offset, profile):
    local = local_times(drive.t, clips)
    values = rows(local.content)
    assert set(values[:, 0].astype(int)) <= set(range(len(clips.clips)))
    assert values[:, 1].min() >= 0.0
    report = scan_times(local.content, time_s=local.source_s, plan=clips, profile=profile)
    assert report.clean, report.residual
    moved = offset_times(drive.t, offset)
    assert np.allclose(
        read_timestamps(moved.content, profile=profile) - moved.source_s, offset.shift_s, atol=1e-5
    )
    assert 0 < len(moved.source_s) < len(drive.t)
    assert scan_times(moved.content, time_s=moved.source_s, plan=offset, profile=profile).clean
    assert not scan_times(write_timestamps(drive.t), time_s=drive.t, plan=offset, profile=profile).clean
    assert not scan_times(drive.timestamps(), time_s=drive.t, plan=clips, profile=profile).clean
    with pytest.raises(OutsideReleaseError):
        local_times(drive.t + 1e6, clips)
    with pytest.raises(OutsideReleaseError):
        offset_times(drive.t + 1e6, offset)


@pytest.fixture(scope="module")
def placed(drive, profile):
    return place_poses(read_poses(drive.poses(), profile=profile), time_s=drive.t, track=drive.track())


def test_poses_are_laid_on_the_track(drive, placed):
    assert len(placed) == len(drive.t)
    assert geodesic_m(placed.lat, placed.lon, drive.lat, drive.lon)[0].max() < 3.0
    forward = placed.rotation[:, :, 2]
    assert np.abs(np.angle(np.exp(1j * (np.arctan2(forward[:, 1], forward[:, 0]) - drive.yaw)))).max() < 0.02
    assert np.allclose(np.linalg.det(placed.rotation), 1.0, atol=1e-5)


def test_local_poses_share_the_frame_of_the_track(drive, placed, clips, profile, zones):
    treated = cleanse_poses(placed, zones=zones(*NOWHERE), profile=profile)
    made = local_poses(read_stored_poses(treated.content, profile=profile), clips, profile=profile)
    values = rows(made.content)
    track = to_clips(drive.track(), clips)
    for clip in track.clips:
        of = values[:, 0] == clip.number
        assert np.hypot(values[of, 5] - clip.x_m, values[of, 9] - clip.y_m).max() < 3.0
    assert not values[:, 13].any()
    report = scanned(scan_poses, made, clips, profile)
    assert report.clean, report.residual[:3]


def test_offset_poses_begin_at_zero_and_keep_displaced_distances(placed, offset, profile, zones):
    treated = cleanse_poses(placed, zones=zones(*NOWHERE), profile=profile)
    made = offset_poses(read_stored_poses(treated.content, profile=profile), offset, profile=profile)
    values = rows(made.content)
    assert np.allclose(values[0, [1, 5, 9, 13]], 0.0)
    report = scanned(scan_poses, made, offset, profile)
    assert report.clean, report.residual[:3]
    true = replace(made, content=_cell(made.content, 200, 5, b"%.3f" % (values[199, 5] + 3.0)))
    assert not scanned(scan_poses, true, offset, profile).clean


def test_poses_in_zones_go(drive, placed, zones, profile):
    zone = zones(drive.lat[3000], drive.lon[3000])
    treated = cleanse_poses(placed, zones=zone, profile=profile)
    left = read_stored_poses(treated.content, profile=profile)
    assert 0 < len(left) < len(placed)
    # Poses may lie 10 m off the track that they were laid on.
    assert not zone.test(left.lat, left.lon, extra_margin_m=10.0).inside.any()
    assert treated.treatments[0].count == len(placed) - len(left)


def test_heights_of_poses_go_and_are_found(placed, zones, profile):
    treated = cleanse_poses(placed, zones=zones(*NOWHERE), profile=profile)
    assert placed.height_m.any()
    assert not read_stored_poses(treated.content, profile=profile).height_m.any()
    assert {f.kind for f in treated.findings} == {FindingKind.ELEVATION}
    (removed,) = treated.treatments
    assert (removed.of, removed.count) == (FindingKind.ELEVATION, np.count_nonzero(placed.height_m))
    flat = replace(placed, height_m=np.zeros(len(placed)))
    assert not cleanse_poses(flat, zones=zones(*NOWHERE), profile=profile).findings


def test_poses_that_the_track_does_not_explain_are_refused(drive, profile, make_drive):
    poses = read_poses(drive.poses(), profile=profile)
    for what, arguments in {
        "do not lie": {"time_s": drive.t + 1e6, "track": drive.track()},
        "do not follow": {"time_s": drive.t, "track": make_drive(seed=99).track()},
        "one time per pose": {"time_s": drive.t[:-1], "track": drive.track()},
    }.items():
        with pytest.raises(MalformedItemError, match=what):
            place_poses(poses, **arguments)
    with pytest.raises(MalformedItemError, match="do not move"):
        place_poses(np.tile(np.eye(4)[:3], (6000, 1, 1)), time_s=drive.t, track=drive.track())


@pytest.mark.parametrize("change", [("1", "2"), ("1", "nan"), ("0", "1e9")])
def test_matrices_that_are_no_rigid_motion_are_refused(change, profile):
    content = "1 0 0 0 0 1 0 0 0 0 1 0\n".replace(*change, 1).encode()
    with pytest.raises(MalformedItemError):
        read_poses(content if change[1] != "1e9" else b"1 0 0 1e9 0 1 0 0 0 0 1 0\n", profile=profile)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(1, 10_000), start=st.integers(0, 3000))
def test_no_release_of_any_drive_holds_a_position_near_the_true_track(
    make_drive, profile, zones, seed, start
):
    from anonymize.geo.clips import plan_clips  # noqa: PLC0415 - a plan of this drive alone

    drive = make_drive(seconds=60.0, seed=seed, lat=20.0 + start / 100.0)
    oxts = read_oxts(drive.oxts(), time_s=drive.t, profile=profile)
    left = read_stored_oxts(
        cleanse_oxts(oxts, zones=zones(*NOWHERE), profile=profile).content, profile=profile
    )
    plan = plan_clips(drive.track(), key=bytes(32), context=b"x", profile=profile)
    made = local_oxts(left, plan, profile=profile)
    assert scanned(scan_oxts, made, plan, profile).clean

"""nuScenes tables through both passes: absolute poses, times, names and tokens of the truth never leave."""

import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import (
    LimitExceededError,
    MalformedItemError,
    OutsideReleaseError,
    UnknownCrsError,
    UnknownFormatError,
)
from anonymize.finding import FindingKind
from anonymize.geo.clips import plan_clips
from anonymize.geo.crs import from_wgs84, geodesic_m, to_wgs84
from anonymize.geo.headings import Heading
from anonymize.geo.local import to_clips
from anonymize.geo.offset_plan import plan_offset
from anonymize.layouts.nuscenes import ORIGINS, Tokens, map_frame, nuscenes_table
from anonymize.layouts.nuscenes_residual import scan_table
from anonymize.layouts.nuscenes_rows import cleanse_table, ego_track, read_table
from anonymize.layouts.nuscenes_unlink import companions, local_table, offset_table
from anonymize.layouts.sweeps import cleanse_sweep, is_nuscenes_sweep, read_sweep, write_sweep

KEY = hashlib.sha256(b"release").digest()
CITY = "boston-seaport"
NOWHERE = (0.5, 0.5)
BEGIN_US = 1_532_402_927_000_000
COUNT = 2400
PERIOD_US = 250_000


def token(*parts):
    return hashlib.md5(repr(parts).encode(), usedforsecurity=False).hexdigest()


def quaternion(yaw):
    return [float(np.cos(yaw / 2)), 0.0, 0.0, float(np.sin(yaw / 2))]


class Data:
    """A drive of ten minutes through a city: the thirteen tables of version 1.0."""

    def __init__(self):
        rng = np.random.default_rng(5)
        self.yaw = 0.3 + np.cumsum(rng.normal(0.0, 0.01, COUNT))
        step = 9.0 * PERIOD_US / 1e6
        self.x = 900.0 + np.cumsum(step * np.cos(self.yaw))
        self.y = 1500.0 + np.cumsum(step * np.sin(self.yaw))
        self.t = BEGIN_US + PERIOD_US * np.arange(COUNT)
        self.tables = {name: json.dumps(rows).encode() for name, rows in self._rows().items()}

    def _rows(self):
        keys = range(0, COUNT, 2)
        last = max(keys)

        def near(kind, i, step):
            return token(kind, i) if 0 <= i <= (COUNT - 1 if step == 1 else last) else ""

        pose = [
            {"token": token("pose", i), "timestamp": int(self.t[i]), "rotation": quaternion(self.yaw[i]),
             "translation": [float(self.x[i]), float(self.y[i]), 1.5]}
            for i in range(COUNT)
        ]  # fmt: skip
        data = [
            {"token": token("data", i), "sample_token": token("sample", i // 2 * 2),
             "ego_pose_token": token("pose", i),
             "calibrated_sensor_token": token("calib"), "timestamp": int(self.t[i]), "fileformat": "pcd",
             "is_key_frame": i % 2 == 0, "height": 0, "width": 0,
             "filename": f"sweeps/LIDAR_TOP/n015-2018-07-24-11-22-45+0800__LIDAR_TOP__{self.t[i]}.pcd.bin",
             "prev": near("data", i - 1, 1), "next": near("data", i + 1, 1)}
            for i in range(COUNT)
        ]  # fmt: skip
        sample = [
            {"token": token("sample", i), "timestamp": int(self.t[i]), "scene_token": token("scene", i // 80),
             "prev": near("sample", i - 2, 2), "next": near("sample", i + 2, 2)}
            for i in keys
        ]  # fmt: skip
        annotation = [
            {"token": token("ann", i), "sample_token": token("sample", i),
             "instance_token": token("inst", i // 40),
             "attribute_tokens": [token("attribute")], "visibility_token": "4",
             "translation": [float(self.x[i]) + 12.0, float(self.y[i]) - 3.0, 0.8], "size": [1.9, 4.6, 1.7],
             "rotation": quaternion(self.yaw[i]), "num_lidar_pts": 5, "num_radar_pts": 0,
             "prev": near("ann", i - 2, 2), "next": near("ann", i + 2, 2)}
            for i in keys
        ]  # fmt: skip
        return {
            "ego_pose": pose,
            "sample_data": data,
            "sample": sample,
            "sample_annotation": annotation,
            "scene": [
                {"token": token("scene", s), "name": f"scene-{61 + s:04d}", "description": "Parked truck, Mr Lee",
                 "log_token": token("log"), "nbr_samples": 40, "first_sample_token": token("sample", 80 * s),
                 "last_sample_token": token("sample", 80 * s + 78)}
                for s in range(COUNT // 80)
            ],
            "instance": [
                {"token": token("inst", n), "category_token": token("car"), "nbr_annotations": 20,
                 "first_annotation_token": token("ann", 40 * n),
                 "last_annotation_token": token("ann", 40 * n + 38)}
                for n in range(COUNT // 40)
            ],
            "log": [
                {"token": token("log"), "logfile": "n015-2018-07-24-11-22-45+0800", "vehicle": "n015",
                 "date_captured": "2018-07-24", "location": CITY}
            ],
            "calibrated_sensor": [
                {"token": token("calib"), "sensor_token": token("lidar"), "translation": [0.94, 0.0, 1.84],
                 "rotation": [0.70779551, -0.00649224, 0.01064621, -0.70630731],
                 "camera_intrinsic": []}
            ],
            "sensor": [{"token": token("lidar"), "channel": "LIDAR_TOP", "modality": "lidar"}],
            "visibility": [{"token": "4", "level": "v80-100", "description": "visibility of whole object"}],
            "category": [{"token": token("car"), "name": "vehicle.car", "description": "A car of a person"}],
            "attribute": [{"token": token("attribute"), "name": "vehicle.parked", "description": "Parked"}],
            "map": [
                {"token": token("map"), "log_tokens": [token("log")], "category": "semantic_prior",
                 "filename": "maps/53992ee3023e5494b90c316c183be829.png"}
            ],
        }  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return Data()


@pytest.fixture(scope="module")
def read(data, profile):
    return {name: read_table(content, profile=profile) for name, content in data.tables.items()}


@pytest.fixture(scope="module")
def left(read, zones, profile):
    """What the first pass leaves of every table."""
    made = {}
    for name, table in read.items():
        treated = cleanse_table(table, zones=zones(*NOWHERE), location=CITY, profile=profile)
        made[name] = read_table(treated.content, profile=profile)
    return made


@pytest.fixture(scope="module")
def track(left):
    return ego_track(left["ego_pose"], location=CITY)


@pytest.fixture(scope="module")
def clips(track, profile):
    return plan_clips(track, key=KEY, context=b"r", profile=profile)


@pytest.fixture(scope="module")
def offset(track, profile):
    return plan_offset(track, key=KEY, context=b"r", profile=profile)


@pytest.fixture(scope="module")
def tokens():
    return Tokens(KEY, b"r")


@pytest.fixture(scope="module")
def known(left):
    return companions(left["sample"], left["instance"])


@pytest.fixture(scope="module")
def local(left, clips, tokens, known, profile):
    made = {}
    for name, table in left.items():
        if name not in {"scene", "instance"}:
            made[name] = local_table(table, clips, tokens=tokens, location=CITY, profile=profile, known=known)
    return made


@pytest.fixture(scope="module")
def moved(left, offset, tokens, known, profile):
    return {
        name: offset_table(table, offset, tokens=tokens, location=CITY, profile=profile, known=known)
        for name, table in left.items()
    }


def scanned(name, made, plan, profile, content=None):
    return scan_table(
        made.content if content is None else content,
        name="category" if name == "attribute" else name,
        source=made.source.rows,
        time_s=made.time_s,
        plan=plan,
        location=CITY,
        profile=profile,
    )


def rows(made):
    return json.loads(made.content)


def test_every_table_is_known_by_its_members(data):
    for name, content in data.tables.items():
        assert nuscenes_table(json.loads(content)) == ("category" if name == "attribute" else name)


@pytest.mark.parametrize(
    "document", [[], {}, 3, "token", [1, 2], [{"name": "x"}], {"type": "FeatureCollection"}]
)
def test_other_json_is_nothing_of_nuscenes(document):
    assert nuscenes_table(document) is None


REFUSED = {
    "map expansion": ({"polygon": [], "line": [], "node": [], "road_segment": []}, "map expansions"),
    "CAN bus": ([{"utime": 1531883530440378, "pos": [1.0, 2.0, 0.0]}], "CAN bus"),
    "lidar segmentation": (
        [{"token": "a", "sample_data_token": "a", "filename": "lidarseg/a.bin"}],
        "unknown kind",
    ),
    "nuImages": ([{"token": "a", "mask": {}, "bbox": [0, 1, 2, 3]}], "unknown kind"),
    "poses within an object": (
        {"results": [{"sample_token": "a", "translation": [1, 2, 3]}]},
        "within an object",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_of_nuscenes_and_cannot_be_treated_is_refused(name):
    document, message = REFUSED[name]
    with pytest.raises(UnknownFormatError, match=message):
        nuscenes_table(document)


def test_a_table_of_which_a_row_lacks_a_member_is_refused(data):
    poses = json.loads(data.tables["ego_pose"])
    del poses[5]["rotation"]
    with pytest.raises(UnknownFormatError, match="row 5"):
        nuscenes_table(poses)
    poses[5] = 7
    with pytest.raises(UnknownFormatError, match="row 5"):
        nuscenes_table(poses)


BAD = {
    "translation": [1e6, 0.0, 0.0],
    "rotation": [2.0, 0.0, 0.0, 0.0],
    "timestamp": 17,
    "token": "42.3368, -71.0578",
}


@pytest.mark.parametrize("member", BAD)
def test_impossible_members_are_named_without_their_value(member, data, profile):
    poses = json.loads(data.tables["ego_pose"])
    poses[3][member] = BAD[member]
    with pytest.raises(MalformedItemError, match=f"row 3 of ego_pose: {member}") as caught:
        read_table(json.dumps(poses).encode(), profile=profile)
    assert "42.33" not in str(caught.value)


IMPLAUSIBLE = {
    "log": ("location", "Mr Lee's home"),
    "category": ("name", "Mr Lee"),
    "calibrated_sensor": ("translation", [900.0, 1500.0, 0.0]),
    "map": ("category", "42.33"),
    "sample_annotation": ("size", [-1.0, 2.0, 3.0]),
    "ego_pose": ("rotation", [10**200, 0, 0, 0]),
}


@pytest.mark.parametrize("name", IMPLAUSIBLE)
def test_members_that_might_hold_a_name_or_a_place_are_refused(name, data, profile):
    member, value = IMPLAUSIBLE[name]
    table = json.loads(data.tables[name])
    table[0][member] = value
    with pytest.raises(MalformedItemError, match=f"row 0 of {name}: {member}"):
        read_table(json.dumps(table).encode(), profile=profile)


@settings(deadline=None, max_examples=60)
@given(
    document=st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["token", "timestamp", "rotation", "translation", "x"]), inner)
        ),
        max_leaves=12,
    )
)
def test_whatever_json_comes_it_is_a_table_nothing_or_refused(document):
    try:
        assert nuscenes_table(document) in {None, "ego_pose"}
    except UnknownFormatError:
        assert isinstance(document, list | dict)


def test_counts_are_limited_and_members_beyond_the_schema_go(data, zones, profile):
    with pytest.raises(LimitExceededError):
        read_table(data.tables["ego_pose"], profile=replace(profile, max_points=10))
    logs = json.loads(data.tables["log"])
    logs[0]["driver"] = "Mr Lee"
    table = read_table(json.dumps(logs).encode(), profile=profile)
    treated = cleanse_table(table, zones=zones(*NOWHERE), location=None, profile=profile)
    assert b"Lee" not in treated.content
    assert FindingKind.UNLISTED_FIELD in {f.kind for f in treated.findings}


@pytest.mark.parametrize("location", ORIGINS)
def test_the_origin_of_a_map_is_where_it_is_published(location):
    lat, lon = to_wgs84([0.0], [0.0], map_frame(f"nuscenes:{location}"))
    assert (lat[0], lon[0]) == pytest.approx(ORIGINS[location], abs=1e-9)


@pytest.mark.parametrize("location", [None, "", "beijing", "EPSG:4326"])
def test_an_unknown_location_stops_the_item(location, read):
    with pytest.raises(UnknownCrsError):
        ego_track(read["ego_pose"], location=location)


def test_ego_poses_give_the_track(data, read):
    track = ego_track(read["ego_pose"], location=CITY)
    east, north = from_wgs84(track.lat, track.lon, map_frame(CITY))
    assert np.abs(east - data.x).max() < 1e-3
    assert np.abs(north - data.y).max() < 1e-3
    assert np.allclose(track.time_s, data.t / 1e6)
    with pytest.raises(UnknownFormatError):
        ego_track(read["sample"], location=CITY)


def test_poses_and_annotations_in_zones_go(data, read, zones, profile):
    lat, lon = to_wgs84([data.x[1000]], [data.y[1000]], map_frame(CITY))
    zone = zones(float(lat[0]), float(lon[0]))
    for name in ("ego_pose", "sample_annotation"):
        treated = cleanse_table(read[name], zones=zone, location=CITY, profile=profile)
        after = json.loads(treated.content)
        assert 0 < len(after) < len(read[name].rows)
        at = np.array([r["translation"] for r in after])
        away = np.hypot(at[:, 0] - data.x[1000], at[:, 1] - data.y[1000])
        assert away.min() > 60.0 + 20.0 + 39.0
        assert not at[:, 2].any()
        assert FindingKind.RESTRICTED_ZONE in {f.kind for f in treated.findings}


def test_names_dates_and_descriptions_go_in_the_first_pass(read, zones, profile):
    for name in ("log", "scene", "category", "visibility"):
        content = cleanse_table(read[name], zones=zones(*NOWHERE), location=None, profile=profile).content
        for word in (b"n015", b"2018-07-24", b"Lee", b"scene-0061", b"person"):
            assert word not in content
    kept = json.loads(cleanse_table(
        read["calibrated_sensor"], zones=zones(*NOWHERE), location=None, profile=profile).content)  # fmt: skip
    assert kept[0]["translation"] == [0.94, 0.0, 1.84]


def test_local_poses_lie_where_the_track_does(local, track, clips):
    made = rows(local["ego_pose"])
    for clip in to_clips(track, clips).clips:
        of = [r for r in made if r["clip"] == clip.number]
        at = np.array([r["translation"] for r in of])
        assert np.abs(at[:, 0] - clip.x_m).max() < 0.01
        assert np.abs(at[:, 1] - clip.y_m).max() < 0.01
        assert np.allclose([r["timestamp"] / 1e6 for r in of], clip.t_s, atol=1e-5)
        yaw = 2 * np.arctan2([r["rotation"][3] for r in of], [r["rotation"][0] for r in of])
        way = np.arctan2(np.diff(clip.y_m), np.diff(clip.x_m))
        assert np.abs(np.angle(np.exp(1j * (way - yaw[1:])))).max() < 0.02


def test_links_of_released_rows_agree_within_a_clip_and_reach_no_other(local):
    samples = {r["token"]: r for r in rows(local["sample"])}
    poses = {r["token"]: r for r in rows(local["ego_pose"])}
    data = rows(local["sample_data"])
    by_token = {r["token"]: r for r in data}
    joined = 0
    for row in data:
        assert poses[row["ego_pose_token"]]["timestamp"] == row["timestamp"]
        assert poses[row["ego_pose_token"]]["clip"] == row["clip"]
        if row["sample_token"] in samples:
            joined += 1
            assert samples[row["sample_token"]]["clip"] == row["clip"]
        for link in ("prev", "next"):
            assert not row[link] or by_token[row[link]]["clip"] == row["clip"]
        assert row["filename"].endswith(".pcd.bin")
    assert joined > 0.9 * len(data)
    scenes = {}
    for row in samples.values():
        scenes.setdefault(row["scene_token"], set()).add(row["clip"])
    assert all(len(clips) == 1 for clips in scenes.values())
    assert {r["calibrated_sensor_token"] for r in data} == {rows(local["calibrated_sensor"])[0]["token"]}
    assert rows(local["calibrated_sensor"])[0]["sensor_token"] == rows(local["sensor"])[0]["token"]


def test_local_annotations_keep_their_place_beside_the_car_and_name_their_category(local):
    poses = {(r["clip"], r["timestamp"]): r for r in rows(local["ego_pose"])}
    samples = {r["token"]: r for r in rows(local["sample"])}
    category = rows(local["category"])[0]["token"]
    for row in rows(local["sample_annotation"]):
        sample = samples[row["sample_token"]]
        car = poses[row["clip"], sample["timestamp"]]
        away = np.subtract(row["translation"], car["translation"])[:2]
        assert np.hypot(*away) == pytest.approx(np.hypot(12.0, 3.0), abs=0.01)
        assert row["category_token"] == category


def test_tables_that_join_clips_stay_behind_in_local(left, clips, tokens, profile):
    for name in ("scene", "instance"):
        with pytest.raises(OutsideReleaseError, match="joins clips"):
            local_table(left[name], clips, tokens=tokens, location=CITY, profile=profile)


def test_annotations_without_their_samples_are_refused(left, clips, offset, tokens, profile):
    for release, plan in ((local_table, clips), (offset_table, offset)):
        with pytest.raises(UnknownFormatError, match="no samples"):
            release(left["sample_annotation"], plan, tokens=tokens, location=CITY, profile=profile)
    samples = companions(left["sample"])
    with pytest.raises(UnknownFormatError, match="no category"):
        local_table(
            left["sample_annotation"], clips, tokens=tokens, location=CITY, profile=profile, known=samples
        )


def test_offset_poses_are_displaced_in_the_frame_of_the_map(moved, offset, profile):
    made = moved["ego_pose"]
    at = np.array([r["translation"] for r in rows(made)])
    true = np.array([r["translation"] for r in made.source.rows])
    want = offset.offset.displace(*to_wgs84(true[:, 0], true[:, 1], map_frame(CITY)))
    shown = to_wgs84(at[:, 0], at[:, 1], map_frame(CITY))
    assert geodesic_m(*want, *shown)[0].max() < 0.01
    assert made.evidence.min_shift_m >= profile.offset_min_shift_m
    shift = np.array([r["timestamp"] for r in rows(made)]) / 1e6 - made.time_s
    assert np.allclose(shift, offset.shift_s, atol=1e-5)
    assert len(at) < COUNT
    tokens_of = {r["token"] for r in rows(moved["ego_pose"])}
    assert {r["ego_pose_token"] for r in rows(moved["sample_data"])} == tokens_of


def test_every_released_table_passes_the_scan(local, moved, clips, offset, profile):
    for tables, plan in ((local, clips), (moved, offset)):
        for name, made in tables.items():
            report = scanned(name, made, plan, profile)
            assert report.clean, (name, report.residual[:3])


def test_no_token_name_or_time_of_the_truth_is_in_any_released_table(data, local, moved):
    true = {t for c in data.tables.values() for t in re.findall(rb"[0-9a-f]{32}", c)}
    for made in [*local.values(), *moved.values()]:
        shown = set(re.findall(rb"[0-9a-f]{32}", made.content))
        assert not true & shown
        for word in (b"n015", b"2018-07-24", b"scene-00", b"Lee", b"15324029"):
            assert word not in made.content


def test_two_releases_share_no_token_and_one_is_built_the_same_twice(left, clips, profile, local):
    other = local_table(
        left["ego_pose"], clips, tokens=Tokens(bytes(32), b"r"), location=CITY, profile=profile
    )
    assert not {r["token"] for r in rows(other)} & {r["token"] for r in rows(local["ego_pose"])}
    again = local_table(left["ego_pose"], clips, tokens=Tokens(KEY, b"r"), location=CITY, profile=profile)
    assert again.content == local["ego_pose"].content
    assert "secret" in repr(Tokens(KEY, b"r"))


def _spoil(made, change):
    document = rows(made)
    change(document[0], made.source.rows[0])
    return json.dumps(document).encode()


SPOILS = {
    "true token": ("ego_pose", lambda r, s: r.update(token=s["token"])),
    "true time": ("sample", lambda r, s: r.update(timestamp=s["timestamp"])),
    "true place": ("ego_pose", lambda r, s: r.update(translation=s["translation"])),
    "file name": ("sample_data", lambda r, s: r.update(filename=s["filename"])),
    "height": ("sample_annotation", lambda r, s: r.update(translation=[*r["translation"][:2], s["size"][0]])),
    "member": ("sensor", lambda r, s: r.update(serial=s["channel"])),
    "vehicle": ("log", lambda r, s: r.update(vehicle=f"n{len(s)}")),
}


@pytest.mark.parametrize("name", SPOILS)
def test_the_scan_finds_what_was_left(name, local, moved, clips, offset, profile):
    table, change = SPOILS[name]
    for tables, plan in ((local, clips), (moved, offset)):
        content = _spoil(tables[table], change)
        assert not scanned(table, tables[table], plan, profile, content).clean
    assert not scanned(table, local[table], clips, profile, b"not json").clean
    assert not scanned(table, local[table], clips, profile, b"[]").clean


def sweep(n=4000, seed=1):
    rng = np.random.default_rng(seed)
    points = np.empty((n, 5), np.float32)
    points[:, :2] = rng.uniform(-60, 60, (n, 2))
    points[:, 2] = rng.uniform(-2, 3, n)
    points[:, 3] = rng.integers(0, 256, n)
    points[:, 4] = rng.integers(0, 32, n)
    return points


def test_sweeps_are_known_and_told_from_kittis(kitti_object):
    assert is_nuscenes_sweep(write_sweep(sweep()))
    for path in (kitti_object / "velodyne").glob("*.bin"):
        content = path.read_bytes()
        assert not is_nuscenes_sweep(content[: len(content) // 80 * 80])


def test_sweeps_that_are_damaged_are_none(point_profile):
    content = write_sweep(sweep())
    for bad in (
        b"",
        content[:-1],
        bytes(200),
        content[:-4] + b"\x00\x00\xc0\x7f",
        content[:-4] + b"\x00\x00\x00\x3f",
    ):
        assert not is_nuscenes_sweep(bad)
    with pytest.raises(MalformedItemError):
        read_sweep(content[:-1], profile=point_profile)
    with pytest.raises(MalformedItemError, match="point 3999"):
        read_sweep(content[:-4] + b"\x00\x00\xc0\x7f", profile=point_profile)
    with pytest.raises(LimitExceededError):
        read_sweep(content, profile=replace(point_profile, max_points=10))


def test_points_of_a_sweep_in_a_zone_go_with_y_forward(zones, point_profile):
    lat, lon = 42.34, -71.05
    points = sweep()
    north = zones(lat + 70.0 / 111_080.0, lon, half_m=30.0)
    cut = cleanse_sweep(
        points,
        zones=north,
        lat=lat,
        lon=lon,
        heading=Heading(course_deg=0.0, spread_deg=0.0),
        profile=point_profile,
    )
    gone = len(points) - len(cut.points)
    assert gone > 50
    assert cut.points[:, 1].max() < 35.0
    clear = cleanse_sweep(
        points, zones=zones(*NOWHERE), lat=lat, lon=lon, heading=None, profile=point_profile
    )
    assert write_sweep(clear.points) == write_sweep(points)
    assert read_sweep(write_sweep(points), profile=point_profile).shape == points.shape
    bare = replace(point_profile, keep_attributes=())
    plain = cleanse_sweep(points, zones=zones(*NOWHERE), lat=lat, lon=lon, heading=None, profile=bare)
    assert not plain.points[:, 3:].any()

"""Released nuScenes tables name no row that stays behind."""

import hashlib
import json

import numpy as np
import pytest

from anonymize.errors import MalformedItemError
from anonymize.finding import FindingKind
from anonymize.geo.clips import plan_clips
from anonymize.geo.headings import Heading
from anonymize.geo.offset_plan import plan_offset
from anonymize.layouts.nuscenes import Tokens
from anonymize.layouts.nuscenes_links import JOINS_CLIPS, companions_under
from anonymize.layouts.nuscenes_rows import ego_track, read_table
from anonymize.layouts.nuscenes_unlink import local_table, offset_table
from anonymize.layouts.sweeps import cleanse_sweep, write_sweep
from anonymize.layouts.sweeps_residual import scan_sweep

KEY = hashlib.sha256(b"release").digest()
CITY = "boston-seaport"
NORTH = Heading(course_deg=0.0, spread_deg=0.0)
BEGIN_US = 1_532_402_927_000_000
COUNT = 1600
"""Poses, one every quarter of a second; every other one is a sample's, taken 0.1 s after it."""

LINKS = {
    "sample_token": "sample",
    "first_sample_token": "sample",
    "last_sample_token": "sample",
    "ego_pose_token": "ego_pose",
    "calibrated_sensor_token": "calibrated_sensor",
    "sensor_token": "sensor",
    "scene_token": "scene",
    "log_token": "log",
    "instance_token": "instance",
    "first_annotation_token": "sample_annotation",
    "last_annotation_token": "sample_annotation",
    "category_token": "category",
    "visibility_token": "visibility",
}


def documents():
    x, t = 300.0 + 2.5 * np.arange(COUNT), BEGIN_US + 250_000 * np.arange(COUNT)
    turn = [1.0, 0.0, 0.0, 0.0]
    keys = range(0, COUNT, 2)
    pose = [
        {"token": f"pose-{i}", "timestamp": int(t[i]), "rotation": turn, "translation": [float(x[i]), 900.0, 0.0]}
        for i in range(COUNT)
    ]  # fmt: skip
    return {
        "ego_pose": pose,
        "sample": [
            {"token": f"sample-{i}", "timestamp": int(t[i]) + 100_000, "scene_token": f"scene-{i // 100}",
             "prev": "", "next": ""}
            for i in keys
        ],
        "sample_data": [
            {"token": f"data-{i}", "sample_token": f"sample-{i // 2 * 2}", "ego_pose_token": f"pose-{i}",
             "calibrated_sensor_token": "calib", "timestamp": int(t[i]), "fileformat": "pcd",
             "is_key_frame": i % 2 == 0, "height": 0, "width": 0, "filename": f"sweeps/LIDAR_TOP/{i}.pcd.bin",
             "prev": "", "next": ""}
            for i in range(COUNT)
        ],
        "sample_annotation": [
            {"token": f"ann-{i}", "sample_token": f"sample-{i}", "instance_token": f"inst-{i // 100}",
             "attribute_tokens": ["attribute", "lost"], "visibility_token": "",
             "translation": [float(x[i]), 905.0, 0.0], "size": [1.9, 4.6, 1.7], "rotation": turn,
             "num_lidar_pts": 1, "num_radar_pts": 0, "prev": "", "next": ""}
            for i in keys
        ],
        "scene": [
            {"token": f"scene-{s}", "name": "", "description": "", "log_token": "log", "nbr_samples": 50,
             "first_sample_token": f"sample-{100 * s}", "last_sample_token": f"sample-{100 * s + 98}"}
            for s in range(COUNT // 100)
        ],
        "instance": [
            {"token": f"inst-{s}", "category_token": "car", "nbr_annotations": 50,
             "first_annotation_token": f"ann-{100 * s}", "last_annotation_token": f"ann-{100 * s + 98}"}
            for s in range(COUNT // 100)
        ],
        "log": [{"token": "log", "logfile": "", "vehicle": "", "date_captured": "", "location": CITY}],
        "calibrated_sensor": [
            {"token": "calib", "sensor_token": "lidar", "translation": [0.9, 0.0, 1.8], "rotation": turn,
             "camera_intrinsic": []}
        ],
        "sensor": [{"token": "lidar", "channel": "LIDAR_TOP", "modality": "lidar"}],
        "category": [{"token": "car", "name": "vehicle.car", "description": ""}],
        "attribute": [{"token": "attribute", "name": "vehicle.moving", "description": ""}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def tables(profile):
    return {n: read_table(json.dumps(d).encode(), profile=profile) for n, d in documents().items()}


@pytest.fixture(scope="module", params=["LOCAL", "OFFSET"])
def released(request, tables, profile):
    track = ego_track(tables["ego_pose"], location=CITY)
    make, planned = (local_table, plan_clips) if request.param == "LOCAL" else (offset_table, plan_offset)
    plan = planned(track, key=KEY, context=b"r", profile=profile)
    known = companions_under(tables.values(), plan)
    return request.param, {
        name: json.loads(
            make(table, plan, tokens=Tokens(KEY, b"r"), location=CITY, profile=profile, known=known).content
        )
        for name, table in tables.items()
        if request.param == "OFFSET" or name not in JOINS_CLIPS
    }


def test_every_link_names_a_row_that_leaves_or_is_empty(released):
    mode, made = released
    tokens = {name: {row["token"] for row in rows} for name, rows in made.items()}
    tokens["category"] |= tokens["attribute"]
    seen, empty = set(), set()
    for name, rows in made.items():
        for row in rows:
            for member, table in LINKS.items():
                if member not in row or (mode == "LOCAL" and table in JOINS_CLIPS):
                    continue
                seen.add(member)
                if not row[member]:
                    empty.add((name, member))
                assert not row[member] or row[member] in tokens[table], (name, member)
            for token in row.get("attribute_tokens", ()):
                assert token in tokens["category"]
    expected = set(LINKS) - {"visibility_token"}
    if mode == "LOCAL":
        gone = {"scene_token", "instance_token", "log_token"}
        expected -= {m for m in expected if m.startswith(("first_", "last_"))} | gone
    assert expected <= seen
    # Rows that are left behind by what they need; sweeps may outlive their sample.
    assert not any(not row["ego_pose_token"] for row in made["sample_data"])
    assert all(row["sample_token"] for row in made["sample_data"] if row["is_key_frame"])
    assert ("sample_data", "ego_pose_token") not in empty
    if mode == "OFFSET":
        assert ("scene", "first_sample_token") in empty


def test_a_sample_that_stays_behind_takes_its_key_frames_along(tables, profile):
    """The last pose that leaves is a key frame's; its sample was taken 0.1 s later, which does not."""
    track = ego_track(tables["ego_pose"], location=CITY)
    dropped = 0
    for number in range(12):
        key = hashlib.sha256(bytes([number])).digest()
        plan = plan_offset(track, key=key, context=b"r", profile=profile)
        known = companions_under(tables.values(), plan)
        spans = plan.span_of(tables["sample_data"].times())
        kept = {tables["sample_data"].rows[i]["token"] for i in np.flatnonzero(spans >= 0)}
        left = kept - set(known.present["sample_data"])
        dropped += len(left)
        assert all(int(token.split("-")[1]) % 2 == 0 for token in left)
    assert dropped > 0


def test_a_token_that_comes_twice_is_refused(profile):
    rows = documents()["ego_pose"][:2]
    rows[1]["token"] = rows[0]["token"]
    with pytest.raises(MalformedItemError, match="row 1 of ego_pose: its token"):
        read_table(json.dumps(rows).encode(), profile=profile)


def sweep(n=4000):
    rng = np.random.default_rng(1)
    points = np.empty((n, 5), np.float32)
    points[:, :2] = rng.uniform(-60, 60, (n, 2))
    points[:, 2], points[:, 3], points[:, 4] = 0.0, rng.integers(0, 256, n), rng.integers(0, 32, n)
    return points


def test_the_scan_of_sweeps_finds_what_a_pass_left(zones, point_profile):
    lat, lon = 42.34, -71.05
    east = zones(lat, lon + 70.0 / (111_320.0 * np.cos(np.radians(lat))), half_m=30.0)
    at = {"zones": east, "lat": lat, "lon": lon, "heading": NORTH, "profile": point_profile}
    clean = cleanse_sweep(sweep(), **at).points
    assert len(clean) < 4000
    assert scan_sweep(write_sweep(clean), **at).clean
    found = scan_sweep(write_sweep(sweep()), **at).residual
    assert {f.kind for f in found if f.kind is not FindingKind.UNLISTED_FIELD} == {
        FindingKind.RESTRICTED_ZONE
    }
    far = clean.copy()
    far[0, 0] = -point_profile.max_range_m - 1.0
    assert FindingKind.POSITION in {f.kind for f in scan_sweep(write_sweep(far), **at).residual}
    ringed = clean.copy()
    ringed[:, 3:] = 7.0
    listed = {f.where.path for f in scan_sweep(write_sweep(ringed), **at).residual}
    assert listed == {"intensity", "ring"} - set(point_profile.keep_attributes)
    with pytest.raises(MalformedItemError):
        scan_sweep(write_sweep(clean)[:-1], **at)

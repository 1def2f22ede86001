"""A nuScenes folder through the gate: confirmed by its log, cut in zones, released in clips or displaced."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
import yaml

import policies
from anonymize.geo.crs import geodesic_m, to_wgs84
from anonymize.geo.secrecy_processor import GROUP, installed_processor
from anonymize.layouts.nuscenes import CRS_PREFIX, FRAME_ERROR_M, ORIGINS, map_frame
from gateway.errors import DeniedError
from gateway.flow.build import load_built
from gateway.flow.cleanse import load_cleansed, open_treated
from gateway.flow.dossier import recording_summary
from gateway.flow.gate import Gate
from gateway.flow.recording import Built, DataClass, ItemState, Level, ReleaseMode
from gateway.flow.records import ItemRow
from gateway.flow.serve import read_item
from gateway.people.zones import install_zones
from gateway.vault.store import Context
from nuscenes_folder import (
    CITY,
    CRS,
    LOGFILE,
    SECONDS,
    SPEED,
    Folder,
    file_of,
    folder,
    jpeg,
    place,
    sweep,
    token,
)
from simulators import (
    PURPOSE,
    START,
    House,
    candidate,
    cleanse,
    grant,
    manifest_of,
    png,
    publish,
    zone_file,
)
from unsafe_secrecy_processor import ALLOWED, ATTESTATION, UnsafeTestProcessor

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
SHORT = 40
"""Seconds of a drive that one clip nearly holds."""

BETWEEN_CLIPS = {"scene", "instance"}
TRUE_WORDS = (LOGFILE.encode(), b"n015", b"2018-07-24", b"Mr Lee", b"scene-00")


def fates(gate: Gate, recording: str) -> dict[str, tuple[str, str, str]]:
    """State, reason and detail of every item, by name."""
    return {
        item["name"]: (item["state"], item.get("reason", ""), item.get("detail", ""))
        for item in recording_summary(gate, recording)["items"]
    }


@dataclass(frozen=True)
class Released:
    """What a release holds: its tables by name, and its files by theirs."""

    built: Built
    tables: dict[str, list[dict]]
    files: dict[str, bytes]

    def tokens(self) -> dict[str, set[str]]:
        return {name: {row["token"] for row in rows} for name, rows in self.tables.items()}


def opened(gate: Gate, release: str) -> Released:
    with gate.database.read() as session:
        built = load_built(gate, session, release)
    files, tables = {}, {}
    for item in built.items:
        context = Context(owner=release, object=item.name, role="release")
        files[item.name] = b"".join(gate.vault.open(item.seal, context).chunks())
        if item.name.endswith(".json"):
            tables[item.manifest_entry()["nuscenes"]["table"]] = json.loads(files[item.name])
    return Released(built=built, tables=tables, files=files)


@dataclass(frozen=True)
class World:
    gate: Gate
    house: House
    folder: Folder
    recording: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One recording, cleansed once; candidates are built of it and none is published."""
    house = House(home=tmp_path_factory.mktemp("nuscenes") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        made = folder(root="drive/")
        yield World(gate, house, made, cleanse(gate, made.files(), crs=CRS))


@pytest.fixture(scope="module")
def local(world: World) -> Released:
    return opened(world.gate, candidate(world.gate, world.house, world.recording))


@pytest.fixture(scope="module")
def moved(world: World) -> Released:
    return opened(world.gate, candidate(world.gate, world.house, world.recording, mode=ReleaseMode.OFFSET))


def test_everything_is_cleansed(world: World) -> None:
    assert {(state, reason) for state, reason, _ in fates(world.gate, world.recording).values()} == {
        (ItemState.CLEANSED, "")
    }


def test_clips_hold_all_tables_but_those_that_join_them(world: World, local: Released) -> None:
    assert set(local.tables) == set(world.folder.tables) - BETWEEN_CLIPS
    assert set(local.built.left_out.values()) <= {"outside_clips", "thinned"}
    poses = local.tables["ego_pose"]
    # Clips leave gaps between them; most of the drive is in one.
    assert len(poses) > 2 * len(world.folder.tables["sample"]) / 2
    at = {}
    for row in poses:
        at.setdefault(row["clip"], []).append((row["timestamp"] / 1e6, *row["translation"]))
    for rows in at.values():
        way = np.array(sorted(rows))
        assert way[0, 0] >= 0.0
        assert not way[:, 3].any()
        steps = np.hypot(*np.diff(way[:, 1:3], axis=0).T)
        assert steps == pytest.approx(SPEED * np.diff(way[:, 0]), abs=0.02)
        assert np.hypot(*(way[-1, 1:3] - way[0, 1:3])) <= world.gate.profile.profile.tracks.local_clip_m
    classes = {
        i.manifest_entry()["nuscenes"]["table"]: i for i in local.built.items if i.name.endswith(".json")
    }
    assert classes["ego_pose"].data_class is DataClass.TRAJ_REL
    assert classes["sample_annotation"].data_class is DataClass.TRAJ_REL
    assert classes["log"].level is Level.S1_PROCESSED
    assert local.tables["log"][0]["location"] == ""


def test_offset_holds_all_tables_displaced(world: World, moved: Released) -> None:
    assert set(moved.tables) == set(world.folder.tables)
    profile = world.gate.profile.profile.tracks
    poses = moved.tables["ego_pose"]
    # Of 4.8 km at most 3 km are trimmed.
    assert 1800.0 / SPEED * 4 - 4 <= len(poses) < len(world.folder.tables["ego_pose"])
    shown = np.array([row["translation"] for row in poses])
    true = np.array([row["translation"] for row in world.folder.tables["ego_pose"]])
    frame = map_frame(CITY)
    for at in shown[:: len(shown) // 10]:
        away = geodesic_m(
            *to_wgs84([at[0]] * len(true), [at[1]] * len(true), frame), *to_wgs84(*true[:, :2].T, frame)
        )
        assert away[0].min() > 0.0
    # Whatever stretch is kept, its begin was moved: the shift of the place of each time is at least the profile's.
    begin = min(row["timestamp"] for row in poses)
    assert abs(begin / 1e6 - START.timestamp()) > 29 * 86400
    (item,) = (i for i in moved.built.items if i.manifest_entry().get("nuscenes") == {"table": "ego_pose"})
    assert item.payload["facts"]["min_shift_m"] >= profile.offset_min_shift_m
    assert item.data_class is DataClass.TRAJ_ABS
    assert item.level is Level.S3_SENSITIVE_GEO
    assert moved.tables["log"][0]["location"] == CITY


@pytest.mark.parametrize("mode", ["local", "moved"])
def test_every_link_names_a_released_row_or_is_empty(mode: str, request: pytest.FixtureRequest) -> None:
    made: Released = request.getfixturevalue(mode)
    tokens = made.tokens()
    tokens["category"] |= tokens["attribute"]
    followed = 0
    for name, rows in made.tables.items():
        for row in rows:
            for member, table in LINKS.items():
                if row.get(member) and not (mode == "local" and table in BETWEEN_CLIPS):
                    assert row[member] in tokens[table], (name, member)
                    followed += 1
            for link in ("prev", "next"):
                assert not row.get(link) or row[link] in tokens[name]
            for each in row.get("attribute_tokens", ()):
                assert each in tokens["category"]
            for each in row.get("log_tokens", ()):
                assert each in tokens["log"]
    assert followed > 1000
    # What a row says nothing without is there.
    assert all(row["ego_pose_token"] and row["sample_token"] for row in made.tables["sample_data"])
    assert all(row["sample_token"] for row in made.tables["sample_annotation"])
    if mode == "moved":
        assert all(row["scene_token"] for row in made.tables["sample"])
        assert any(not row["first_sample_token"] for row in made.tables["scene"])
        assert any(row["first_sample_token"] for row in made.tables["scene"])


@pytest.mark.parametrize("mode", ["local", "moved"])
def test_file_names_are_those_of_the_release(mode: str, request: pytest.FixtureRequest) -> None:
    made: Released = request.getfixturevalue(mode)
    named = {row["filename"]: row for row in made.tables["sample_data"] if row["filename"]}
    others = {name for name in made.files if not name.endswith(".json")}
    assert set(named) == others
    # One sweep in two is kept, so of either pair in FILED; pictures of both seconds.
    assert sorted(name.partition(".")[2] for name in others).count("pcd.bin") >= 1
    assert sorted(name.partition(".")[2] for name in others).count("jpg") >= 2
    poses = {row["token"]: row for row in made.tables["ego_pose"]}
    for item in made.built.items:
        if item.name in others:
            row, placed = named[item.name], item.payload["placed"]
            if mode == "local":
                assert row["clip"] == placed["clip"]["number"]
                assert row["timestamp"] / 1e6 == pytest.approx(placed["clip"]["t_s"], abs=0.001)
            else:
                assert "captured_at" in placed
            assert poses[row["ego_pose_token"]]["timestamp"] == row["timestamp"]


@pytest.mark.parametrize("mode", ["local", "moved"])
def test_nothing_of_the_truth_is_in_any_file(mode: str, world: World, request: pytest.FixtureRequest) -> None:
    made: Released = request.getfixturevalue(mode)
    true = {t for content in world.folder.files().values() for t in re.findall(rb"[0-9a-f]{32}", content)}
    stamps = {str(row["timestamp"]).encode() for row in world.folder.tables["ego_pose"]}
    for name, content in made.files.items():
        assert not true & set(re.findall(rb"[0-9a-f]{32}", content)), name
        if name.endswith(".json"):
            assert not stamps & set(re.findall(rb"\d{16}", content))
            for word in TRUE_WORDS:
                assert word not in content, (name, word)
    for table in ("ego_pose", "sample_annotation"):
        assert not any(row["translation"][2] for row in made.tables[table])


def test_two_releases_share_no_token_and_no_name(world: World, moved: Released) -> None:
    other = opened(world.gate, candidate(world.gate, world.house, world.recording, mode=ReleaseMode.OFFSET))
    assert not set(moved.files) & set(other.files)
    mine, theirs = ({t for of in each.tokens().values() for t in of} for each in (moved, other))
    assert len(mine) > 1000
    assert not mine & theirs


def test_a_recipient_gets_it(sqlite_gate: Gate, sqlite_house: House) -> None:
    recording = cleanse(sqlite_gate, tables_only().files(), crs=CRS)
    release = candidate(sqlite_gate, sqlite_house, recording)
    publish(sqlite_gate, sqlite_house, release)
    grant(sqlite_gate, sqlite_house, release)
    engineer = sqlite_house.people["engineer"].actor
    built = opened(sqlite_gate, release)
    name = next(i.name for i in built.built.items if i.manifest_entry()["nuscenes"]["table"] == "sample_data")
    reading = read_item(sqlite_gate, release, name, actor=engineer, purpose=PURPOSE, wanted=None)
    rows = json.loads(b"".join(reading.chunks))
    # No file was delivered: no row names one.
    assert {row["filename"] for row in rows} == {""}


def restrict(gate: Gate, house: House, second: float, half_m: float = 60.0) -> float:
    """A zone about where the car is at a second; returns how near to it nothing may lie."""
    officer = house.people["officer"]
    content = zone_file(("ENERGY", *place(second), half_m), version=2)
    install_zones(gate, content, actor=officer.actor, key=officer.key)
    return half_m + 50.0 + FRAME_ERROR_M


def test_rows_and_files_in_a_zone_go_and_no_clip_leads_through(
    sqlite_gate: Gate, sqlite_house: House
) -> None:
    gate, house, middle = sqlite_gate, sqlite_house, 100.0
    reach = restrict(gate, house, middle)
    made = folder(seconds=200)
    made.more = {file_of("LIDAR_TOP", second): sweep() for second in (92.0, 100.0, 120.0)}
    recording = cleanse(gate, made.files(), crs=CRS)
    found = fates(gate, recording)
    # The zone reaches 150 m, its corners 212 m, to either side of 1200 m; at 92 s the car is at 1104 m.
    assert [found[name][0] for name in made.more] == [ItemState.CUT, ItemState.CUT, ItemState.CLEANSED]
    release = opened(gate, candidate(gate, house, recording))
    rows = release.tables["ego_pose"]
    for clip in {row["clip"] for row in rows}:
        times = np.sort([row["timestamp"] / 1e6 for row in rows if row["clip"] == clip])
        # Through the zone there would be a pause of twice its reach.
        assert np.diff(times).max(initial=0.0) < reach / SPEED
    assert len(rows) < len(made.tables["ego_pose"]) - 4 * 2 * reach / SPEED


@pytest.mark.parametrize("reverses", [False, True])
def test_a_sweep_near_a_zone_loses_the_points_in_it(
    sqlite_gate: Gate, sqlite_house: House, *, reverses: bool
) -> None:
    """The car moves east; poses say whether it heads there."""
    gate, house = sqlite_gate, sqlite_house
    reach = restrict(gate, house, 100.0)
    second = 100.0 - (reach + 30.0) / SPEED
    made = folder(seconds=120)
    made.more = {file_of("LIDAR_TOP", round(second * 2) / 2): sweep(count=4000)}
    if reverses:
        for pose in made.tables["ego_pose"]:
            pose["rotation"] = [0.0, 0.0, 0.0, 1.0]
    recording = cleanse(gate, made.files(), crs=CRS)
    (name,) = made.more
    assert fates(gate, recording)[name][0] == ItemState.CLEANSED
    with gate.database.read() as session:
        (row,) = (
            r
            for r in session.scalars(sa.select(ItemRow))
            if r.recording_id == recording and r.position == len(made.tables)
        )
        cleansed = load_cleansed(gate, session, row.id)
    left = np.frombuffer(open_treated(gate, cleansed).read(), dtype="<f4").reshape(-1, 5)
    before = np.frombuffer(made.more[name], dtype="<f4").reshape(-1, 5)
    # The y axis, forward, points at the zone, or away from it where the car reverses.
    towards, of_all = (-left[:, 1], -before[:, 1]) if reverses else (left[:, 1], before[:, 1])
    assert 0 < len(left) < len(before)
    assert towards.max() < 45.0 < of_all.max()
    assert towards.min() == of_all.min()
    if "ring" not in gate.profile.profile.points.keep_attributes:
        assert not left[:, 4].any()


def states_of(gate: Gate, made: Folder, **more: object) -> dict[str, tuple[str, str]]:
    """State and reason by the name of the table, or of the file."""
    found = fates(gate, cleanse(gate, made.files(), **{"crs": CRS, **more}))
    return {
        name.rpartition("/")[2].removesuffix(".json"): (state, reason)
        for name, (state, reason, _) in found.items()
    }


def tables_only(seconds: int = SHORT) -> Folder:
    made = folder(seconds=seconds)
    made.more = {}
    return made


def test_a_log_of_another_location_holds_everything(sqlite_gate: Gate) -> None:
    made = folder(seconds=SHORT)
    made.more = {name: c for name, c in made.more.items() if f"{int(START.timestamp()) + 5}" in name}
    made.tables["log"][0]["location"] = "singapore-onenorth"
    found = states_of(sqlite_gate, made)
    for name in (*made.tables, *(n.rpartition("/")[2] for n in made.more if "LIDAR" in n)):
        assert found[name] == (ItemState.HELD, "unknown_crs"), name
    # The poses place nothing: no picture counts as tested.
    (picture,) = (n for n in found if "CAM" in n)
    assert found[picture][0] == ItemState.HELD


def test_logs_of_several_locations_hold_everything(sqlite_gate: Gate) -> None:
    made = tables_only()
    other = {**made.tables["log"][0], "token": token("other"), "location": "singapore-onenorth"}
    made.tables["log"].append(other)
    assert set(states_of(sqlite_gate, made).values()) == {(ItemState.HELD, "unknown_crs")}


def test_a_manifest_of_another_system_holds_every_table(sqlite_gate: Gate) -> None:
    found = states_of(sqlite_gate, tables_only(), crs="EPSG:4326")
    assert set(found.values()) == {(ItemState.HELD, "unknown_crs")}


def test_a_recording_of_an_unknown_map_is_not_received(sqlite_gate: Gate) -> None:
    with pytest.raises(DeniedError):
        cleanse(sqlite_gate, tables_only().files(), crs="nuscenes:beijing-haidian")


def test_policy_and_manifests_admit_every_map_that_the_tables_know() -> None:
    data = yaml.safe_load((Path(policies.__file__).parent / "data" / "position.yaml").read_text("utf-8"))
    (admitted,) = data["known_crs"]["values"].values()
    known = {f"{CRS_PREFIX}{location}" for location in ORIGINS}
    assert {crs for crs in admitted if crs.startswith(CRS_PREFIX)} == known
    for crs in known:
        assert manifest_of({"a.json": b"[]"}, crs=crs).crs == crs


MISSING = {
    "log": {"log", "ego_pose", "sample", "sample_data", "sample_annotation", "scene", "instance", "sensor"},
    "ego_pose": {"sample", "sample_data", "sample_annotation", "scene", "instance", "SWEEP"},
    "sample": {"sample_data", "sample_annotation", "scene", "instance"},
    "sample_annotation": {"instance"},
    "instance": {"sample_annotation"},
    "calibrated_sensor": {"sample_data", "SWEEP"},
    "sensor": {"calibrated_sensor", "sample_data"},
    "category": {"sample_annotation", "instance"},
}
"""What is held where a table is missing; a sweep has its time from ``sample_data``."""


@pytest.mark.parametrize("name", MISSING)
def test_tables_are_held_without_what_they_are_read_with(name: str, sqlite_gate: Gate) -> None:
    made = folder(seconds=SHORT)
    made.more = {file_of("LIDAR_TOP", 5.0): sweep()}
    del made.tables[name]
    if name == "category":
        # Attributes look like categories.
        del made.tables["attribute"]
    found = states_of(sqlite_gate, made)
    for each in MISSING[name] - {name}:
        if each == "SWEEP":
            (state,) = (found[n] for n in found if n.endswith(".pcd.bin"))
            assert state[0] == ItemState.HELD
            assert state[1] in {"companion_missing", "zones_unchecked"}
        else:
            assert found[each] == (ItemState.HELD, "companion_missing"), each
    expected = set(made.tables) - MISSING[name]
    if name != "log":
        assert {each for each in expected if found[each][0] == ItemState.CLEANSED} == expected


def test_a_table_with_bad_rows_is_held_and_so_are_those_that_need_it(sqlite_gate: Gate) -> None:
    made = tables_only()
    made.tables["sample"][3]["timestamp"] = 17
    del made.tables["visibility"][0]["level"]
    made.tables["sensor"].append(dict(made.tables["sensor"][0]))
    found = states_of(sqlite_gate, made)
    assert found["sample"] == (ItemState.HELD, "malformed")
    assert found["sensor"] == (ItemState.HELD, "malformed")
    # Without its level a visibility is nothing of nuScenes by its members.
    assert found["visibility"][0] == ItemState.HELD
    for name in ("sample_data", "sample_annotation", "scene", "calibrated_sensor"):
        assert found[name] == (ItemState.HELD, "companion_missing"), name
    assert found["ego_pose"] == (ItemState.CLEANSED, "")


def test_two_folders_in_one_recording_are_held(sqlite_gate: Gate) -> None:
    files = tables_only().files()
    twice = {**files, **{f"second/{name}": content + b"\n" for name, content in files.items()}}
    found = fates(sqlite_gate, cleanse(sqlite_gate, twice, crs=CRS))
    assert {(state, reason) for state, reason, _ in found.values()} == {(ItemState.HELD, "companion_missing")}


RASTERS = {
    "named by map.json": ("elsewhere/raster.png", True),
    "in a folder of maps": ("maps/basemap/boston.png", True),
    "not said to be taken": ("front.png", False),
}


@pytest.mark.parametrize("case", RASTERS)
def test_rasters_of_maps_do_not_pass_as_pictures(case: str, sqlite_gate: Gate) -> None:
    name, dated = RASTERS[case]
    made = tables_only()
    if "map.json" in case:
        made.tables["map"][0]["filename"] = name
    made.more = {name: png()}
    captured = {name: START + timedelta(seconds=5)} if dated else {}
    found = fates(
        sqlite_gate, cleanse(sqlite_gate, made.files(), crs=CRS, captured=captured, attestation="none near")
    )
    assert found[name][:2] == (ItemState.HELD, "map_raster")
    assert found["v1.0-mini/map.json"][0] == ItemState.CLEANSED


def test_a_picture_that_the_manifest_puts_into_another_clip_is_not_named(
    sqlite_gate: Gate, sqlite_house: House
) -> None:
    made = folder(seconds=120)
    near, far = file_of("CAM_FRONT", 10.05), file_of("CAM_FRONT", 100.05)
    made.more = {near: made.more[near], far: jpeg(9)}
    # Its row lies at 100 s; the manifest says 5 s.
    captured = {name: START + timedelta(seconds=5) for name in (near, far)}
    recording = cleanse(sqlite_gate, made.files(), crs=CRS, captured=captured)
    release = opened(sqlite_gate, candidate(sqlite_gate, sqlite_house, recording))
    assert sum(name.endswith(".jpg") for name in release.files) == 2
    named = [row for row in release.tables["sample_data"] if row["filename"]]
    assert len(named) == 1
    assert named[0]["timestamp"] == 10_050_000


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UnsafeTestProcessor]:
    """The test double, installed as a package with the one entry point."""
    info = tmp_path / "double-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: double\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\none = unsafe_secrecy_processor:UnsafeTestProcessor\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(ALLOWED, "1")
    installed_processor.cache_clear()
    yield UnsafeTestProcessor()
    installed_processor.cache_clear()


def test_a_processor_places_the_tables_of_an_approved_release(
    sqlite_gate: Gate, sqlite_house: House, processor: UnsafeTestProcessor
) -> None:
    made = tables_only(seconds=SECONDS)
    recording = cleanse(sqlite_gate, made.files(), crs=CRS)
    release = candidate(sqlite_gate, sqlite_house, recording, mode=ReleaseMode.APPROVED)
    found = opened(sqlite_gate, release)
    assert set(found.tables) == set(made.tables)
    frame = map_frame(CITY)
    true = np.array([row["translation"] for row in made.tables["ego_pose"]])
    shown = np.array([row["translation"] for row in found.tables["ego_pose"]])
    lat, lon, _ = processor.process(*to_wgs84(true[:, 0], true[:, 1], frame), None)
    at = to_wgs84(shown[:, 0], shown[:, 1], frame)
    for i in range(0, len(shown), 200):
        here = [np.full(len(lat), axis[i]) for axis in at]
        assert geodesic_m(lat, lon, *here)[0].min() < 0.02
    assert not shown[:, 2].any()
    for item in found.built.items:
        table = item.manifest_entry()["nuscenes"]["table"]
        if table in {"ego_pose", "sample_annotation"}:
            assert (item.level, item.payload["position_handling"]) == (Level.S1_PROCESSED, "approved")
            assert item.payload["facts"]["secrecy_tech_id"] == ATTESTATION.secrecy_tech_id
            assert "before" in item.payload["kept"]["processor_sample"]
        else:
            assert item.payload["position_handling"] == "none"

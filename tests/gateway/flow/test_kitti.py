"""KITTI's files of times and its poses through the gate; GPS/IMU records of two receivers, and by a processor."""

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from anonymize.geo.crs import geodesic_m
from anonymize.geo.secrecy_processor import installed_processor
from anonymize.layouts.poses import LOCAL_COLUMNS, OFFSET_COLUMNS
from gateway.errors import DeniedError, InvalidRequestError
from gateway.flow.build import load_built
from gateway.flow.dossier import recording_summary, release_summary
from gateway.flow.recording import ItemState, Level, ReleaseMode
from gateway.flow.records import ItemRow
from gateway.people.zones import install_zones
from gateway.vault.store import Context
from simulators import START, candidate, cleanse, csv_track, publish, route, sweep, zone_file
from unsafe_secrecy_processor import ATTESTATION, UnsafeTestProcessor, install

COUNT = 400
STEP_M = 12.0
"""The drive of ``csv_track``: a fix a second for 4.8 km. OFFSET trims up to 1.5 km at each end."""
AHEAD = timedelta(hours=8)
HALF_A_TURN = timedelta(seconds=0.05)
SWEEPS, CAMERA, POSES, SEQUENCE = (
    "velodyne_points/timestamps.txt", "image_02/timestamps.txt", "poses/00.txt", "sequences/00/times.txt",
)  # fmt: skip


def stamps(begin: datetime = START + AHEAD, zone: str = "", count: int = COUNT) -> bytes:
    """A line a second, as KITTI writes them."""
    moments = (begin + timedelta(seconds=i) for i in range(count))
    return "".join(f"{m.strftime('%Y-%m-%d %H:%M:%S.%f')}000{zone}\n" for m in moments).encode()


def times(count: int = COUNT) -> bytes:
    return "".join(f"{i:.6e}\n" for i in range(count)).encode()


def step_on_the_ground() -> float:
    lats, lons = route(2, STEP_M)
    return float(geodesic_m(lats[:1], lons[:1], lats[1:], lons[1:])[0][0])


def poses(count: int = COUNT, share: float = 1.0) -> bytes:
    """Straight ahead and slightly down: the camera's y axis is."""
    step_m = share * step_on_the_ground()
    return "".join(f"1 0 0 0 0 1 0 {0.01 * i:.3f} 0 0 1 {step_m * i:.9e}\n" for i in range(count)).encode()


FOLDER: Mapping[str, bytes] = {
    "drive.csv": csv_track(),
    SWEEPS: stamps(),
    "velodyne_points/timestamps_start.txt": stamps(START + AHEAD - HALF_A_TURN),
    "velodyne_points/data/0000000010.bin": sweep(),
    CAMERA: stamps(zone="+08:00"),
    SEQUENCE: times(),
    POSES: poses(),
}
CAPTURED: Mapping[str, datetime] = {
    "velodyne_points/data/0000000010.bin": START + timedelta(seconds=10),
    SEQUENCE: START,
}


def fates(gate, recording):
    return {
        item["name"]: (item["state"], item.get("reason", ""), item.get("detail", ""))
        for item in recording_summary(gate, recording)["items"]
    }


def built_items(gate, release):
    """Items of a candidate with their bytes, by the name that they came under."""
    with gate.database.read() as session:
        built = load_built(gate, session, release)
        positions = {item.source: session.get_one(ItemRow, item.source).position for item in built.items}
        names = {i: list(fates(gate, item.recording)) for item in built.items for i in [item.recording]}
    found = {}
    for item in built.items:
        context = Context(owner=release, object=item.name, role="release")
        content = b"".join(gate.vault.open(item.seal, context).chunks())
        found[names[item.recording][positions[item.source]]] = (item, content)
    return found


def table(content, skip=1):
    return np.array([line.split(",") for line in content.decode().splitlines()[skip:]], dtype=float)


def csv_rows(content):
    return list(csv.DictReader(io.StringIO(content.decode())))


def shown_times(content):
    moments = (
        datetime.fromisoformat(line[:-3]).replace(tzinfo=UTC) for line in content.decode().splitlines()
    )
    return np.array([moment.timestamp() for moment in moments])


def test_times_and_poses_leave_in_the_clips_of_the_track(sqlite_gate, sqlite_house):
    recording = cleanse(sqlite_gate, FOLDER, captured=CAPTURED)
    assert {fate[0] for fate in fates(sqlite_gate, recording).values()} == {ItemState.CLEANSED}
    found = built_items(sqlite_gate, candidate(sqlite_gate, sqlite_house, recording))
    track = table(found["drive.csv"][1])
    at = {(int(row[0]), round(row[1])): row for row in track}
    assert len({clip for clip, _ in at}) > 5
    for name in (SWEEPS, CAMERA, SEQUENCE):
        item, content = found[name]
        assert content.startswith(b"clip,t_s\n")
        assert (item.payload["position_handling"], item.payload["absolute_time"]) == ("none", "stripped")
        rows = table(content)
        # Every fix of the track has a line of its time, in its clip.
        assert {(int(clip), round(t_s)) for clip, t_s in rows} == set(at)
        assert np.abs(rows[:, 1] - rows[:, 1].round()).max() < 0.001
    item, content = found[POSES]
    assert content.decode().splitlines()[0] == ",".join(LOCAL_COLUMNS)
    assert (item.payload["position_handling"], item.payload["level"]) == ("local", "S3_SENSITIVE_GEO")
    rows = table(content)
    assert {(int(row[0]), round(row[1])) for row in rows} == set(at)
    # The poses lie where the track does, in its frames; they were laid on it to the metre and hold no heights.
    header = found["drive.csv"][1].decode().splitlines()[0].split(",")
    x, y = header.index("x_m"), header.index("y_m")
    want = np.array([at[int(row[0]), round(row[1])][[x, y]] for row in rows])
    assert np.hypot(rows[:, 5] - want[:, 0], rows[:, 9] - want[:, 1]).max() < 1.0
    assert not rows[:, 13].any()
    everything = b"".join(content for _, content in found.values())
    assert b"2026-09" not in everything


def test_times_and_poses_leave_shifted_and_displaced_alike(sqlite_gate, sqlite_house):
    recording = cleanse(sqlite_gate, FOLDER, captured=CAPTURED)
    release = candidate(sqlite_gate, sqlite_house, recording, mode=ReleaseMode.OFFSET)
    found = built_items(sqlite_gate, release)
    track = np.array(
        [datetime.fromisoformat(row["time"]).timestamp() for row in csv_rows(found["drive.csv"][1])]
    )
    for name in (SWEEPS, CAMERA, SEQUENCE):
        item, content = found[name]
        assert item.payload["absolute_time"] == "shifted"
        assert np.abs(shown_times(content) - track).max() < 0.01
        begin = START.timestamp() + 0.5 * COUNT
        assert np.abs(shown_times(content) - begin).min() > 29 * 86400
    # The begin of a sweep keeps its distance from the middle.
    starts = shown_times(found["velodyne_points/timestamps_start.txt"][1])
    nearest = track[np.abs(track[:, None] - starts).argmin(axis=0)]
    assert np.abs(nearest - starts - HALF_A_TURN.total_seconds()).max() < 0.01
    item, content = found[POSES]
    assert content.decode().splitlines()[0] == ",".join(OFFSET_COLUMNS)
    assert item.payload["position_handling"] == "offset"
    limits = sqlite_gate.profile.profile.tracks
    assert item.payload["facts"]["min_shift_m"] >= limits.offset_min_shift_m
    rows = table(content)
    assert len(rows) == len(track)
    assert not rows[0, [0, 1, 5, 9, 13]].any()
    steps = np.hypot(*np.diff(rows[:, [5, 9]], axis=0).T)
    assert np.abs(steps / STEP_M - 1.0).max() < 0.02


def test_nothing_in_them_joins_two_releases(sqlite_gate, sqlite_house):
    """Law 7: other names, other times, other frames; and a trip that left leaves no second time by its files."""
    gate, house = sqlite_gate, sqlite_house
    recording = cleanse(gate, FOLDER, captured=CAPTURED)
    offset = [built_items(gate, candidate(gate, house, recording, mode=ReleaseMode.OFFSET)) for _ in range(2)]
    local = [candidate(gate, house, recording) for _ in range(2)]
    several = [built_items(gate, release) for release in local]
    for name in (SWEEPS, CAMERA, SEQUENCE, POSES):
        assert len({item.name for item, _ in (made[name] for made in (*offset, *several))}) == 4
    for name in (SWEEPS, CAMERA, SEQUENCE):
        one, other = (set(made[name][1].splitlines()) for made in offset)
        assert not one & other
    one, other = (set(made[POSES][1].splitlines()[1:]) for made in several)
    assert not one & other
    publish(gate, house, local[0])
    # The same times beside another track: their jitter would join the two releases.
    again = {"drive.csv": csv_track(COUNT - 1), SEQUENCE: times()}
    second = cleanse(gate, again, captured={SEQUENCE: START})
    assert {fate[0] for fate in fates(gate, second).values()} == {ItemState.CLEANSED}
    with pytest.raises(DeniedError):
        candidate(gate, house, second)


def test_lines_in_a_zone_are_cut(sqlite_gate, sqlite_house):
    gate, house = sqlite_gate, sqlite_house
    lats, lons = route(COUNT, STEP_M)
    officer = house.people["officer"]
    zone = zone_file(("ENERGY", lats[200], lons[200], 100.0), version=2)
    install_zones(gate, zone, actor=officer.actor, key=officer.key)
    recording = cleanse(gate, FOLDER, captured=CAPTURED)
    summary = {item["name"]: item for item in recording_summary(gate, recording)["items"]}
    assert {item["state"] for item in summary.values()} == {ItemState.CLEANSED}
    found = built_items(gate, candidate(gate, house, recording))
    # The zone with its margin is 150 m to each side: 12 fixes at 12 m before it, itself and 12 behind.
    for name in (SWEEPS, CAMERA, SEQUENCE, POSES):
        rows = table(found[name][1])
        assert len(rows) <= COUNT - 25
        for clip in np.unique(rows[:, 0]):
            t_s = np.sort(rows[rows[:, 0] == clip][:, 1])
            assert np.diff(t_s).max(initial=0.0) < 2.0


BAD: Mapping[str, tuple[bytes, datetime | None, str, str]] = {
    "a/timestamps.txt": (stamps(), None, "time_unknown", "state no zone"),
    "b/times.txt": (times(), None, "time_unknown", "captured_at"),
    "c/timestamps.txt": (stamps(zone="+08:00") + stamps(), None, "malformed", "some of each"),
    "d/timestamps.txt": (stamps(), START + timedelta(days=1), "malformed", "clock"),
    "e/timestamps.txt": (stamps(), START + timedelta(seconds=2), "malformed", "captured_at of the file"),
    "f/timestamps.txt": (stamps(), None, "malformed", "disagree"),
    "g/timestamps.txt": (stamps(zone="+09:00"), None, "malformed", "the zone that lines state"),
    "h/poses/00.txt": (poses(), None, "time_unknown", "got 0 files of 400 times"),
    "i/poses.txt": (poses(), None, "time_unknown", "got 2 files of 400 times"),
    "j/poses.txt": (poses(share=0.5), None, "malformed", "do not follow the track"),
    "k/poses.txt": (poses(), None, "time_unknown", "captured_at"),
    "l/poses.txt": (poses(count=COUNT - 1), None, "time_unknown", "got 0 files of 399 times"),
}
BESIDE: Mapping[str, tuple[bytes, datetime | None]] = {
    "drive.csv": (csv_track(), None),
    "e/data/5.bin": (sweep(100), START + timedelta(seconds=5)),
    "f/data/0.bin": (sweep(101), START),
    "f/data/1.bin": (sweep(102), START + timedelta(seconds=4)),
    "g/data/0.bin": (sweep(103), START),
    "i/times.txt": (times(), START),
    "i/timestamps.txt": (stamps(zone="+08:00"), None),
    "j/times.txt": (times(), START),
    "k/times.txt": (times(), None),
    "l/times.txt": (times(), START),
    "m/timestamps.txt": (stamps(), START),
}


def test_what_says_no_time_or_a_wrong_one_is_held(sqlite_gate):
    files = {name: entry[0] for name, entry in (*BESIDE.items(), *BAD.items())}
    captured = {name: entry[1] for name, entry in (*BESIDE.items(), *BAD.items()) if entry[1]}
    found = fates(sqlite_gate, cleanse(sqlite_gate, files, captured=captured))
    for name, (_, _, reason, why) in BAD.items():
        assert found[name][:2] == (ItemState.HELD, reason), (name, found[name])
        assert why in found[name][2]
    # The same files with what they need are not.
    for name in ("i/times.txt", "i/timestamps.txt", "m/timestamps.txt"):
        assert found[name][0] == ItemState.CLEANSED, found[name]


def test_without_a_track_they_are_held(sqlite_gate):
    files = {name: FOLDER[name] for name in (CAMERA, SEQUENCE, POSES)}
    found = fates(sqlite_gate, cleanse(sqlite_gate, files, captured=CAPTURED))
    assert {fate[:2] for fate in found.values()} == {(ItemState.HELD, "track_missing")}


def record(lat: float, lon: float, speed: float) -> bytes:
    motion = f"0.01 -0.02 0.0 0.0 {speed} {speed} 0.0 0.05"
    return f"{lat:.12f} {lon:.12f} 52.125 {motion} {' '.join(['0.125'] * 12)} 0.06 0.013 4 9 6 6 6\n".encode()


def test_two_receivers_are_two_tracks(sqlite_gate, sqlite_house):
    """Joined in order of time they would jump 30 m between antennas, and fill clips with a way nobody drove."""
    lats, lons = route(8, STEP_M)
    files, captured = {}, {}
    for i in range(8):
        for folder, north, later in (("oxts", 0.0, 0.0), ("second/oxts", 30.0, 0.5)):
            if folder == "oxts" or i < 7:
                name = f"{folder}/data/{i:010d}.txt"
                files[name] = record(
                    lats[i] + north / 111_000.0, lons[i] + later * (lons[1] - lons[0]), STEP_M
                )
                captured[name] = START + timedelta(seconds=i + later)
    recording = cleanse(sqlite_gate, files, captured=captured)
    found = built_items(sqlite_gate, candidate(sqlite_gate, sqlite_house, recording))
    # 84 m of one way, in a clip of at least 210 m.
    assert set(found) == set(files)
    for folder in ("oxts", "second/oxts"):
        rows = np.array(
            [table(content)[0, :4] for name, (_, content) in found.items() if name.startswith(f"{folder}/")]
        )
        rows = rows[np.argsort(rows[:, 1])]
        assert set(rows[:, 0]) == {0.0}
        assert np.hypot(*np.diff(rows[:, 2:], axis=0).T) == pytest.approx(STEP_M, rel=0.02)


@pytest.fixture
def processor(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch)
    yield UnsafeTestProcessor()
    installed_processor.cache_clear()


@pytest.mark.usefixtures("processor")
def test_a_processor_places_poses_and_times_leave_beside_them(sqlite_gate, sqlite_house):
    recording = cleanse(sqlite_gate, FOLDER, captured=CAPTURED)
    release = candidate(sqlite_gate, sqlite_house, recording, mode=ReleaseMode.APPROVED)
    found = built_items(sqlite_gate, release)
    item, content = found[POSES]
    assert (item.level, item.payload["position_handling"]) == (Level.S1_PROCESSED, "approved")
    assert item.payload["facts"]["secrecy_tech_id"] == ATTESTATION.secrecy_tech_id
    assert "before" in item.payload["kept"]["processor_sample"]
    assert "processor_sample" not in str(release_summary(sqlite_gate, release))
    tracked = csv_rows(found["drive.csv"][1])
    lat, lon = (np.array([float(row[axis]) for row in tracked]) for axis in ("lat", "lon"))
    rows = table(content)
    want = geodesic_m(np.full(len(lat), lat[0]), np.full(len(lon), lon[0]), lat, lon)[0]
    # The poses were laid on the track to the metre.
    assert np.abs(np.hypot(rows[:, 5], rows[:, 9]) - want).max() < 1.0
    for name in (SWEEPS, CAMERA, SEQUENCE):
        item, content = found[name]
        assert (item.level, item.payload["position_handling"]) == (Level.S3_SENSITIVE_GEO, "none")
        assert len(shown_times(content)) == len(tracked)


def test_a_processor_places_records_that_are_the_only_track(sqlite_gate, sqlite_house, processor):
    lats, lons = route(40, 100.0)
    files = {f"oxts/data/{i:010d}.txt": record(lats[i], lons[i], 100.0) for i in range(40)}
    captured = {name: START + timedelta(seconds=i) for i, name in enumerate(files)}
    recording = cleanse(sqlite_gate, files, captured=captured)
    release = candidate(sqlite_gate, sqlite_house, recording, mode=ReleaseMode.APPROVED)
    found = built_items(sqlite_gate, release)
    # 3.9 km less at most 1.5 km at each end.
    assert 9 <= len(found) < 40
    kept = 0
    for name, (item, content) in found.items():
        at = list(files).index(name)
        shown = np.array(content.split(), dtype=float)
        want = processor.process(np.array([lats[at]]), np.array([lons[at]]), None)
        assert geodesic_m([shown[0]], [shown[1]], want[0], want[1])[0].max() < 0.02
        assert not shown[[2, 10, *range(23, 30)]].any()
        assert (item.level, item.payload["position_handling"]) == (Level.S1_PROCESSED, "approved")
        assert item.payload["facts"]["secrecy_tech_id"] == ATTESTATION.secrecy_tech_id
        moment = datetime.fromisoformat(item.payload["placed"]["captured_at"])
        assert abs(moment - captured[name]) > timedelta(days=29)
        kept += "processor_sample" in item.payload["kept"]
    assert 0 < kept <= 20


@pytest.mark.usefixtures("processor")
def test_a_processor_that_jumps_between_records_is_refused(sqlite_gate, sqlite_house, monkeypatch):
    """Single records do not show it, their way does."""
    smooth = UnsafeTestProcessor.process

    def jumps(self, lat, lon, height_m):
        moved_lat, moved_lon, height = smooth(self, lat, lon, height_m)
        return moved_lat + 0.002 * (np.floor(lon * 850.0) % 2), moved_lon, height

    monkeypatch.setattr(UnsafeTestProcessor, "process", jumps)
    lats, lons = route(40, 100.0)
    files = {f"oxts/data/{i:010d}.txt": record(lats[i], lons[i], 100.0) for i in range(40)}
    captured = {name: START + timedelta(seconds=i) for i, name in enumerate(files)}
    recording = cleanse(sqlite_gate, files, captured=captured)
    with pytest.raises(InvalidRequestError, match="no item"):
        candidate(sqlite_gate, sqlite_house, recording, mode=ReleaseMode.APPROVED)

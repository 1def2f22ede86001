"""A KITTI drive through the gate: held without times, cut in zones, released in clips or displaced."""

from collections import Counter
from datetime import datetime, timedelta

import numpy as np
import pytest

from anonymize.formats.track import Track
from anonymize.geo.crs import geodesic_m
from anonymize.layouts.oxts import LOCAL_COLUMNS
from gateway.flow.build import load_built
from gateway.flow.dossier import recording_summary
from gateway.flow.kinds.layouts import dated, joined_fixes
from gateway.flow.recording import DataClass, ItemState, ReleaseMode
from gateway.flow.records import ItemRow
from gateway.flow.serve import read_item
from gateway.people.zones import install_zones
from simulators import PURPOSE, START, candidate, cleanse, grant, publish, route, zone_file

SECONDS = 200
MIDDLE = 100
SPEED = 20.0
"""The drive is 4 km long: OFFSET trims up to 1.5 km at each end."""


def record(second: int) -> bytes:
    """A file of KITTI's raw recordings: the simulated route, east at 20 m/s."""
    lats, lons = route(SECONDS, SPEED)
    place = f"{lats[second] + 1e-6 * second:.12f} {lons[second]:.12f} 52.125"
    motion = f"0.01 -0.02 0.0 0.1 {SPEED} {SPEED} 0.0 0.05"
    return f"{place} {motion} {' '.join(['0.125'] * 12)} 0.06 0.013 4 9 6 6 6\n".encode()


def drive() -> tuple[dict[str, bytes], dict[str, datetime]]:
    """Files of one record each, and when they were taken."""
    names = [f"oxts/data/{second:010d}.txt" for second in range(SECONDS)]
    files = {name: record(second) for second, name in enumerate(names)}
    return files, {name: START + timedelta(seconds=second) for second, name in enumerate(names)}


def restrict(gate, house) -> None:
    """A zone about where the route is at ``MIDDLE``."""
    lats, lons = route(SECONDS, SPEED)
    officer = house.people["officer"]
    content = zone_file(("ENERGY", lats[MIDDLE], lons[MIDDLE], 100.0), version=2)
    install_zones(gate, content, actor=officer.actor, key=officer.key)


def fates(gate, recording):
    """State, reason and detail of every item, by name."""
    return {
        item["name"]: (item["state"], item.get("reason", ""), item.get("detail", ""))
        for item in recording_summary(gate, recording)["items"]
    }


def released(gate, house, recording, mode):
    """Published items with their bytes."""
    release = candidate(gate, house, recording, mode=mode)
    publish(gate, house, release)
    grant(gate, house, release)
    with gate.database.read() as session:
        built = load_built(gate, session, release)
    engineer = house.people["engineer"].actor
    found = []
    for item in built.items:
        reading = read_item(gate, release, item.name, actor=engineer, purpose=PURPOSE, wanted=None)
        found.append((item, b"".join(reading.chunks)))
    return built, found


def second_of(gate, item) -> int:
    """Which record of the drive a released item was made of."""
    with gate.database.read() as session:
        return session.get_one(ItemRow, item.source).position


@pytest.mark.parametrize("mode", [ReleaseMode.LOCAL, ReleaseMode.OFFSET])
def test_a_drive_is_released_without_any_true_place(sqlite_gate, sqlite_house, mode):
    gate, house = sqlite_gate, sqlite_house
    files, captured = drive()
    recording = cleanse(gate, files, captured=captured)
    assert {state for state, _, _ in fates(gate, recording).values()} == {ItemState.CLEANSED}
    built, found = released(gate, house, recording, mode)
    # What is left out lies in a trimmed end or between clips.
    assert set(built.left_out.values()) <= {"outside_clips"}
    assert len(found) + len(built.left_out) == SECONDS
    # LOCAL leaves gaps between clips; of OFFSET's 4 km at least 1 km is left.
    assert len(found) >= (SECONDS // 3 if mode is ReleaseMode.LOCAL else 1000 // SPEED - 1)
    true = [line.split()[:2] for line in files.values()]
    everything = b"".join(content for _, content in found)
    if mode is ReleaseMode.LOCAL:
        assert not any(lat[:8] in everything or lon[:9] in everything for lat, lon in true)
    # A displaced latitude may by chance be that of another record, but never with its longitude.
    assert not any(a[:8] in content and o[:9] in content for _, content in found for a, o in true)
    assert b"52.125" not in everything
    lat, lon = np.array(true, dtype=float).T
    for item, content in found:
        if mode is ReleaseMode.LOCAL:
            assert item.data_class is DataClass.TRAJ_REL
            header, row = content.decode().splitlines()
            assert header == ",".join(LOCAL_COLUMNS)
            clip, t_s, x, y = (float(cell) for cell in row.split(",")[:4])
            where = item.payload["placed"]["clip"]
            assert (where["number"], where["t_s"]) == (clip, pytest.approx(t_s))
            assert np.hypot(x, y) <= 2 * gate.profile.profile.tracks.local_clip_m
        else:
            assert item.data_class is DataClass.TRAJ_ABS
            shown = np.array(content.split(), dtype=float)
            assert len(shown) == 30
            second = second_of(gate, item)
            away = geodesic_m(lat[second], lon[second], shown[0], shown[1])[0]
            assert away >= gate.profile.profile.tracks.offset_min_shift_m
            moment = datetime.fromisoformat(item.payload["placed"]["captured_at"])
            assert abs(moment - START) > timedelta(days=29)
    if mode is ReleaseMode.LOCAL:
        assert_shared_frames(found)


def assert_shared_frames(found) -> None:
    """Files of one clip lie in one frame: steps between them are as long as driven."""
    rows = np.array([content.decode().splitlines()[1].split(",")[:4] for _, content in found], dtype=float)
    assert max(Counter(rows[:, 0]).values()) > 5
    for clip in np.unique(rows[:, 0]):
        of = rows[rows[:, 0] == clip]
        of = of[np.argsort(of[:, 1])]
        assert np.hypot(*np.diff(of[:, 2:], axis=0).T) == pytest.approx(SPEED * np.diff(of[:, 1]), rel=0.02)


def test_records_in_a_zone_are_cut_and_no_clip_bridges_it(sqlite_gate, sqlite_house):
    gate, house = sqlite_gate, sqlite_house
    restrict(gate, house)
    files, captured = drive()
    recording = cleanse(gate, files, captured=captured)
    states = [state for state, _, _ in fates(gate, recording).values()]
    cut = [second for second, state in enumerate(states) if state == ItemState.CUT]
    # The zone with its margin is 150 m to each side, at 20 m/s.
    assert cut == list(range(cut[0], cut[-1] + 1))
    assert cut[0] <= MIDDLE - 7
    assert cut[-1] >= MIDDLE + 7
    assert len(cut) < 40
    _, found = released(gate, house, recording, ReleaseMode.LOCAL)
    rows = np.array([content.decode().splitlines()[1].split(",")[:2] for _, content in found], dtype=float)
    for clip in np.unique(rows[:, 0]):
        assert np.diff(np.sort(rows[rows[:, 0] == clip][:, 1])).max(initial=0.0) < 2.0


def test_a_record_without_a_time_is_held(sqlite_gate):
    files, captured = drive()
    few = dict(list(files.items())[:3])
    first = next(iter(few))
    del captured[first]
    found = fates(sqlite_gate, cleanse(sqlite_gate, few, captured=captured))
    state, reason, detail = found.pop(first)
    assert (state, reason) == (ItemState.HELD, "time_unknown")
    assert "captured_at" in detail
    assert {state for state, _, _ in found.values()} == {ItemState.CLEANSED}


REFUSED = {
    "oxts/data/all.txt": (record(0) + record(1), "expected one a file"),
    "tum.txt": (b"0.0 1.0 2.0 0.0 0.0 0.0 0.0 1.0\n0.1 1.1 2.0 0.0 0.0 0.0 0.0 1.0\n", "may hold a path"),
}


def test_other_tables_of_such_folders_are_held_with_the_reason(sqlite_gate):
    files = {name: content for name, (content, _) in REFUSED.items()}
    found = fates(sqlite_gate, cleanse(sqlite_gate, files))
    for name, (_, why) in REFUSED.items():
        state, reason, detail = found[name]
        assert (state, reason) == (ItemState.HELD, "unknown_format"), name
        assert why in detail


def fix(time_s: float) -> Track:
    none = np.array([np.nan])
    return Track(
        lat=np.array([40.0 + time_s * 1e-4]),
        lon=np.array([116.0]),
        time_s=none,
        elevation_m=none,
        speed_mps=none,
        segment=np.zeros(1, np.int32),
        crs="EPSG:4326",
    )


def test_fixes_are_joined_in_order_of_time_and_not_through_a_pause():
    times = [3.0, 1.0, 0.0, 2.0, 30.0, 31.0]
    stated = [track for time_s in times for track in dated([fix(time_s)], time_s)]
    joined, alone = joined_fixes([*stated, fix(5.0)])
    assert joined.time_s.tolist() == sorted(times)
    assert joined.lat.tolist() == [40.0 + time_s * 1e-4 for time_s in sorted(times)]
    assert joined.segment.tolist() == [0, 0, 0, 0, 1, 1]
    assert np.isnan(alone.time_s).all()
    assert joined_fixes([]) == []

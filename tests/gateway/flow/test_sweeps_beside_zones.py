"""LiDAR sweeps beside a zone: points go wherever the vehicle may have headed, whatever its track says."""

import math
from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from gateway.flow.cleanse import load_cleansed, open_treated
from gateway.flow.gate import Gate
from gateway.flow.recording import ItemState
from gateway.flow.records import ItemRow
from simulators import ORIGIN, START, House, cleanse, zone_file

SECOND = 60
NEAR_M, FAR_M = 30.0, 80.0
"""How far points lie from the sensor; the zone north of the road begins at 60 m, and 10 m are added."""
SIDES = {"ahead": (1.0, 0.0), "left": (0.0, 1.0), "behind": (-1.0, 0.0), "right": (0.0, -1.0)}
ALL_NEAR = {(side, NEAR_M) for side in SIDES}
EVERYTHING = ALL_NEAR | {(side, FAR_M) for side in SIDES}

# Metres east of ORIGIN at each second.
DRIVES = {
    "drives": 12.0 * np.arange(120.0) - 12.0 * SECOND,
    "reverses": 3.0 * (SECOND - np.arange(120.0)),
    "stands": np.zeros(120),
    "stops": np.minimum(12.0 * (np.arange(120.0) - SECOND + 10), 0.0),
}


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory):
    house = House(home=tmp_path_factory.mktemp("sweeps") / "home")
    north = ORIGIN[0] + 120.0 / 111_320
    with house.opened() as gate:
        house.furnish(gate, zone_file(("MIL", north, ORIGIN[1], 10.0)))
        yield gate


def drive(east_m: np.ndarray) -> bytes:
    dx = 1.0 / (111_320 * math.cos(math.radians(ORIGIN[0])))
    rows = [
        f"{(START + timedelta(seconds=i)).isoformat()},{ORIGIN[0]!r},{ORIGIN[1] + x * dx!r}"
        for i, x in enumerate(east_m.tolist())
    ]
    return "\n".join(["time,lat,lon", *rows, ""]).encode()


def sweep() -> bytes:
    """A point near and one far on each side, by KITTI's axes: x ahead, y to the left."""
    rows = [(x * far, y * far, 0.0, 0.5) for far in (NEAR_M, FAR_M) for x, y in SIDES.values()]
    # The recogniser of KITTI's sweeps, which have no signature, wants more than a handful.
    around = [(2.0 * math.cos(a), 2.0 * math.sin(a), 0.1, 0.25) for a in np.linspace(0.0, 6.0, 200)]
    return np.array(rows + around, "<f4").tobytes()


def left_of(gate: Gate, recording: str) -> set[tuple[str, float]]:
    """The points of the sweep that the first pass kept, by side and distance."""
    with gate.database.read() as session:
        row = session.scalars(
            sa.select(ItemRow).where(ItemRow.recording_id == recording, ItemRow.position == 1)
        ).one()
        assert row.state == ItemState.CLEANSED
        cleansed = load_cleansed(gate, session, row.id)
    points = np.frombuffer(open_treated(gate, cleansed).read(), "<f4").reshape(-1, 4)
    return {
        (side, far)
        for side, (x, y) in SIDES.items()
        for far in (NEAR_M, FAR_M)
        if (np.abs(points[:, :2] - [x * far, y * far]).max(axis=1) < 0.1).any()
    }


@pytest.mark.parametrize(
    ("case", "kept"),
    [
        ("drives", EVERYTHING - {("left", FAR_M)}),
        ("reverses", ALL_NEAR),
        ("stands", ALL_NEAR),
        ("stops", ALL_NEAR),
    ],
)
def test_points_go_wherever_the_vehicle_may_have_headed(gate, case, kept):
    """It faces east always, and the zone is on its left; while it backs its track goes west."""
    files = {"drive.csv": drive(DRIVES[case]), "lidar/000000.bin": sweep()}
    recording = cleanse(gate, files, captured={"lidar/000000.bin": START + timedelta(seconds=SECOND)})
    assert left_of(gate, recording) == kept


def test_a_cloud_whose_axes_nobody_states_is_cut_by_distance(gate):
    """PCD does not say which axis points ahead."""
    columns = np.frombuffer(sweep(), "<f4").reshape(-1, 4)
    header = (
        "VERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\n"
        f"WIDTH {len(columns)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(columns)}\nDATA binary\n"
    )
    files = {"drive.csv": drive(DRIVES["drives"]), "lidar.pcd": header.encode() + columns.tobytes()}
    recording = cleanse(gate, files, captured={"lidar.pcd": START + timedelta(seconds=SECOND)})
    with gate.database.read() as session:
        row = session.scalars(
            sa.select(ItemRow).where(ItemRow.recording_id == recording, ItemRow.position == 1)
        ).one()
        facts = load_cleansed(gate, session, row.id).payload["facts"]
    assert (facts["points_in"], facts["points_out"]) == (len(columns), len(columns) - len(SIDES))

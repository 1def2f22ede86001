"""Headings of nuScenes vehicles are those of their poses, whichever way they move."""

import json

import numpy as np
import pytest

from anonymize.errors import UnknownFormatError
from anonymize.layouts.ego_headings import ego_courses, ego_heading_at
from anonymize.layouts.nuscenes_rows import NuscenesTable, read_table
from anonymize.profile import shipped_profile

CITY = "boston-seaport"
BEGIN_S, PERIOD_S = 1_532_402_927, 0.5


def poses(yaws_deg: list[float], step_m: float = 0.0) -> NuscenesTable:
    rows = [
        {
            "token": f"{i:032x}",
            "timestamp": round((BEGIN_S + i * PERIOD_S) * 1e6),
            "rotation": [float(np.cos(np.radians(yaw) / 2)), 0.0, 0.0, float(np.sin(np.radians(yaw) / 2))],
            "translation": [500.0 + i * step_m, 900.0, 0.0],
        }
        for i, yaw in enumerate(yaws_deg)
    ]
    return read_table(json.dumps(rows).encode(), profile=shipped_profile("cn-2026").profile.tracks)


def heading(table: NuscenesTable, second: float):
    return ego_heading_at(*ego_courses(table, location=CITY), BEGIN_S + second)


@pytest.mark.parametrize("step_m", [0.0, 6.0, -6.0])
@pytest.mark.parametrize(("yaw", "course"), [(0.0, 90.0), (90.0, 0.0), (180.0, 270.0), (-90.0, 180.0)])
def test_the_heading_is_the_poses_whichever_way_the_vehicle_moves(yaw, course, step_m):
    """The x axis of the map points east, its y axis north, to less than a tenth of a degree."""
    found = heading(poses([yaw] * 4, step_m), 0.7)
    assert abs((found.course_deg - course + 180.0) % 360.0 - 180.0) < 0.1
    assert found.spread_deg < 0.1


def test_between_two_poses_the_heading_spreads_from_one_to_the_other():
    found = heading(poses([90.0, 60.0, 60.0]), 0.2)
    assert (found.course_deg, found.spread_deg) == (
        pytest.approx(15.0, abs=0.1),
        pytest.approx(15.0, abs=0.1),
    )
    assert heading(poses([90.0, 60.0, 60.0]), 0.5).course_deg == pytest.approx(30.0, abs=0.1)


@pytest.mark.parametrize("second", [-0.1, 1.1])
def test_outside_the_poses_no_heading_is_known(second):
    assert heading(poses([0.0] * 3), second) is None


def test_across_a_pause_and_for_axes_that_point_up_no_heading_is_known():
    table = poses([0.0] * 8)
    gap = NuscenesTable(name="ego_pose", rows=(*table.rows[:2], *table.rows[5:]))
    assert heading(gap, 1.5) is None
    up = {**table.rows[1], "rotation": [np.sqrt(0.5), 0.0, -np.sqrt(0.5), 0.0]}
    assert heading(NuscenesTable(name="ego_pose", rows=(table.rows[0], up, *table.rows[2:])), 0.2) is None


def test_another_table_tells_no_heading():
    with pytest.raises(UnknownFormatError, match="ego_pose"):
        ego_courses(NuscenesTable(name="log", rows=()), location=CITY)

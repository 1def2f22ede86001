"""Places in lists of lists, which JSON schemas permit, are read and moved like all others."""

import numpy as np

from anonymize.containers.messages.fixes import change_fixes, fixes_of
from anonymize.containers.messages.motion import turn_vectors
from anonymize.containers.messages.poses import Pose, change_poses, places_of, poses_of

LEVEL = {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}


def pose(x: float) -> dict:
    return {"position": {"x": x, "y": 2.0, "z": 3.0}, "orientation": LEVEL}


class Beside:
    """Moves poses by a hundred metres; those at less than zero go."""

    def pose(self, pose: Pose) -> tuple[Pose, float] | None:
        assert pose.listed
        assert pose.frame == "map"
        return None if pose.xyz[0] < 0.0 else (pose.turned(0.0, pose.xyz + 100.0), 0.0)


def test_poses_in_lists_of_lists_are_moved_or_go() -> None:
    fields = {"frame_id": "map", "poses": [[], [pose(1.0), pose(-1.0)], [[pose(5.0)]], [pose(-2.0)]]}
    assert [p.xyz[0] for p in poses_of(fields)] == [1.0, -1.0, 5.0, -2.0]
    assert [x for _, x, _, _ in places_of(fields)] == [1.0, -1.0, 5.0, -2.0]
    made = change_poses(fields, Beside())
    assert made is not None
    assert [x for _, x, _, _ in places_of(made)] == [101.0, 105.0]
    assert made["poses"][0] == []
    assert change_poses({"frame_id": "map", "poses": [[pose(-1.0)]]}, Beside()) is None


def test_fixes_in_lists_of_lists_are_read_and_moved() -> None:
    fields = {"fixes": [[{"latitude": 39.9, "longitude": 116.3, "altitude": 5.0}], []]}
    assert [fix.lat for fix in fixes_of(fields)] == [39.9]
    made = change_fixes(fields, lambda lat, lon: (lat + 1.0, lon + 2.0), keep_elevation=False)
    assert made is not None
    (moved,) = fixes_of(made)
    assert (moved.lat, moved.lon, moved.height_m) == (40.9, 118.3, 0.0)
    unknown = {"fixes": [[{"latitude": float("nan"), "longitude": 116.3}]]}
    assert change_fixes(unknown, lambda lat, lon: (lat, lon), keep_elevation=False) is None


def test_velocities_in_lists_of_lists_are_turned() -> None:
    fields = {"twists": [[{"linear": {"x": 1.0, "y": 0.0, "z": 0.0}}]]}
    (made,) = turn_vectors(fields, np.pi / 2)["twists"][0]
    assert [round(made["linear"][k], 9) for k in "xyz"] == [0.0, 1.0, 0.0]

"""Poses: nav_msgs/Odometry and Path, geometry_msgs/Pose*, foxglove.PoseInFrame and PosesInFrame.

A pose is a node with ``position`` and ``orientation``; its frame is that of the nearest header around it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from anonymize.containers.messages.fixes import stamp_of_message
from anonymize.containers.tree import Fields, child_frame_of, frame_of
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.rotation import about_up, multiply_quaternions, up_quaternion

_COVARIANCE = 36


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pose:
    """Where a body is in a frame.

    Attributes:
        frame: Name of the frame, without leading slash.
        child: Name of the body; empty where the message names none.
        stamp_ns: Its time in nanoseconds; 0 where it names none.
        xyz: Position in metres, shape (3,).
        xyzw: Orientation as a quaternion from the body into the frame, shape (4,).
        listed: Whether it is one of a list: then it need not be where the vehicle is.
    """

    frame: str
    child: str
    stamp_ns: int
    xyz: FloatArray
    xyzw: FloatArray
    listed: bool = False

    def turned(self, turn_rad: float, xyz: FloatArray) -> "Pose":
        """The pose in a frame whose directions are turned to the left by an angle, at a new position."""
        xyzw = self.xyzw if turn_rad == 0.0 else multiply_quaternions(up_quaternion(turn_rad), self.xyzw)
        return Pose(frame=self.frame, child=self.child, stamp_ns=self.stamp_ns, xyz=xyz, xyzw=xyzw,
                    listed=self.listed)  # fmt: skip


class Placement(Protocol):
    """How poses are carried into the frames of a release."""

    def pose(self, pose: Pose) -> tuple[Pose, float] | None:
        """The pose as released and the angle in radians by which directions turned; None: it must go."""
        ...


def poses_of(fields: Fields) -> Iterator[Pose]:
    """All poses of a message."""
    return _poses(fields, "", "", 0, listed=False)


def places_of(fields: Fields) -> Iterator[tuple[str, float, float, float]]:
    """Frame and x, y and z in metres of all poses of a message, and of any that lie deeper in lists.

    A pose that names a frame of its own is told in that and in the one around it.
    """
    return _places(fields, "")


def change_poses(fields: Fields, placement: Placement) -> Fields | None:
    """Carry all poses of a message over; poses in lists that must go are left out.

    Covariances of positions and orientations are turned with the pose. None when the message's own pose, or
    the last of its list, must go.
    """
    made = _changed(fields, placement, "", "", 0, listed=False)
    return made if isinstance(made, dict) else None


def turn_covariance(covariance: Any, turn_rad: float) -> Any:
    """Turn a 6 × 6 covariance (position, then rotation) to the left; others are returned as they are."""
    if turn_rad == 0.0 or len(covariance) != _COVARIANCE:
        return covariance
    turn = np.kron(np.eye(2), about_up(turn_rad))
    turned = turn @ np.asarray(covariance, dtype=np.float64).reshape(6, 6) @ turn.T
    return turned.ravel() if isinstance(covariance, np.ndarray) else turned.ravel().tolist()


def vector(node: Fields | None) -> FloatArray:
    """x, y and z of a node; zeros where protobuf left it out."""
    return np.array([node[k] for k in "xyz"] if node is not None else [0.0] * 3, dtype=np.float64)


def quaternion(node: Fields | None) -> FloatArray:
    """x, y, z and w of a node; no turn where protobuf left it out."""
    return np.array([node[k] for k in "xyzw"] if node is not None else [0.0, 0.0, 0.0, 1.0], dtype=np.float64)


def with_vector(node: Fields | None, values: FloatArray) -> Fields:
    """The node with other x, y and z."""
    return {**(node or {}), **dict(zip("xyz", values.tolist(), strict=True))}


def with_quaternion(node: Fields | None, values: FloatArray) -> Fields:
    """The node with other x, y, z and w."""
    return {**(node or {}), **dict(zip("xyzw", values.tolist(), strict=True))}


def _is_pose(node: Fields) -> bool:
    return "position" in node and "orientation" in node


def _frame(node: Fields, around: str) -> str:
    """The frame that a node names, or that around it."""
    if "header" in node or "frame_id" in node or "parent_frame_id" in node:
        return frame_of(node)
    return around


def _context(node: Fields, frame: str, child: str, stamp: int) -> tuple[str, str, int]:
    return _frame(node, frame), child_frame_of(node) or child, stamp_of_message(node) or stamp


def _pose(node: Fields, frame: str, child: str, stamp: int, *, listed: bool) -> Pose:
    return Pose(
        frame=frame,
        child=child,
        stamp_ns=stamp,
        xyz=vector(node["position"]),
        xyzw=quaternion(node["orientation"]),
        listed=listed,
    )


def _poses(node: Any, frame: str, child: str, stamp: int, *, listed: bool) -> Iterator[Pose]:
    if isinstance(node, list):
        for value in node:
            if isinstance(value, dict | list):
                yield from _poses(value, frame, child, stamp, listed=True)
    elif isinstance(node, dict):
        own = _context(node, frame, child, stamp)
        if _is_pose(node):
            yield _pose(node, *own, listed=listed)
            return
        for value in node.values():
            if isinstance(value, dict | list):
                yield from _poses(value, *own, listed=listed)


def _places(node: Any, frame: str) -> Iterator[tuple[str, float, float, float]]:
    if isinstance(node, dict):
        own = _frame(node, frame)
        if _is_pose(node):
            place = node["position"]
            x, y, z = (float(place[k]) for k in "xyz") if place is not None else (0.0, 0.0, 0.0)
            yield own, x, y, z
            if own != frame:
                yield frame, x, y, z
            return
        for value in node.values():
            if isinstance(value, dict | list):
                yield from _places(value, own)
    elif isinstance(node, list):
        for value in node:
            if isinstance(value, dict | list):
                yield from _places(value, frame)


def _changed(node: Any, placement: Placement, frame: str, child: str, stamp: int, *, listed: bool) -> Any:
    if isinstance(node, list) and node and isinstance(node[0], dict | list):
        items = [_changed(value, placement, frame, child, stamp, listed=True) for value in node]
        return [item for item in items if item is not None] or None
    if not isinstance(node, dict):
        return node
    own = _context(node, frame, child, stamp)
    if _is_pose(node):
        placed = placement.pose(_pose(node, *own, listed=listed))
        if placed is None:
            return None
        return {
            **node,
            "position": with_vector(node["position"], placed[0].xyz),
            "orientation": with_quaternion(node["orientation"], placed[0].xyzw),
        }
    made = dict(node)
    for key, value in node.items():
        if isinstance(value, dict | list):
            made[key] = _changed(value, placement, *own, listed=listed)
            if made[key] is None:
                return None
    inner = node.get("pose")
    if isinstance(inner, dict) and "covariance" in node and _is_pose(inner):
        placed = placement.pose(_pose(inner, *own, listed=listed))
        made["covariance"] = turn_covariance(node["covariance"], placed[1] if placed else 0.0)
    return made

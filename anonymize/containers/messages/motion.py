"""Motion: sensor_msgs/Imu, geometry_msgs/Twist*, Accel*, ackermann_msgs.

Rates and accelerations in the vehicle's own axes say nothing of directions on the ground and stay as they are.
"""

from typing import Any

import numpy as np

from anonymize.containers.messages.poses import (
    quaternion,
    turn_covariance,
    vector,
    with_quaternion,
    with_vector,
)
from anonymize.containers.tree import Fields
from anonymize.geo.rotation import about_up, multiply_quaternions, up_quaternion

_UNKNOWN = -1.0
_COVARIANCE = 9


def turn_imu(fields: Fields, turn_rad: float) -> Fields:
    """Turn the orientation of an IMU, which refers to east, north, up (ROS REP 145), to the left.

    An orientation that the message declares unknown (first element of its covariance -1, or no rotation at
    all) stays.
    """
    covariance = fields.get("orientation_covariance")
    known = covariance is None or not len(covariance) or float(covariance[0]) != _UNKNOWN
    node = fields.get("orientation")
    if not isinstance(node, dict) or not known:
        return fields
    before = quaternion(node)
    if not np.isfinite(before).all() or not before.any():
        return fields
    made = {
        **fields,
        "orientation": with_quaternion(node, multiply_quaternions(up_quaternion(turn_rad), before)),
    }
    if covariance is not None and len(covariance) == _COVARIANCE:
        turn = about_up(turn_rad)
        made["orientation_covariance"] = (
            turn @ np.asarray(covariance, dtype=np.float64).reshape(3, 3) @ turn.T
        ).ravel()
    return made


def turn_vectors(node: Any, turn_rad: float) -> Any:
    """Turn the velocities or accelerations of a message in a fixed frame to the left, covariances with them."""
    if isinstance(node, list):
        deeper = bool(node) and isinstance(node[0], dict | list)
        return [turn_vectors(v, turn_rad) for v in node] if deeper else node
    if not isinstance(node, dict):
        return node
    made = dict(node)
    for key, value in node.items():
        if key in {"linear", "angular"} and isinstance(value, dict):
            made[key] = with_vector(value, about_up(turn_rad) @ vector(value))
        elif key == "covariance":
            made[key] = turn_covariance(value, turn_rad)
        elif isinstance(value, dict | list):
            made[key] = turn_vectors(value, turn_rad)
    return made

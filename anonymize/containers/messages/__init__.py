"""How the fields of each family of messages are treated; messages are trees (``anonymize.containers.tree``)."""

from collections.abc import Mapping

_STAMPED = frozenset({"timestamp", "frame_id"})

KNOWN_FIELDS: Mapping[str, frozenset[str]] = {
    "tf/tfMessage": frozenset({"transforms"}),
    "tf2_msgs/TFMessage": frozenset({"transforms"}),
    "geographic_msgs/GeoPoint": frozenset({"latitude", "longitude", "altitude"}),
    "geographic_msgs/GeoPointStamped": frozenset({"header", "position"}),
    "ackermann_msgs/AckermannDrive": frozenset(
        {"steering_angle", "steering_angle_velocity", "speed", "acceleration", "jerk"}
    ),
    "ackermann_msgs/AckermannDriveStamped": frozenset({"header", "drive"}),
    "can_msgs/Frame": frozenset({"header", "id", "is_rtr", "is_extended", "is_error", "dlc", "data"}),
    "foxglove.CameraCalibration": _STAMPED | {"width", "height", "distortion_model", "D", "K", "R", "P"},
    "foxglove.CompressedImage": _STAMPED | {"data", "format"},
    "foxglove.FrameTransform": frozenset(
        {"timestamp", "parent_frame_id", "child_frame_id", "translation", "rotation"}
    ),
    "foxglove.FrameTransforms": frozenset({"transforms"}),
    "foxglove.LocationFix": _STAMPED
    | {"latitude", "longitude", "altitude", "position_covariance", "position_covariance_type"},
    "foxglove.LocationFixes": frozenset({"fixes"}),
    "foxglove.Log": frozenset({"timestamp", "level", "message", "name", "file", "line"}),
    "foxglove.PointCloud": _STAMPED | {"pose", "point_stride", "fields", "data"},
    "foxglove.PoseInFrame": _STAMPED | {"pose"},
    "foxglove.PosesInFrame": _STAMPED | {"poses"},
    "foxglove.RawImage": _STAMPED | {"width", "height", "encoding", "step", "data"},
}
"""The fields of types whose definitions rosbags does not ship; a schema that has others is refused."""

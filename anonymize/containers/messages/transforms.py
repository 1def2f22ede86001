"""Edges of the tree of frames: tf2_msgs/TFMessage, geometry_msgs/TransformStamped, foxglove.FrameTransform(s)."""

from collections.abc import Callable, Iterator

from anonymize.containers.messages.fixes import stamp_of_message
from anonymize.containers.messages.poses import (
    Pose,
    quaternion,
    vector,
    with_quaternion,
    with_vector,
)
from anonymize.containers.tree import Fields, child_frame_of, frame_of


def edges_of(fields: Fields) -> Iterator[Pose]:
    """All edges of a message: the pose of ``child`` in ``frame``."""
    for node in _nodes(fields):
        yield _edge(node)


def change_edges(fields: Fields, change: Callable[[Pose], Pose | None]) -> Fields | None:
    """Change every edge of a message; those that become None are left out, and None is returned without any."""
    if "transforms" not in fields:
        return _changed(fields, change)
    kept = [made for made in (_changed(node, change) for node in fields["transforms"]) if made is not None]
    return {**fields, "transforms": kept} if kept else None


def only_edges(fields: Fields, keep: Callable[[Pose], bool]) -> Fields | None:
    """A message of those edges that are wanted; itself where all are, None without any."""
    if all(keep(edge) for edge in edges_of(fields)) and fields.get("transforms", True):
        return fields
    return change_edges(fields, lambda edge: edge if keep(edge) else None)


def _nodes(fields: Fields) -> Iterator[Fields]:
    return iter(fields["transforms"]) if "transforms" in fields else iter((fields,))


def _body(node: Fields) -> Fields:
    inner = node.get("transform")
    return inner if isinstance(inner, dict) else node


def _edge(node: Fields) -> Pose:
    body = _body(node)
    return Pose(
        frame=frame_of(node),
        child=child_frame_of(node),
        stamp_ns=stamp_of_message(node),
        xyz=vector(body["translation"]),
        xyzw=quaternion(body["rotation"]),
    )


def _changed(node: Fields, change: Callable[[Pose], Pose | None]) -> Fields | None:
    edge = _edge(node)
    made = change(edge)
    if made is edge:
        return node
    if made is None:
        return None
    body = _body(node)
    moved = {
        **body,
        "translation": with_vector(body["translation"], made.xyz),
        "rotation": with_quaternion(body["rotation"], made.xyzw),
    }
    return moved if body is node else {**node, "transform": moved}

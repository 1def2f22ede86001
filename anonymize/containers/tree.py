"""The values that decoded messages are made of, and walks over them."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Fields = dict[str, Any]

_PER_S = 1_000_000_000
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:[/.][A-Za-z][A-Za-z0-9_]*)*")


@dataclass(frozen=True, slots=True)
class Stamp:
    """A moment in nanoseconds, however the message wrote it; zero means not set."""

    ns: int

    def split(self) -> tuple[int, int]:
        """Whole seconds and the nanoseconds after them."""
        return divmod(self.ns, _PER_S)


_STAMPED = (dict, list, Stamp)


def stamp_of(seconds: int, nanoseconds: int) -> Stamp:
    """The moment that seconds and nanoseconds name."""
    return Stamp(int(seconds) * _PER_S + int(nanoseconds))


def type_name(name: str) -> str:
    """A type's name without the ``msg`` of ROS 2: ``sensor_msgs/msg/Image`` is ``sensor_msgs/Image``."""
    return name.replace("/msg/", "/")


def is_type_name(name: str) -> bool:
    """Whether a name can be that of a type of ROS or protobuf."""
    return _NAME.fullmatch(name) is not None


def stamps(node: Any) -> Iterator[Stamp]:
    """All moments of a tree that are set."""
    found: list[Stamp] = []
    _add_stamps(node, found)
    return iter(found)


def map_leaves(node: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """A copy of a tree in which every leaf of one type is changed; untouched subtrees are shared."""
    if isinstance(node, kind):
        return change(node)
    if isinstance(node, dict):
        made = node
        for key, value in node.items():
            if isinstance(value, (kind, dict, list)):
                new = map_leaves(value, kind, change)
                if new is not value:
                    made = dict(node) if made is node else made
                    made[key] = new
        return made
    if isinstance(node, list) and node and isinstance(node[0], dict | list | str | Stamp):
        items = [map_leaves(value, kind, change) for value in node]
        return node if all(a is b for a, b in zip(items, node, strict=True)) else items
    return node


def _add_stamps(node: Any, found: list[Stamp]) -> None:
    if isinstance(node, dict):
        for value in node.values():
            if isinstance(value, _STAMPED):
                _add_stamps(value, found)
    elif isinstance(node, Stamp):
        if node.ns:
            found.append(node)
    elif isinstance(node, list) and node and isinstance(node[0], _STAMPED):
        for value in node:
            _add_stamps(value, found)


def frame_of(fields: Fields) -> str:
    """The frame that a message's values are in, without leading slash; empty where it names none."""
    header = fields.get("header")
    frame = header.get("frame_id") if isinstance(header, dict) else None
    return str(frame or fields.get("frame_id") or fields.get("parent_frame_id") or "").lstrip("/")


def child_frame_of(fields: Fields) -> str:
    """The frame that a message places, without leading slash; empty where it names none."""
    return str(fields.get("child_frame_id") or "").lstrip("/")


def recounted(node: Any, count: int) -> Any:
    """A copy of a tree in which the headers of ROS 1 carry a count of the release, not the recording's."""
    if isinstance(node, list):
        return [recounted(value, count) for value in node] if node and isinstance(node[0], dict) else node
    if not isinstance(node, dict):
        return node
    made = {
        key: recounted(value, count) if isinstance(value, dict | list) else value
        for key, value in node.items()
    }
    if "seq" in made and "stamp" in made:
        made["seq"] = count & 0xFFFFFFFF
    return made

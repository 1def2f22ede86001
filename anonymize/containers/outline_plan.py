"""Plans by which moments, strings and poses are read out of messages in CDR, compiled from definitions of ROS 2.

Types that are not made of standard parts in the usual order have no plan, or one that tells no poses.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from rosbags.interfaces import Nodetype
from rosbags.serde.utils import SIZEMAP
from rosbags.typesys.store import Typestore

HEAD_BYTES = 4
"""Length of the encapsulation, behind which alignment counts."""

_TIME = "builtin_interfaces/msg/Time"
_HEADER = "std_msgs/msg/Header"
_POSE = "geometry_msgs/msg/Pose"
_TRANSFORM = "geometry_msgs/msg/Transform"
_EDGE = "geometry_msgs/msg/TransformStamped"
_FIX_NAME = "sensor_msgs/msg/NavSatFix"
_FIX_FIELDS = ("header", "status", "latitude", "longitude")
_STATUS_FIELDS = [("status", "int8"), ("service", "uint16")]
_CONTEXT = frozenset({"header", "frame_id", "parent_frame_id", "child_frame_id", "timestamp", "stamp"})
_WIDEST = 8

# Steps of a plan, each with two numbers or a body: bytes to pass over, a string, moments, bodies in lists.
SKIP: Final = 0
TEXT: Final = 1
STAMP: Final = 2
PLACE: Final = 3
SKIP_EACH: Final = 4
EACH: Final = 5
FRAME: Final = 6
CHILD: Final = 7
OWN_STAMP: Final = 8
FIX: Final = 9

Step = tuple[int, Any, Any, Any]


class UnusualTypeError(Exception):
    """A type is not one that plans are made for."""


@dataclass(slots=True, kw_only=True)
class Plan:
    """Turns a definition into steps.

    The frame, the body and the time of a pose are those that the nearest struct around it names. Plans know them
    where the struct of the message, or of a list's elements, names them before its poses in a standard header.
    """

    store: Typestore
    edges: bool
    tells_places: bool = True
    tells_fix: bool = False
    _places: int = 0
    _steps: list[Step] = field(default_factory=list)

    def body(self, name: str) -> tuple[Step, ...]:
        """The steps of a message, or of one element of a list."""
        around, self._steps = self._steps, []
        self._struct(name, root=True)
        made, self._steps = tuple(self._steps), around
        return made

    def _struct(self, name: str, *, root: bool = False) -> None:
        fields = self.store.fielddefs[name][1]
        names = {field for field, _ in fields}
        if name == _TIME:
            self._require_moment(fields)
            self._steps.append((STAMP, 0, 0, 0))
        elif name == (_TRANSFORM if self.edges else _POSE):
            self._place(fields)
        else:
            if {"position", "orientation"} <= names or (not root and names & _CONTEXT):
                self.tells_places = False
            if root and names & {"frame_id", "parent_frame_id", "timestamp", "stamp"}:
                self.tells_places = False
            if root and self.edges and not self._is_of_edges(name, fields):
                self.tells_places = False
            if root and name == _FIX_NAME:
                fields = self._fix(fields)
            for entry, desc in fields:
                if root and entry in _CONTEXT:
                    self._named(entry, desc)
                else:
                    self._field(desc)

    def _is_of_edges(self, name: str, fields: Any) -> bool:
        if name == _EDGE:
            return True
        return [
            (entry, desc[0], desc[1][0][1]) for entry, desc in fields if desc[0] == Nodetype.SEQUENCE
        ] == [("transforms", Nodetype.SEQUENCE, _EDGE)] and len(fields) == 1

    def _named(self, entry: str, desc: Any) -> None:
        """A field that says for the poses of its struct where they are."""
        if self._places:
            self.tells_places = False
        kind, rest = desc
        if entry == "header" and kind == Nodetype.NAME and rest == _HEADER:
            fields: Any = self.store.fielddefs[_HEADER][1]
            if [name for name, _ in fields] != ["stamp", "frame_id"]:
                raise UnusualTypeError
            self._require_moment(self.store.fielddefs[fields[0][1][1]][1])
            self._steps += [(OWN_STAMP, 0, 0, 0), (FRAME, 0, 0, 0)]
        elif entry == "child_frame_id" and kind == Nodetype.BASE and rest[0] == "string":
            self._steps.append((CHILD, 0, 0, 0))
        else:
            self.tells_places = False
            self._field(desc)

    def _place(self, fields: Any) -> None:
        names = [name for name, _ in fields]
        parts = [self.store.fielddefs[desc[1]][1] for _, desc in fields if desc[0] == Nodetype.NAME]
        numbers = [(name, desc[1][0]) for part in parts for name, desc in part if desc[0] == Nodetype.BASE]
        wanted = ["translation", "rotation"] if self.edges else ["position", "orientation"]
        if names != wanted or numbers != [(axis, "float64") for axis in "xyzxyzw"]:
            raise UnusualTypeError
        self._places += 1
        self._steps.append((PLACE, 0, 0, 0))

    def _fix(self, fields: Any) -> Any:
        """Steps up to the position of a fix, and the fields behind it."""
        leading = fields[: len(_FIX_FIELDS)]
        status: Any = self.store.fielddefs[leading[1][1][1]][1]
        if (
            tuple(name for name, _ in leading) != _FIX_FIELDS
            or [(name, desc[1][0]) for name, desc in status] != _STATUS_FIELDS
            or any(desc[1][0] != "float64" for _, desc in leading[2:])
        ):
            raise UnusualTypeError
        self._named(*leading[0])
        self._steps.append((FIX, 0, 0, 0))
        self.tells_fix = True
        return fields[len(_FIX_FIELDS) :]

    def _require_moment(self, fields: Any) -> None:
        if [(name, desc[1][0]) for name, desc in fields] != [("sec", "int32"), ("nanosec", "uint32")]:
            raise UnusualTypeError

    def _field(self, desc: Any) -> None:
        kind, rest = desc
        if kind == Nodetype.NAME:
            self._struct(rest)
        elif kind == Nodetype.BASE:
            self._base(rest[0], 1)
        else:
            self._list(rest[0], count=rest[1] if kind == Nodetype.ARRAY else 0, array=kind == Nodetype.ARRAY)

    def _base(self, name: str, count: int) -> None:
        if name == "string":
            self._steps.append((TEXT, 0, 0, 0))
            return
        width = SIZEMAP.get(name, 0)  # type: ignore[call-overload]
        if not 0 < width <= _WIDEST:
            raise UnusualTypeError
        self._pass_over(width, width * count)

    def _pass_over(self, align: int, size: int) -> None:
        """Bytes of one alignment; those that follow others of the same or a wider one are passed in one step."""
        if self._steps and self._steps[-1][0] == SKIP:
            _, _, mask, behind = self._steps[-1]
            widest = -mask
            before = behind - (HEAD_BYTES if widest == _WIDEST else 0)
            if align <= widest:
                self._steps[-1] = _skip(widest, -(-before // align) * align + size)
                return
        self._steps.append(_skip(align, size))

    def _list(self, of: Any, *, count: int, array: bool) -> None:
        kind, rest = of
        if array and not count:
            raise UnusualTypeError
        if array and kind == Nodetype.BASE and rest[0] != "string":
            self._base(rest[0], count)
            return
        if kind == Nodetype.NAME:
            body = self.body(rest)
        else:
            around, self._steps = self._steps, []
            self._base(rest[0], 1)
            body, self._steps = tuple(self._steps), around
        if len(body) == 1 and body[0][0] == SKIP:
            _, add, mask, behind = body[0]
            widest = -mask
            size = behind - (HEAD_BYTES if widest == _WIDEST else 0)
            self._steps.append((SKIP_EACH, (add, mask, behind), -(-size // widest) * widest, count))
        else:
            self._steps.append((EACH, body, not self.edges, count))


def _skip(align: int, size: int) -> Step:
    # Alignment counts from behind the four bytes of the encapsulation.
    if align == _WIDEST:
        return SKIP, align - 1 - HEAD_BYTES, -align, size + HEAD_BYTES
    return SKIP, align - 1, -align, size

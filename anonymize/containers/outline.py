"""What decides about a message before its tree is built: its moments, its strings and where it places something.

Most messages leave a pass as they came. For those of ROS 2 a plan is compiled from the definition, which reads
moments, strings and poses out of the bytes and steps over all else. It answers as the tree would, or not at all:
whatever is unusual is left to decoding.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, NamedTuple, Self

from rosbags.interfaces import Nodetype
from rosbags.serde.utils import SIZEMAP
from rosbags.typesys.store import Typestore

from anonymize.containers.tree import type_name

_TIME = "builtin_interfaces/msg/Time"
_HEADER = "std_msgs/msg/Header"
_POSE = "geometry_msgs/msg/Pose"
_TRANSFORM = "geometry_msgs/msg/Transform"
_EDGES = frozenset({"tf2_msgs/TFMessage", "tf/tfMessage", "geometry_msgs/TransformStamped"})
_EDGE = "geometry_msgs/msg/TransformStamped"
_FIX_NAME = "sensor_msgs/msg/NavSatFix"
_FIX_FIELDS = ("header", "status", "latitude", "longitude")
_STATUS_FIELDS = [("status", "int8"), ("service", "uint16")]
_LEAST_DEG = 1e-9
_CONTEXT = frozenset({"header", "frame_id", "parent_frame_id", "child_frame_id", "timestamp", "stamp"})
_LITTLE_ENDIAN = b"\x00\x01"
_HEAD = 4
_TAIL = 3
_WIDEST = 8
_PER_S = 1_000_000_000
_REMEMBERED = 64
_MOST_PINS = 64
_MOST_PINNED = 1024

_COUNT = struct.Struct("<I")
_MOMENT = struct.Struct("<iI")
_SEVEN = struct.Struct("<7d")
_STATUS = struct.Struct("<b")
_TWO = struct.Struct("<2d")

# Steps of a plan, each with two numbers or a body: bytes to pass over, a string, moments, bodies in lists.
_SKIP: Final = 0
_TEXT: Final = 1
_STAMP: Final = 2
_PLACE: Final = 3
_SKIP_EACH: Final = 4
_EACH: Final = 5
_FRAME: Final = 6
_CHILD: Final = 7
_OWN_STAMP: Final = 8
_FIX: Final = 9

_Step = tuple[int, Any, Any, Any]


class Placed(NamedTuple):
    """A pose or an edge as numbers.

    Attributes:
        frame: Name of the frame, without leading slash.
        child: Name of the body; empty where the message names none.
        stamp_ns: Its time in nanoseconds; 0 where it names none.
        values: x, y and z in metres, then the orientation as x, y, z and w.
        listed: Whether it is one of a list of poses.
    """

    frame: str
    child: str
    stamp_ns: int
    values: tuple[float, ...]
    listed: bool


class Outline(NamedTuple):
    """What of a message decides whether it goes on as it is.

    Attributes:
        moments: Its stamps that are set, in nanoseconds, in the order of ``tree.stamps``.
        texts: All its strings.
        placed: What ``edges_of`` yields of a message of edges, ``poses_of`` of others; None where a plan cannot
            tell.
        fix: Latitude and longitude in degrees of a NavSatFix that is one (``fixes_of``); None of other types.
    """

    moments: list[int]
    texts: list[str]
    placed: list[Placed] | None
    fix: tuple[float, ...] | None = None


class UnusualTypeError(Exception):
    """A type is not one that plans are made for."""


class RosOutlines:
    """Reads the outlines of messages of one type, in CDR.

    Attributes:
        tells_edges: Whether what it tells as placed are edges, not poses.
    """

    def __init__(self, store: Typestore, name: str) -> None:
        """Compile the plan.

        Raises:
            UnusualTypeError: The type has a field that plans cannot pass over.
        """
        self.tells_edges = type_name(name) in _EDGES
        plan = _Plan(store=store, edges=self.tells_edges)
        self._body = plan.body(name)
        self._tells_places, self._tells_fix = plan.tells_places, plan.tells_fix
        self._layouts: dict[int, _Layout] = {}

    @classmethod
    def of(cls, store: Typestore, name: str) -> Self | None:
        """The reader of a type; None for types that plans are not made for."""
        try:
            return cls(store, name)
        except UnusualTypeError:
            return None

    def read(self, data: bytes) -> Outline | None:
        """The outline of a message; None where only decoding can tell, malformed messages among them."""
        layout = self._layouts.get(len(data))
        if layout is None or not layout.fits(data):
            layout = self._layout(data)
            if layout is None:
                return None
            if layout.small:
                if len(self._layouts) >= _REMEMBERED:
                    self._layouts.clear()
                self._layouts[len(data)] = layout
        return layout.outline(data)

    def _layout(self, data: bytes) -> "_Layout | None":
        if data[:2] != _LITTLE_ENDIAN or len(data) < _HEAD:
            return None
        layout = _Layout(size=len(data), tells_places=self._tells_places, tells_fix=self._tells_fix)
        layout.pin(data, 0, _HEAD)
        try:
            end = self._read(self._body, data, _HEAD, ("", "", ()), layout, listed=False)
        except (struct.error, IndexError, ValueError):
            return None
        if not end <= len(data) <= end + _TAIL:
            return None
        layout.close()
        return layout

    def _read(  # noqa: C901, PLR0912 - one branch for each kind of step
        self,
        body: tuple[_Step, ...],
        data: bytes,
        at: int,
        around: tuple[str, str, tuple[int, ...]],
        layout: "_Layout",
        *,
        listed: bool,
    ) -> int:
        frame, child, stamps = around
        for kind, a, b, c in body:
            if kind == _SKIP:
                at = ((at + a) & b) + c
            elif kind in _STRINGS:
                begin = (at + 3) & -4
                text, at = _text(data, begin)
                layout.pin(data, begin, at)
                layout.texts.append(text)
                if kind == _FRAME:
                    frame = text.lstrip("/")
                elif kind == _CHILD:
                    child = text.lstrip("/") or child
            elif kind in _MOMENTS:
                at = (at + 3) & -4
                layout.moments.append(layout.numbers(at, _MOMENT))
                at += _MOMENT.size
                if kind == _OWN_STAMP:
                    stamps = (layout.moments[-1], *stamps)
            elif kind == _PLACE:
                at = ((at + 3) & -8) + 4
                layout.places.append((frame, child, stamps, layout.numbers(at, _SEVEN), listed))
                at += _SEVEN.size
            elif kind == _FIX:
                layout.fixes.append(layout.numbers(at, _STATUS))
                at = ((((at + 2) & -2) + 2 + 3) & -8) + 4
                layout.numbers(at, _TWO)
                at += _TWO.size
            else:
                count = c
                if not count:
                    at = (at + 3) & -4
                    (count,) = _COUNT.unpack_from(data, at)
                    layout.pin(data, at, at + _COUNT.size)
                    at += _COUNT.size
                if kind == _EACH:
                    if count > len(data) - at:
                        raise ValueError("a list is longer than its message")
                    for _ in range(count):
                        at = self._read(a, data, at, (frame, child, stamps), layout, listed=b)
                elif count:
                    (add, mask, behind), stride = a, b
                    at = ((at + add) & mask) + behind + stride * (count - 1)
        return at


def _text(data: bytes, at: int) -> tuple[str, int]:
    (length,) = _COUNT.unpack_from(data, at)
    content = data[at + _COUNT.size : at + _COUNT.size + length]
    if not length or len(content) != length or content[-1]:
        raise ValueError("a string is cut short")
    return content[:-1].decode(), at + _COUNT.size + length


@dataclass(slots=True, kw_only=True)
class _Layout:
    """Where a message has its numbers; true of all that have its size, its strings and its counts.

    Strings and counts decide alone what stands where: a message that repeats those of the last one of its size has
    its numbers where that had them.
    """

    size: int
    tells_places: bool
    tells_fix: bool
    texts: list[str] = field(default_factory=list)
    moments: list[int] = field(default_factory=list)
    places: list[tuple[str, str, tuple[int, ...], int, bool]] = field(default_factory=list)
    fixes: list[int] = field(default_factory=list)
    _pins: list[tuple[int, int, bytes]] = field(default_factory=list)
    _format: list[str] = field(default_factory=lambda: ["<"])
    _end: int = 0
    _count: int = 0
    _unpack: Callable[[bytes], tuple[Any, ...]] = lambda _: ()

    @property
    def small(self) -> bool:
        """Whether it is short enough to be kept."""
        return len(self._pins) <= _MOST_PINS and sum(e - b for b, e, _ in self._pins) <= _MOST_PINNED

    def pin(self, data: bytes, begin: int, end: int) -> None:
        """Bytes that decide what stands where; those that follow one another are compared together."""
        if self._pins and self._pins[-1][1] == begin:
            begin = self._pins.pop()[0]
        self._pins.append((begin, end, data[begin:end]))

    def numbers(self, at: int, form: struct.Struct) -> int:
        """Numbers behind all others so far; returns the index of the first of them."""
        if at + form.size > self.size:
            raise ValueError("a number is cut short")
        self._format.append(f"{at - self._end}x{form.format[1:]}")
        self._end = at + form.size
        first, self._count = self._count, self._count + _NUMBERS[form]
        return first

    def close(self) -> None:
        """There are no more numbers."""
        self._unpack = struct.Struct("".join(self._format)).unpack_from

    def fits(self, data: bytes) -> bool:
        """Whether a message of the same size has the same strings and counts."""
        for begin, end, content in self._pins:  # noqa: SIM110 - called for each message; a generator takes longer
            if data[begin:end] != content:
                return False
        return True

    def outline(self, data: bytes) -> Outline:
        """The outline of a message that fits."""
        values = self._unpack(data)
        moments = []
        for i in self.moments:
            moment = values[i] * _PER_S + values[i + 1]
            if moment:
                moments.append(moment)
        if self.tells_fix:
            return Outline(moments, self.texts, [], self._fix(values))
        placed: list[Placed] = []
        for frame, child, stamps, i, listed in self.places:
            stamp = 0
            for s in stamps:
                stamp = stamp or values[s] * _PER_S + values[s + 1]
            placed.append(Placed(frame, child, stamp, values[i : i + 7], listed))
        return Outline(moments, self.texts, placed if self.tells_places else None)

    def _fix(self, values: tuple[Any, ...]) -> tuple[float, ...] | None:
        for i in self.fixes:
            status, lat, lon = values[i : i + 3]
            if status >= 0 and isfinite(lat) and isfinite(lon) and abs(lat) + abs(lon) >= _LEAST_DEG:
                return lat, lon
        return None


_NUMBERS = {_MOMENT: 2, _SEVEN: 7, _STATUS: 1, _TWO: 2}
_STRINGS = frozenset({_TEXT, _FRAME, _CHILD})
_MOMENTS = frozenset({_STAMP, _OWN_STAMP})


@dataclass(slots=True, kw_only=True)
class _Plan:
    """Turns a definition into steps.

    The frame, the body and the time of a pose are those that the nearest struct around it names. Plans know them
    where the struct of the message, or of a list's elements, names them before its poses in a standard header.
    """

    store: Typestore
    edges: bool
    tells_places: bool = True
    tells_fix: bool = False
    _places: int = 0
    _steps: list[_Step] = field(default_factory=list)

    def body(self, name: str) -> tuple[_Step, ...]:
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
            self._steps.append((_STAMP, 0, 0, 0))
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
            self._steps += [(_OWN_STAMP, 0, 0, 0), (_FRAME, 0, 0, 0)]
        elif entry == "child_frame_id" and kind == Nodetype.BASE and rest[0] == "string":
            self._steps.append((_CHILD, 0, 0, 0))
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
        self._steps.append((_PLACE, 0, 0, 0))

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
        self._steps.append((_FIX, 0, 0, 0))
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
            self._steps.append((_TEXT, 0, 0, 0))
            return
        width = SIZEMAP.get(name, 0)  # type: ignore[call-overload]
        if not 0 < width <= _WIDEST:
            raise UnusualTypeError
        self._pass_over(width, width * count)

    def _pass_over(self, align: int, size: int) -> None:
        """Bytes of one alignment; those that follow others of the same or a wider one are passed in one step."""
        if self._steps and self._steps[-1][0] == _SKIP:
            _, _, mask, behind = self._steps[-1]
            widest = -mask
            before = behind - (_HEAD if widest == _WIDEST else 0)
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
        if len(body) == 1 and body[0][0] == _SKIP:
            _, add, mask, behind = body[0]
            widest = -mask
            size = behind - (_HEAD if widest == _WIDEST else 0)
            self._steps.append((_SKIP_EACH, (add, mask, behind), -(-size // widest) * widest, count))
        else:
            self._steps.append((_EACH, body, not self.edges, count))


def _skip(align: int, size: int) -> _Step:
    # Alignment counts from behind the four bytes of the encapsulation.
    if align == _WIDEST:
        return _SKIP, align - 1 - _HEAD, -align, size + _HEAD
    return _SKIP, align - 1, -align, size

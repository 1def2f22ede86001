"""What decides about a message before its tree is built: its moments, its strings and where it places something.

Most messages leave a pass as they came. For those of ROS 2 a plan is compiled from the definition, which reads
moments, strings and poses out of the bytes and steps over all else. It answers as the tree would, or not at all:
whatever is unusual is left to decoding.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NamedTuple, Self

from rosbags.typesys.store import Typestore

from anonymize.containers.outline_plan import (
    CHILD,
    EACH,
    FIX,
    FRAME,
    HEAD_BYTES,
    OWN_STAMP,
    PLACE,
    SKIP,
    STAMP,
    TEXT,
    Plan,
    Step,
    UnusualTypeError,
)
from anonymize.containers.tree import type_name

_EDGES = frozenset({"tf2_msgs/TFMessage", "tf/tfMessage", "geometry_msgs/TransformStamped"})
_LEAST_DEG = 1e-9
_LITTLE_ENDIAN = b"\x00\x01"
_TAIL = 3
_PER_S = 1_000_000_000
_REMEMBERED = 64
_MOST_PINS = 64
_MOST_PINNED = 1024

_COUNT = struct.Struct("<I")
_MOMENT = struct.Struct("<iI")
_SEVEN = struct.Struct("<7d")
_STATUS = struct.Struct("<b")
_TWO = struct.Struct("<2d")


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
        plan = Plan(store=store, edges=self.tells_edges)
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
        if data[:2] != _LITTLE_ENDIAN or len(data) < HEAD_BYTES:
            return None
        layout = _Layout(size=len(data), tells_places=self._tells_places, tells_fix=self._tells_fix)
        layout.pin(data, 0, HEAD_BYTES)
        try:
            end = self._read(self._body, data, HEAD_BYTES, ("", "", ()), layout, listed=False)
        except (struct.error, IndexError, ValueError):
            return None
        if not end <= len(data) <= end + _TAIL:
            return None
        layout.close()
        return layout

    def _read(  # noqa: C901, PLR0912 - one branch for each kind of step
        self,
        body: tuple[Step, ...],
        data: bytes,
        at: int,
        around: tuple[str, str, tuple[int, ...]],
        layout: "_Layout",
        *,
        listed: bool,
    ) -> int:
        frame, child, stamps = around
        for kind, a, b, c in body:
            if kind == SKIP:
                at = ((at + a) & b) + c
            elif kind in _STRINGS:
                begin = (at + 3) & -4
                text, at = _text(data, begin)
                layout.pin(data, begin, at)
                layout.texts.append(text)
                if kind == FRAME:
                    frame = text.lstrip("/")
                elif kind == CHILD:
                    child = text.lstrip("/") or child
            elif kind in _MOMENTS:
                at = (at + 3) & -4
                layout.moments.append(layout.numbers(at, _MOMENT))
                at += _MOMENT.size
                if kind == OWN_STAMP:
                    stamps = (layout.moments[-1], *stamps)
            elif kind == PLACE:
                at = ((at + 3) & -8) + 4
                layout.places.append((frame, child, stamps, layout.numbers(at, _SEVEN), listed))
                at += _SEVEN.size
            elif kind == FIX:
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
                if kind == EACH:
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
_STRINGS = frozenset({TEXT, FRAME, CHILD})
_MOMENTS = frozenset({STAMP, OWN_STAMP})

"""Shapes of labels. In a picture, coordinates are kept to 1/1024 pixel: corners and centres convert exactly."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scipy.spatial.transform import Rotation, Slerp  # type: ignore[import-untyped]
from shapely.geometry import Polygon as Ring
from shapely.validation import explain_validity

from pipeline.labelling.errors import LabelError
from pipeline.labelling.ontology import GeometryKind

_STEPS_PER_PIXEL: Final = 1024
_MOST_PIXELS: Final = 2**20
_LEAST_POINTS: Final = 3
_UNIT: Final = 1e-6

Point = tuple[float, float]
Triple = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundingBox:
    """A box in a picture, in pixels: half-open, from its upper left corner, origin at that of the picture.

    Raises:
        LabelError: A number is not finite, or the box has no area at 1/1024 pixel.
    """

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        got = (self.x, self.y, self.width, self.height)
        _finite("box", got)
        left, top = _kept(self.x), _kept(self.y)
        width, height = _kept(self.x + self.width) - left, _kept(self.y + self.height) - top
        if min(width, height) <= 0:
            raise LabelError(f"box (got {got}, expected a positive width and height)")
        for name, value in (("x", left), ("y", top), ("width", width), ("height", height)):
            object.__setattr__(self, name, value)

    @property
    def kind(self) -> GeometryKind:
        """Its kind."""
        return GeometryKind.BBOX

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return self.x, self.y, self.x + self.width, self.y + self.height


@dataclass(frozen=True, slots=True, kw_only=True)
class Polygon:
    """A closed ring in a picture, in pixels; the last point is not the first again.

    Raises:
        LabelError: A number is not finite, there are fewer than 3 points, or the ring crosses or touches itself.
    """

    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        for point in self.points:
            _finite("point of the polygon", point)
        points = tuple((_kept(x), _kept(y)) for x, y in self.points)
        if len(points) < _LEAST_POINTS:
            raise LabelError(f"polygon (got {len(points)} points, expected at least {_LEAST_POINTS})")
        ring = Ring(points)
        if len(set(points)) != len(points) or not ring.is_valid or ring.area <= 0:
            why = explain_validity(ring) if not ring.is_valid else "a point twice, or no area"
            raise LabelError(f"polygon (got {why}, expected a ring that does not cross or touch itself)")
        object.__setattr__(self, "points", points)

    @property
    def kind(self) -> GeometryKind:
        """Its kind."""
        return GeometryKind.POLYGON

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        xs, ys = zip(*self.points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuboid:
    """A box in space.

    Attributes:
        centre: x, y, z in metres.
        size: Length along its own x axis (forward), width along y, height along z, in metres.
        quaternion: x, y, z, w: turns its own axes into those of the frame; of length 1.
        frame: Name of the frame of reference, such as ``lidar``.

    Raises:
        LabelError: A number is not finite, a size not positive, the quaternion not of length 1, the frame no name.
    """

    centre: Triple
    size: Triple
    quaternion: Quaternion
    frame: str

    def __post_init__(self) -> None:
        for name, value, count in (
            ("centre", self.centre, 3),
            ("size", self.size, 3),
            ("quaternion", self.quaternion, 4),
        ):
            if len(value) != count:
                raise LabelError(f"{name} of the cuboid (got {len(value)} numbers, expected {count})")
            _finite(f"{name} of the cuboid", value)
            object.__setattr__(self, name, tuple(float(each) for each in value))
        if min(self.size) <= 0:
            raise LabelError(f"size of the cuboid (got {self.size}, expected positive metres)")
        length = math.hypot(*self.quaternion)
        if abs(length - 1) > _UNIT:
            raise LabelError(f"quaternion of the cuboid (got length {length}, expected 1)")
        if not self.frame.isidentifier() or not self.frame.isascii():
            raise LabelError(f"frame of the cuboid (got {self.frame!r}, expected a name such as 'lidar')")

    @property
    def kind(self) -> GeometryKind:
        """Its kind."""
        return GeometryKind.CUBOID


Geometry = BoundingBox | Polygon | Cuboid


def between(start: Geometry, end: Geometry, share: float) -> Geometry:
    """The shape at a share of the way from one to another: corners and centres linearly, turns by slerp.

    Raises:
        LabelError: They are of two kinds, have different counts of points or frames, or the ring between crosses
            itself.
    """
    match start, end:
        case BoundingBox(), BoundingBox():
            left, top, right, bottom = _mixed(start.extent, end.extent, share)
            return BoundingBox(x=left, y=top, width=right - left, height=bottom - top)
        case Polygon(), Polygon():
            if len(start.points) != len(end.points):
                raise LabelError(
                    f"points of the key polygons (got {len(start.points)} and {len(end.points)}, expected as many)"
                )
            pairs = zip(start.points, end.points, strict=True)
            return Polygon(points=tuple((x, y) for a, b in pairs for x, y in [_mixed(a, b, share)]))
        case Cuboid(), Cuboid():
            if start.frame != end.frame:
                raise LabelError(
                    f"frames of the key cuboids (got {start.frame!r} and {end.frame!r}, expected one)"
                )
            turn = Slerp([0, 1], Rotation.from_quat([start.quaternion, end.quaternion]))(share).as_quat()
            x, y, z = _mixed(start.centre, end.centre, share)
            length, width, height = _mixed(start.size, end.size, share)
            qx, qy, qz, qw = (float(each) for each in turn)
            return Cuboid(
                centre=(x, y, z), size=(length, width, height), quaternion=(qx, qy, qz, qw), frame=start.frame
            )
        case _:
            raise LabelError(
                f"key labels (got {start.kind.value} and {end.kind.value}, expected of one kind)"
            )


def _mixed(start: Sequence[float], end: Sequence[float], share: float) -> list[float]:
    return [a + (b - a) * share for a, b in zip(start, end, strict=True)]


def _kept(value: float) -> float:
    return round(value * _STEPS_PER_PIXEL) / _STEPS_PER_PIXEL


def _finite(what: str, numbers: Sequence[float]) -> None:
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise LabelError(f"{what} (got {tuple(numbers)}, expected finite numbers)")
    if "cuboid" not in what and max(abs(number) for number in numbers) > _MOST_PIXELS:
        raise LabelError(f"{what} (got {tuple(numbers)}, expected pixels of at most {_MOST_PIXELS})")

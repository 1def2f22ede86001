"""How far shapes of one kind cover each other, and which belong together."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]
from scipy.spatial.transform import Rotation  # type: ignore[import-untyped]
from shapely.geometry import MultiPoint
from shapely.geometry import Polygon as Ring

from pipeline.labelling.geometry import BoundingBox, Cuboid, Geometry, Polygon

_SAME_CLASS: Final = 1e-3
_CORNERS: Final = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])

Matrix = npt.NDArray[np.float64]


def overlaps(first: Sequence[Geometry], second: Sequence[Geometry]) -> Matrix:
    """Intersection over union of each of the first with each of the second, in [0, 1]; 0 between kinds or frames.

    Of cuboids it is that of their outlines on the ground times their common height: exact for those that stand
    upright.
    """
    boxes = [[shape for shape in side if isinstance(shape, BoundingBox)] for side in (first, second)]
    if len(boxes[0]) == len(first) and len(boxes[1]) == len(second):
        return _of_boxes(boxes[0], boxes[1])
    solids = [[_solid(shape) for shape in side] for side in (first, second)]
    found = np.zeros((len(first), len(second)))
    for i, a in enumerate(solids[0]):
        for j, b in enumerate(solids[1]):
            if a[0] == b[0]:
                height = min(a[3], b[3]) - max(a[2], b[2])
                common = a[1].intersection(b[1]).area * max(0.0, height)
                whole = a[1].area * (a[3] - a[2]) + b[1].area * (b[3] - b[2]) - common
                found[i, j] = common / whole if whole > 0 else 0.0
    return np.clip(found, 0.0, 1.0)


def matched(
    first: Sequence[Geometry],
    second: Sequence[Geometry],
    classes: tuple[Sequence[str], Sequence[str]],
    least: float,
) -> list[tuple[int, int, float]]:
    """Pairs of places that belong together, with their overlap, by the Hungarian method.

    As much overlap as can be is matched over all pairs that overlap by at least ``least``; of equal ones, those of
    one class. Pairs may be of two classes: that is what there is to find.
    """
    if not first or not second:
        return []
    iou = overlaps(first, second)
    same = np.asarray(classes[0], dtype=object)[:, None] == np.asarray(classes[1], dtype=object)[None, :]
    gain = np.where(iou >= max(least, 1e-9), iou + 1 + _SAME_CLASS * same, 0.0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [(int(i), int(j), float(iou[i, j])) for i, j in zip(rows, columns, strict=True) if gain[i, j] > 0]


def _of_boxes(first: Sequence[BoundingBox], second: Sequence[BoundingBox]) -> Matrix:
    a, b = (np.array([each.extent for each in side], float).reshape(-1, 4) for side in (first, second))
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.clip(high - low, 0.0, None), axis=2)
    areas = [np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (a, b)]
    found: Matrix = common / (areas[0][:, None] + areas[1][None, :] - common)
    return found


def _solid(shape: Geometry) -> tuple[str, Any, float, float]:
    """Where it is, its outline, and from which height to which; what lies in a picture has height 1."""
    match shape:
        case BoundingBox():
            left, top, right, bottom = shape.extent
            return "bbox", Ring([(left, top), (right, top), (right, bottom), (left, bottom)]), 0.0, 1.0
        case Polygon():
            return "polygon", Ring(shape.points), 0.0, 1.0
        case Cuboid():
            turned = Rotation.from_quat(shape.quaternion).apply(_CORNERS * shape.size) + shape.centre
            outline = MultiPoint(turned[:, :2]).convex_hull
            return f"cuboid in {shape.frame}", outline, float(turned[:, 2].min()), float(turned[:, 2].max())

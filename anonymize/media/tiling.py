"""Where detectors look: magnifications and windows that follow from the objects that must be found."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

from anonymize.media.detection import Look

_STEP = 2.0
_OVERLAP_SHARE = 1.5
_CHEAP_PIXELS = 1_080_000
_CELL_PX = 192


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSizes:
    """Objects that a network finds reliably, in pixels of its input; measured, not wished.

    Attributes:
        smallest_px: Least height.
        largest_px: Greatest height.
        aspect: Greatest ratio of width to height, at least 1.
        magnification: Enlargement beyond which nothing more is found.
        tallest_share: Height of the largest object that can occur, as a share of the image's.
        plain_px: Height in pixels of the image from which an object is seen so plainly that the network is
            sure of it; a wrong box of that size destroys much.
        plain_confidence: Confidence that boxes of that height need.
    """

    smallest_px: float
    largest_px: float
    aspect: float = 1.0
    magnification: float = 3.0
    tallest_share: float = 1.0
    plain_px: float = float("inf")
    plain_confidence: float = 0.0

    def plausible(self, height_px: float, confidence: float) -> bool:
        """Whether a box of this height in pixels of the image is believed at this confidence."""
        return height_px < self.plain_px or confidence >= self.plain_confidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Rectangle:
    """Half-open rectangle in whole pixels of the image."""

    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """One pass over an image.

    Attributes:
        factor: Pixels of the network's input per pixel of the image.
        overlap_px: How far windows overlap, in pixels of the image: at least the largest object for which
            this pass answers, so that each of them lies whole in a window.
        smaller_than_px: Height in pixels of the image below which objects are this pass's; coarser passes
            find the others.
    """

    factor: float
    overlap_px: int
    smaller_than_px: float


def scales_for(size: tuple[int, int], reach_px: int, sizes: ObjectSizes, look: Look) -> tuple[Scale, ...]:
    """The passes over an image, coarsest first; each magnifies twice as much as the one before.

    The finest brings objects of ``reach_px`` to the smallest size that the network finds; small images are
    magnified further, up to about a megapixel, since that costs next to nothing. Coarser passes are added
    until the largest object that can occur is no larger than what the network finds. The residual look takes
    three quarters of each factor, so that every object falls onto another sampling grid and size.

    Args:
        size: Width and height of the image in pixels.
        reach_px: Least height in pixels of the image of what must be found.
        sizes: What the network finds.
        look: Which of the two looks.
    """
    width, height = size
    cheap = sqrt(_CHEAP_PIXELS / (width * height))
    finest = min(sizes.magnification, max(sizes.smallest_px / reach_px, cheap))
    if look is Look.RESIDUAL:
        finest *= 0.75
    factors = [finest]
    tallest = min(height, 2 * width) * sizes.tallest_share
    while tallest * factors[-1] > sizes.largest_px:
        factors.append(factors[-1] / _STEP)
    scales = []
    for place, factor in enumerate(factors):
        last = place == len(factors) - 1
        handled = sizes.largest_px if last else sizes.smallest_px * _STEP * _OVERLAP_SHARE
        scales.append(
            Scale(
                factor=factor,
                overlap_px=ceil(handled * sizes.aspect / factor),
                smaller_than_px=handled / factor,
            )
        )
    return tuple(reversed(scales))


def windows(area: Rectangle, scale: Scale, side_px: tuple[int, int]) -> tuple[Rectangle, ...]:
    """Cover an area with equal overlapping windows.

    Args:
        area: What is to be covered.
        scale: The pass.
        side_px: Greatest width and height of a window in pixels of the network's input.
    """
    columns = _spans(area.x0, area.x1, scale.overlap_px, max(1, int(side_px[0] / scale.factor)))
    rows = _spans(area.y0, area.y1, scale.overlap_px, max(1, int(side_px[1] / scale.factor)))
    return tuple(Rectangle(x0=a, y0=c, x1=b, y1=d) for c, d in rows for a, b in columns)


def _spans(start: int, stop: int, overlap: int, longest: int) -> list[tuple[int, int]]:
    """Equal spans of at most ``longest`` that overlap by ``overlap``, or by half of themselves if that is less."""
    length = stop - start
    if length <= longest:
        return [(start, stop)]
    overlap = min(overlap, longest // 2)
    count = ceil((length - overlap) / (longest - overlap))
    span = min(longest, ceil((length + (count - 1) * overlap) / count))
    starts = [start + round(i * (length - span) / (count - 1)) for i in range(count)]
    return [(s, s + span) for s in starts]


def areas_around(boxes: NDArray[np.float32], size: tuple[int, int], scale: Scale) -> Sequence[Rectangle]:
    """Rectangles of a coarse grid that hold all boxes with a margin of context.

    Args:
        boxes: N × 4 corners in pixels of the image.
        size: Width and height of the image.
        scale: The pass that will look there; cells of the grid have a fixed size in its input.
    """
    width, height = size
    cell = max(1, round(_CELL_PX / scale.factor))
    grid = np.zeros((ceil(height / cell), ceil(width / cell)), dtype=bool)
    margin = cell / 4
    low = np.clip((boxes[:, :2] - margin) // cell, 0, None).astype(int)
    high = np.floor((boxes[:, 2:] + margin) / cell).astype(int) + 1
    for (x0, y0), (x1, y1) in zip(low, high, strict=True):
        grid[y0:y1, x0:x1] = True
    found = ndimage.find_objects(ndimage.label(grid, np.ones((3, 3)))[0])
    return [
        Rectangle(
            x0=columns.start * cell,
            y0=rows.start * cell,
            x1=min(width, columns.stop * cell),
            y1=min(height, rows.stop * cell),
        )
        for rows, columns in found
    ]

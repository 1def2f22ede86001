"""Which pixels a mask covers: an enlarged box, an ellipse over the object, or the middle of a round sign."""

from dataclasses import dataclass
from math import ceil, floor, sqrt

import numpy as np
from numpy.typing import NDArray

from anonymize.finding import Finding, PixelBox
from anonymize.profile import MaskTreatment

_BORDER_PX = 2
# GB 5768.2: the red ring of a round prohibition sign is a tenth of its outer diameter wide (60 cm: 6 cm,
# 120 cm: 12 cm), so that its white disc, which holds the figure, measures four fifths.
_DISC_SHARE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """What one mask covers.

    Attributes:
        box: The box that holds it.
        inside: h × w, true where it covers; None for all of the box.
    """

    box: PixelBox
    inside: NDArray[np.bool_] | None

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of ``box``."""
        return slice(self.box.y0, self.box.y1), slice(self.box.x0, self.box.x1)

    @property
    def area(self) -> int:
        """Pixels of ``box``."""
        return (self.box.x1 - self.box.x0) * (self.box.y1 - self.box.y0)


def enlarged(box: PixelBox, *, share: float, size: tuple[int, int]) -> PixelBox:
    """Grow a box by ``share`` of its sides on each side, at least a pixel, and clip it to the image.

    A box that comes within two pixels of the border takes the border with it.

    Args:
        box: Half-open box of at least one pixel inside the image.
        share: Share of width and height added on each side.
        size: Width and height of the image in pixels.
    """
    grow_x = max(1, ceil((box.x1 - box.x0) * share))
    grow_y = max(1, ceil((box.y1 - box.y0) * share))
    x0, x1 = _span(box.x0 - grow_x, box.x1 + grow_x, size[0])
    y0, y1 = _span(box.y0 - grow_y, box.y1 + grow_y, size[1])
    return PixelBox(x0=x0, y0=y0, x1=x1, y1=y1)


def _span(low: int, high: int, end: int) -> tuple[int, int]:
    return (0 if low <= _BORDER_PX else low), (end if high >= end - _BORDER_PX else high)


def box_of(finding: Finding, size: tuple[int, int]) -> PixelBox:
    """The finding's box, which lies in an image of that width and height.

    Raises:
        ValueError: It has none, or it does not.
    """
    box = finding.where
    if not isinstance(box, PixelBox):
        raise ValueError(f"only findings with pixel boxes can be masked (got {type(box).__name__})")  # noqa: TRY004
    if not (0 <= box.x0 < box.x1 <= size[0] and 0 <= box.y0 < box.y1 <= size[1]):
        raise ValueError(
            f"the box does not lie in the image (got {box}, expected inside {size[0]}×{size[1]})"
        )
    return box


def region_of(finding: Finding, treatment: MaskTreatment, size: tuple[int, int]) -> Region:
    """What the mask of a finding covers in an image of that width and height.

    Raises:
        ValueError: The finding has no pixel box, or its box lies outside the image.
    """
    box = box_of(finding, size)
    if treatment.region == "figure":
        return figure_of(box, enlarge=treatment.enlarge, size=size)
    if treatment.shape == "box":
        return Region(box=enlarged(box, share=treatment.enlarge, size=size), inside=None)
    # An ellipse through the corners of a box is √2 times as wide and high: it covers the whole object.
    region = _ellipse(box, axes=max(1 + 2 * treatment.enlarge, sqrt(2)), size=size)
    return _with_box(region, enlarged(box, share=0.0, size=size))


def figure_of(box: PixelBox, *, enlarge: float, size: tuple[int, int]) -> Region:
    """The white disc of a round sign; all of a sign that is cut off, whose middle is not that of its box."""
    whole = enlarged(box, share=enlarge, size=size)
    if whole.x0 == 0 or whole.y0 == 0 or whole.x1 == size[0] or whole.y1 == size[1]:
        return Region(box=whole, inside=None)
    return _ellipse(box, axes=_DISC_SHARE * (1 + 2 * enlarge), size=size)


def _ellipse(box: PixelBox, *, axes: float, size: tuple[int, int]) -> Region:
    """Every pixel that an ellipse about the middle of the box touches; its axes are ``axes`` times the sides."""
    middle_x, middle_y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    half_x, half_y = (box.x1 - box.x0) * axes / 2, (box.y1 - box.y0) * axes / 2
    x0, x1 = max(0, floor(middle_x - half_x)), min(size[0], ceil(middle_x + half_x))
    y0, y1 = max(0, floor(middle_y - half_y)), min(size[1], ceil(middle_y + half_y))
    # The distance of a pixel is that of its nearest edge, so that no touched pixel shows through.
    across = np.maximum(np.abs(np.arange(x0, x1) + 0.5 - middle_x) - 0.5, 0.0) / half_x
    down = np.maximum(np.abs(np.arange(y0, y1) + 0.5 - middle_y) - 0.5, 0.0) / half_y
    return Region(
        box=PixelBox(x0=x0, y0=y0, x1=x1, y1=y1), inside=across[None, :] ** 2 + down[:, None] ** 2 < 1.0
    )


def _with_box(region: Region, box: PixelBox) -> Region:
    """The region and everything within ``box``, which takes borders with it that an ellipse leaves."""
    ellipse = region.box
    hull = PixelBox(
        x0=min(ellipse.x0, box.x0), y0=min(ellipse.y0, box.y0),
        x1=max(ellipse.x1, box.x1), y1=max(ellipse.y1, box.y1),
    )  # fmt: skip
    inside = np.zeros((hull.y1 - hull.y0, hull.x1 - hull.x0), dtype=np.bool_)
    inside[ellipse.y0 - hull.y0 : ellipse.y1 - hull.y0, ellipse.x0 - hull.x0 : ellipse.x1 - hull.x0] = (
        region.inside
    )
    inside[box.y0 - hull.y0 : box.y1 - hull.y0, box.x0 - hull.x0 : box.x1 - hull.x0] = True
    return Region(box=hull, inside=inside)

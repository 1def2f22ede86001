"""Masks that destroy what they cover. Blur is not among them: it can be inverted (DESIGN.md §4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import ProfileError
from anonymize.finding import Finding, FindingKind, PixelBox
from anonymize.media.detection import Image
from anonymize.profile import ImageProfile, MaskTreatment

_GREY = 128
_BORDER_PX = 2
_FACE_CELLS = 8
_PLATE_CELLS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedImage:
    """A masked copy.

    Attributes:
        image: H × W × 3; equal to the original outside ``mask``.
        mask: H × W; true where pixels were destroyed.
        boxes: The enlarged boxes that were masked, in the order of the findings.
    """

    image: Image
    mask: NDArray[np.bool_]
    boxes: tuple[PixelBox, ...]


def treatment_of(kind: FindingKind, profile: ImageProfile) -> MaskTreatment:
    """The profile's treatment of a kind of finding.

    Raises:
        ProfileError: The profile has no mask for that kind, or its pixelation would leave too much.
    """
    if kind is FindingKind.FACE:
        treatment, most = profile.face, _FACE_CELLS
    elif kind is FindingKind.PLATE:
        treatment, most = profile.plate, _PLATE_CELLS
    else:
        raise ProfileError(
            f"the profile has no mask for this kind (got {kind.value!r}, expected face or plate)"
        )
    if treatment.mode == "pixelate" and treatment.cells > most:
        raise ProfileError(
            f"too many cells for a {kind.value} (got {treatment.cells}, expected at most {most})"
        )
    return treatment


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


def mask(image: Image, findings: Sequence[Finding], *, profile: ImageProfile) -> MaskedImage:
    """Destroy the pixels of the findings in a copy of the image.

    Every fill is computed from the original, so that the order of findings does not matter to what is
    destroyed; where boxes overlap, the larger one is filled first.

    Args:
        image: H × W × 3; it is not changed.
        findings: Faces and plates of this image.
        profile: Says how each kind is masked.

    Raises:
        ProfileError: A finding's kind has no mask in the profile.
        ValueError: A finding has no pixel box, or its box lies outside the image.
    """
    height, width = image.shape[:2]
    jobs = []
    for finding in findings:
        treatment = treatment_of(finding.kind, profile)
        where = _inside(finding, (width, height))
        jobs.append((enlarged(where, share=treatment.enlarge, size=(width, height)), finding.kind, treatment))
    done = image.copy()
    covered = np.zeros((height, width), dtype=np.bool_)
    for box, kind, treatment in sorted(jobs, key=lambda job: -_area(job[0])):
        rows, columns = slice(box.y0, box.y1), slice(box.x0, box.x1)
        done[rows, columns] = _fill(image[rows, columns], kind, treatment)
        covered[rows, columns] = True
    return MaskedImage(image=done, mask=covered, boxes=tuple(box for box, _, _ in jobs))


def _inside(finding: Finding, size: tuple[int, int]) -> PixelBox:
    box = finding.where
    if not isinstance(box, PixelBox):
        raise ValueError(f"only findings with pixel boxes can be masked (got {type(box).__name__})")  # noqa: TRY004
    if not (0 <= box.x0 < box.x1 <= size[0] and 0 <= box.y0 < box.y1 <= size[1]):
        raise ValueError(
            f"the box does not lie in the image (got {box}, expected inside {size[0]}×{size[1]})"
        )
    return box


def _area(box: PixelBox) -> int:
    return (box.x1 - box.x0) * (box.y1 - box.y0)


def _fill(region: Image, kind: FindingKind, treatment: MaskTreatment) -> Image:
    """The pixels that replace ``region``."""
    if treatment.mode == "solid":
        return np.full_like(region, _GREY)
    if treatment.mode == "mean":
        return _cells(region, 1, 1)
    height, width = region.shape[:2]
    if kind is FindingKind.PLATE:
        across, down = (treatment.cells, 1) if width >= height else (1, treatment.cells)
    else:
        longer = max(width, height)
        across, down = (max(1, round(treatment.cells * side / longer)) for side in (width, height))
    return _cells(region, min(across, width), min(down, height))


def _cells(region: Image, across: int, down: int) -> Image:
    filled = np.empty_like(region)
    edges_x = np.linspace(0, region.shape[1], across + 1).round().astype(int)
    edges_y = np.linspace(0, region.shape[0], down + 1).round().astype(int)
    for y0, y1 in pairwise(edges_y):
        for x0, x1 in pairwise(edges_x):
            cell = region[y0:y1, x0:x1]
            filled[y0:y1, x0:x1] = np.rint(cell.reshape(-1, 3).mean(axis=0)).astype(np.uint8)
    return filled

"""What masks put in place of the pixels they destroy."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageFilter

from anonymize.finding import FindingKind
from anonymize.media.detection import Image
from anonymize.media.replacement import replaced
from anonymize.profile import MaskTreatment

_GREY = 128
_LEVEL = 16


def fill_of(
    region: Image, inside: NDArray[np.bool_] | None, kind: FindingKind, treatment: MaskTreatment
) -> Image:
    """The pixels that replace ``region``, or one pixel where all are alike.

    Args:
        region: h × w × 3 of the original.
        inside: h × w, true where it will be replaced; None for all of it.
        kind: What is masked; says how cells are laid out.
        treatment: How it is masked.

    Raises:
        ModelError: A replacement is missing, fails or shows what it had to replace.
    """
    if treatment.mode == "solid":
        return np.full((1, 1, 3), _GREY, dtype=np.uint8)
    if treatment.mode == "mean":
        return _mean(region) if inside is None else _mean(region[inside][None])
    if treatment.mode == "pixelate":
        return _pixelated(region, kind, treatment.cells)
    if treatment.mode == "blur":
        return _blurred(region, treatment.blur_share)
    return replaced(region, kind)


def _mean(pixels: Image) -> Image:
    sums = np.add.reduce(pixels, axis=0, dtype=np.uint32).sum(axis=0, dtype=np.uint64)
    count = pixels.shape[0] * pixels.shape[1]
    mean: Image = np.rint(sums / count).astype(np.uint8)
    return mean[None, None]


def _pixelated(region: Image, kind: FindingKind, cells: int) -> Image:
    """Cells of their own mean, rounded to the middle of one of 16 levels.

    A camera's noise moves exact means from frame to frame, and the average over the frames of a video would
    tell them far better than one frame does; rounding keeps the noise out of all but the cells at the edge of
    a level.
    """
    height, width = region.shape[:2]
    if kind in {FindingKind.FACE, FindingKind.LIMIT_SIGN}:
        longer = max(width, height)
        across, down = (max(1, round(cells * side / longer)) for side in (width, height))
    else:
        across, down = (cells, 1) if width >= height else (1, cells)
    edges_x = np.linspace(0, width, min(across, width) + 1).round().astype(np.intp)
    edges_y = np.linspace(0, height, min(down, height) + 1).round().astype(np.intp)
    rows = np.add.reduceat(region, edges_y[:-1], axis=0, dtype=np.uint32)
    sums = np.add.reduceat(rows, edges_x[:-1], axis=1, dtype=np.uint64)
    heights, widths = np.diff(edges_y), np.diff(edges_x)
    means = sums / (heights[:, None] * widths[None, :])[..., None]
    levels = (means // _LEVEL * _LEVEL + _LEVEL // 2).astype(np.uint8)
    return np.repeat(np.repeat(levels, heights, axis=0), widths, axis=1)


def _blurred(region: Image, share: float) -> Image:
    """A Gaussian (as three box filters) relative to the region, which sees nothing beyond it."""
    sigma = share * min(region.shape[:2])
    picture = PillowImage.fromarray(np.ascontiguousarray(region))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(sigma)), dtype=np.uint8)

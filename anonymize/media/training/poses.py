"""Flat things in space: projected corners, pasting in perspective, wear, and room between them."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymize.media.training.camera import View
from anonymize.media.training.plate_styles import Canvas

Quad = NDArray[np.float32]
_CIRCLE = np.linspace(0, 2 * np.pi, 64, endpoint=False)


def _chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)


def random_quad(
    rng: np.random.Generator, ratio: float, width: float, centre: tuple[float, float], *, turn: float = 1.0
) -> Quad:
    """Corners of a rectangle of that aspect ratio under a random pose.

    Args:
        rng: Where the pose comes from.
        ratio: Width by height of the rectangle.
        width: Width in pixels of the projection.
        centre: Where its middle comes to lie.
        turn: How far poses go; 1 for plates.

    Returns:
        Upper left, upper right, lower right and lower left corner in pixels.
    """
    yaw, pitch = rng.normal(0, 22 * turn) * np.pi / 180, rng.normal(0, 10 * turn) * np.pi / 180
    roll = rng.normal(0, (4 if _chance(rng, 0.8) else 18) * turn) * np.pi / 180
    half = np.array([[-ratio, -1, 0], [ratio, -1, 0], [ratio, 1, 0], [-ratio, 1, 0]], np.float64) / 2
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    rotation = (np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
                @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
                @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]))  # fmt: skip
    points = half @ rotation.T
    flat = points[:, :2] / (1 + points[:, 2:] / (ratio * rng.uniform(4, 14)))
    span = flat[:, 0].max() - flat[:, 0].min()
    return np.asarray(flat / span * width + np.array(centre), dtype=np.float32)


def round_hull(quad: Quad) -> tuple[float, float, float, float]:
    """The box x0, y0, x1, y1 of the circle that is inscribed in the square seen as ``quad``."""
    matrix = cv2.getPerspectiveTransform(np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32), quad)
    circle = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)], axis=1)[None].astype(np.float32)
    points = cv2.perspectiveTransform(circle, matrix)[0]
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def paste(view: View, patch: Canvas, quad: Quad, *, outline: NDArray[np.uint8] | None = None,
          reflect: float = 0.0) -> None:  # fmt: skip
    """Warp ``patch`` onto ``quad`` in place, filtered so that small things alias like a camera's.

    Args:
        view: Changed where the patch comes to lie.
        patch: What is pasted, RGB.
        quad: Its four corners in pixels.
        outline: Which pixels of the patch belong to it, 0 to 255; all of them by default.
        reflect: How much it throws light back to its source.
    """
    side = view.image.shape[0]
    x0, y0 = np.clip(np.floor(quad.min(axis=0)) - 1, 0, side).astype(int)
    x1, y1 = np.clip(np.ceil(quad.max(axis=0)) + 1, 0, side).astype(int)
    if x1 <= x0 or y1 <= y0:
        return
    scale = min(1.0, 2.0 * max(float(np.ptp(quad[:, 0])), 4.0) / patch.shape[1])
    small = cv2.resize(patch, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    h, w = small.shape[:2]
    solid = np.full((h, w), 255, np.uint8) if outline is None else cv2.resize(outline, (w, h))
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, quad - np.array([x0, y0], np.float32))
    size = (int(x1 - x0), int(y1 - y0))
    warped = cv2.warpPerspective(small, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = (
        cv2.warpPerspective(solid, matrix, size, flags=cv2.INTER_LINEAR)[..., None].astype(np.float32) / 255
    )
    region = view.image[y0:y1, x0:x1]
    region[:] = (region * (1 - alpha) + warped * alpha).astype(np.uint8)
    behind = view.reflect[y0:y1, x0:x1]
    behind[:] = behind * (1 - alpha[..., 0]) + reflect * alpha[..., 0]


def worn(rng: np.random.Generator, face: Canvas) -> Canvas:
    """The face with shadows, fading, dirt and glare."""
    image: NDArray[Any] = face.astype(np.float32) * rng.uniform(0.4, 1.2)
    h, w = image.shape[:2]
    if _chance(rng, 0.15):
        image = image * rng.uniform(0.5, 0.9) + rng.uniform(40, 110)
    if _chance(rng, 0.5):
        image *= np.linspace(rng.uniform(0.4, 1), rng.uniform(0.4, 1), w)[None, :, None]
    if _chance(rng, 0.3):
        image[: int(h * rng.uniform(0.1, 0.6))] *= rng.uniform(0.4, 0.8)
    if _chance(rng, 0.4):
        grid = rng.normal(0, 1, (6, 16)).astype(np.float32)
        dirt = cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC)[..., None]
        image = image * (1 - 0.25 * np.clip(dirt, 0, 1.5)) + 30 * np.clip(dirt, 0, 1)
    if _chance(rng, 0.1):
        at = (int(rng.integers(w)), int(rng.integers(h)))
        spot = cv2.circle(np.zeros((h, w), np.float32), at, h // 2, 1.0, -1)
        image += cv2.GaussianBlur(spot, (0, 0), h / 5)[..., None] * 160
    return np.asarray(np.clip(image, 0, 255), dtype=np.uint8)


def has_room(quad: Quad, taken: list[Quad], side: int) -> bool:
    """Whether ``quad`` lies in the image, but for a seventh at its left or right, and clear of ``taken``."""
    (x0, y0), (x1, y1) = quad.min(axis=0), quad.max(axis=0)
    slack = (x1 - x0) * 0.15
    if x0 < -slack or y0 < 0 or x1 > side + slack or y1 > side:
        return False
    return all(
        x1 < t[:, 0].min() or x0 > t[:, 0].max() or y1 < t[:, 1].min() or y0 > t[:, 1].max() for t in taken
    )

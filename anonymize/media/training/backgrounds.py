"""Backgrounds without plates or limit signs: drawn streets, facades and skies, and parts of photographs."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymize.media.training.plate_styles import Canvas


def _chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)


def _colour(rng: np.random.Generator, low: int = 0, high: int = 255) -> tuple[int, int, int]:
    """Greyish two times in three, as streets are."""
    grey = rng.uniform(low, high)
    spread = rng.uniform(0, 18) if _chance(rng, 0.65) else 90
    red, green, blue = (int(v) for v in np.clip(grey + rng.normal(0, spread, 3), low, high))
    return red, green, blue


def _noise(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    field = np.zeros((side, side), np.float32)
    for cells in (3, 9, 40, side // 2):
        grid = rng.normal(0, 1, (cells, cells)).astype(np.float32)
        field += cv2.resize(grid, (side, side), interpolation=cv2.INTER_LINEAR) * float(rng.uniform(1, 12))
    return field


def _facade(rng: np.random.Generator, canvas: Canvas, box: tuple[int, int, int, int]) -> None:
    """A wall with rows of windows, bricks or ribs."""
    x, y, w, h = box
    wall = _colour(rng, 20, 250)
    cv2.rectangle(canvas, (x, y), (x + w, y + h), wall, -1)
    across, down = int(rng.integers(6, 50)), int(rng.integers(6, 60))
    shade = _colour(rng, 0, 255) if _chance(rng, 0.6) else (int(wall[0] * 0.6),) * 3
    share = rng.uniform(0.3, 0.9, 2)
    lit = rng.uniform(0, 0.3)
    for wy in range(y + down // 3, y + h - down // 2, down):
        for wx in range(x + across // 3, x + w - across // 2, across):
            colour = (235, 225, 190) if _chance(rng, lit) else shade
            cv2.rectangle(
                canvas, (wx, wy), (wx + int(across * share[0]), wy + int(down * share[1])), colour, -1
            )


def _road(rng: np.random.Generator, canvas: Canvas, horizon: int) -> None:
    """Lane lines to a vanishing point, a zebra crossing and kerbs."""
    side = canvas.shape[0]
    vanish = (int(side * rng.uniform(0.2, 0.8)), horizon)
    paint = _colour(rng, 150, 255)
    for _ in range(int(rng.integers(1, 5))):
        foot = int(rng.uniform(-0.5, 1.5) * side)
        parts = int(rng.choice([1, 6, 12]))
        for k in range(parts):
            a, b = (k / parts) ** 2, ((k + (1 if parts == 1 else 0.5)) / parts) ** 2
            ends = [
                (int(vanish[0] + (foot - vanish[0]) * t), int(horizon + (side - horizon) * t)) for t in (a, b)
            ]
            cv2.line(canvas, ends[0], ends[1], paint, max(1, int(side * 0.012 * b)), cv2.LINE_AA)
    if _chance(rng, 0.25):
        y, high = int(rng.uniform(horizon, side)), int(rng.uniform(8, 60))
        step = int(rng.integers(10, 40))
        for x in range(0, side, step):
            slant = int((x - vanish[0]) * high / max(1, y - horizon + 1) * 0.5)
            points = [[x, y], [x + step // 2, y], [x + step // 2 + slant, y + high], [x + slant, y + high]]
            cv2.fillPoly(canvas, [np.array(points, np.int32)], paint)


def street(rng: np.random.Generator, side: int) -> Canvas:
    """A drawn view: sky, ground, facades, road marks, poles, wires and foliage."""
    horizon = int(side * rng.uniform(0.1, 0.65))
    image = np.empty((side, side, 3), np.float32)
    sky = np.array(_colour(rng, 90, 250), np.float32)
    ramp = np.linspace(rng.uniform(0.7, 1.1), 1, side)[:, None, None]
    image[:] = sky * ramp
    image[horizon:] = _colour(rng, 20, 190)
    image += _noise(rng, side)[..., None]
    canvas = np.clip(image, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 5))):
        w, h = int(rng.uniform(0.08, 0.9) * side), int(rng.uniform(0.1, 0.7) * side)
        _facade(
            rng, canvas, (int(rng.uniform(-0.2, 1) * side), horizon - int(h * rng.uniform(0.5, 1.1)), w, h)
        )
    if _chance(rng, 0.6):
        _road(rng, canvas, horizon)
    for _ in range(int(rng.integers(0, 5))):
        a, b = rng.integers(0, side, 2), rng.integers(0, side, 2)
        upright = _chance(rng, 0.6)
        end = (int(a[0]) + int(rng.normal(0, 4)), int(b[1])) if upright else (int(b[0]), int(b[1]))
        cv2.line(canvas, (int(a[0]), int(a[1])), end, _colour(rng), int(rng.integers(1, 7)), cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 3))):
        _foliage(rng, canvas)
    return canvas


def _foliage(rng: np.random.Generator, canvas: Canvas) -> None:
    side = canvas.shape[0]
    centre, spread = rng.uniform(0, side, 2), side * rng.uniform(0.04, 0.15)
    for _ in range(int(rng.integers(20, 90))):
        x, y = (int(v) for v in rng.normal(centre, spread))
        green = int(rng.integers(30, 150))
        leaf = (int(green * rng.uniform(0.4, 1.1)), green, int(green * rng.uniform(0.2, 0.7)))
        cv2.circle(canvas, (x, y), int(rng.integers(1, 7)), leaf, -1)


def part_of(rng: np.random.Generator, side: int, photographs: Sequence[Canvas]) -> Canvas:
    """A part of one of ``photographs``, turned in colour and direction."""
    photo = photographs[int(rng.integers(len(photographs)))]
    h, w = photo.shape[:2]
    part = int(min(h, w, side * rng.uniform(0.3, 2.0)))
    x, y = int(rng.integers(0, w - part + 1)), int(rng.integers(0, h - part + 1))
    crop: Any = cv2.resize(photo[y : y + part, x : x + part], (side, side), interpolation=cv2.INTER_AREA)
    if _chance(rng, 0.5):
        crop = crop[:, ::-1]
    if _chance(rng, 0.1):
        crop = crop[::-1]
    if _chance(rng, 0.3):
        crop = crop[..., rng.permutation(3)]
    if _chance(rng, 0.3):
        crop = np.clip((crop.astype(np.float32) - 128) * rng.uniform(0.5, 1.6) + 128, 0, 255)
    return np.ascontiguousarray(crop, dtype=np.uint8)

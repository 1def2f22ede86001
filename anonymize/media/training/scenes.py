"""Training images: procedural and photographic backgrounds, look-alikes of plates, and plates in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymize.media.training.plate_styles import Canvas, Fonts, draw_text, render_plate

Quad = NDArray[np.float32]
_MIDDLE = 120
_WORDS = ("STOP", "PARKING", "EXIT 24", "HOTEL", "BAKERY", "OPEN", "SALE", "TAXI", "BUS", "TDI", "HYBRID",
          "4x4", "POLICE", "2021-03-14 15:09:26", "CENTRUM 12", "www.example.com", "km/h 50",
          "GARAGE", "超市", "药店",
          "前方施工", "人民路", "北京站", "停车场", "中国银行", "出口", "注意行人")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """An image with the boxes of its plates (x0, y0, x1, y1 in pixels)."""

    image: Canvas
    boxes: tuple[tuple[float, float, float, float], ...]


def _chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)


def _noise(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    field = np.zeros((side, side), np.float32)
    for cells in (3, 9, 40, side // 2):
        grid = rng.normal(0, 1, (cells, cells)).astype(np.float32)
        field += cv2.resize(grid, (side, side), interpolation=cv2.INTER_LINEAR) * float(rng.uniform(2, 14))
    return field


def _procedural(rng: np.random.Generator, side: int) -> Canvas:
    top, bottom = rng.uniform(60, 250, 3), rng.uniform(20, 180, 3)
    horizon = int(side * rng.uniform(0.2, 0.6))
    image = np.empty((side, side, 3), np.float32)
    image[:horizon], image[horizon:] = top, bottom
    image += _noise(rng, side)[..., None]
    canvas = np.clip(image, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 7))):
        x, y = (int(v) for v in rng.integers(0, side, 2))
        w, h = (int(v) for v in rng.integers(10, side // 2, 2))
        colour = tuple(int(v) for v in rng.integers(0, 255, 3))
        cv2.rectangle(canvas, (x, y), (x + w, y + h), colour, -1)
        if _chance(rng, 0.5):  # a facade with windows
            step = int(rng.integers(6, 24))
            shade = tuple(int(v * 0.6) for v in colour)
            for wy in range(y + step // 2, y + h - step // 2, step):
                for wx in range(x + step // 2, x + w - step // 2, step):
                    cv2.rectangle(canvas, (wx, wy), (wx + step // 2, wy + step * 2 // 3), shade, -1)
    for _ in range(int(rng.integers(0, 5))):
        a, b = rng.integers(0, side, 2), rng.integers(0, side, 2)
        colour = tuple(int(v) for v in rng.integers(100, 255, 3))
        cv2.line(canvas, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), colour, int(rng.integers(1, 6)))
    return canvas


def _photograph(rng: np.random.Generator, side: int, photographs: Sequence[Canvas]) -> Canvas:
    photo = photographs[int(rng.integers(len(photographs)))]
    h, w = photo.shape[:2]
    part = int(min(h, w, side * rng.uniform(0.4, 2.0)))
    x, y = int(rng.integers(0, w - part + 1)), int(rng.integers(0, h - part + 1))
    crop = cv2.resize(photo[y : y + part, x : x + part], (side, side), interpolation=cv2.INTER_AREA)
    if _chance(rng, 0.5):
        crop = crop[:, ::-1]
    if _chance(rng, 0.3):
        crop = crop[..., rng.permutation(3)]
    return np.ascontiguousarray(crop, dtype=np.uint8)


def _car_rear(rng: np.random.Generator, image: Canvas, centre: tuple[float, float], plate_w: float) -> None:
    """A rough rear or front: body, window, lamps, grille and shadow around the place of a plate."""
    cx, cy = centre
    paint = rng.uniform(10, 250, 3) if _chance(rng, 0.4) else np.full(3, rng.uniform(10, 245))
    body = tuple(int(v) for v in paint)
    w = plate_w * rng.uniform(2.6, 4.2)
    top, bottom = cy - w * rng.uniform(0.2, 0.6), cy + w * rng.uniform(0.1, 0.35)
    x0, x1 = cx - w * rng.uniform(0.4, 0.6), cx + w * rng.uniform(0.4, 0.6)
    dark = tuple(int(v * 0.35) for v in body)
    cv2.rectangle(image, (int(x0), int(top)), (int(x1), int(bottom)), body, -1)
    cv2.rectangle(image, (int(x0), int(bottom - w * 0.06)), (int(x1), int(bottom + w * 0.05)), dark, -1)
    window = np.array([[x0 + w * 0.12, top - w * 0.3], [x1 - w * 0.12, top - w * 0.3], [x1, top], [x0, top]])
    cv2.fillPoly(image, [window.astype(np.int32)], tuple(int(v) for v in rng.integers(10, 110, 3)))
    lamp = (200, 30, 30) if _chance(rng, 0.6) else (240, 240, 225)
    for lx in (x0 + w * 0.06, x1 - w * 0.06):
        axes = (max(1, int(w * rng.uniform(0.04, 0.09))), max(1, int(w * rng.uniform(0.03, 0.1))))
        cv2.ellipse(image, (int(lx), int(cy - w * rng.uniform(0, 0.2))), axes, 0, 0, 360, lamp, -1)
    if _chance(rng, 0.4):
        for k in range(int(rng.integers(3, 9))):
            y = int(cy - w * 0.12 - k * w * 0.03)
            cv2.line(image, (int(cx - w * 0.3), y), (int(cx + w * 0.3), y), dark, max(1, int(w * 0.012)))


def _sign(rng: np.random.Generator, fonts: Fonts) -> Canvas:
    """A hard negative: a text panel, a striped or barred panel, or a blank plate-shaped rectangle."""
    width, height = int(rng.integers(60, 400)), int(rng.integers(40, 200))
    ground = rng.integers(0, 255, 3)
    panel = np.full((height, width, 3), ground, np.uint8)
    ink = np.array([235, 235, 235]) if ground.mean() < _MIDDLE else np.array([20, 20, 20])
    kind = str(rng.choice(["words", "bars", "blank"], p=[0.6, 0.25, 0.15]))
    if kind == "words":  # one to three lines of words
        rows = int(rng.integers(1, 4))
        for row in range(rows):
            text = str(rng.choice(list(_WORDS)))
            font = fonts.cjk[int(rng.integers(len(fonts.cjk)))]
            wide = int(width * rng.uniform(0.5, 0.95))
            high = max(4, int(height / rows * rng.uniform(0.4, 0.8)))
            alpha = draw_text(rng, text, (wide, high), font)[..., None]
            y, x = int(row * height / rows + (height / rows - high) / 2), (width - wide) // 2
            part = panel[y : y + high, x : x + wide]
            part[:] = (part * (1 - alpha[: part.shape[0]]) + ink * alpha[: part.shape[0]]).astype(np.uint8)
    elif kind == "bars":  # bars and grilles
        step = int(rng.integers(4, 24))
        for x in range(0, width, step):
            panel[:, x : x + max(1, int(step * rng.uniform(0.2, 0.7)))] = ink
        panel = panel if _chance(rng, 0.5) else np.ascontiguousarray(panel.transpose(1, 0, 2))
    return panel


def _quad(rng: np.random.Generator, ratio: float, width: float, centre: tuple[float, float]) -> Quad:
    """Corners of a plate of that aspect ratio under a random pose, its projected width about ``width``."""
    yaw, pitch = rng.normal(0, 24) * np.pi / 180, rng.normal(0, 10) * np.pi / 180
    roll = rng.normal(0, 5 if _chance(rng, 0.85) else 18) * np.pi / 180
    half = np.array([[-ratio, -1, 0], [ratio, -1, 0], [ratio, 1, 0], [-ratio, 1, 0]], np.float64) / 2
    cy, sy, cp, sp, cr, sr = (
        np.cos(yaw),
        np.sin(yaw),
        np.cos(pitch),
        np.sin(pitch),
        np.cos(roll),
        np.sin(roll),
    )
    turn = (np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
            @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
            @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]))  # fmt: skip
    points = half @ turn.T
    depth = ratio * rng.uniform(4, 14)
    flat = points[:, :2] / (1 + points[:, 2:] / depth)
    span = flat[:, 0].max() - flat[:, 0].min()
    return np.asarray(flat / span * width + np.array(centre), dtype=np.float32)


def _paste(image: Canvas, patch: Canvas, quad: Quad) -> None:
    """Warp ``patch`` onto ``quad`` in place, area-filtered so that small plates alias like a camera's."""
    side = max(float(quad[:, 0].max() - quad[:, 0].min()), 4.0)
    scale = min(1.0, 2.0 * side / patch.shape[1])
    small = cv2.resize(patch, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    h, w = small.shape[:2]
    matrix = cv2.getPerspectiveTransform(np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32), quad)
    size = (image.shape[1], image.shape[0])
    warped = cv2.warpPerspective(small, matrix, size, flags=cv2.INTER_LINEAR)
    mask = cv2.warpPerspective(np.full((h, w), 255, np.uint8), matrix, size, flags=cv2.INTER_LINEAR)
    alpha = mask[..., None].astype(np.float32) / 255
    image[:] = (image * (1 - alpha) + warped * alpha).astype(np.uint8)


def _wear(rng: np.random.Generator, plate: Canvas) -> Canvas:
    """Light, shadow, dirt, glare and a holder around the plate."""
    image: NDArray[Any] = plate.astype(np.float32)
    h, w = image.shape[:2]
    image *= rng.uniform(0.35, 1.25)
    if _chance(rng, 0.5):
        ramp = np.linspace(rng.uniform(0.4, 1), rng.uniform(0.4, 1), w)[None, :, None]
        image *= ramp
    if _chance(rng, 0.3):
        image[: int(h * rng.uniform(0.1, 0.6))] *= rng.uniform(0.4, 0.8)
    if _chance(rng, 0.4):
        grid = rng.normal(0, 1, (6, 16)).astype(np.float32)
        dirt = cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC)[..., None]
        image = image * (1 - 0.25 * np.clip(dirt, 0, 1.5)) + 30 * np.clip(dirt, 0, 1)
    if _chance(rng, 0.1):
        spot = cv2.circle(
            np.zeros((h, w), np.float32), (int(rng.integers(w)), int(rng.integers(h))), h // 2, 1.0, -1
        )
        image += cv2.GaussianBlur(spot, (0, 0), h / 5)[..., None] * 160
    return np.asarray(np.clip(image, 0, 255), dtype=np.uint8)


def _camera(rng: np.random.Generator, image: Canvas) -> Canvas:
    """Night, colour cast, focus and motion blur, resampling, sensor noise, JPEG."""
    side = image.shape[0]
    work: NDArray[Any] = image.astype(np.float32)
    if _chance(rng, 0.2):  # night, with lamps
        work *= rng.uniform(0.15, 0.5)
        for _ in range(int(rng.integers(0, 6))):
            at, radius = tuple(int(v) for v in rng.integers(0, side, 2)), int(rng.integers(2, 14))
            spot = cv2.circle(np.zeros((side, side), np.float32), at, radius, 1.0, -1)
            glow = cv2.GaussianBlur(spot, (0, 0), float(rng.uniform(2, 12)))[..., None]
            work += glow * rng.uniform(80, 255, 3)
    work = work * rng.uniform(0.75, 1.2) * rng.uniform(0.9, 1.1, 3) + rng.uniform(-10, 25)
    if _chance(rng, 0.5):
        work = cv2.GaussianBlur(work, (0, 0), float(rng.uniform(0.3, 1.6)))
    if _chance(rng, 0.2):
        length = int(rng.integers(3, 9))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1 / length
        turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), float(rng.normal(0, 25)), 1)
        work = cv2.filter2D(work, -1, cv2.warpAffine(kernel, turn, (length, length)))
    if _chance(rng, 0.3):
        small = cv2.resize(
            work, None, fx=(f := float(rng.uniform(0.4, 0.9))), fy=f, interpolation=cv2.INTER_AREA
        )
        work = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
    work += rng.normal(0, rng.uniform(0, 9), work.shape)
    done = np.clip(work, 0, 255).astype(np.uint8)
    quality = [int(cv2.IMWRITE_JPEG_QUALITY), int(rng.integers(30, 96))]
    coded = cv2.imencode(".jpg", done, quality)[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)


def _clear(quad: Quad, taken: list[Quad], side: int) -> bool:
    x0, y0 = quad.min(axis=0)
    x1, y1 = quad.max(axis=0)
    if x0 < -(x1 - x0) * 0.15 or y0 < 0 or x1 > side + (x1 - x0) * 0.15 or y1 > side:
        return False
    return all(
        x1 < t[:, 0].min() or x0 > t[:, 0].max() or y1 < t[:, 1].min() or y0 > t[:, 1].max() for t in taken
    )


def _plates(rng: np.random.Generator, image: Canvas, fonts: Fonts) -> list[Quad]:
    side = image.shape[0]
    taken: list[Quad] = []
    for _ in range(int(rng.choice([0, 1, 2, 3, 5], p=[0.12, 0.38, 0.25, 0.15, 0.1]))):
        _, plate = render_plate(rng, fonts)
        width = float(np.exp(rng.uniform(np.log(12), np.log(side * 0.65))))
        ratio = plate.shape[1] / plate.shape[0]
        centre = (float(rng.uniform(0, side)), float(rng.uniform(width / ratio / 2, side)))
        quad = _quad(rng, ratio, width, centre)
        if not _clear(quad, taken, side):
            continue
        if _chance(rng, 0.6) and not taken:
            _car_rear(rng, image, centre, width)
        if _chance(rng, 0.45):  # holder or recess around the plate
            frame = np.full((8, 8, 3), rng.integers(0, 90) if _chance(rng, 0.8) else 180, np.uint8)
            middle = quad.mean(axis=0)
            _paste(image, frame, ((quad - middle) * rng.uniform(1.04, 1.35, 2) + middle).astype(np.float32))
        _paste(image, _wear(rng, plate), quad)
        if _chance(rng, 0.06):  # tow ball or bar across the plate
            x, y = (int(v) for v in quad.mean(axis=0))
            cv2.circle(image, (x, y), max(1, int(width * rng.uniform(0.03, 0.1))), (30, 30, 30), -1)
        taken.append(quad)
    return taken


def compose(rng: np.random.Generator, fonts: Fonts, photographs: Sequence[Canvas], *, side: int) -> Scene:
    """Draw one training image of ``side`` × ``side`` pixels."""
    photographic = bool(photographs) and _chance(rng, 0.6)
    image = _photograph(rng, side, photographs) if photographic else _procedural(rng, side)
    for _ in range(int(rng.integers(0, 4))):
        panel = _sign(rng, fonts)
        width = float(np.exp(rng.uniform(np.log(15), np.log(side * 0.7))))
        centre = (float(rng.uniform(0, side)), float(rng.uniform(0, side)))
        _paste(image, panel, _quad(rng, panel.shape[1] / panel.shape[0], width, centre))
    quads = _plates(rng, image, fonts)
    boxes = []
    for quad in quads:
        x0, y0 = np.clip(quad.min(axis=0), 0, side)
        x1, y1 = np.clip(quad.max(axis=0), 0, side)
        boxes.append((float(x0), float(y0), float(x1), float(y1)))
    return Scene(image=_camera(rng, image), boxes=tuple(boxes))

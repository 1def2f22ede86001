"""Training images: backgrounds, look-alikes, vehicles with plates and poles with signs, before one camera."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymize.media.training.backgrounds import part_of, street
from anonymize.media.training.camera import Lamp, View, photograph
from anonymize.media.training.fittings import letter, render_fitting
from anonymize.media.training.look_alikes import caption, render_look_alike
from anonymize.media.training.plate_styles import Canvas, Fonts, render_plate
from anonymize.media.training.poses import Quad, has_room, paste, random_quad, round_hull, worn
from anonymize.media.training.sign_styles import render_limit_sign, render_other_sign
from anonymize.media.training.vehicles import draw_vehicle, draw_vehicle_without_plate

CLASSES = ("plate", "limit_sign")
_SMALLEST_PX = 10.0
_LEAST_CONTRAST = 4.5
_BOARDS = [[235, 235, 235], [20, 80, 170], [245, 200, 30], [60, 60, 60]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """An object of a scene: its class and its tight box x0, y0, x1, y1 in pixels, inside the image."""

    name: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """An image with its visible objects; ``signs`` names every sign that was drawn, also those not labelled."""

    image: Canvas
    objects: tuple[Labelled, ...]
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sign:
    kind: str
    limit: bool
    face: Canvas
    outline: NDArray[np.uint8]
    quad: Quad


def _chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(max(low, high)))))


def _inside(box: tuple[float, float, float, float], side: int) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(np.clip(v, 0, side)) for v in box)
    return x0, y0, x1, y1


def _hull(quad: Quad) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = quad.min(axis=0), quad.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _visible(image: Canvas, box: tuple[float, float, float, float]) -> bool:
    """Whether dark, haze or glare left anything of an object but noise."""
    x0, y0, x1, y1 = (round(v) for v in box)
    part = image[y0 : y1 + 1, x0 : x1 + 1].mean(axis=2).astype(np.float32)
    return float(cv2.GaussianBlur(part, (0, 0), 1.0).std()) >= _LEAST_CONTRAST


def _plan_plates(
    rng: np.random.Generator, fonts: Fonts, side: int, taken: list[Quad]
) -> list[tuple[Canvas, Quad]]:
    planned: list[tuple[Canvas, Quad]] = []
    for _ in range(int(rng.choice([0, 1, 2, 3, 5], p=[0.26, 0.33, 0.2, 0.13, 0.08]))):
        _, plate = render_plate(rng, fonts)
        ratio = plate.shape[1] / plate.shape[0]
        width = _log_uniform(rng, 12, side * (0.7 if not planned else 0.35))
        centre = (float(rng.uniform(0, side)), float(rng.uniform(width / ratio / 2, side)))
        quad = random_quad(rng, ratio, width, centre)
        if has_room(quad, taken, side):
            taken.append(quad)
            planned.append((plate, quad))
    return planned


def _plan_signs(rng: np.random.Generator, fonts: Fonts, side: int, taken: list[Quad]) -> list[_Sign]:
    """Groups of signs of one size: on a pole below each other, or on a gantry in a row."""
    planned = []
    for _ in range(int(rng.choice([0, 1, 2], p=[0.35, 0.45, 0.2]))):
        size = _log_uniform(rng, 13, side * 0.45)
        x, y = rng.uniform(0, side), rng.uniform(size * 0.5, side * 0.9)
        step = (
            (0.0, size * rng.uniform(1.02, 1.2)) if _chance(rng, 0.6) else (size * rng.uniform(1.05, 3), 0.0)
        )
        for k in range(int(rng.choice([1, 2, 3], p=[0.55, 0.3, 0.15]))):
            limit = _chance(rng, 0.5)
            kind, (face, outline) = (render_limit_sign if limit else render_other_sign)(rng, fonts)
            quad = random_quad(rng, 1.0, size, (x + k * step[0], y + k * step[1]), turn=0.6)
            if has_room(quad, taken, side):
                taken.append(quad)
                planned.append(_Sign(kind=kind, limit=limit, face=face, outline=outline, quad=quad))
    return planned


def _mount(rng: np.random.Generator, view: View, sign: _Sign, fonts: Fonts) -> None:
    """A pole, a gantry, a board behind the sign, or a plate with words below it."""
    side = view.image.shape[0]
    (x0, y0), (x1, y1) = sign.quad.min(axis=0), sign.quad.max(axis=0)
    x, y, size = float(x0 + x1) / 2, float(y0 + y1) / 2, float(x1 - x0)
    grey = (int(rng.integers(50, 210)),) * 3
    if _chance(rng, 0.6):
        cv2.line(
            view.image, (int(x), int(y)), (int(x + rng.normal(0, 3)), side), grey, max(1, int(size * 0.07))
        )
    if _chance(rng, 0.25):
        bar = (235, 190, 20) if _chance(rng, 0.4) else grey
        high = int(y + size * rng.uniform(-0.5, 0.5))
        cv2.line(view.image, (0, high), (side, high + int(rng.normal(0, 5))), bar, max(1, int(size * 0.15)))
    middle = sign.quad.mean(axis=0)
    if _chance(rng, 0.2):  # a square board behind it
        board = np.full((8, 8, 3), rng.choice(_BOARDS), np.uint8)
        behind = (sign.quad - middle) * rng.uniform(1.05, 1.4) + middle
        paste(view, board, behind.astype(np.float32), reflect=0.5)
    if _chance(rng, 0.25):  # an auxiliary plate
        flat = (sign.quad - middle) * np.array([1, rng.uniform(0.3, 0.6)])
        below = flat + middle + [0, size * rng.uniform(0.7, 0.9)]
        paste(view, render_look_alike(rng, fonts), below.astype(np.float32), reflect=0.5)


def _distractors(rng: np.random.Generator, view: View, fonts: Fonts) -> None:
    side = view.image.shape[0]
    for _ in range(int(rng.choice([0, 1, 2, 4], p=[0.25, 0.35, 0.25, 0.15]))):
        panel = render_look_alike(rng, fonts)
        centre = (float(rng.uniform(0, side)), float(rng.uniform(0, side)))
        quad = random_quad(rng, panel.shape[1] / panel.shape[0], _log_uniform(rng, 14, side * 0.8), centre)
        paste(
            view,
            worn(rng, panel) if _chance(rng, 0.5) else panel,
            quad,
            reflect=float(rng.choice([0.0, 0.7])),
        )
    if _chance(rng, 0.25):
        draw_vehicle_without_plate(rng, view, fonts)
    for _ in range(int(rng.choice([0, 2, 5], p=[0.4, 0.35, 0.25]))):
        face, outline = render_fitting(rng)
        centre = (float(rng.uniform(0, side)), float(rng.uniform(0, side)))
        size = _log_uniform(rng, 10, side * 0.5)
        quad = random_quad(rng, face.shape[1] / face.shape[0], size, centre)
        paste(view, face, quad, outline=outline, reflect=float(rng.choice([0.0, 0.5])))
    if _chance(rng, 0.3):
        letter(rng, view, fonts)
    if _chance(rng, 0.2):  # street lamps and lit windows
        for _ in range(int(rng.integers(1, 7))):
            x, y = rng.uniform(0, side, 2)
            size = _log_uniform(rng, 1, side * 0.03)
            colour = tuple(float(v) for v in rng.uniform(0.3, 5, 3))
            view.lamps.append(Lamp(centre=(x, y), axes=(size, size * rng.uniform(0.4, 1.5)), colour=colour))  # type: ignore[arg-type]


def _fit_plate(rng: np.random.Generator, view: View, plate: Canvas, quad: Quad) -> None:
    """Holder, plate, its lamps, and sometimes a tow ball before it."""
    width, middle = float(np.ptp(quad[:, 0])), quad.mean(axis=0)
    if _chance(rng, 0.4):
        shade = rng.integers(0, 90) if _chance(rng, 0.8) else 180
        around = (quad - middle) * rng.uniform(1.03, 1.25, 2) + middle
        paste(view, np.full((8, 8, 3), shade, np.uint8), around.astype(np.float32))
    paste(view, worn(rng, plate), quad, reflect=float(rng.uniform(0.1, 1.0)))
    if _chance(rng, 0.3):
        for share in (0.28, 0.72):
            at = quad[0] + (quad[1] - quad[0]) * (share + rng.normal(0, 0.03))
            axes = (width * rng.uniform(0.01, 0.06), width * rng.uniform(0.005, 0.03))
            view.lamps.append(Lamp(centre=(float(at[0]), float(at[1])), axes=axes, colour=(1.5, 1.5, 1.4)))
    if _chance(rng, 0.05):
        cv2.circle(view.image, (int(middle[0]), int(middle[1])), max(1, int(width * rng.uniform(0.03, 0.08))),
                   (30, 30, 30), -1, cv2.LINE_AA)  # fmt: skip


def compose(rng: np.random.Generator, fonts: Fonts, photographs: Sequence[Canvas], *, side: int) -> Scene:
    """Draw one training image of ``side`` x ``side`` pixels (a multiple of 8)."""
    photographic = bool(photographs) and _chance(rng, 0.5)
    image = part_of(rng, side, photographs) if photographic else street(rng, side)
    view = View(image=image, reflect=np.zeros((side, side), np.float32))
    taken: list[Quad] = []
    plates = _plan_plates(rng, fonts, side, taken)
    signs = _plan_signs(rng, fonts, side, taken)
    _distractors(rng, view, fonts)
    for sign in signs:
        _mount(rng, view, sign, fonts)
    for _, quad in sorted(plates, key=lambda p: float(np.ptp(p[1][:, 0]))):
        if _chance(rng, 0.8):
            x, y = quad.mean(axis=0)
            draw_vehicle(rng, view, fonts, (float(x), float(y)), float(np.ptp(quad[:, 0])))
    objects = []
    for plate, quad in plates:
        _fit_plate(rng, view, plate, quad)
        objects.append(Labelled(name="plate", box=_inside(_hull(quad), side)))
    for sign in signs:
        paste(
            view, worn(rng, sign.face), sign.quad, outline=sign.outline, reflect=float(rng.uniform(0.3, 1.2))
        )
        if sign.limit:
            objects.append(Labelled(name="limit_sign", box=_inside(round_hull(sign.quad), side)))
    recorded = photograph(rng, view)
    if _chance(rng, 0.1) and not any(
        t[:, 1].min() < side * 0.06 or t[:, 1].max() > side * 0.94 for t in taken
    ):
        caption(rng, recorded, fonts)
    seen = tuple(o for o in objects if o.box[2] - o.box[0] >= _SMALLEST_PX and _visible(recorded, o.box))
    return Scene(image=recorded, objects=seen, signs=tuple(s.kind for s in signs))

"""Fronts and rears of vehicles around the place of a plate, and vehicles that show none."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymize.media.training.camera import Lamp, View
from anonymize.media.training.fittings import render_fitting
from anonymize.media.training.look_alikes import some_words, write
from anonymize.media.training.plate_styles import Canvas, Fonts, Rgb
from anonymize.media.training.poses import paste

_DARK = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """Where a vehicle is: middle of its plate's place, widths of vehicle and plate in pixels, its paint."""

    x: float
    y: float
    width: float
    plate: float
    paint: Rgb


def _chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)


def _shade(colour: Rgb, share: float) -> Rgb:
    red, green, blue = (int(min(255, v * share)) for v in colour)
    return red, green, blue


def _paint(rng: np.random.Generator) -> Rgb:
    grey = float(rng.choice([rng.uniform(8, 60), rng.uniform(60, 180), rng.uniform(180, 245)]))
    spread = 8 if _chance(rng, 0.6) else 60
    red, green, blue = (int(v) for v in np.clip(grey + rng.normal(0, spread, 3), 5, 250))
    return red, green, blue


def _polygon(canvas: Canvas, points: list[tuple[float, float]], colour: Rgb) -> None:
    cv2.fillPoly(canvas, [np.array(points).round().astype(np.int32)], colour, cv2.LINE_AA)


def _reflections(rng: np.random.Generator, canvas: Canvas, box: tuple[float, float, float, float]) -> None:
    """Bands of lighter and darker light over a body, in place."""
    side = canvas.shape[0]
    x0, y0, x1, y1 = (int(np.clip(v, 0, side)) for v in box)
    if x1 - x0 < 4 or y1 - y0 < 4:  # noqa: PLR2004 - too small to shade
        return
    part = canvas[y0:y1, x0:x1].astype(np.float32)
    rows = cv2.resize(rng.normal(1, 0.22, (int(rng.integers(3, 9)), 1)).astype(np.float32), (1, y1 - y0),
                      interpolation=cv2.INTER_LINEAR)  # fmt: skip
    columns = cv2.resize(rng.normal(1, 0.1, (4, 1)).astype(np.float32), (1, x1 - x0)).T
    canvas[y0:y1, x0:x1] = np.clip(part * rows[..., None] * columns[..., None], 0, 255).astype(np.uint8)


def _lamps(rng: np.random.Generator, view: View, body: Body, *, rear: bool) -> None:
    """Two lamp clusters at the sides, often lit."""
    w = body.width
    lift, out = w * rng.uniform(-0.04, 0.24), w * rng.uniform(0.38, 0.47)
    axes = (max(1.0, w * rng.uniform(0.03, 0.1)), max(1.0, w * rng.uniform(0.02, 0.09)))
    glass = (int(rng.integers(120, 220)), 20, 25) if rear else (220, 225, 225)
    colour = (6.0, float(rng.uniform(0.1, 2.5)), float(rng.uniform(0.1, 2.5))) if rear else (5.0, 5.0, 4.6)
    lit, core = _chance(rng, 0.75), rng.uniform(0.3, 0.9)
    for way in (-1, 1):
        x, y = body.x + way * out, body.y - lift
        if _chance(rng, 0.5):
            cv2.ellipse(view.image, (int(x), int(y)), (max(1, int(axes[0])), max(1, int(axes[1]))), 0, 0, 360,
                        glass, -1, cv2.LINE_AA)  # fmt: skip
        else:
            corners = [(x - axes[0], y - axes[1]), (x + axes[0], y - axes[1] * rng.uniform(0.4, 1)),
                       (x + axes[0], y + axes[1]), (x - axes[0], y + axes[1] * rng.uniform(0.4, 1))]  # fmt: skip
            _polygon(view.image, corners, glass)
        if lit:
            view.lamps.append(Lamp(centre=(x, y), axes=(axes[0] * core, axes[1] * core), colour=colour))
    if rear and lit and _chance(rng, 0.25):  # third brake lamp
        y = body.y - w * rng.uniform(0.25, 0.5)
        view.lamps.append(Lamp(centre=(body.x, y), axes=(w * 0.08, w * 0.012), colour=colour))
    for _ in range(int(rng.integers(0, 4))):  # lamps of others mirrored in the paint
        at = (body.x + rng.uniform(-0.4, 0.4) * w, body.y + rng.uniform(-0.3, 0.25) * w)
        size = (w * rng.uniform(0.004, 0.03), w * rng.uniform(0.003, 0.012))
        view.lamps.append(Lamp(centre=at, axes=size, colour=(1.2, 1.1, 1.0)))


def _grille(rng: np.random.Generator, canvas: Canvas, body: Body) -> None:
    w = body.width
    half, y0, high = (
        w * rng.uniform(0.15, 0.34),
        body.y - w * rng.uniform(0.1, 0.3),
        w * rng.uniform(0.06, 0.2),
    )
    _polygon(canvas, [(body.x - half, y0), (body.x + half, y0), (body.x + half * 0.9, y0 + high),
                      (body.x - half * 0.9, y0 + high)], (20, 20, 22))  # fmt: skip
    bright = int(rng.integers(50, 220))
    for k in range(int(rng.integers(2, 9))):
        y = int(y0 + high * (k + 0.5) / 8)
        cv2.line(
            canvas, (int(body.x - half), y), (int(body.x + half), y), (bright,) * 3, max(1, int(w * 0.008))
        )


def _badges(rng: np.random.Generator, canvas: Canvas, body: Body, fonts: Fonts) -> None:
    """Maker's badge, model names, stickers and lettering on the vehicle."""
    w = body.width
    radius, y = max(1, int(w * rng.uniform(0.02, 0.05))), int(body.y - w * rng.uniform(0.12, 0.25))
    chrome = (int(rng.integers(140, 240)),) * 3
    if _chance(rng, 0.3):  # rings in a row
        for k in range(int(rng.integers(2, 5))):
            cv2.circle(
                canvas, (int(body.x + (k - 1.5) * radius * 1.4), y), radius, chrome, max(1, radius // 4)
            )
    elif _chance(rng, 0.7):
        cv2.ellipse(canvas, (int(body.x), y), (radius, int(radius * rng.uniform(0.5, 1))), 0, 0, 360, chrome,
                    -1 if _chance(rng, 0.5) else max(1, radius // 3), cv2.LINE_AA)  # fmt: skip
    for _ in range(int(rng.integers(0, 4))):
        high = int(w * rng.uniform(0.015, 0.05))
        text = some_words(rng)
        wide = int(len(text) * high * rng.uniform(0.4, 1.0))
        x, top = body.x + rng.uniform(-0.42, 0.25) * w, body.y - w * rng.uniform(0.08, 0.6)
        ink = chrome if sum(body.paint) < 3 * 130 else (30, 30, 30)
        if x >= 0 and top >= 0:
            write(rng, canvas, text, (int(x), int(top), wide, high), fonts, ink)


def _recess(rng: np.random.Generator, canvas: Canvas, body: Body) -> None:
    """The hollow or strip that a plate sits in, with its edges, bolts and lamp covers."""
    p = body.plate
    half, up, down = p * rng.uniform(0.53, 1.0), p * rng.uniform(0.14, 0.42), p * rng.uniform(0.14, 0.4)
    lean = p * rng.uniform(-0.1, 0.15)
    colour = _shade(body.paint, rng.uniform(0.3, 1.2)) if _chance(rng, 0.8) else (25, 25, 27)
    corners = [(body.x - half + lean, body.y - up), (body.x + half - lean, body.y - up),
               (body.x + half, body.y + down), (body.x - half, body.y + down)]  # fmt: skip
    _polygon(canvas, corners, colour)
    if _chance(rng, 0.5):
        edge = _shade(colour, rng.uniform(0.3, 1.7))
        points = np.array(corners).round().astype(np.int32)
        cv2.polylines(canvas, [points], True, edge, max(1, int(p * 0.025)), cv2.LINE_AA)  # noqa: FBT003 - closed
    if _chance(rng, 0.4):
        for way in (-1, 1):
            at = (
                int(body.x + way * half * rng.uniform(0.75, 0.95)),
                int(body.y + rng.uniform(-0.1, 0.1) * p),
            )
            cv2.circle(canvas, at, max(1, int(p * 0.03)), (int(rng.integers(10, 200)),) * 3, -1, cv2.LINE_AA)
    if _chance(rng, 0.4):  # a chrome strip above
        y = int(body.y - up)
        cv2.line(canvas, (int(body.x - half), y), (int(body.x + half), y), (190,) * 3, max(1, int(p * 0.04)))


def _fittings(rng: np.random.Generator, view: View, body: Body) -> None:
    """Lenses, badges, handles and exhausts where vehicles have them."""
    for _ in range(int(rng.integers(1, 5))):
        face, outline = render_fitting(rng)
        wide = body.width * rng.uniform(0.04, 0.28)
        x = body.x + float(rng.choice([-1, 1])) * body.width * rng.uniform(0.0, 0.48)
        y = body.y + body.width * rng.uniform(-0.4, 0.2)
        if abs(x - body.x) < body.plate and abs(y - body.y) < body.plate * 0.4:
            continue
        half, tall = wide / 2, wide / 2 * face.shape[0] / face.shape[1]
        quad = np.array(
            [[x - half, y - tall], [x + half, y - tall], [x + half, y + tall], [x - half, y + tall]]
        )
        paste(view, face, quad.astype(np.float32), outline=outline, reflect=0.2)


def _car(rng: np.random.Generator, view: View, body: Body, *, rear: bool) -> None:
    """Roof, window, body, bumper, shadow and wheels."""
    image, w, x, y = view.image, body.width, body.x, body.y
    top, bottom = y - w * rng.uniform(0.18, 0.42), y + w * rng.uniform(0.1, 0.33)
    half, roof = w / 2, w * rng.uniform(0.22, 0.4)
    dark = _shade(body.paint, _DARK)
    _polygon(image, [(x - half * 0.95, bottom), (x + half * 0.95, bottom), (x + half * 0.9, bottom + w * 0.12),
                     (x - half * 0.9, bottom + w * 0.12)], (18, 18, 18))  # fmt: skip
    _polygon(image, [(x - half * 0.78, top - roof), (x + half * 0.78, top - roof), (x + half * 0.97, top),
                     (x + half, bottom), (x - half, bottom), (x - half * 0.97, top)], body.paint)  # fmt: skip
    glass = _shade((70, 78, 85), rng.uniform(0.2, 1.8))
    _polygon(image, [(x - half * 0.7, top - roof * 0.88), (x + half * 0.7, top - roof * 0.88),
                     (x + half * 0.84, top - roof * 0.1), (x - half * 0.84, top - roof * 0.1)], glass)  # fmt: skip
    _reflections(rng, image, (x - half, top - roof, x + half, bottom))
    if _chance(rng, 0.6):  # bumper of another colour
        lower = bottom - (bottom - y) * rng.uniform(0.1, 1.6)
        _polygon(image, [(x - half, lower), (x + half, lower), (x + half, bottom), (x - half, bottom)],
                 dark if _chance(rng, 0.6) else _shade(body.paint, 0.8))  # fmt: skip
    if not rear and _chance(rng, 0.8):
        _grille(rng, image, body)


def _lorry(rng: np.random.Generator, view: View, body: Body, fonts: Fonts) -> None:
    """A van, bus or lorry from behind: a tall panel with doors, lettering and a bumper."""
    image, w, x, y = view.image, body.width, body.x, body.y
    half, tall = w / 2, w * rng.uniform(0.6, 1.2)
    low = y + w * 0.08
    _polygon(
        image, [(x - half, y - tall), (x + half, y - tall), (x + half, low), (x - half, low)], body.paint
    )
    _reflections(rng, image, (x - half, y - tall, x + half, y))
    _polygon(image, [(x - half, y - w * 0.06), (x + half, y - w * 0.06), (x + half, y + w * 0.1),
                     (x - half, y + w * 0.1)], _shade(body.paint, _DARK))  # fmt: skip
    seam = _shade(body.paint, 0.5)
    cv2.line(image, (int(x), int(y - tall)), (int(x), int(y - w * 0.06)), seam, max(1, int(w / 90)))
    for _ in range(int(rng.integers(0, 4))):
        high = int(w * rng.uniform(0.05, 0.14))
        text = some_words(rng)
        wide = min(int(w * 0.9), int(len(text) * high * rng.uniform(0.5, 1.0)))
        at = (int(x - half * 0.9 + rng.uniform(0, 0.4) * w), int(y - tall * rng.uniform(0.3, 0.95)))
        if min(at) >= 0:
            write(rng, image, text, (at[0], at[1], wide, high), fonts, rng.integers(0, 255, 3))
    if _chance(rng, 0.5):  # red and white marks along the edge
        step = max(2, int(w * 0.06))
        for k, left in enumerate(range(int(x - half), int(x + half), step)):
            colour = (190, 20, 30) if k % 2 else (235, 235, 235)
            cv2.rectangle(image, (left, int(y - w * 0.085)), (left + step, int(y - w * 0.06)), colour, -1)


def _cycle(image: Canvas, at: tuple[float, float], plate: float, paint: Rgb) -> None:
    """A motorcycle's rear: mudguard and tyre."""
    (x, y), half = at, plate * 0.2
    centre, axes = (int(x), int(y - plate * 0.4)), (int(plate * 0.5), int(plate * 0.9))
    cv2.ellipse(image, centre, axes, 0, 0, 360, paint, -1, cv2.LINE_AA)
    low = y + plate * 1.6
    _polygon(image, [(x - half, y), (x + half, y), (x + half, low), (x - half, low)], (25, 25, 25))


def draw_vehicle(
    rng: np.random.Generator, view: View, fonts: Fonts, at: tuple[float, float], plate: float
) -> None:
    """Draw a vehicle whose plate, ``plate`` pixels wide, will be centred at ``at``; changes ``view``."""
    kind = str(rng.choice(["rear", "front", "lorry", "cycle"], p=[0.5, 0.28, 0.14, 0.08]))
    share = rng.uniform(2.7, 4.0) if kind in {"rear", "front"} else rng.uniform(3.5, 6)
    width = plate * (share if kind != "cycle" else rng.uniform(1.3, 2.0))
    body = Body(x=at[0] + rng.normal(0, 0.02) * width, y=at[1], width=width, plate=plate, paint=_paint(rng))
    if kind == "lorry":
        _lorry(rng, view, body, fonts)
    elif kind == "cycle":
        _cycle(view.image, at, plate, body.paint)
    else:
        _car(rng, view, body, rear=kind == "rear")
    if kind != "cycle":
        _lamps(rng, view, body, rear=kind != "front")
    _badges(rng, view.image, body, fonts)
    if _chance(rng, 0.7):
        _fittings(rng, view, body)
    if _chance(rng, 0.7):
        _recess(rng, view.image, body)


def draw_vehicle_without_plate(rng: np.random.Generator, view: View, fonts: Fonts) -> None:
    """A vehicle of any size with an empty place for its plate, or from its side; changes ``view``."""
    side = view.image.shape[0]
    plate = float(np.exp(rng.uniform(np.log(8), np.log(side * 0.3))))
    at = (float(rng.uniform(0, side)), float(rng.uniform(0.2, 1) * side))
    draw_vehicle(rng, view, fonts, at, plate)
    if _chance(rng, 0.3):
        offsets: NDArray[np.float64] = rng.uniform(-1.5, 1.5, (2, 2)) * plate
        for dx, dy in offsets:
            cv2.circle(
                view.image, (int(at[0] + dx), int(at[1] + dy)), max(1, int(plate * 0.5)), (20, 20, 20), -1
            )

"""Round and angular traffic signs drawn from scratch: limits of size and weight, and the signs beside them.

Limits follow GB 5768.2-2022 (限制高度, 限制宽度, 限制质量, 限制轴重) and their European counterparts: a white
disc with a red ring and black figures, triangles for height and width, an axle for axle load.
"""

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymize.media.training.plate_styles import Canvas, Fonts, Rgb, draw_text

Patch = tuple[Canvas, NDArray[np.uint8]]
_S = 160
_WHITE, _BLACK, _RED, _BLUE = (238, 238, 236), (18, 18, 18), (200, 20, 30), (20, 80, 175)
_YELLOW, _GREY = (240, 190, 20), (120, 120, 120)


def _chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)


def _poly(canvas: Canvas, points: Any, colour: Rgb) -> None:
    cv2.fillPoly(canvas, [(np.array(points) * _S).astype(np.int32)], colour, cv2.LINE_AA)


def _disc(rng: np.random.Generator, ground: Rgb, ring: Rgb | None) -> Patch:
    """A disc of ``_S`` pixels, ringed from its rim or from just inside a white rim."""
    canvas = np.full((_S, _S, 3), ground, np.uint8)
    mask = np.zeros((_S, _S), np.uint8)
    centre, radius = (_S // 2, _S // 2), _S // 2 - 1
    cv2.circle(mask, centre, radius, 255, -1, cv2.LINE_AA)
    if ring is not None:
        width = int(_S * rng.uniform(0.075, 0.125))
        rim = int(_S * rng.uniform(0.012, 0.03)) if _chance(rng, 0.4) else 0
        cv2.circle(canvas, centre, radius - rim - width // 2, ring, width, cv2.LINE_AA)
        if rim:
            cv2.circle(canvas, centre, radius, _WHITE, rim * 2, cv2.LINE_AA)
    return canvas, mask


def _write(rng: np.random.Generator, canvas: Canvas, text: str, box: Any, fonts: Fonts, ink: Rgb) -> None:
    """Write ``text`` into ``box`` (x0, y0, x1, y1 as shares of the sign)."""
    x0, y0, x1, y1 = (int(v * _S) for v in box)
    font = fonts.latin[int(rng.integers(len(fonts.latin)))]
    alpha = draw_text(rng, text, (x1 - x0, y1 - y0), font)[..., None]
    part = canvas[y0:y1, x0:x1]
    part[:] = (part * (1 - alpha) + np.array(ink) * alpha).astype(np.uint8)


def _figure(rng: np.random.Generator, low: float, high: float) -> str:
    """A number as signs show it: whole, or with one decimal behind a point or a comma."""
    value = rng.uniform(low, high)
    if _chance(rng, 0.35):
        return str(max(1, round(value)))
    return f"{value:.1f}".replace(".", str(rng.choice([".", ",", "."])))


def _centred(rng: np.random.Generator, text: str, size: float, y: float) -> tuple[float, float, float, float]:
    width = min(0.7, (0.13 + 0.115 * len(text)) * rng.uniform(0.85, 1.1) * size / 0.3)
    return 0.5 - width / 2, y - size / 2, 0.5 + width / 2, y + size / 2


def _height(rng: np.random.Generator, fonts: Fonts) -> Patch:
    canvas, mask = _disc(rng, _WHITE, _RED)
    half, depth, inset = rng.uniform(0.09, 0.15), rng.uniform(0.09, 0.15), rng.uniform(0.12, 0.16)
    for flip in (False, True):
        points = np.array([[0.5 - half, inset], [0.5 + half, inset], [0.5, inset + depth]])
        _poly(canvas, np.abs(points - [0, 1 if flip else 0]), _BLACK)
    text = _figure(rng, 1.8, 5.5) + str(rng.choice(["m", " m", ""], p=[0.6, 0.25, 0.15]))
    _write(rng, canvas, text, _centred(rng, text, rng.uniform(0.26, 0.34), 0.5), fonts, _BLACK)
    return canvas, mask


def _width(rng: np.random.Generator, fonts: Fonts) -> Patch:
    canvas, mask = _disc(rng, _WHITE, _RED)
    half, depth, inset = rng.uniform(0.08, 0.14), rng.uniform(0.08, 0.12), rng.uniform(0.11, 0.14)
    for flip in (False, True):
        points = np.array([[inset, 0.5 - half], [inset, 0.5 + half], [inset + depth, 0.5]])
        _poly(canvas, np.abs(points - [1 if flip else 0, 0]), _BLACK)
    text = _figure(rng, 1.8, 4.5) + str(rng.choice(["m", " m", ""], p=[0.6, 0.25, 0.15]))
    x0, y0, x1, y1 = _centred(rng, text, rng.uniform(0.24, 0.32), 0.5)
    _write(rng, canvas, text, (max(x0, 0.26), y0, min(x1, 0.74), y1), fonts, _BLACK)
    return canvas, mask


def _weight(rng: np.random.Generator, fonts: Fonts) -> Patch:
    canvas, mask = _disc(rng, _WHITE, _RED)
    text = _figure(rng, 2, 60) + str(rng.choice(["t", " t", "T"], p=[0.6, 0.3, 0.1]))
    _write(rng, canvas, text, _centred(rng, text, rng.uniform(0.32, 0.46), 0.5), fonts, _BLACK)
    return canvas, mask


def _axle_load(rng: np.random.Generator, fonts: Fonts) -> Patch:
    canvas, mask = _disc(rng, _WHITE, _RED)
    text = _figure(rng, 2, 20) + str(rng.choice(["t", " t"]))
    low = rng.uniform(0.66, 0.74)
    _write(rng, canvas, text, _centred(rng, text, rng.uniform(0.24, 0.32), low - 0.28), fonts, _BLACK)
    bar, wheel = rng.uniform(0.015, 0.03), rng.uniform(0.03, 0.06)
    _poly(canvas, [[0.28, low - bar], [0.72, low - bar], [0.72, low + bar], [0.28, low + bar]], _BLACK)
    for x in (0.28, 0.72):
        tall = rng.uniform(0.08, 0.11)
        _poly(canvas, [[x - wheel, low - tall], [x + wheel, low - tall], [x + wheel, low + tall],
                       [x - wheel, low + tall]], _BLACK)  # fmt: skip
    if _chance(rng, 0.5):  # an arrow onto the axle
        _poly(canvas, [[0.44, low - 0.1], [0.56, low - 0.1], [0.5, low - bar]], _BLACK)
    return canvas, mask


def _speed(rng: np.random.Generator, fonts: Fonts) -> Patch:
    canvas, mask = _disc(rng, _YELLOW if _chance(rng, 0.05) else _WHITE, _RED)
    text = str(int(rng.choice([5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])))
    _write(rng, canvas, text, _centred(rng, text, rng.uniform(0.36, 0.52), 0.5), fonts, _BLACK)
    return canvas, mask


def _end_of_speed(rng: np.random.Generator, fonts: Fonts) -> Patch:
    canvas, mask = _disc(rng, _WHITE, _GREY if _chance(rng, 0.3) else _BLACK if _chance(rng, 0.4) else None)
    text = str(int(rng.choice([30, 40, 50, 60, 70, 80, 100])))
    _write(rng, canvas, text, _centred(rng, text, rng.uniform(0.36, 0.5), 0.5), fonts, _GREY)
    for shift in (-0.06, -0.02, 0.02, 0.06):
        cv2.line(canvas, (int((0.2 + shift) * _S), int((0.8 + shift) * _S)),
                 (int((0.8 + shift) * _S), int((0.2 + shift) * _S)), _BLACK, 2, cv2.LINE_AA)  # fmt: skip
    return canvas, mask


def _silhouette(rng: np.random.Generator, canvas: Canvas, ink: Rgb, at: float = 0.5) -> None:
    """Something black in the middle: a vehicle's side, a figure, an arrow or a horn."""
    kind = str(rng.choice(["vehicle", "person", "arrow", "blob"]))
    x, y = at + rng.uniform(-0.03, 0.03), 0.5
    if kind == "vehicle":
        _poly(canvas, [[x - 0.22, y + 0.1], [x - 0.22, y - 0.02], [x - 0.1, y - 0.12], [x + 0.12, y - 0.12],
                       [x + 0.22, y], [x + 0.22, y + 0.1]], ink)  # fmt: skip
        for dx in (-0.12, 0.12):
            cv2.circle(canvas, (int((x + dx) * _S), int(0.61 * _S)), int(0.05 * _S), ink, -1, cv2.LINE_AA)
    elif kind == "person":
        cv2.circle(canvas, (int(x * _S), int(0.28 * _S)), int(0.06 * _S), ink, -1, cv2.LINE_AA)
        _poly(
            canvas, [[x - 0.08, 0.36], [x + 0.08, 0.36], [x + 0.12, 0.74], [x, 0.55], [x - 0.12, 0.74]], ink
        )
    elif kind == "arrow":
        _poly(canvas, [[x - 0.05, 0.76], [x + 0.05, 0.76], [x + 0.05, 0.45], [x + 0.14, 0.45], [x, 0.22],
                       [x - 0.14, 0.45], [x - 0.05, 0.45]], ink)  # fmt: skip
        if _chance(rng, 0.5):
            canvas[:] = np.rot90(canvas, int(rng.integers(1, 4)))
    else:
        points = rng.uniform(0.25, 0.75, (int(rng.integers(5, 9)), 2))
        _poly(canvas, cv2.convexHull(points.astype(np.float32))[:, 0], ink)


def _prohibition(rng: np.random.Generator, fonts: Fonts) -> Patch:
    """No vehicles, no overtaking, no turning: a silhouette in a red ring, mostly struck out."""
    canvas, mask = _disc(rng, _WHITE, _RED)
    if _chance(rng, 0.15):  # 停, 让 and the like
        font = fonts.cjk[int(rng.integers(len(fonts.cjk)))]
        alpha = draw_text(rng, str(rng.choice(list("停让检关"))), (_S // 2, _S // 2), font)[..., None]
        part = canvas[_S // 4 : _S // 4 + _S // 2, _S // 4 : _S // 4 + _S // 2]
        part[:] = (part * (1 - alpha)).astype(np.uint8)
    elif _chance(rng, 0.85):
        _silhouette(rng, canvas, _BLACK)
    if _chance(rng, 0.65):
        cv2.line(canvas, (int(0.18 * _S), int(0.18 * _S)), (int(0.82 * _S), int(0.82 * _S)), _RED,
                 int(_S * 0.08), cv2.LINE_AA)  # fmt: skip
    return canvas, mask


def _no_parking(rng: np.random.Generator, _fonts: Fonts) -> Patch:
    canvas, mask = _disc(rng, _BLUE, _RED)
    ends = ((0.15, 0.15), (0.85, 0.85)), ((0.85, 0.15), (0.15, 0.85))
    for a, b in ends[: int(rng.integers(1, 3))]:
        cv2.line(canvas, (int(a[0] * _S), int(a[1] * _S)), (int(b[0] * _S), int(b[1] * _S)), _RED,
                 int(_S * 0.09), cv2.LINE_AA)  # fmt: skip
    return canvas, mask


def _no_entry(rng: np.random.Generator, _fonts: Fonts) -> Patch:
    canvas, mask = _disc(rng, _RED, None)
    high = rng.uniform(0.06, 0.1)
    _poly(canvas, [[0.15, 0.5 - high], [0.85, 0.5 - high], [0.85, 0.5 + high], [0.15, 0.5 + high]], _WHITE)
    return canvas, mask


def _mandatory(rng: np.random.Generator, fonts: Fonts) -> Patch:
    canvas, mask = _disc(rng, _BLUE, _WHITE if _chance(rng, 0.5) else None)
    if _chance(rng, 0.3):
        text = str(int(rng.choice([30, 40, 50, 60, 80])))
        _write(rng, canvas, text, _centred(rng, text, rng.uniform(0.36, 0.5), 0.5), fonts, _WHITE)
    else:
        _silhouette(rng, canvas, _WHITE)
    return canvas, mask


def _warning(rng: np.random.Generator, _fonts: Fonts) -> Patch:
    """A triangle: yellow with a black border (China) or white with a red one (Europe); give way upside down."""
    canvas, mask = np.full((_S, _S, 3), _WHITE, np.uint8), np.zeros((_S, _S), np.uint8)
    chinese = _chance(rng, 0.5)
    cv2.fillPoly(mask, [(np.array([[0.5, 0.02], [0.99, 0.92], [0.01, 0.92]]) * _S).astype(np.int32)], 255)
    canvas[:] = _BLACK if chinese else _RED
    _poly(canvas, [[0.5, 0.17], [0.88, 0.85], [0.12, 0.85]], _YELLOW if chinese else _WHITE)
    if _chance(rng, 0.75):
        blob = rng.uniform([0.36, 0.45], [0.64, 0.78], (6, 2)).astype(np.float32)
        _poly(canvas, cv2.convexHull(blob)[:, 0], _BLACK)
    if _chance(rng, 0.2):
        return np.ascontiguousarray(canvas[::-1]), np.ascontiguousarray(mask[::-1])
    return canvas, mask


def _square(rng: np.random.Generator, fonts: Fonts) -> Patch:
    """Blue squares (parking, crossing, motorway), the stop octagon and clocks of shops."""
    canvas, mask = np.full((_S, _S, 3), _BLUE, np.uint8), np.full((_S, _S), 255, np.uint8)
    if _chance(rng, 0.3):
        corners = [[0.3, 0], [0.7, 0], [1, 0.3], [1, 0.7], [0.7, 1], [0.3, 1], [0, 0.7], [0, 0.3]]
        mask[:] = 0
        cv2.fillPoly(mask, [(np.array(corners) * (_S - 1)).astype(np.int32)], 255)
        canvas[:] = _RED
        _write(rng, canvas, "STOP", (0.12, 0.36, 0.88, 0.64), fonts, _WHITE)
    elif _chance(rng, 0.5):
        _write(rng, canvas, "P", (0.3, 0.2, 0.7, 0.8), fonts, _WHITE)
    else:
        _silhouette(rng, canvas, _WHITE)
    return canvas, mask


def _logo(rng: np.random.Generator, fonts: Fonts) -> Patch:
    """A round advertisement: any two colours, a letter or nothing."""
    colours = [tuple(int(v) for v in rng.integers(0, 255, 3)) for _ in range(3)]
    canvas, mask = _disc(rng, colours[0], colours[1] if _chance(rng, 0.6) else None)  # type: ignore[arg-type]
    if _chance(rng, 0.6):
        text = str(rng.choice(["H", "24", "BIO", "A1", "OK", "No1", "S", "U"]))
        _write(rng, canvas, text, (0.25, 0.32, 0.75, 0.68), fonts, colours[2])  # type: ignore[arg-type]
    return canvas, mask


LIMIT_SIGNS: Mapping[str, Callable[[np.random.Generator, Fonts], Patch]] = {
    "height": _height, "width": _width, "weight": _weight, "axle_load": _axle_load,
}  # fmt: skip
OTHER_SIGNS: Mapping[str, Callable[[np.random.Generator, Fonts], Patch]] = {
    "speed": _speed, "end_of_speed": _end_of_speed, "prohibition": _prohibition, "no_parking": _no_parking,
    "no_entry": _no_entry, "mandatory": _mandatory, "warning": _warning, "square": _square, "logo": _logo,
}  # fmt: skip
_OTHER_SHARE = np.array([0.36, 0.08, 0.16, 0.08, 0.06, 0.08, 0.08, 0.05, 0.05])


def render_limit_sign(rng: np.random.Generator, fonts: Fonts) -> tuple[str, Patch]:
    """Draw one sign that limits height, width, weight or axle load; its kind, its face RGB and its outline."""
    kind = str(rng.choice(list(LIMIT_SIGNS), p=[0.4, 0.15, 0.28, 0.17]))
    return kind, LIMIT_SIGNS[kind](rng, fonts)


def render_other_sign(rng: np.random.Generator, fonts: Fonts) -> tuple[str, Patch]:
    """Draw one sign that limits neither size nor weight; its kind, its face RGB and its outline."""
    kind = str(rng.choice(list(OTHER_SIGNS), p=_OTHER_SHARE))
    return kind, OTHER_SIGNS[kind](rng, fonts)

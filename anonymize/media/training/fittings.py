"""Parts of vehicles that look like plates or round signs: lenses, wheels, badges, handles, exhausts, lettering."""

from typing import Any

import cv2
import numpy as np

from anonymize.media.training.camera import Lamp, View
from anonymize.media.training.look_alikes import some_words, write
from anonymize.media.training.plate_styles import Canvas, Fonts

_S = 120
_GLASS = ((215, 220, 222), (190, 25, 28), (230, 130, 30), (150, 155, 160), (120, 12, 18))


def _chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)


def _shine(rng: np.random.Generator, part: Any) -> Any:
    """Chrome and glass: smooth bright and dark patches of what they mirror."""
    cells = rng.normal(1, 0.35, (int(rng.integers(3, 9)), int(rng.integers(3, 9)))).astype(np.float32)
    field = cv2.resize(cells, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_CUBIC)
    return part * np.clip(field, 0.2, 2.2)[..., None]


def _lens(rng: np.random.Generator) -> tuple[Canvas, Canvas]:
    """A lamp's lens: coloured sections, ribs or honeycomb, one or two reflectors, a rim."""
    wide = int(_S * rng.uniform(0.8, 2.6))
    part: Any = np.empty((_S, wide, 3), np.float32)
    edges = np.sort(rng.integers(0, wide, int(rng.integers(0, 3))))
    for section in np.split(np.arange(wide), edges):
        part[:, section] = _GLASS[int(rng.integers(len(_GLASS)))]
    step = int(rng.integers(4, 18))
    if _chance(rng, 0.6):
        part[:, ::step] *= rng.uniform(0.5, 0.9)
    if _chance(rng, 0.4):
        part[::step] *= rng.uniform(0.5, 0.9)
    for _ in range(int(rng.integers(0, 4))):
        at, radius = (
            (int(rng.integers(wide)), int(rng.integers(_S // 4, 3 * _S // 4))),
            int(rng.integers(10, 50)),
        )
        cv2.circle(part, at, radius, (rng.uniform(60, 255),) * 3, int(rng.integers(2, 9)), cv2.LINE_AA)
        cv2.circle(part, at, radius // 2, (rng.uniform(150, 255),) * 3, -1, cv2.LINE_AA)
    outline = np.zeros((_S, wide), np.uint8)
    if wide < _S * 1.3 and _chance(rng, 0.7):
        cv2.circle(outline, (wide // 2, _S // 2), min(wide, _S) // 2 - 1, 255, -1, cv2.LINE_AA)
        cv2.circle(
            part, (wide // 2, _S // 2), min(wide, _S) // 2 - 3, (rng.uniform(10, 230),) * 3, 6, cv2.LINE_AA
        )
    else:
        corners = np.array([[0.05, 0.2], [0.7, 0], [1, 0.3], [0.95, 0.9], [0.3, 1], [0, 0.7]])
        corners = np.clip(corners + rng.normal(0, 0.08, corners.shape), 0, 1) * [wide, _S]
        cv2.fillConvexPoly(outline, cv2.convexHull(corners.astype(np.int32)), 255, cv2.LINE_AA)
    return np.clip(_shine(rng, part), 0, 255).astype(np.uint8), outline


def _wheel(rng: np.random.Generator) -> tuple[Canvas, Canvas]:
    """Tyre, rim and spokes, or a steel wheel with holes."""
    part = np.full((_S, _S, 3), rng.integers(12, 45), np.uint8)
    centre, rim = (_S // 2, _S // 2), int(_S * rng.uniform(0.3, 0.42))
    metal = (int(rng.integers(70, 230)),) * 3
    cv2.circle(part, centre, rim, metal if _chance(rng, 0.5) else (40, 40, 42), -1, cv2.LINE_AA)
    count, turn = int(rng.integers(4, 12)), rng.uniform(0, 6)
    for k in range(count):
        angle = turn + 2 * np.pi * k / count
        end = (int(_S / 2 + np.cos(angle) * rim * 0.95), int(_S / 2 + np.sin(angle) * rim * 0.95))
        if _chance(rng, 0.8):
            cv2.line(part, centre, end, metal, int(rng.integers(3, 12)), cv2.LINE_AA)
        else:
            cv2.circle(part, ((centre[0] + end[0]) // 2, (centre[1] + end[1]) // 2), 7, (15, 15, 15), -1)
    cv2.circle(part, centre, rim // 5, metal, -1, cv2.LINE_AA)
    outline = np.zeros((_S, _S), np.uint8)
    cv2.circle(outline, centre, _S // 2 - 1, 255, -1, cv2.LINE_AA)
    return np.clip(_shine(rng, part.astype(np.float32)), 0, 255).astype(np.uint8), outline


def _badge(rng: np.random.Generator) -> tuple[Canvas, Canvas]:
    """A maker's mark: rings, a shield, a cross or strokes in a circle, chrome or coloured."""
    wide = int(_S * float(rng.choice([1.0, 1.0, 1.6, 2.6])))
    part = np.full(
        (_S, wide, 3), rng.integers(0, 255, 3) if _chance(rng, 0.4) else rng.integers(10, 90), np.uint8
    )
    chrome = (int(rng.integers(150, 250)),) * 3
    outline = np.zeros((_S, wide), np.uint8)
    if wide > _S * 2:  # rings in a row, or a bow tie
        for k in range(int(rng.integers(2, 5))):
            cv2.circle(outline, (int(_S * (0.35 + 0.55 * k)), _S // 2), int(_S * 0.3), 255, 9, cv2.LINE_AA)
        part[:] = chrome
    else:
        axes = (wide // 2 - 1, _S // 2 - 1)
        cv2.ellipse(
            outline, (wide // 2, _S // 2), axes, 0, 0, 360, 255, -1 if _chance(rng, 0.6) else 10, cv2.LINE_AA
        )
        cv2.ellipse(part, (wide // 2, _S // 2), (axes[0] - 4, axes[1] - 4), 0, 0, 360, chrome, 8, cv2.LINE_AA)
    for _ in range(int(rng.integers(1, 6))):
        a, b = rng.uniform(0.15, 0.85, 2) * [wide, _S], rng.uniform(0.15, 0.85, 2) * [wide, _S]
        ends = (int(a[0]), int(a[1])), (int(b[0]), int(b[1]))
        cv2.line(part, *ends, chrome, int(rng.integers(6, 18)), cv2.LINE_AA)
        cv2.line(outline, *ends, 255, 14, cv2.LINE_AA)
    return np.clip(_shine(rng, part.astype(np.float32)), 0, 255).astype(np.uint8), outline


def _hollow(rng: np.random.Generator) -> tuple[Canvas, Canvas]:
    """Door handles, exhausts, fog lamps and vents: dark rounded hollows with a bright spot or rim."""
    wide = int(_S * rng.uniform(1, 3.5))
    part = np.full((_S, wide, 3), rng.integers(8, 70), np.uint8)
    rim = (int(rng.integers(60, 230)),) * 3
    for _ in range(int(rng.integers(0, 3))):
        at, radius = (int(rng.integers(wide)), int(rng.integers(_S))), int(rng.integers(8, 45))
        cv2.circle(part, at, radius, (int(rng.integers(0, 255)),) * 3, -1, cv2.LINE_AA)
    for y in range(int(rng.integers(8, 40)), _S, int(rng.integers(12, 60))):
        if _chance(rng, 0.5):
            cv2.line(part, (0, y), (wide, y), rim, int(rng.integers(2, 8)))
    cv2.rectangle(part, (6, 6), (wide - 7, _S - 7), rim, int(rng.integers(2, 12)), cv2.LINE_AA)
    outline = np.zeros((_S, wide), np.uint8)
    inset = int(rng.integers(4, 40))
    cv2.rectangle(outline, (inset, inset), (wide - 1 - inset, _S - 1 - inset), 255, -1)
    outline = np.asarray(cv2.GaussianBlur(cv2.dilate(outline, np.ones((inset, inset))), (0, 0), 2), np.uint8)
    return np.clip(_shine(rng, part.astype(np.float32)), 0, 255).astype(np.uint8), outline


def render_fitting(rng: np.random.Generator) -> tuple[Canvas, Canvas]:
    """Draw one part of a vehicle that is neither plate nor sign; its face RGB and its outline."""
    kind = str(rng.choice(["lens", "wheel", "badge", "hollow"], p=[0.4, 0.15, 0.2, 0.25]))
    return {"lens": _lens, "wheel": _wheel, "badge": _badge, "hollow": _hollow}[kind](rng)


def letter(rng: np.random.Generator, view: View, fonts: Fonts) -> None:
    """Chrome or painted lettering without a ground of its own, with an edge of shadow; changes ``view``."""
    side = view.image.shape[0]
    high = int(np.exp(rng.uniform(np.log(6), np.log(side * 0.12))))
    text = some_words(rng)
    wide = int(len(text) * high * rng.uniform(0.5, 1.3))
    x, y = int(rng.integers(0, side)), int(rng.integers(0, side))
    bright = int(rng.integers(120, 255))
    for shift, ink in ((max(1, high // 12), 30), (0, bright)):
        write(rng, view.image, text, (x + shift, y + shift, wide, high), fonts, [ink] * 3)
    if _chance(rng, 0.1):
        view.lamps.append(Lamp(centre=(x, y), axes=(high / 2, high / 2), colour=(2.0, 1.8, 1.0)))

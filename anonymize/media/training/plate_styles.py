"""Licence plates drawn from scratch: styles of several countries as data, and one renderer for all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Rgb = tuple[int, int, int]
Canvas = NDArray[np.uint8]

PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_DIGITS = "0123456789"
_GLYPH_PX = 96
_NARROW = "·-.,: "
_HEIGHTS = {"·": 0.14, "-": 0.14, ".": 0.16, ",": 0.24, ":": 0.6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fonts:
    """Font files; ``latin`` needs A-Z and 0-9, ``cjk`` also the Chinese characters of plates."""

    latin: tuple[Path, ...]
    cjk: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of characters, in millimetres of the plate.

    Attributes:
        pattern: P province, L letter, D digit, X letter or digit, ``·`` dot, space gap; other characters
            stand for themselves.
        top: Distance of the line from the upper edge.
        height: Height of its characters.
        margin: Free space left and right of it.
        last: Colour of the last character where it differs (警, 学).
        first: Colour of the first two characters where they differ (army plates).
    """

    pattern: str
    top: float
    height: float
    margin: tuple[float, float]
    last: Rgb | None = None
    first: Rgb | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A kind of plate; sizes in millimetres, colours RGB, ``weight`` its relative frequency."""

    name: str
    size: tuple[float, float]
    ground: Sequence[Rgb]
    ink: Sequence[Rgb]
    lines: Sequence[Sequence[Line]]
    weight: float
    gradient: Rgb | None = None
    band: tuple[str, Rgb] | None = None
    rim: bool = True
    captions: bool = False
    extra: Sequence[str] = field(default_factory=tuple)


_BLUE, _WHITE, _BLACK, _RED = (20, 70, 170), (235, 235, 235), (20, 20, 20), (190, 30, 30)
_YELLOW, _GREEN = (235, 180, 20), (60, 175, 95)
_EU_BLUE = (10, 50, 150)


def _one(pattern: str, *, margin: tuple[float, float] = (15, 15), last: Rgb | None = None,
         first: Rgb | None = None, top: float = 25, height: float = 90) -> tuple[Line, ...]:  # fmt: skip
    return (Line(pattern=pattern, top=top, height=height, margin=margin, last=last, first=first),)


def _two(upper: str, lower: str, size: tuple[float, float], split: float, inset: float) -> tuple[Line, ...]:
    width, height = size
    room = height - 30
    return (
        Line(pattern=upper, top=12, height=room * split, margin=(width * inset, width * inset)),
        Line(pattern=lower, top=18 + room * split, height=room * (1 - split), margin=(15, 15)),
    )


_EU_PATTERNS = ("LL DDDL", "L DDD LLL", "LL LL DDDD", "LL DDD LLL", "LLL DDDD", "DDDD LLL", "LLDD LLL",
                "L LL DDDD", "LL DDDDD", "DD LLL D", "LDDDDLL", "LL DD LLL")  # fmt: skip
_US_PATTERNS = (
    "DLLLDDD",
    "LLL DDDD",
    "LLLDDDD",
    "DDDLLL",
    "LLL DDD",
    "LLDDDDD",
    "DDD LLL",
    "LLDDDL",
    "LLLLLLL",
)
STYLES: tuple[Style, ...] = (
    Style(name="cn_blue", size=(440, 140), ground=[_BLUE, (25, 60, 140), (40, 90, 200)], ink=[_WHITE],
          lines=[_one("PL·XXXXX"), _one("PL·XDDDD"), _one("PL·DDDXX"), _one("PL·DDDDD")], weight=5),
    Style(name="cn_green", size=(480, 140), ground=[_GREEN, (110, 200, 140)], ink=[_BLACK],
          lines=[_one("PL LXDDDD"), _one("PL LDDDDD")], weight=2.5, gradient=(225, 240, 230)),
    Style(name="cn_green_large", size=(480, 140), ground=[(120, 200, 90)], ink=[_BLACK],
          lines=[_one("PL DDDDDL")], weight=0.6, band=("", (230, 190, 40))),
    Style(name="cn_yellow", size=(440, 140), ground=[_YELLOW, (225, 160, 30)], ink=[_BLACK],
          lines=[_one("PL·XXXXX"), _one("PL·DDDXX"), _one("PL·XXXX学"), _one("PL·XXXX挂")], weight=1.5),
    Style(name="cn_yellow_two", size=(440, 220), ground=[_YELLOW], ink=[_BLACK],
          lines=[_two("P·L", "XXXXX", (440, 220), 0.36, 0.22), _two("P·L", "XXXX挂", (440, 220), 0.36, 0.22)],
          weight=1.5),
    Style(name="cn_police", size=(440, 140), ground=[_WHITE], ink=[_BLACK],
          lines=[_one("PL·XXXX警", last=_RED)], weight=0.8),
    Style(name="cn_army", size=(440, 140), ground=[_WHITE], ink=[_BLACK],
          lines=[_one("LL·XXXXX", first=_RED), _one("WJPXXXXX", first=_RED)], weight=0.6),
    Style(name="cn_black", size=(440, 140), ground=[(25, 25, 30)], ink=[_WHITE],
          lines=[_one("粤Z·XXXX港"), _one("粤Z·XXXX澳"), _one("DDDDDD使"), _one("PL·XXXX领")], weight=0.6),
    Style(name="cn_temporary", size=(220, 140), ground=[(205, 225, 235), (240, 225, 200)], ink=[_BLACK],
          lines=[_two("PL·XXXX", "临时行驶", (220, 140), 0.6, 0.06)], weight=0.4),
    Style(name="eu", size=(520, 110), ground=[_WHITE, (220, 220, 215)], ink=[_BLACK, (30, 30, 60)],
          lines=[_one(p, margin=(60, 14), top=17, height=76) for p in _EU_PATTERNS], weight=6,
          band=("DFIEPNLROBGH", _EU_BLUE)),
    Style(name="eu_plain", size=(520, 110), ground=[_WHITE, (245, 200, 30), (225, 225, 225)], ink=[_BLACK],
          lines=[_one(p, margin=(16, 16), top=17, height=76) for p in _EU_PATTERNS], weight=2),
    Style(name="eu_two", size=(300, 200), ground=[_WHITE, (245, 200, 30)], ink=[_BLACK],
          lines=[_two("LL", "DD LLL", (300, 200), 0.5, 0.25), _two("LLL", "DDDD", (300, 200), 0.5, 0.2)],
          weight=0.8, band=("DFIEPNLROBGH", _EU_BLUE)),
    Style(name="dark_old", size=(520, 110), ground=[(25, 25, 28), (30, 40, 70)], ink=[(220, 220, 215)],
          lines=[_one(p, margin=(16, 16), top=17, height=76) for p in _EU_PATTERNS], weight=0.6),
    Style(name="us", size=(305, 152), ground=[_WHITE, (215, 225, 240), (240, 235, 205), (30, 60, 130),
                                              (240, 200, 70), (225, 235, 225)],
          ink=[(25, 30, 80), _BLACK, (130, 25, 25), (20, 80, 45), _WHITE],
          lines=[_one(p, margin=(14, 14), top=42, height=74) for p in _US_PATTERNS], weight=5,
          gradient=(240, 240, 240), captions=True,
          extra=("CALIFORNIA", "TEXAS", "New York", "FLORIDA", "OHIO", "Virginia", "ILLINOIS", "Arizona")),
    Style(name="br", size=(400, 130), ground=[(170, 170, 170), (190, 190, 185), (150, 35, 35)],
          ink=[_BLACK, _WHITE], lines=[_one("LLL·DDDD", margin=(14, 14), top=40, height=78)], weight=1.2,
          captions=True, extra=("SP SAO PAULO", "RJ RIO DE JANEIRO", "MG BELO HORIZONTE", "PR CURITIBA")),
    Style(name="mercosur", size=(400, 130), ground=[_WHITE], ink=[_BLACK],
          lines=[_one("LLLDLDD", margin=(14, 14), top=42, height=76)], weight=1.2, captions=True,
          gradient=None, extra=("BRASIL", "ARGENTINA")),
    Style(name="jp", size=(330, 165), ground=[_WHITE, (240, 210, 60), (30, 110, 60)],
          ink=[(25, 100, 55), _BLACK], lines=[_two("品川DDD", "DD-DD", (330, 165), 0.35, 0.2)], weight=0.6),
)  # fmt: skip


def _chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)


@lru_cache(maxsize=4096)
def _glyph(font: Path, character: str) -> NDArray[np.float32]:
    """Coverage of a character, cropped to its ink, in [0, 1]."""
    face = ImageFont.truetype(str(font), _GLYPH_PX)
    image = Image.new("L", (_GLYPH_PX * 2, _GLYPH_PX * 2))
    ImageDraw.Draw(image).text((_GLYPH_PX // 3, _GLYPH_PX // 5), character, fill=255, font=face)
    box = image.getbbox()
    if box is None:
        raise ValueError(f"the font draws nothing for a character (got {font.name!r}, {character!r})")
    return np.asarray(image.crop(box), dtype=np.float32) / 255.0


def draw_text(rng: np.random.Generator, text: str, size: tuple[int, int], font: Path) -> NDArray[np.float32]:
    """Characters stretched to equal cells of a canvas of ``size`` (width, height); coverage in [0, 1]."""
    width, height = size
    canvas = np.zeros((height, width), np.float32)
    weights = np.array([0.35 if c in _NARROW else 1.0 for c in text])
    edges = np.concatenate([[0.0], np.cumsum(weights / weights.sum())]) * width
    fill = rng.uniform(0.74, 0.9)
    for i, character in enumerate(text):
        cell = edges[i + 1] - edges[i]
        if character == " " or cell < 2:  # noqa: PLR2004 - a cell of one pixel holds no ink
            continue
        glyph = _glyph(font, character)
        share = 0.6 if character in _NARROW else 0.4 if character in "1Iil|" else fill
        w, h = max(1, int(cell * share)), max(1, int(height * _HEIGHTS.get(character, 1.0)))
        x, y = int(edges[i] + (cell - w) / 2), height - h if character in ".," else (height - h) // 2
        scaled = cv2.resize(glyph, (w, h), interpolation=cv2.INTER_AREA)
        canvas[y : y + h, x : x + w] = np.maximum(canvas[y : y + h, x : x + w], scaled)
    return canvas


def _spell(rng: np.random.Generator, pattern: str) -> str:
    choices: dict[str, Callable[[], str]] = {
        "P": lambda: rng.choice(list(PROVINCES)),
        "L": lambda: rng.choice(list(_LETTERS)),
        "D": lambda: rng.choice(list(_DIGITS)),
        "X": lambda: rng.choice(list(_LETTERS + _DIGITS + _DIGITS)),
    }
    return "".join(choices[c]() if c in choices else c for c in pattern)


def _paint(canvas: Canvas, coverage: NDArray[np.float32], at: tuple[int, int], colour: Rgb) -> None:
    x, y = at
    h, w = coverage.shape
    region = canvas[y : y + h, x : x + w]
    alpha = coverage[: region.shape[0], : region.shape[1], None]
    region[:] = (region * (1 - alpha) + np.array(colour) * alpha).astype(np.uint8)


def _line(rng: np.random.Generator, canvas: Canvas, line: Line, ink: Rgb, fonts: Fonts, scale: float) -> None:
    text = _spell(rng, line.pattern)
    chinese = any(ord(c) > 0x2E80 for c in text)  # noqa: PLR2004 - first CJK radical
    font = Path(str(rng.choice([str(p) for p in (fonts.cjk if chinese else fonts.latin)])))
    left, right = (m * scale for m in line.margin)
    width, height = int(canvas.shape[1] - left - right), int(line.height * scale)
    coverage = draw_text(rng, text, (width, height), font)
    at = (int(left), int(line.top * scale))
    if line.first is None and line.last is None:
        _paint(canvas, coverage, at, ink)
        return
    cut = width * 2 // 8 if line.first is not None else width * 7 // 8
    _paint(canvas, coverage[:, :cut], at, line.first or ink)
    _paint(canvas, coverage[:, cut:], (at[0] + cut, at[1]), line.last or ink)


def _ground(rng: np.random.Generator, style: Style, size: tuple[int, int]) -> tuple[Canvas, Rgb]:
    width, height = size
    index = int(rng.integers(len(style.ground)))
    ground = np.array(style.ground[index], np.float32) + rng.normal(0, 10, 3)
    canvas = np.tile(ground, (height, width, 1))
    if style.gradient is not None and (style.name != "us" or _chance(rng, 0.4)):
        t = np.linspace(0, 1, height)[:, None, None] ** rng.uniform(0.7, 1.6)
        canvas = np.array(style.gradient) * (1 - t) + canvas * t
    light = float(canvas.mean())
    inks = [c for c in style.ink if abs(sum(c) / 3 - light) > 50] or [_BLACK if light > 110 else _WHITE]  # noqa: PLR2004
    return np.clip(canvas, 0, 255).astype(np.uint8), inks[int(rng.integers(len(inks)))]


def _decorate(rng: np.random.Generator, style: Style, canvas: Canvas, ink: Rgb, fonts: Fonts) -> None:
    height, width = canvas.shape[:2]
    font = fonts.latin[int(rng.integers(len(fonts.latin)))]
    if style.name == "mercosur":
        canvas[: height // 4] = _EU_BLUE
        ink = _WHITE
    if style.band is not None:
        band = int(width * (0.085 if style.band[0] else 0.26))
        canvas[:, :band] = style.band[1]
        if style.band[0]:
            letter = draw_text(rng, str(rng.choice(list(style.band[0]))), (band, max(2, height // 4)), font)
            _paint(canvas, letter, (0, height * 2 // 3), _WHITE)
    if style.captions:
        text = str(rng.choice(list(style.extra)))
        wide = int(width * rng.uniform(0.35, 0.6))
        caption = draw_text(rng, text, (wide, max(2, int(height * 0.15))), font)
        _paint(canvas, caption, ((width - wide) // 2, int(height * 0.05)), ink)
        if style.name == "us" and _chance(rng, 0.6):  # registration stickers
            side = height // 6
            x = int(rng.choice([4, width - side - 6]))
            canvas[4 : 4 + side, x : x + side] = rng.integers(40, 220, 3)
    if style.rim and _chance(rng, 0.7):
        inset = max(1, height // 28)
        cv2.rectangle(
            canvas, (inset, inset), (width - 1 - inset, height - 1 - inset), ink, max(1, height // 50)
        )
    for share in (0.22, 0.78):
        if _chance(rng, 0.6):  # bolts
            cv2.circle(canvas, (int(width * share), height // 12), max(1, height // 26), (120, 120, 120), -1)


def render_plate(rng: np.random.Generator, fonts: Fonts, *, height_px: int = 110) -> tuple[str, Canvas]:
    """Draw one plate of a random style; returns the style's name and the flat plate, RGB."""
    weights = np.array([s.weight for s in STYLES])
    style = STYLES[int(rng.choice(len(STYLES), p=weights / weights.sum()))]
    scale = height_px / style.size[1]
    canvas, ink = _ground(rng, style, (int(style.size[0] * scale), height_px))
    _decorate(rng, style, canvas, ink, fonts)
    for line in style.lines[int(rng.integers(len(style.lines)))]:
        _line(rng, canvas, line, ink, fonts, scale)
    return style.name, canvas

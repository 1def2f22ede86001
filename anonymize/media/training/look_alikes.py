"""What a detector mistakes for plates: shop signs, direction signs, displays, stickers, grilles and panels."""

from typing import Any

import cv2
import numpy as np

from anonymize.media.training.plate_styles import Canvas, Fonts, draw_text

_MIDDLE = 120
_WORDS = (
    "STOP", "PARKING", "EXIT 24", "HOTEL", "BAKERY", "OPEN", "SALE -50%", "TAXI", "BUS", "POLICE", "CENTRUM",
    "www.example.com", "km/h", "GARAGE", "Restaurant", "Supermarket", "Apotheke", "farmacia", "Service",
    "超市", "药店", "前方施工", "人民路", "北京站", "停车场", "中国银行", "出口", "注意行人", "便利店", "火锅",
    "手机维修", "烟酒", "房产中介", "欢迎光临", "高速公路", "服务区", "小心地滑", "消防通道", "禁止停车",
)  # fmt: skip
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_GROUNDS = (
    (20, 80, 170),
    (15, 110, 70),
    (235, 235, 235),
    (250, 200, 30),
    (190, 25, 30),
    (25, 25, 28),
    (240, 120, 20),
)


def _chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)


def some_words(rng: np.random.Generator) -> str:
    """A word, a made-up name, a telephone number, a price, a date, a route or a house number."""
    kinds, shares = ["word", "name", "phone", "price", "date", "short"], [0.45, 0.2, 0.12, 0.08, 0.07, 0.08]
    kind = str(rng.choice(kinds, p=shares))
    digits = "".join(str(d) for d in rng.integers(0, 10, 11))
    if kind == "word":
        return str(rng.choice(list(_WORDS)))
    if kind == "name":
        name = "".join(rng.choice(list(_LETTERS), int(rng.integers(3, 12))))
        return name.capitalize() if _chance(rng, 0.5) else name.lower()
    if kind == "phone":
        return (
            f"{digits[:3]}-{digits[3:7]}-{digits[7:]}"
            if _chance(rng, 0.5)
            else f"0{digits[:2]} {digits[2:8]}"
        )
    if kind == "price":
        return f"{digits[:2]}.{digits[2:4]}"
    if kind == "date":
        return f"20{digits[:2]}-0{digits[2]}-1{digits[3]} 1{digits[4]}:3{digits[5]}"
    return digits[: int(rng.integers(1, 4))]


def _font(rng: np.random.Generator, fonts: Fonts, text: str) -> Any:
    pool = fonts.latin if text.isascii() and _chance(rng, 0.6) else fonts.cjk
    return pool[int(rng.integers(len(pool)))]


def write(rng: np.random.Generator, panel: Canvas, text: str, box: tuple[int, int, int, int], fonts: Fonts,
          ink: Any) -> None:  # fmt: skip
    """Write ``text`` into ``box`` (x, y, width, height) of ``panel``."""
    x, y, wide, high = box
    if wide < len(text) or high < 3:  # noqa: PLR2004 - nothing could be read
        return
    alpha = draw_text(rng, text, (wide, high), _font(rng, fonts, text))[..., None]
    part = panel[y : y + high, x : x + wide]
    alpha = alpha[: part.shape[0], : part.shape[1]]
    part[:] = (part * (1 - alpha) + np.array(ink) * alpha).astype(np.uint8)


def _size(rng: np.random.Generator, text: str, high: int, room: int) -> int:
    """Width of a line: characters are narrower than high, Chinese ones square."""
    share = rng.uniform(0.85, 1.3) if not text.isascii() else rng.uniform(0.4, 0.8)
    return min(room, max(4, int(len(text) * high * share)))


def _words(rng: np.random.Generator, fonts: Fonts) -> Canvas:
    """One to five lines on a panel, as shops, posters, notices and direction signs have them."""
    rows = int(rng.choice([1, 2, 3, 5], p=[0.35, 0.3, 0.2, 0.15]))
    texts = [some_words(rng) for _ in range(rows)]
    height = int(rng.integers(50, 110)) * (1 if rows == 1 else 2)
    aspect = rng.uniform(0.6, 3.0) if rows > 1 else rng.uniform(2, 9)
    width = int(np.clip(height * aspect, 40, 700))
    ground = (
        np.array(_GROUNDS[int(rng.integers(len(_GROUNDS)))]) if _chance(rng, 0.6) else rng.integers(0, 255, 3)
    )
    panel = np.full((height, width, 3), ground, np.uint8)
    ink = np.array([235, 235, 235]) if ground.mean() < _MIDDLE else rng.integers(0, 90, 3)
    if _chance(rng, 0.4):
        inset = max(1, height // 24)
        border = tuple(int(v) for v in ink)
        cv2.rectangle(
            panel, (inset, inset), (width - inset - 1, height - inset - 1), border, max(1, height // 40)
        )
    for row, text in enumerate(texts):
        room = height / rows
        high = max(4, int(room * rng.uniform(0.3, 0.75)))
        wide = _size(rng, text, high, int(width * 0.92))
        x = (width - wide) // 2 if _chance(rng, 0.6) else int(rng.integers(0, max(1, width - wide)))
        write(rng, panel, text, (x, int(row * room + (room - high) / 2), wide, high), fonts, ink)
    return panel


def _display(rng: np.random.Generator, fonts: Fonts) -> Canvas:
    """Lit characters on black: bus routes, clocks, message signs."""
    height, width = int(rng.integers(40, 90)), int(rng.integers(100, 500))
    panel = np.full((height, width, 3), rng.integers(0, 30), np.uint8)
    ink = rng.choice([[255, 170, 30], [255, 60, 40], [240, 240, 240], [80, 255, 90]])
    text = str(rng.integers(1, 999)) + " " + some_words(rng)
    write(rng, panel, text, (width // 20, height // 6, width * 9 // 10, height * 2 // 3), fonts, ink)
    panel[:: max(2, height // 16)] //= 3
    return panel


def _bars(rng: np.random.Generator) -> Canvas:
    """Grilles, fences, shutters, crash pads and bar codes."""
    height, width = int(rng.integers(30, 120)), int(rng.integers(60, 300))
    a, b = rng.integers(0, 255, 3), rng.integers(0, 255, 3)
    panel = np.full((height, width, 3), a, np.uint8)
    step = int(rng.integers(4, 30))
    slant = int(rng.choice([0, 0, 1, -1])) * int(rng.integers(5, 40))
    for x in range(-abs(slant), width + abs(slant), step):
        thick = max(1, int(step * rng.uniform(0.2, 0.7)))
        points = np.array(
            [[x, 0], [x + thick, 0], [x + thick + slant, height], [x + slant, height]], np.int32
        )
        cv2.fillPoly(panel, [points], tuple(int(v) for v in b))
    return panel if _chance(rng, 0.5) else np.ascontiguousarray(panel.transpose(1, 0, 2))


def _blank(rng: np.random.Generator) -> Canvas:
    """A bright or coloured rectangle without characters: lamps, reflectors, windows, papers, empty holders."""
    height, width = int(rng.integers(20, 110)), int(rng.integers(60, 320))
    ground = (
        np.array(_GROUNDS[int(rng.integers(len(_GROUNDS)))]) if _chance(rng, 0.6) else rng.integers(0, 255, 3)
    )
    panel = np.full((height, width, 3), ground, np.float32)
    panel *= np.linspace(rng.uniform(0.5, 1.1), 1, width)[None, :, None]
    if _chance(rng, 0.6):
        edge = tuple(float(v) for v in ground * rng.uniform(0.2, 0.8))
        cv2.rectangle(panel, (0, 0), (width - 1, height - 1), edge, int(rng.integers(2, 9)))
    for _ in range(int(rng.integers(0, 4))):
        colour = tuple(float(v) for v in rng.integers(0, 255, 3))
        at = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.ellipse(panel, at, (int(rng.integers(3, width // 3)), int(rng.integers(3, height // 2))), 0, 0, 360,
                    colour, -1 if _chance(rng, 0.4) else 2, cv2.LINE_AA)  # fmt: skip
    return np.clip(panel, 0, 255).astype(np.uint8)


def render_look_alike(rng: np.random.Generator, fonts: Fonts) -> Canvas:
    """Draw one flat panel that is no plate, RGB."""
    kind = str(rng.choice(["words", "display", "bars", "blank"], p=[0.58, 0.08, 0.17, 0.17]))
    if kind == "words":
        return _words(rng, fonts)
    if kind == "display":
        return _display(rng, fonts)
    return _bars(rng) if kind == "bars" else _blank(rng)


def caption(rng: np.random.Generator, image: Canvas, fonts: Fonts) -> None:
    """Burn a recorder's caption into a border of the image, in place."""
    side = image.shape[0]
    high = max(5, int(side * rng.uniform(0.02, 0.05)))
    text = "  ".join(some_words(rng) for _ in range(int(rng.integers(1, 3))))
    wide = min(side - 8, int(len(text) * high * rng.uniform(0.4, 0.6)))
    y = int(rng.choice([3, side - high - 4]))
    ink = [250, 250, 250] if _chance(rng, 0.7) else [250, 220, 60]
    write(rng, image, text, (int(rng.integers(2, max(3, side - wide - 2))), y, wide, high), fonts, ink)

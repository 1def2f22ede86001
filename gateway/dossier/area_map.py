"""Drawings of a release's ground as SVG: no tiles, no outside reference, released coordinates only."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

from gateway.dossier.document import Language

_WIDTH: Final = 720
_MARGIN: Final = 56
_INK, _CELL, _LINE = "#12355b", "#7ba7d0", "#c5ced8"
_FONT: Final = 'font-family="Noto Sans SC, sans-serif" font-size="13" fill="#1b1f24"'


def draw_grid(area: Mapping[str, Any], title: str) -> str:
    """The cells of released coordinates, with the graticule at their outer edges and a scale bar."""
    step = float(area["cell_deg"])
    rows = [cell[0] for cell in area["cells"]]
    columns = [cell[1] for cell in area["cells"]]
    south, north = min(rows) - 1, max(rows) + 2
    west, east = min(columns) - 1, max(columns) + 2
    squeeze = math.cos(math.radians((south + north) / 2 * step))
    side = min((_WIDTH - 2 * _MARGIN) / ((east - west) * squeeze), 480 / (north - south), 60)
    width, height = side * squeeze * (east - west), side * (north - south)

    def x(column: float) -> float:
        return float(round(_MARGIN + (column - west) * side * squeeze, 2))

    def y(row: float) -> float:
        return float(round(_MARGIN / 2 + (north - row) * side, 2))

    drawn = [
        f'<rect x="{x(c)}" y="{y(r + 1)}" width="{round(side * squeeze, 2)}" height="{round(side, 2)}" '
        f'fill="{_CELL}" stroke="{_INK}" stroke-width="0.6"/>'
        for r, c in area["cells"]
    ]
    frame = (
        f'<rect x="{x(west)}" y="{y(north)}" width="{round(width, 2)}" height="{round(height, 2)}" '
        f'fill="none" stroke="{_LINE}"/>'
    )
    labels = [
        _label(x(west) + 4, y(north) + 15, f"{north * step:.3f}° N"),
        _label(x(west) + 4, y(south) - 6, f"{south * step:.3f}° N"),
        _label(x(west) + 4, y(south) + 16, f"{west * step:.3f}° E"),
        _label(x(east) - 4, y(south) + 16, f"{east * step:.3f}° E", anchor="end"),
    ]
    kilometre = side / (step * 111.32)
    bar = _scale_bar(x(west) + 4, y(south) + 34, kilometre, "km", width)
    return _svg(title, _WIDTH, y(south) + 56, [frame, *drawn, *labels, bar])


def draw_clips(clips: Sequence[Mapping[str, Any]], title: str, language: Language) -> str:
    """The extents of clips side by side at one scale; where they lie to one another is not known, nor shown."""
    shown = list(clips)[:24]
    largest = max(max(c["width_m"], c["height_m"], 1) for c in shown)
    pitch = (_WIDTH - _MARGIN) / 6
    scale = (pitch - 16) / largest
    parts = []
    for number, clip in enumerate(shown):
        left, top = _MARGIN / 2 + (number % 6) * pitch, 10 + (number // 6) * (pitch + 14)
        width, height = max(clip["width_m"] * scale, 1), max(clip["height_m"] * scale, 1)
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'fill="{_CELL}" fill-opacity="0.5" stroke="{_INK}" stroke-width="0.8"/>'
        )
        parts.append(_label(left, top + pitch - 2, f"{clip['width_m']} × {clip['height_m']} m"))
    bottom = 10 + (-(-len(shown) // 6)) * (pitch + 14) + 14
    parts.append(_scale_bar(_MARGIN / 2, bottom, scale * 100, "× 100 m", _WIDTH - _MARGIN))
    if len(clips) > len(shown):
        more = len(clips) - len(shown)
        text = f"另有 {more} 个片段" if language is Language.ZH else f"and {more} more clips"
        parts.append(_label(_WIDTH - _MARGIN / 2, bottom + 4, text, anchor="end"))
    return _svg(title, _WIDTH, bottom + 24, parts)


def _label(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {_FONT}>{escape(text)}</text>'


def _scale_bar(x: float, y: float, unit: float, name: str, room: float) -> str:
    count = next((n for n in (50, 20, 10, 5, 2, 1) if n * unit <= room / 2), 1)
    length = count * unit
    label = f"{count} {name}" if name == "km" else f"{count * 100} m"
    return (
        f'<path d="M{x:.1f} {y - 4:.1f}V{y + 4:.1f}M{x:.1f} {y:.1f}H{x + length:.1f}'
        f'M{x + length:.1f} {y - 4:.1f}V{y + 4:.1f}" stroke="{_INK}" fill="none"/>'
        + _label(x + length + 8, y + 4, label)
    )


def _svg(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )

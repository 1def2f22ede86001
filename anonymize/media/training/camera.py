"""What light and a camera do to a drawn view: night, lamps, glare, haze, colour cast, blur, noise, coding."""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymize.media.training.plate_styles import Canvas

Floats = NDArray[np.float32]
_COARSE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Lamp:
    """A light source: centre and half axes in pixels, colour in linear light, where 1 saturates the sensor."""

    centre: tuple[float, float]
    axes: tuple[float, float]
    colour: tuple[float, float, float]


@dataclass(slots=True, kw_only=True)
class View:
    """A square scene before the camera.

    Attributes:
        image: Colours under white light, RGB.
        reflect: How much a point throws light back to its source, 0 to 1 (plates and signs are reflective).
        lamps: What shines by itself.
    """

    image: Canvas
    reflect: Floats
    lamps: list[Lamp] = field(default_factory=list)


def _chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)


def _blob(rng: np.random.Generator, side: int) -> Floats:
    """A smooth field in [0, 1] with one maximum somewhere around the view."""
    cells = np.arange(side // _COARSE, dtype=np.float32) * _COARSE / side
    x, y = rng.uniform(-0.1, 1.1), rng.uniform(0.1, 1.1)
    spread = rng.uniform(0.2, 0.9, 2)
    field_ = np.exp(-(((cells[None] - x) / spread[0]) ** 2) - ((cells[:, None] - y) / spread[1]) ** 2)
    return np.asarray(cv2.resize(field_, (side, side)), dtype=np.float32)[..., None]


def _tint(rng: np.random.Generator, strength: float) -> Floats:
    """Gains of the three channels, their mean 1."""
    gains = np.exp(rng.normal(0, strength, 3))
    return np.asarray(gains / gains.mean(), dtype=np.float32)


def _wide(light: Floats, sigma: float) -> Floats:
    """A Gaussian blur of large ``sigma``, computed on a coarse grid."""
    side = light.shape[0]
    small = cv2.resize(light, (side // _COARSE, side // _COARSE), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(0.6, sigma / _COARSE))
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _lamplight(rng: np.random.Generator, view: View, work: Floats, *, night: bool) -> Floats:
    """Add what the lamps show of themselves, their bloom, and what they light up."""
    side = view.image.shape[0]
    layer = np.zeros((side, side, 3), np.float32)
    for lamp in view.lamps:
        x, y = (round(v) for v in lamp.centre)
        axes = (max(1, round(lamp.axes[0])), max(1, round(lamp.axes[1])))
        cv2.ellipse(layer, (x, y), axes, 0, 0, 360, lamp.colour, -1, cv2.LINE_AA)
    if not layer.any():
        return work
    if not night:
        return work + layer * float(rng.uniform(0, 0.35))
    layer *= float(rng.uniform(0.4, 2.5))
    near = cv2.GaussianBlur(layer, (0, 0), float(rng.uniform(1.0, 4.0)))
    middle, far = _wide(layer, side * rng.uniform(0.03, 0.08)), _wide(layer, side * rng.uniform(0.1, 0.3))
    lit = (view.image.astype(np.float32) / 255) ** 2
    bloom = near * rng.uniform(0.2, 0.8) + middle * rng.uniform(0.1, 0.9) + far * rng.uniform(0.0, 0.8)
    return np.asarray(work + layer + bloom + lit * (middle + far) * rng.uniform(0.3, 4.0), dtype=np.float32)


def _illuminate(rng: np.random.Generator, view: View) -> Floats:
    """Linear light that reaches the camera, by day, at dusk or at night."""
    side = view.image.shape[0]
    work: Any = (view.image.astype(np.float32) / 255) ** 2
    hour = str(rng.choice(["day", "dusk", "night"], p=[0.52, 0.13, 0.35]))
    if hour == "day":
        if _chance(rng, 0.35):  # shade over a part
            work = work * (1 - rng.uniform(0.2, 0.75) * _blob(rng, side))
        return _lamplight(rng, view, work * rng.uniform(0.45, 1.5), night=False)
    if hour == "dusk":
        return _lamplight(rng, view, work * rng.uniform(0.12, 0.5) * _tint(rng, 0.25), night=True)
    ambient = float(np.exp(rng.uniform(np.log(0.008), np.log(0.16)))) * _tint(rng, 0.3)
    beam = _blob(rng, side) * float(np.exp(rng.uniform(np.log(0.03), np.log(0.9)))) * _tint(rng, 0.08)
    gain = rng.uniform(0.5, 2.2)
    work = work * (ambient + beam * (0.3 + gain * view.reflect[..., None]))
    work = _lamplight(rng, view, np.asarray(work, np.float32), night=True)
    if _chance(rng, 0.7):  # automatic exposure
        bright = float(np.percentile(work[::4, ::4], rng.uniform(80, 98))) + 1e-3
        work = work * min(12.0, rng.uniform(0.25, 0.95) / bright)
    return np.asarray(work, dtype=np.float32)


def _veil(rng: np.random.Generator, work: Floats) -> Floats:
    """Haze, veiling glare and a lifted black level: contrast falls towards one colour."""
    side = work.shape[0]
    if _chance(rng, 0.45):
        colour = work.mean(axis=(0, 1)) * rng.uniform(0.3, 2.0) + rng.uniform(0, 0.25) * _tint(rng, 0.5)
        share = rng.uniform(0.05, 0.7)
        field_ = _blob(rng, side) if _chance(rng, 0.5) else np.float32(1.0)
        work = work * (1 - share * field_) + colour * share * field_
    return np.asarray(work, dtype=np.float32)


def _colour(rng: np.random.Generator, work: Floats) -> Floats:
    """White balance from right to very wrong, weak or strong colours, monochrome and infra-red cameras."""
    strength = float(rng.choice([0.04, 0.15, 0.5], p=[0.56, 0.26, 0.18]))
    work = work * _tint(rng, strength)
    if _chance(rng, 0.08):
        grey = work @ _tint(rng, 0.4) / 3
        return np.asarray(np.repeat(grey[..., None], 3, axis=2) * _tint(rng, 0.02), dtype=np.float32)
    if _chance(rng, 0.4):
        grey = work.mean(axis=2, keepdims=True)
        work = np.maximum(0, grey + (work - grey) * rng.uniform(0.2, 1.5))
    return np.asarray(work, dtype=np.float32)


def _defocus(rng: np.random.Generator, work: Any) -> Any:
    if _chance(rng, 0.55):
        work = cv2.GaussianBlur(work, (0, 0), float(np.exp(rng.uniform(np.log(0.35), np.log(2.2)))))
    if _chance(rng, 0.2):
        length = int(rng.integers(3, 10))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1 / length
        turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), float(rng.normal(0, 25)), 1)
        work = cv2.filter2D(work, -1, cv2.warpAffine(kernel, turn, (length, length)))
    return work


def _coded(rng: np.random.Generator, image: Canvas, lowest: int) -> Canvas:
    quality = [int(cv2.IMWRITE_JPEG_QUALITY), int(rng.integers(lowest, 96))]
    done = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    return np.asarray(done, dtype=np.uint8)


def photograph(rng: np.random.Generator, view: View) -> Canvas:
    """The view as a camera records it, RGB."""
    side = view.image.shape[0]
    work = _defocus(rng, _colour(rng, _veil(rng, _illuminate(rng, view))))
    shown: Any = np.sqrt(np.clip(work, 0, 1)) * 255
    if _chance(rng, 0.3):  # another tone curve: lifted black, flat or steep
        shown = (shown - 128) * rng.uniform(0.5, 1.25) + 128 + rng.uniform(-35, 35)
    small = side
    if _chance(rng, 0.3):  # recorded smaller, or upscaled by a codec
        small = int(side * rng.uniform(0.4, 0.9))
        shown = cv2.resize(shown, (small, small), interpolation=cv2.INTER_AREA)
    grain = rng.normal(0, 1, (small, small, 1 if _chance(rng, 0.5) else 3)).astype(np.float32)
    shown = shown + grain * float(np.exp(rng.uniform(np.log(0.5), np.log(11))))
    image = np.clip(shown, 0, 255).astype(np.uint8)
    if _chance(rng, 0.15):  # noise reduction leaves flat patches
        image = np.asarray(cv2.medianBlur(image, 3), dtype=np.uint8)
    image = _coded(rng, image, 22 if small == side else 45)
    if small != side:
        image = np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    return np.asarray(image, dtype=np.uint8)

"""Drives made for tests: calm signals, events injected at known times, a second look at them by numpy alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipeline.mining.signals import Clip, SignalTable, signal_table

HZ = 10.0
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """An event that was put into a drive."""

    trigger: str
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MadeDrive:
    """A drive and everything that happens in it."""

    clip: Clip
    columns: Mapping[str, FloatArray]
    injected: tuple[Injected, ...]

    def table(self) -> SignalTable:
        return signal_table(self.clip, self.columns)


def calm(seconds: float, seed: int) -> dict[str, FloatArray]:
    """Driving at 12 m/s behind somebody 60 m ahead, under automation, with noise that no trigger minds."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * HZ)) / HZ
    n = len(t)
    return {
        "t_s": t,
        "speed_mps": 12.0 + rng.normal(0, 0.2, n),
        "accel_mps2": rng.normal(0, 0.5, n).clip(-2, 2),
        "yaw_rate_rps": rng.normal(0, 0.01, n),
        "engaged": np.ones(n),
        "gap_m": 60.0 + rng.normal(0, 0.2, n),
        "closing_mps": rng.normal(0, 0.2, n),
        "lead_id": np.full(n, 7.0),
    }


def _span(begin_s: float, end_s: float) -> slice:
    """Rows from ``begin_s`` to ``end_s``, both included."""
    return slice(round(begin_s * HZ), round(end_s * HZ) + 1)


def hard_brake(columns: dict[str, FloatArray], at_s: float) -> Injected:
    columns["accel_mps2"][_span(at_s, at_s + 1.2)] = -6.0
    return Injected(trigger="hard_brake", begin_s=at_s, end_s=at_s + 1.2)


def sharp_turn(columns: dict[str, FloatArray], at_s: float) -> Injected:
    columns["yaw_rate_rps"][_span(at_s, at_s + 2.0)] = -0.5
    return Injected(trigger="sharp_turn", begin_s=at_s, end_s=at_s + 2.0)


def near_miss(columns: dict[str, FloatArray], at_s: float) -> Injected:
    rows = _span(at_s, at_s + 0.8)
    columns["closing_mps"][rows] = 10.0
    columns["gap_m"][rows] = 8.0
    return Injected(trigger="near_miss", begin_s=at_s, end_s=at_s + 0.8)


def take_over(columns: dict[str, FloatArray], at_s: float) -> Injected:
    columns["engaged"][_span(at_s, at_s + 20.0)] = 0.0
    return Injected(trigger="take_over", begin_s=at_s, end_s=at_s + 0.9)


def cut_in(columns: dict[str, FloatArray], at_s: float) -> Injected:
    columns["lead_id"][_span(at_s, at_s + 8.0)] = 100.0 + at_s
    columns["gap_m"][_span(at_s, at_s + 8.0)] = 25.0
    return Injected(trigger="cut_in", begin_s=at_s, end_s=at_s + 0.9)


def stop_and_go(columns: dict[str, FloatArray], at_s: float) -> Injected:
    """Three stops of 4 s, 10 s apart: two within 60 s from the second on, until the second last is 60 s old."""
    for stop in range(3):
        columns["speed_mps"][_span(at_s + 10.0 * stop, at_s + 10.0 * stop + 4.0)] = 0.0
    return Injected(trigger="stop_and_go", begin_s=at_s + 10.0, end_s=at_s + 70.0)


INJECTIONS = {
    "near_miss": near_miss,
    "take_over": take_over,
    "hard_brake": hard_brake,
    "cut_in": cut_in,
    "sharp_turn": sharp_turn,
    "stop_and_go": stop_and_go,
}


def made_drive(seed: int, *, number: int = 0, seconds: float = 1200.0) -> MadeDrive:
    """Between none and two of each event at times of the seed's choice, 100 s apart."""
    rng = np.random.default_rng(1000 + seed)
    columns = calm(seconds, seed)
    starts = (
        20.0 + 100.0 * np.arange(int(seconds // 100) - 1) + rng.integers(0, 100, int(seconds // 100) - 1) / 10
    )
    kinds = rng.permutation(np.repeat(list(INJECTIONS), 2))[: len(starts)]
    injected = tuple(
        INJECTIONS[kind](columns, float(round(at, 1))) for kind, at in zip(kinds, starts, strict=False)
    )
    clip = Clip(release="rel-made", item=f"drive-{seed}.csv", number=number)
    return MadeDrive(clip=clip, columns=columns, injected=injected)


def reference_spans(
    t: FloatArray, met: NDArray[np.bool_], *, step_s: float, gap_s: float, duration_s: float
) -> list[tuple[float, float]]:
    """Spans of a condition over one clip, row by row: what triggers must find, written without SQL."""
    spans: list[list[float]] = []
    last_row = -2
    for row in range(len(t)):
        if not met[row]:
            continue
        apart = t[row] - spans[-1][1] if spans else np.inf
        if spans and ((row == last_row + 1 and apart <= step_s + 1e-6) or apart <= gap_s + 1e-6):
            spans[-1][1] = float(t[row])
        else:
            spans.append([float(t[row]), float(t[row])])
        last_row = row
    return [(begin, end) for begin, end in spans if end - begin >= duration_s - 1e-6]


def scene(seed: int) -> Image.Image:
    """A street that was never driven: sky, ground, houses, lane marks, in colours of its own."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (640, 400))
    draw = ImageDraw.Draw(picture)
    horizon = int(rng.integers(120, 240))
    colours = [tuple(int(c) for c in rng.integers(30, 226, 3)) for _ in range(14)]
    draw.rectangle((0, 0, 640, horizon), fill=colours[0])
    draw.rectangle((0, horizon, 640, 400), fill=colours[1])
    for colour in colours[2:]:
        x, y = int(rng.integers(0, 560)), int(rng.integers(20, 320))
        w, h = int(rng.integers(20, 200)), int(rng.integers(20, 160))
        shape = draw.ellipse if rng.random() < 0.4 else draw.rectangle
        shape((x, y, x + w, y + h), fill=colour)
    noise = rng.normal(0, 4, (400, 640, 3))
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))

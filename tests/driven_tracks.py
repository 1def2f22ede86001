"""Drives with cut-ins of known parameters, on straight and curved roads in any direction."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl


@dataclass(kw_only=True)
class Other:
    """Another vehicle: where it starts ahead of the automated one, and what it does."""

    gap: float
    relative_speed: float = 0.0
    lane: float = 3.5
    to_lane: float | None = 0.0
    starts: float = 3.0
    duration: float = 4.0
    braking: float = 0.0
    braking_delay: float = 1.0
    braking_for: float = 2.0


@dataclass(kw_only=True)
class Drive:
    name: str
    others: list[Other]
    ego_speed: float = 25.0
    curvature: float = 0.0
    yaw: float = 0.0
    seconds: float = 14.0
    noise: float = 0.0
    step: float = 0.1
    seed: int = 0
    rows: list[dict[str, object]] = field(default_factory=list)

    def table(self) -> pl.DataFrame:
        random = np.random.default_rng(self.seed)
        times = np.arange(0.0, self.seconds, self.step)
        self._add("ego", times, self.ego_speed * times, 0.0 * times, random)
        for i, other in enumerate(self.others):
            brakes_from = other.starts + other.braking_delay
            braked = np.clip(times - brakes_from, 0.0, other.braking_for)
            speed = self.ego_speed + other.relative_speed
            # The braking phase, then the speed that is left.
            way = speed * times - other.braking * braked * (
                np.maximum(times - brakes_from, 0.0) - braked / 2.0
            )
            # The gap is meant at the start of the lane change, both vehicles 4.8 m long.
            way += other.gap + 4.8 - other.relative_speed * other.starts
            part = np.clip((times - other.starts) / other.duration, 0.0, 1.0)
            target = other.lane if other.to_lane is None else other.to_lane
            across = other.lane + (target - other.lane) * (10 * part**3 - 15 * part**4 + 6 * part**5)
            self._add(f"car-{i}", times, way, across, random)
        return pl.DataFrame(self.rows)

    def _add(self, track: str, times, along, across, random) -> None:
        k = self.curvature
        x = np.sin(along * k) / k - across * np.sin(along * k) if k else along
        y = (1.0 - np.cos(along * k)) / k + across * np.cos(along * k) if k else across
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        noise = random.normal(0.0, self.noise, (2, len(times))) if self.noise else np.zeros((2, len(times)))
        east, north = c * x - s * y + noise[0] + 1000.0, s * x + c * y + noise[1] - 500.0
        self.rows += [
            {"clip": self.name, "track": track, "t": float(t), "x": float(e), "y": float(n)}
            for t, e, n in zip(times, east, north, strict=True)
        ]

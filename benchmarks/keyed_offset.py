"""Keyed offset against numpy's GCJ-02 on the same positions, one thread."""

import argparse
import json
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from anonymize.geo.offset import KeyedOffset
from anonymize.geo.prf import subkey
from anonymize.profile import shipped_profile


def gcj02(lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The published obfuscation of Chinese consumer maps: a fixed sum of sinusoids."""
    x, y = lon - 105.0, lat - 35.0
    root, product = np.sqrt(np.abs(x)), x * y
    common = 20.0 * np.sin(6.0 * np.pi * x) + 20.0 * np.sin(2.0 * np.pi * x)
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * product + 0.2 * root
    north += (common + 20.0 * np.sin(np.pi * y) + 40.0 * np.sin(np.pi / 3.0 * y)) * 2.0 / 3.0
    north += (160.0 * np.sin(np.pi / 12.0 * y) + 320.0 * np.sin(np.pi / 30.0 * y)) * 2.0 / 3.0
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * product + 0.1 * root
    east += (common + 20.0 * np.sin(np.pi * x) + 40.0 * np.sin(np.pi / 3.0 * x)) * 2.0 / 3.0
    east += (150.0 * np.sin(np.pi / 12.0 * x) + 300.0 * np.sin(np.pi / 30.0 * x)) * 2.0 / 3.0
    phi = np.radians(lat)
    w2 = 1.0 - 0.00669342162296594323 * np.sin(phi) ** 2
    meridian = 6378245.0 * (1.0 - 0.00669342162296594323) / (w2 * np.sqrt(w2))
    vertical = 6378245.0 / np.sqrt(w2) * np.cos(phi)
    return lat + np.degrees(north / meridian), lon + np.degrees(east / vertical)


def rate(run: Callable[[], object], points: int, rounds: int) -> float:
    """Best of several rounds, in million positions per second."""
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - started)
    return points / best / 1e6


def positions(points: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(1)
    heading = np.cumsum(rng.normal(0.0, 0.02, points))
    drive = 39.9 + np.cumsum(np.cos(heading)) * 1e-5, 116.3 + np.cumsum(np.sin(heading)) * 1e-5
    city = rng.uniform(39.6, 40.2, points), rng.uniform(116.0, 116.8, points)
    return {"drive": drive, "scattered over a city": city}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    offset = KeyedOffset(subkey(bytes(32), "benchmark"), shipped_profile("cn-2026").profile.tracks)
    figures: dict[str, dict[str, float]] = {}
    for name, (lat, lon) in positions(asked.points).items():
        ours = rate(lambda lat=lat, lon=lon: offset.displace(lat, lon), asked.points, asked.rounds)
        theirs = rate(lambda lat=lat, lon=lon: gcj02(lat, lon), asked.points, asked.rounds)
        figures[name] = {"keyed_offset_mpts": ours, "gcj02_mpts": theirs, "ratio": ours / theirs}
    if asked.json:
        print(json.dumps({"benchmark": "keyed_offset", "points": asked.points, "figures": figures}))
        return
    for name, figure in figures.items():
        print(
            f"{name}: keyed offset {figure['keyed_offset_mpts']:.1f} Mpt/s, "
            f"GCJ-02 {figure['gcj02_mpts']:.1f} Mpt/s, ratio {figure['ratio']:.2f}"
        )


if __name__ == "__main__":
    main()

"""Keyed offset against numpy's GCJ-02 on the same positions, one thread, and against a slow exact sum."""

import argparse
import functools
import hashlib
import json
import math
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from anonymize.geo.crs import geodesic_m
from anonymize.geo.distortion import heading_errors_deg, strains
from anonymize.geo.ellipsoid import MEAN_RADIUS_M
from anonymize.geo.offset import KeyedOffset
from anonymize.geo.prf import subkey, uniform
from anonymize.profile import TrackProfile, shipped_profile

IDENTICAL_M = 1e-3
TRUE_SCALE = math.cos(math.radians(35.0))


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


def weights(t: float) -> tuple[float, ...]:
    """The four uniform cubic B-spline weights."""
    return (1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6


class ExactOffset:
    """The displacement as its definition reads: node by node in double precision, slow, written apart from
    ``anonymize.geo.lattice``."""

    def __init__(self, key: bytes, profile: TrackProfile) -> None:
        lattice = subkey(key, "lattice")
        self.octaves = []
        for number, (spacing, amplitude) in enumerate(sorted(profile.offset_octaves, reverse=True)):
            blocks = max(round(2 * math.pi * MEAN_RADIUS_M * TRUE_SCALE / spacing / 4), 1)
            self.octaves.append((subkey(lattice, "octave", number.to_bytes(4, "big")), amplitude, blocks))
        turn, share = uniform(key, "constant", 2).tolist()
        low, high = profile.offset_constant_m
        self.constant = (low + (high - low) * share) * complex(
            math.sin(2 * math.pi * turn), math.cos(2 * math.pi * turn)
        )
        self.node = functools.lru_cache(maxsize=None)(self._node)
        self.control = functools.lru_cache(maxsize=None)(self._control)

    def displace(self, lat: float, lon: float) -> tuple[float, float]:
        phi = math.radians(lat)
        y = math.atanh(math.sin(phi)) / (2 * math.pi) * self.octaves[-1][2] * 4
        moved = self._spline(self.control, lon / 360 * self.octaves[-1][2] * 4, y)
        moved = moved * math.cos(phi) / TRUE_SCALE + self.constant
        north = math.degrees(moved.imag / MEAN_RADIUS_M)
        east = math.degrees(moved.real / MEAN_RADIUS_M / math.cos(phi))
        return lat + north, (lon + east + 180) % 360 - 180

    def _spline(self, control: Callable[[int, int], complex], x: float, y: float) -> complex:
        column, row = math.floor(x), math.floor(y)
        return sum(
            wx * wy * control(column + i - 1, row + j - 1)
            for j, wy in enumerate(weights(y - row))
            for i, wx in enumerate(weights(x - column))
        )

    def _control(self, column: int, row: int) -> complex:
        """A node of the finest lattice carries the coarser octaves' splines there and its own vector."""
        finest = self.octaves[-1][2]
        return self.node(len(self.octaves) - 1, column, row) + sum(
            self._spline(
                functools.partial(self.node, number), column * blocks / finest, row * blocks / finest
            )
            for number, (_, _, blocks) in enumerate(self.octaves[:-1])
        )

    def _node(self, number: int, column: int, row: int) -> complex:
        key, amplitude, blocks = self.octaves[number]
        place = (column // 4 % blocks).to_bytes(8, "big") + (row // 4).to_bytes(8, "big", signed=True)
        block = hashlib.blake2b(place, key=key, digest_size=64).digest()
        at = (row % 4 * 4 + column % 4) * 4
        radius, turn = (
            (int.from_bytes(block[at + 2 * n : at + 2 * n + 2], "little") + 0.5) / 65536 for n in (0, 1)
        )
        return (
            amplitude
            * math.sqrt(radius)
            * complex(math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn))
        )


def identity(*, keys: int, points: int) -> float:
    """Greatest distance in metres between the fast displacement and the exact one, anywhere on Earth."""
    rng = np.random.default_rng(4)
    worst = 0.0
    profile = shipped_profile("cn-2026").profile.tracks
    for number in range(keys):
        key = subkey(bytes(32), "identity", bytes([number]))
        lat, lon = rng.uniform(-84.0, 84.0, points), rng.uniform(-180.0, 180.0, points)
        exact = ExactOffset(key, profile)
        slow = np.array([exact.displace(a, b) for a, b in zip(lat.tolist(), lon.tolist(), strict=True)])
        fast = KeyedOffset(key, profile).displace(lat, lon)
        worst = max(worst, float(geodesic_m(slow[:, 0], slow[:, 1], *fast)[0].max()))
    return worst


def rates(runs: dict[str, Callable[[], object]], points: int, rounds: int) -> dict[str, float]:
    """Best of several rounds of each, taken in turn, in million positions per second."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - started)
    return {name: points / seconds / 1e6 for name, seconds in best.items()}


def positions(points: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(1)
    heading = np.cumsum(rng.normal(0.0, 0.02, points))
    drive = 39.9 + np.cumsum(np.cos(heading)) * 1e-5, 116.3 + np.cumsum(np.sin(heading)) * 1e-5
    city = rng.uniform(39.6, 40.2, points), rng.uniform(116.0, 116.8, points)
    return {"drive": drive, "scattered over a city": city}


def known_pairs(*, keys: int, pairs: int) -> float:
    """Median error in metres, over a city of 40 km, of an attacker who knows true positions of a few released
    ones.

    One pair gives a constant; more are joined by a thin-plate spline.
    """
    rng = np.random.default_rng(2)
    errors = []
    for number in range(keys):
        offset = KeyedOffset(
            subkey(bytes(32), "attack", bytes([number])), shipped_profile("cn-2026").profile.tracks
        )
        metres = rng.uniform(-20_000.0, 20_000.0, (2000 + pairs, 2))
        lat, lon = 39.9 + metres[:, 1] / 111_200.0, 116.3 + metres[:, 0] / 85_300.0
        moved_lat, moved_lon = offset.displace(lat, lon)
        shift = np.column_stack([(moved_lon - lon) * 85_300.0, (moved_lat - lat) * 111_200.0])
        guess = spline(metres[:pairs], shift[:pairs], metres[pairs:])
        errors.append(np.hypot(*(guess - shift[pairs:]).T))
    return float(np.median(np.concatenate(errors)))


def spline(at: np.ndarray, value: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Thin-plate spline through ``value`` at ``at``; a constant where there are fewer than four."""
    if len(at) < 4:
        return np.repeat(value.mean(axis=0, keepdims=True), len(where), axis=0)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        square = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
        return 0.5 * square * np.log(np.maximum(square, 1e-12))

    plane = np.column_stack([np.ones(len(at)), at / 1e4])
    system = np.block([[kernel(at / 1e4, at / 1e4), plane], [plane.T, np.zeros((3, 3))]])
    weights = np.linalg.solve(system, np.vstack([value, np.zeros((3, 2))]))
    return (
        np.hstack([kernel(where / 1e4, at / 1e4), np.column_stack([np.ones(len(where)), where / 1e4])])
        @ weights
    )


def shifts(*, keys: int) -> dict[str, float]:
    """Displacements of positions over China under many keys, in metres, the worst error of 100 m in any
    direction, and the worst strain and change of heading at a point."""
    rng = np.random.default_rng(3)
    moved, errors, strain, heading = [], [], [], []
    for number in range(keys):
        offset = KeyedOffset(
            subkey(bytes(32), "shifts", bytes([number])), shipped_profile("cn-2026").profile.tracks
        )
        lat, lon = (v.repeat(500) for v in (rng.uniform(20.0, 50.0, 20), rng.uniform(80.0, 130.0, 20)))
        lat, lon = lat + rng.uniform(-0.2, 0.2, lat.size), lon + rng.uniform(-0.2, 0.2, lon.size)
        turn = rng.uniform(0.0, 2.0 * np.pi, lat.size)
        ahead = (
            lat + 100.0 * np.cos(turn) / 111_200.0,
            lon + 100.0 * np.sin(turn) / (111_200.0 * np.cos(np.radians(lat))),
        )
        first, second = offset.displace(lat, lon), offset.displace(*ahead)
        moved.append(geodesic_m(lat, lon, *first)[0])
        errors.append(np.abs(geodesic_m(*first, *second)[0] / geodesic_m(lat, lon, *ahead)[0] - 1.0))
        jacobian = offset.jacobians(lat, lon)
        strain.append(float(strains(jacobian).max()))
        heading.append(float(heading_errors_deg(jacobian).max()))
    shift, error = np.concatenate(moved), np.concatenate(errors)
    return {
        "mean_shift_m": float(shift.mean()),
        "min_shift_m": float(shift.min()),
        "max_shift_m": float(shift.max()),
        "max_distance_error": float(error.max()),
        "p99_distance_error": float(np.quantile(error, 0.99)),
        "median_key_max_strain": float(np.median(strain)),
        "max_strain": max(strain),
        "median_key_max_heading_error_deg": float(np.median(heading)),
        "max_heading_error_deg": max(heading),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    offset = KeyedOffset(subkey(bytes(32), "benchmark"), shipped_profile("cn-2026").profile.tracks)
    figures: dict[str, dict[str, float]] = {}
    for name, (lat, lon) in positions(asked.points).items():
        speeds = rates(
            {
                "keyed_offset_mpts": lambda lat=lat, lon=lon: offset.displace(lat, lon),
                "gcj02_mpts": lambda lat=lat, lon=lon: gcj02(lat, lon),
            },
            asked.points,
            asked.rounds,
        )
        figures[name] = speeds | {"ratio": speeds["keyed_offset_mpts"] / speeds["gcj02_mpts"]}
    attack = {
        f"{pairs}_known_pairs_median_error_m": known_pairs(keys=20, pairs=pairs) for pairs in (1, 10, 50)
    }
    moved = shifts(keys=50)
    apart = identity(keys=5, points=400)
    if apart > IDENTICAL_M:
        raise SystemExit(
            f"the displacement is not the exact sum (got {apart} m, expected at most {IDENTICAL_M} m)"
        )
    if asked.json:
        print(
            json.dumps(
                {
                    "benchmark": "keyed_offset",
                    "points": asked.points,
                    "figures": figures,
                    "attack": attack,
                    "shift": moved,
                    "exact_sum_max_difference_m": apart,
                }
            )
        )
        return
    for name, figure in figures.items():
        print(
            f"{name}: keyed offset {figure['keyed_offset_mpts']:.1f} Mpt/s, "
            f"GCJ-02 {figure['gcj02_mpts']:.1f} Mpt/s, ratio {figure['ratio']:.2f}"
        )
    print(", ".join(f"{name} {value:.4g}" for name, value in (moved | attack).items()))
    print(f"identical to the exact sum within {apart:.2g} m (2,000 positions, 5 keys)")


if __name__ == "__main__":
    main()

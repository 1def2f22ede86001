"""A made town with crooked streets, its OSM extract by osmium's own writer, and drives along its roads."""

import os
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import osmium
from numpy.typing import NDArray

from anonymize.geo.ellipsoid import from_enu
from simulators import START

LAT, LON = 39.9, 116.3
Places = NDArray[np.complex128]


@dataclass(frozen=True)
class Town:
    """Crossings in metres east and north of LAT, LON, and the streets between neighbours as bent lines."""

    crossings: Places
    streets: dict[tuple[int, int], Places]

    def drive(
        self, rng: np.random.Generator, length_m: float, *, turns: float = 0.5, noise_m: float = 0.0
    ) -> Places:
        """A drive at 10 m per fix, 2 m right of the middle of the road."""
        at = int(rng.integers(len(self.crossings)))
        came, way = -1, [self.crossings[at]]
        while np.abs(np.diff(way)).sum() < length_m + 120.0:
            onward = [b for a, b in self.streets if a == at and b != came]
            if not onward:  # a dead end: another drive
                return self.drive(rng, length_m, turns=turns, noise_m=noise_m)
            heading = way[-1] - way[-2] if len(way) > 1 else 1.0
            bends = np.array([abs(np.angle((self.crossings[b] - way[-1]) / heading)) for b in onward])
            weight = np.exp(-bends * (1.0 - turns) * 3.0)
            came, at = at, int(rng.choice(onward, p=weight / weight.sum()))
            way += list(self.streets[came, at][1:])
        line = np.array(way)
        along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(line)))])
        where = np.arange(60.0, 60.0 + length_m + 1e-6, 10.0)
        places = np.interp(where, along, line.real) + 1j * np.interp(where, along, line.imag)
        heading = np.gradient(places)
        right: Places = places - 2j * heading / np.abs(heading)
        noise: Places = rng.normal(size=len(right)) + 1j * rng.normal(size=len(right))
        return np.asarray(right + noise_m * noise)


def town(*, seed: int = 3, side: int = 22, block_m: float = 150.0) -> Town:
    rng = np.random.default_rng(seed)
    grid = (np.arange(side)[:, None] + 1j * np.arange(side)[None, :]) * block_m
    grid = grid - grid.mean() + (rng.uniform(-50, 50, grid.shape) + 1j * rng.uniform(-50, 50, grid.shape))
    number = np.arange(side * side).reshape(side, side)
    crossings, streets = grid.ravel(), {}
    pairs = [*zip(number[1:].ravel(), number[:-1].ravel(), strict=True)]
    pairs += zip(number[:, 1:].ravel(), number[:, :-1].ravel(), strict=True)
    for a, b in ((int(a), int(b)) for a, b in pairs):
        if rng.uniform() < 0.85:
            middle = (crossings[a] + crossings[b]) / 2 + rng.uniform(-12, 12) + 1j * rng.uniform(-12, 12)
            line = np.array([crossings[a], middle, crossings[b]])
            streets[a, b], streets[b, a] = line, line[::-1]
    return Town(crossings=crossings, streets=streets)


def degrees(places: Places) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lat, lon = from_enu(places.real, places.imag, LAT, LON)
    return lat, lon


def extract(of: Town, path: os.PathLike[str], *, east_m: float = 0.0) -> bytes:
    """The town, moved to the east, as an OSM file of the kind that the path's ending says."""
    nodes: dict[complex, int] = {}
    with osmium.SimpleWriter(str(path)) as writer:
        for line in of.streets.values():
            for place in line.tolist():
                if place not in nodes:
                    nodes[place] = len(nodes) + 1
        lat, lon = degrees(np.array(list(nodes)) + east_m)
        for ref, y, x in zip(nodes.values(), lat.tolist(), lon.tolist(), strict=True):
            writer.add_node(osmium.osm.mutable.Node(id=ref, location=(x, y)))
        for ref, ((a, b), line) in enumerate(of.streets.items(), start=1):
            if a < b:
                refs = [nodes[place] for place in line.tolist()]
                writer.add_way(osmium.osm.mutable.Way(id=ref, nodes=refs, tags={"highway": "residential"}))
        outline = osmium.osm.mutable.Way(id=10**6, nodes=[1, 2], tags={"highway": "footway"})
        writer.add_way(outline)
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


def csv_drive(places: Places, *, seed: int = 1) -> bytes:
    """A drive along places as a CSV track, one fix per second, at a speed that changes as traffic does."""
    rng = np.random.default_rng(seed)
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(places)))])
    speed = np.clip(11.0 + np.convolve(rng.normal(0.0, 1.3, 4000), np.hanning(25), "valid"), 1.0, 20.0)
    where = np.cumsum(speed)
    where = where[where < along[-1]]
    lat, lon = degrees(np.interp(where, along, places.real) + 1j * np.interp(where, along, places.imag))
    rows = [
        f"{(START + timedelta(seconds=second)).strftime('%Y-%m-%dT%H:%M:%SZ')},{y:.7f},{x:.7f}"
        for second, (y, x) in enumerate(zip(lat.tolist(), lon.tolist(), strict=True))
    ]
    return "\n".join(["time,lat,lon", *rows, ""]).encode()

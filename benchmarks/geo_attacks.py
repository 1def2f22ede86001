"""What attackers recover from OFFSET and LOCAL releases, beside the figures of DESIGN.md §4.

    python benchmarks/geo_attacks.py [--quick] [--clips N] [--geolife FILE] [--osm FILE] [--json]

Displacement, known points and joins use real drives (GeoLife); map matching uses drives made along the roads of a
real extract, because GeoLife's city is not among the samples: shortest ways between random places, 2 to 5 m right
of the middle of the road, with drifting noise of a receiver of about 2 m. Without the files the drives run through
a made town, and figures mean little.
"""

import argparse
import gzip
import io
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from anonymize.errors import LimitExceededError
from anonymize.formats.csv_track import read_csv_track
from anonymize.formats.track import Track
from anonymize.geo.attacks.cross_release import Drive, drive_of
from anonymize.geo.attacks.figures import join_figures
from anonymize.geo.attacks.known_points import known_point_attack
from anonymize.geo.attacks.map_matching import FOUND_M, match_displaced, match_local
from anonymize.geo.attacks.road_network import RoadNetwork, network_of, read_road_network
from anonymize.geo.attacks.shapes import along_m
from anonymize.geo.crs import steps_m
from anonymize.geo.ellipsoid import from_enu, to_enu
from anonymize.geo.local import to_local
from anonymize.geo.offset import KeyedOffset, offset_track
from anonymize.geo.prf import subkey
from anonymize.profile import shipped_profile

PROFILE = shipped_profile("cn-2026").profile.tracks
SHARED = Path(os.environ.get("FLEETGATE_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
DESIGN = {
    "mean shift, m": 390,
    "greatest distance error over 100 m, %": 0.7,
    "greatest heading error, degrees": 0.4,
    "left after 1 known point, m": 20,
    "left after 10 known points, m": 3.5,
    "OFFSET, 300 m clips found, %": 43,
    "OFFSET, 2 km clips found, %": 100,
    "LOCAL, 300 m clips found, %": 8,
    "LOCAL, 2 km clips found, %": 83,
    "trips joined under two keys, OFFSET, %": 99.7,
}


def key(*names: object) -> bytes:
    return subkey(bytes(32), "geo attacks", repr(names).encode())


def geolife(file: Path) -> list[Track]:
    """Drives of GeoLife of 4 km or more: fixes at most two minutes and 500 m apart, faster than walking."""
    content = gzip.decompress(file.read_bytes()).replace(b"lat,lng", b"lat,lon", 1)
    track = read_csv_track(content, profile=PROFILE, crs="EPSG:4326")
    pause, step = np.diff(track.time_s), steps_m(track.lat, track.lon)
    cut = (pause > 120.0) | (pause < 0.0) | (step > 500.0) | (np.diff(track.segment) > 0)
    bounds = [0, *(np.flatnonzero(cut) + 1).tolist(), len(track)]
    drives = []
    for begin, end in itertools.pairwise(bounds):
        if end - begin >= 200:
            drive = track.take(np.arange(begin, end), np.zeros(end - begin, np.int32))
            lasted = drive.time_s[-1] - drive.time_s[0]
            if drive.path_length_m() > max(4000.0, 3.0 * lasted):
                drives.append(drive)
    return drives


def drives_on(network: RoadNetwork, count: int, length_m: float, seed: int) -> Iterator[np.ndarray]:
    """Places in the network's frame, one each 10 m: shortest ways between random places."""
    rng = np.random.default_rng(seed)
    graph = csr_matrix((network.length_m, (network.tail, network.head)), shape=(len(network.nodes),) * 2)
    made = 0
    while made < count:
        begin = int(rng.choice(network.tail))
        far, before = dijkstra(graph, indices=begin, return_predecessors=True, limit=3.0 * length_m + 2000.0)
        ends = np.flatnonzero(np.isfinite(far) & (far > length_m + 100.0))
        if not len(ends):
            continue
        way = [int(rng.choice(ends))]
        while way[-1] != begin:
            way.append(int(before[way[-1]]))
        line = network.nodes[way[::-1]]
        along = along_m(line)
        where = rng.uniform(0.0, along[-1] - length_m) + np.arange(0.0, length_m + 1.0, 10.0)
        places = np.interp(where, along, line.real) + 1j * np.interp(where, along, line.imag)
        heading = np.gradient(places)
        heading /= np.maximum(np.abs(heading), 1e-9)
        yield places - 1j * heading * rng.uniform(2.0, 5.0) + drift(len(places), rng)
        made += 1


def drift(count: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of a receiver: 2 m, correlated over half a minute."""
    keep = 0.97
    noise = np.empty(count, complex)
    noise[0] = 2.0 * (rng.normal() + 1j * rng.normal()) / np.sqrt(2.0)
    for n in range(1, count):
        fresh = 2.0 * np.sqrt(1 - keep**2) * (rng.normal() + 1j * rng.normal()) / np.sqrt(2.0)
        noise[n] = keep * noise[n - 1] + fresh
    return noise


def displacement(drives: list[Track]) -> dict[str, float]:
    found = []
    for number, drive in enumerate(drives):
        try:
            found.append(
                offset_track(drive, key=key("shift", number), context=b"drive", profile=PROFILE).evidence
            )
        except LimitExceededError:  # shorter than its trims
            continue
    return {
        "mean shift, m": float(np.mean([e.mean_shift_m for e in found])),
        "greatest distance error over 100 m, %": 100.0 * max(e.max_distance_error for e in found),
        "greatest heading error, degrees": max(e.max_heading_error_deg for e in found),
    }


def everywhere() -> tuple[np.ndarray, np.ndarray]:
    """Positions all over a square of 40 km."""
    east, north = np.random.default_rng(6).uniform(-20_000.0, 20_000.0, (2, 2000))
    return 39.9 + north / 111_200.0, 116.3 + east / 85_300.0


def driven(drives: list[Track]) -> tuple[np.ndarray, np.ndarray]:
    """All fixes within 20 km of the middle of the drives."""
    lat, lon = (np.concatenate([getattr(d, name) for d in drives]) for name in ("lat", "lon"))
    near = np.hypot(*to_enu(lat, lon, float(np.median(lat)), float(np.median(lon)))) < 20_000.0
    return lat[near], lon[near]


def known_points(lat: np.ndarray, lon: np.ndarray, keys: int) -> dict[str, float]:
    """What is left to the best fit, by random pairs."""
    left: dict[int, list[float]] = {1: [], 2: [], 3: [], 5: [], 10: []}
    for number in range(keys):
        shown = KeyedOffset(key("known", number), PROFILE).displace(lat, lon)
        figures = known_point_attack(
            (lat, lon), shown, octaves=PROFILE.offset_octaves, counts=tuple(left), rounds=20, seed=number
        )
        for figure in figures:
            if figure.best:
                left[figure.known].append(figure.median_m)
    return {
        f"left after {count} known point{'s' * (count > 1)}, m": float(np.median(medians))
        for count, medians in left.items()
    }


def matching(network: RoadNetwork, clips: int) -> tuple[dict[str, float], dict[str, float]]:
    """Shares found at rank 1, and how often an attacker would believe a wrong place."""
    reach = PROFILE.offset_constant_m[1] + sum(a for _, a in PROFILE.offset_octaves)
    found: dict[str, float] = {}
    wrong: dict[str, float] = {}
    for length, name in ((300.0, "300 m"), (2000.0, "2 km")):
        for mode in ("OFFSET", "LOCAL"):
            hits = errors = believed = 0
            for number, truth in enumerate(drives_on(network, clips, length, seed=int(length))):
                if mode == "OFFSET":
                    lat, lon = from_enu(truth.real, truth.imag, network.lat0, network.lon0)
                    true = network.to_frame(lat, lon)
                    shown = KeyedOffset(key("match", number), PROFILE).displace(lat, lon)
                    match = match_displaced(network, network.to_frame(*shown), reach_m=reach)
                else:
                    true = truth
                    match = match_local(network, truth * np.exp(1j * number) + 1e4)
                right = match is not None and match.error_m(true) <= FOUND_M
                hits += right
                if match is not None and match.claimed:
                    believed += 1
                    errors += not right
            found[f"{mode}, {name} clips found, %"] = 100.0 * hits / clips
            wrong[f"{mode}, {name} clips: believed, %"] = 100.0 * believed / clips
            wrong[f"{mode}, {name} clips: believed wrongly, %"] = 100.0 * errors / clips
    return found, wrong


def pieces(track: Track, secret: bytes, mode: str, context: bytes) -> Drive | None:
    try:
        if mode == "LOCAL":
            clips = to_local(track, key=secret, context=context, profile=PROFILE).clips
            return drive_of(c.x_m + 1j * c.y_m for c in clips)
        moved = offset_track(track, key=secret, context=context, profile=PROFILE).track
    except LimitExceededError:
        return None
    east, north = to_enu(moved.lat, moved.lon, moved.lat[:1], moved.lon[:1])
    return drive_of((east + 1j * north)[part] for part in moved.segments())


def joins(drives: list[Track]) -> tuple[dict[str, float], dict[str, float]]:
    rates: dict[str, float] = {}
    more: dict[str, float] = {}
    for mode in ("OFFSET", "LOCAL"):
        sides = [
            [(str(n), pieces(d, key(side), mode, b"%d" % n)) for n, d in enumerate(drives)] for side in "ab"
        ]
        one, two = ([(n, d) for n, d in side if d is not None] for side in sides)
        figure = join_figures(one, two, progress=lambda *_: None)
        rates[f"trips joined under two keys, {mode}, %"] = 100.0 * figure.found / max(figure.drives, 1)
        half = len(two) // 2
        control = join_figures(one[:half], two[half + 1 :], progress=lambda *_: None)
        more[f"join, {mode}: drives"] = figure.drives
        more[f"join, {mode}: drives in no other release, believed"] = control.alone_claimed
    return rates, more


def made_town() -> RoadNetwork:
    """Crooked streets in a square of 4 km, for runs without the samples."""
    rng = np.random.default_rng(3)
    side = 27
    at = (np.arange(side)[:, None] + 1j * np.arange(side)[None, :]) * 150.0
    at = at + rng.uniform(-50, 50, at.shape) + 1j * rng.uniform(-50, 50, at.shape)
    number = np.arange(side * side).reshape(side, side)
    pairs = [*zip(number[1:].ravel(), number[:-1].ravel(), strict=True)]
    pairs += zip(number[:, 1:].ravel(), number[:, :-1].ravel(), strict=True)
    lat, lon = from_enu(at.ravel().real, at.ravel().imag, 39.9, 116.3)
    return network_of(lat, lon, [(int(a), int(b)) for a, b in pairs], digest="made")


def made_drives(network: RoadNetwork, count: int) -> list[Track]:
    drives = []
    for places in drives_on(network, count, 3800.0, seed=5):
        rng = np.random.default_rng(len(drives))
        along = along_m(places)
        where = np.cumsum(np.clip(rng.normal(9.0, 3.0, 900), 0.0, 18.0))
        where = where[where < along[-1]]
        x, y = np.interp(where, along, places.real), np.interp(where, along, places.imag)
        lat, lon = from_enu(x, y, network.lat0, network.lon0)
        absent = np.full(len(lat), np.nan)
        drives.append(
            Track(
                lat=lat,
                lon=lon,
                time_s=1.7e9 + np.arange(float(len(lat))),
                elevation_m=absent,
                speed_mps=absent,
                segment=np.zeros(len(lat), np.int32),
                crs="EPSG:4326",
            )
        )
    return drives


def measured(geolife_file: Path, osm_file: Path, *, clips: int, quick: bool) -> dict[str, Any]:
    started = time.perf_counter()
    network = read_road_network(io.BytesIO(osm_file.read_bytes())) if osm_file.is_file() else made_town()
    drives = geolife(geolife_file) if geolife_file.is_file() else made_drives(network, 40)
    if quick:
        drives = drives[:30]
    found, wrong = matching(network, 10 if quick else clips)
    joined, more = joins(drives)
    keys = 3 if quick else 20
    figures = displacement(drives) | known_points(*everywhere(), keys) | found | joined
    more |= {
        f"{name[:-3]} (fixes of the drives), m": v for name, v in known_points(*driven(drives), keys).items()
    }
    return {
        "benchmark": "geo_attacks",
        "quick": quick,
        "drives": "GeoLife" if geolife_file.is_file() else "made",
        "roads": osm_file.name if osm_file.is_file() else "made",
        "road_km": round(network.road_km, 1),
        "trips": len(drives),
        "clips": 10 if quick else clips,
        "figures": figures,
        "design": DESIGN,
        "more": wrong | more,
        "seconds": round(time.perf_counter() - started, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few clips and keys: enough to see that it runs")
    parser.add_argument("--clips", type=int, default=60, help="clips of each length and mode")
    parser.add_argument("--geolife", type=Path, default=SHARED / "formats" / "traj" / "geolife_sample.txt.gz")
    parser.add_argument("--osm", type=Path, default=SHARED / "formats" / "osm" / "campo-grande.osm.gz")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    answer = measured(asked.geolife, asked.osm, clips=asked.clips, quick=asked.quick)
    if asked.json:
        json.dump(answer, sys.stdout)
        return
    print(
        f"{answer['trips']} drives ({answer['drives']}), {answer['road_km']} km of road ({answer['roads']})"
    )
    for name, value in answer["figures"].items():
        print(f"{name:48} {value:8.2f}   DESIGN.md {DESIGN.get(name, '–')}")
    for name, value in answer["more"].items():
        print(f"{name:72} {value:8.1f}")
    print(f"{answer['seconds']} s")


if __name__ == "__main__":
    main()

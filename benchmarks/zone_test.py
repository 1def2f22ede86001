"""Restricted-zone test against shapely's STRtree and prepared polygons on the same positions, one thread."""

import argparse
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import shapely

from anonymize.geo.zones import ZoneKind, ZoneSet


def zones_over_a_city(count: int) -> ZoneSet:
    """Irregular zones of some 200 m to 2 km, each with a margin."""
    rng = np.random.default_rng(7)
    features: list[dict[str, object]] = []
    while len(features) < count:
        turn = np.sort(rng.uniform(0.0, 2.0 * np.pi, 40))
        radius = rng.uniform(0.002, 0.02) * rng.uniform(0.6, 1.0, 40)
        x, y = rng.uniform(116.0, 116.8), rng.uniform(39.6, 40.2)
        ring = np.column_stack([x + radius * np.cos(turn), y + radius * np.sin(turn)])
        ring = np.vstack([ring, ring[:1]])
        if shapely.Polygon(ring).is_valid:
            properties = {
                "id": str(len(features)),
                "kind": list(ZoneKind)[len(features) % 10],
                "margin_m": 50.0,
            }
            geometry = {"type": "Polygon", "coordinates": [ring.tolist()]}
            features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    collection = {"type": "FeatureCollection", "name": "benchmark", "version": 1, "features": features}
    return ZoneSet.from_geojson(json.dumps(collection).encode())


def positions(points: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Scattered over the city; and sweeps of 120,000 points within 120 m of vehicles somewhere in it."""
    rng = np.random.default_rng(1)
    scattered = rng.uniform(39.6, 40.2, points), rng.uniform(116.0, 116.8, points)
    sweep = np.arange(points) // 120_000
    turn, reach = rng.uniform(0.0, 2.0 * np.pi, points), 120.0 * np.sqrt(rng.uniform(0.0, 1.0, points))
    lat = rng.uniform(39.6, 40.2, sweep[-1] + 1)[sweep] + reach * np.sin(turn) / 111_200.0
    lon = rng.uniform(116.0, 116.8, sweep[-1] + 1)[sweep] + reach * np.cos(turn) / 85_000.0
    return {"scattered": scattered, "lidar sweeps": (lat, lon)}


def tree_join(tree: shapely.STRtree, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """What a spatial join does: every position against an index of polygons."""
    inside = np.zeros(len(lat), dtype=bool)
    inside[tree.query(shapely.points(lon, lat), predicate="intersects")[0]] = True
    return inside


def prepared(shapes: tuple[shapely.Geometry, ...], lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Every position against every prepared polygon, vectorised over positions."""
    inside = np.zeros(len(lat), dtype=bool)
    for shape in shapes:
        inside |= shapely.intersects_xy(shape, lon, lat)
    return inside


def on_borders(zones: ZoneSet, each: int, extra_margin_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners and points along the borders of the zones with their margins, and beside them by 0 to 20 m."""
    rng = np.random.default_rng(2)
    lines = [shapely.boundary(shape) for shape in zones.shapes(extra_margin_m=extra_margin_m)]
    corners = np.vstack([shapely.get_coordinates(line) for line in lines])
    along = np.vstack(
        [
            shapely.get_coordinates(shapely.line_interpolate_point(line, rng.uniform(0.0, line.length, each)))
            for line in lines
        ]
    )
    beside = [along + rng.normal(0.0, metres / 111_000.0, along.shape) for metres in (0.001, 0.1, 20.0)]
    x, y = np.vstack([corners, along, *beside]).T
    return y, x


def check_borders(zones: ZoneSet) -> int:
    """How many positions about borders answered as the exact geometry does, zone and kinds included."""
    checked = 0
    for extra_margin_m in (0.0, 110.0):
        lat, lon = on_borders(zones, 200, extra_margin_m)
        fast, exact = (run(lat, lon, extra_margin_m=extra_margin_m) for run in (zones.test, zones.test_exact))
        assert np.array_equal(fast.zone, exact.zone), "another zone than exactly"
        assert np.array_equal(fast.kind_bits, exact.kind_bits), "other kinds than exactly"
        held = np.zeros(len(lat), dtype=bool)
        for shape in zones.shapes(extra_margin_m=extra_margin_m):
            held |= shapely.intersects_xy(shape, lon, lat)
        assert np.array_equal(fast.inside, held), "another answer than the polygons"
        checked += len(lat)
    return checked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1_200_000)
    parser.add_argument(
        "--peer-points", type=int, default=240_000, help="how many of them the slower peers get"
    )
    parser.add_argument("--zones", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    zones = zones_over_a_city(asked.zones)
    started = time.perf_counter()
    zones.test(np.full(10_000, 39.9), np.full(10_000, 116.3))
    build_s = time.perf_counter() - started
    borders = check_borders(zones)
    tree = shapely.STRtree(list(zones.shapes()))
    figures: dict[str, dict[str, float]] = {}
    for name, (lat, lon) in positions(asked.points).items():
        best = float("inf")
        for _ in range(asked.rounds):
            started = time.perf_counter()
            hits = zones.test(lat, lon)
            best = min(best, time.perf_counter() - started)
        ours = len(lat) / best / 1e6
        few = np.linspace(0, len(lat) - 1, min(asked.peer_points, len(lat))).astype(int)
        peers = {}
        for peer, run in (
            ("strtree", lambda a, b: tree_join(tree, a, b)),
            ("prepared", lambda a, b: prepared(zones.shapes(), a, b)),
        ):
            started = time.perf_counter()
            answer = run(lat[few], lon[few])
            peers[peer] = len(few) / (time.perf_counter() - started) / 1e6
            assert np.array_equal(answer, hits.inside[few]), f"{peer} disagrees"
        exact = zones.test_exact(lat[few], lon[few])
        assert np.array_equal(exact.zone, hits.zone[few])
        assert np.array_equal(exact.kind_bits, hits.kind_bits[few])
        figures[name] = {"zones_mpts": ours, "inside": float(hits.inside.mean())}
        figures[name] |= {f"{peer}_mpts": speed for peer, speed in peers.items()}
        figures[name] |= {f"ratio_to_{peer}": ours / speed for peer, speed in peers.items()}
    if asked.json:
        print(
            json.dumps(
                {
                    "benchmark": "zone_test",
                    "zones": asked.zones,
                    "build_s": build_s,
                    "identical_on_borders": borders,
                    "figures": figures,
                }
            )
        )
        return
    print(
        f"{asked.zones} zones, raster built in {build_s:.2f} s; "
        f"all answers identical, {borders} of them on and beside borders with two margins"
    )
    for name, f in figures.items():
        print(
            f"{name} ({f['inside']:.1%} inside): {f['zones_mpts']:.1f} Mpt/s, "
            f"{f['ratio_to_strtree']:.0f} x STRtree ({f['strtree_mpts']:.2f}), "
            f"{f['ratio_to_prepared']:.0f} x prepared polygons ({f['prepared_mpts']:.2f})"
        )


if __name__ == "__main__":
    main()

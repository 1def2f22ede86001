"""Search of released bytes for known positions and identifiers against passes that any such search must make.

The limit of a search of text is one pass of ``re`` for decimal numbers; that of a search of binary is reading
every alignment of both byte orders as 64-bit and 32-bit floats and comparing with one range.
"""

import argparse
import json
import re
import time
from collections.abc import Callable

import numpy as np

from anonymize.geo.position_index import PositionIndex
from anonymize.geo.positions import search
from anonymize.text.identifier_search import Identifiers

_NUMBER = re.compile(rb"[-+]?\d+\.\d+")


def drive(fixes: int) -> tuple[np.ndarray, np.ndarray]:
    """A winding drive over a city."""
    rng = np.random.default_rng(1)
    heading = np.cumsum(rng.normal(0.0, 0.05, fixes))
    north, east = np.cumsum(8.0 * np.cos(heading)), np.cumsum(8.0 * np.sin(heading))
    return 39.9 + north / 111_200.0, 116.3 + east / 85_000.0


def contents(size: int, lat: np.ndarray, lon: np.ndarray) -> dict[str, tuple[bytes, str]]:
    rng = np.random.default_rng(2)
    rows = rng.uniform((-300.0, -300.0, 0.0), (300.0, 300.0, 100.0), (20_000, 3)).tolist()
    local = b"".join(b"%.3f,%.3f,%.3f\n" % tuple(row) for row in rows)
    moved = np.column_stack((lat + 0.02, lon + 0.02))[:20_000].tolist()
    shifted = b"".join(b"%.7f,%.7f,2023-11-28T17:04:00.000Z\n" % tuple(row) for row in moved)
    sweep = rng.normal(0.0, 30.0, (20_000, 4)).astype("<f4").tobytes()

    def filled(part: bytes) -> bytes:
        return (part * (size // len(part) + 1))[:size]

    return {
        "local track, CSV": (filled(local), "text"),
        "displaced track, CSV": (filled(shifted), "text"),
        "sweeps, 32-bit floats": (filled(sweep), "binary"),
        "random bytes": (rng.bytes(size), "binary"),
    }


def passes_of_re(content: bytes) -> int:
    return sum(1 for _ in _NUMBER.finditer(content))


def passes_of_frombuffer(content: bytes) -> int:
    hits = 0
    with np.errstate(invalid="ignore"):
        for code in ("<f8", ">f8", "<f4", ">f4"):
            width = int(code[2])
            for offset in range(width):
                values = np.frombuffer(content, code, (len(content) - offset) // width, offset)
                hits += np.count_nonzero((values > 39.0) & (values < 41.0))
    return hits


def rate(run: Callable[[], object], size: int, rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - started)
    return size / best / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--fixes", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    size = asked.megabytes * 1_000_000
    lat, lon = drive(asked.fixes)
    started = time.perf_counter()
    index = PositionIndex(lat, lon, shown=(lat + 0.02, lon + 0.02))
    prepare_s = time.perf_counter() - started
    strings = Identifiers(vins=["LSVAU2180N2183294"], device_ids=["C0FFEE123456"], planted=["drive_0815"])
    figures: dict[str, dict[str, float]] = {}
    for name, (content, kind) in contents(size, lat, lon).items():
        limit = passes_of_re if kind == "text" else passes_of_frombuffer
        found = search([content], index)
        positions = rate(lambda c=content: search([c], index), size, asked.rounds)
        identifiers = rate(lambda c=content: strings.search([c]), size, asked.rounds)
        peer = rate(lambda c=content, p=limit: p(c), size, asked.rounds)
        figures[name] = {
            "positions_mbps": positions,
            "identifiers_mbps": identifiers,
            "limit_mbps": peer,
            "ratio": positions / peer,
            "seconds": size / positions / 1e6,
            "findings": len(found),
        }
    if asked.json:
        told = {"benchmark": "position_search", "fixes": asked.fixes, "prepare_s": prepare_s}
        print(json.dumps(told | {"megabytes": asked.megabytes, "figures": figures}))
        return
    print(f"{asked.fixes} fixes prepared in {prepare_s:.2f} s; {asked.megabytes} MB of each content")
    for name, f in figures.items():
        print(
            f"{name}: positions {f['positions_mbps']:.1f} MB/s "
            f"({f['seconds']:.1f} s, {f['findings']:.0f} findings), "
            f"identifiers {f['identifiers_mbps']:.1f} MB/s, one pass of the limit {f['limit_mbps']:.1f} MB/s, "
            f"ratio {f['ratio']:.2f}"
        )


if __name__ == "__main__":
    main()

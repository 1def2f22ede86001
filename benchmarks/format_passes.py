"""The first pass over clouds, maps, CAN logs and NMEA against plain reading and writing by each format's library.

    python benchmarks/format_passes.py [--rounds 5] [--only NAME …] [--size 1.0] [--data DIR] [--json]

Ours reads strictly, tests every position against twenty zones far away, drops what the profile does not list
and writes anew; the library reads the same bytes and writes what it read: numpy for KITTI, pypcd4, laspy (LAZ by
lazrs), osmium, json, python-can, pynmea2. Rounds take turns in one process; figures are medians in MB/s of what
is read, ratios are medians of each round's. A sweep of KITTI (also as PCD) and a map of OpenStreetMap are real
where ``--data`` holds them (the folder of formats), everything else is made here, and smaller with ``--size``
below 1. What has to pass through is held against what went in, by the libraries.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from recordings.format_cases import CASES, Case, Pass

DATA = Path(__file__).parents[2] / "shared" / "data" / "formats"


def timed(work: Pass, content: bytes) -> tuple[float, bytes]:
    start = time.perf_counter()
    out = work(content)
    return time.perf_counter() - start, out


def measure(case: Case, rounds: int) -> dict[str, Any]:
    ours, plain = [], []
    for _ in range(rounds):
        seconds, out = timed(case.ours, case.content)
        ours.append(seconds)
        plain.append(timed(case.plain, case.content)[0])
    case.check(case.content, out)
    megabytes = len(case.content) / 1e6
    return {
        "library": case.library,
        "data": case.data,
        "MB": megabytes,
        "ours MB/s": megabytes / statistics.median(ours),
        "library MB/s": megabytes / statistics.median(plain),
        "ratio": statistics.median(b / a for a, b in zip(ours, plain, strict=True)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; figures are medians")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--size", type=float, default=1.0, help="factor on the length of what is made")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of real samples by format")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    figures = {name: measure(CASES[name](asked.data, asked.size), asked.rounds) for name in asked.only}
    if asked.json:
        print(json.dumps({"benchmark": "format_passes", "load_before": load, "figures": figures}))
        return 0
    print(f"load before: {load:.1f}")
    for name, f in figures.items():
        print(
            f"{name:8} {f['data']:5} {f['MB']:6.1f} MB  {f['ours MB/s']:8.2f} MB/s  "
            f"{f['library']:10} {f['library MB/s']:8.2f} MB/s  ratio {f['ratio']:.3f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

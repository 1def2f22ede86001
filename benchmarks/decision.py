"""One decision: the embedded engine against an OPA server on loopback, same bundle and questions, in one run.

    python benchmarks/decision.py [--opa ../shared/bin/opa] [--rounds 5] [--json]

Every golden vector is judged by both in turn; times are of ``Engine.decide``, from a validated question to a
read decision, so OPA's include HTTP. Target: p50 of the embedded engine ≤ 1/4 of OPA's. Where other work runs
beside it, ``best`` says more: the p50 over vectors of each engine's quickest answer to a vector in all rounds.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from policies.bundle import Bundle, shipped_bundle, write_bundle
from policies.embedded import EmbeddedEngine
from policies.engine import Engine, start_engine
from policies.errors import EngineError
from policies.opa_server import OpaServerEngine, opa_command
from policies.question import Point
from policies.vectors import Vector, shipped_vectors

_START_S = 20.0


Times = dict[tuple[str, str], dict[str, list[float]]]
"""Milliseconds of each vector, by point (or ``all``) and engine."""


def measure(engines: tuple[Engine, ...], vectors: tuple[Vector, ...], rounds: int) -> Times:
    """Time each engine at each point, engines taking turns so that both meet the same load."""
    times: Times = defaultdict(lambda: defaultdict(list))
    for _ in range(rounds):
        for vector in vectors:
            for engine in engines:
                started = time.perf_counter()
                engine.decide(vector.question)
                spent = (time.perf_counter() - started) * 1e3
                for point in (vector.question.point.value, "all"):
                    times[point, engine.name.split()[0]][vector.name].append(spent)
    return times


def row_of(point: str, times: Times) -> dict[str, Any]:
    """Median of all answers at a point, and of the quickest to each vector, of both engines, with their ratios."""
    row: dict[str, Any] = {"point": point}
    for suffix, kept in (("", lambda spent: spent), ("_best", lambda spent: [min(spent)])):
        of = {
            engine: statistics.median(each for spent in times[point, engine].values() for each in kept(spent))
            for engine in ("regorus", "opa")
        }
        row |= {
            f"embedded{suffix}_ms": round(of["regorus"], 3),
            f"opa{suffix}_ms": round(of["opa"], 3),
            f"ratio{suffix}": round(of["regorus"] / of["opa"], 3),
        }
    return row


def connect(url: str, bundle: Bundle) -> OpaServerEngine:
    """Wait for the server to come up."""
    deadline = time.monotonic() + _START_S
    while True:
        try:
            return OpaServerEngine(url, bundle, timeout_s=10)
        except EngineError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main() -> None:
    """Print p50 and ratio per point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--opa", type=Path, default=Path(os.environ.get("FLEETGATE_OPA", "../shared/bin/opa"))
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    bundle = shipped_bundle()
    vectors = shipped_vectors(bundle)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder, EmbeddedEngine(bundle) as embedded:
        write_bundle(bundle, Path(folder) / "bundle")
        command = opa_command(Path(folder) / "bundle", address, arguments.opa)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:  # noqa: S603
            try:
                opa = start_engine(connect(f"http://{address}", bundle), vectors)
                times = measure((start_engine(embedded, vectors), opa), vectors, arguments.rounds)
            finally:
                server.terminate()
    rows = [row_of(point, times) for point in (*(each.value for each in Point), "all")]
    if arguments.json:
        print(json.dumps({"benchmark": "decision", "target_ratio": 0.25, "rows": rows}))
        return
    for row in rows:
        print(
            "{point:8} embedded {embedded_ms:6.3f} ms  OPA {opa_ms:6.3f} ms  ratio {ratio:.2f}  "
            "best {embedded_best_ms:6.3f} / {opa_best_ms:6.3f} ms = {ratio_best:.2f}".format(**row)
        )


if __name__ == "__main__":
    main()

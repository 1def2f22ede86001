"""One decision: the embedded engine against an OPA server on loopback, same bundle and questions, in one run.

    python benchmarks/decision.py [--opa ../shared/bin/opa] [--rounds 5] [--json]

Every golden vector is judged by both in turn; times are of ``Engine.decide``, from a validated question to a
read decision, so OPA's include HTTP. Target: p50 of the embedded engine ≤ 1/4 of OPA's.
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

from policies.bundle import Bundle, shipped_bundle, write_bundle
from policies.embedded import EmbeddedEngine
from policies.engine import Engine, start_engine
from policies.errors import EngineError
from policies.opa_server import OpaServerEngine, opa_command
from policies.vectors import Vector, shipped_vectors

_START_S = 20.0


def measure(engines: tuple[Engine, ...], vectors: tuple[Vector, ...], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each engine at each point, engines taking turns so that both meet the same load."""
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for vector in vectors:
            for engine in engines:
                started = time.perf_counter()
                engine.decide(vector.question)
                spent = (time.perf_counter() - started) * 1e3
                times[f"{vector.question.point} {engine.name.split()[0]}"].append(spent)
                times[f"all {engine.name.split()[0]}"].append(spent)
    return times


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
    p50 = {name: statistics.median(spent) for name, spent in times.items()}
    rows = [
        {
            "point": point,
            "embedded_ms": round(p50[f"{point} regorus"], 3),
            "opa_ms": round(p50[f"{point} opa"], 3),
            "ratio": round(p50[f"{point} regorus"] / p50[f"{point} opa"], 3),
        }
        for point in ("intake", "release", "publish", "serve", "all")
    ]
    if arguments.json:
        print(json.dumps({"benchmark": "decision", "target_ratio": 0.25, "rows": rows}))
        return
    for row in rows:
        print(
            "{point:8} embedded {embedded_ms:6.3f} ms  OPA {opa_ms:6.3f} ms  ratio {ratio:.2f}".format(**row)
        )


if __name__ == "__main__":
    main()

"""Latency of searching pictures by descriptor, flat and in cells, against one numpy product over the same vectors.

    python benchmarks/picture_search.py [--vectors 1000000] [--queries 50] [--json]

Vectors are made: 416 numbers of length 1, in clusters as scenes are, drawn 50 for each centre. Queries are vectors
with noise. The flat index must find what numpy finds; of the cells, recall of these ten nearest is told. A million
vectors take 1.6 GiB, and each index as much again; ``peak_gib`` is the most that the process held.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.mining.descriptors import DESCRIPTOR_LENGTH
from pipeline.mining.search import ImageSearch

NEAREST = 10


def vectors(count: int) -> np.ndarray:
    """Clustered vectors of length 1."""
    rng = np.random.default_rng(11)
    centres = rng.normal(size=(max(1, count // 50), DESCRIPTOR_LENGTH)).astype(np.float32)
    made = np.empty((count, DESCRIPTOR_LENGTH), np.float32)
    for start in range(0, count, 50_000):
        rows = slice(start, min(start + 50_000, count))
        size = rows.stop - rows.start
        made[rows] = centres[np.arange(rows.start, rows.stop) % len(centres)]
        made[rows] += 0.4 * rng.standard_normal((size, DESCRIPTOR_LENGTH), dtype=np.float32)
        made[rows] /= np.linalg.norm(made[rows], axis=1, keepdims=True)
    return made


def timed(ask: Callable[[np.ndarray], Any], queries: np.ndarray) -> tuple[list[Any], dict[str, float]]:
    """Answers, and milliseconds of each question."""
    answers, taken = [], []
    for query in queries:
        began = time.perf_counter()
        answers.append(ask(query))
        taken.append(1000 * (time.perf_counter() - began))
    return answers, {"p50_ms": statistics.median(taken), "p95_ms": sorted(taken)[int(0.95 * len(taken))]}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Latency of each way, and recall of the cells."""
    made = vectors(options.vectors)
    rng = np.random.default_rng(12)
    asked = made[rng.integers(0, len(made), options.queries)]
    asked = asked + 0.2 * rng.standard_normal(asked.shape, dtype=np.float32) / np.sqrt(DESCRIPTOR_LENGTH)
    asked = (asked / np.linalg.norm(asked, axis=1, keepdims=True)).astype(np.float32)

    def product(query: np.ndarray) -> list[int]:
        likeness = made @ query
        nearest = np.argpartition(-likeness, NEAREST)[:NEAREST]
        found: list[int] = nearest[np.argsort(-likeness[nearest])].tolist()
        return found

    expected, numpy_ms = timed(product, asked)
    named = {f"{i:08}": row for i, row in enumerate(made)}
    figures: dict[str, Any] = {"vectors": options.vectors, "numpy": numpy_ms}
    for mode, limit in (("flat", options.vectors), ("ivf", 0)):
        began = time.perf_counter()
        search = ImageSearch(named, flat_up_to=limit)
        built_s = time.perf_counter() - began
        assert search.mode == mode
        hits, taken = timed(lambda query, index=search: index.find(query, NEAREST), asked)
        found = [{int(hit.name) for hit in each} for each in hits]
        recall = statistics.fmean(
            len(got & set(true)) / NEAREST for got, true in zip(found, expected, strict=True)
        )
        figures[mode] = {**taken, "built_s": built_s, "recall_at_10": recall}
        figures[f"{mode}_to_numpy"] = numpy_ms["p50_ms"] / taken["p50_ms"]
        del search
    assert figures["flat"]["recall_at_10"] > 0.999, figures
    figures["ivf_to_flat"] = figures["flat"]["p50_ms"] / figures["ivf"]["p50_ms"]
    figures["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    figures = run(options := parser.parse_args())
    print(json.dumps(figures, indent=None if options.json else 1))


if __name__ == "__main__":
    main()

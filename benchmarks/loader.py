"""Samples a second from sealed shards, against plaintext files of the same samples, in one run on one machine.

    python benchmarks/loader.py [--samples 240] [--points 8000] [--epochs 5] [--rounds 5] [--json]

The gate is ``fleetgate serve`` in a process of its own over a house that the tests' simulators furnish. It
releases made lidar sweeps; each is read under a grant into sealed shards, and put into a plaintext file. Both
sides give the same samples in an order of their own for each epoch, both from the page cache, and take turns.
``reading``: in one process, nothing is made of the bytes. ``batches``: two loading processes, tensors of 16
samples. A rate is that of an epoch after its first sample or batch; what comes before, the question to the gate
and the proof of all indexes included, is told as ``start_ms``.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from release_download import free_port, running

from gateway.vault.root import DEFAULT_ARGON2
from pipeline.training.access import Access
from pipeline.training.dataset import GatewayDataset
from pipeline.training.loader import GatewayLoader
from pipeline.training.shard_file import StoredSample
from pipeline.training.shards import ShardFolder, write_shards
from pipeline.training.training_manifest import freeze
from simulators import PASSPHRASE, PURPOSE, START, House, csv_track, released

TARGET = 0.8
BATCH = 16
WORKERS = 2
SHARD_BYTES = 4 * 1024 * 1024


class PlainFiles(IterableDataset[bytes]):
    """The peer: each file is opened, read and closed, in a new order for each epoch."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths, self.epoch = paths, 0

    def __iter__(self) -> Iterator[bytes]:
        order = list(self.paths)
        random.Random(self.epoch).shuffle(order)  # noqa: S311
        info = get_worker_info()
        for path in order if info is None else order[info.id :: info.num_workers]:
            yield path.read_bytes()


def content_of(sample: StoredSample) -> bytes:
    return sample.content


def stacked(contents: list[bytes]) -> torch.Tensor:
    shortest = min(len(content) for content in contents) // 4 * 4
    return torch.stack([torch.frombuffer(bytearray(c[:shortest]), dtype=torch.float32) for c in contents])


@contextmanager
def served(folder: Path, contents: Mapping[str, bytes]) -> Iterator[tuple[Access, str]]:
    """A gate with a release of these files; yields how to ask it, and the release."""
    house = House(home=folder / "home", argon2=DEFAULT_ARGON2)
    with house.opened() as opened:
        house.furnish(opened)
        captured = {
            name: START + timedelta(seconds=20 + 20 * n / len(contents)) for n, name in enumerate(contents)
        }
        release = released(opened, house, {"drive.csv": csv_track(), **contents}, captured=captured)
        public = opened.keystore.signing_key("release").as_dict(private=False)
    port = free_port()
    environment = {**os.environ, "FLEETGATE_HOME": str(house.home), "FLEETGATE_PASSPHRASE": PASSPHRASE}
    with running([sys.executable, "-m", "gateway.cli", "serve", "--port", str(port)], port, environment):
        yield (
            Access.of(
                f"http://127.0.0.1:{port}",
                key=house.people["engineer"].key,
                principal="engineer",
                purpose=PURPOSE,
                release_key=public,
            ),
            release,
        )


@contextmanager
def gate(folder: Path, samples: int, points: int) -> Iterator[tuple[Access, str]]:
    """A gate with a release of sweeps; yields how to ask it, and the release."""
    rng = np.random.default_rng(7)
    sweeps = {
        f"lidar/{n:06}.bin": rng.uniform(1.0, 40.0, (points, 4)).astype("<f4").tobytes()
        for n in range(samples)
    }
    with served(folder, sweeps) as asked:
        yield asked


def rate(epoch: Iterable[object], size: Callable[[object], int]) -> tuple[float, float, int]:
    """Samples a second after the first piece, milliseconds before it, and how many samples there were."""
    began = time.perf_counter()
    pieces = iter(epoch)
    first = size(next(pieces))
    ready = time.perf_counter()
    count = sum(size(piece) for piece in pieces)
    return count / (time.perf_counter() - ready), (ready - began) * 1000, count + first


def compare(data: GatewayDataset[bytes], plain: PlainFiles, options: argparse.Namespace) -> dict[str, float]:
    """Medians over rounds of both ways of loading."""
    ways: dict[str, tuple[Callable[[], Iterable[object]], Callable[[], Iterable[object]], Callable]] = {
        "reading": (lambda: data, lambda: plain, lambda _: 1),
        "batches": (
            lambda: GatewayLoader(data, batch_size=BATCH, workers=WORKERS, collate=stacked),
            lambda: DataLoader(plain, batch_size=BATCH, num_workers=WORKERS, collate_fn=stacked),
            len,
        ),
    }
    found: dict[str, float] = {}
    for name, (sealed, peer, size) in ways.items():
        taken: dict[str, list[float]] = {"sealed": [], "plain": [], "start": [], "plain_start": []}
        ratios = []
        for number in range(options.rounds):
            of_round: dict[str, list[float]] = {"sealed": [], "plain": []}
            for epoch in range(number * options.epochs, (number + 1) * options.epochs):
                data.set_epoch(epoch)
                plain.epoch = epoch
                for side, loader, start in (("sealed", sealed, "start"), ("plain", peer, "plain_start")):
                    per_s, ms, count = rate(loader(), size)
                    assert count == len(data), (count, len(data))
                    of_round[side].append(per_s)
                    taken[start].append(ms)
            for side, values in of_round.items():
                taken[side].append(statistics.median(values))
            ratios.append(taken["sealed"][-1] / taken["plain"][-1])
        found |= {
            f"{name}_sealed_per_s": statistics.median(taken["sealed"]),
            f"{name}_plain_per_s": statistics.median(taken["plain"]),
            f"{name}_ratio": statistics.median(ratios),
            f"{name}_start_ms": statistics.median(taken["start"]),
            f"{name}_plain_start_ms": statistics.median(taken["plain_start"]),
        }
    return found


def run(options: argparse.Namespace) -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory() as folder,
        gate(Path(folder), options.samples, options.points) as (access, release),
        access.client() as client,
    ):
        manifest = freeze("benchmark", client, [release], key=access.key, now=datetime.now(tz=UTC))
        shards = ShardFolder(Path(folder) / "shards", manifest, access.key)
        began = time.perf_counter()
        written = write_shards(client, shards, shard_bytes=SHARD_BYTES)
        spent = time.perf_counter() - began
        data = GatewayDataset(shards.folder, manifest, access, decode=content_of)
        paths = [Path(folder) / f"{number:06}.bin" for number in range(len(manifest.samples))]
        for path, content in zip(paths, data, strict=True):
            path.write_bytes(content)
        return {
            "samples": len(manifest.samples),
            "sample_bytes": sum(sample.size for sample in manifest.samples) / len(manifest.samples),
            "shards": written.written,
            "written_per_s": written.samples / spent,
            **compare(data, PlainFiles(paths), options),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=240)
    parser.add_argument("--points", type=int, default=8000, help="points of a sweep, 16 bytes each")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of each side in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    figures = run(options := parser.parse_args())
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:24} {value:12,.2f}")


if __name__ == "__main__":
    main()

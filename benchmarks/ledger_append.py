"""Acknowledged ledger appends by many threads against the fdatasync rate of the same disk, in one run.

    python benchmarks/ledger_append.py [--threads 32] [--processes 4] [--seconds 2] [--rounds 3]
        [--postgresql] [--folder DIR] [--json]

Three ways: all threads in one process; the same threads spread over processes that submit to one sequencer, as the
workers of `fleetgate serve --workers` do; and the same with a writer in each process, which contend for the head.
The rounds interleave all measures, so that a busy machine slows each alike; the figures are medians.
The baseline appends 4 KiB to a growing file and calls fdatasync, over and over: what a ledger without
group commit does per entry. DESIGN section 5 asks for a ratio of at least 12 and a p99 of at most
10 fsyncs. The ratio cannot exceed the number of threads, and where the disk acknowledges faster than
Python encodes entries it is the processor that limits it. `--postgresql` keeps the ledger in a PostgreSQL that
pgserver starts on the same disk; the baseline stays that disk's.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from ledger_query import NoDetail, database
from sqlalchemy import create_engine

from audit.checkpoint import CheckpointSigner
from audit.events import Event, EventType, Outcome
from audit.ledger import Ledger, create_tables
from audit.sequenced_writer import SequencedWriter
from audit.sequencer import Sequencer

BLOCK = bytes(4096)
TARGET_RATIO = 12
TARGET_P99_FSYNCS = 10


def fsync_rate(folder: Path, seconds: float) -> float:
    path = folder / "fsync"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            os.write(descriptor, BLOCK)
            os.fdatasync(descriptor)
            count += 1
        return count / (time.perf_counter() - start)
    finally:
        os.close(descriptor)
        path.unlink()


def event(thread: int, number: int) -> Event:
    return Event(
        type=EventType.SERVE_ITEM_READ,
        outcome=Outcome.INTENT,
        actor=f"engineer-{thread}",
        object=f"item-{number:08}",
        item=f"item-{number:08}",
        recording="recording-7f3a",
        release="release-51cc",
        grant="grant-90ab",
        purpose="training",
        digests={"content": "ab" * 32},
        facts={"bytes": number},
    )


def append_for(ledger: Ledger, threads: int, seconds: float) -> tuple[float, list[float]]:
    latencies: list[list[float]] = [[] for _ in range(threads)]
    barrier = threading.Barrier(threads + 1)
    stop = threading.Event()

    def work(thread: int) -> None:
        barrier.wait()
        number = 0
        while not stop.is_set():
            start = time.perf_counter()
            ledger.append(event(thread, number))
            latencies[thread].append(time.perf_counter() - start)
            number += 1

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait()
    start = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    for worker in workers:
        worker.join()
    elapsed = time.perf_counter() - start
    merged = sorted(latency for part in latencies for latency in part)
    return len(merged) / elapsed, merged


Measure = Callable[[float], tuple[float, list[float]]]


def open_ledger(url: str, folder: str, seed: bytes, *, sequenced: bool = False) -> Ledger:
    engine = create_engine(url)
    create_tables(engine)
    signer = CheckpointSigner(seed, "fleetgate.benchmark/ledger")
    writer = SequencedWriter(socket_of(folder), signer.vkey) if sequenced else None
    return Ledger(engine, signer=signer, sealer=NoDetail(), sequencer=writer)


def socket_of(folder: str) -> Path:
    return Path(folder) / "run" / "sequencer.sock"


def client(orders: Connection, url: str, folder: str, seed: bytes, threads: int, *, sequenced: bool) -> None:
    """One process: appends for as many seconds as it is told, answers with how fast and how late."""
    ledger = open_ledger(url, folder, seed, sequenced=sequenced)
    orders.send_bytes(b"ready")
    while order := orders.recv_bytes():
        orders.send_bytes(json.dumps(append_for(ledger, threads, float(order))).encode())
    ledger.close()


@contextmanager
def clients(
    url: str, folder: str, seed: bytes, options: argparse.Namespace, *, sequenced: bool
) -> Iterator[Measure]:
    context = multiprocessing.get_context("spawn")
    threads, pipes, processes = options.threads // options.processes, [], []
    for _ in range(options.processes):
        ours, theirs = context.Pipe()
        process = context.Process(
            target=client, args=(theirs, url, folder, seed, threads), kwargs={"sequenced": sequenced}
        )
        process.start()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        assert pipe.recv_bytes() == b"ready"

    def measure_all(seconds: float) -> tuple[float, list[float]]:
        for pipe in pipes:
            pipe.send_bytes(str(seconds).encode())
        answers = [json.loads(pipe.recv_bytes()) for pipe in pipes]
        return sum(rate for rate, _ in answers), sorted(late for _, part in answers for late in part)

    try:
        yield measure_all
    finally:
        for pipe, process in zip(pipes, processes, strict=True):
            pipe.send_bytes(b"")
            process.join()


NAMES = ("entries_per_s", "ratio", "p50_fsyncs", "p99_fsyncs", "p99_ms")


def figures_of(rate: float, latencies: list[float], syncs: float) -> tuple[float, ...]:
    p50, p99 = latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100]
    return rate, rate / syncs, p50 * syncs, p99 * syncs, p99 * 1000


def reached(figures: dict[str, float]) -> bool:
    return figures["ratio"] >= TARGET_RATIO and figures["p99_fsyncs"] <= TARGET_P99_FSYNCS


def measure(url: str, folder: str, options: argparse.Namespace) -> dict[str, object]:
    seed = os.urandom(32)
    ledger = open_ledger(url, folder, seed)
    rounds: dict[str, list[tuple[float, ...]]] = {"one_process": [], "sequencer": [], "contending": []}
    rates = []
    with (
        Sequencer(ledger, socket_of(folder), checkpoint=ledger.checkpoint),
        clients(url, folder, seed, options, sequenced=True) as sequenced,
        clients(url, folder, seed, options, sequenced=False) as contending,
    ):
        ways: dict[str, Measure] = {
            "one_process": lambda seconds: append_for(ledger, options.threads, seconds),
            "sequencer": sequenced,
            "contending": contending,
        }
        for way in ways.values():
            way(options.seconds / 4)
        for _ in range(options.rounds):
            rates.append(fsync_rate(Path(folder), options.seconds))
            for name, way in ways.items():
                rounds[name].append(figures_of(*way(options.seconds), rates[-1]))
    started = time.perf_counter()
    verified = ledger.verify()
    verify_rate = verified.size / (time.perf_counter() - started)
    ledger.close()
    ways_figures = {
        name: {
            figure: statistics.median(column)
            for figure, column in zip(NAMES, zip(*each, strict=True), strict=True)
        }
        for name, each in rounds.items()
    }
    return {
        "database": "postgresql" if options.postgresql else "sqlite",
        "fsyncs_per_s": statistics.median(rates),
        **{name: {**each, "reached": reached(each)} for name, each in ways_figures.items()},
        "verify_entries_per_s": verify_rate,
        "entries": verified.size,
        "load_average": os.getloadavg()[0],
        "reached": all(reached(ways_figures[name]) for name in ("one_process", "sequencer")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Ledger appends against fdatasync of the same disk.")
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--processes", type=int, default=4, help="processes that the threads are spread over")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measure, in seconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--postgresql", action="store_true", help="on a PostgreSQL that pgserver starts")
    parser.add_argument("--folder", type=Path, default=None, help="a folder on the disk to measure")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        database(Path(folder), postgresql=options.postgresql) as url,
    ):
        figures = measure(url, folder, options)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"ledger on {figures['database']}")
    print(f"fsync/s {figures['fsyncs_per_s']:.0f} (4 KiB appended and fdatasync, same disk)")
    print(f"targets: ratio at least {TARGET_RATIO}, p99 at most {TARGET_P99_FSYNCS} fsyncs")
    print(f"{options.threads} clients in            entries/s   ratio   p50 fsyncs   p99 fsyncs     p99 ms")
    titles = {
        "one_process": "one process",
        "sequencer": f"{options.processes}, one sequencer",
        "contending": f"{options.processes}, each a writer",
    }
    for name, title in titles.items():
        each = figures[name]
        print(
            f"{title:22} {each['entries_per_s']:12.0f} {each['ratio']:7.1f} {each['p50_fsyncs']:12.1f} "
            f"{each['p99_fsyncs']:12.1f} {each['p99_ms']:10.1f}"
        )
    print(f"verify/s {figures['verify_entries_per_s']:.0f} entries recomputed, of {figures['entries']}")
    print(f"load average {figures['load_average']:.1f}")


if __name__ == "__main__":
    main()

"""Acknowledged ledger appends by many threads against the fdatasync rate of the same disk, in one run.

    python benchmarks/ledger_append.py [--threads 32] [--seconds 2] [--rounds 3] [--folder DIR] [--json]

The rounds interleave both measures, so that a busy machine slows each alike; the figures are medians.
The baseline appends 4 KiB to a growing file and calls fdatasync, over and over: what a ledger without
group commit does per entry. DESIGN section 5 asks for a ratio of at least 12 and a p99 of at most
10 fsyncs. The ratio cannot exceed the number of threads, and where the disk acknowledges faster than
Python encodes entries it is the processor that limits it.
"""

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

from sqlalchemy import create_engine

from audit.checkpoint import CheckpointSigner
from audit.events import Event, EventType, Outcome
from audit.ledger import Ledger, create_tables

BLOCK = bytes(4096)
TARGET_RATIO = 12
TARGET_P99_FSYNCS = 10


class NoDetail:
    """The benchmark appends no detail, so nothing is ever sealed."""

    def seal(self, subject: str, plaintext: bytes) -> bytes:
        raise AssertionError(subject, plaintext)

    def open(self, subject: str, sealed: bytes) -> bytes:
        raise AssertionError(subject, sealed)


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


def measure(folder: Path, options: argparse.Namespace) -> dict[str, float | bool]:
    engine = create_engine(f"sqlite:///{folder / 'ledger.db'}")
    create_tables(engine)
    signer = CheckpointSigner(os.urandom(32), "fleetgate.benchmark/ledger")
    ledger = Ledger(engine, signer=signer, sealer=NoDetail())
    append_for(ledger, options.threads, options.seconds / 4)
    rounds = []
    for _ in range(options.rounds):
        syncs = fsync_rate(folder, options.seconds)
        entries, latencies = append_for(ledger, options.threads, options.seconds)
        p50, p99 = latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100]
        rounds.append((entries, syncs, entries / syncs, p50 * syncs, p99 * syncs, p99 * 1000))
    started = time.perf_counter()
    verified = ledger.verify()
    verify_rate = verified.size / (time.perf_counter() - started)
    ledger.close()
    names = ("entries_per_s", "fsyncs_per_s", "ratio", "p50_fsyncs", "p99_fsyncs", "p99_ms")
    figures: dict[str, float | bool] = {
        name: statistics.median(column) for name, column in zip(names, zip(*rounds, strict=True), strict=True)
    }
    reached = figures["ratio"] >= TARGET_RATIO and figures["p99_fsyncs"] <= TARGET_P99_FSYNCS
    return {**figures, "verify_entries_per_s": verify_rate, "entries": verified.size, "reached": reached}


def main() -> None:
    parser = argparse.ArgumentParser(description="Ledger appends against fdatasync of the same disk.")
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measure, in seconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="a folder on the disk to measure")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures = measure(Path(folder), options)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"entries/s  {figures['entries_per_s']:10.0f}   acknowledged, {options.threads} threads")
    print(f"fsync/s    {figures['fsyncs_per_s']:10.0f}   4 KiB appended and fdatasync, same disk")
    print(f"ratio      {figures['ratio']:10.2f}   target at least {TARGET_RATIO}")
    print(f"p50        {figures['p50_fsyncs']:10.1f}   fsyncs")
    print(f"p99        {figures['p99_fsyncs']:10.1f}   fsyncs, target at most {TARGET_P99_FSYNCS}")
    print(f"p99        {figures['p99_ms']:10.2f}   ms")
    print(f"verify/s   {figures['verify_entries_per_s']:10.0f}   entries recomputed, of {figures['entries']}")


if __name__ == "__main__":
    main()

"""Acknowledged ledger appends with sealed detail, by many threads, against those without in the same run.

    python benchmarks/ledger_detail.py [--threads 32] [--seconds 3] [--rounds 2] [--folder DIR] [--json]

Each entry has sealed detail of one of 50 subjects, whose keys lie in a real keystore and were made before; the
rounds interleave both measures, and the figures are medians.
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
from gateway.ledger import KeystoreSealer
from gateway.vault.keys import Keystore

DETAIL = b"whoever it was that looked at it, and from where"
SUBJECTS = 50


def appended_per_s(ledger: Ledger, threads: int, seconds: float, detail: bytes | None) -> float:
    """Acknowledged entries in a second."""
    counts = [0] * threads
    stop = threading.Event()

    def work(thread: int) -> None:
        event = Event(
            type=EventType.SERVE_ITEM_READ,
            outcome=Outcome.COMPLETED,
            actor=f"engineer-{thread}",
            object="item-1",
            facts={"bytes": thread},
        )
        while not stop.is_set():
            subject = None if detail is None else f"person-{(thread * 7 + counts[thread]) % SUBJECTS}"
            ledger.append(event, detail=detail, subject=subject)
            counts[thread] += 1

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    time.sleep(seconds)
    stop.set()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - started)


def run(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Medians of both measures, and their ratio."""
    engine = create_engine(f"sqlite:///{folder / 'ledger.db'}")
    create_tables(engine)
    keystore = Keystore.create(folder / "keystore", "benchmark")
    for number in range(SUBJECTS):
        keystore.ensure_kek(f"sub-person-{number}")
    signer = CheckpointSigner(os.urandom(32), "fleetgate.benchmark/ledger")
    ledger = Ledger(engine, signer=signer, sealer=KeystoreSealer(keystore))
    plain, sealed = [], []
    for _ in range(options.rounds):
        plain.append(appended_per_s(ledger, options.threads, options.seconds, None))
        sealed.append(appended_per_s(ledger, options.threads, options.seconds, DETAIL))
    ledger.close()
    figures = {"without_per_s": statistics.median(plain), "with_per_s": statistics.median(sealed)}
    return {**figures, "ratio": figures["with_per_s"] / figures["without_per_s"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measure, in seconds")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=None, help="a folder on the disk to use")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures = run(Path(folder), options)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:14} {value:9.2f}")


if __name__ == "__main__":
    main()

"""A process of its own that appends to a ledger and prints each acknowledged entry; tests kill it.

Arguments: database URL, actor, threads, entries per thread, and, to append through a sequencer, its socket.
"""

import os
import sys
import threading
from pathlib import Path

from sqlalchemy import create_engine

from audit.checkpoint import CheckpointSigner
from audit.errors import LedgerUnavailableError
from audit.events import Event, EventType, Outcome
from audit.ledger import Ledger
from audit.sequenced_writer import SequencedWriter


class NoSealer:
    def seal(self, subject: str, plaintext: bytes) -> bytes:
        raise AssertionError(subject, plaintext)

    def open(self, subject: str, sealed: bytes) -> bytes:
        raise AssertionError(subject, sealed)


def main(url: str, actor: str, threads: int, count: int, sequencer: str = "") -> None:
    signer = CheckpointSigner(bytes(range(32)), "fleetgate.test/ledger")
    writer = SequencedWriter(Path(sequencer), signer.vkey) if sequencer else None
    ledger = Ledger(create_engine(url), signer=signer, sealer=NoSealer(), sequencer=writer)
    os.write(1, b"ready\n")
    sys.stdin.readline()

    def append(thread: int) -> None:
        for number in range(count):
            event = Event(
                type=EventType.SERVE_ITEM_READ,
                outcome=Outcome.COMPLETED,
                actor=actor,
                object=f"item-{thread}-{number}",
            )
            try:
                receipt = ledger.append(event)
            except LedgerUnavailableError:
                if not sequencer:
                    raise
                os._exit(3)  # it is gone, or refuses everybody
            os.write(1, f"{receipt.index} {receipt.leaf_hash}\n".encode())

    workers = [threading.Thread(target=append, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    ledger.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])

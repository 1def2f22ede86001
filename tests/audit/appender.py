"""A process of its own that appends to a ledger and prints each acknowledged index; tests kill it.

Arguments: database URL, actor, threads, entries per thread.
"""

import os
import sys
import threading

from sqlalchemy import create_engine

from audit.checkpoint import CheckpointSigner
from audit.events import Event, EventType, Outcome
from audit.ledger import Ledger


class NoSealer:
    def seal(self, subject: str, plaintext: bytes) -> bytes:
        raise AssertionError(subject, plaintext)

    def open(self, subject: str, sealed: bytes) -> bytes:
        raise AssertionError(subject, sealed)


def main(url: str, actor: str, threads: int, count: int) -> None:
    signer = CheckpointSigner(bytes(range(32)), "fleetgate.test/ledger")
    ledger = Ledger(create_engine(url), signer=signer, sealer=NoSealer())
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
            receipt = ledger.append(event)
            os.write(1, f"{receipt.index} {receipt.leaf_hash}\n".encode())

    workers = [threading.Thread(target=append, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    ledger.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

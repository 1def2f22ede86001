"""Sequencers and their clients as processes that tests kill, forked where all is loaded."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from audit.checkpoint import CheckpointSigner
from audit.errors import LedgerUnavailableError
from audit.events import Event, EventType, Outcome
from audit.ledger import Ledger, create_tables
from audit.sequenced_writer import SequencedWriter
from audit.sequencer import Sequencer

ORIGIN = "fleetgate.test/ledger"
SIGNER = CheckpointSigner(bytes(range(32)), ORIGIN)
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["sequencing", "pytest"])


def _start_server() -> None:
    """It looks for modules where its environment says, not where pytest does."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


class NoSealer:
    """The sequencer never seals and never opens: detail comes and stays sealed."""

    def seal(self, subject: str, plaintext: bytes) -> bytes:
        raise AssertionError(subject, plaintext)

    def open(self, subject: str, sealed: bytes) -> bytes:
        raise AssertionError(subject, sealed)


def own_ledger(folder: Path, **changes: Any) -> Ledger:
    """The folder's ledger, with a writer of its own."""
    engine = create_engine(f"sqlite:///{folder / 'ledger.db'}")
    create_tables(engine)
    return Ledger(engine, **{"signer": SIGNER, "sealer": NoSealer(), **changes})


def client_ledger(
    folder: Path, *, lost: Callable[[BaseException], None] = lambda _: None, **changes: Any
) -> Ledger:
    """The folder's ledger through its sequencer."""
    return own_ledger(folder, sequencer=SequencedWriter(socket_of(folder), SIGNER.vkey, lost=lost), **changes)


def socket_of(folder: Path) -> Path:
    return folder / "run" / "sequencer.sock"


def event_of(actor: str, number: int) -> Event:
    return Event(
        type=EventType.SERVE_ITEM_READ, outcome=Outcome.COMPLETED, actor=actor, object=f"item-{number}"
    )


def _sequence(folder: Path) -> None:
    ledger = own_ledger(folder)
    signal.signal(signal.SIGUSR1, lambda *_: ledger.stop(LedgerUnavailableError("a fork was found")))
    with Sequencer(ledger, socket_of(folder), checkpoint=ledger.checkpoint):
        (folder / "ready").touch()
        while True:
            time.sleep(60)


def _append_for_ever(folder: Path, actor: str, threads: int) -> None:
    ledger = client_ledger(folder)

    def append(thread: int) -> None:
        with (folder / f"{actor}-{thread}.acks").open("ab", buffering=0) as acks:
            number = 0
            while True:
                try:
                    receipt = ledger.append(event_of(f"{actor}-{thread}", number))
                except LedgerUnavailableError:
                    return
                acks.write(f"{receipt.index} {receipt.leaf_hash}\n".encode())
                number += 1

    for thread in range(threads):
        threading.Thread(target=append, args=(thread,)).start()


@dataclass
class Processes:
    """A sequencer and any number of clients over the ledger of one folder."""

    folder: Path
    clients: list[Any] = field(default_factory=list)
    sequencer: Any = None

    def __post_init__(self) -> None:
        _start_server()

    def start_sequencer(self) -> None:
        (self.folder / "ready").unlink(missing_ok=True)
        self.sequencer = _context.Process(target=_sequence, args=(self.folder,))
        self.sequencer.start()
        wait_until(lambda: (self.folder / "ready").exists() or not self.sequencer.is_alive())
        assert self.sequencer.is_alive()

    def kill_sequencer(self) -> None:
        self.sequencer.kill()
        self.sequencer.join()
        self.sequencer.close()
        self.sequencer = None

    def poison_sequencer(self) -> None:
        os.kill(self.sequencer.pid, signal.SIGUSR1)

    def start_client(self, threads: int = 4) -> str:
        actor = f"client-{len(self.clients)}"
        client = _context.Process(target=_append_for_ever, args=(self.folder, actor, threads))
        client.start()
        self.clients.append(client)
        wait_until(lambda: bool(self.acknowledged(actor)) or not client.is_alive())
        return actor

    def kill_client(self, number: int) -> None:
        self.clients[number].kill()
        self.clients[number].join()

    def acknowledged(self, actor: str = "client") -> dict[int, str]:
        """What clients were told is durable; a line that a kill cut short is none."""
        found: dict[int, str] = {}
        for path in sorted(self.folder.glob(f"{actor}-*.acks")):
            whole = path.read_text().rpartition("\n")[0]
            indexes = [int(line.split()[0]) for line in whole.splitlines()]
            assert indexes == sorted(set(indexes)), "receipts of one thread rise"
            for line in whole.splitlines():
                index, digest = line.split()
                assert int(index) not in found, "an entry was acknowledged twice"
                found[int(index)] = digest
        return found

    def close(self) -> None:
        if self.sequencer is not None:
            self.kill_sequencer()
        for client in self.clients:
            client.kill()
            client.join()
            client.close()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)

"""The writer of a process that appends through the sequencer of its machine instead of the database.

One connection carries the appends of all threads, each under a number of its own: threads do not wait for one
another, and what they ask for while a commit runs shares the next one with that of other processes.
"""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic

from audit import messages
from audit.batch import Receipt, SealedDetail
from audit.errors import LedgerError, LedgerUnavailableError, MessageError
from audit.events import Event
from audit.leaf import encode_leaf, format_time
from audit.local_socket import connect
from audit.merkle import leaf_hash
from audit.messages import Answer, Stopped
from audit.writer import ACKNOWLEDGE_SECONDS, QUEUE_ENTRIES

CHECKPOINT_SECONDS = 120.0
"""How long a checkpoint may take, its witnesses included, in seconds."""


class SequencedWriter:
    """Appends events durably, through the sequencer.

    An append is tried once. One whose answer is lost is refused, and may still turn up, without effect; the
    connection is never opened anew: a process that lost its sequencer takes no further entry.

    Args:
        path: Where the sequencer listens.
        vkey: The ledger's verifier key, which the sequencer must write under.
        lost: Called once with the cause when the sequencer is gone, from a thread of this object.

    Raises:
        LedgerUnavailableError: Nobody of this user listens there, or somebody who writes another ledger.
    """

    def __init__(
        self, path: Path, vkey: str, *, lost: Callable[[BaseException], None] = lambda _: None
    ) -> None:
        self._pid = os.getpid()
        self._lost = lost
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._emptied = threading.Condition(self._lock)
        self._outbox: list[bytes] = []
        self._waiting: dict[int, _Awaited] = {}
        self._number = 0
        self._closing = self._gone = False
        self._cause: BaseException | None = None
        try:
            self._socket = connect(path, ACKNOWLEDGE_SECONDS)
        except (OSError, MessageError) as error:
            raise LedgerUnavailableError(f"no sequencer at {path}: {error}") from error
        self._lines = self._socket.makefile("rb")
        try:
            self._greet(vkey)
        except (OSError, MessageError) as error:
            self._hang_up()
            self._lines.close()
            raise LedgerUnavailableError(f"no sequencer of this ledger at {path}: {error}") from error
        self._threads = [
            threading.Thread(target=run, name=f"ledger-{name}", daemon=True)
            for run, name in ((self._send, "sender"), (self._receive, "receiver"))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def stopped(self) -> BaseException | None:
        """Why it takes no further append; None while it does."""
        return self._cause

    def append(self, event: Event, detail: SealedDetail | None) -> Receipt:
        """Append one event and return once it is durable.

        Raises:
            LedgerUnavailableError: if it was not acknowledged; it may still turn up, without effect.
            InvalidEventError: if it settles an intent that does not exist yet.
        """
        awaited = _Awaited()
        self._ask(messages.submission_body(event, detail), awaited, ACKNOWLEDGE_SECONDS)
        receipt = awaited.receipt
        if receipt is None:
            raise LedgerUnavailableError("the sequencer gave no receipt")
        leaf = encode_leaf(
            event,
            index=receipt.index,
            time=format_time(receipt.time),
            detail=None if detail is None else detail.digest,
        )
        if leaf_hash(leaf).hex() != receipt.leaf_hash:
            error = MessageError(f"the sequencer acknowledged another entry at {receipt.index}")
            self._lose(error)
            raise LedgerUnavailableError(str(error)) from error
        return receipt

    def checkpoint(self) -> str:
        """Have a checkpoint signed, and cosigned where there are witnesses.

        Raises:
            LedgerCorruptError: The tree does not extend what was signed or witnessed before.
            WitnessError: No quorum of witnesses cosigned within the grace.
            LedgerUnavailableError: There was no answer.
        """
        awaited = _Awaited()
        self._ask(messages.CHECKPOINT_BODY, awaited, CHECKPOINT_SECONDS)
        if awaited.note is None:
            raise LedgerUnavailableError("the sequencer gave no checkpoint")
        return awaited.note

    def stop(self, cause: BaseException) -> None:
        """Refuse every further append in this process because of ``cause``."""
        with self._lock:
            self._cause = self._cause or cause
            self._emptied.notify_all()

    def close(self) -> None:
        """Wait for the answers to what was asked, hang up and refuse further appends."""
        if os.getpid() != self._pid:
            return
        deadline = monotonic() + ACKNOWLEDGE_SECONDS
        with self._lock:
            self._closing = True
            self._filled.notify_all()
            while self._waiting and self._emptied.wait(deadline - monotonic()):
                pass
        self._hang_up()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _greet(self, vkey: str) -> None:
        greeting = messages.read_hello(self._lines.readline(messages.MAX_LINE_BYTES))
        if greeting.vkey != vkey:
            raise MessageError(f"it writes another ledger (got {greeting.vkey}, expected {vkey})")
        self._socket.settimeout(None)

    def _ask(self, body: str, awaited: "_Awaited", seconds: float) -> None:
        if os.getpid() != self._pid:  # before the lock, which the fork may have copied held
            raise LedgerUnavailableError(
                "the ledger was opened in another process (open it anew after a fork)"
            )
        deadline = monotonic() + seconds
        with self._lock:
            while True:
                self._check_open()
                if len(self._waiting) < QUEUE_ENTRIES:
                    break
                if not self._emptied.wait(deadline - monotonic()):
                    raise LedgerUnavailableError(f"the queue stayed full ({QUEUE_ENTRIES} entries)")
            self._number += 1
            self._waiting[self._number] = awaited
            self._outbox.append(messages.numbered(body, self._number))
            self._filled.notify()
        if not awaited.done.acquire(timeout=max(0.0, deadline - monotonic())):
            raise LedgerUnavailableError(f"no acknowledgement within {seconds:g} s")
        if awaited.error is not None:
            raise awaited.error

    def _check_open(self) -> None:
        if self._cause is not None:
            raise LedgerUnavailableError(f"the writer is poisoned: {self._cause}") from self._cause
        if self._closing:
            raise LedgerUnavailableError("the ledger is closed")

    def _send(self) -> None:
        try:
            while lines := self._take():
                self._socket.sendall(b"".join(lines))
        except OSError as error:
            self._lose(error)

    def _take(self) -> list[bytes]:
        with self._lock:
            while not self._outbox:
                if self._closing or self._gone:
                    return []
                self._filled.wait()
            lines, self._outbox = self._outbox, []
            return lines

    def _receive(self) -> None:
        try:
            while line := self._lines.readline(messages.MAX_LINE_BYTES):
                self._settle(messages.read_answer(line))
            raise ConnectionResetError("the sequencer hung up")
        except (OSError, MessageError) as error:
            self._lose(error)
        finally:
            self._lines.close()

    def _settle(self, answer: Answer | Stopped) -> None:
        if isinstance(answer, Stopped):
            self.stop(LedgerUnavailableError(answer.why))
            return
        with self._lock:
            awaited = self._waiting.pop(answer.number, None)
            self._emptied.notify_all()
        if awaited is None:
            raise MessageError(f"an answer to nothing that was asked (got number {answer.number})")
        awaited.receipt, awaited.note, awaited.error = answer.receipt, answer.note, answer.error
        awaited.done.release()

    def _lose(self, cause: BaseException) -> None:
        """The sequencer is gone: nothing that is not acknowledged by now ever will be."""
        with self._lock:
            told = self._gone or (self._closing and not self._waiting)
            self._gone = True
            self._cause = self._cause or cause
            rest, self._waiting, self._outbox = list(self._waiting.values()), {}, []
            self._filled.notify_all()
            self._emptied.notify_all()
        self._hang_up()
        for awaited in rest:
            awaited.error = LedgerUnavailableError(f"append failed: {cause}")
            awaited.error.__cause__ = cause
            awaited.done.release()
        if not told:
            self._lost(cause)

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class _Awaited:
    """A message that waits for its answer."""

    __slots__ = ("done", "error", "note", "receipt")

    def __init__(self) -> None:
        self.receipt: Receipt | None = None
        self.note: str | None = None
        self.error: LedgerError | None = None
        self.done = threading.Lock()
        self.done.acquire()

"""The supervisor of a gate that several processes serve: starts, replaces and ends them, in order.

It answers no request. The sequencer is never replaced: without it every worker answers 503, and an operator starts
the gate anew, which verifies the ledger's tail.
"""

import logging
import multiprocessing
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import Any, Final

from audit.errors import LedgerUnavailableError
from gateway.serving import processes
from gateway.settings import Settings

log = logging.getLogger(__name__)

_START_S: Final = 120.0
_LEAST_LIFE_S: Final = 5.0
_LEAVE_S: Final = processes.GRACE_S + 10.0


@dataclass(slots=True, kw_only=True)
class Post:
    """A place that one process at a time fills."""

    name: str
    target: Callable[..., None]
    args: tuple[Any, ...]
    process: ForkServerProcess | None = None
    started: float = field(default=0.0)

    @property
    def due(self) -> float:
        """When it may be filled anew: what dies at once is not started again and again."""
        return self.started + _LEAST_LIFE_S


class Supervisor:
    """Serves a gate by a sequencer, a number of workers and one process for what goes on behind them.

    Args:
        settings: The gate.
        listening: The socket that workers share, bound.
        workers: How many answer requests.
    """

    def __init__(self, settings: Settings, listening: processes.Listening, *, workers: int) -> None:
        self._settings = settings
        self._context = multiprocessing.get_context("forkserver")
        # They load the gate once; each process begins as a copy of it.
        self._context.set_forkserver_preload(["gateway.cli", "gateway.serving.processes"])
        hears, tells = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._posts = [
            Post(name=f"worker {number}", target=processes.answer, args=(settings, listening, tells))
            for number in range(1, workers + 1)
        ]
        self._posts.append(Post(name="background", target=processes.carry_on, args=(settings, hears)))
        self._sequencer: ForkServerProcess | None = None
        self._woken, self._wake = socket.socketpair()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        1. The sequencer is ready. 2. Workers and the background process start; one that dies is replaced.
        3. At the end those finish what they have in hand, and the sequencer ends after them.

        Raises:
            LedgerUnavailableError: The sequencer did not start, or it was gone before the end.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._wake.send(b"\0"))
        try:
            sequencer = self._sequencer = self._start_sequencer()  # 1
            self._attend(sequencer)  # 2
        finally:
            lost = self._sequencer is not None and not self._sequencer.is_alive()
            self._end()  # 3
        if lost:
            raise LedgerUnavailableError(
                "the sequencer was gone (expected it to end last); nothing was answered"
            )

    def _start_sequencer(self) -> ForkServerProcess:
        heard, ready = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=processes.sequence, args=(self._settings, ready), name="sequencer"
        )
        process.start()
        ready.close()
        why = _heard(heard)
        if why:
            process.terminate()
            process.join()
            raise LedgerUnavailableError(f"the sequencer did not start: {why}")
        return process

    def _attend(self, sequencer: ForkServerProcess) -> None:
        sequenced = True
        while True:
            now = time.monotonic()
            for post in self._posts:
                self._fill(post, now)
            alive = [post.process.sentinel for post in self._posts if post.process is not None]
            watched: list[socket.socket | int] = [self._woken, *alive]
            if sequenced:
                watched.append(sequencer.sentinel)
            due = [post.due - now for post in self._posts if post.process is None]
            found = wait(watched, timeout=min(due, default=None))
            if self._woken in found:
                return
            if sequenced and not sequencer.is_alive():
                sequenced = False
                log.critical("the sequencer is gone: every worker answers 503 until the gate is started anew")

    def _fill(self, post: Post, now: float) -> None:
        if post.process is not None and not post.process.is_alive():
            log.error("%s is gone (exit code %s)", post.name, post.process.exitcode)
            post.process.close()
            post.process = None
        if post.process is None and (post.due <= now or not post.started):
            post.process = self._context.Process(target=post.target, args=post.args, name=post.name)
            post.process.start()
            post.started = now

    def _end(self) -> None:
        serving = [post.process for post in self._posts if post.process is not None]
        _end_all(serving)
        if self._sequencer is not None:
            _end_all([self._sequencer])


def _heard(heard: Connection) -> str:
    """Why the sequencer is not ready; empty if it is."""
    try:
        if not heard.poll(_START_S):
            return f"no word within {_START_S:g} s"
        return heard.recv_bytes().decode()
    except EOFError:
        return "it died"
    finally:
        heard.close()


def _end_all(ending: list[ForkServerProcess]) -> None:
    for process in ending:
        if process.is_alive():
            process.terminate()
    deadline = time.monotonic() + _LEAVE_S
    for process in ending:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            log.error("%s does not end and is killed", process.name)
            process.kill()
            process.join()

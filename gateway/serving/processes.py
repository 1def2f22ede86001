"""The processes of a supervised gate: the sequencer of its ledger, workers that answer, one that carries on."""

import logging
import signal
import socket
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from audit.errors import LedgerError
from audit.sequencer import Sequencer
from gateway.api.closed import closed
from gateway.app import open_gate, open_keystore, utc_now
from gateway.background import BackgroundWorker
from gateway.errors import GatewayError
from gateway.flow.gate import Gate
from gateway.ledger import Through, opened_ledger, sequencer_socket
from gateway.scheduler import scheduled
from gateway.server import create_app, tell_start
from gateway.serving.child import begin_as
from gateway.settings import Settings
from gateway.vault.errors import VaultError
from gateway.witnessing import witnessed

log = logging.getLogger(__name__)

GRACE_S = 30
"""How long requests and work in hand may go on when the gate is ended, in seconds."""

_LOOK_S = 1.0
_TRY_AGAIN_S = 5
_NEWS_BYTES = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where workers listen: one socket that they share, and the files of its TLS."""

    socket: socket.socket
    tls_certificate: Path | None
    tls_key: Path | None


def sequence(settings: Settings, ready: Connection) -> None:
    """Own the ledger's writer and sign its checkpoints, until told to end.

    Args:
        settings: The gate.
        ready: Told once that it is ready, by nothing, or why it never will be.
    """
    ended = begin_as("sequencer")
    with ExitStack() as stack:
        try:
            keystore = open_keystore(settings)
            ledger = stack.enter_context(opened_ledger(settings, keystore, utc_now, Through.OWN))
            cosigning = witnessed(settings, ledger, utc_now)
            checkpoint = ledger.checkpoint if cosigning is None else lambda: cosigning.collect().note
            stack.enter_context(
                Sequencer(ledger, sequencer_socket(settings), checkpoint=checkpoint, ended=ended.set)
            )
        except (GatewayError, LedgerError, VaultError, OSError) as error:
            ready.send_bytes(str(error).encode() or type(error).__name__.encode())
            raise
        ready.send_bytes(b"")
        ended.wait()


def answer(settings: Settings, listening: Listening, news: socket.socket) -> None:
    """Answer requests until told to end; without a ledger, answer 503 to all of them (law 2)."""
    ended = begin_as("worker")
    news.settimeout(0)

    def received(recording: str) -> None:
        try:
            news.send(recording.encode())
        except BlockingIOError:
            log.info("recording %s waits for the job retry_stalled", recording)

    with ExitStack() as stack:
        app: ASGIApp
        try:
            gate = stack.enter_context(open_gate(settings, through=Through.SEQUENCER))
            tell_start(gate)
            app = create_app(gate, received)
        except LedgerError as error:
            log.critical("no ledger, no service: %s", error)
            app = closed(error)
        config = uvicorn.Config(
            app,
            ssl_certfile=listening.tls_certificate,
            ssl_keyfile=listening.tls_key,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE_S,
        )
        server = uvicorn.Server(config)

        def end(*_: object) -> None:
            server.should_exit = True

        # While it serves, uvicorn's own handler is there; none is yet when the end came before that.
        signal.signal(signal.SIGTERM, end)
        if not ended.is_set():
            server.run(sockets=[listening.socket])


def carry_on(settings: Settings, news: socket.socket) -> None:
    """Carry recordings on that workers tell of, and run the jobs, until told to end; without a ledger wait."""
    ended = begin_as("background")
    with ExitStack() as stack:
        try:
            gate = stack.enter_context(open_gate(settings, through=Through.SEQUENCER))
        except LedgerError as error:
            log.critical("no ledger, no work: %s", error)
            ended.wait()
            return
        worker = BackgroundWorker(gate)
        stack.callback(worker.close)
        threading.Thread(target=_hear, args=(news, worker), name="news", daemon=True).start()
        while not ended.is_set():
            with scheduled(gate) as sole:
                _until_over(gate, ended, None if sole else _TRY_AGAIN_S)
            if not _runs(gate):
                log.critical("no ledger, no work")
                ended.wait()


def _hear(news: socket.socket, worker: BackgroundWorker) -> None:
    """Tell the worker of each recording that got an item, for as long as the process lives."""
    while recording := news.recv(_NEWS_BYTES):
        try:
            worker.received(recording.decode())
        except Exception:  # this one waits for the job retry_stalled; the next are heard
            log.exception("recording %r is not taken up", recording)


def _until_over(gate: Gate, ended: threading.Event, seconds: int | None) -> None:
    """Wait for the end, of the process or of the ledger, at most so many seconds."""
    looks = 0
    while not ended.wait(_LOOK_S) and _runs(gate):
        looks += 1
        if seconds is not None and looks >= seconds:
            return


def _runs(gate: Gate) -> bool:
    try:
        gate.ledger.require_running()
    except LedgerError:
        return False
    return True

"""The one sequencer: processes of one machine submit entries to the one group-commit writer over a socket.

An entry is acknowledged once it is durable and never before; entries of all processes share commits. What arrives
is read strictly (``audit.messages``); a client that says anything else is cut off. A client that asks faster than
the disk commits, or does not read its answers, is not read from until it does: the socket holds it back.
"""

import asyncio
import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout
from sqlalchemy.exc import SQLAlchemyError

from audit import messages
from audit.batch import Pending
from audit.errors import LedgerError, LedgerUnavailableError, MessageError
from audit.ledger import Ledger
from audit.local_socket import listen, private_directory, require_own
from audit.messages import CheckpointRequest, Submission
from audit.writer import ACKNOWLEDGE_SECONDS, QUEUE_ENTRIES

log = logging.getLogger(__name__)

_FLUSH_SECONDS = 5.0


class Sequencer:
    """Takes entries from other processes of this user, from a thread of its own.

    Args:
        ledger: The ledger, with a writer of its own.
        path: Where to listen; its directory is private (mode 0700).
        checkpoint: Signs a checkpoint, with its witnesses where there are any; called once at a time.
        ended: Called when it ends without having been closed: no client can append from then on.

    Raises:
        LedgerUnavailableError: Another sequencer listens there.
        MessageError: The directory is open to others.
        OSError: The socket cannot be made.
    """

    def __init__(
        self,
        ledger: Ledger,
        path: Path,
        *,
        checkpoint: Callable[[], str],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._path, self._vkey = path, ledger.signer.vkey
        self._writer, self._checkpoint, self._ended = ledger.own_writer, checkpoint, ended
        self._sole = _sole(path)
        try:
            self._socket = listen(path)
        except BaseException:
            self._sole.release()
            raise
        self._settled: deque[_Remote] = deque()
        self._flushing = False
        self._connections: set[_Connection] = set()
        self._started = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="ledger-sequencer", daemon=True)
        self._thread.start()
        self._started.wait()
        if not self.alive:
            self.close()
            raise LedgerUnavailableError(f"the sequencer at {path} did not start")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether clients are served."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Read no further, answer what was read, and close every connection."""
        self._closing = True
        with suppress(RuntimeError):  # it ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._path.unlink(missing_ok=True)
        self._sole.release()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._started.set()
            if not self._closing:
                log.critical("the sequencer ended")
                self._ended()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._slots = asyncio.Semaphore(QUEUE_ENTRIES)
        self._signing = asyncio.Lock()
        self._writer.tell(self._poisoned)
        server = await asyncio.start_unix_server(
            self._connected, sock=self._socket, limit=messages.MAX_LINE_BYTES
        )
        self._started.set()
        async with server:
            await self._stop.wait()
            server.close()
            for connection in self._connections:
                connection.task.cancel()
            await asyncio.gather(*(connection.task for connection in self._connections))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise MessageError("a client outside of any task")
        connection = _Connection(reader, writer, task)
        self._connections.add(connection)
        try:
            require_own(writer.get_extra_info("socket"))
            writer.write(messages.hello(self._vkey))
            if self._writer.stopped is not None:
                writer.write(messages.stopped(self._writer.stopped))
            while (line := await connection.line()) is not None:
                await self._take(connection, line)
                await writer.drain()
            await connection.answered()
        except asyncio.CancelledError:  # by ``close`` alone
            await connection.answered()
        except MessageError as error:
            log.error("a client is cut off: %s", error)  # noqa: TRY400 (the message says it all)
        except ConnectionError:
            log.info("a client is gone")
        finally:
            await connection.close()
            self._connections.discard(connection)

    async def _take(self, connection: "_Connection", line: bytes) -> None:
        request = messages.read_request(line)
        connection.require_next(request.number)
        if isinstance(request, CheckpointRequest):
            connection.keep(self._loop.create_task(self._sign(connection, request)))
            return
        await self._slots.acquire()
        pending = _Remote(request, connection, self._post)
        connection.outstanding += 1
        try:
            self._writer.submit(pending)
        except LedgerUnavailableError as error:
            pending.error = error
            self._post(pending)

    async def _sign(self, connection: "_Connection", request: CheckpointRequest) -> None:
        try:
            async with self._signing:
                note = await asyncio.to_thread(self._checkpoint)
        except (LedgerError, SQLAlchemyError, OSError) as error:
            connection.write(messages.error_line(request.number, error))
        else:
            connection.write(messages.note_line(request.number, note))

    def _post(self, pending: "_Remote") -> None:
        """Hand a settled append to the loop; called from the writer's thread."""
        self._settled.append(pending)
        if not self._flushing:
            self._flushing = True
            with suppress(RuntimeError):  # the loop ended, and with it every connection
                self._loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        answers: defaultdict[_Connection, list[bytes]] = defaultdict(list)
        while self._settled:
            pending = self._settled.popleft()
            self._slots.release()
            answers[pending.connection].append(pending.answer())
        for connection, lines in answers.items():
            connection.settle(lines)

    def _poisoned(self, cause: BaseException) -> None:
        with suppress(RuntimeError):  # as in ``_post``
            self._loop.call_soon_threadsafe(self._tell_stopped, cause)

    def _tell_stopped(self, cause: BaseException) -> None:
        log.critical("the ledger takes no further entry: %s", cause)
        for connection in self._connections:
            connection.write(messages.stopped(cause))


class _Connection:
    """One client: reads its messages in order, counts what it waits for."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: "asyncio.Task[None]"
    ) -> None:
        self._reader, self._writer = reader, writer
        self.task = task
        self._last = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._count = 0

    @property
    def outstanding(self) -> int:
        """Appends that were taken and not answered."""
        return self._count

    @outstanding.setter
    def outstanding(self, count: int) -> None:
        self._count = count
        if count:
            self._idle.clear()
        else:
            self._idle.set()

    async def line(self) -> bytes | None:
        """The next message; None at the end of the stream, where half a message is no message."""
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError as error:
            raise MessageError(
                f"message is too long (expected at most {messages.MAX_LINE_BYTES} bytes)"
            ) from error

    def require_next(self, number: int) -> None:
        """Demand that numbers rise: no message is taken twice."""
        if number <= self._last:
            raise MessageError(f"message out of order (got {number}, expected more than {self._last})")
        self._last = number

    def keep(self, task: asyncio.Task[None]) -> None:
        """Keep a task for as long as it runs."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def write(self, data: bytes) -> None:
        """Send, unless the client is gone."""
        if not self._writer.is_closing():
            self._writer.write(data)

    def settle(self, lines: list[bytes]) -> None:
        """Send answers to appends."""
        self.write(b"".join(lines))
        self.outstanding -= len(lines)

    async def answered(self) -> None:
        """Wait until every message that was taken is answered, not for ever."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), ACKNOWLEDGE_SECONDS)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ACKNOWLEDGE_SECONDS)

    async def close(self) -> None:
        """Send what is written and close."""
        self._writer.close()
        with suppress(ConnectionError, TimeoutError):
            await asyncio.wait_for(self._writer.wait_closed(), _FLUSH_SECONDS)


class _Remote(Pending):
    """An append of another process."""

    __slots__ = ("_post", "connection", "number")

    def __init__(
        self, submission: Submission, connection: _Connection, post: "Callable[[_Remote], None]"
    ) -> None:
        super().__init__(submission.event, submission.detail)
        self.number = submission.number
        self.connection = connection
        self._post = post

    def settle(self) -> None:
        """Have the answer sent."""
        self._post(self)

    def answer(self) -> bytes:
        """The message that says what became of it."""
        if self.receipt is not None and self.error is None:
            return messages.receipt_line(self.number, self.receipt)
        return messages.error_line(self.number, self.error or LedgerUnavailableError("no receipt"))


def _sole(path: Path) -> FileLock:
    """The right to be the sequencer at ``path``; the kernel takes it back from a process that dies."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with private_directory(path.parent):
        lock = FileLock(f"{path}.lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise LedgerUnavailableError(f"another sequencer runs (got {path}.lock locked)") from error
    return lock

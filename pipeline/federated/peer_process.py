"""Flower's process as a child: started in its own environment, spoken to by two pipes, ended with its parent."""

import os
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self, cast

from pipeline.federated.errors import FlowerError
from pipeline.federated.flower_peer import FrameError, read_frame, write_frame

FLOWER: Final = "flwr==1.42.0"
_SCRIPT: Final = Path(__file__).with_name("flower_peer.py")
_KEPT: Final = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ"})
_SHOWN_LINES: Final = 12


class PeerProcess:
    """Flower, by pipes. Of this process's environment it gets paths and language alone, so no secret in it."""

    def __init__(self, python: Path, arguments: Sequence[str], *, wait_s: float) -> None:
        """Start it.

        Args:
            python: The interpreter of Flower's environment.
            arguments: What ``flower_peer.py`` is told.
            wait_s: Longest time until its next frame.

        Raises:
            FlowerError: There is no such interpreter, or Flower is not installed beside it.
        """
        environment = {name: value for name, value in os.environ.items() if name in _KEPT}
        environment |= {"FLWR_TELEMETRY_ENABLED": "0", "GRPC_VERBOSITY": "NONE"}
        _demand_flower(python, environment)
        self._wait_s = wait_s
        self._process = subprocess.Popen(  # noqa: S603 - our own script, by the operator's interpreter
            [str(python), "-I", str(_SCRIPT), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        self._frames: queue.Queue[bytes | FrameError | None] = queue.Queue()
        self._complaint: deque[str] = deque(maxlen=_SHOWN_LINES)
        threads = (self._read_frames, self._read_complaint)
        self._threads = [threading.Thread(target=read, daemon=True) for read in threads]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def receive(self) -> bytes | None:
        """The next frame's content; None where Flower ended.

        Raises:
            FlowerError: It sends something else, or nothing for too long.
        """
        try:
            got = self._frames.get(timeout=self._wait_s)
        except queue.Empty:
            raise FlowerError(f"Flower said nothing for {self._wait_s:g} s: {self._said()}") from None
        if isinstance(got, FrameError):
            raise FlowerError(f"what came of Flower is no frame: {got}; {self._said()}") from got
        return got

    def send(self, content: bytes) -> None:
        """Send a frame.

        Raises:
            FlowerError: Flower ended.
        """
        try:
            write_frame(cast("IO[bytes]", self._process.stdin), content)  # type: ignore[arg-type]
        except OSError as error:
            raise FlowerError(f"Flower ended: {self._said()}") from error

    def expect_success(self) -> None:
        """Wait for its end.

        Raises:
            FlowerError: It ended with an error or does not end.
        """
        try:
            status = self._process.wait(self._wait_s)
        except subprocess.TimeoutExpired as error:
            raise FlowerError(f"Flower does not end: {self._said()}") from error
        if status != 0:
            self._threads[1].join(5)
            raise FlowerError(f"Flower ended with status {status}: {self._said()}")

    def close(self) -> None:
        """End it with everything that it started."""
        if self._process.stdin:
            with suppress(BrokenPipeError):  # it ended before it read what was left
                self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for thread in self._threads:
            thread.join(5)
        for file in (self._process.stdout, self._process.stderr):
            if file:
                file.close()

    def _read_frames(self) -> None:
        try:
            while (content := read_frame(cast("IO[bytes]", self._process.stdout))) is not None:  # type: ignore[arg-type]
                self._frames.put(content)
        except FrameError as error:
            self._frames.put(error)
        except ValueError:
            pass  # closed by this process
        self._frames.put(None)

    def _read_complaint(self) -> None:
        for line in cast("IO[bytes]", self._process.stderr):
            self._complaint.append(line.decode("utf-8", "replace").rstrip())

    def _said(self) -> str:
        return " | ".join(line for line in self._complaint if line) or "it said nothing"


def _demand_flower(python: Path, environment: dict[str, str]) -> None:
    try:
        found = subprocess.run(  # noqa: S603 - as above
            [str(python), "-I", "-c", "import importlib.metadata as m; print(m.version('flwr'))"],
            capture_output=True,
            env=environment,
            text=True,
            timeout=120,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FlowerError(f"interpreter of Flower's environment {python}: {error}") from error
    expected = FLOWER.partition("==")[2]
    if found.returncode != 0 or found.stdout.strip() != expected:
        raise FlowerError(
            f"Flower beside {python} (got {found.stdout.strip() or 'none'}, expected {expected}): it needs an "
            f"environment of its own: python -m venv DIR && DIR/bin/pip install '{FLOWER}'"
        )

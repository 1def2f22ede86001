"""Processes that train on this machine: two ranks as torchrun starts them, and what one that hangs was doing."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path


def torchrun(*command: str) -> list[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    local = ("--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", str(port))
    return [sys.executable, "-m", "torch.distributed.run", *local, *command]


def children_of(process: int) -> list[int]:
    """Its living children, theirs among them, parents first."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, task.read_text(encoding="ascii").split()):
            found += [child, *children_of(child)]
    return found


def kill_ranks(agent: int) -> None:
    """Kill torchrun and its ranks, which it starts in sessions of their own."""
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text(encoding="ascii").split()
    for process in (agent, *map(int, children)):
        os.kill(process, signal.SIGKILL)


def output_of(process: "subprocess.Popen[str]", *, within_s: float) -> tuple[str, str]:
    """What a process printed until its end; where that does not come, its stacks and its children's are told.

    They are written by faulthandler: the process needs ``PYTHONFAULTHANDLER`` in its environment.
    """
    try:
        return process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        family = [process.pid, *children_of(process.pid)]
        places = [Path(f"/proc/{each}") for each in family if Path(f"/proc/{each}").exists()]
        seen = [(place / "stat").read_text(encoding="utf-8") for place in places]
        memory = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()[:3]
        for number in (signal.SIGABRT, signal.SIGKILL):
            for each in family:
                with suppress(ProcessLookupError):
                    os.kill(each, number)
            time.sleep(2)
        try:
            stacks = process.communicate(timeout=30)[1]
        except subprocess.TimeoutExpired:
            stacks = "something that it started lives on and holds its output"
        told = [f"no end within {within_s} s", str(os.getloadavg()), *memory, *seen, stacks]
        raise AssertionError("\n".join(told)) from None

"""Two ranks of a training on this machine, as torchrun starts them."""

import os
import signal
import socket
import sys
from pathlib import Path


def torchrun(*command: str) -> list[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    local = ("--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", str(port))
    return [sys.executable, "-m", "torch.distributed.run", *local, *command]


def kill_ranks(agent: int) -> None:
    """Kill torchrun and its ranks, which it starts in sessions of their own."""
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text(encoding="ascii").split()
    for process in (agent, *map(int, children)):
        os.kill(process, signal.SIGKILL)

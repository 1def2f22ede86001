"""Two ranks of a training on this machine, as torchrun starts them."""

import socket
import sys


def torchrun(*command: str) -> list[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    local = ("--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", str(port))
    return [sys.executable, "-m", "torch.distributed.run", *local, *command]

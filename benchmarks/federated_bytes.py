"""Bytes that a round of federated training costs a site: frames at the pipe, and what TCP carries.

    python benchmarks/federated_bytes.py --flower flower/bin/python [--parameters 1000 1000000] [--json]

Two sites and a Flower server on this machine, each site's connection through a relay that counts. What a site does
is what ``pipeline.federated.site`` sends, less gate and training: the weights that came, clipped and packed.
"""

import argparse
import json
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.federated.coordinator import coordinate
from pipeline.federated.flower_peer import pack, unpack
from pipeline.federated.peer_process import PeerProcess
from pipeline.federated.update import update_of

ROUNDS = 3
SITES = 2


class Relay:
    """Passes one connection on and counts both ways."""

    def __init__(self, port: int) -> None:
        self.down = self.up = 0
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self._port))
            except OSError:  # the server does not listen yet: Flower tries again
                near.close()
                continue
            for way in ((near, far, "up"), (far, near, "down")):
                threading.Thread(target=self._pass, args=way, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, way: str) -> None:
        try:
            while content := source.recv(1 << 16):
                setattr(self, way, getattr(self, way) + len(content))
                target.sendall(content)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            target.close()


def attend(python: Path, relay: Relay, sizes: dict[str, int]) -> None:
    """A site without gate and training."""
    with PeerProcess(python, ["site", "--address", f"127.0.0.1:{relay.port}"], wait_s=600) as peer:
        while (content := peer.receive()) is not None:
            _, weights = unpack(content)
            frame = pack(
                {"samples": 10}, update_of(weights, [w + w.dtype.type(1) for w in weights], clip=1.0).arrays
            )
            sizes["in"], sizes["out"] = len(content), len(frame)
            peer.send(frame)


def measure(python: Path, parameters: int) -> dict[str, Any]:
    """One training of a model of so many 32-bit parameters."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    relays, sizes = [Relay(port) for _ in range(SITES)], [dict[str, int]() for _ in range(SITES)]
    sites = [
        threading.Thread(target=attend, args=(python, relay, size))
        for relay, size in zip(relays, sizes, strict=True)
    ]
    for site in sites:
        site.start()
    start = [np.zeros(parameters, np.float32)]
    rounds = list(
        coordinate(
            start, flower_python=python, address=f"127.0.0.1:{port}", rounds=ROUNDS, sites=SITES, wait_s=600
        )
    )
    for site in sites:
        site.join()
    assert len(rounds) == ROUNDS
    np.testing.assert_allclose(np.linalg.norm(rounds[0].weights[0]), 1.0, rtol=1e-3)
    raw = 4 * parameters
    return {
        "parameters": parameters,
        "frame_in": sizes[0]["in"],
        "frame_out": sizes[0]["out"],
        "wire_down_per_round": relays[0].down / ROUNDS,
        "wire_up_per_round": relays[0].up / ROUNDS,
        "wire_to_raw": (relays[0].down + relays[0].up) / ROUNDS / (2 * raw),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parameters", type=int, nargs="+", default=[1_000, 100_000, 5_000_000])
    parser.add_argument("--flower", type=Path, required=True, help="interpreter of Flower's environment")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = {"sizes": [measure(options.flower, count) for count in options.parameters]}
    print(json.dumps(figures, indent=None if options.json else 1))


if __name__ == "__main__":
    main()

"""The part of federated training that runs in Flower's own environment: numpy, flwr and the standard library.

Flower 1.42 needs protobuf < 7, rich < 15, typer < 0.21 and starlette < 1.4, which Fleetgate does not have, so the
two never share a process. This file is run there by its path, as a child of a process of Fleetgate, which it knows
by two pipes only: frames of arrays on its standard input and output. It gets no key, no grant and no data.

A frame is an unsigned 64-bit length (big endian) and so many bytes of an ``.npz`` archive, which numpy reads
without pickles: arrays ``a0``, ``a1``, … and ``head``, UTF-8 JSON as bytes.
"""

import argparse
import io
import json
import os
import socket
import struct
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

REACH_S: Final = 120.0
"""How long a site tries to reach its server, unless told."""
MAX_FRAME_BYTES: Final = 2 * 1024**3
Arrays = list[NDArray[Any]]


class FrameError(Exception):
    """What arrives is no frame."""


def pack(head: Mapping[str, Any], arrays: Sequence[NDArray[Any]]) -> bytes:
    """A frame's content.

    Raises:
        FrameError: An array is of objects.
    """
    if any(array.dtype.hasobject for array in arrays):
        raise FrameError("arrays (got one of objects, expected numbers)")
    out = io.BytesIO()
    text = np.frombuffer(json.dumps(dict(head)).encode(), np.uint8)
    np.savez(out, allow_pickle=False, head=text, **{f"a{n}": array for n, array in enumerate(arrays)})
    return out.getvalue()


def unpack(content: bytes) -> tuple[dict[str, Any], Arrays]:
    """Head and arrays of a frame's content.

    Raises:
        FrameError: It is none; nothing in it is ever run.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as held:
            head = json.loads(held["head"].tobytes())
            arrays = [held[f"a{n}"] for n in range(len(held.files) - 1)]
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise FrameError(f"frame: {type(error).__name__}: {error}") from error
    if not isinstance(head, dict):
        raise FrameError(f"head of a frame (got {type(head).__name__}, expected an object)")
    return head, arrays


def write_frame(file: BinaryIO, content: bytes) -> None:
    """Send a frame."""
    file.write(struct.pack(">Q", len(content)) + content)
    file.flush()


def read_frame(file: BinaryIO) -> bytes | None:
    """The next frame's content; None where the other side ended.

    Raises:
        FrameError: It is cut short or longer than any model.
    """
    length = file.read(8)
    if not length:
        return None
    if len(length) != 8:  # noqa: PLR2004 - the length's own
        raise FrameError("frame is cut short in its length")
    (size,) = struct.unpack(">Q", length)
    if size > MAX_FRAME_BYTES:
        raise FrameError(f"frame (got {size} bytes, expected at most {MAX_FRAME_BYTES})")
    content = file.read(size)
    if len(content) != size:
        raise FrameError(f"frame (got {len(content)} bytes, expected {size})")
    return bytes(content)


class _Pipe:
    """Asks the process of Fleetgate that started this one."""

    def __init__(self) -> None:
        self._in = sys.stdin.buffer
        # Whatever a library prints goes to standard error, so that frames stay alone.
        self._out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)

    def ask(self, head: Mapping[str, Any], arrays: Sequence[NDArray[Any]]) -> tuple[dict[str, Any], Arrays]:
        write_frame(self._out, pack(head, arrays))
        content = read_frame(self._in)
        if content is None:
            raise FrameError("the process of Fleetgate ended")
        answer, given = unpack(content)
        if "refused" in answer:
            raise FrameError(f"refused: {answer['refused']}")
        return answer, given

    def tell(self, head: Mapping[str, Any], arrays: Sequence[NDArray[Any]]) -> None:
        write_frame(self._out, pack(head, arrays))


@contextmanager
def _ending() -> Iterator[None]:
    """End the process at an error: Flower's own threads would go on without what failed."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - told, and the process ends
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the parent reads it
        os._exit(1)


def _site(address: str, root: bytes | None, reach_s: float) -> None:
    """A Flower client: weights go to the site's trainer, its update comes back."""
    from flwr.client import NumPyClient  # type: ignore[import-not-found]  # noqa: PLC0415 - of another environment
    from flwr.compat.client.app import start_client  # type: ignore[import-not-found]  # noqa: PLC0415

    pipe = _Pipe()
    with _ending():
        _await(address, reach_s)

    class Site(NumPyClient):  # type: ignore[misc]
        def fit(self, parameters: Arrays, config: Mapping[str, Any]) -> tuple[Arrays, int, dict[str, Any]]:
            with _ending():
                asked = {"round": int(config["round"]), "model": str(config.get("model", ""))}
                head, update = pipe.ask(asked, parameters)
            return update, int(head["samples"]), {}

    start_client(
        server_address=address,
        client=Site().to_client(),
        root_certificates=root,
        insecure=root is None,
        max_wait_time=reach_s,
    )


def _await(address: str, reach_s: float) -> None:
    """Wait until something listens there: Flower's client ends at the first refused connection all the same.

    Raises:
        TimeoutError: Nothing does within ``reach_s`` seconds.
    """
    host, _, port = address.rpartition(":")
    ends = time.monotonic() + reach_s
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
        except OSError as error:
            if time.monotonic() >= ends:
                raise TimeoutError(f"server {address} (got {error}, tried for {reach_s:g} s)") from error
            time.sleep(0.5)
        else:
            return


def _server(
    address: str,
    rounds: int,
    sites: int,
    certificates: tuple[bytes, bytes, bytes] | None,
    *,
    begun: int,
    model: str,
) -> None:
    """A Flower server: adds the mean of all updates, weighted by samples, to the weights; all sites or none.

    Rounds are counted on from ``begun``; sites are told of which model the weights are.
    """
    from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays  # type: ignore[import-not-found]  # noqa: PLC0415
    from flwr.server import ServerConfig, start_server  # type: ignore[import-not-found]  # noqa: PLC0415
    from flwr.server.strategy import FedAvg  # type: ignore[import-not-found]  # noqa: PLC0415

    pipe = _Pipe()
    _, weights = pipe.ask({"ready": True}, [])

    class Updates(FedAvg):  # type: ignore[misc]
        def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
            with _ending():
                return self._added(begun + server_round, results, failures)

        def _added(self, server_round: int, results: Any, failures: Any) -> Any:
            if failures or len(results) != sites:
                raise RuntimeError(f"round {server_round}: {len(results)} of {sites} sites answered")
            total = sum(result.num_examples for _, result in results)
            if total <= 0:
                raise RuntimeError(f"round {server_round}: no site has a sample")
            updates = [(parameters_to_ndarrays(r.parameters), r.num_examples) for _, r in results]
            for n, weight in enumerate(weights):
                if any(len(u) != len(weights) or u[n].shape != weight.shape for u, _ in updates):
                    raise RuntimeError(f"round {server_round}: an update is not of the model's shape")
                mean = sum(np.asarray(u[n], np.float64) * (count / total) for u, count in updates)
                weights[n] = (weight + mean).astype(weight.dtype)
            pipe.tell({"round": server_round, "samples": total, "sites": len(results)}, weights)
            return ndarrays_to_parameters(weights), {}

    strategy = Updates(
        fraction_evaluate=0.0,
        min_fit_clients=sites,
        min_available_clients=sites,
        accept_failures=False,
        initial_parameters=ndarrays_to_parameters(weights),
        on_fit_config_fn=lambda number: {"round": begun + number, "model": model},
    )
    start_server(
        server_address=address,
        config=ServerConfig(num_rounds=rounds),
        strategy=strategy,
        certificates=certificates,
    )


def main() -> None:
    """Run as a site's peer or as the server's."""
    os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("site", "server"))
    parser.add_argument("--address", required=True)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--sites", type=int, default=1)
    parser.add_argument("--begun", type=int, default=0)
    parser.add_argument("--model", default="")
    parser.add_argument("--certificates", nargs=3, metavar=("CA", "CERTIFICATE", "KEY"))
    parser.add_argument("--root")
    parser.add_argument("--reach-s", type=float, default=REACH_S)
    given = parser.parse_args()
    if given.role == "site":
        _site(given.address, _content(given.root) if given.root else None, given.reach_s)
        return
    tls = [_content(path) for path in given.certificates or ()]
    _server(
        given.address,
        given.rounds,
        given.sites,
        (tls[0], tls[1], tls[2]) if tls else None,
        begun=given.begun,
        model=given.model,
    )


def _end_with_parent(parent: int) -> None:
    """Not to outlive a process of Fleetgate that was killed."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - this file stands alone and stays short
        return file.read()


if __name__ == "__main__":
    main()

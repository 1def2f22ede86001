"""The server's side: it holds weights and adds updates; it has no grant and sees no data."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from pipeline.federated.errors import FlowerError
from pipeline.federated.flower_peer import Arrays, FrameError, pack, unpack
from pipeline.federated.peer_process import PeerProcess


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Round:
    """A round that all sites finished.

    Attributes:
        number: From 1.
        weights: After it.
        samples: How many all sites trained on.
        sites: How many they are.
    """

    number: int
    weights: Arrays
    samples: int
    sites: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """PEM files by which the server proves itself: its root, its certificate, its key."""

    root: Path
    certificate: Path
    key: Path


def coordinate(  # noqa: PLR0913 - what a server is told
    weights: Arrays,
    *,
    flower_python: Path,
    address: str,
    rounds: int,
    sites: int,
    certificates: Certificates | None = None,
    wait_s: float = 3600.0,
    begun: int = 0,
    model: str = "",
) -> Generator[Round, None, None]:
    """Run a Flower server; the weights after each round, which add the mean of updates weighted by samples.

    Args:
        weights: To begin with.
        flower_python: The interpreter of the environment in which Flower is installed.
        address: ``HOST:PORT`` to listen on.
        rounds: How many.
        sites: How many must answer in each; with fewer the run ends with an error, the rounds before it stand.
        certificates: What the server proves itself by; without them only a loopback address is taken.
        wait_s: Longest time of a round.
        begun: How many rounds the training had before; numbers go on from it.
        model: Digest of what these are the weights of; a site of another one refuses.

    Raises:
        FlowerError: Flower is missing or failed, or a site did not answer.
        ValueError: The address is not of this machine alone and there are no certificates.
    """
    if certificates is None and address.rpartition(":")[0] not in {"127.0.0.1", "[::1]", "localhost"}:
        raise ValueError(
            f"address (got {address!r}, expected a loopback address where there are no certificates)"
        )
    arguments = ["server", "--address", address, "--rounds", str(rounds), "--sites", str(sites)]
    arguments += ["--begun", str(begun), "--model", model]
    if certificates is not None:
        paths = (certificates.root, certificates.certificate, certificates.key)
        arguments += ["--certificates", *map(str, paths)]
    with PeerProcess(flower_python, arguments, wait_s=wait_s) as peer:
        if peer.receive() is None:
            peer.expect_success()
            raise FlowerError("Flower ended before it began")
        peer.send(pack({}, weights))
        done = begun
        while (content := peer.receive()) is not None:
            try:
                head, given = unpack(content)
                done = int(head["round"])
                yield Round(
                    number=done, weights=given, samples=int(head["samples"]), sites=int(head["sites"])
                )
            except (FrameError, KeyError, TypeError, ValueError) as error:
                raise FlowerError(f"what came of Flower is no round: {error}") from error
        peer.expect_success()
        if done != begun + rounds:
            raise FlowerError(f"rounds (got {done}, expected {begun + rounds})")

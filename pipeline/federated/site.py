"""A site: it trains on its own releases, under its own grant, and answers with clipped updates.

For each round, in this order:

1. The site's gate says that every release of the training manifest may be read now.
2. The site's own function trains, from the weights that came, on data that does not leave the site.
3. The update is the clipped difference of weights.
4. It is registered at the site's gate as an artefact that rests on the releases: who revokes one learns of it.
5. It is entered in the site's record, durably.
6. Only then does it leave.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from pipeline.artefacts import ArtefactKind, DerivedArtefact
from pipeline.client import GatewayClient
from pipeline.errors import PipelineError
from pipeline.federated.errors import FlowerError, UpdateError
from pipeline.federated.flower_peer import REACH_S, Arrays, FrameError, pack, unpack
from pipeline.federated.peer_process import PeerProcess
from pipeline.federated.record import SiteRecord
from pipeline.federated.update import update_of
from pipeline.training.training_manifest import TrainingManifest

Train = Callable[[Arrays, int], tuple[Arrays, int]]
"""Weights and the number of the round, to new weights and how many samples they were trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a site brings.

    Attributes:
        name: What the site is called in its artefacts.
        client: Connection to its gate.
        manifest: What it trains on.
        train: Its training.
        clip: L2 norm to which updates are scaled down.
        record: Its record of updates.
        code: Version of the code that trains.
        artefacts: Ids of registered artefacts that it trains on, such as its shards.
        model: Digest of what the weights are of; where the server states another one nothing is trained.
    """

    name: str
    client: GatewayClient
    manifest: TrainingManifest
    train: Train
    clip: float
    record: Path
    code: str
    artefacts: tuple[str, ...] = ()
    model: str = ""

    def answer(self, number: int, weights: Arrays, received: int, model: str = "") -> bytes:
        """Do a round; the frame that leaves.

        Args:
            number: Of the round.
            weights: What came.
            received: Bytes that it came in.
            model: Digest of what the server says that they are the weights of.

        Raises:
            RefusedError: The gate refuses, or does not take the artefact: nothing leaves.
            UpdateError: The weights are of another model, or the training gave no update of it.
            SiteRecordError: The record cannot be written.
            UnreachableError: The gate cannot be asked.
        """
        record = SiteRecord(self.record)
        if model != self.model:
            raise UpdateError(f"model of the server (got {model or 'none'}, expected {self.model or 'none'})")
        for release in self.manifest.releases:  # 1
            self.client.confirm(release)
        trained, samples = self.train([weight.copy() for weight in weights], number)  # 2
        update = update_of(weights, trained, clip=self.clip)  # 3
        frame = pack({"samples": samples}, update.arrays)
        facts = {
            "round": number,
            "samples": samples,
            "norm": update.norm,
            "clip": self.clip,
            "clipped": update.clipped,
            "base": sha256(pack({}, weights)).hexdigest(),
            "bytes_in": received,
            "bytes_out": len(frame),
        }
        digest = sha256(frame).hexdigest()
        artefact = self.client.register(  # 4
            DerivedArtefact(
                kind=ArtefactKind.MODEL,
                name=f"{self.name}: update of round {number}",
                sha256=digest,
                code=self.code,
                parameters={**facts, "training_manifest": self.manifest.digest},
                releases=tuple(sorted(self.manifest.releases)),
                items=tuple(sorted({sample.sha256 for sample in self.manifest.samples})),
                artefacts=self.artefacts,
            )
        )
        record.append(  # 5
            {
                **facts,
                "at": datetime.now(tz=UTC).isoformat(),
                "site": self.name,
                "update": digest,
                "artefact": artefact,
                "releases": sorted(self.manifest.releases),
                "fleetgate": version("fleetgate"),
            }
        )
        return frame  # 6


def take_part(
    site: Site,
    *,
    flower_python: Path,
    server: str,
    root: Path | None = None,
    wait_s: float = 3600.0,
    reach_s: float = REACH_S,
) -> int:
    """Answer a Flower server round by round until it ends; how many updates left.

    Args:
        site: The site.
        flower_python: The interpreter of the environment in which Flower is installed.
        server: ``HOST:PORT`` of the server.
        root: Certificate (PEM) under which the server proves itself; without it the connection is plain, which is
            for one machine only.
        wait_s: Longest time between two rounds.
        reach_s: How long the server is tried to be reached: a site may be started before it.

    Raises:
        PipelineError: A round of the site failed: nothing of it left, and Flower is told that the site is out.
        FlowerError: Flower is missing, failed, or its server could not be reached.
    """
    arguments = ["site", "--address", server, "--reach-s", str(reach_s)]
    arguments += ["--root", str(root)] if root else []
    with PeerProcess(flower_python, arguments, wait_s=wait_s) as peer:
        left = 0
        while (content := peer.receive()) is not None:
            try:
                head, weights = unpack(content)
                number, model = int(head["round"]), str(head.get("model", ""))
                frame = site.answer(number, weights, len(content), model)
            except PipelineError as error:
                peer.send(pack({"refused": error.reason}, []))
                raise
            except (FrameError, KeyError, TypeError, ValueError) as error:
                raise FlowerError(f"what came of Flower is no round: {error}") from error
            peer.send(frame)
            left += 1
        peer.expect_success()
    return left

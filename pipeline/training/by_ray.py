"""Training by Ray Train: the same data set, split over its workers, and one checkpoint with its lineage.

Workers get references only: the paths of key files, of shards and of the checkpoint. Samples are read from
sealed shards under a lease of each worker's own, into memory. Ray Train keeps a folder of its own for numbers that
workers report; no checkpoint is given to it, so no weight lies there. The checkpoint is that of
``pipeline.training.checkpoint``: registered at the gate, in the clear, where the caller says.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from joserfc.jwk import OKPKey

from pipeline.client import GatewayClient
from pipeline.errors import PipelineError
from pipeline.mining.run import Connecting
from pipeline.scale.job import connection
from pipeline.scale.ray_cluster import demand_cpus, ray_cluster
from pipeline.signing import load_release_key
from pipeline.training.access import Access
from pipeline.training.checkpoint import Lineage, load_checkpoint, save_checkpoint
from pipeline.training.dataset import GatewayDataset
from pipeline.training.errors import RayTrainingError
from pipeline.training.shard_file import StoredSample
from pipeline.training.training_manifest import TrainingManifest, read_training_manifest

CPU_SHARE = 0.5
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RayTraining:
    """A training over several workers.

    Attributes:
        train: What each worker runs; rank 0's answer is the state of the checkpoint. A function of a module that
            workers can import. torch.distributed (gloo) is ready when it is called.
        connecting: The connection, keys named by their files.
        manifest: The signed training manifest.
        shards: Folder of sealed shards.
        checkpoint: File of the checkpoint.
        code: Version of the code that trains.
        parameters: What it is run with.
        workers: How many workers.
    """

    train: Callable[["Rank"], Any]
    connecting: Connecting
    manifest: str
    shards: Path
    checkpoint: Path
    code: str
    parameters: Mapping[str, Any]
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """What a worker's function is given.

    Attributes:
        rank: Its number from 0.
        world: How many workers there are.
        manifest: The verified training manifest.
        client: Its connection to the gate.
        parameters: As the training has them.
    """

    rank: int
    world: int
    manifest: TrainingManifest
    client: GatewayClient
    parameters: Mapping[str, Any]
    _shards: Path
    _access: Access

    def dataset(self, decode: Callable[[StoredSample], T], **more: Any) -> GatewayDataset[T]:
        """This worker's share of the samples; ``more`` as ``GatewayDataset`` takes it."""
        return GatewayDataset(
            self._shards,
            self.manifest,
            self._access,
            decode=decode,
            rank=self.rank,
            world=self.world,
            **more,
        )


def train_by_ray(training: RayTraining, *, address: str | None = None, cpus: int | None = None) -> str:
    """Run a training to its end; the id of its checkpoint at the gate, which stands.

    Args:
        training: What is trained.
        address: Of a cluster of Ray that runs; by default one is started on this machine.
        cpus: Processors of a cluster that is started.

    Raises:
        RayTrainingError: A worker failed, with what it said first.
        PipelineError: As ``load_checkpoint``.
        TooFewCpusError: Workers would leave no processor to Ray.
        ModuleNotFoundError: The extra ``scale`` is not installed.
    """
    with (
        ray_cluster(address, cpus=cpus) as ray,
        tempfile.TemporaryDirectory(prefix="fg-ray-train-") as numbers,
    ):
        demand_cpus(ray, training.workers, CPU_SHARE)
        from ray.train import FailureConfig, RunConfig, ScalingConfig  # noqa: PLC0415 - an extra
        from ray.train.torch import TorchConfig, TorchTrainer  # noqa: PLC0415

        trainer = TorchTrainer(
            _work,
            train_loop_config={"training": training},
            torch_config=TorchConfig(backend="gloo"),
            scaling_config=ScalingConfig(
                num_workers=training.workers, use_gpu=False, resources_per_worker={"CPU": CPU_SHARE}
            ),
            run_config=RunConfig(
                name="fleetgate", storage_path=numbers, failure_config=FailureConfig(max_failures=0)
            ),
        )
        try:
            trainer.fit()
        except Exception as error:
            raise RayTrainingError(f"training by Ray: {_first_cause(error)}") from error
    client, _ = connection(training.connecting)
    with client:
        return load_checkpoint(training.checkpoint, client).artefact


def _work(config: Mapping[str, Any]) -> None:
    """A worker of Ray Train."""
    import ray.train as ray_train  # noqa: PLC0415 - an extra

    training: RayTraining = config["training"]
    context = ray_train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    try:
        client, key = connection(training.connecting)
        with client:
            manifest = read_training_manifest(training.manifest, key, now=datetime.now(tz=UTC))
            connecting = training.connecting
            access = Access.of(
                connecting.url,
                key=key,
                principal=connecting.principal,
                purpose=connecting.purpose,
                release_key=_release_key(connecting.release_key),
            )
            state = training.train(
                Rank(
                    rank=rank,
                    world=world,
                    manifest=manifest,
                    client=client,
                    parameters=training.parameters,
                    _shards=training.shards,
                    _access=access,
                )
            )
            if rank == 0:
                parameters = {**training.parameters, "workers": world}
                lineage = Lineage.of(manifest, code=training.code, parameters=parameters)
                save_checkpoint(training.checkpoint, state, lineage, client)
    except PipelineError as error:
        # Not every error of the gate survives the way between processes; its code and message do.
        raise RuntimeError(f"{error.reason}: {error}") from None


def _release_key(path: Path) -> OKPKey | Mapping[str, Any]:
    key = load_release_key(path)
    if isinstance(key, OKPKey):
        return key
    stated: Mapping[str, Any] = json.loads(path.read_bytes())
    return stated


def _first_cause(error: BaseException) -> str:
    """What the first worker that failed said."""
    failures = getattr(error, "worker_failures", None)
    if failures:
        rank = min(failures)
        return f"worker {rank}: {_last_line(failures[rank])}"
    return _last_line(error)


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__

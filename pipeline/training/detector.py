"""ultralytics' detection training over sealed pictures: its hooks, and nothing of it that writes pictures.

Importing this module imports ultralytics, taken offline. What is switched off: caches, plots, mosaics and matches
as pictures, text and JSON of predictions, its own checkpoints (pickles), its callbacks to services, its checks
that load other weights.
"""

import io
import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from pipeline.errors import UnregisteredError
from pipeline.training.detector_data import EpochOrder, SealedPictureDataset, SealedPictureLoader
from pipeline.training.errors import DetectorError, DivergedError
from pipeline.training.sealed_pictures import SealedPictures
from pipeline.training.timeline import Timeline
from pipeline.training.ultralytics_offline import import_ultralytics

import_ultralytics()

from ultralytics.models.yolo import detect  # noqa: E402 - only once it is offline
from ultralytics.nn import tasks as _tasks  # noqa: E402 - the same
from ultralytics.utils import RANK, torch_utils  # noqa: E402 - the same

# What ultralytics states of its types are those of attributes before a training; here they have no type.
_Trainer: Any = detect.DetectionTrainer
_Validator: Any = detect.DetectionValidator
_TASKS: Any = _tasks
_MODELS: Any = torch_utils

_PAD: Final = 0.5
_PATIENT: Final = timedelta(hours=3)  # ranks wait while the first validates
_TASK: Final = "detect"

State = dict[str, Any]
Network = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a training of a detector needs.

    Attributes:
        folder: Where it writes.
        pictures: All pictures of the training manifest.
        train: Places of those that are trained on.
        validate: Places of those that it is measured on.
        network: The network, as the YAML of ultralytics says it.
        weights: Weights to begin with.
        state: What a checkpoint holds, to go on from.
        settings: ultralytics' settings by name.
        seed: Of all that is random.
        workers: Loading processes.
        device: ``cpu`` or ``cuda``.
        rank: Which process of the training.
        world: How many processes train.
        timeline: What learns of the time.
        save: Keeps a state; is told whether it is the best so far.
        measured: Learns of each epoch and its metrics.
    """

    folder: Path
    pictures: SealedPictures
    train: tuple[int, ...]
    validate: tuple[int, ...]
    network: Network
    weights: torch.nn.Module | None
    state: State | None
    settings: Mapping[str, Any]
    seed: int
    workers: int
    device: str
    rank: int
    world: int
    timeline: Timeline
    save: Callable[[State, bool], None]
    measured: Callable[[int, Mapping[str, float]], None]

    @property
    def names(self) -> dict[int, str]:
        """Classes by number."""
        return dict(enumerate(self.pictures.manifest.classes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a detector found in a picture: corners in pixels, class and score of each box, best first.

    Attributes:
        index: Place of the picture in the training manifest.
        corners: ``(n, 4)`` left, upper, right, lower.
        labels: Classes.
        scores: ``(n,)``.
    """

    index: int
    corners: np.ndarray[Any, Any]
    labels: tuple[str, ...]
    scores: np.ndarray[Any, Any]


def read_network(model: str) -> Network:
    """The network that a YAML file describes, or one by the name that ultralytics ships it under.

    Args:
        model: Path of a file, or a name such as ``yolo11n.yaml``; its letter chooses the scale.

    Raises:
        DetectorError: There is none, it is malformed, or it is no detector.
    """
    path = Path(model)
    if (
        path.suffix not in {".yaml", ".yml"}
        or "://" in model
        or (path.parent != Path() and not path.is_file())
    ):
        raise DetectorError(f"model (got {model!r}, expected a YAML file, or the name of one of ultralytics)")
    try:
        network = dict(_TASKS.yaml_model_load(model))
        task = _TASKS.guess_model_task(network)
    except Exception as error:
        raise DetectorError(f"model {model!r}: {type(error).__name__}: {error}") from error
    if task != _TASK:
        raise DetectorError(f"model {model!r} has another task (got {task!r}, expected {_TASK!r})")
    network["yaml_file"] = path.name
    return network


def build_network(network: Network, classes: int) -> torch.nn.Module:
    """A network with weights as torch draws them now, for so many classes."""
    built: torch.nn.Module = _TASKS.DetectionModel(dict(network), ch=3, nc=classes, verbose=False)
    return built


def read_weights(path: Path) -> tuple[torch.nn.Module, Network]:
    """Weights of ultralytics and their network. The file is a pickle: its digest was held against the stated one.

    Raises:
        DetectorError: They do not load, or are of no detector.
    """
    try:
        model, _ = _TASKS.load_checkpoint(path)
        task, network = model.task, dict(model.yaml)
    except Exception as error:
        raise DetectorError(f"weights {path.name} do not load: {type(error).__name__}: {error}") from error
    if task != _TASK:
        raise DetectorError(f"weights {path.name} have another task (got {task!r}, expected {_TASK!r})")
    return model, network


class SealedDetection(_Trainer):  # type: ignore[misc]
    """ultralytics' trainer for detectors over a job."""

    def __init__(self, job: Job) -> None:
        """Set up; nothing is loaded yet."""
        self.job = job
        super().__init__(
            overrides={
                **job.settings,
                "task": _TASK,
                "mode": "train",
                "model": "sealed.yaml",
                "data": "sealed",
                "save_dir": str(job.folder),
                "device": "cpu" if job.device == "cpu" else os.environ.get("LOCAL_RANK", "0"),
                "seed": job.seed,
                "pretrained": False,
                "cache": False,
                "plots": False,
                "save": True,
                "save_json": False,
                "save_txt": False,
                "visualize": False,
                "compile": False,
                "verbose": False,
                "exist_ok": True,
            }
        )
        self.args.workers, self.world_size, self.ddp = job.workers, job.world, False

    def check_resume(self, overrides: Mapping[str, Any]) -> None:  # noqa: ARG002 - ultralytics' signature
        """A state of the job is gone on from; ultralytics' pickles are not."""
        self.resume = self.job.state is not None

    def get_dataset(self) -> dict[str, Any]:
        """Classes; there is no folder."""
        names = self.job.names
        return {"path": None, "train": "train", "val": "val", "names": names, "nc": len(names), "channels": 3}

    def build_dataset(
        self,
        img_path: str,  # noqa: ARG002 - ultralytics' signature
        mode: str = "train",
        batch: int | None = None,
    ) -> SealedPictureDataset:
        """The sealed pictures of a mode."""
        train = mode == "train"
        return SealedPictureDataset(
            self.job.pictures,
            self.job.train if train else self.job.validate,
            data=self.data,
            task=_TASK,
            imgsz=self.args.imgsz,
            batch_size=batch,
            augment=train,
            hyp=self.args,
            rect=not train,
            stride=max(int(_MODELS.unwrap_model(self.model).stride.max()), 32),
            pad=0.0 if train else _PAD,
            prefix=f"{mode}: ",
        )

    def get_dataloader(
        self,
        dataset_path: str,
        batch_size: int = 16,
        rank: int = 0,  # noqa: ARG002 - ultralytics' signature
        mode: str = "train",
    ) -> SealedPictureLoader:
        """Batches of a mode; each rank takes its share of a training batch, the first alone validates."""
        job = self.job
        if mode != "train":
            dataset = self.build_dataset(dataset_path, mode, batch_size)
            return SealedPictureLoader(
                dataset, range(len(dataset)), batch_size=batch_size, workers=job.workers
            )
        size = batch_size // job.world
        return SealedPictureLoader(
            self.build_dataset(dataset_path, mode, size),
            EpochOrder(job.pictures, job.train, seed=job.seed, rank=job.rank, world=job.world),
            batch_size=size,
            workers=job.workers,
            seed=(job.seed, job.rank),
            timeline=job.timeline,
        )

    def setup_model(self) -> State | None:
        """Build the network, on every rank with the same weights."""
        torch.manual_seed(self.job.seed)
        self.model = self.get_model(cfg=dict(self.job.network), weights=self.job.weights, verbose=False)
        return self.job.state

    def get_validator(self) -> "SealedValidation":
        """The validator; loss names are those of ultralytics."""
        return SealedValidation(self.test_loader, save_dir=self.save_dir, args=vars(self.args).copy())

    def run_callbacks(self, event: str) -> None:
        """Only our own: the order of an epoch, and what was measured in it."""
        if event == "on_train_epoch_start":
            self.train_loader.sampler.set_epoch(self.epoch)
        elif event == "on_fit_epoch_end" and self.job.rank == 0:
            self.job.measured(self.epoch, {**self.label_loss_items(self.tloss), **self.metrics, **self.lr})

    def _setup_ddp(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if not dist.is_initialized():
            dist.init_process_group("gloo" if self.device.type == "cpu" else "nccl", timeout=_PATIENT)

    def _setup_train(self) -> None:
        """Wrap the model for several ranks here: ultralytics names a device, which the CPU has none of."""
        self.world_size = 1
        super()._setup_train()
        self.world_size = self.job.world
        if self.world_size == 1:
            return
        for tensor in self.ema.ema.state_dict().values():
            dist.broadcast(tensor, src=0)
        self.model = DistributedDataParallel(
            self.model,
            device_ids=None if self.device.type == "cpu" else [self.device.index],
            find_unused_parameters=True,
            forward_sync_buffers=False,
        )

    def set_up(self) -> None:
        """Load everything and train nothing: for a run that ended before it was measured."""
        self._setup_train()
        self.epoch = self.start_epoch - 1
        self.model.train()
        with torch.no_grad():  # the validator asks which losses there are
            self.loss, self.loss_items = self.model(self.preprocess_batch(next(iter(self.test_loader))))

    def _do_train(self) -> None:
        if RANK != -1:
            self._setup_ddp()
        super()._do_train()

    def validate(self) -> tuple[dict[str, float] | None, float | None]:
        """Measure the averaged weights on the first rank; the others wait for its word whether to go on."""
        if self.job.rank != 0:
            return None, None
        world, self.world_size = self.world_size, 1
        try:
            with self.job.timeline.validating():
                metrics, fitness = super().validate()
        finally:
            self.world_size = world
        return metrics, None if fitness is None else float(fitness)

    def _handle_nan_recovery(self, epoch: int) -> bool:
        if self.job.rank == 0 and not (
            bool(self.loss.isfinite().all()) and (self.fitness is None or np.isfinite(self.fitness))
        ):
            raise DivergedError(
                f"epoch {epoch + 1} (got loss {float(self.loss)}, fitness {self.fitness}, expected numbers); the "
                "checkpoint before stays"
            )
        return False

    def save_model(self) -> bool:
        """Keep the state of the training, as values only, by way of the job."""
        model = _MODELS.unwrap_model(self.model)
        best = bool(self.fitness == self.best_fitness)
        state = {
            "epoch": self.epoch,
            "best_fitness": None if self.best_fitness is None else float(self.best_fitness),
            "stopper": {
                "best_fitness": float(self.stopper.best_fitness),
                "best_epoch": int(self.stopper.best_epoch),
            },
            "finished": bool(self.stop),
            "metrics": {name: float(value) for name, value in self.metrics.items()},
            "network": self.job.network,
            "names": self.job.names,
            "model": model.state_dict(),
            "ema": self.ema.ema.state_dict(),
            "updates": int(self.ema.updates),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        try:
            with self.job.timeline.saving():
                self.job.save(state, best)
        except UnregisteredError:
            self.job.timeline.kept()  # sealed: the next start takes it up
            raise
        self.job.timeline.kept()
        return True

    def resume_training(self, ckpt: State | None) -> None:
        """Go on after the epoch of a state, with all that the run had: weights, average, optimizer, counters."""
        if ckpt is None:
            return
        self.start_epoch = int(ckpt["epoch"]) + 1
        model = _MODELS.unwrap_model(self.model)
        model.load_state_dict(ckpt["model"])
        self.ema.ema.load_state_dict(ckpt["ema"])
        self.ema.updates = int(ckpt["updates"])
        self.optimizer.load_state_dict(ckpt["optimizer"])
        self.scaler.load_state_dict(ckpt["scaler"])
        self.best_fitness = ckpt["best_fitness"]
        self.stopper.__dict__.update(ckpt["stopper"])
        if getattr(model.model[-1], "one2one_cv2", None) is not None:
            model.criterion = model.init_criterion()
            model.criterion.updates = self.start_epoch - 1
            model.criterion.update()

    def final_eval(self) -> None:
        """Nothing: ``measure_pictures`` measures the best weights, from the checkpoint that was registered."""


class SealedValidation(_Validator):  # type: ignore[misc]
    """ultralytics' validator on one rank; it can keep what was found, in pixels of the pictures, in memory."""

    found: list[tuple[str, dict[str, torch.Tensor]]] | None = None

    def gather_stats(self) -> None:
        """One rank sees all."""

    def update_metrics(self, preds: list[dict[str, torch.Tensor]], batch: dict[str, Any]) -> None:
        """Count a batch, and keep what was found in it where that is wanted."""
        if self.found is not None:
            for place, pred in enumerate(preds):
                prepared = self._prepare_batch(place, batch)
                scaled = self.scale_preds(self._prepare_pred(pred), prepared)
                self.found.append(
                    (prepared["im_file"], {k: scaled[k].cpu() for k in ("bboxes", "cls", "conf")})
                )
        super().update_metrics(preds, batch)


def measure_pictures(
    trainer: SealedDetection, ema: Mapping[str, torch.Tensor]
) -> tuple[dict[str, float], list[Found]]:
    """Metrics of averaged weights on the pictures for validation, and what they find there."""
    job = trainer.job
    trainer.ema = _MODELS.ModelEMA(trainer.model)  # one that was measured cannot be changed any more
    trainer.ema.ema.load_state_dict(ema)
    trainer.validator.found = []
    metrics, _ = trainer.validate()
    order = trainer.test_loader.dataset
    found = [
        Found(
            index=order.place_of(name),
            corners=boxes["bboxes"].numpy().astype(np.float64),
            labels=tuple(job.names[int(number)] for number in boxes["cls"]),
            scores=boxes["conf"].numpy().astype(np.float64),
        )
        for name, boxes in trainer.validator.found
    ]
    trainer.validator.found = None
    return dict(metrics or {}), found


def exported(trainer: SealedDetection) -> bytes:
    """The averaged weights as ultralytics reads them: a pickle of its own classes, half precision."""
    model = deepcopy(trainer.ema.ema).half()
    model.criterion = None
    buffer = io.BytesIO()
    kept = {name: value for name, value in vars(trainer.args).items() if name in trainer.job.settings}
    torch.save({"model": model, "train_args": {**kept, "task": _TASK, "imgsz": trainer.args.imgsz}}, buffer)
    return buffer.getvalue()

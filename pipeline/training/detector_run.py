"""A training of a detector on sealed pictures: what it may be asked, how it goes on, and what it reports.

In the folder of a run lie ``weights/last.pt`` (all that going on needs), ``weights/best.pt`` (averaged weights of
the best epoch), ``weights/detector.pt`` (those for ultralytics), each registered at the gate, ``timeline.jsonl``,
``results.csv``, ``predictions.jsonl`` and ``report.json``. None of them holds a picture.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import blake2b, sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.client import GatewayClient
from pipeline.errors import PipelineError, UnregisteredError
from pipeline.training.access import Access
from pipeline.training.checkpoint import (
    Lineage,
    load_checkpoint,
    register_held,
    save_checkpoint,
    save_model_file,
)
from pipeline.training.dataset import place_of_process
from pipeline.training.detection_evaluation import Detection, by_tag, detections_line, score
from pipeline.training.errors import DetectorError, ReleaseEndedError, RunError
from pipeline.training.lease import DEFAULT_LEASE_S
from pipeline.training.mirror import MlflowMirror
from pipeline.training.sealed_pictures import SealedPictures
from pipeline.training.shards import ShardFolder
from pipeline.training.timeline import Timeline, read_events, summary
from pipeline.training.training_manifest import TrainingManifest, TrainingSample

if TYPE_CHECKING:
    from pipeline.training.detector import Found, SealedDetection

SETTINGS: Final[Mapping[str, type]] = {
    **dict.fromkeys(("lr0", "lrf", "momentum", "weight_decay", "box", "cls", "dfl"), float),
    **dict.fromkeys(("warmup_epochs", "warmup_momentum", "warmup_bias_lr"), float),
    **dict.fromkeys(("hsv_h", "hsv_s", "hsv_v", "bgr", "flipud", "fliplr"), float),
    **dict.fromkeys(("degrees", "translate", "scale", "shear", "perspective"), float),
    **dict.fromkeys(("mosaic", "mixup", "cutmix", "copy_paste"), float),
    **dict.fromkeys(("close_mosaic", "patience", "freeze"), int),
    "optimizer": str,
}
"""Settings of ultralytics that a training may choose; all others would reach files, networks or services."""

REPORT: Final = "report.json"
_WEIGHTS: Final = "weights"
_LAST: Final = "last.pt"
_BEST: Final = "best.pt"
_EXPORT: Final = "detector.pt"
_TIMELINE: Final = "timeline.jsonl"
_PREDICTIONS: Final = "predictions.jsonl"
_LOCK: Final = "lock"
_MIRROR: Final = "mlflow_run"


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorOptions:
    """What a training of a detector is asked to do.

    Attributes:
        model: YAML file of a network, or the name of one that ultralytics ships; built from scratch.
        weights: Weights of ultralytics to begin with, instead of ``model``.
        weights_sha256: Their SHA-256, hexadecimal.
        epochs: Passes over the pictures.
        batch: Pictures of a step, over all ranks.
        side: Longer side in pixels to which pictures are scaled.
        seed: Of order, weights and augmentation.
        workers: Loading processes of each rank.
        device: ``cpu`` or ``cuda``.
        validation_share: Share of the pictures that is not trained on, drawn by digest of name.
        held_out: Releases that are not trained on but measured on; with some, no share is drawn.
        settings: Settings of ultralytics by name, of ``SETTINGS``.
        lease_s: For how many seconds an answer of the gate holds.
    """

    model: str | None = None
    weights: Path | None = None
    weights_sha256: str | None = None
    epochs: int = 100
    batch: int = 16
    side: int = 640
    seed: int = 0
    workers: int = 2
    device: str = "cpu"
    validation_share: float = 0.2
    held_out: tuple[str, ...] = ()
    settings: Mapping[str, float | int | str] = field(default_factory=dict)
    lease_s: float = DEFAULT_LEASE_S

    @property
    def trainer_settings(self) -> dict[str, Any]:
        """What ultralytics' trainer is told of them, under its names."""
        return {
            **self.settings,
            "epochs": self.epochs,
            "batch": self.batch,
            "nbs": self.batch,
            "imgsz": self.side,
            "amp": False,
        }


def read_setting(text: str) -> tuple[str, float | int | str]:
    """A setting as ``NAME=VALUE``.

    Raises:
        ValueError: The name is none of ``SETTINGS``, or the value is of another kind.
    """
    name, found, value = text.partition("=")
    if not found or name not in SETTINGS:
        raise ValueError(
            f"setting (got {text!r}, expected NAME=VALUE with a name of {', '.join(sorted(SETTINGS))})"
        )
    try:
        typed: float | int | str = SETTINGS[name](value)
    except ValueError as error:
        raise ValueError(f"setting {name} (got {value!r}, expected {SETTINGS[name].__name__})") from error
    return name, typed


def train_detector(
    out: Path,
    shards: Path,
    manifest: TrainingManifest,
    access: Access,
    options: DetectorOptions,
    *,
    tags: Mapping[str, Sequence[str]] | None = None,
    mirror: MlflowMirror | None = None,
    progress: Callable[[int, Mapping[str, float]], None] = lambda *_: None,
) -> dict[str, Any]:
    """Train a detector on sealed pictures, or go on with a training that broke off; returns the report.

    Under torchrun every rank calls it; ranks but the first write nothing and return an empty report.

    Args:
        out: Folder of the run.
        shards: Where the shards lie.
        manifest: The verified training manifest.
        access: Who asks the gate.
        options: What is asked; a run that goes on must be asked the same, by as many ranks.
        tags: Scenarios of pictures by name or ``release/name``.
        mirror: A copy of the figures in MLflow.
        progress: Called after each epoch with how many are done and the metrics.

    Raises:
        UnregisteredError: The gate does not know the shards, or does not register a checkpoint now, which is kept
            sealed: the same call registers it and goes on after its epoch.
        DetectorError: Network, weights, split or batch cannot be used, or a picture does not decode.
        RunError: Another process trains in the folder, or the run there was asked something else.
        ReleaseEndedError: The gate refuses a release, now or in the middle; the last checkpoint stays.
        LeaseError: The gate cannot answer; the same call goes on later.
        UnreachableError: It cannot be reached to register what was kept sealed; likewise.
        DivergedError: The loss is no number any more.
        PipelineError: As ``save_checkpoint`` and ``load_checkpoint``.
    """
    rank, world = place_of_process()
    with _alone(out, rank):
        timeline = Timeline(path=out / _TIMELINE if rank == 0 else None, world=world)
        run = _Run(out=out, manifest=manifest, options=options, world=world, mirror=mirror, timeline=timeline)
        timeline.started()
        try:
            with access.client() as client:
                run.client = client
                run.shards = ShardFolder(shards, manifest, access.key).artefact
                pictures = SealedPictures(shards, manifest, access, lease_s=options.lease_s)
                try:
                    _train(run, pictures, rank, tags or {}, progress)
                finally:
                    pictures.close()
        except BaseException as error:
            run.stopped(error, rank)
            raise
        return run.finished() if rank == 0 else {}


@dataclass(slots=True, kw_only=True)
class _Run:
    """What a run knows of itself while it goes."""

    out: Path
    manifest: TrainingManifest
    options: DetectorOptions
    world: int
    mirror: MlflowMirror | None
    timeline: Timeline
    client: GatewayClient | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    shards: str = ""
    parents: tuple[str, ...] = ()
    found: dict[str, Any] = field(default_factory=dict)

    def lineage(self, parents: tuple[str, ...] = ()) -> Lineage:
        code = f"fleetgate {version('fleetgate')}, ultralytics {version('ultralytics')}"
        rests = tuple(sorted({self.shards, *parents} - {""}))
        return Lineage.of(self.manifest, code=code, parameters=self.parameters, artefacts=rests)

    def path(self, name: str) -> Path:
        return self.out / _WEIGHTS / name

    def save(self, state: dict[str, Any], best: bool) -> None:  # noqa: FBT001 - told by the trainer
        assert self.client is not None  # noqa: S101 - set before the trainer is
        artefacts = self.found.setdefault("artefacts", {})
        wanted = {_LAST: state}
        if best:
            kept = {name: state[name] for name in ("epoch", "metrics", "network", "names", "ema")}
            wanted = {_BEST: kept, **wanted}
        unregistered: PipelineError | None = None
        for name, of in wanted.items():  # one that is kept sealed does not lose the other
            try:
                artefacts[Path(name).stem] = save_checkpoint(
                    self.path(name), of, self.lineage(self.parents), self.client
                )
            except (UnregisteredError, ReleaseEndedError) as error:
                unregistered = error
        if unregistered is not None:
            raise unregistered
        self.found |= {"epochs": state["epoch"] + 1, "metrics": state["metrics"]}
        if self.mirror is not None:
            self.mirror.told(checkpoint=artefacts["last"])
        self.write("running")

    def stopped(self, error: BaseException, rank: int) -> None:
        if rank != 0:
            return
        reason = error.reason if isinstance(error, PipelineError) else type(error).__name__
        self.timeline.ended(reason)
        self.found["stopped"] = {"reason": reason, "detail": str(error)}
        if self.mirror is not None:
            self.mirror.ended(finished=False)
        self.write("stopped")

    def finished(self) -> dict[str, Any]:
        self.timeline.ended("finished")
        if self.mirror is not None:
            self.mirror.ended(finished=True)
        return self.write("finished")

    def write(self, state: str) -> dict[str, Any]:
        """The report, as it stands."""
        lineage = self.lineage(self.parents).document()
        report = {
            "state": state,
            "of_epochs": self.options.epochs,
            **self.found,
            "lineage": {**lineage, "items": len(lineage["items"])},
            "world": self.world,
            "time": summary(read_events(self.out / _TIMELINE)),
            "mirror": None if self.mirror is None else self.mirror.document(),
        }
        partial = self.out / f".{REPORT}"
        partial.write_text(json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8")
        partial.replace(self.out / REPORT)
        return report


def _train(
    run: _Run,
    pictures: SealedPictures,
    rank: int,
    tags: Mapping[str, Sequence[str]],
    progress: Callable[[int, Mapping[str, float]], None],
) -> None:
    from pipeline.training import detector  # noqa: PLC0415 - loads torch and ultralytics

    options = run.options
    train, validate = split_pictures(pictures.manifest.samples, options)
    if len(train) < run.world or not validate or options.batch < run.world or options.batch % run.world:
        raise DetectorError(
            f"split (got {len(train)} pictures to train on, {len(validate)} to measure on, batch {options.batch} "
            f"for {run.world} ranks; expected at least 1 for each rank, at least 1, and a multiple)"
        )
    weights, network = _begin_with(options)
    run.parameters = _parameters(options, network, run.world)
    assert run.client is not None  # noqa: S101 - set before
    register_held(run.out / _WEIGHTS, run.client, rank=rank)
    state = _resumed(run)
    run.found["split"] = {
        "train": len(train),
        "validate": len(validate),
        "left_out_of_each_epoch": len(train) % run.world,
        "repeated": 0,
    }
    if run.mirror is not None and rank == 0:
        _mirror(run)
    ended = state is not None and bool(state["finished"])
    if ended and rank != 0:
        return

    def measured(epoch: int, metrics: Mapping[str, float]) -> None:
        if run.mirror is not None:
            run.mirror.measured(epoch + 1, metrics)
        progress(epoch + 1, metrics)

    trainer = detector.SealedDetection(
        detector.Job(
            folder=run.out,
            pictures=pictures,
            train=train,
            validate=validate,
            network=network,
            weights=weights,
            state=state,
            settings=options.trainer_settings,
            seed=options.seed,
            workers=options.workers,
            device=options.device,
            rank=rank,
            world=1 if ended else run.world,
            timeline=run.timeline,
            save=run.save,
            measured=measured,
        )
    )
    if ended:
        trainer.set_up()
    else:
        trainer.train()
    if rank == 0:
        _measure(run, trainer, tags)


def _measure(run: _Run, trainer: "SealedDetection", tags: Mapping[str, Sequence[str]]) -> None:
    """What the best weights find, by scenario; and those weights for ultralytics."""
    from pipeline.training.detector import exported, measure_pictures  # noqa: PLC0415 - loads torch and ultralytics

    assert run.client is not None  # noqa: S101 - set before the trainer is
    best = load_checkpoint(run.path(_BEST), run.client)
    metrics, found = measure_pictures(trainer, best.state["ema"])
    pictures = trainer.job.pictures
    samples = [pictures.manifest.samples[each.index] for each in found]
    detections = [_detections(each) for each in found]
    lines = (detections_line(s.name, s.release, d) for s, d in zip(samples, detections, strict=True))
    (run.out / _PREDICTIONS).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    names = [f"{s.release}/{s.name}" for s in samples]
    known = {name: tags.get(name, tags.get(s.name, ())) for name, s in zip(names, samples, strict=True)}
    rows = by_tag(names, score([pictures.labels[each.index] for each in found], detections), known)
    run.found |= {
        "best": {"epoch": int(best.state["epoch"]) + 1, "metrics": metrics},
        "by_tag": [asdict(row) for row in rows],
    }
    artefact = save_model_file(
        run.path(_EXPORT), exported(trainer), run.lineage((best.artefact,)), run.client
    )
    run.found.setdefault("artefacts", {})["detector"] = artefact


def _detections(found: "Found") -> tuple[Detection, ...]:
    return tuple(
        Detection(
            label=label,
            x=round(left, 2),
            y=round(upper, 2),
            width=round(right - left, 2),
            height=round(lower - upper, 2),
            score=round(float(value), 5),
        )
        for (left, upper, right, lower), label, value in zip(
            found.corners.tolist(), found.labels, found.scores, strict=True
        )
    )


def _begin_with(options: DetectorOptions) -> tuple[Any, dict[str, Any]]:
    """Weights, where some are given, and the network."""
    from pipeline.training.detector import read_network, read_weights  # noqa: PLC0415 - loads torch and ultralytics

    if (options.model is None) is (options.weights is None):
        raise DetectorError(
            f"model and weights (got {options.model!r} and {options.weights!r}, expected one of both)"
        )
    if options.model is not None:
        return None, read_network(options.model)
    assert options.weights is not None  # noqa: S101 - one of both is there
    if options.weights.suffix != ".pt":
        raise DetectorError(f"weights (got {options.weights.name!r}, expected a file .pt of ultralytics)")
    try:
        with options.weights.open("rb") as file:
            digest = sha256(file.read()).hexdigest()
    except OSError as error:
        raise DetectorError(f"weights {options.weights.name}: {error.strerror}") from error
    if digest != options.weights_sha256:
        raise DetectorError(
            f"weights {options.weights.name} (got sha256 {digest}, expected {options.weights_sha256})"
        )
    return read_weights(options.weights)


def split_pictures(
    samples: Sequence[TrainingSample], options: DetectorOptions
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Places to train on and to measure on: whole releases, or a share by digest of name."""
    if not 0 <= options.validation_share < 1:
        raise DetectorError(
            f"validation share (got {options.validation_share}, expected from 0 to less than 1)"
        )
    if unknown := sorted(set(options.held_out) - {sample.release for sample in samples}):
        raise DetectorError(f"held out releases (got {unknown}, expected of the training manifest)")

    def measured(sample: TrainingSample) -> bool:
        if options.held_out:
            return sample.release in options.held_out
        digest = blake2b(f"{options.seed}\0{sample.release}\0{sample.name}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < options.validation_share * 2**64

    chosen = [measured(sample) for sample in samples]
    return (
        tuple(place for place, held in enumerate(chosen) if not held),
        tuple(place for place, held in enumerate(chosen) if held),
    )


def _parameters(options: DetectorOptions, network: Mapping[str, Any], world: int) -> dict[str, Any]:
    """What decides on the weights that come of a run, as lineage keeps it."""
    return {
        "network": sha256(json.dumps(network, sort_keys=True, default=str).encode()).hexdigest(),
        "model": Path(options.model).name if options.model else "",
        "weights_sha256": options.weights_sha256 or "",
        "epochs": options.epochs,
        "batch": options.batch,
        "side": options.side,
        "seed": options.seed,
        "world": world,
        "validation_share": 0.0 if options.held_out else options.validation_share,
        "held_out": sorted(options.held_out),
        "settings": dict(options.settings),
    }


def _resumed(run: _Run) -> dict[str, Any] | None:
    """The state of the last checkpoint, if there is one, of a run that was asked the same."""
    assert run.client is not None  # noqa: S101 - set before
    if not run.path(_LAST).exists():
        return None
    checkpoint = load_checkpoint(run.path(_LAST), run.client)
    said = {"manifest": checkpoint.lineage.manifest, **checkpoint.lineage.parameters}
    asked = {"manifest": run.manifest.digest, **run.parameters}
    for name in sorted(asked):
        if said.get(name) != asked[name]:
            raise RunError(
                f"{name} (got {asked[name]!r}, expected {said.get(name)!r} as in {run.path(_LAST)}; a run goes on "
                "with what it began with, another one needs a folder of its own)"
            )
    run.parents = (checkpoint.artefact,)
    run.found |= {"epochs": int(checkpoint.state["epoch"]) + 1, "metrics": checkpoint.state["metrics"]}
    run.found["artefacts"] = {"last": checkpoint.artefact}
    state: dict[str, Any] = checkpoint.state
    return state


def _mirror(run: _Run) -> None:
    assert run.mirror is not None  # noqa: S101 - asked before
    path = run.out / _MIRROR
    if run.mirror.run is None and path.exists():
        run.mirror.run = path.read_text(encoding="ascii").strip()
    lineage = run.lineage(run.parents).document()
    shown = {name: lineage[name] for name in ("manifest", "releases", "code", "artefacts", "fleetgate")}
    run.mirror.began(run.parameters, shown)
    if run.mirror.run is not None:
        path.write_text(run.mirror.run, encoding="ascii")


@contextmanager
def _alone(out: Path, rank: int) -> Iterator[None]:
    """Be the one run in the folder."""
    if rank != 0:
        yield
        return
    try:
        (out / _WEIGHTS).mkdir(parents=True, exist_ok=True)
        lock = os.open(out / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RunError(f"{out}: {error.strerror}") from error
    try:
        try:
            fcntl.lockf(
                lock, fcntl.LOCK_EX | fcntl.LOCK_NB
            )  # loading processes that outlive a kill do not hold it
        except (BlockingIOError, PermissionError) as error:
            raise RunError(f"{out}: another process trains here") from error
        yield
    finally:
        os.close(lock)

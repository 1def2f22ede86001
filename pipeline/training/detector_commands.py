"""``fleetgate train detector`` and ``compare-detectors``."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from joserfc.jwk import OKPKey
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pipeline.artefacts import UseKind
from pipeline.connecting import (
    JsonOption,
    KeyOption,
    PassphraseOption,
    PrincipalOption,
    PurposeOption,
    ReleaseKeyOption,
    UrlOption,
    connect,
)
from pipeline.failing import EXIT_REFUSED
from pipeline.signing import load_release_key
from pipeline.training.access import Access
from pipeline.training.commands import (
    ManifestArgument,
    app,
    libraries,
    read_content,
    read_manifest_text,
    say,
    told,
)
from pipeline.training.labels import read_coco
from pipeline.training.lease import DEFAULT_LEASE_S
from pipeline.training.mirror import MlflowMirror
from pipeline.training.training_manifest import confirm_training_manifest, read_training_manifest

if TYPE_CHECKING:
    from pipeline.training.detection_evaluation import PrecisionComparison

__all__ = ["app", "compare_detectors", "detector"]

ShardsOption = Annotated[Path, typer.Option(help="Folder of the sealed shards that `train shards` wrote.")]
BatchOption = Annotated[int, typer.Option(min=1, help="Pictures of a step, over all ranks.")]
SideOption = Annotated[int, typer.Option(min=32, help="Longer side in pixels to which pictures are scaled.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of order, weights, augmentation and split.")]
WorkersOption = Annotated[int, typer.Option(min=0, help="Loading processes of each rank.")]
DeviceOption = Annotated[str, typer.Option(help="cpu or cuda.")]
ShareOption = Annotated[
    float, typer.Option(help="Share of the pictures that is measured on, not trained on.")
]
HoldOutOption = Annotated[
    list[str] | None,
    typer.Option(help="Release that is measured on, not trained on, instead of a share; repeat for more."),
]
SettingOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Setting of ultralytics as NAME=VALUE, such as mosaic=0; repeat for more."),
]
LeaseOption = Annotated[float, typer.Option(min=1, help="Seconds for which an answer of the gate holds.")]

_WORDS = {"regressed": "变差 / regressed", "undecided": "未定 / undecided", "held": "保持 / held"}


@app.command()
def detector(  # noqa: PLR0913, PLR0917 - each argument is a command-line option
    manifest: ManifestArgument,
    shards: ShardsOption,
    out: Annotated[Path, typer.Option(help="Folder of the run; one that broke off there goes on.")],
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    model: Annotated[
        str | None,
        typer.Option(help="Network to build from scratch: a YAML file, or a name such as yolo11n.yaml."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights of ultralytics (.pt) to begin with, instead of --model.")
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="Their SHA-256: the file is a pickle, and is trusted by it.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the pictures.")] = 100,
    batch: BatchOption = 16,
    side: SideOption = 640,
    seed: SeedOption = 0,
    workers: WorkersOption = 2,
    device: DeviceOption = "cpu",
    validation_share: ShareOption = 0.2,
    hold_out: HoldOutOption = None,
    tags: Annotated[
        Path | None,
        typer.Option(help='Scenarios of pictures, JSON Lines: {"sample": …, "tags": […]}.'),
    ] = None,
    setting: SettingOption = None,
    lease_s: LeaseOption = DEFAULT_LEASE_S,
    mlflow: Annotated[
        str | None, typer.Option(help="Local MLflow store to copy figures to: sqlite:///… or file:///….")
    ] = None,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Train an ultralytics detector on sealed shards; pictures are decrypted in memory only.

    A checkpoint is kept and registered after each epoch. A run that broke off goes on after the last one when the
    same is asked again; under torchrun, with as many ranks. A checkpoint that the gate cannot register now is kept
    sealed; the next start registers it first. Where the gate refuses a release in the middle, its shards are wiped
    and the checkpoints stay.

    Exit status: 0 trained and measured, 1 refused, unreachable, tampered with, or something given is not valid, 2
    wrong usage.
    """
    with told(as_json=as_json), libraries():
        from pipeline.training import detector_run  # noqa: PLC0415 - slow to load

        client, private = connect(
            url,
            key=key,
            principal=principal,
            purpose=purpose,
            release_key=release_key,
            passphrase_file=passphrase_file,
        )
        settings = settings_of(setting, device)
        with client:
            read = read_training_manifest(read_manifest_text(manifest), private, now=datetime.now(tz=UTC))
            confirm_training_manifest(read, client)
            client.report_use(
                UseKind.TRAIN, sorted(read.releases), {"manifest": read.digest, "run": out.name}
            )
            access = access_of(url, private, principal, purpose, release_key)
        options = detector_run.DetectorOptions(
            model=model,
            weights=weights,
            weights_sha256=sha256,
            epochs=epochs,
            batch=batch,
            side=side,
            seed=seed,
            workers=workers,
            device=device,
            validation_share=validation_share,
            held_out=tuple(hold_out or ()),
            settings=settings,
            lease_s=lease_s,
        )
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        with Progress(*columns, console=Console(stderr=True), disable=as_json, transient=True) as bar:
            task = bar.add_task(read.name, total=epochs)

            def show(epoch: int, _metrics: Mapping[str, float]) -> None:
                bar.update(task, completed=epoch)

            report = detector_run.train_detector(
                out,
                shards,
                read,
                access,
                options,
                tags=_tags(tags),
                mirror=None if mlflow is None else MlflowMirror(mlflow, experiment=read.name),
                progress=show,
            )
        if report:
            say(report, _shown(report), as_json=as_json)


@app.command(name="compare-detectors")
def compare_detectors(  # noqa: PLR0913, PLR0917 - each argument is a command-line option
    labels: Annotated[Path, typer.Argument(help="COCO file of boxes in the pictures.")],
    before: Annotated[
        Path,
        typer.Argument(
            help='Of the old model, JSON Lines: {"sample": …, "release": …, "boxes": [{"class", "x", "y", '
            '"width", "height", "score"}]}, such as predictions.jsonl of `train detector`.'
        ),
    ],
    after: Annotated[Path, typer.Argument(help="Of the new model, the same, on the same pictures.")],
    tags: Annotated[
        Path | None, typer.Option(help='Scenarios of pictures, JSON Lines: {"sample": …, "tags": […]}.')
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals and the test.")] = 0.95,
    tolerance: Annotated[
        float, typer.Option(help="Loss of mean average precision that does not matter.")
    ] = 0.02,
    resamples: Annotated[int, typer.Option(min=100, help="Of the bootstrap over pictures.")] = 1000,
    require_held: Annotated[  # noqa: FBT002 - a command-line flag
        bool, typer.Option("--require-held", help="Fail also where the pictures do not decide.")
    ] = False,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Hold a new detector against the old one in every scenario, by mean average precision; no gate is asked.

    Exit status: 0 it is worse in no scenario, 1 it is, or a file is not valid, 2 wrong usage.
    """
    with told(as_json=as_json), libraries():
        from pipeline.training import detection_evaluation as judging  # noqa: PLC0415 - slow to load

        truths = read_coco(read_content(labels))
        old, new = (judging.read_detections(read_content(path), truths) for path in (before, after))
        judging.require_same_pictures(old, new)
        known = {} if tags is None else judging.read_tags(read_content(tags), truths.pictures)
        names = sorted(old)
        pictures = [truths.pictures[name] for name in names]
        was, now = (judging.score(pictures, [of[name] for name in names]) for of in (old, new))
        try:
            rows = judging.compare_detectors(
                names,
                was,
                now,
                known,
                confidence=confidence,
                tolerance=tolerance,
                resamples=resamples,
            )
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        failing = {"regressed"} | ({"undecided"} if require_held else set())
        failed = [row.tag for row in rows if row.verdict in failing]
        answer = {
            "failed": failed,
            "scenarios": [{**asdict(row), "verdict": row.verdict.value} for row in rows],
        }
        say(answer, "\n".join(_compared(row) for row in rows), as_json=as_json)
        if failed:
            raise typer.Exit(EXIT_REFUSED)


def settings_of(given: list[str] | None, device: str) -> dict[str, float | int | str]:
    """The settings that options name, with a device that there is.

    Raises:
        typer.BadParameter: A setting or the device is none.
    """
    from pipeline.training.detector_run import read_setting  # noqa: PLC0415 - slow to load

    if device not in {"cpu", "cuda"}:
        raise typer.BadParameter(f"device (got {device!r}, expected cpu or cuda)")
    try:
        return dict(read_setting(each) for each in given or ())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def access_of(url: str, private: OKPKey, principal: str, purpose: str, path: Path) -> Access:
    """What loading processes need to ask the gate; the path is that of the operator's release key."""
    loaded = load_release_key(path)
    key = loaded if isinstance(loaded, OKPKey) else json.loads(path.read_bytes())  # SM2 comes as a JWK only
    return Access.of(url, key=private, principal=principal, purpose=purpose, release_key=key)


def _tags(path: Path | None) -> dict[str, tuple[str, ...]]:
    if path is None:
        return {}
    from pipeline.training.detection_evaluation import read_tags  # noqa: PLC0415 - slow to load

    return read_tags(read_content(path))


def _shown(report: Mapping[str, Any]) -> str:
    """The report in words."""
    time = report["time"]
    rows = [
        f"{row['tag']:16} {row['pictures']:6}  mAP {_figure(row['map50_95'])}" for row in report["by_tag"]
    ]
    figures = (
        f"{report['epochs']} epochs, {time['samples']} pictures, {_figure(time['samples_per_s'])} pictures/s, "
        f"waiting for data {_figure(time['loader_wait_share'])}, goodput {_figure(time['goodput'])} in "
        f"{time['starts']} starts, {report['world']} ranks"
    )
    mirror = report["mirror"]
    failed = [f"MLflow mirror failed: {mirror['failed']}"] if mirror and mirror["failed"] else []
    return "\n".join([figures, *rows, *failed])


def _compared(row: "PrecisionComparison") -> str:
    return (
        f"{row.tag:16} {row.pictures:6}  {_figure(row.before)} → {_figure(row.after)}  "
        f"[{row.low:+.3f}, {row.high:+.3f}]  p {row.p_worse:.3g}  {_WORDS[row.verdict]}"
    )


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"

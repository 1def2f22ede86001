"""``fleetgate label prelabel``: what a detector finds, as its proposal to the annotators of a task."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pipeline.connecting import (
    JsonOption,
    KeyOption,
    PassphraseOption,
    PrincipalOption,
    PurposeOption,
    ReleaseKeyOption,
    UrlOption,
)
from pipeline.labelling.commands import say, told
from pipeline.labelling.task_commands import (
    CacheOption,
    StoreOption,
    TaskArgument,
    opened_task,
    owning,
    reading,
)
from pipeline.publishing import known_as, require_standing


def prelabel(  # noqa: PLR0913, PLR0917 - each argument is a command-line option
    task: TaskArgument,
    store: StoreOption,
    model: Annotated[Path, typer.Option(help="Detector (ONNX) whose metadata state task and classes.")],
    sha256: Annotated[str, typer.Option(help="SHA-256 of that file.")],
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    as_class: Annotated[
        list[str] | None,
        typer.Option(
            help="MODEL_CLASS=CLASS where the names differ, such as 'person=pedestrian'; repeat for more."
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(min=0, max=1, help="Least confidence of a label.")] = 0.25,
    cache: CacheOption = None,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Put what a detector finds before the annotators, as its proposal, in frames that nobody saved yet.

    Pictures are read in memory. A broken run goes on where it stopped. A model that was registered must stand at
    the gate, and the task's label set names it as parent.

    Exit status: 0 done, 1 refused, unreachable, or the model cannot be used, 2 wrong usage.
    """
    pairs = dict(each.partition("=")[::2] for each in as_class or ())
    if not all(pairs.values()):
        raise typer.BadParameter(f"--as-class (got {as_class}, expected MODEL_CLASS=CLASS)")
    with told(as_json=as_json), owning(url, key, principal, purpose, release_key, passphrase_file) as owner:
        from pipeline.labelling.detector import OnnxDetector  # noqa: PLC0415 - slow to load
        from pipeline.labelling.prelabel import class_map  # noqa: PLC0415 - an extra
        from pipeline.labelling.prelabel import prelabel as run  # noqa: PLC0415 - an extra
        from pipeline.labelling.task import rest_on_model  # noqa: PLC0415 - an extra

        folder, opened = opened_task(store, task, owner)
        opened.hold_open(datetime.now(tz=UTC))
        detector = OnnxDetector(model, sha256)
        artefact = require_standing(model, owner.client) if known_as(model) else None
        classes = class_map(detector, opened, pairs)
        if artefact is not None:
            rest_on_model(folder, opened, detector.digest, artefact)
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        with (
            reading(owner, cache) as source,
            Progress(*columns, console=Console(stderr=True), disable=as_json, transient=True) as bar,
        ):
            shown = bar.add_task(opened.name, total=len(opened.frames))
            done = run(
                folder,
                opened,
                source,
                detector,
                classes=classes,
                confidence=confidence,
                progress=lambda number, _of: bar.update(shown, completed=number),
            )
        answer = {
            "task": task,
            "model": f"sha256:{detector.digest}",
            "artefact": artefact,
            "frames": done.frames,
            "kept": done.kept,
            "labels": dict(done.labels),
            "unused": dict(done.unused),
        }
        found = ", ".join(f"{name} {count}" for name, count in sorted(done.labels.items())) or "0"
        say(answer, f"{done.frames} 帧 / frames, {done.kept} kept; {found}", as_json=as_json)

"""``fleetgate train``: freeze what is trained on, seal it into shards, hold one model against another."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pipeline.artefacts import ArtefactKind, DerivedArtefact, UseKind
from pipeline.client import GatewayClient
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
from pipeline.errors import PipelineError
from pipeline.failing import EXIT_REFUSED, report_failure
from pipeline.publishing import known_as, publish, registered_as, require_standing
from pipeline.sealed_cache import SealedCache
from pipeline.training.labels import LabelFile, read_coco
from pipeline.training.shards import DEFAULT_SHARD_BYTES, ShardFolder, write_shards
from pipeline.training.training_manifest import (
    TrainingManifest,
    confirm_training_manifest,
    freeze,
    read_training_manifest,
)

if TYPE_CHECKING:
    from pipeline.labelling.label_set import LabelSet
    from pipeline.training.evaluation import TagComparison

app = typer.Typer(help="Train on released data.", no_args_is_help=True)

ManifestArgument = Annotated[Path, typer.Argument(help="The training manifest that `train freeze` wrote.")]
LabelsOption = Annotated[Path | None, typer.Option(help="COCO file of boxes in the pictures.")]
LabelSetOption = Annotated[
    Path | None, typer.Option(help="Label set (OpenLABEL) of one of the releases, in place of --labels.")
]
LabelOntologyOption = Annotated[
    Path | None,
    typer.Option(help="Ontology of the label set (YAML); by default the one that comes with Fleetgate."),
]


@app.callback()
def train() -> None:
    """Train on released data under a grant."""


@app.command(name="freeze")
def freeze_command(  # noqa: PLR0913, PLR0917 - each argument is a command-line option
    releases: Annotated[list[str], typer.Argument(help="Ids of the releases.")],
    name: Annotated[str, typer.Option(help="What people call the data set.")],
    out: Annotated[Path, typer.Option(help="File for the signed manifest; one that is there is kept.")],
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    labels: LabelsOption = None,
    label_set: LabelSetOption = None,
    label_ontology: LabelOntologyOption = None,
    label_artefact: Annotated[
        str | None,
        typer.Option(help="Id of the label set at the gate; without, it is registered now."),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="Class that the file of labels may declare; repeat for more."),
    ] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(
            help="End of use in UTC, at most that of the first release to end, which is the default."
        ),
    ] = None,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Fix what a model is trained on, and sign it: releases, samples with digests, classes, purpose, end of use.

    Exit status: 0 written, 1 refused, unreachable, tampered with, or a file is not valid, 2 wrong usage.
    """
    client, private = connect(
        url,
        key=key,
        principal=principal,
        purpose=purpose,
        release_key=release_key,
        passphrase_file=passphrase_file,
    )
    with told(as_json=as_json), libraries(), client:
        given = _given(labels, label_set, label_ontology, classes)
        if out.exists():
            raise typer.BadParameter(f"{out}: it is there, and what is frozen is not replaced")
        client.report_use(UseKind.TRAIN, sorted(set(releases)), {"freeze": name})
        manifest = freeze(
            name,
            client,
            releases,
            key=private,
            now=datetime.now(tz=UTC),
            labels=given.boxes,
            artefacts=(*given.artefacts(client, name, label_artefact), *_published(labels)),
            expires_at=None if expires is None else expires.replace(tzinfo=UTC),
        )
        artefact = publish(out, f"{manifest.statement}\n".encode(), _derived(manifest), client)
        say({**_described(manifest), "artefact": artefact}, f"{out}: {_line(manifest)}", as_json=as_json)


@app.command()
def check(
    manifest: ManifestArgument,
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Verify a training manifest, and ask the gate whether every release and sample of it still stands.

    Exit status: 0 it stands, 1 it does not, with the reason, or the gate is unreachable, 2 wrong usage.
    """
    client, private = connect(
        url,
        key=key,
        principal=principal,
        purpose=purpose,
        release_key=release_key,
        passphrase_file=passphrase_file,
    )
    with told(as_json=as_json), client:
        read = read_training_manifest(read_manifest_text(manifest), private, now=datetime.now(tz=UTC))
        confirm_training_manifest(read, client)
        require_standing(manifest, client)
        say(_described(read), f"stands: {_line(read)}", as_json=as_json)


@app.command()
def shards(  # noqa: PLR0913, PLR0917 - each argument is a command-line option
    manifest: ManifestArgument,
    out: Annotated[Path, typer.Option(help="Folder for the sealed shards; it is made where it is missing.")],
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    labels: LabelsOption = None,
    label_set: LabelSetOption = None,
    label_ontology: LabelOntologyOption = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of sealed copies, so that nothing is fetched twice.")
    ] = None,
    shard_mib: Annotated[
        int, typer.Option(min=1, help="What a shard holds at most, in MiB.")
    ] = DEFAULT_SHARD_BYTES // 2**20,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Read every sample of a training manifest and seal it, with its labels, into shards.

    Shards that are there and right are kept, so a broken run goes on where it stopped. Where the gate refuses a
    release, its shards are wiped.

    Exit status: 0 all shards are there, 1 refused, unreachable, tampered with, or a file is not valid, 2 wrong
    usage.
    """
    client, private = connect(
        url,
        key=key,
        principal=principal,
        purpose=purpose,
        release_key=release_key,
        passphrase_file=passphrase_file,
    )
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with told(as_json=as_json), client, ExitStack() as stack:
        read = read_training_manifest(read_manifest_text(manifest), private, now=datetime.now(tz=UTC))
        confirm_training_manifest(read, client)
        parents = [require_standing(manifest, client)]
        client.report_use(UseKind.TRAIN, sorted(read.releases), {"manifest": read.digest})
        source = stack.enter_context(SealedCache(client, cache, key=private)) if cache else client
        bar = stack.enter_context(
            Progress(*columns, console=Console(stderr=True), disable=as_json, transient=True)
        )
        task = bar.add_task(read.name, total=len(read.samples))
        done = write_shards(
            source,
            ShardFolder(out, read, private),
            labels=_given(labels, label_set, label_ontology, read.classes).boxes,
            shard_bytes=shard_mib * 2**20,
            parents=parents,
            progress=lambda number, _of: bar.update(task, completed=number),
        )
        found = {"samples": done.samples, "written": done.written, "kept": done.kept, "folder": str(out)}
        found["artefact"] = done.artefact
        say(
            {**_described(read), **found},
            f"{out}: {done.samples} samples, {done.written} shards written, {done.kept} kept",
            as_json=as_json,
        )


@app.command()
def compare(
    labels: Annotated[
        Path, typer.Argument(help='JSON Lines: {"sample": …, "label": …, "tags": […]}, tags are scenarios.')
    ],
    before: Annotated[
        Path, typer.Argument(help='Of the old model, JSON Lines: {"sample": …, "prediction": …}.')
    ],
    after: Annotated[Path, typer.Argument(help="Of the new model, the same.")],
    confidence: Annotated[float, typer.Option(help="Of the intervals and the test.")] = 0.95,
    tolerance: Annotated[float, typer.Option(help="Loss of right answers that does not matter.")] = 0.02,
    require_held: Annotated[  # noqa: FBT002 - a command-line flag
        bool, typer.Option("--require-held", help="Fail also where the samples do not decide.")
    ] = False,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Hold a new model against the old one in every scenario; no gate is asked.

    Exit status: 0 it is worse in no scenario, 1 it is, or a file is not valid, 2 wrong usage.
    """
    with told(as_json=as_json), libraries():
        from pipeline.training import evaluation as judging  # noqa: PLC0415 - slow to load

        truths = judging.read_truths(read_content(labels))
        old, new = (judging.read_predictions(read_content(path), truths) for path in (before, after))
        try:
            rows = judging.compare(truths, old, new, confidence=confidence, tolerance=tolerance)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        failing = {"regressed"} | ({"undecided"} if require_held else set())
        failed = [row.tag for row in rows if row.verdict in failing]
        answer = {"failed": failed, "scenarios": [_row(row) for row in rows]}
        say(answer, "\n".join(_shown(row) for row in rows), as_json=as_json)
        if failed:
            raise typer.Exit(EXIT_REFUSED)


@contextmanager
def told(*, as_json: bool) -> Iterator[None]:
    """Tell what ended a command, and exit with the status of a refusal."""
    try:
        yield
    except PipelineError as error:
        report_failure(error, as_json=as_json)
        raise typer.Exit(EXIT_REFUSED) from error


@contextmanager
def libraries() -> Iterator[None]:
    """Name the extra whose libraries are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise typer.BadParameter(
            f"{error.name} is not installed: pip install 'fleetgate[train,label]'"
        ) from error


def read_content(path: Path) -> bytes:
    """A file that was named on the command line."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from error


def read_manifest_text(path: Path) -> str:
    """A training manifest as it was written."""
    try:
        return read_content(path).decode("ascii")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path} is no training manifest: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """Labels that options name: a COCO file, a label set, or none."""

    boxes: LabelFile | None = None
    label_set: "LabelSet | None" = None

    def artefacts(self, client: GatewayClient, name: str, artefact: str | None) -> tuple[str, ...]:
        """The label set as a parent of the training; the gate is asked."""
        if self.label_set is None or self.boxes is None:
            if artefact is not None:
                raise typer.BadParameter("--label-artefact needs --label-set")
            return ()
        from pipeline.training.label_sets import parent_of_training  # noqa: PLC0415 - an extra

        digest = self.boxes.sha256
        return (parent_of_training(self.label_set, digest, client, name=name, artefact=artefact),)


def _given(
    labels: Path | None,
    label_set: Path | None,
    ontology: Path | None,
    classes: list[str] | tuple[str, ...] | None,
) -> _Given:
    if label_set is None:
        if ontology is not None:
            raise typer.BadParameter("--label-ontology needs --label-set")
        return _Given(boxes=None if labels is None else read_coco(read_content(labels), classes or None))
    if labels is not None:
        raise typer.BadParameter("--labels and --label-set exclude each other")
    from pipeline.labelling.ontology import read_label_ontology, shipped_label_ontology  # noqa: PLC0415 - an extra
    from pipeline.training.label_sets import read_label_set  # noqa: PLC0415 - an extra

    read = shipped_label_ontology() if ontology is None else read_label_ontology(read_content(ontology))
    found, boxes = read_label_set(read_content(label_set), read, classes or None)
    return _Given(boxes=boxes, label_set=found)


def _published(labels: Path | None) -> tuple[str, ...]:
    """The id of a file of labels, where it was published."""
    return () if labels is None or not known_as(labels) else (registered_as(labels),)


def _derived(manifest: TrainingManifest) -> DerivedArtefact:
    """A training manifest as an artefact of its releases and labels."""
    return DerivedArtefact(
        kind=ArtefactKind.DATA_SET,
        name=manifest.name,
        sha256=manifest.digest,
        code=f"fleetgate {version('fleetgate')}",
        parameters={"labels": manifest.labels, "samples": len(manifest.samples)},
        releases=tuple(sorted(manifest.releases)),
        items=tuple(sorted({sample.sha256 for sample in manifest.samples})),
        artefacts=manifest.artefacts,
    )


def _described(manifest: TrainingManifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "digest": manifest.digest,
        "purpose": manifest.purpose,
        "expires_at": manifest.expires_at.isoformat(),
        "releases": dict(manifest.releases),
        "samples": len(manifest.samples),
        "classes": list(manifest.classes),
        "labels": manifest.labels,
        "artefacts": list(manifest.artefacts),
    }


def _line(manifest: TrainingManifest) -> str:
    return (
        f"{manifest.name}: {len(manifest.samples)} samples of {len(manifest.releases)} releases for "
        f"{manifest.purpose}, until {manifest.expires_at.isoformat()}, sha256 {manifest.digest}"
    )


def _row(row: "TagComparison") -> dict[str, Any]:
    shares = {name: getattr(row, name) for name in ("before", "after", "difference")}
    return {
        "tag": row.tag,
        "samples": row.samples,
        **{name: {"value": s.value, "low": s.low, "high": s.high} for name, s in shares.items()},
        "lost": row.lost,
        "won": row.won,
        "p_worse": row.p_worse,
        "verdict": row.verdict.value,
    }


def _shown(row: "TagComparison") -> str:
    words = {"regressed": "变差 / regressed", "undecided": "未定 / undecided", "held": "保持 / held"}
    return (
        f"{row.tag:16} {row.samples:6}  {row.before.value:.3f} → {row.after.value:.3f}  "
        f"[{row.difference.low:+.3f}, {row.difference.high:+.3f}]  p {row.p_worse:.3g}  {words[row.verdict]}"
    )


def say(answer: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print a result: one JSON object, or text."""
    typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else text)

"""``fleetgate label``: commands over label sets. Libraries of the extra ``label`` are loaded when one runs."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from pipeline.errors import PipelineError
from pipeline.failing import EXIT_REFUSED, report_failure
from pipeline.publishing import known_as

if TYPE_CHECKING:
    from pipeline.labelling.exchange.class_map import ClassMap
    from pipeline.labelling.exchange.formats import ExchangeFormat
    from pipeline.labelling.label_set import LabelSet
    from pipeline.labelling.ontology import GeometryKind, LabelOntology

app = typer.Typer(help="Label released data.", no_args_is_help=True)

LabelSetArgument = Annotated[Path, typer.Argument(help="The label set (OpenLABEL 1.0).")]
OntologyOption = Annotated[
    Path | None, typer.Option(help="Ontology of labels (YAML); by default the one that comes with Fleetgate.")
]

FormatArgument = Annotated[str, typer.Argument(help="The format: coco, yolo, voc or nuscenes.")]
ClassMapOption = Annotated[
    Path | None, typer.Option(help="File (YAML) that says what classes and attributes are called there.")
]
FrameOption = Annotated[
    str, typer.Option(help="Name of the frame of reference of cuboids in nuScenes tables.")
]
KindOption = Annotated[str, typer.Option(help="Kind of geometry: bbox, polygon or cuboid.")]


@app.callback()
def label() -> None:
    """Label released data under a grant."""


@app.command()
def ontology(
    ontology: OntologyOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Check an ontology of labels and list what it says; no gate is asked.

    Exit status: 0 the file is valid, 1 it is not, with the member that is wrong, 2 wrong usage.
    """
    with told(as_json=as_json):
        read = ontology_of(ontology)
        classes = {
            each.name: {
                "zh": each.zh,
                "en": each.en,
                "geometry": [kind.value for kind in each.geometry],
                "attributes": list(each.attributes),
            }
            for each in read.classes.values()
        }
        answer = {"name": read.name, "version": read.version, "digest": read.digest, "classes": classes}
        lines = [f"{read.name} version {read.version}, {len(classes)} classes, sha256 {read.digest}"]
        lines += [
            f"{name:22} {c['zh']} / {c['en']}  {' '.join(c['geometry'])}" for name, c in classes.items()
        ]
        say(answer, "\n".join(lines), as_json=as_json)


@app.command()
def check(
    labels: LabelSetArgument,
    ontology: OntologyOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Check a label set: OpenLABEL 1.0, its ontology, and every label against its frame; no gate is asked.

    Exit status: 0 it is right, 1 it is not, with what is wrong, 2 wrong usage.
    """
    with told(as_json=as_json):
        read, digest = label_set_of(labels, ontology_of(ontology))
        answer = described(read, digest)
        say(
            answer,
            f"{labels}: right; {answer['frames']} frames, {answer['objects']} objects, {answer['labels']} labels "
            f"of release {answer['release']}, sha256 {digest}",
            as_json=as_json,
        )


@app.command()
def agree(
    first: Annotated[
        Path, typer.Argument(help="Label set of one annotator, or one that is known to be right.")
    ],
    second: Annotated[Path, typer.Argument(help="Label set of another, or of a model, of the same frames.")],
    kind: KindOption = "bbox",
    threshold: Annotated[
        list[float] | None,
        typer.Option(
            help="Overlap in (0, 1] from which labels are one; repeat for more. By default .5, .75, .9."
        ),
    ] = None,
    ontology: OntologyOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Say how far two label sets of the same frames agree: objects, classes, attributes; no gate is asked.

    Exit status: 0 compared, however they agree, 1 they cannot be compared, 2 wrong usage.
    """
    with told(as_json=as_json):
        from pipeline.labelling.agreement import THRESHOLDS, agreement  # noqa: PLC0415 - an extra

        read = ontology_of(ontology)
        sets = [label_set_of(path, read)[0] for path in (first, second)]
        found = agreement(sets[0], sets[1], kind_of(kind), thresholds=threshold or THRESHOLDS)
        answer = found.document()
        lines = [f"{found.frames} frames, mean overlap {shown(found.overlap)}, kappa {shown(found.kappa)}"]
        lines += [
            f"overlap {each.threshold:.2f}: precision {shown(each.precision)}, recall {shown(each.recall)}, "
            f"F1 {shown(each.f1)} ({each.true} of {each.first} and {each.second})"
            for each in found.found
        ]
        lines += [f"{a} / {b}: {count}" for (a, b), count in found.confused.items()]
        lines += [f"{name}: {each.same} of {each.pairs} alike" for name, each in found.attributes.items()]
        say(answer, "\n".join(lines), as_json=as_json)


@app.command()
def honeypots(
    known: Annotated[Path, typer.Argument(help="Label set of frames that is known to be right.")],
    labels: Annotated[
        list[str], typer.Argument(help="ANNOTATOR=FILE: an annotator's id and label set; repeat for more.")
    ],
    kind: KindOption = "bbox",
    threshold: Annotated[float, typer.Option(help="Overlap in (0, 1] from which a label is found.")] = 0.5,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    require_f1: Annotated[
        float | None, typer.Option(help="Fail where the interval of an annotator's F1 lies below this.")
    ] = None,
    ontology: OntologyOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Hold annotators against frames whose labels are known; other frames do not count, no gate is asked.

    Exit status: 0 compared, 1 an annotator is below --require-f1, or sets cannot be compared, 2 wrong usage.
    """
    with told(as_json=as_json):
        from pipeline.labelling.honeypots import score_honeypots  # noqa: PLC0415 - an extra

        read = ontology_of(ontology)
        given = {}
        for each in labels:
            annotator, _, path = each.partition("=")
            if not annotator or not path or annotator in given:
                raise typer.BadParameter(f"{each!r} (expected ANNOTATOR=FILE, each annotator once)")
            given[annotator] = label_set_of(Path(path), read)[0]
        scores = score_honeypots(
            label_set_of(known, read)[0], given, kind_of(kind), threshold=threshold, confidence=confidence
        )
        failed = [each.annotator for each in scores if require_f1 is not None and each.f1.high < require_f1]
        answer = {
            "failed": failed,
            "annotators": [
                {
                    "annotator": each.annotator,
                    "frames": each.frames,
                    **{
                        name: {"value": share.value, "low": share.low, "high": share.high}
                        for name in ("recall", "precision", "f1")
                        for share in [getattr(each, name)]
                    },
                }
                for each in scores
            ],
        }
        lines = [
            f"{each.annotator}: {each.frames} frames, recall {shown(each.recall.value)} "
            f"[{each.recall.low:.3f}, {each.recall.high:.3f}], precision {shown(each.precision.value)}, "
            f"F1 {shown(each.f1.value)} [{each.f1.low:.3f}, {each.f1.high:.3f}]"
            for each in scores
        ]
        say(answer, "\n".join(lines), as_json=as_json)
        if failed:
            raise typer.Exit(EXIT_REFUSED)


@app.command(name="review-queue")
def queue(
    reviewed: Annotated[Path, typer.Argument(help="Label set under review.")],
    other: Annotated[
        Path, typer.Argument(help="Another annotator's or a model's label set of the same frames.")
    ],
    kind: KindOption = "bbox",
    count: Annotated[int, typer.Option(min=1, help="How many frames at most.")] = 20,
    ontology: OntologyOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Say which frames and labels to look at first, by where two label sets disagree; no gate is asked.

    Exit status: 0 ranked, 1 the sets cannot be compared, 2 wrong usage.
    """
    with told(as_json=as_json):
        from pipeline.labelling.label_set import label_document  # noqa: PLC0415 - an extra
        from pipeline.labelling.review_queue import review_queue  # noqa: PLC0415 - an extra

        read = ontology_of(ontology)
        sets = [label_set_of(path, read)[0] for path in (reviewed, other)]
        ranked = review_queue(sets[0], sets[1], kind_of(kind))
        answer = {
            "of": len(ranked),
            "frames": [
                {
                    "item": frame.item,
                    "score": frame.score,
                    "suspects": [
                        {"why": each.why.value, "score": each.score, "label": label_document(each.label)}
                        for each in frame.suspects
                    ],
                }
                for frame in ranked[:count]
            ],
        }
        lines = [
            f"{frame.score:.3f}  {frame.item}  "
            + ", ".join(f"{s.why.value} {s.label.object_id} ({s.score:.2f})" for s in frame.suspects[:3])
            for frame in ranked[:count]
        ]
        say(answer, "\n".join(lines), as_json=as_json)


@app.command(name="import")
def import_command(
    kind: FormatArgument,
    files: Annotated[Path, typer.Argument(help="The file, or the folder of files, in that format.")],
    into: Annotated[Path, typer.Option(help="Label set whose frames are labelled; it is not changed.")],
    out: Annotated[Path, typer.Option(help="New file for the label set with these labels as well.")],
    source: Annotated[str, typer.Option(help="Whose labels they are: person:ID or model@sha256:DIGEST.")],
    class_map: ClassMapOption = None,
    frame: FrameOption = "local",
    ontology: OntologyOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Add labels from COCO, YOLO, Pascal VOC or nuScenes to a label set: all of them, or none; no gate is asked.

    Pictures go by the names that the release gave its items. An unknown class or attribute, a picture that the set
    does not have or of another size, and a label that is none are refused with the place and the value.

    Exit status: 0 written, 1 refused, nothing is written, 2 wrong usage.
    """
    with told(as_json=as_json):
        from pipeline.labelling.exchange.formats import (  # noqa: PLC0415 - an extra
            import_labels,
            read_files,
            write_whole,
        )
        from pipeline.labelling.openlabel import openlabel_digest, write_openlabel  # noqa: PLC0415 - an extra
        from pipeline.labelling.standing_release import resting_on  # noqa: PLC0415 - an extra

        form, read = format_of(kind), ontology_of(ontology)
        base, digest = label_set_of(into, read)
        base = resting_on(base, known_as(into).get(digest))
        named = class_map_of(class_map, read)
        found = import_labels(
            form, read_files(form, files), base, source=source, class_map=named, frame=frame
        )
        content = write_openlabel(found)
        write_whole(content, out)
        answer = described(found, openlabel_digest(content)) | {
            "imported": len(found.labels) - len(base.labels),
            "out": str(out),
        }
        say(
            answer,
            f"{out}: {answer['imported']} labels imported, {len(found.labels)} in all",
            as_json=as_json,
        )


@app.command()
def export(
    kind: FormatArgument,
    labels: LabelSetArgument,
    out: Annotated[Path, typer.Option(help="New folder for the files.")],
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    class_map: ClassMapOption = None,
    frame: FrameOption = "local",
    ontology: OntologyOption = None,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Write a label set as COCO, YOLO, Pascal VOC or nuScenes, under a live grant on its release.

    The gate is asked and keeps the export in its ledger before anything is written; annotators have no grant.
    Files name released items and hold no picture. What the format has no place for is left out and counted.

    Exit status: 0 written, 1 refused, unreachable, or the set is not of that release, 2 wrong usage.
    """
    client, _ = connect(
        url,
        key=key,
        principal=principal,
        purpose=purpose,
        release_key=release_key,
        passphrase_file=passphrase_file,
    )
    with told(as_json=as_json), client:
        from pipeline.labelling.exchange.formats import export_labels, write_files  # noqa: PLC0415 - an extra
        from pipeline.labelling.standing_release import confirm_label_set  # noqa: PLC0415 - an extra

        form, read = format_of(kind), ontology_of(ontology)
        found, digest = label_set_of(labels, read)
        confirm_label_set(found, client)
        exported = export_labels(form, found, class_map=class_map_of(class_map, read), frame=frame)
        client.report_use(UseKind.LABEL, [found.lineage.release], {"export": form.value, "label_set": digest})
        write_files(exported, out)
        answer = {
            "out": str(out),
            "files": len(exported.files),
            "left_out": dict(sorted(exported.left_out.items())),
            "digest": digest,
        }
        lines = [f"{out}: {len(exported.files)} files"]
        lines += [f"left out: {count} {what}" for what, count in sorted(exported.left_out.items())]
        say(answer, "\n".join(lines), as_json=as_json)


@contextmanager
def told(*, as_json: bool) -> Iterator[None]:
    """Tell refusals and missing libraries as commands do, and end.

    Raises:
        typer.Exit: Refused, with status 1.
        typer.BadParameter: A library of the extra ``label`` is missing.
    """
    try:
        yield
    except PipelineError as error:
        report_failure(error, as_json=as_json)
        raise typer.Exit(EXIT_REFUSED) from error
    except ModuleNotFoundError as error:
        raise typer.BadParameter(f"{error.name} is missing: pip install 'fleetgate[label]'") from error


def ontology_of(path: Path | None) -> "LabelOntology":
    """The ontology that an option names, or the one that comes with Fleetgate.

    Raises:
        typer.BadParameter: The file cannot be read.
        LabelOntologyError: It is malformed.
    """
    from pipeline.labelling.ontology import read_label_ontology, shipped_label_ontology  # noqa: PLC0415 - an extra

    return shipped_label_ontology() if path is None else read_label_ontology(content_of(path))


def kind_of(name: str) -> "GeometryKind":
    """The kind of geometry that an option names.

    Raises:
        typer.BadParameter: There is no such kind.
    """
    from pipeline.labelling.ontology import GeometryKind  # noqa: PLC0415 - as its neighbours

    try:
        return GeometryKind(name)
    except ValueError as error:
        raise typer.BadParameter(
            f"--kind (got {name!r}, expected {[k.value for k in GeometryKind]})"
        ) from error


def format_of(name: str) -> "ExchangeFormat":
    """The format that an argument names.

    Raises:
        typer.BadParameter: There is no such format.
    """
    from pipeline.labelling.exchange.formats import ExchangeFormat  # noqa: PLC0415 - an extra

    try:
        return ExchangeFormat(name)
    except ValueError as error:
        raise typer.BadParameter(
            f"format (got {name!r}, expected {[f.value for f in ExchangeFormat]})"
        ) from error


def class_map_of(path: Path | None, ontology: "LabelOntology") -> "ClassMap":
    """The class map that an option names, or one where all is called alike.

    Raises:
        typer.BadParameter: The file cannot be read.
        ExchangeError: It is malformed.
    """
    from pipeline.labelling.exchange.class_map import ClassMap, read_class_map  # noqa: PLC0415 - an extra

    return ClassMap() if path is None else read_class_map(content_of(path), ontology)


def label_set_of(path: Path, ontology: "LabelOntology") -> tuple["LabelSet", str]:
    """The label set that an argument names, and its digest.

    Raises:
        typer.BadParameter: The file cannot be read.
        PipelineError: It is no label set of that ontology.
    """
    from pipeline.labelling.openlabel import openlabel_digest, read_openlabel  # noqa: PLC0415 - an extra

    content = content_of(path)
    return read_openlabel(content, ontology), openlabel_digest(content)


def content_of(path: Path) -> bytes:
    """The content of a file that an option names.

    Raises:
        typer.BadParameter: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from error


def described(labels: "LabelSet", digest: str) -> dict[str, Any]:
    """What commands tell of a label set."""
    classes = Counter(labels.class_of(each) for each in labels.labels.values())
    return {
        "release": labels.lineage.release,
        "digest": digest,
        "ontology": {"name": labels.ontology.name, "version": labels.ontology.version},
        "frames": len(labels.frames),
        "objects": len(labels.objects),
        "labels": len(labels.labels),
        "classes": dict(sorted(classes.items())),
        "sources": dict(sorted(Counter(each.source for each in labels.labels.values()).items())),
        "review": dict(sorted(Counter(each.review.value for each in labels.labels.values()).items())),
    }


def shown(value: float | None) -> str:
    """A share for people; what is not defined is a dash."""
    return "–" if value is None else f"{value:.3f}"


def say(answer: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print an answer as one JSON object, or as text."""
    typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else text)

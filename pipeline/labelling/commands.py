"""``fleetgate label``: commands over label sets. Libraries of the extra ``label`` are loaded when one runs."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.connecting import JsonOption
from pipeline.errors import PipelineError
from pipeline.failing import EXIT_REFUSED, report_failure

if TYPE_CHECKING:
    from pipeline.labelling.label_set import LabelSet
    from pipeline.labelling.ontology import LabelOntology

app = typer.Typer(help="Label released data.", no_args_is_help=True)

LabelSetArgument = Annotated[Path, typer.Argument(help="The label set (OpenLABEL 1.0).")]
OntologyOption = Annotated[
    Path | None, typer.Option(help="Ontology of labels (YAML); by default the one that comes with Fleetgate.")
]


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


def say(answer: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print an answer as one JSON object, or as text."""
    typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else text)

"""The command that measures models on a labelled set, and stores the figures."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from anonymize.finding import FindingKind
from anonymize.media.detection import Detector
from anonymize.media.evaluation import Progress, evaluate
from anonymize.media.labelled import FORMATS, open_labelled
from anonymize.media.model_card import with_quality
from gateway.commands.models import Names, figures_line, open_model, pairs
from gateway.commands.session import Json, acting, opened, report, reporting
from gateway.errors import InvalidRequestError, NotFoundError, UnauthenticatedError
from gateway.flow.gate import Gate
from gateway.models.evaluations import store_evaluation, summary
from gateway.people.permission import permit
from gateway.people.registry import Actor
from gateway.vault.jws import PrivateKey


@reporting
def evaluate_models(
    names: Names = None,
    *,
    data: Annotated[Path, typer.Option(help="Folder of the labelled set; for coco also its JSON file.")],
    label_format: Annotated[str, typer.Option("--format", help=f"{', '.join(FORMATS)}.")],
    every: Annotated[bool, typer.Option("--all", help="Evaluate all models in use together.")] = False,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="Class of the labels as NAME=KIND, or NAME=ignore; repeat."),
    ] = None,
    kind: Annotated[list[FindingKind] | None, typer.Option(help="Kind to measure; repeat.")] = None,
    dataset: Annotated[
        str | None, typer.Option("--name", help="Name of the set; its folder's by default.")
    ] = None,
    complete: Annotated[
        bool, typer.Option(help="Every object is labelled, so that other detections are false positives.")
    ] = False,
    state: Annotated[Path | None, typer.Option(help="JSONL file that a later run resumes from.")] = None,
    misses: Annotated[
        Path | None, typer.Option(help="File for the list of misses; it may name people's plates.")
    ] = None,
    card: Annotated[
        Path | None, typer.Option(help="Model card (YAML) that the figures are written into; of one model.")
    ] = None,
    store: Annotated[bool, typer.Option("--store", help="Sign and keep the figures, for dossiers.")] = False,
    person: Annotated[str | None, typer.Option("--as", help="Compliance officer who stores.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="The officer's private key.")] = None,
    key_passphrase_file: Annotated[
        Path | None, typer.Option("--key-passphrase-file", help="Opens the officer's key.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure recall, coverage and false positives of models on a labelled set, with exact 95 % intervals."""
    if every == bool(names):
        raise InvalidRequestError(f"name models or say --all (got {names or []}, --all {every})")
    images = open_labelled(
        data, label_format, classes=pairs(classes or [], "--class"), complete=complete, name=dataset
    )
    with opened() as gate:
        officer = _officer(gate, person, key, key_passphrase_file) if store else None
        detectors = gate.instruments.detectors if every else [_active(gate, name) for name in names or []]
        with _progress(len(images.images), quiet=as_json) as progress:
            measured = evaluate(
                detectors,
                images,
                profile=gate.profile.profile.images,
                kinds=kind,
                state=state,
                progress=progress,
            )
        stored = (
            store_evaluation(gate, measured.quality, actor=officer[0], key=officer[1]) if officer else None
        )
    document = measured.as_dict()
    if misses is not None:
        misses.write_text(
            json.dumps(document["misses"], ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
    if card is not None:
        card.write_bytes(with_quality(card.read_bytes(), measured.quality, name=card.name))
    result = {
        "quality": document["quality"],
        "misses": len(document["misses"]),
        "stored": stored.digest if stored else None,
    }
    report(result, as_json=as_json, line="\n".join(figures_line(each) for each in summary(measured.quality)))


def _active(gate: Gate, name: str) -> Detector:
    detector = open_model(gate, name)
    if detector is None:
        raise NotFoundError(f"the model is retired (got {name!r})")
    return detector


def _officer(
    gate: Gate, person: str | None, key: Path | None, passphrase: Path | None
) -> tuple[Actor, PrivateKey]:
    if person is None or key is None or passphrase is None:
        raise UnauthenticatedError(
            "a compliance officer stores figures (expected --as, --key, --key-passphrase-file)"
        )
    actor, private = acting(gate, person, key, passphrase, "models.evaluate")
    return permit(gate, actor, "models.evaluate"), private  # before the long work


@contextmanager
def _progress(pictures: int, *, quiet: bool) -> Iterator[Progress | None]:
    if quiet:
        yield None
        return
    with typer.progressbar(length=pictures, label="pictures", file=sys.stderr) as bar:
        yield lambda done, _of: bar.update(done - bar.pos)

"""Commands of the model registry: list, add, verify, evaluate, retire."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from anonymize.errors import AnonymizeError, ModelError
from anonymize.media.detection import Detector, embedded_detectors
from anonymize.media.model_card import ModelCard, card_of, embedded_cards, embedded_content
from gateway.commands.session import (
    EXIT_REFUSED,
    As,
    Json,
    Key,
    KeyPassphrase,
    acting,
    opened,
    report,
    reporting,
)
from gateway.errors import GatewayError, InvalidRequestError, NotFoundError
from gateway.flow.gate import Gate
from gateway.models.evaluations import quality_of_detectors, summary
from gateway.models.loading import open_card, open_registered, reach_of, run_blank
from gateway.models.registry import (
    RegisteredModel,
    add_model,
    registered_models,
    require_model,
    retire_model,
)
from gateway.models.weights import load_weights, read_model_file
from gateway.people.permission import permit

app = typer.Typer(help="Detection models and their measured quality.", no_args_is_help=True)

Names = Annotated[list[str] | None, typer.Argument(help="Name of a model; repeat for several.")]


def pairs(values: Sequence[str], option: str) -> dict[str, str]:
    """``NAME=KIND`` options as a mapping.

    Raises:
        InvalidRequestError: A value has no name or no kind, or a name comes twice.
    """
    pairs = [value.rpartition("=")[::2] for value in values]
    if not all(name and kind for name, kind in pairs) or len(dict(pairs)) != len(pairs):
        raise InvalidRequestError(f"{option} takes each name once (got {list(values)}, expected NAME=KIND)")
    return dict(pairs)


@app.command("list")
@reporting
def list_models(*, as_json: Json = False) -> None:
    """List embedded and registered models: digest, licence, classes, sizes and measured quality."""
    with opened() as gate, gate.database.read() as session:
        known: list[tuple[ModelCard, RegisteredModel | None]] = [(card, None) for card in embedded_cards()]
        known += [(model.card, model) for model in registered_models(session)]
        models = [_described(card, model) for card, model in known]
        for model in models:
            figures = quality_of_detectors(session, {model["sha256"]})
            model["measured"] = [each for quality in figures for each in summary(quality)]
    report({"models": models}, as_json=as_json, line="\n".join(line for m in models for line in _lines(m)))


def _described(card: ModelCard, model: RegisteredModel | None) -> dict[str, Any]:
    document = card.as_dict()
    for field in ("training", "measured", "quality", "package"):
        document.pop(field, None)
    state = "embedded" if model is None else "registered" if model.retired_at is None else "retired"
    return {
        **document,
        "state": state,
        "use": "both" if model is None else model.use,
        "added_by": model.added_by if model else None,
    }


def _lines(model: dict[str, Any]) -> Iterator[str]:
    classes = ", ".join(f"{name}={kind}" for name, kind in model["classes"].items())
    sides = ",".join(str(s) for s in model.get("sides", [])) or "any"
    yield f"{model['name']}: {model['state']}, {model['use']}, {model['architecture']}, {classes}, sides {sides}"
    yield f"  {model['licence']}, {model['source']}, sha256 {model['sha256']}"
    for each in model["measured"]:
        yield f"  {figures_line(each)}"


def figures_line(each: dict[str, Any]) -> str:
    """One line of an evaluation's figures for one kind, with their intervals."""

    def shown(name: str) -> str:
        share, low, high = each[name]
        return "none" if share is None else f"{share:.3f} [{low:.3f}, {high:.3f}]"

    bound = " at most" if each["false_positives_are_upper_bound"] else ""
    return (
        f"{each['dataset']} {each['kind']}: {each['objects']} objects in {each['images']} images, "
        f"found {shown('found')}, covered {shown('covered')},{bound} "
        f"{each['false_positives_per_image']} false positives per image"
    )


@app.command()
@reporting
def add(
    file: Annotated[Path, typer.Argument(help="The model file, .onnx or .pt.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    name: Annotated[str, typer.Option(help="Name of the model; never used again for another.")],
    architecture: Annotated[str, typer.Option(help="centerface, yolo-nms, ultralytics or yunet.")],
    classes: Annotated[list[str], typer.Option("--class", help="Class of the model as NAME=KIND; repeat.")],
    source: Annotated[str, typer.Option(help="Where the file is from.")],
    licence: Annotated[str, typer.Option(help="SPDX licence expression of the model.")],
    *,
    use: Annotated[str, typer.Option(help="masking, residual (it only re-scans) or both.")] = "both",
    side: Annotated[list[int] | None, typer.Option(help="Longer side it was trained at; repeat.")] = None,
    sha256: Annotated[str | None, typer.Option(help="Digest that the file must have.")] = None,
    as_json: Json = False,
) -> None:
    """Register a model under a compliance officer's signature; from then on every image passes it.

    The file is loaded and run before it is registered. A .pt file runs code when it is loaded.
    """
    content, digest = read_model_file(file)
    if sha256 is not None and sha256 != digest:
        raise ModelError(f"model file has the wrong digest (got {digest}, expected {sha256})")
    card = card_of(
        {
            "name": name,
            "file": file.name,
            "sha256": digest,
            "source": source,
            "licence": licence,
            "task": "detect",
            "architecture": architecture,
            "classes": pairs(classes, "--class"),
            "sides": side or [],
        },
        name=name,
    )
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "models.add")
        permit(gate, actor, "models.add", on=name)  # before the file is tried
        images, engine = gate.profile.profile.images, gate.settings.inference
        run_blank(open_card(file, card, profile=images, engine=engine))
        model = add_model(gate, card, content, use=use, actor=actor, key=private)
    report(
        {"model": name, "sha256": digest, "use": use, "statement": model.statement},
        as_json=as_json,
        line=f"{name} is in use ({use}), sha256 {digest}",
    )


@app.command()
@reporting
def retire(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_json: Json = False,
) -> None:
    """Take a registered model out of use under a compliance officer's signature."""
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "models.retire")
        model = retire_model(gate, name, actor=actor, key=private)
    report({"model": name, "retired_at": model.retired_at}, as_json=as_json, line=f"{name} is retired")


@app.command()
@reporting
def verify(names: Names = None, *, as_json: Json = False) -> None:
    """Verify models: signature, digest, metadata, loading, a run on a grey image; exit status 1 on any failure."""
    with opened() as gate:
        results = [_verification(gate, name) for name in names or _names(gate)]
    lines = [f"{r['model']}: {r['error'] or 'verifies'}" for r in results]
    report({"models": results}, as_json=as_json, line="\n".join(lines))
    if any(r["error"] for r in results):
        raise typer.Exit(EXIT_REFUSED)


def _names(gate: Gate) -> list[str]:
    with gate.database.read() as session:
        registered = [model.card.name for model in registered_models(session)]
    return [card.name for card in embedded_cards()] + registered


def _verification(gate: Gate, name: str) -> dict[str, Any]:
    try:
        detector = open_model(gate, name)
        if detector is not None:
            run_blank(detector)
    except NotFoundError:
        raise
    except (AnonymizeError, GatewayError) as error:
        return {"model": name, "error": f"{error.reason}: {error}"}
    return {"model": name, "error": None}


def open_model(gate: Gate, name: str) -> Detector | None:
    """The detector of a model; of a retired one, whose file is only verified, None."""
    images, engine = gate.profile.profile.images, gate.settings.inference
    for card in embedded_cards():
        if card.name == name:
            embedded_content(card)
            own = embedded_detectors(reach=reach_of(images), engine=engine)
            return next(d for d in own if d.digest == card.sha256)
    with gate.database.read() as session:
        model = require_model(session, name)
    if model.retired_at is not None:
        load_weights(gate.settings.home, model.card)
        return None
    return open_registered(gate.settings.home, model.card, "both", profile=images, engine=engine)

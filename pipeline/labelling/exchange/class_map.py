"""What classes and attributes are called in another format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from jsonschema import Draft202012Validator

from pipeline.labelling.errors import ExchangeError
from pipeline.labelling.ontology import LabelOntology
from pipeline.mining.yaml_file import YamlFileError, read_yaml

FORMAT: Final = "fleetgate-class-map"
_NAMES: Final = {"type": "object", "additionalProperties": {"type": "string", "minLength": 1}}
_VALIDATOR: Final = Draft202012Validator(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["format"],
        "properties": {
            "format": {"const": FORMAT},
            "classes": _NAMES,
            "attributes": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
        },
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMap:
    """Names of another format, and those of the ontology in their place.

    Attributes:
        classes: Own class by foreign class; what is not in it is called alike.
        attributes: Own attribute by foreign one; None: it is left out knowingly.
    """

    classes: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str | None] = field(default_factory=dict)

    def own(self, foreign: str, ontology: LabelOntology) -> str:
        """The class of the ontology for a foreign one.

        Raises:
            ExchangeError: There is none.
        """
        found = self.classes.get(foreign, foreign)
        if found not in ontology.classes:
            raise ExchangeError(
                f"class (got {foreign!r}, expected one of {sorted({*ontology.classes, *self.classes})}, or a map "
                "of classes)"
            )
        return found

    def foreign(self, own: str) -> str:
        """The foreign class for one of the ontology.

        Raises:
            ExchangeError: There are two.
        """
        found = [each for each, mine in self.classes.items() if mine == own]
        if len(found) > 1:
            raise ExchangeError(f"class map (got {sorted(found)} for {own!r}, expected one name for export)")
        return found[0] if found else own

    def own_attributes(self, foreign: Mapping[str, Any]) -> dict[str, Any]:
        """Attributes under their own names, without those that are left out."""
        named = {self.attributes.get(name, name): value for name, value in foreign.items()}
        return {name: value for name, value in named.items() if name is not None}


def read_class_map(content: bytes, ontology: LabelOntology) -> ClassMap:
    """Read a file (YAML): ``format: fleetgate-class-map``, ``classes: {theirs: ours}``, ``attributes`` likewise.

    Raises:
        ExchangeError: It is malformed, or names classes that the ontology does not have.
    """
    try:
        document = read_yaml(content, _VALIDATOR)
    except YamlFileError as error:
        raise ExchangeError(f"class map: {error}") from error
    classes = document.get("classes", {})
    if unknown := sorted(set(classes.values()) - set(ontology.classes)):
        raise ExchangeError(f"class map (got classes {unknown}, expected of {sorted(ontology.classes)})")
    return ClassMap(classes=classes, attributes=document.get("attributes", {}))
